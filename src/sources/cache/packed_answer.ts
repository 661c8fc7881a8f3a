/**
 * Kept answers as bytes, for a store that several weirs share:
 *
 *   "weir answer 1\n"  length of the facts, 4 bytes  facts, JSON  pad to 8  atUs  ends  body
 *
 * with numbers as this machine has them, the lowest byte first. What is read there was written by others,
 * perhaps by another version: whatever is odd is no answer.
 *
 * @module
 */

import type { DialectName } from "../../core/answer.ts";
import { Fields } from "../../lib/http1/fields.ts";
import { type AnswerFacts, ID_NAMES, sharedFields, type Varying } from "./stored_answer.ts";

const MAGIC = Buffer.from("weir answer 1\n");
const LENGTH_BYTES = 4;
const ALIGNED_BYTES = 8;
/** Of one piece: when it came, and where it ends. */
const PIECE_BYTES = 12;

/** What is written as JSON. */
interface PackedFacts {
  readonly dialect: DialectName;
  readonly model?: string | undefined;
  readonly fields: readonly (readonly [string, string])[];
  readonly idName: AnswerFacts["idName"];
  readonly varying: Varying;
  readonly wholeAtMs: number;
  readonly ageS: number;
  readonly ttlMs: number;
  readonly pieces: number;
}

/** `facts` as bytes. */
export function packAnswer(facts: AnswerFacts): Uint8Array {
  const { dialect, model, fields, idName, varying, wholeAtMs, ageS, ttlMs } = facts;
  const { ends, atUs, bytes } = facts;
  const packed: PackedFacts = {
    ...{ dialect, model, idName, varying, wholeAtMs, ageS, ttlMs },
    fields: [...fields],
    pieces: ends.length,
  };
  const json = Buffer.from(JSON.stringify(packed));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(json.length);
  const headBytes = MAGIC.length + LENGTH_BYTES + json.length;
  return Buffer.concat([
    ...[MAGIC, length, json, Buffer.alloc(aligned(headBytes) - headBytes)],
    ...[bytesOf(atUs), bytesOf(ends), bytes],
  ]);
}

/** The answer in `bytes`; undefined = there is none that can be read. */
export function unpackAnswer(bytes: Uint8Array, dialect: DialectName): AnswerFacts | undefined {
  try {
    const all = Buffer.from(bytes); // aligned, and its own
    if (!all.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
    const jsonAt = MAGIC.length + LENGTH_BYTES;
    const jsonEnd = jsonAt + all.readUInt32LE(MAGIC.length);
    const facts: PackedFacts = JSON.parse(all.toString("utf8", jsonAt, jsonEnd));
    const { pieces, model, fields, idName, varying, wholeAtMs, ageS, ttlMs } = facts;
    const numbersAt = aligned(jsonEnd);
    const bodyAt = numbersAt + pieces * PIECE_BYTES;
    if (facts.dialect !== dialect || !(pieces >= 0) || bodyAt > all.length) return undefined;
    if (![wholeAtMs, ageS, ttlMs].every(Number.isFinite)) return undefined;
    if (!ID_NAMES.includes(idName) || !isVarying(varying)) return undefined;
    const numbers = all.buffer.slice(all.byteOffset + numbersAt, all.byteOffset + bodyAt);
    const atUs = new Float64Array(numbers, 0, pieces);
    const ends = new Uint32Array(numbers, pieces * 8, pieces);
    const body = Buffer.from(all.subarray(bodyAt));
    if (!isAscending(ends, body.length) || !isAscending(atUs, Infinity)) return undefined;
    if (model !== undefined && !(typeof model === "string" && isSteps(body, pieces))) {
      return undefined;
    }
    return {
      ...{ dialect, model, idName, varying, wholeAtMs, ageS, ttlMs, atUs, ends },
      fields: sharedFields(Fields.of(fields)),
      bytes: body,
    };
  } catch {
    return undefined;
  }
}

function isVarying(value: unknown): value is Varying {
  return Array.isArray(value) &&
    value.every((pair) =>
      Array.isArray(pair) && typeof pair[0] === "string" &&
      (pair[1] === null || typeof pair[1] === "string")
    );
}

/** True when `body` is a list of so many lists of steps. */
function isSteps(body: Buffer, count: number): boolean {
  const batches: unknown = JSON.parse(body.toString());
  return Array.isArray(batches) && batches.length === count &&
    batches.every((steps) =>
      Array.isArray(steps) && steps.every((step) => typeof step?.kind === "string")
    );
}

/** True when `numbers` never decrease, and end at `last`; Infinity = anywhere. */
function isAscending(numbers: Uint32Array | Float64Array, last: number): boolean {
  let before = 0;
  for (const number of numbers) {
    if (!(number >= before)) return false;
    before = number;
  }
  return last === Infinity || before === last;
}

function aligned(length: number): number {
  return Math.ceil(length / ALIGNED_BYTES) * ALIGNED_BYTES;
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint32Array | Float64Array): Uint8Array {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}
