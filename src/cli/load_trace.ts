/**
 * The traces of `--trace`: files that are read as far as the run needs them.
 *
 * @module
 */

import { closeSync, openSync, readSync } from "node:fs";
import {
  askedIn,
  inOrder,
  inSessions,
  readTrace,
  type TraceRequest,
  type Unaskable,
} from "../load/traces/trace.ts";
import { type Api, textIn } from "../load/requests/bodies.ts";
import { counted } from "../lib/counted.ts";
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
/** So many lines in a row that are due too late, and no more of a file is read. */
const LATE_LINES = 100_000;
const PIECE_BYTES = 1024 * 1024;

/** What is asked of traces. */
export interface ReadTraces {
  readonly requests: readonly TraceRequest[];
  /** How many cannot be asked, and why, in a sentence. */
  readonly leftOut: string | undefined;
}

/**
 * The requests of all traces in the order of their times, conversations as one, as they can be asked in
 * `api`. Of each file the first `--requests` are read besides those that warm up, and none that begins
 * after `--duration` behind them, whatever the order of its lines.
 *
 * @throws {Failure} when one cannot be read, or is no trace, or has more than can be held, or nothing that
 * can be asked.
 */
export function readTraces(
  { trace, requests = Infinity, duration = Infinity, warmup, speed }: Flags,
  api: Api,
): ReadTraces {
  const all: (readonly TraceRequest[])[] = [];
  const unasked: Record<Unaskable, number> = { "another API": 0, "nothing known": 0 };
  const { ms: warmupMs, requests: warmupRequests } = warmupOf(warmup);
  const warmsUp = (atMs: number) => warmupMs > 0 && atMs <= warmupMs * speed;
  const countMax = requests + warmupRequests;
  let tokens = 0;
  let count = 0;
  for (const path of trace) {
    const own: TraceRequest[] = [];
    /** Of each conversation: whether it begins in time. */
    const sessions = new Map<string, boolean>();
    let read = 0;
    let late = 0;
    // Of what begins there: the earliest line need not be the first.
    let firstMs = Infinity;
    /** The first that begin in it warm up, and the latest of these at the latest ends that. */
    let begun = 0;
    let warmMs = -Infinity;
    const untilMs = () => {
      if (begun < warmupRequests) return Infinity;
      return Math.max(warmMs, firstMs + warmupMs * speed) + duration * speed;
    };
    const isLate = ({ atMs }: TraceRequest) => atMs !== undefined && atMs > untilMs();
    try {
      for (const line of readTrace(piecesOf(path))) {
        const request = askedIn(api, line);
        if (typeof request === "string") {
          unasked[request]++;
          continue;
        }
        const { atMs, promptTokens, text, body, messages, session } = request;
        const hasBegun = session === undefined ? undefined : sessions.get(session);
        if (hasBegun === undefined && atMs !== undefined) {
          firstMs = Math.min(firstMs, atMs);
          if (begun++ < warmupRequests) warmMs = Math.max(warmMs, atMs);
        }
        const isOver = isLate(request);
        const isIn = hasBegun ?? !isOver;
        if (session !== undefined) sessions.set(session, isIn);
        late = isOver || !isIn ? late + 1 : 0;
        if (late === LATE_LINES) break;
        if (sessions.size > REQUESTS_MAX) throw tooMuch(path, own.length);
        if (!isIn) continue;
        own.push(request);
        tokens += promptTokens ?? (text ?? body ?? textsIn(messages)).length / TOKEN_CHARS;
        if (tokens > TOKENS_MAX || ++count > REQUESTS_MAX) throw tooMuch(path, own.length);
        const isWarm = atMs !== undefined && warmsUp(atMs - firstMs);
        if (!isWarm && ++read === countMax) break;
      }
    } catch (error) {
      throw wrongTrace(error, path);
    }
    all.push(inSessions(own).filter((one) => !isLate(one)));
  }
  const leftOut = leftOutText(unasked, api);
  if (all.every(({ length }) => length === 0)) {
    throw new Failure(
      `Nothing of --trace ${trace.join(" ")} can be asked: it has ${leftOut}`,
      EXIT.usage,
    );
  }
  try {
    const ordered = inOrder(all);
    const first = ordered.findIndex(({ atMs = Infinity }) => !warmsUp(atMs));
    return {
      requests: first < 0 ? ordered : ordered.slice(0, first + countMax),
      leftOut: leftOut && `Left out of --trace: ${leftOut}.`,
    };
  } catch (error) {
    throw wrongTrace(error, trace.join(" "));
  }
}

/** What is said of those that cannot be asked. */
const UNASKED: Readonly<Record<Unaskable, (api: Api) => string>> = {
  "another API": (api) => `of another API than ${api}, without a length`,
  "nothing known": () => "of which neither body nor length is known",
};

function leftOutText(unasked: Readonly<Record<Unaskable, number>>, api: Api): string | undefined {
  const told = (Object.keys(UNASKED) as Unaskable[]).filter((why) => unasked[why] > 0)
    .map((why) => `${counted(unasked[why], "request")} ${UNASKED[why](api)}`);
  return told.length === 0 ? undefined : told.join(", and ");
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
