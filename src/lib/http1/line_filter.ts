/**
 * Passes lines of one head on to another, as bytes: whole runs of lines are copied, and no string is
 * made of any. What becomes of each line is remembered for the next head, since whoever sends heads
 * says the same names in the same order nearly always.
 *
 * @module
 */

import { isText } from "./bytes.ts";
import { type FieldOffsets, Fields, nameIs } from "./fields.ts";

/** What becomes of a head's lines, and what it means. */
export interface LineDecision<Meaning> {
  /** `name` is in lower case. */
  readonly passes: (name: string) => boolean;
  /** Lines that are added behind those that pass. */
  readonly added: Fields;
  readonly meaning: Meaning;
}

/** One line of the head before. */
interface Line {
  /** In lower case. */
  readonly name: string;
  readonly passes: boolean;
  /** Its value, where a decision depends on it. */
  readonly value: string | undefined;
}

/** Passes heads on, one after the other. */
export class LineFilter<Meaning> {
  readonly #decide: (fields: Fields) => LineDecision<Meaning>;
  readonly #deciding: ReadonlySet<string>;
  #lines: readonly Line[] | undefined = undefined;
  #added = Fields.NONE;
  #meaning: Meaning | undefined = undefined;
  #buffer = Buffer.allocUnsafeSlow(1024);
  /** What stands in the buffer, and the lines it was made of: a head that comes again is the same. */
  #last: { readonly of: Fields; readonly fields: Fields; readonly meaning: Meaning } | undefined;

  /**
   * `decide` may look at all names, and at the values of the fields named in `deciding` (lower case):
   * while those are the same, it is not asked again.
   */
  constructor(
    deciding: ReadonlySet<string>,
    decide: (fields: Fields) => LineDecision<Meaning>,
  ) {
    this.#deciding = deciding;
    this.#decide = decide;
  }

  /** What passes of `fields`, in bytes that the next call writes over, and what they mean. */
  of(fields: Fields): { readonly fields: Fields; readonly meaning: Meaning } {
    if (this.#last?.of === fields) return this.#last;
    if (!this.#follows(fields.bytes, fields.scan())) this.#learn(fields);
    const { bytes } = fields;
    const offsets = fields.scan();
    const lines = this.#lines!;
    const added = this.#added;
    const room = fields.to - fields.from + added.to - added.from;
    if (room > this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(2 * room);
    const buffer = this.#buffer;
    let length = 0;
    for (let i = 0; i < lines.length; i++) {
      if (!lines[i]!.passes) continue;
      const from = i;
      while (i + 1 < lines.length && lines[i + 1]!.passes) i++;
      length += bytes.copy(buffer, length, offsets.nameAt(from), offsets.lineEnd(i));
    }
    length += added.bytes.copy(buffer, length, added.from, added.to);
    this.#last = { of: fields, fields: new Fields(buffer, 0, length), meaning: this.#meaning! };
    return this.#last;
  }

  /** True when names and deciding values are those of the head before. */
  #follows(bytes: Buffer, offsets: FieldOffsets): boolean {
    const lines = this.#lines;
    if (lines === undefined || offsets.count !== lines.length) return false;
    for (let i = 0; i < lines.length; i++) {
      const { name, value } = lines[i]!;
      if (!nameIs(bytes, offsets.nameAt(i), offsets.nameEnd(i), name)) return false;
      if (value === undefined) continue;
      if (!isText(bytes, offsets.valueAt(i), offsets.valueEnd(i), value)) return false;
    }
    return true;
  }

  #learn(fields: Fields): void {
    const { passes, added, meaning } = this.#decide(fields);
    this.#lines = Array.from(fields, ([sent, value]) => {
      const name = sent.toLowerCase();
      const isDeciding = this.#deciding.has(name);
      return { name, passes: passes(name), value: isDeciding ? value : undefined };
    });
    this.#added = added;
    this.#meaning = meaning;
  }
}
