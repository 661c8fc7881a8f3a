/**
 * Texts that match a regular expression.
 *
 * @module
 */

import randexp from "randexp";
import type { Choose } from "./choose.ts";
import type { Steps } from "./work.ts";

/** The module is its class, whatever its types say. */
const RandExp = randexp as unknown as typeof randexp.default;
type RandExp = InstanceType<typeof RandExp>;

/** Parts of a text that are put together before it is given up, so that `a{1000000000}` ends. */
const PARTS_MAX = 10_000;
/** Steps for reading a pattern, for each of its characters, and for putting a part together. */
const READ_STEPS = 150;
const CHAR_STEPS = 10;
const PART_STEPS = 6;
/** Steps for making the characters of a class. */
const CLASS_STEPS = 200;

/** Characters of a class that are taken where it has them: a to z, 0 to 9, A to Z, other ASCII. */
const PLAIN: readonly Characters[] = [[97, 122], [48, 57], [65, 90], [33, 126]];
const LOOSE: readonly Characters[] = [[32, 126]];

/** The first and the last one. */
type Characters = readonly [from: number, to: number];

/** The classes by property that the library does not know, as letters and digits of ASCII. */
const PROPERTY = /\\[pP]\{[^}]*\}/g;

/**
 * A text of `pattern`, as JSON Schema spells it: the shortest, or, with `more` over 0, one with up
 * to so many repetitions of what may be repeated. Whether it really matches is left to the caller:
 * conditions that look ahead are met by chance only. undefined = the pattern is none, or the text has
 * more than `partsMax` parts.
 *
 * @throws {RangeError} when there are not enough `steps`.
 */
export function textOfPattern(
  pattern: string,
  choose: Choose,
  more: number,
  steps: Steps,
  partsMax = PARTS_MAX,
): string | undefined {
  steps.take(READ_STEPS + CHAR_STEPS * pattern.length);
  try {
    const maker = new Maker(new RegExp(pattern.replaceAll(PROPERTY, "\\w")));
    maker.steps = steps;
    maker.partsMax = partsMax;
    maker.isPlain = more === 0;
    maker.max = more;
    maker.randInt = (from, to) => from + choose(to - from + 1);
    maker.defaultRange = maker.defaultRange.clone().add(0xa0, 0xd7ff).add(0xe000, 0xfffd);
    return maker.gen();
  } catch (error) {
    if (steps.isSpent) throw error;
    return undefined;
  }
}

type Token = Parameters<RandExp["_expand"]>[0];
type Range = ReturnType<RandExp["_expand"]>;

class Maker extends RandExp {
  isPlain = true;
  steps: Steps | undefined;
  partsMax = 0;
  #parts = 0;
  /** Of each class, made once. */
  readonly #ranges = new Map<object, Range>();

  override _gen(...args: Parameters<RandExp["_gen"]>): string {
    if (++this.#parts > this.partsMax) throw new RangeError("The pattern makes too long a text");
    this.steps?.take(PART_STEPS);
    return super._gen(...args);
  }

  override _expand(token: Token): Range {
    const known = this.#ranges.get(token);
    if (known !== undefined) return known;
    this.steps?.take(CLASS_STEPS);
    const range = this.#rangeOf(token);
    this.#ranges.set(token, range);
    return range;
  }

  #rangeOf(token: Token): Range {
    const range = super._expand(token);
    for (const [from, to] of this.isPlain ? PLAIN : LOOSE) {
      const plain = range.clone().intersect(from, to);
      if (plain.length > 0) return plain;
    }
    return range;
  }
}
