/**
 * The nouns: somebody asks, a source answers, an answer is made of steps or of an upstream's bytes.
 *
 * @module
 */

import type { Fields } from "../lib/http1/fields.ts";
import type { SseTail, StreamEnd } from "../lib/sse_tail.ts";
import type { AppError } from "./errors.ts";
import type { Call } from "./exchange.ts";
import type { FaultEdits } from "./fault_plan.ts";
import type { Turn } from "./turn.ts";
import type { Upload } from "./upload.ts";
import type { Usage } from "./usage.ts";

export type { Usage } from "./usage.ts";

/** The wire dialects that a client and an upstream can have in common. */
export type DialectName =
  | "openai_chat"
  | "openai_responses"
  | "openai_completions"
  | "anthropic_messages"
  /** The rest of OpenAI's API: passed as it is, and never read. */
  | "openai"
  | "chatgpt_web";

/** The client's request as it came, for a source that speaks the same dialect. */
export interface Wire {
  readonly dialect: DialectName;
  readonly method: string;
  /** Below the upstream's base URL, with the query: "/chat/completions". */
  readonly path: string;
  readonly fields: Fields;
  readonly body: Uint8Array<ArrayBuffer> | null;
  /** All of a body that is still coming; `body` is its beginning then, for whoever is curious. */
  readonly upload?: Upload | undefined;
}

/** What is asked. Whoever only passes it on never has it parsed. */
export interface Ask {
  /** The model that is named, looked for and not parsed where that is enough; "" = none. */
  model(): string;
  /**
   * The turn: parsed and checked when it is first asked for.
   *
   * @throws {AppError} when what came in is no turn.
   */
  turn(): Turn;
  /** Absent: it did not come over a wire that any upstream speaks. */
  readonly wire?: Wire | undefined;
  /**
   * True: a source that cuts a text into words cuts it behind each blank, as older systems do.
   * Otherwise before it, as OpenAI's API does.
   */
  readonly cutsAfterBlank?: boolean | undefined;
  /**
   * True: the tokens that were taken for the answer beforehand are corrected when it has ended, as
   * Anthropic's API does. OpenAI's keeps what it has taken.
   */
  readonly settlesTokens?: boolean | undefined;
  /** How the answer's dialect has faults on purpose; absent = nobody knows yet. */
  readonly manner?: { readonly faultEdits?: FaultEdits };
}

/** An `Ask` for a turn that is known. */
export function askOf(turn: Turn): Ask {
  return { model: () => turn.model, turn: () => turn };
}

/** What else a model might have said in place of a token, and how likely each was. */
export interface TokenLogprob {
  readonly token: string;
  /** Natural logarithm of its probability: 0 or less. */
  readonly logprob: number;
  /** The likeliest tokens at this place, the likeliest first; as many as were asked for. */
  readonly top: readonly { readonly token: string; readonly logprob: number }[];
}

/** How a call is made: a custom tool takes text and no JSON, `function_call` is chat's older way. */
export type CallKind = "custom" | "function_call";

/** What a moderation model thinks of one text. */
export interface ModerationResult {
  readonly isFlagged: boolean;
  /** Category → how likely it is, 0 to 1; every category that there is, in the API's order. */
  readonly scores: Readonly<Record<string, number>>;
  /** The categories that are flagged. */
  readonly flagged: readonly string[];
}

/** What a moderation model thinks of a prompt, and of one choice of the answer to it. */
export interface Moderation {
  readonly model: string;
  readonly input: ModerationResult;
  readonly output: ModerationResult;
}

/** Where a part of the text comes from. */
export interface UrlCitation {
  readonly url: string;
  readonly title: string;
  /** In UTF-16 units of the choice's text: from here … */
  readonly startChars: number;
  /** … to before here. */
  readonly endChars: number;
}

/** Why an answer ended. */
export type EndReason = "stop" | "length" | "content_filter" | "tool_calls";

/** What a piece of text is: the answer itself, the reasoning before it, or words of refusal. */
export type Block = "text" | "reasoning" | "refusal";

/**
 * One thing an answer says: one vocabulary for scripts, live answers and every dialect. A dialect
 * says what it has words for and leaves out the rest; a new kind of step is one more member.
 */
export type Step =
  | {
    readonly kind: "delta";
    readonly choice: number;
    readonly block: Block;
    readonly text: string;
    /** One per token of `text`; absent = they are not told. */
    readonly logprobs?: readonly TokenLogprob[];
  }
  /**
   * What proves the reasoning before it, and only its maker can read: Anthropic's `signature`, the
   * Responses API's `encrypted_content`. "" = whoever writes it makes one up.
   */
  | { readonly kind: "signature"; readonly choice: number; readonly text: string }
  /** Reasoning that only its maker can read: Anthropic's `redacted_thinking`. */
  | { readonly kind: "redacted"; readonly choice: number; readonly data: string }
  /** A tool call begins. `index` counts the calls of one choice from 0. */
  | {
    readonly kind: "call";
    readonly choice: number;
    readonly index: number;
    /** "" = whoever writes it makes one up, another in each answer. */
    readonly id: string;
    readonly name: string;
    /** Absent: a function, called as usual. */
    readonly tool?: CallKind;
    /** True: one of several calls that this choice makes at once. */
    readonly isParallel?: true;
  }
  /** A piece of that call's arguments. */
  | {
    readonly kind: "arguments";
    readonly choice: number;
    readonly index: number;
    readonly text: string;
  }
  | { readonly kind: "citation"; readonly choice: number; readonly citation: UrlCitation }
  /** A piece of sound, and the words in it. */
  | {
    readonly kind: "audio";
    readonly choice: number;
    /** Base64 of its own; "" = words only. */
    readonly data: string;
    readonly transcript: string;
  }
  | {
    readonly kind: "end";
    readonly choice: number;
    readonly reason: EndReason;
    /** The text of `stop` that ended it; absent = none did, or it is not told. */
    readonly stopSequence?: string;
  }
  | { readonly kind: "moderation"; readonly choice: number; readonly moderation: Moderation }
  | { readonly kind: "usage"; readonly usage: Usage };

/** A step of a script. `afterMs` counts from the step before. */
export type TimedStep = Step & { readonly afterMs: number };

/** Steps known before anyone asks. */
export interface Script {
  /** Two scripts of one name are told apart by identity: the name is for people. */
  readonly name: string;
  readonly steps: readonly TimedStep[];
  /** True: somebody has decided when its steps are said, and no latency profile changes that. */
  readonly isTimed?: true;
  /** True: somebody has decided what its pieces are, and they stay as they are. */
  readonly isCut?: true;
}

/** When the steps of one answer are said, where that is not as its script has it. */
export interface Schedule {
  /** Of each step, in milliseconds after the request. They never decrease. */
  readonly dueMs: Float64Array;
  /** Of how many of them the time is known: one at least, and more while the answer goes on. */
  readonly known: number;
  /** Called whenever more are known. Whoever has the answer said sets it. */
  onMore: (() => void) | undefined;
}

/**
 * What an answer says of itself in place of what its dialect would. A dialect says what it has words
 * for. The same object for the same script: what is laid with it is remembered by it.
 */
export interface Labels {
  /** The whole id. */
  readonly id?: string;
  /** Seconds since 1970. */
  readonly createdS?: number;
  readonly model?: string;
  readonly fingerprint?: string;
  readonly role?: string;
  /** True: the reason for its end is the one that is said, whatever else was. */
  readonly isReasonExact?: true;
  /** True: its reasoning is told in words to whoever has not asked for them, too. */
  readonly hasWords?: true;
}

/**
 * Where an answer breaks off on purpose: the connection ends there, without a word and without HTTP's
 * end.
 */
export interface Cut {
  /** Behind so many events of a stream; 0 = nothing is answered at all, stream or not. */
  readonly afterEvents: number;
  /** When a stream has lasted so long since it was asked for, in milliseconds. */
  readonly afterMs: number;
}

/** How a relay's body ends. */
export type Ending =
  /** Whole, as HTTP says it. */
  | "end"
  /** The connection closes without HTTP's end. */
  | "fin"
  /** The connection is reset. */
  | "reset"
  /** Nothing more comes, and nothing ends. */
  | "hold";

/** Takes a relay's body as it comes. */
export interface PieceSink {
  /**
   * The next bytes, and when they came: microseconds since the body's answer was asked for. Gives
   * false when they say nothing, as a comment does: whoever waits for the answer waits on. `isLast`:
   * they came with the body's end, and `onEnd` follows at once.
   */
  onPiece(bytes: Uint8Array, atUs: number, isLast?: boolean): void | false;
  /** Nothing follows. `error` says why a body broke off. Called once, and never for "hold". */
  onEnd(ending: Exclude<Ending, "hold">, error?: AppError): void;
}

/** The body of a relay: a push source of timed pieces, known beforehand (a tape) or live. */
export interface RelayBody {
  /** The whole body when all of it is here already, else undefined. Counts as reading it. */
  whole(): Uint8Array | undefined;
  /** Begins to push, perhaps at once. Called once, unless `whole` has given the body. */
  flow(sink: PieceSink): void;
  /** The sink is busy: no piece is pushed until `resume`. What is under way may still come. */
  pause(): void;
  resume(): void;
  /** Nobody wants the rest: nothing is pushed any more. Safe to call again. */
  cancel(): void;
}

/** An upstream's answer, untouched. */
export interface Relay {
  readonly kind: "relay";
  readonly status: number;
  /** In their order, with names as they were sent. */
  readonly fields: Fields;
  /** True when the body ends with the connection: whether it is whole, only its own end mark tells. */
  readonly isUntilClose?: boolean;
  /** The dialect of a body that may be in another one than was asked for; absent = it is in that. */
  readonly dialect?: DialectName;
  /** How its whole body ends as a stream, where that is known beforehand. */
  tail?(end: StreamEnd | undefined): SseTail;
  readonly body: RelayBody;
}

/** Steps while they are told: a batch holds what came at a time, and is never empty. */
export type StepBatches = AsyncIterable<readonly Step[]>;

/**
 * What a source answers with. Whoever wraps a source can look at status, bytes and steps. A wrapper
 * of live steps passes `return` on (an async generator would wait for `next` first), and one of a
 * relay keeps the object's methods: it is wrapped, not spread.
 */
export type Answer =
  /** Known beforehand: its bytes are laid once. */
  | {
    readonly kind: "script";
    readonly script: Script;
    /** The model that answers, as the answer names it. */
    readonly model: string;
    /** Present when the turn wants usage. */
    readonly usage?: Usage;
    readonly labels?: Labels;
    readonly cut?: Cut;
    /** Absent: each step when its script says. */
    readonly schedule?: Schedule;
    /** Tokens of reasoning, whoever wants their count; absent = none, or it is not told. */
    readonly thoughtTokens?: number;
    /** What all of it costs whoever asked `turn`, where `usage` does not say so; absent = nobody knows. */
    cost?(turn: Turn): Usage;
  }
  /**
   * Told while it happens, in batches; re-spoken in the surface's dialect. The iterator throws an
   * `AppError` when the upstream fails; `return` may be called while `next` waits, and frees
   * everything.
   */
  | {
    readonly kind: "live";
    readonly steps: StepBatches;
    readonly model: string;
    /** Of the upstream's answer that they are read out of; absent = there is none. */
    readonly fields?: Fields;
  }
  /** An upstream's bytes: same dialect in and out. */
  | Relay;

/** Anything that can answer: the mock, an upstream, a tape; or what wraps one. */
export interface Source {
  /** A word for logs and health: "mock", "proxy". */
  readonly name: string;
  /**
   * Answers `ask`. Gives up as soon as `call.signal` aborts.
   *
   * @throws {AppError} when there is no answer and somebody still waits (also as a rejection).
   */
  answer(ask: Ask, call: Call): Promise<Answer> | Answer;
}
