/**
 * `bun run encoding`: lays the table of o200k_base, `src/sources/o200k_base.bin`, out of the ranks
 * that the gpt-tokenizer of package.json has. The same ranks give the same bytes.
 *
 * @module
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import ranks from "gpt-tokenizer/bpeRanks/o200k_base";
import { LENGTH_BITS, SLOT_COUNT, slotOf } from "../src/sources/byte_pairs.ts";

const FILE = join(import.meta.dir, "..", "src", "sources", "o200k_base.bin");

/** The table that `BytePairs` reads. */
export function layTable(): Uint8Array {
  const tokens = ranks.map((token) => Buffer.from(token as string)); // or numbers, one per byte
  const bytes = Buffer.concat(tokens);
  const slots = new Uint32Array(SLOT_COUNT);
  let offset = 0;
  for (const { length } of tokens) {
    let at = slotOf(bytes, offset, offset + length);
    while (slots[at] !== 0) at = (at + 1) % SLOT_COUNT;
    slots[at] = (offset << LENGTH_BITS) | length;
    offset += length;
  }
  return Buffer.concat([new Uint8Array(slots.buffer), bytes]);
}

if (import.meta.main) writeFileSync(FILE, layTable());
