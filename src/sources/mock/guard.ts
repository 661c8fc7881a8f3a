/**
 * Keeps a client's regular expressions from holding up the process: how long a text may be that is
 * tried against one, and a schema without those that would need it.
 *
 * @module
 */

import { type Fields, fieldsOf, GUARDED } from "./flatten.ts";

/** Ways through a pattern that an engine may have to try for one text: some 50 ms. */
const WAYS_MAX = 10_000_000;
/** A text is never longer than this. */
const CHARS_MAX = 65_536;

/**
 * How many characters a text may have that is tried against `pattern`: with `k` parts that may be
 * longer or shorter there are C(n + k, k) ways to cut up n characters, and each part within a
 * repeated group multiplies them with every character.
 */
export function triedCharsMax(pattern: string): number {
  const { parts, factor } = partsOf(pattern);
  let ways = 1;
  for (let chars = 0; chars < CHARS_MAX; chars++) {
    ways *= (chars + 1 + parts) / (chars + 1) * factor;
    if (ways > WAYS_MAX) return chars;
  }
  return CHARS_MAX;
}

/** A group that is open: the parts of elastic length in it, and its alternatives but one. */
interface Group {
  parts: number;
  alternatives: number;
}

const QUANTIFIER = /[*+?]|\{\d+(?:,\d*)?\}/y;

function partsOf(pattern: string): { readonly parts: number; readonly factor: number } {
  let parts = pattern.startsWith("^") ? 0 : 1; // where the match begins is open, too
  let factor = 1;
  const open: Group[] = [];
  let closed: Group | undefined;
  let isClass = false;
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at]!;
    QUANTIFIER.lastIndex = at;
    const quantifier = isClass ? undefined : QUANTIFIER.exec(pattern)?.[0];
    const before = closed;
    closed = undefined;
    if (char === "\\") at++;
    else if (isClass) isClass = char !== "]";
    else if (char === "[") isClass = true;
    else if (char === "(") {
      open.push({ parts: 0, alternatives: 0 });
      if (pattern[at + 1] === "?") at++; // no quantifier
    } else if (char === "|") {
      const group = open.at(-1);
      if (group !== undefined) group.alternatives++;
      else parts++;
    } else if (char === ")") {
      closed = open.pop();
      const outer = open.at(-1);
      if (outer !== undefined && closed !== undefined) {
        outer.parts += closed.parts;
        outer.alternatives += closed.alternatives;
      }
    } else if (quantifier !== undefined) {
      at += quantifier.length - 1;
      if (/^\{\d+\}$/.test(quantifier) && before === undefined) continue;
      parts++;
      for (const group of open) group.parts++;
      if (before !== undefined && quantifier !== "?") factor += before.parts + before.alternatives;
    }
  }
  return { parts, factor };
}

/** Whether texts against all of these are tried in one go, whatever their length. */
function isHarmless(pattern: string): boolean {
  return triedCharsMax(pattern) === CHARS_MAX;
}

/** Keywords whose values are schemas by name, and those whose values are no schemas. */
const MAPS = new Set(["properties", "$defs", "definitions", "dependentSchemas"]);
const VALUES = new Set(["enum", "const", "default", "examples"]);

/**
 * Takes the patterns out of `schema` that are not harmless, and bounds the texts there in their
 * place. True = there were some.
 *
 * @throws {RangeError} when names are to be tried against one.
 */
export function guard(schema: unknown): boolean {
  if (Array.isArray(schema)) return schema.map(guard).includes(true);
  if (typeof schema !== "object" || schema === null) return false;
  const fields = schema as Record<string, unknown>;
  let isGuarded = false;
  for (const [key, value] of Object.entries(fields)) {
    if (VALUES.has(key)) continue;
    if (key === "pattern" && typeof value === "string" && !isHarmless(value)) {
      delete fields["pattern"];
      fields[GUARDED] = [value];
      const most = triedCharsMax(value);
      const told = fields["maxLength"];
      fields["maxLength"] = typeof told === "number" ? Math.min(told, most) : most;
      isGuarded = true;
    } else if (key === "patternProperties") {
      const risky = Object.keys(fieldsOf(value)).find((pattern) => !isHarmless(pattern));
      if (risky !== undefined) {
        throw new RangeError(`names cannot be tried against '${risky}' in bounded time`);
      }
      isGuarded = Object.values(fieldsOf(value)).map(guard).includes(true) || isGuarded;
    } else if (MAPS.has(key)) {
      isGuarded = Object.values(fieldsOf(value)).map(guard).includes(true) || isGuarded;
    } else {
      isGuarded = guard(value) || isGuarded;
    }
  }
  return isGuarded;
}

/** Whether `value` keeps the patterns that were taken out of `fields`, if it is a text. */
export function keepsGuarded(value: unknown, { [GUARDED]: patterns }: Fields): boolean {
  if (typeof value !== "string" || !Array.isArray(patterns)) return true;
  return patterns.every((pattern: string) =>
    value.length <= triedCharsMax(pattern) && new RegExp(pattern, "u").test(value)
  );
}
