/**
 * Which of many texts may stand in another one: all of them are looked for in one pass (Aho and
 * Corasick, 1975), so that a thousand cost what one costs.
 *
 * It finds what may be there, and whoever asks looks again: a long needle is looked for by its
 * beginning, upper and lower case of a-z count as the same, and characters share classes when there
 * are more than 127 of them. So the table is small: 256 bytes for each state, 8 MiB at the most.
 *
 *   state ──class of the next character──▶ state         one look-up for each character of the text
 *
 * @module
 */

/** Classes of characters. 0 = stands in no needle. */
const CLASSES = 128;
const CLASS_BITS = 7;
/** States are numbers of 16 bits, and 0 is the root. */
const STATES_MAX = 32_768;
/** Of a longer needle the beginning is looked for, in UTF-16 units. */
const NEEDLE_CHARS_MAX = 32;
const NONE = -1;

/** Needles, ready to be found. */
export class Needles {
  /** By UTF-16 unit. */
  readonly #classes = new Uint8Array(65_536);
  /** state << CLASS_BITS | class → state. */
  readonly #next: Uint16Array;
  /** By state: the first of its list in `#lists`, or `NONE`. */
  readonly #ends: Int32Array;
  /** By state: the longest of its ends, itself aside, that is the end of a needle, or 0. */
  readonly #shorter: Uint16Array;
  /** By state: the numbers of the needles that end there. */
  readonly #lists: number[][] = [];

  /** `needles`: each with a number; an empty one stands in every text, and is not taken. */
  constructor(needles: Iterable<readonly [text: string, number: number]>) {
    const all = [...needles].filter(([text]) => text !== "");
    this.#classify(all.map(([text]) => text));
    const { next, ends, depths } = this.#trie(all);
    this.#next = next;
    this.#ends = ends;
    this.#shorter = this.#link(depths);
  }

  /** Calls `found` with the number of each needle that may stand in `text`, often more than once. */
  find(text: string, found: (number: number) => void): void {
    const classes = this.#classes;
    const next = this.#next;
    const ends = this.#ends;
    const shorter = this.#shorter;
    let state = 0;
    for (let i = 0; i < text.length; i++) {
      state = next[state << CLASS_BITS | classes[text.charCodeAt(i)]!]!;
      if (state === 0) continue;
      let end = ends[state]! === NONE ? shorter[state]! : state;
      for (; end !== 0; end = shorter[end]!) {
        for (const number of this.#lists[ends[end]!]!) found(number);
      }
    }
  }

  /** Gives a class to each character of `texts`; the first 127 have one of their own. */
  #classify(texts: readonly string[]): void {
    const classes = this.#classes;
    let count = 0;
    for (const text of texts) {
      for (let i = 0; i < Math.min(text.length, NEEDLE_CHARS_MAX); i++) {
        for (const unit of casesOf(text.charCodeAt(i))) {
          if (classes[unit] !== 0) continue;
          const [first] = casesOf(unit);
          classes[unit] = classes[first!] || 1 + count++ % (CLASSES - 1);
        }
      }
    }
  }

  /**
   * The needles as a tree, level by level: where the table is full, the needles end. `depths`: the
   * states of each level.
   */
  #trie(needles: readonly (readonly [text: string, number: number])[]) {
    const roomy = Math.min(STATES_MAX, 1 + needles.length * NEEDLE_CHARS_MAX);
    const next = new Uint16Array(roomy << CLASS_BITS);
    const at = new Uint16Array(needles.length);
    const depths: number[][] = [];
    let count = 1;
    for (let depth = 0; depth < NEEDLE_CHARS_MAX; depth++) {
      const before = count;
      const level: number[] = [];
      const isFull = needles.some(([text], i) => {
        if (text.length <= depth) return false;
        const edge = at[i]! << CLASS_BITS | this.#classes[text.charCodeAt(depth)]!;
        if (next[edge] === 0) {
          if (count === roomy) return true;
          next[edge] = count;
          level.push(count++);
        }
        return false;
      });
      if (isFull) {
        // Half a level would let some needles be missed: it is taken back.
        for (let edge = 0; edge < next.length; edge++) if (next[edge]! >= before) next[edge] = 0;
        count = before;
        break;
      }
      if (level.length === 0) break;
      depths.push(level);
      for (const [i, [text]] of needles.entries()) {
        if (text.length <= depth) continue;
        at[i] = next[at[i]! << CLASS_BITS | this.#classes[text.charCodeAt(depth)]!]!;
      }
    }
    const ends = new Int32Array(count).fill(NONE);
    for (const [i, [, number]] of needles.entries()) {
      const state = at[i]!;
      if (ends[state] === NONE) ends[state] = this.#lists.push([]) - 1;
      this.#lists[ends[state]!]!.push(number);
    }
    return { next: next.slice(0, count << CLASS_BITS), ends, depths };
  }

  /** Completes the table: where the tree has no edge, the longest end of what was read goes on. */
  #link(depths: readonly (readonly number[])[]): Uint16Array {
    const next = this.#next;
    const fails = new Uint16Array(this.#ends.length);
    const shorter = new Uint16Array(this.#ends.length);
    for (const level of [[0], ...depths]) {
      for (const state of level) {
        const fail = fails[state]!;
        shorter[state] = this.#ends[fail]! === NONE ? shorter[fail]! : fail;
        for (let edge = 0; edge < CLASSES; edge++) {
          const child = next[state << CLASS_BITS | edge]!;
          const instead = state === 0 ? 0 : next[fail << CLASS_BITS | edge]!;
          if (child === 0) next[state << CLASS_BITS | edge] = instead;
          else fails[child] = instead;
        }
      }
    }
    return shorter;
  }
}

/** `unit` in both cases where it is a letter of ASCII, with what Unicode folds into k and s. */
function casesOf(unit: number): readonly number[] {
  const lower = FOLDS.get(unit) ?? (unit >= 65 && unit <= 90 ? unit + 32 : unit);
  if (lower < 97 || lower > 122) return [lower];
  const folded = lower === 107 ? [0x212a] : lower === 115 ? [0x017f] : [];
  return [lower, lower - 32, ...folded];
}

const FOLDS: ReadonlyMap<number, number> = new Map([[0x212a, 107], [0x017f, 115]]);
