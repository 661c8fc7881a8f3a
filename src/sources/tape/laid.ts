/**
 * A tape that is ready to be played: its body in one piece, and where each read of it ends and when
 * it is due. Laid once, shared by all answers.
 *
 * @module
 */

import type { DialectName, Usage } from "../../core/answer.ts";
import { Fields } from "../../lib/http1/fields.ts";
import { UsageTail } from "../upstream/usage_tail.ts";
import { bodyOfTape, type Tape, type TapeEnding } from "./format.ts";
import { FreshIds } from "./fresh_ids.ts";

/** What of a tape's answer is played. */
export interface LaidTape {
  readonly id: string;
  readonly dialect: DialectName;
  /** Of the upstream, as a URL: "http://api.openai.com:443/v1". */
  readonly url: string;
  /** -1 = there was no head. */
  readonly status: number;
  readonly fields: Fields;
  /** How its body is encoded; "" = it is not. */
  readonly encoding: string;
  readonly isUntilClose: boolean;
  readonly headUs: number;
  /** The whole body. Only `fresh` changes it: whoever writes it copies it at once. */
  readonly bytes: Buffer<ArrayBuffer>;
  /** `ends[i]`: the offset behind read i. */
  readonly ends: Uint32Array;
  /** When read i was here, in microseconds since the request's last byte. */
  readonly atUs: Float64Array;
  readonly ending: TapeEnding;
  readonly usage: Usage | undefined;
  /** undefined = nothing is renewed in it. */
  readonly fresh: FreshIds | undefined;
}

/** Lays `tape`. `isFresh`: its ids and times are renewed. */
export function layTape(tape: Tape, isFresh: boolean): LaidTape {
  const { id, dialect, host, base, response, reads, ending } = tape;
  const bytes = Buffer.from(bodyOfTape(tape));
  const ends = new Uint32Array(reads.length);
  let end = 0;
  for (const [i, { bytes }] of reads.entries()) ends[i] = end += bytes.length;
  const fields = Fields.of(response?.fields ?? []);
  const coding = (fields.get("content-encoding") ?? "").trim().toLowerCase();
  const encoding = coding === "identity" ? "" : coding;
  const isPlain = encoding === "";
  const tail = new UsageTail(dialect);
  if (isPlain) tail.feed(bytes);
  return {
    id,
    dialect,
    url: `http://${host}${base}`,
    status: response?.status ?? -1,
    fields,
    encoding,
    isUntilClose: response?.isUntilClose ?? false,
    headUs: response?.atUs ?? ending.atUs,
    bytes,
    ends,
    atUs: Float64Array.from(reads, ({ atUs }) => atUs),
    ending,
    usage: tail.read(),
    fresh: isFresh && isPlain ? FreshIds.in(bytes, dialect) : undefined,
  };
}

/** What a laid tape takes in memory, about. */
export function laidBytes({ bytes, ends, fields }: LaidTape): number {
  return bytes.length + ends.length * 12 + (fields.to - fields.from) + 1024;
}
