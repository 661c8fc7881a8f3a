/**
 * Fixtures as files spell them: when an answer is given, and what it is. weir checks them when they
 * are added and names what is wrong.
 *
 * @module
 */

/** One test of a text: it stands in it somewhere, it is all of it, or an expression fits. */
export type OneText =
  | string
  | { readonly contains: string }
  | { readonly equals: string }
  | { readonly regex: string; readonly flags?: string };

/** What a text must be like; of a list, all. */
export type TextTest = OneText | readonly OneText[];

/** What a value must be: a plain one is equal to it. */
export type ValueTest =
  | string
  | number
  | boolean
  | null
  | { readonly equals: unknown }
  | { readonly contains: string }
  | { readonly regex: string; readonly flags?: string }
  | { readonly exists: boolean };

/** A message that must be in the conversation. */
export type MessageTest = OneText | {
  readonly role?: string;
  readonly text?: TextTest;
  /** Which one, from 0; below 0 it counts from the end; absent = any. */
  readonly index?: number;
};

/** How a client may speak. */
export type Dialect =
  | "openai_chat"
  | "openai_responses"
  | "openai_completions"
  | "anthropic_messages"
  | "character_chat"
  | "content_events"
  | "gpt_server"
  | "workflow"
  | "openai";

/** When a fixture is given: every key that is there must hold; none = always. */
export interface Match {
  /** The last text of the user. */
  readonly userMessage?: TextTest;
  /** All system messages, joined by line feeds. */
  readonly systemMessage?: TextTest;
  readonly message?: MessageTest | readonly MessageTest[];
  /** What an embedding or a moderation is asked for. */
  readonly inputText?: TextTest;
  /** A name with its dated versions, or a pattern such as "gpt-4o*". */
  readonly model?: string | { readonly regex: string; readonly flags?: string };
  /** Tools that are declared: all of these. */
  readonly toolName?: string | readonly string[];
  /** The last message is the result of the call with this id. */
  readonly toolCallId?: string;
  /** The last message is the result of a tool, and its text is like this. */
  readonly toolResultContains?: TextTest;
  /** The last message is a result of the tool with this name. */
  readonly toolResultFor?: string;
  /** Whether a result stands behind the user's last message. */
  readonly hasToolResult?: boolean;
  readonly responseFormat?: "text" | "json_object" | "json_schema";
  readonly schemaName?: string;
  /** Answers of the assistant so far: decides between fixtures that fit otherwise. */
  readonly turnIndex?: number;
  /** How many requests like this one came before. */
  readonly sequenceIndex?: number;
  readonly endpoint?: "chat" | "embedding" | "moderation";
  readonly dialect?: Dialect | readonly Dialect[];
  /** The header `x-aimock-context`. */
  readonly context?: string;
  /** By name: a plain text is the whole value, true = it is there. */
  readonly header?: Readonly<Record<string, OneText | true>>;
  /** The name of the token that was shown. */
  readonly key?: string;
  readonly metadata?: Readonly<Record<string, ValueTest>>;
  /** Values of the request's body, by JSON pointers such as "/stream". */
  readonly body?: Readonly<Record<string, ValueTest>>;
  readonly not?: Match;
  readonly anyOf?: readonly Match[];
}

/** A text, or a value that stands for its JSON. */
export type JsonText = string | readonly unknown[] | { readonly [key: string]: unknown };

/** A call of a tool. */
export interface ToolCall {
  readonly name: string;
  /** Absent = {}. */
  readonly arguments?: JsonText;
  /** Absent: another in each answer. */
  readonly id?: string;
}

/** Counts of tokens in the words of the chat API, the Responses API or Anthropic's. */
export interface Usage {
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
  readonly total_tokens?: number;
  readonly input_tokens?: number;
  readonly output_tokens?: number;
  readonly prompt_tokens_details?: Readonly<Record<string, number>>;
  readonly completion_tokens_details?: Readonly<Record<string, number>>;
  readonly input_tokens_details?: Readonly<Record<string, number>>;
  readonly output_tokens_details?: Readonly<Record<string, number>>;
  readonly cache_read_input_tokens?: number;
  readonly cache_creation_input_tokens?: number;
}

/** What can be said otherwise than usual in any answer. */
export interface Overrides {
  readonly id?: string;
  /** Seconds since 1970. */
  readonly created?: number;
  readonly model?: string;
  readonly usage?: Usage;
  readonly systemFingerprint?: string;
  readonly finishReason?: "stop" | "length" | "content_filter" | "tool_calls";
  readonly role?: string;
}

/** What a text, a call of tools, or both are answered with. */
export interface Said extends Overrides {
  readonly content?: JsonText;
  readonly reasoning?: string;
  readonly reasoningSignature?: string;
  readonly redactedThinking?: readonly string[];
  /** In place of a text. */
  readonly refusal?: string;
  readonly toolCalls?: readonly ToolCall[];
  /** Texts and calls in their order, in place of `content` and `toolCalls`. */
  readonly blocks?: readonly (
    | { readonly type: "text"; readonly text: string }
    | ({ readonly type: "toolCall" } & ToolCall)
  )[];
  /** JSON that the request's schema is held against. */
  readonly json?: unknown;
}

/** An error, in the client's dialect. */
export interface ErrorAnswer {
  readonly error: {
    readonly message?: string;
    readonly type?: string;
    readonly param?: string | null;
    readonly code?: string | null;
    readonly status?: number;
    /** Seconds. */
    readonly retryAfter?: number;
  };
  /** Absent = 500. */
  readonly status?: number;
  /** Seconds. */
  readonly retryAfter?: number;
}

/** What a moderation is answered with. */
export interface Judgement {
  /** Absent = some category is. */
  readonly flagged?: boolean;
  readonly categories?: readonly string[];
  readonly scores?: Readonly<Record<string, number>>;
}

/** What a fixture answers with; "pass" = whatever would have answered without fixtures. */
export type Answer =
  | "pass"
  | Said
  | ErrorAnswer
  | ({
    readonly audio: string | { readonly b64Json: string; readonly contentType?: string };
    readonly content?: string;
    readonly format?: string;
  } & Overrides)
  | ({ readonly embedding: readonly number[] } & Overrides)
  | { readonly moderation: Judgement | readonly Judgement[] };

/** When an answer's pieces leave, and what goes wrong on purpose. */
export interface Manner {
  /** True: `{{…}}` in its texts is filled. */
  readonly template?: boolean;
  /** Milliseconds between pieces. */
  readonly latency?: number;
  /** Characters of a piece. */
  readonly chunkSize?: number;
  readonly streamingProfile?: {
    /** Milliseconds until the first token. */
    readonly ttft?: number;
    /** Tokens per second. */
    readonly tps?: number;
    /** 0 to 1. */
    readonly jitter?: number;
  };
  readonly recordedTimings?: {
    readonly ttftMs: number;
    readonly interChunkDelaysMs: readonly number[];
    readonly totalDurationMs: number;
  };
  readonly replaySpeed?: number;
  /** What goes wrong, as `weir faults` lists it: "cut@event=3, slow-head;ms=200". */
  readonly fault?: string;
  /** A stream is cut behind so many pieces. */
  readonly truncateAfterChunks?: number;
  /** A stream is cut after so many milliseconds. */
  readonly disconnectAfterMs?: number;
  /** Rates from 0 to 1. */
  readonly chaos?: {
    readonly dropRate?: number;
    readonly malformedRate?: number;
    readonly rateLimitRate?: number;
    readonly disconnectRate?: number;
    readonly latencyMs?: number;
  };
}

/** A fixture: the answers of `sequence` are given in turn, and the last one stays. */
export type Fixture =
  & { readonly id?: string; readonly match: Match; readonly metadata?: unknown }
  & Manner
  & ({ readonly response: Answer } | { readonly sequence: readonly Answer[] });
