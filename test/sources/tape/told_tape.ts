/**
 * Small tapes of our own making.
 *
 * @module
 */

import type { Tape, TapeRead } from "../../../src/sources/tape/format.ts";
import { question, stream } from "../recordings/cassettes.ts";

/** The id of the tape number `number`. */
export function toldId(number: number): string {
  return `01J${String(number).padStart(23, "0")}`;
}

/** Reads of texts or bytes: [milliseconds after the request, what came]. */
export function readsOf(
  pieces: readonly (readonly [ms: number, what: string | Uint8Array])[],
): readonly TapeRead[] {
  return pieces.map(([ms, what]) => ({
    bytes: Uint8Array.from(Buffer.from(what)),
    atUs: ms * 1000,
  }));
}

/** A tape of chat that says 你好 🌊 in pieces that cut characters, with `more` in place of its parts. */
export function toldTape(number: number, more: Partial<Tape> = {}): Tape {
  const answer = Buffer.from(stream("你好 ", "🌊"));
  const cut = answer.indexOf("🌊") + 2;
  const reads = readsOf([[312.4, answer.subarray(0, cut)], [330.1, answer.subarray(cut)]]);
  const asked = JSON.stringify(question(`Hi ${number}`, { stream: true }));
  return {
    id: toldId(number),
    when: "2026-11-28T17:43:50.123Z",
    weir: "2.0.0",
    upstream: "llm",
    host: "api.example.com:443",
    base: "/v1",
    dialect: "openai_chat",
    request: {
      method: "POST",
      path: "/chat/completions",
      fields: [
        ["host", "api.example.com"],
        ["authorization", `Bearer ${"*".repeat(20)}`],
        ["content-type", "application/json"],
      ],
      body: Uint8Array.from(Buffer.from(asked)),
    },
    response: {
      status: 200,
      reason: "OK",
      atUs: 312_000,
      fields: [["content-type", "text/event-stream"], ["set-cookie", "*".repeat(12)]],
      isUntilClose: false,
    },
    reads,
    redactions: [
      { where: "request.field", name: "authorization", index: 0, at: 7, bytes: 20, by: "name" },
      { where: "response.field", name: "set-cookie", index: 0, at: 0, bytes: 12, by: "name" },
    ],
    ending: { how: "whole", atUs: 331_000, error: "" },
    ...more,
  };
}
