/**
 * Small cassettes and captures of our own making, as their recorders write them.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** One exchange. */
export interface Told {
  readonly path?: string;
  /** The body of the request, as JSON. */
  readonly asked: unknown;
  /** JSON, or the text of a stream. */
  readonly answered: unknown;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A question in the words of chat. */
export function question(content: string, more: Readonly<Record<string, unknown>> = {}) {
  return { model: "gpt-4o", messages: [{ role: "user", content }], ...more };
}

/** An answer in the words of chat. */
export function answer(content: string) {
  const message = { role: "assistant", content };
  return {
    object: "chat.completion",
    model: "gpt-4o",
    choices: [{ index: 0, message, finish_reason: "stop" }],
  };
}

/** A stream of chat that says `pieces`. */
export function stream(...pieces: readonly string[]): string {
  const chunks = [
    ...pieces.map((content) => ({ index: 0, delta: { content }, finish_reason: null })),
    { index: 0, delta: {}, finish_reason: "stop" },
  ];
  const events = chunks.map((choice) => JSON.stringify({ model: "gpt-4o", choices: [choice] }));
  return [...events, "[DONE]"].map((data) => `data: ${data}\n\n`).join("");
}

function bodyOf({ answered }: Told): string {
  return typeof answered === "string" ? answered : JSON.stringify(answered);
}

/** What vcrpy's JSON serializer writes. */
export function cassette(...told: readonly Told[]): string {
  const interactions = told.map((one) => ({
    request: {
      method: "POST",
      uri: `https://api.example.com${one.path ?? "/v1/chat/completions"}?api-version=1`,
      body: JSON.stringify(one.asked),
      headers: { authorization: ["Bearer sk-told"], cookie: ["sid=told"] },
    },
    response: {
      status: { code: one.status ?? 200, message: "OK" },
      headers: { "set-cookie": ["sid=told"], ...one.headers },
      body: { string: bodyOf(one) },
    },
  }));
  return JSON.stringify({ version: 1, interactions });
}

/** A capture whose answer comes in `pieces`: [milliseconds after the request's end, text]. */
export function capture(
  asked: unknown,
  pieces: readonly (readonly [ms: number, text: string])[],
  ends: Readonly<Record<string, unknown>> = {},
): string {
  const body = JSON.stringify(asked);
  const answered = pieces.map(([, text]) => text).join("");
  const headers = [["content-type", "text/event-stream"], ["Set-Cookie", "sid=told"]];
  const lines = [
    {
      kind: "capture",
      schema: "mock-openai-api.capture",
      schemaVersion: 1,
      id: "cap_1",
      protocol: "openai-chat",
      downstreamUrl: "http://127.0.0.1:3000/v1/chat/completions",
    },
    { kind: "request.head", atUs: 0, method: "POST", rawHeaders: [["Authorization", "sk-told"]] },
    { kind: "request.body_chunk", seq: 0, atUs: 100, byteOffset: 0, bytesBase64: btoa(body) },
    { kind: "request.end", atUs: 500, sha256: sha256(body) },
    { kind: "response.head", atUs: 900, status: 200, rawHeaders: headers },
    ...pieces.map(([ms, text], seq) => ({
      kind: "response.body_chunk",
      seq,
      upstreamObservedAtUs: 500 + ms * 1000,
      atUs: 700 + ms * 1000,
      bytesBase64: Buffer.from(text).toString("base64"),
    })),
    { kind: "response.end", atUs: 999_999, sha256: sha256(answered), eofObserved: true },
    { kind: "capture.end", atUs: 999_999, outcome: "complete", ...ends },
  ];
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
