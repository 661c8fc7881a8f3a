/**
 * What is wrong with a configuration, in sentences: where it stands, which setting, what must be.
 * No sentence here can carry the value of a secret.
 *
 * @module
 */

import type { z } from "zod";
import { editDistance, nearest } from "../lib/nearest.ts";
import { rowOf, SETTING_ROWS } from "./schema.ts";
import { ABOUT, mayBeSecret, schemasAlong, shapeOf } from "./shape.ts";
import { TREE } from "./tree.ts";

/** A sentence, and where it belongs among the others of its layer: offset in a file, or a count. */
export interface Problem {
  readonly at: number;
  readonly text: string;
}

/** Something a layer says about one setting, not checked yet. */
export interface Given {
  readonly path: string;
  readonly schema: z.ZodType;
  readonly value: unknown;
  /** Are keys left out of it, as nobody knows them? */
  readonly isPartial: boolean;
  /** Shown by `weir check`: "config.yaml:3:9", "WEIR_SERVER_PORT", "--set server.port". */
  readonly origin: string;
  /** Where the value, or the part of it under `inner`, stands, and how a sentence about it begins. */
  readonly place: (
    inner: readonly PropertyKey[],
  ) => { readonly at: number; readonly label: string };
}

/** Everything one layer says: a file, an environment, the flags. */
export interface Layer {
  readonly given: readonly Given[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** The sentences of `problems`, in the order of their places. */
export function inOrder(problems: readonly Problem[]): string[] {
  return problems.toSorted((a, b) => a.at - b.at).map((problem) => problem.text);
}

const SECTIONS = Object.keys(TREE.shape);
/** Names of the top level that are no sections. */
const LISTS = SECTIONS.filter((name) => SETTING_ROWS.has(name));
const IN_SECTIONS = [...SETTING_ROWS.values()].filter((row) => row.keys.length > 1);

/** More edits than these make another word of the name of a list. */
const TYPO_EDITS_MAX = 2;
/** Longest piece of a bad value that a sentence repeats, in characters. */
const SHOWN_LENGTH_MAX = 60;

/** Checks what one layer says about one setting: the value as the setting wants it, or problems. */
export function checkGiven({ schema, value, isPartial, place }: Given):
  | { readonly kind: "ok"; readonly value: unknown }
  | { readonly kind: "bad"; readonly problems: readonly Problem[] } {
  const result = schema.safeParse(value);
  if (result.success) return { kind: "ok", value: result.data };
  const problems: Problem[] = [];
  for (const issue of result.error.issues) {
    const part = partOf(value, issue.path);
    // What is missing in an entry is there, most probably: under the key that nobody knows.
    if (isPartial && (part === undefined || isWholeEntry(issue, part))) continue;
    const { at, label } = place(issue.path);
    const text = `${label}: must be ${issue.message}: ${shown(part, schema, issue.path)}`;
    // A rule of several parts says the same for each.
    if (problems.every((problem) => problem.text !== text)) problems.push({ at, text });
  }
  return { kind: "bad", problems };
}

/** Is it about how the keys of an entry go together? */
function isWholeEntry({ code }: z.core.$ZodIssue, part: unknown): boolean {
  return code === "custom" && typeof part === "object" && !Array.isArray(part);
}

function partOf(value: unknown, path: readonly PropertyKey[]): unknown {
  let part = value;
  for (const key of path) part = (part as Record<PropertyKey, unknown> | undefined)?.[key];
  return part;
}

/** "it is …" for a bad value under `path` of what `schema` describes. */
function shown(value: unknown, schema: z.ZodType, path: readonly PropertyKey[]): string {
  if (value === undefined || value === null) return "it is empty";
  if (Array.isArray(value)) return "it is a list";
  if (typeof value === "object") return "it is a mapping";
  const leaf = schemasAlong(schema, path).at(-1)!;
  // Where a number belongs, one that is wrong is no secret, also in an entry that holds one.
  const isNumber = typeof value === "number" && shapeOf(leaf).kind === "typed";
  if (!isNumber && mayBeSecret(schema, path)) {
    return "its value is not shown, as it may be secret";
  }
  if (typeof value !== "string") return `it is ${value}`;
  const isQuotedNumber = shapeOf(leaf).kind === "typed" && /^\d+$/.test(value);
  const hint = isQuotedNumber ? " (take the quotes away)" : "";
  const isUrl = ABOUT.get(leaf)?.shows === "url";
  return `it is ${quoted(isUrl ? withoutUserinfo(value) : value)}${hint}`;
}

/**
 * A URL that may be broken, so everything that could be a password goes: all before the last `@`,
 * all behind a colon that starts no port, and what is behind ? and #.
 */
function withoutUserinfo(value: string): string {
  const [, scheme = "", rest = ""] = /^([a-z][a-z0-9+.-]*:\/\/)?(.*)$/is.exec(value) ?? [];
  const masked = rest
    .replace(/([?#]).*$/s, "$1***")
    .replace(/^.*@/s, "***@")
    .replace(/^([^/:]*:)(?!\d{1,5}(?:\/|$)).*$/s, "$1***");
  return scheme + masked;
}

/** `value` in quotes, cut where it is long: nothing in it can disturb a terminal. */
export function quoted(value: string): string {
  const characters = [...value];
  if (characters.length <= SHOWN_LENGTH_MAX) return JSON.stringify(value);
  return JSON.stringify(`${characters.slice(0, SHOWN_LENGTH_MAX).join("")}…`);
}

/** A key as people write it; anything odd is quoted, so that it cannot disturb a terminal. */
export function shownKey(key: string): string {
  return /^[\w.-]{1,60}$/.test(key) ? key : quoted(key);
}

/**
 * "is not a known key: …" with what was probably meant, for a key under `path`, where `known` are
 * known. The same key in another section is a better guess than a similar one here.
 */
export function unknownKey(
  key: string,
  path: readonly string[],
  known: readonly string[],
): string {
  const word = key.toLowerCase();
  const elsewhere = path.length < 2 ? withKey(word) : undefined;
  if (elsewhere !== undefined) return unknown("key", elsewhere, []);
  const guess = path.length > 0
    ? nearest(word, known)
    : listMeant(word) ?? nearest(word, known.filter((name) => !LISTS.includes(name)));
  return unknown("key", guess === undefined ? undefined : [...path, guess].join("."), known);
}

/** The list that `word` is a slip of. Names of lists are short, so a similar word means little. */
function listMeant(word: string): string | undefined {
  const guess = nearest(word, LISTS);
  return guess !== undefined && editDistance(word, guess) <= TYPO_EDITS_MAX ? guess : undefined;
}

function withKey(word: string | undefined): string | undefined {
  return [...SETTING_ROWS.values()].find((row) => row.keys.at(-1) === word)?.path;
}

/** As `unknownKey`, for a whole path after `--set`. */
export function unknownPath(path: string): string {
  const word = path.toLowerCase();
  const keys = word.split(".");
  const row = rowOf(keys);
  if (row !== undefined && shapeOf(row.schema).kind === "list") {
    return `is inside a list, and lists are set whole: --set '${row.path}=[…]'`;
  }
  const guess = withKey(keys.at(-1)) ?? listMeant(word) ??
    nearest(word, IN_SECTIONS.map(({ path }) => path));
  return unknown("key", guess, SECTIONS.map((name) => SETTING_ROWS.has(name) ? name : `${name}.…`));
}

/** As `unknownKey`, for a variable of the environment. */
export function unknownVariable(name: string): string {
  const word = name.toLowerCase().replace(/^weir_/, "");
  // A list is set whole: what goes on behind its name, WEIR_UPSTREAMS_0_NAME, tells nothing.
  const list = LISTS.find((each) => word.startsWith(`${each}_`)) ?? listMeant(word) ?? "";
  const guess = SETTING_ROWS.get(list || (withKey(word) ?? ""))?.variable ??
    nearest(name, IN_SECTIONS.map(({ variable }) => variable));
  return unknown("variable", guess, ["WEIR_SECTION_KEY"]);
}

/** "is not a known …", with the nearest or with all that are known. */
export function unknown(noun: string, guess: string | undefined, known: readonly string[]): string {
  if (guess !== undefined) return `is not a known ${noun}: did you mean ${guess}?`;
  if (known.length === 0) return `is not a known ${noun}: there is none with a name`;
  return `is not a known ${noun}: known here are ${known.join(", ")}`;
}
