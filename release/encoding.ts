/**
 * `bun run encoding`: lays the tables of the encodings, `src/sources/*.bin`, out of the ranks that
 * the gpt-tokenizer of package.json has. The same ranks give the same bytes.
 *
 * @module
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import cl100k from "gpt-tokenizer/bpeRanks/cl100k_base";
import o200k from "gpt-tokenizer/bpeRanks/o200k_base";
import { type EncodingName, ENCODINGS, LENGTH_BITS, slotOf } from "../src/sources/byte_pairs.ts";

const FOLDER = join(import.meta.dir, "..", "src", "sources");
const RANKS = { cl100k_base: cl100k, o200k_base: o200k } as const;

/** The table that `BytePairs` reads. */
export function layTable(name: EncodingName): Uint8Array {
  const { slotCount } = ENCODINGS[name];
  const tokens = RANKS[name].map((token) => Buffer.from(token as string)); // or numbers, one per byte
  const bytes = Buffer.concat(tokens);
  const slots = new Uint32Array(slotCount);
  let offset = 0;
  for (const { length } of tokens) {
    let at = slotOf(bytes, offset, offset + length, slotCount);
    while (slots[at] !== 0) at = (at + 1) % slotCount;
    slots[at] = (offset << LENGTH_BITS) | length;
    offset += length;
  }
  return Buffer.concat([new Uint8Array(slots.buffer), bytes]);
}

if (import.meta.main) {
  for (const name of Object.keys(ENCODINGS) as EncodingName[]) {
    writeFileSync(join(FOLDER, `${name}.bin`), layTable(name));
  }
}
