/**
 * What watchers see of a request and of a call to an upstream: logs, metrics and traces read it.
 *
 * @module
 */

import type { TraceContext } from "../lib/trace_context.ts";
import type { AppError, ErrorCode } from "./errors.ts";
import type { Key } from "./keys.ts";
import type { FaultName } from "./fault_plan.ts";

/** How an exchange ended. */
export type Outcome =
  /** The whole answer left. */
  | "completed"
  /** An error answer left: bad input, no upstream. */
  | "refused"
  /** The client closed the connection first. */
  | "client_left"
  /** The upstream broke off, or never answered; or a workflow failed. */
  | "upstream_failed"
  /** A time limit ended it, or the limit of what clients leave unread. */
  | "timed_out"
  /** The server stopped before the answer was whole. */
  | "shut_down"
  /** A bug. */
  | "failed";

/** Who asks. */
export interface Client {
  /** "" = unknown. */
  readonly address: string;
  /** True when its open requests are counted, this one with them. */
  isCounted: boolean;
}

/** What is known of whoever wants an answer, an HTTP request or a workflow's job. */
export interface CallFacts {
  /** The URL's name in logs and metrics: "v1_chat_completions". */
  readonly surface: string;
  /** What answers: "mock", "proxy"; "" = weir itself. */
  readonly source: string;
  /** The name of the route that was taken; "" = none, or it has no name. */
  readonly route: string;
  /** The name of the upstream that was asked last, or mock; "" = no route has decided. */
  readonly target: string;
  readonly model: string;
  /** The name of the token or key that the client showed; "" = it has none. */
  readonly tokenName: string;
  /** That key; undefined = none was shown, or none is asked for. */
  readonly key: Key | undefined;
  /** True when the answer is a stream of events. */
  readonly isStream: boolean;
  /** Where it stands in a trace; undefined = nobody traces. */
  readonly trace: TraceContext | undefined;
  /** When it began, on the wheel's clock, in milliseconds. */
  readonly startMs: number;
}

/** What a latency profile has drawn for one answer, and how it came out. Milliseconds; -1 = not yet. */
export interface DrawnFacts {
  /** To the first token, without what load and a queue add. */
  readonly firstTokenMs: number;
  /**
   * From the first token to the first event, without what load adds: the time of thoughts that nobody
   * sees. 0 = the first event leaves with the first token.
   */
  readonly hiddenMs: number;
  /** The speed of the whole request, without load and pauses. */
  readonly tokensPerS: number;
  readonly isSlow: boolean;
  /** How much slower load makes it: 1 = not at all. */
  readonly loadFactor: number;
  /** From the request until its prompt was begun with. */
  readonly queueMs: number;
  /** Tokens of the prompt that the prompt cache had. */
  readonly cachedTokens: number;
  /** Tokens that are made behind the first event, those of reasoning with them. */
  readonly laterTokens: number;
  /** To when the first event of a stream left. */
  readonly deliveredFirstMs: number;
}

/** What a cache did for one answer. */
export type CacheResult =
  /** The answer was kept. */
  | "hit"
  /** Somebody else was asked for it. */
  | "miss"
  /** Somebody else was being asked for it already. */
  | "joined"
  /** Nothing: it is for this one alone. */
  | "bypass";

/** The same, and how old the answer was, in seconds; -1 = it is new. */
export interface CacheFacts {
  readonly result: CacheResult;
  readonly ageS: number;
}

/** One request and its answer. Milliseconds; -1 = not yet, or not known. */
export interface ExchangeFacts extends CallFacts {
  readonly method: string;
  /** Of a request that no surface takes: its path without the query, as the client wrote it; else "". */
  readonly path: string;
  /** Looked up only where the log or a limit needs it: that costs 1 to 2 µs. */
  readonly client: Client | undefined;
  /** The id the answer carries in `x-request-id`; "" where the dialect has none. */
  readonly requestId: string;
  readonly status: number;
  /** From the start to the first byte of the answer's body. */
  readonly firstByteMs: number;
  readonly durationMs: number;
  readonly bodyBytes: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** How many of the prompt's came out of a cache. */
  readonly cachedTokens: number;
  /** How many of the completion's were spent on reasoning. */
  readonly reasoningTokens: number;
  /** True when weir has counted them itself, as nobody has told them, or not all of the answer was said. */
  readonly tokensAreEstimated: boolean;
  /** What they cost, in billionths of a US dollar. */
  readonly costNanos: number;
  /** undefined = it has not ended. */
  readonly outcome: Outcome | undefined;
  /** The error that ended it; undefined = none. Its sentence may repeat what the client sent. */
  readonly error: AppError | undefined;
  /** What the client asked, shortened; "" unless `ops.log_prompts` wants it. */
  readonly promptText: string;
  /** The id of the fixture that has answered; "" = none. */
  readonly fixture: string;
  /** undefined = no latency profile had a part in it. */
  readonly drawn: DrawnFacts | undefined;
  /** What went wrong with it on purpose, in order; undefined = nothing was to. One that happens behind its end is added then. */
  readonly faultsMet: readonly FaultName[] | undefined;
  /** The id of the tape that has answered; "" = none. */
  readonly tape: string;
  /** undefined = there is no cache in front of whoever answers. */
  readonly cache: CacheFacts | undefined;
  /** The last call to an upstream that was made for it. */
  readonly upstream: UpstreamFacts | undefined;
}

/** One call to an upstream, all its tries together. Milliseconds; -1 = not reached, or not seen. */
export interface UpstreamFacts {
  readonly exchange: CallFacts;
  /** Host and port of the upstream. */
  readonly host: string;
  /** What the upstream is asked with. */
  readonly method: string;
  readonly startMs: number;
  /** Tries so far. */
  readonly attempts: number;
  /** The span of this call: what the upstream takes for its parent; "" = nobody traces. */
  readonly spanId: string;
  /** From the last try's start to its response's head: a new connection's making is part of it. */
  readonly headersMs: number;
  /** From the last try's start to the first chunk of its body. */
  readonly firstChunkMs: number;
  /** From the first try's start to the end of the body, or to the failure. */
  readonly durationMs: number;
  /** The last status the upstream answered with; 0 = none. */
  readonly status: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly errorCode: ErrorCode | undefined;
}
