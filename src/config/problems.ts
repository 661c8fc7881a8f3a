/**
 * What is wrong with a configuration, in sentences: where it stands, which setting, what must be.
 * No sentence here can carry the value of a secret.
 *
 * @module
 */

import { nearest } from "../lib/nearest.ts";
import { SETTING_ROWS, type SettingRow, SETTINGS } from "./schema.ts";

/** A sentence, and where it belongs among the others of its layer: offset in a file, or a count. */
export interface Problem {
  readonly at: number;
  readonly text: string;
}

/** Something a layer says about one setting, not checked yet. */
export interface Given {
  readonly path: string;
  readonly value: unknown;
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

const VARIABLES = [...SETTING_ROWS.values()].map((row) => row.variable);

/** Longest piece of a bad value that a sentence repeats, in characters. */
const SHOWN_LENGTH_MAX = 60;

/** Checks what one layer says about one setting: the value as the setting wants it, or problems. */
export function checkGiven(given: Given):
  | { readonly kind: "ok"; readonly value: unknown }
  | { readonly kind: "bad"; readonly problems: readonly Problem[] } {
  const row = SETTING_ROWS.get(given.path)!;
  const result = row.setting.schema.safeParse(given.value);
  if (result.success) return { kind: "ok", value: result.data };
  const problems = result.error.issues.map((issue) => {
    const { at, label } = given.place(issue.path);
    const part = partOf(given.value, issue.path);
    return { at, text: `${label}: must be ${issue.message}: ${shown(part, row)}` };
  });
  return { kind: "bad", problems };
}

function partOf(value: unknown, path: readonly PropertyKey[]): unknown {
  let part = value;
  for (const key of path) part = (part as Record<PropertyKey, unknown> | undefined)?.[key];
  return part;
}

/** "it is …" for a bad value of a setting. */
function shown(value: unknown, row: SettingRow): string {
  const { shows, reads } = row.setting;
  if (value === undefined || value === null) return "it is empty";
  if (Array.isArray(value)) return "it is a list";
  if (typeof value === "object") return "it is a mapping";
  if (shows === "secret" || shows === "fields" || shows === "tokens") {
    return "its value is not shown, as it may be secret";
  }
  if (typeof value !== "string") return `it is ${value}`;
  const isQuotedNumber = reads === "yaml" && /^\d+$/.test(value);
  const hint = isQuotedNumber ? " (take the quotes away)" : "";
  return `it is ${quoted(shows === "url" ? withoutUserinfo(value) : value)}${hint}`;
}

/**
 * A URL that may be broken, so everything that could be a password goes: all before the last `@`,
 * all behind a colon that starts no port, and the options.
 */
function withoutUserinfo(value: string): string {
  const [, scheme = "", rest = ""] = /^([a-z][a-z0-9+.-]*:\/\/)?(.*)$/is.exec(value) ?? [];
  const masked = rest
    .replace(/\?.*$/s, "?***")
    .replace(/^.*@/s, "***@")
    .replace(/^([^/:]*:)(?!\d{1,5}(?:\/|$)).*$/s, "$1***");
  return scheme + masked;
}

function quoted(value: string): string {
  const characters = [...value];
  if (characters.length <= SHOWN_LENGTH_MAX) return JSON.stringify(value);
  return JSON.stringify(`${characters.slice(0, SHOWN_LENGTH_MAX).join("")}…`);
}

/** A key as people write it; anything odd is quoted, so that it cannot disturb a terminal. */
export function shownKey(key: string): string {
  return /^[\w.-]{1,60}$/.test(key) ? key : quoted(key);
}

/**
 * "is not a known key: …" with what was probably meant, for a key in `section` (undefined: at the
 * top level of a file). The same key in another section is a better guess than a similar one here.
 */
export function unknownKey(key: string, section: string | undefined): string {
  const word = key.toLowerCase();
  const elsewhere = [...SETTING_ROWS.values()].find((row) => row.key === word);
  if (elsewhere !== undefined) return unknown("key", elsewhere.path, []);
  if (section === undefined) {
    const sections = Object.keys(SETTINGS);
    return unknown("key", nearest(word, sections), sections);
  }
  const keys = [...SETTING_ROWS.values()].filter((row) => row.section === section)
    .map((row) => row.key);
  const guess = nearest(word, keys);
  return unknown("key", guess === undefined ? undefined : `${section}.${guess}`, keys);
}

/** As `unknownKey`, for a whole path after `--set`. */
export function unknownPath(path: string): string {
  const word = path.toLowerCase();
  const elsewhere = [...SETTING_ROWS.values()].find((row) => row.key === word.split(".").at(-1));
  const guess = elsewhere?.path ?? nearest(word, SETTING_ROWS.keys());
  return unknown("key", guess, Object.keys(SETTINGS).map((section) => `${section}.…`));
}

/** As `unknownKey`, for a variable of the environment. */
export function unknownVariable(name: string): string {
  return unknown("variable", nearest(name, VARIABLES), ["WEIR_SECTION_KEY"]);
}

function unknown(noun: string, guess: string | undefined, known: readonly string[]): string {
  if (guess !== undefined) return `is not a known ${noun}: did you mean ${guess}?`;
  return `is not a known ${noun}: known here are ${known.join(", ")}`;
}
