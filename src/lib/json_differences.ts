/**
 * What differs between two JSON values, place by place. Nothing of a value is shown that is longer
 * than a line can hold, and of two long texts the part where they begin to differ.
 *
 * @module
 */

import { shown } from "./shown.ts";

/** Of a text that is shown, in UTF-16 units. */
const SHOWN_CHARS_MAX = 60;
/** Of what two texts have in common, so much is shown before the place where they part. */
const BEFORE_CHARS = 16;
/** Objects and lists deeper than this are compared as one. */
const DEPTH_MAX = 64;

/** One place where two values differ. */
export interface JsonDifference {
  /** "messages[2].content"; "" = the whole. */
  readonly path: string;
  /** What stands there in the one and in the other; undefined = nothing does. */
  readonly one: unknown;
  readonly other: unknown;
}

/**
 * The places where `one` and `other` differ, in the order of `one`, at most `countMax` of them. Items
 * of lists are compared by their numbers.
 */
export function jsonDifferences(
  one: unknown,
  other: unknown,
  countMax = Infinity,
): readonly JsonDifference[] {
  const found: JsonDifference[] = [];
  compare(one, other, "", 0, found, countMax);
  return found;
}

function compare(
  one: unknown,
  other: unknown,
  path: string,
  depth: number,
  found: JsonDifference[],
  countMax: number,
): void {
  if (one === other || found.length >= countMax) return;
  const isDeep = depth >= DEPTH_MAX;
  if (!isDeep && Array.isArray(one) && Array.isArray(other)) {
    for (let at = 0; at < Math.max(one.length, other.length); at++) {
      compare(one[at], other[at], `${path}[${at}]`, depth + 1, found, countMax);
      if (found.length >= countMax) return;
    }
    return;
  }
  if (!isDeep && isObject(one) && isObject(other)) {
    for (const key of new Set([...Object.keys(one), ...Object.keys(other)])) {
      const inner = pathOf(path, key);
      compare(own(one, key), own(other, key), inner, depth + 1, found, countMax);
      if (found.length >= countMax) return;
    }
    return;
  }
  if (isWhole(one) && isWhole(other) && JSON.stringify(one) === JSON.stringify(other)) return;
  found.push({ path, one, other });
}

/** The place of `key` below `path`. */
function pathOf(path: string, key: string): string {
  if (!/^[\w$-]+$/.test(key)) return `${path}[${shown(key)}]`;
  return path === "" ? key : `${path}.${key}`;
}

function own(value: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

/** True of what was parsed; numbers with all their digits are objects of a class. */
function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype = Object.getPrototypeOf(value) as unknown;
  return prototype === Object.prototype || prototype === null;
}

/** True of what is compared as it is written. */
function isWhole(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

/**
 * A difference on a line, with what `one` has first: `temperature: 0 instead of 1`,
 * `tools[0]: an object instead of nothing`. `whole` is what the path "" is called.
 */
export function differenceText({ path, one, other }: JsonDifference, whole = "body"): string {
  const from = typeof one === "string" && typeof other === "string" ? partingPlace(one, other) : 0;
  return `${path || whole}: ${part(one, from)} instead of ${part(other, from)}`;
}

function part(value: unknown, from: number): string {
  if (value === undefined) return "nothing";
  if (typeof value !== "string" || from === 0) return shown(value, SHOWN_CHARS_MAX);
  return shown(`…${value.slice(from)}`, SHOWN_CHARS_MAX);
}

/** From where two texts are shown: 0 unless they would look alike up to there. */
function partingPlace(one: string, other: string): number {
  const at = commonStart(one, other);
  if (at <= SHOWN_CHARS_MAX / 2) return 0;
  const from = at - BEFORE_CHARS;
  // Never from the middle of a character.
  return /[\uDC00-\uDFFF]/.test(one[from] ?? "") ? from - 1 : from;
}

/** How many UTF-16 units two texts begin alike with. */
export function commonStart(one: string, other: string): number {
  const length = Math.min(one.length, other.length);
  let at = 0;
  while (at < length && one.charCodeAt(at) === other.charCodeAt(at)) at++;
  return at;
}
