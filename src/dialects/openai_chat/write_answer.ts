/**
 * What OpenAI's chat API answers: `chat.completion.chunk` events, and the `chat.completion` object
 * (docs/facts/openai_api.md "Stream rules").
 *
 * @module
 */

import type {
  Block,
  EndReason,
  Step,
  TokenLogprob,
  UrlCitation,
  Usage,
} from "../../core/answer.ts";
import { type AnswerWriter, DONE_EVENT } from "../../core/dialect.ts";
import type { Layout, StampTexts } from "../../core/frames.ts";
import type { Gathered, GatheredCall, GatheredChoice } from "../../core/gathering.ts";
import { ID_BYTES } from "../../core/stamp.ts";
import { type Shape, shapeOf } from "../openai/models.ts";

/**
 * gpt-4o: today's full chunk shape · minimal: the six events of the OpenResty mock
 * (docs/facts/systems.md "Events").
 */
export type Persona = "gpt-4o" | "minimal";

/** How fast a request is served. */
export type Tier = "default" | "priority" | "flex";

/** The tier of an answer to a request that asked for `service_tier`. */
export function tierOf(asked: unknown): Tier {
  if (asked === "priority" || asked === "fast") return "priority";
  return asked === "flex" ? "flex" : "default";
}

/** What is the same in every chunk of one answer. */
export interface ChunkHead {
  readonly persona: Persona;
  /** 29 characters behind "chatcmpl-". */
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** The name the answer carries: dated where the real API dates it. */
  readonly model: string;
  /**
   * True: every chunk has a `usage` key, null until the last (docs/facts/openai_api.md "Usage
   * chunk").
   */
  readonly wantsUsage: boolean;
  /** The tier that the answer says it had; absent = "default". */
  readonly tier?: Tier;
  /**
   * True: every chunk is padded to a multiple of 16 characters (docs/facts/openai_api.md
   * "Obfuscation").
   */
  readonly wantsObfuscation: boolean;
}

/** The fingerprint of the mock: "fp_" and 10 hexadecimal digits, the same in every answer. */
export const FINGERPRINT = "fp_77656972a1";

const FINGERPRINTS: Readonly<Record<Shape["fingerprint"], string | null>> = {
  own: FINGERPRINT,
  null: null,
  empty: "",
};

/** A chunk's head, and which fields its model shows. */
type ShapedHead = ChunkHead & { readonly shape: Shape };

const CREATED_PREFIX = '","object":"chat.completion.chunk","created":';

/**
 * The pad of an event (docs/facts/openai_api.md "Obfuscation"): its length is counted in UTF-16
 * units of the JSON without the field, its characters mean nothing.
 */
const PAD = "h7Qx2LmVt9RbKe4";

/** The `usage` object, all detail fields included (docs/facts/openai_api.md "Usage"). */
export function usageObject(usage: Usage) {
  const { promptTokens, completionTokens } = usage;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: {
      cached_tokens: usage.cachedTokens ?? 0,
      audio_tokens: usage.promptAudioTokens ?? 0,
    },
    completion_tokens_details: {
      reasoning_tokens: usage.reasoningTokens ?? 0,
      audio_tokens: usage.completionAudioTokens ?? 0,
      accepted_prediction_tokens: usage.acceptedPredictionTokens ?? 0,
      rejected_prediction_tokens: usage.rejectedPredictionTokens ?? 0,
    },
  };
}

/**
 * One event. `choices` and `usage` are JSON texts; in the API's key order (docs/facts/openai_api.md
 * "Key order").
 */
function chunk(head: ShapedHead, choices: string, usage: string): string {
  const { persona, id, created, model, shape, tier = "default" } = head;
  const start = `{"id":"chatcmpl-${id}${CREATED_PREFIX}${created},"model":${
    JSON.stringify(model)
  },`;
  if (persona === "minimal") return `data: ${start}"choices":${choices}}\n\n`;
  const json = `${start}${shape.hasTier ? `"service_tier":"${tier}",` : ""}` +
    `"system_fingerprint":${JSON.stringify(FINGERPRINTS[shape.fingerprint])},` +
    `"choices":${choices}${head.wantsUsage ? `,"usage":${usage}` : ""}`;
  if (!head.wantsObfuscation) return `data: ${json}}\n\n`;
  const pad = PAD.slice(0, (16 - (json.length + 1) % 16) % 16);
  return `data: ${json},"obfuscation":"${pad}"}\n\n`;
}

function choice(
  { persona, shape }: ShapedHead,
  index: number,
  delta: string,
  reason: EndReason | null,
  logprobs = "null",
): string {
  const told = persona === "minimal" || !shape.hasLogprobs ? "" : `"logprobs":${logprobs},`;
  const finish = reason === null ? "null" : `"${reason}"`;
  return `[{"index":${index},"delta":${delta},${told}"finish_reason":${finish}}]`;
}

/** How a choice begins: with text, with a call, or with words of refusal. */
const ROLE_DELTAS = {
  text: `"role":"assistant","content":"","refusal":null`,
  call: `"role":"assistant","content":null`,
  refusal: `"role":"assistant","content":null,"refusal":""`,
} as const;

/** What a chunk depends on, besides the stamps of each answer. */
export type ChunkOptions = Omit<ChunkHead, "id" | "created">;

const NO_USAGE: Usage = { promptTokens: 0, completionTokens: 0 };

/** Characters of a call's id that are the same in all calls of one answer. */
const CALL_STAMP_CHARS = 22;

/** The ids of an answer: its own, and what those of its calls are made of. */
export const CHUNK_ID_LENGTHS: readonly number[] = [ID_BYTES, CALL_STAMP_CHARS];

/** Lays and speaks answers as chunks, or in one piece. */
export class ChunkLayout implements Layout {
  readonly key: string;
  readonly idLengths = CHUNK_ID_LENGTHS;
  readonly #options: ChunkOptions & { readonly shape: Shape };

  constructor(options: ChunkOptions) {
    const { persona, model, wantsUsage, wantsObfuscation, tier } = options;
    this.key = `openai_chat ${persona} ${wantsUsage} ${wantsObfuscation} ${tier} ${model}`;
    this.#options = { ...options, shape: shapeOf(model) };
  }

  writer([created, id, calls]: StampTexts): AnswerWriter {
    return new ChunkWriter({ ...this.#options, id: id!, created: Number(created) }, calls!);
  }

  whole({ choices, usage = NO_USAGE }: Gathered, stamps: StampTexts): string {
    return completionBody(this.#options, choices, usage, stamps);
  }
}

/**
 * The id of the `index`th call of a choice, when nobody has given it one: "call_" and 24 of
 * [A-Za-z0-9] (docs/facts/openai_api.md "Ids").
 */
export function callId(stamp: string, choice: number, index: number): string {
  return `call_${stamp}${((choice * 32 + index) % 1296).toString(36).padStart(2, "0")}`;
}

/** Writes one answer; each choice opens with its role when it first says something. */
class ChunkWriter implements AnswerWriter {
  readonly #head: ShapedHead;
  readonly #callStamp: string;
  readonly #open = new Set<number>();
  /** The calls that take text, as "choice index". */
  readonly #custom = new Set<string>();

  constructor(head: ShapedHead, callStamp: string) {
    this.#head = head;
    this.#callStamp = callStamp;
  }

  step(step: Step): string {
    const head = this.#head;
    switch (step.kind) {
      case "delta":
        if (step.block === "reasoning" && step.text === "") return ""; // there was some: no words for it
        return this.#opening(step.choice, step.block === "refusal" ? "refusal" : "text") +
          this.#delta(
            step.choice,
            `${DELTA_KEYS[step.block]}:${JSON.stringify(step.text)}`,
            logprobsText(step.logprobs, step.block),
          );
      case "signature":
        return ""; // the API never shows reasoning, nor what proves it
      case "call": {
        const { choice, index, name, tool } = step;
        if (tool === "custom") this.#custom.add(`${choice} ${index}`);
        const id = step.id || callId(this.#callStamp, choice, index);
        const call = JSON.stringify({ index, ...callObject({ ...step, id, name, arguments: "" }) });
        return this.#opening(choice, "call") + this.#delta(choice, `"tool_calls":[${call}]`);
      }
      case "arguments": {
        const { choice, index, text } = step;
        const piece = this.#custom.has(`${choice} ${index}`)
          ? { index, custom: { input: text } }
          : { index, function: { arguments: text } };
        return this.#delta(choice, `"tool_calls":[${JSON.stringify(piece)}]`);
      }
      case "citation": {
        const annotation = JSON.stringify(annotationObject(step.citation));
        return this.#delta(step.choice, `"annotations":[${annotation}]`);
      }
      case "audio": {
        const { data, transcript } = step;
        const piece = {
          ...(data === "" ? {} : { data }),
          ...(transcript === "" ? {} : { transcript }),
        };
        return this.#delta(step.choice, `"audio":${JSON.stringify(piece)}`);
      }
      case "end":
        return this.#opening(step.choice, "text") +
          chunk(head, choice(head, step.choice, "{}", step.reason), "null");
      case "usage":
        return head.wantsUsage ? chunk(head, "[]", JSON.stringify(usageObject(step.usage))) : "";
    }
  }

  close(): string {
    return DONE_EVENT;
  }

  #opening(index: number, kind: keyof typeof ROLE_DELTAS): string {
    if (this.#open.has(index)) return "";
    this.#open.add(index);
    const isMinimal = this.#head.persona === "minimal";
    return this.#delta(index, isMinimal ? `"role":"assistant"` : ROLE_DELTAS[kind]);
  }

  #delta(index: number, fields: string, logprobs?: string): string {
    const head = this.#head;
    return chunk(head, choice(head, index, `{${fields}}`, null, logprobs), "null");
  }
}

/** The `logprobs` of a choice (docs/facts/openai_api.md "Whole answer"). */
function logprobsObject(logprobs: readonly TokenLogprob[] | undefined, isRefusal: boolean) {
  if (logprobs === undefined) return null;
  const told = logprobs.map(({ token, logprob, top }) => ({
    token,
    logprob,
    bytes: [...Buffer.from(token)],
    top_logprobs: top.map((other) => ({ ...other, bytes: [...Buffer.from(other.token)] })),
  }));
  return isRefusal ? { content: null, refusal: told } : { content: told, refusal: null };
}

function logprobsText(logprobs: readonly TokenLogprob[] | undefined, block: Block): string {
  return logprobs === undefined
    ? "null"
    : JSON.stringify(logprobsObject(logprobs, block === "refusal"));
}

/** A citation as the chat API says it. */
export function annotationObject({ url, title, startChars, endChars }: UrlCitation) {
  return {
    type: "url_citation",
    url_citation: { end_index: endChars, start_index: startChars, title, url },
  };
}

/** OpenAI's own API never shows reasoning; servers that do call it so. */
const DELTA_KEYS = {
  text: `"content"`,
  reasoning: `"reasoning_content"`,
  refusal: `"refusal"`,
} as const;

/** One whole answer: the `chat.completion` object, in the key order and layout of the real API. */
function completionBody(
  head: Pick<ShapedHead, "persona" | "model" | "tier" | "shape">,
  choices: readonly GatheredChoice[],
  usage: Usage,
  [created, id, calls]: StampTexts,
): string {
  const isMinimal = head.persona === "minimal";
  const { fingerprint, hasLogprobs, hasTier } = head.shape;
  const body = {
    id: `chatcmpl-${id}`,
    object: "chat.completion",
    created: Number(created),
    model: head.model,
    choices: choices.map((choice, index) => ({
      index,
      message: messageOf(choice, index, isMinimal, calls!),
      ...(isMinimal || !hasLogprobs
        ? {}
        : { logprobs: logprobsObject(choice.logprobs, choice.refusal !== "") }),
      finish_reason: choice.reason,
    })),
    usage: usageObject(usage),
    ...(isMinimal || !hasTier ? {} : { service_tier: head.tier ?? "default" }),
    ...(isMinimal ? {} : { system_fingerprint: FINGERPRINTS[fingerprint] }),
  };
  return `${JSON.stringify(body, null, 2)}\n`;
}

function messageOf(choice: GatheredChoice, index: number, isMinimal: boolean, callStamp: string) {
  const { text, reasoning, refusal, calls, citations } = choice;
  const hasText = text !== "" || (calls.length === 0 && refusal === "");
  const withIds = calls.map((call, at) => ({
    ...call,
    id: call.id || callId(callStamp, index, at),
  }));
  return {
    role: "assistant",
    content: hasText ? text : null,
    ...(reasoning === "" ? {} : { reasoning_content: reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: withIds.map(callObject) }),
    ...(isMinimal ? {} : {
      refusal: refusal === "" ? null : refusal,
      annotations: citations.map(annotationObject),
    }),
  };
}

/** A call as the chat API says it. */
export function callObject({ id, name, arguments: text, tool }: GatheredCall) {
  return tool === "custom"
    ? { id, type: "custom", custom: { name, input: text } }
    : { id, type: "function", function: { name, arguments: text } };
}
