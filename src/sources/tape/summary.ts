/**
 * What a line can say of a tape, of a whole one and of one whose end was never written.
 *
 * @module
 */

import { object } from "../../dialects/openai_chat/read_chunk.ts";
import type { Tape, TapeEnd } from "./format.ts";

/** How a whole tape can end. */
export const TAPE_ENDS = [
  "whole",
  "client_left",
  "upstream_broke",
  "timed_out",
] as const satisfies readonly TapeEnd[];

/** The facts of a tape. */
export interface TapeSummary {
  readonly id: string;
  /** When the request was sent: ISO 8601, UTC. */
  readonly when: string;
  readonly upstream: string;
  readonly method: string;
  /** With the base of the upstream's URL. */
  readonly path: string;
  /** As the request names it; "" = it names none. */
  readonly model: string;
  /** Undefined = nothing was answered. */
  readonly status: number | undefined;
  /** From the request's last byte to the end. */
  readonly durationUs: number;
  /** To the first byte of the answer's body. */
  readonly firstByteUs: number | undefined;
  readonly pieces: number;
  /** Of the answer's body. */
  readonly bytes: number;
  /** "partial": it ends before its end. */
  readonly ending: TapeEnd | "partial";
}

/** The facts of a whole tape. */
export function summaryOf(tape: Tape): TapeSummary {
  const { id, when, upstream, base, request, response, reads, ending } = tape;
  return {
    id,
    when,
    upstream,
    method: request.method,
    path: base + request.path,
    model: modelIn(new TextDecoder().decode(request.body)),
    status: response?.status,
    durationUs: ending.atUs,
    firstByteUs: reads[0]?.atUs,
    pieces: reads.length,
    bytes: reads.reduce((sum, { bytes }) => sum + bytes.length, 0),
    ending: ending.how,
  };
}

/** What can be told of a tape that ends before its end. Nothing of it is trusted. */
export function partialSummaryOf(text: string): TapeSummary {
  const lines = text.split("\n").map(valueIn);
  const withKey = (key: string) => lines.find((line) => Object.hasOwn(line, key)) ?? {};
  const word = (value: unknown) => typeof value === "string" ? value : "";
  const count = (value: unknown) => typeof value === "number" ? value : undefined;
  const head = withKey("tape");
  const request = withKey("request");
  const sent = lines.map((line) => bytesOf(line, "sent") ?? Buffer.alloc(0));
  const reads = lines.flatMap((line) => {
    const bytes = bytesOf(line, "read");
    return bytes === undefined ? [] : [{ bytes, atUs: count(line["us"]) ?? 0 }];
  });
  return {
    id: word(head["id"]),
    when: word(head["when"]),
    upstream: word(head["upstream"]),
    method: word(request["request"]),
    path: word(head["base"]) + word(request["path"]),
    model: modelIn(Buffer.concat(sent).toString()),
    status: count(withKey("response")["response"]),
    durationUs: Math.max(0, ...lines.map((line) => count(line["us"]) ?? 0)),
    firstByteUs: reads[0]?.atUs,
    pieces: reads.length,
    bytes: reads.reduce((sum, { bytes }) => sum + bytes.length, 0),
    ending: "partial",
  };
}

/** The bytes that a line of a tape holds under `key` or `key64`; undefined = it is another line. */
export function bytesOf(
  line: Readonly<Record<string, unknown>>,
  key: "sent" | "read",
): Buffer | undefined {
  const text = line[key];
  if (typeof text === "string") return Buffer.from(text);
  const base64 = line[`${key}64`];
  return typeof base64 === "string" ? Buffer.from(base64, "base64") : undefined;
}

/** The object that a line is; one that is none has nothing. */
export function valueIn(line: string): Readonly<Record<string, unknown>> {
  try {
    return object(JSON.parse(line)) ?? {};
  } catch {
    return {};
  }
}

function modelIn(body: string): string {
  const { model } = valueIn(body);
  return typeof model === "string" ? model : "";
}
