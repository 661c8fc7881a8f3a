/**
 * The traces of `--trace`: files that are read as far as the run needs them.
 *
 * @module
 */

import { closeSync, openSync, readSync } from "node:fs";
import { inOrder, inSessions, readTrace, type TraceRequest } from "../load/traces/trace.ts";
import { textIn } from "../load/requests/bodies.ts";
import type { FlagValues } from "./flags.ts";
import type { LOAD_FLAGS } from "./load_flags.ts";
import { warmupOf } from "./load_values.ts";
import { fileFailure } from "./settings.ts";
import { EXIT, Failure } from "./terminal.ts";

/** The flags that say which, and how much of them is needed. */
type Flags = Pick<
  FlagValues<typeof LOAD_FLAGS>,
  "trace" | "requests" | "duration" | "warmup" | "speed"
>;

/** Prompts are made before the first is sent: some 500 MB. */
const TOKENS_MAX = 100_000_000;
/** Requests of a trace at most; each takes some hundred bytes before it has a prompt. */
const REQUESTS_MAX = 2_000_000;
/** Characters of a token, of prompts that are there already. */
const TOKEN_CHARS = 4;
const PIECE_BYTES = 1024 * 1024;

/**
 * The requests of all traces in the order of their times, conversations as one. Of each file the first
 * `--requests` are read besides those that warm up, and none that is due after `--duration`.
 *
 * @throws {Failure} when one cannot be read, or is no trace, or has more than can be held.
 */
export function readTraces(
  { trace, requests = Infinity, duration = Infinity, warmup, speed }: Flags,
): readonly TraceRequest[] {
  const all: TraceRequest[][] = [];
  const { ms: warmupMs, requests: warmupRequests } = warmupOf(warmup);
  const warmsUp = (atMs: number) => warmupMs > 0 && atMs <= warmupMs * speed;
  const countMax = requests + warmupRequests;
  const untilMs = (duration + warmupMs) * speed;
  let tokens = 0;
  let count = 0;
  for (const path of trace) {
    const own: TraceRequest[] = [];
    all.push(own);
    let read = 0;
    let firstMs: number | undefined;
    try {
      for (const request of readTrace(piecesOf(path))) {
        const { atMs, promptTokens, text, body, messages } = request;
        firstMs ??= atMs;
        if (atMs !== undefined && atMs - firstMs! > untilMs) break;
        own.push(request);
        tokens += promptTokens ?? (text ?? body ?? textsIn(messages)).length / TOKEN_CHARS;
        if (tokens > TOKENS_MAX || ++count > REQUESTS_MAX) throw tooMuch(path, own.length);
        const isWarm = atMs !== undefined && warmsUp(atMs - firstMs!);
        if (!isWarm && ++read === countMax) break;
      }
    } catch (error) {
      throw wrongTrace(error, path);
    }
  }
  try {
    const ordered = inOrder(all.map(inSessions));
    const counted = ordered.findIndex(({ atMs = Infinity }) => !warmsUp(atMs));
    return counted < 0 ? ordered : ordered.slice(0, counted + countMax);
  } catch (error) {
    throw wrongTrace(error, trace.join(" "));
  }
}

function textsIn(messages: TraceRequest["messages"]): string {
  return messages?.map(textIn).join("") ?? "";
}

function wrongTrace(error: unknown, path: string): unknown {
  if (!(error instanceof TypeError || error instanceof SyntaxError)) return error;
  return new Failure(`Cannot read --trace ${path}: ${error.message}`, EXIT.usage);
}

function tooMuch(path: string, count: number): Failure {
  return new Failure(
    `Cannot hold all of --trace ${path}: its first ${count - 1} requests have ` +
      `${TOKENS_MAX / 1e6} million tokens, or are too many; use --requests or --duration`,
    EXIT.usage,
  );
}

/** @throws {Failure} when it cannot be read. */
function* piecesOf(path: string): Generator<string, void, void> {
  let file: number | undefined;
  const decoder = new TextDecoder();
  const bytes = new Uint8Array(PIECE_BYTES);
  try {
    file = openSync(path, "r");
    for (;;) {
      const length = readSync(file, bytes, 0, PIECE_BYTES, null);
      if (length === 0) break;
      yield decoder.decode(bytes.subarray(0, length), { stream: true });
    }
    yield decoder.decode();
  } catch (error) {
    if (error instanceof TypeError || error instanceof SyntaxError) throw error;
    throw fileFailure(error, `Cannot read --trace ${path}`, EXIT.usage);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
