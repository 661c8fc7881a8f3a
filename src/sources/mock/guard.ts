/**
 * Keeps a client's regular expressions from holding up the process: a text is tried against one with
 * the runtime's own engine where that cannot take long, otherwise in linear time (RE2), and not at all
 * where neither can be.
 *
 * @module
 */

import { RE2JS, RE2JSException } from "re2js";
import { fieldsOf, GUARDED } from "./fields.ts";
import type { Steps } from "./work.ts";

/** Ways through a pattern for one text up to which the mock makes texts of it. */
const WAYS_MAX = 10_000_000;
/** A text is never longer than this. */
const CHARS_MAX = 65_536;
/** Ways for each character up to which the runtime's own engine is asked: RE2 would cost more. */
const WAYS_PER_CHAR = 50;
/** RE2 takes no more repetitions within one another. */
const RE2_REPEATS_MAX = 1000;
/** What a class of characters becomes in RE2. */
const CLASS_INSTRUCTIONS = 4;
/** Steps for making one instruction of RE2, and for trying it at one character the first time. */
const STEPS_PER_INSTRUCTION = 300;
/** Steps for one character where RE2 has been there before. */
const STEPS_PER_CHAR = 10;
/** A longer pattern is not tried. */
const PATTERN_CHARS_MAX = 10_000;

/**
 * How many characters a text that is made of `pattern` may have: with `k` parts that may be longer or
 * shorter there are C(n + k, k) ways to cut up n characters, and each part within a repeated group
 * multiplies them with every character.
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

/** What makes a pattern slow, and long. */
interface Parts {
  /** Parts of elastic length. */
  readonly parts: number;
  /** How many times as many ways there are with each character. */
  readonly factor: number;
  /** Ways that there are for any text: alternatives, and groups that are repeated so often at least. */
  readonly base: number;
  /** Instructions of RE2, at the most. */
  readonly size: number;
}

const QUANTIFIER = /[*+?]|\{(\d+)(?:,(\d*))?\}/y;

function partsOf(pattern: string): Parts {
  let parts = pattern.startsWith("^") ? 0 : 1; // where the match begins is open, too
  let factor = 1;
  let base = 1;
  let size = pattern.length;
  let groupTimes = 1;
  const open: Group[] = [];
  let closed: Group | undefined;
  let isClass = false;
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at]!;
    QUANTIFIER.lastIndex = at;
    const quantifier = isClass ? null : QUANTIFIER.exec(pattern);
    const before = closed;
    closed = undefined;
    if (char === "\\") at++;
    else if (isClass) isClass = char !== "]";
    else if (char === "[") isClass = true;
    else if (char === "(") {
      open.push({ parts: 0, alternatives: 0 });
      if (pattern[at + 1] === "?") at++; // no quantifier
    } else if (char === "|") {
      base *= 2;
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
    } else if (quantifier !== null) {
      const [text, least = "0", most = ""] = quantifier;
      const times = Math.max(Number(least), Number(most), 1);
      const inner = before === undefined ? 0 : before.parts + before.alternatives;
      if (before === undefined) size += CLASS_INSTRUCTIONS * (times - 1);
      else groupTimes *= times;
      base *= (1 + inner) ** Number(least);
      at += text.length - 1;
      if (/^\{\d+\}$/.test(text) && before === undefined) continue;
      parts++;
      for (const group of open) group.parts++;
      if (before !== undefined && text !== "?") factor += inner;
    }
  }
  return { parts, factor, base, size: size * Math.min(groupTimes, RE2_REPEATS_MAX) };
}

/** Patterns that texts are tried against, each read once. */
export class Patterns {
  readonly #steps: Steps;
  readonly #read = new Map<string, Pattern>();

  constructor(steps: Steps) {
    this.#steps = steps;
  }

  /**
   * Whether `text` matches `pattern`, as JSON Schema spells it.
   *
   * @throws {SyntaxError} when it is no pattern.
   * @throws {RangeError} when it would take too long.
   */
  matches(pattern: string, text: string): boolean {
    let known = this.#read.get(pattern);
    if (known === undefined) {
      this.#steps.take(100 + 10 * pattern.length);
      this.#read.set(pattern, known = new Pattern(pattern));
    }
    return known.test(text, this.#steps);
  }
}

class Pattern {
  readonly #source: string;
  readonly #native: RegExp;
  readonly #parts: Parts;
  /** null: RE2 cannot do this. */
  #linear: RE2JS | null | undefined;

  /** @throws {SyntaxError} when `source` is no pattern. */
  constructor(source: string) {
    this.#source = source;
    this.#native = new RegExp(source, "u");
    this.#parts = partsOf(source);
  }

  /** @throws {RangeError} when it would take too long. */
  test(text: string, steps: Steps): boolean {
    const ways = this.#ways(text.length);
    const cost = ways + text.length + this.#source.length;
    if (ways > WAYS_PER_CHAR * (text.length + 1)) {
      const linear = this.#linearly(steps);
      if (linear !== null) {
        steps.take(STEPS_PER_CHAR * text.length);
        return linear.test(text);
      }
    }
    if (!steps.has(cost)) {
      throw new RangeError(`texts cannot be tried against '${this.#source}' in bounded time`);
    }
    steps.take(cost);
    return this.#native.test(text);
  }

  /** Ways that the runtime's engine may have to try for a text of `chars`. */
  #ways(chars: number): number {
    const { parts, factor, base } = this.#parts;
    let ways = base * factor ** chars;
    for (let part = 1; part <= parts && ways < Infinity; part++) ways *= (chars + part) / part;
    return ways;
  }

  #linearly(steps: Steps): RE2JS | null {
    if (this.#linear !== undefined) return this.#linear;
    this.#linear = null;
    const cost = STEPS_PER_INSTRUCTION * this.#parts.size;
    if (this.#source.length > PATTERN_CHARS_MAX || !steps.has(cost)) return null;
    steps.take(cost);
    try {
      this.#linear = RE2JS.compile(RE2JS.translateRegExp(asRe2(this.#source)));
    } catch (error) {
      if (!(error instanceof RE2JSException)) throw error;
    }
    return this.#linear;
  }
}

/** What JavaScript calls blank, what it does not, and what ends a line: RE2 has its own mind there. */
const BLANK = "\\t-\\r \\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}" +
  "\\x{3000}\\x{feff}";
const NOT_BLANK = "\\x00-\\x08\\x0e-\\x1f!-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}" +
  "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}" +
  "\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}";
const IN_LINE = "[^\\n\\r\\x{2028}\\x{2029}]";

/** `source` with the parts that RE2 understands otherwise in its words. */
function asRe2(source: string): string {
  let written = "";
  let isClass = false;
  for (let at = 0; at < source.length; at++) {
    let part = source[at]!;
    if (part === "\\") {
      part += source[++at] ?? "";
      const blank = part === "\\s" ? BLANK : part === "\\S" ? NOT_BLANK : undefined;
      if (blank !== undefined) part = isClass ? blank : `[${blank}]`;
    } else if (isClass) {
      if (part === "[") part = "\\[";
      isClass = part !== "]";
    } else if (part === "[") {
      isClass = true;
    } else if (part === ".") {
      part = IN_LINE;
    }
    written += part;
  }
  return written;
}

/** Keywords whose values are schemas by name, and those whose values are no schemas. */
const MAPS = new Set([
  "properties",
  "patternProperties",
  "$defs",
  "definitions",
  "dependentSchemas",
]);
const VALUES = new Set(["enum", "const", "default", "examples"]);

/**
 * Calls the patterns in `schema` that a backtracking engine cannot try against every text in one go by
 * another name, under which the mock makes shorter texts of them. True = there were some.
 */
export function guard(schema: unknown): boolean {
  if (Array.isArray(schema)) return schema.map(guard).includes(true);
  if (typeof schema !== "object" || schema === null) return false;
  const fields = schema as Record<string, unknown>;
  let isGuarded = false;
  for (const [key, value] of Object.entries(fields)) {
    if (VALUES.has(key)) continue;
    if (key === "pattern" && typeof value === "string" && triedCharsMax(value) < CHARS_MAX) {
      delete fields["pattern"];
      fields[GUARDED] = [value];
      isGuarded = true;
    } else if (MAPS.has(key)) {
      isGuarded = Object.values(fieldsOf(value)).map(guard).includes(true) || isGuarded;
    } else {
      isGuarded = guard(value) || isGuarded;
    }
  }
  return isGuarded;
}
