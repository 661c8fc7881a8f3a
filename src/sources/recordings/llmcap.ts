/**
 * Captures of mock-openai-api (`*.llmcap.jsonl`): one exchange a file, one JSON object a line, every
 * piece of the answer with the time at which it came.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { keptFields, pathOf, type Piece, type Recording, type Recordings } from "./recording.ts";

type Json = Readonly<Record<string, unknown>>;

/** What the first line says of itself. */
const SCHEMA = "mock-openai-api.capture";
const SCHEMA_VERSION = 1;

/** Why nothing is made of a capture that ended so; what is not here ended with its answer. */
const OUTCOMES: Readonly<Record<string, string>> = {
  aborted: "it was given up",
  client_cancelled: "its client left before the answer had ended",
  timeout: "its answer did not come in time",
  recording_error: "it could not be recorded to its end",
  capture_truncated: "it could not be recorded to its end",
};

/** The exchange in `text`, a capture that is called `file`; undefined = it is none. */
export function readCapture(text: string, file: string): Recordings | undefined {
  const lines = text.split("\n");
  if (lineOf(lines[0]!)["schema"] !== SCHEMA) return undefined;
  const read = recordingOf(lines, file);
  return typeof read === "string"
    ? { recordings: [], untaken: [{ place: file, why: read }] }
    : { recordings: [read], untaken: [] };
}

/** The exchange, or why it is none. */
function recordingOf(lines: readonly string[], place: string): Recording | string {
  const last = new Map<unknown, Json>();
  const question: Piece[] = [];
  const answer: Piece[] = [];
  for (const text of lines) {
    if (text.trim() === "") continue;
    const line = lineOf(text);
    const { kind } = line;
    last.set(kind, line);
    if (kind === "request.body_chunk") question.push(pieceOf(line));
    else if (kind === "response.body_chunk") answer.push(pieceOf(line));
  }
  const lastOf = (kind: string): Json => last.get(kind) ?? {};
  const { schemaVersion, upstreamUrl, downstreamUrl } = lastOf("capture");
  if (schemaVersion !== SCHEMA_VERSION) return `its schemaVersion is not ${SCHEMA_VERSION}`;
  const { outcome, requestBodyExact, responseBodyExact } = lastOf("capture.end");
  if (outcome === undefined) return "it has no end: it may still be written";
  const why = OUTCOMES[outcome as string];
  if (why !== undefined) return why;
  const path = pathOf(downstreamUrl ?? lastOf("upstream.request.head")["url"] ?? upstreamUrl);
  if (path === undefined) return "it does not say which URL was asked";
  const { status, rawHeaders } = lastOf("response.head");
  if (typeof status !== "number") return "nothing was answered";
  const end = lastOf("response.end");
  if (end["eofObserved"] === false) return "its answer broke off";
  // What the recorder has blacked out is not what was hashed.
  if (requestBodyExact !== false && isOther(question, lastOf("request.end")["sha256"])) {
    return "the bytes of its request are not those that were recorded";
  }
  if (responseBodyExact !== false && isOther(answer, end["sha256"])) {
    return "the bytes of its answer are not those that were recorded";
  }
  const readyUs = Number(lastOf("request.end")["atUs"]) || 0;
  const { method } = lastOf("request.head");
  return {
    place,
    method: typeof method === "string" ? method : "",
    path,
    request: joined(question),
    status,
    fields: keptFields(pairsOf(rawHeaders)),
    pieces: answer.map(({ bytes, atUs }) => ({ bytes, atUs: Math.max(0, atUs - readyUs) })),
    hasTimes: true,
  };
}

/** A line that cannot be read says nothing: a process that was killed leaves half of one. */
function lineOf(text: string): Json {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === "object" && value !== null ? value as Json : {};
  } catch {
    return {};
  }
}

/** When the upstream gave it: when the client took it is the client's doing. */
function pieceOf({ bytesBase64, upstreamObservedAtUs, atUs }: Json): Piece {
  const text = typeof bytesBase64 === "string" ? bytesBase64 : "";
  return {
    bytes: Uint8Array.from(Buffer.from(text, "base64")),
    atUs: Number(upstreamObservedAtUs ?? atUs) || 0,
  };
}

function joined(pieces: readonly Piece[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.concat(pieces.map(({ bytes }) => bytes)));
}

function isOther(pieces: readonly Piece[], sha256: unknown): boolean {
  return typeof sha256 === "string" &&
    createHash("sha256").update(joined(pieces)).digest("hex") !== sha256.toLowerCase();
}

function* pairsOf(rawHeaders: unknown): Iterable<readonly [string, string]> {
  for (const pair of Array.isArray(rawHeaders) ? rawHeaders as unknown[] : []) {
    if (Array.isArray(pair)) yield [String(pair[0]), String(pair[1])];
  }
}
