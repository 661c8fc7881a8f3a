/**
 * Reads one mapping of a workflow file: each question gives a checked value, or notes a problem and
 * gives a harmless one, so that one pass finds everything that is wrong. It is long as a table is:
 * one method for each kind of value.
 *
 * @module
 */

import { shownKey, unknown } from "../config/problems.ts";
import { editDistance, nearest } from "../lib/nearest.ts";
import { durationMs } from "./duration.ts";
import { type Expression, parseTemplate, TemplateError } from "./expression.ts";
import { expressionsIn, type Pattern } from "./interpolate.ts";
import { INSTEAD, type Keys, OPERATORS, TYPES } from "./keys.ts";
import type { Place, Problem } from "./source_text.ts";
import type { Tree, TreeMap } from "./tree.ts";

/** What expressions may refer to at one place of a file. */
export interface Sources {
  readonly names: ReadonlySet<string>;
  /** The jobs that `${jobs.ID}` may name; null where there is no `jobs`. */
  readonly jobIds: ReadonlySet<string> | null;
}

/** How keys begin that are a file's own, for YAML's anchors and other programs: nobody reads them. */
const EXTENSION = "x-";
/** Goes on behind a key that was probably meant. */
const UNSUPPORTED_HINT = " It is not supported by weir";

/** Problems told at once; who has more has one cause for most of them. */
const PROBLEMS_MAX = 50;

/** The problems of one load. */
export class Problems {
  readonly list: Problem[] = [];

  /** True when none is told any more. */
  get isFull(): boolean {
    return this.list.length >= PROBLEMS_MAX;
  }

  add(place: Place, path: string, message: string): void {
    if (!this.isFull) this.list.push({ place, path, message });
  }
}

/** One mapping, with the path that leads to it. */
export class Section {
  readonly path: string;
  readonly place: Place;
  readonly #tree: TreeMap;
  readonly #problems: Problems;

  constructor(tree: TreeMap, path: string, problems: Problems) {
    this.#tree = tree;
    this.path = path;
    this.place = tree.place;
    this.#problems = problems;
  }

  /** True when the key is there and not null. */
  has(key: string): boolean {
    return this.#get(key) !== null;
  }

  /** What stands under `key`; null = nothing. */
  kindOf(key: string): Tree["kind"] | null {
    return this.#get(key)?.kind ?? null;
  }

  /** Notes a problem at `key`, or at this mapping when it has no such key. */
  problem(key: string, message: string): void {
    const tree = this.#tree.entries.get(key);
    this.#problems.add(tree?.place ?? this.place, this.#pathOf(key), message);
  }

  /** Notes each key that is none of `keys` and no extension, or that weir does not support. */
  checkKeys({ kind, known, unsupported }: Keys): void {
    for (const [key, tree] of this.#tree.entries) {
      if (this.#problems.isFull) return;
      if (known.includes(key) || key.startsWith(EXTENSION)) continue;
      const place = this.#tree.keyPlaces.get(key) ?? tree.place;
      const path = this.#pathOf(shownKey(key));
      if (!Object.hasOwn(unsupported, key)) {
        const guess = nearest(key.toLowerCase(), [...known, ...Object.keys(unsupported)]);
        const meant = guess === undefined ? undefined : this.#pathOf(guess);
        const isForeign = guess !== undefined && !known.includes(guess);
        const message = unknown("key", meant, known) + (isForeign ? UNSUPPORTED_HINT : "");
        this.#problems.add(place, path, message);
      } else if (tree.kind !== "scalar" || !isHarmless(tree.value, unsupported[key]!)) {
        const name = `${kind}.${key}`;
        const instead = Object.hasOwn(INSTEAD, name) ? `: ${INSTEAD[name]}` : "";
        this.#problems.add(place, path, `${name} is not supported by weir${instead}`);
      }
    }
  }

  /** A text, or null. Numbers and booleans count as their text: ids are often numbers. */
  text(key: string): string | null {
    const tree = this.#get(key);
    if (tree === null) return null;
    if (tree.kind === "scalar") return String(tree.value);
    this.problem(key, `must be a text, not a ${nameOf(tree)}`);
    return null;
  }

  /** One of `words`; `fallback` when the key is absent or wrong. */
  word<T extends string>(key: string, words: readonly T[], fallback: T): T {
    const text = this.text(key);
    if (text === null) return fallback;
    const word = words.find((candidate) => candidate === text);
    if (word !== undefined) return word;
    this.problem(key, `must be one of ${words.join(", ")}: it is ${JSON.stringify(text)}`);
    return fallback;
  }

  /** A whole number from `min` to `max`. */
  integer(key: string, min: number, max: number): number | null {
    const tree = this.#get(key);
    if (tree === null) return null;
    const value = tree.kind === "scalar" ? tree.value : NaN;
    const number = typeof value === "string" && /^-?\d+$/.test(value) ? Number(value) : value;
    if (typeof number === "number" && Number.isInteger(number) && number >= min && number <= max) {
      return number;
    }
    this.problem(key, `must be a whole number from ${min} to ${max}: it is ${shown(tree)}`);
    return null;
  }

  /** A number of at least 0. */
  number(key: string): number | null {
    const tree = this.#get(key);
    if (tree === null) return null;
    const number = tree.kind === "scalar" ? Number(tree.value) : NaN;
    if (Number.isFinite(number) && number >= 0) return number;
    this.problem(key, `must be a number of at least 0: it is ${shown(tree)}`);
    return null;
  }

  /** true or false. */
  flag(key: string): boolean {
    const tree = this.#get(key);
    if (tree === null) return false;
    const value = tree.kind === "scalar" ? tree.value : null;
    if (value === true || value === "true") return true;
    if (value === false || value === "false") return false;
    this.problem(key, `must be true or false: it is ${shown(tree)}`);
    return false;
  }

  /** A duration in milliseconds. */
  duration(key: string, fallbackMs: number): number {
    const tree = this.#get(key);
    if (tree === null) return fallbackMs;
    const ms = tree.kind === "scalar" ? durationMs(tree.value) : null;
    if (ms !== null) return ms;
    this.problem(key, `must be seconds, or a duration such as 500ms, 5s, 2m, 1h: ${shown(tree)}`);
    return fallbackMs;
  }

  /** The mapping under `key`, or null. */
  section(key: string): Section | null {
    const tree = this.#get(key);
    if (tree === null) return null;
    if (tree.kind === "map") return new Section(tree, this.#pathOf(key), this.#problems);
    this.problem(key, `must be a mapping, not a ${nameOf(tree)}`);
    return null;
  }

  /**
   * The mappings under `plural`, else the one under `singular`. A mapping under the plural whose
   * values are mappings counts as a list with ids.
   */
  sections(plural: string, singular: string): readonly Section[] {
    const tree = this.#get(plural);
    if (tree === null) {
      const one = this.section(singular);
      return one === null ? [] : [one];
    }
    const path = this.#pathOf(plural);
    if (tree.kind === "list") {
      return tree.items.flatMap((item, i) => {
        if (item.kind === "map") return [new Section(item, `${path}[${i}]`, this.#problems)];
        this.#problems.add(item.place, `${path}[${i}]`, `must be a mapping`);
        return [];
      });
    }
    if (tree.kind === "map") {
      return [...tree.entries].flatMap(([id, item]) => {
        if (item.kind === "map") {
          const entries = new Map(item.entries);
          if (!entries.has("id")) {
            const place = item.place;
            entries.set("id", { kind: "scalar", place, value: id, placeAt: () => place });
          }
          return [new Section({ ...item, entries }, `${path}.${id}`, this.#problems)];
        }
        this.#problems.add(item.place, `${path}.${id}`, `must be a mapping`);
        return [];
      });
    }
    this.problem(plural, `must be a list of mappings, not a ${nameOf(tree)}`);
    return [];
  }

  /** Texts: a list of them, or a single one. */
  texts(key: string): readonly { readonly text: string; readonly place: Place }[] {
    const tree = this.#get(key);
    if (tree === null) return [];
    return (tree.kind === "list" ? tree.items : [tree]).flatMap((item) => {
      if (item.kind === "scalar") return [{ text: String(item.value), place: item.place }];
      this.#problems.add(item.place, this.#pathOf(key), `must be a text, not a ${nameOf(item)}`);
      return [];
    });
  }

  /** A value with its templates parsed, or null when the key is absent. */
  pattern(key: string, sources: Sources): Pattern | null {
    const tree = this.#get(key);
    return tree === null ? null : this.#pattern(tree, this.#pathOf(key), sources);
  }

  /** Like `pattern`, for a key that must hold a mapping. */
  mapPattern(key: string, sources: Sources): Pattern | null {
    const tree = this.#get(key);
    const isTemplate = tree?.kind === "scalar" && String(tree.value).startsWith("${");
    if (tree !== null && tree.kind !== "map" && !isTemplate) {
      this.problem(key, `must be a mapping, not a ${nameOf(tree)}`);
      return null;
    }
    return this.pattern(key, sources);
  }

  /** Patterns: a list of them, or a single one. */
  patterns(key: string, sources: Sources): readonly Pattern[] {
    const tree = this.#get(key);
    if (tree === null) return [];
    const items = tree.kind === "list" ? tree.items : [tree];
    return items.map((item) => this.#pattern(item, this.#pathOf(key), sources));
  }

  #pattern(tree: Tree, path: string, sources: Sources): Pattern {
    switch (tree.kind) {
      case "list":
        return {
          kind: "list",
          items: tree.items.map((item, i) => this.#pattern(item, `${path}[${i}]`, sources)),
        };
      case "map":
        for (const key of tree.entries.keys()) {
          if (OPERATORS.has(key)) this.#operator(tree.keyPlaces.get(key) ?? tree.place, path, key);
        }
        return {
          kind: "map",
          entries: [...tree.entries].map(([key, item]) =>
            [key, this.#pattern(item, `${path}.${key}`, sources)] as const
          ),
        };
      case "scalar":
        if (typeof tree.value !== "string") return { kind: "constant", value: tree.value };
        if (tree.value.startsWith("...${")) this.#operator(tree.place, path, "...");
        return this.#template(tree.value, tree.placeAt, path, sources);
    }
  }

  #operator(place: Place, path: string, operator: string): void {
    const message = `the operator ${JSON.stringify(operator)} is not supported by weir`;
    this.#problems.add(place, path, message);
  }

  #template(
    text: string,
    placeAt: (offset: number) => Place,
    path: string,
    sources: Sources,
  ): Pattern {
    if (!text.includes("${")) return { kind: "constant", value: text };
    try {
      const pattern: Pattern = { kind: "template", template: parseTemplate(text) };
      const told = new Set<string>();
      for (const expression of expressionsIn(pattern)) {
        const complaint = complaintAbout(expression, sources);
        if (complaint === null || told.has(complaint)) continue;
        told.add(complaint);
        const at = text.search(new RegExp(`\\$\\{\\s*${expression.source}`));
        this.#problems.add(placeAt(Math.max(0, at)), path, complaint);
      }
      return pattern;
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      this.#problems.add(placeAt(error.offset), path, error.message);
      return { kind: "constant", value: "" };
    }
  }

  #get(key: string): Tree | null {
    const tree = this.#tree.entries.get(key);
    if (tree === undefined || (tree.kind === "scalar" && tree.value === null)) return null;
    return tree;
  }

  #pathOf(key: string): string {
    return this.path === "" ? key : `${this.path}.${key}`;
  }
}

/** Edits that make another word of a type's name: what differs more is a type of its own. */
const TYPO_EDITS_MAX = 2;

function complaintAbout(
  { source, path, conversion }: Expression,
  sources: Sources,
): string | null {
  const type = conversion?.type ?? "";
  const meant = TYPES.includes(type) ? undefined : nearest(type, TYPES);
  if (meant !== undefined && editDistance(type, meant) <= TYPO_EDITS_MAX) {
    return `There is no type '${type}': did you mean ${meant}?`;
  }
  if (!sources.names.has(source)) {
    return `There is no \${${source}} here; there is ${[...sources.names].join(", ")}`;
  }
  const [step] = path;
  if (source !== "jobs" || step?.kind !== "key" || sources.jobIds === null) return null;
  return sources.jobIds.has(step.key) ? null : `There is no job '${step.key}' in this workflow`;
}

/** True for null, which says nothing, and for what weir does anyway. */
function isHarmless(
  value: unknown,
  harmless: readonly (string | number | boolean)[],
): boolean {
  return value === null || harmless.some((one) => one === value);
}

function nameOf(tree: Tree): string {
  if (tree.kind !== "scalar") return tree.kind === "map" ? "mapping" : "list";
  return tree.value === null ? "null" : typeof tree.value;
}

function shown(tree: Tree): string {
  return tree.kind === "scalar" ? JSON.stringify(tree.value) : `a ${nameOf(tree)}`;
}
