/**
 * One request and its answer, from the first byte in to the last byte out: what logs, metrics and
 * shutdown know of it.
 *
 * @module
 */

import { Abort, type AbortLike } from "../lib/abort.ts";
import type { Fields } from "../lib/http1/fields.ts";
import type { RequestHead } from "../lib/http1/request_head.ts";
import type { CutReason } from "../lib/http1/server_exchange.ts";
import type { TraceContext } from "../lib/trace_context.ts";
import type { Wheel } from "../lib/wheel.ts";
import { AppError, asAppError, clientLeft, LIMITS } from "./errors.ts";
import { outcomeOf, type Watch } from "./events.ts";
import type {
  CacheFacts,
  CallFacts,
  Client,
  DrawnFacts,
  ExchangeFacts,
  Outcome,
  UpstreamFacts,
} from "./facts.ts";
import type { FaultName, FaultPlan } from "./fault_plan.ts";
import { keptOut, type Key, keyForbidden, type RowOpens } from "./keys.ts";
import type { KeyLimits, LimitNote } from "./limits.ts";
import type { ScriptProgress, Usage, UsageMeter, UsageRule } from "./usage.ts";

/** A response that is still being written. */
export interface OpenStream {
  /** Ends the stream now with `error` said in its dialect, and without its end mark. */
  fail(error: AppError): void;
}

/**
 * Checks the `Authorization` header of a request, and notes at its exchange whose key it is.
 *
 * Throws an `AppError` when that key does not open what is asked, or nobody knows which keys there are.
 */
export type Authorize = (
  fields: Pick<Fields, "get">,
  exchange: Exchange,
) => "ok" | "missing" | "malformed" | "wrong";

/** Notes what happens to one exchange, for whoever asks for it later. */
export interface ExchangeNote {
  /** True: `body` is to be called. */
  readonly wantsBody: boolean;
  /** What the client sends, as UTF-8; of a body that is still coming, its beginning. */
  body(text: string): void;
  /**
   * So many frames, or pieces of a relay, leave `atMs` after the request came; below 0: with the first
   * byte.
   */
  left(frames: number, atMs: number): void;
  /** It has ended: whoever notes reads the rest from it. */
  ended(): void;
}

/** What every part shares in one process. */
export interface Engine {
  /** The one timer. */
  readonly wheel: Wheel;
  /** Every answer that is waited for or still being written. */
  readonly streams: Set<OpenStream>;
  readonly watch: Watch;
  /** Milliseconds of silence after which a stream gets an SSE comment; 0 = never. */
  readonly keepaliveMs: number;
  /** Milliseconds that a client may take nothing of a stream whose buffer is full. */
  readonly writeTimeoutMs: number;
  /** True: answers for which a route has decided tell which, and what came of it. */
  readonly tellsRoutes?: boolean | undefined;
  /** Begins the trace of a request; undefined = nobody traces, and no header is looked at. */
  readonly startTrace?: ((fields: Pick<Fields, "get">) => TraceContext) | undefined;
  /** Begins to note an exchange; undefined = nobody does. */
  readonly note?: ((exchange: Exchange, head: RequestHead) => ExchangeNote) | undefined;
}

/** What was drawn for an answer, told when its first event leaves. */
export interface Drawing extends DrawnFacts {
  /**
   * The first event of a stream leaves, `atMs` after the request came; with it so many steps of the
   * script are said.
   */
  delivers(atMs: number, stepCount: number): void;
}

/** A request that is being answered, for whoever looks at more of it than its turn. */
export interface Asked {
  readonly head: RequestHead;
  /** The body as UTF-8; "" = none. Decoded with each call. */
  readonly text: string;
}

/** A call to an upstream that may still go on. */
export interface OpenUpstreamCall extends UpstreamFacts {
  /** When the first chunk of its body came, on the wheel's clock; of use once one has. */
  readonly heardMs: number;
  /** The upstream told what the answer cost. */
  usage(usage: Usage): void;
  /** Nothing more comes. Only the first call counts; `error` says what went wrong, if anything. */
  end(error?: unknown): void;
}

/** What a cache notes at a call. */
export interface CacheNote extends CacheFacts {
  /** True: another one pays for the answer, or has paid. It may change until the answer has ended. */
  isFree: boolean;
  /** The name of the field that tells weir's own id, in place of an upstream's; "" = none does. */
  idName: "" | "x-request-id" | "request-id";
}

/**
 * What a source gets of whoever asks, an HTTP request or a workflow's job, and what it notes there.
 */
export interface Call extends CallFacts {
  readonly engine: Pick<Engine, "wheel" | "watch">;
  /** Aborts when nobody wants the answer any more, or weir ends; its reason is an `AppError`. */
  readonly signal: AbortLike;
  /** As `signal`, and also when whoever asked has left while the answer is to be finished. */
  readonly leaving: AbortLike;
  /** True: the answer is finished although the client has left. */
  readonly isDraining: boolean;
  source: string;
  /** The name of the route that it takes; "" = none, or it has no name. */
  route: string;
  /** The name of the upstream that is asked, or mock; "" = no route has decided. */
  target: string;
  /** Requests that went up for it, to whichever upstreams. */
  attempts: number;
  /** True: where this upstream does not answer, another one is asked. */
  hasOthers: boolean;
  /** When the first one did, on the wheel's clock; -1 = none did. */
  askedMs: number;
  model: string;
  requestId: string;
  isStream: boolean;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  reasoningTokens: number;
  /** How many of the prompt's tokens were put into a cache; -1 = it is not told. */
  cacheWriteTokens: number;
  tokensAreEstimated: boolean;
  costNanos: number;
  /** As the route says that answers. */
  usageRule: UsageRule;
  /** True: what is said of the answer will be counted. Set before it is asked for. */
  isMetered: boolean;
  /** Follows the upstream that answers, while `isMetered`; undefined = none does. */
  meter: UsageMeter | undefined;
  /** undefined = all of it leaves at once, or it is not known beforehand. */
  readonly progress: ScriptProgress | undefined;
  readonly outcome: Outcome | undefined;
  promptText: string;
  upstream: OpenUpstreamCall | undefined;
  /** What came in, until its answer begins; undefined = it is no request. */
  readonly request: Asked | undefined;
  /** The id of the fixture that answers; "" = none. */
  fixture: string;
  /** The id of the tape that answers; "" = none. */
  tape: string;
  /** What a cache did for the answer; undefined = there is none. */
  cache: CacheNote | undefined;
  /** Notes that a fault has happened to the answer. */
  meetFault(name: FaultName): void;
  /** What is to happen to the answer on purpose: a source plans it, the driver carries it out. */
  faults: FaultPlan | undefined;
  /** Why none does: a line for each of the nearest ones. Only where somebody has looked for them. */
  misses: readonly string[];
  /** What a latency profile has drawn for the answer; undefined = nothing. */
  drawn: Drawing | undefined;
  /** The request as fixtures see it, where a journal keeps bodies: a test may look for it later. */
  view: unknown;
  /** The status of its answer; 0 = it has not begun. */
  readonly status: number;
  /** Bytes of its answer's body that have left. */
  readonly bodyBytes: number;
  /** What is left of the limits that it is under; undefined = it is under none. */
  limits: LimitNote | undefined;
  /** What its answer tells in place of that, where its key has limits. */
  keyLimits: KeyLimits | undefined;
  /**
   * Has `work`, which must not throw, done once when nothing more is done for it, however it ends: what
   * was given last comes first, as wrappers end from the inside.
   */
  atEnd(work: () => void): void;
  /**
   * Runs `work` before the last bytes of an answer that is whole leave: whoever has them may know that it
   * was done, whatever becomes of this process. Never where the answer breaks off, and one work only.
   */
  beforeLast(work: () => void): void;
  /** Does that work. For a job; a request does so by itself. */
  release(): void;
}

/**
 * A client took nothing of its stream for too long: it is cut off, so nobody reads the sentence.
 */
export function readerSlow(writeTimeoutMs: number): AppError {
  return new AppError(
    "reader_slow",
    `The client took nothing of its answer for ${writeTimeoutMs} ms (server.write_timeout_ms)`,
  );
}

/** Why a client was cut off. Nobody reads the sentence but whoever reads the log. */
export function cutOff(reason: CutReason, { writeTimeoutMs }: Engine): AppError {
  if (reason === "reader_slow") return readerSlow(writeTimeoutMs);
  return new AppError(
    "unread_full",
    "Too much waits for clients that do not read (server.unread_max_bytes), and this one has taken " +
      "nothing for longest",
  );
}

/** Where an exchange comes from. */
export interface Origin {
  /** The method of the request; "" = it is no request. */
  readonly method: string;
  readonly client?: Client | undefined;
  readonly trace?: TraceContext | undefined;
  /** Which keys open the row that is asked; absent = those without limits. */
  readonly opens?: RowOpens | undefined;
}

/** Who has asked for something that goes on without him: whose it is, and who pays. */
export type Payer = Pick<Call, "tokenName" | "key">;

/** The life of one request. The driver makes and ends it. */
export class Exchange implements Call, ExchangeFacts {
  readonly engine: Engine;
  readonly surface: string;
  readonly method: string;
  readonly startMs: number;
  readonly client: Client | undefined;
  readonly trace: TraceContext | undefined;
  readonly opens: RowOpens;
  path = "";
  tokenName = "";
  key: Key | undefined = undefined;
  requestId = "";
  model = "";
  source = "";
  route = "";
  target = "";
  attempts = 0;
  hasOthers = false;
  askedMs = -1;
  isStream = false;
  isDraining = false;
  status = 0;
  firstByteMs = -1;
  durationMs = -1;
  bodyBytes = 0;
  promptTokens = -1;
  completionTokens = -1;
  cachedTokens = -1;
  reasoningTokens = -1;
  cacheWriteTokens = -1;
  tokensAreEstimated = false;
  costNanos = -1;
  usageRule: UsageRule = "count";
  isMetered = false;
  meter: UsageMeter | undefined = undefined;
  progress: ScriptProgress | undefined = undefined;
  outcome: Outcome | undefined = undefined;
  error: AppError | undefined = undefined;
  promptText = "";
  upstream: OpenUpstreamCall | undefined = undefined;
  request: Asked | undefined = undefined;
  fixture = "";
  tape = "";
  cache: CacheNote | undefined = undefined;
  faultsMet: FaultName[] | undefined = undefined;
  faults: FaultPlan | undefined = undefined;
  misses: readonly string[] = [];
  view: unknown = undefined;
  limits: LimitNote | undefined = undefined;
  keyLimits: KeyLimits | undefined = undefined;
  drawn: Drawing | undefined = undefined;
  note: ExchangeNote | undefined = undefined;
  /** Frees what the request holds. */
  #atEnd: (() => void) | undefined = undefined;
  #beforeLast: (() => void) | undefined = undefined;
  #hasLeft = false;
  #abort: Abort | undefined = undefined;
  #leaving: Abort | undefined = undefined;

  constructor(engine: Engine, surface: string, { method, client, trace, opens }: Origin) {
    this.engine = engine;
    this.surface = surface;
    this.method = method;
    this.startMs = engine.wheel.nowMs;
    this.client = client;
    this.trace = trace;
    this.opens = opens ?? "unlimited";
  }

  /**
   * Its client has shown `key`, which is in force.
   *
   * @throws {AppError} 403 when that does not open what is asked.
   */
  takeKey(key: Key): void {
    this.tokenName = key.name;
    this.key = key;
    const lacks = keptOut(key, this.opens);
    if (lacks === undefined) return;
    this.engine.watch({ kind: "key_refused", by: lacks });
    throw keyForbidden(key, lacks);
  }

  /** Made when somebody asks for it: a mock answer never does. */
  get signal(): Abort {
    return this.#abort ??= new Abort();
  }

  get leaving(): Abort {
    return this.#leaving ??= new Abort();
  }

  /** True when the client is known to have left. */
  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** The client has left: whoever works for it stops, unless the answer is to be finished. */
  leave(): void {
    this.#hasLeft = true;
    if (this.isDraining) this.leaving.abort(clientLeft());
    else this.abort(clientLeft());
  }

  /** Whoever works for this exchange stops. */
  abort(reason: AppError): void {
    this.signal.abort(reason);
    this.leaving.abort(reason);
  }

  meetFault(name: FaultName): void {
    const met = this.faultsMet ??= [];
    if (met.includes(name)) return;
    met.push(name);
    this.engine.watch({ kind: "fault_happened", fault: name });
  }

  /** Notes that the first byte of the body leaves now. */
  begin(status: number): void {
    this.status = status;
    if (this.firstByteMs < 0) this.firstByteMs = this.engine.wheel.nowMs - this.startMs;
  }

  atEnd(work: () => void): void {
    const before = this.#atEnd;
    this.#atEnd = before === undefined ? work : () => {
      work();
      before();
    };
  }

  beforeLast(work: () => void): void {
    this.#beforeLast = work;
  }

  /** Of whoever writes: the last bytes of an answer with `status` leave now, and it is whole. */
  last(status: number): void {
    const work = this.#beforeLast;
    if (work === undefined || this.#hasLeft) return;
    this.#beforeLast = undefined;
    this.status = status;
    work();
  }

  release(): void {
    const work = this.#atEnd;
    if (work === undefined) return;
    this.#atEnd = undefined;
    work();
  }

  /** An answer that leaves in one piece: `begin` and `end` with one look at the clock. */
  complete(status: number, bodyBytes: number): void {
    const { wheel, watch } = this.engine;
    this.status = status;
    this.bodyBytes = bodyBytes;
    this.durationMs = this.firstByteMs = wheel.nowMs - this.startMs;
    this.outcome = this.#hasLeft ? "client_left" : "completed";
    this.release();
    this.note?.ended();
    watch({ kind: "exchange_ended", exchange: this });
  }

  /**
   * The error to answer with. What is no `AppError` is a bug: the watchers get its stack, the client does
   * not.
   */
  errorOf(thrown: unknown): AppError {
    const error = asAppError(thrown);
    if (error.code === "internal" && !this.#hasLeft) {
      this.engine.watch({ kind: "bug", where: this.surface, error: thrown });
    }
    return error;
  }

  /** Ends the exchange with an error answer of `status`: some dialects say an error with another one. */
  refuse(error: AppError, status = error.status): void {
    this.begin(status);
    this.end(this.#hasLeft ? "client_left" : outcomeOf(error), error);
  }

  /** Tells the watchers. Only the first call counts. */
  end(outcome: Outcome, error?: AppError): void {
    if (this.outcome !== undefined) return;
    this.outcome = outcome;
    this.error = error;
    this.durationMs = this.engine.wheel.nowMs - this.startMs;
    const limit = error === undefined ? undefined : LIMITS[error.code];
    if (limit !== undefined) this.engine.watch({ kind: "limit_reached", limit });
    this.release();
    this.note?.ended();
    this.engine.watch({ kind: "exchange_ended", exchange: this });
  }
}
