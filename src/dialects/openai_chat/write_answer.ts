/**
 * What OpenAI's chat API answers: `chat.completion.chunk` events, and the `chat.completion` object
 * (docs/facts/openai_api.md "Stream rules").
 *
 * @module
 */

import type { EndReason, Step, Usage } from "../../core/answer.ts";
import { type AnswerWriter, DONE_EVENT } from "../../core/dialect.ts";
import type { Layout, Stamped, StampTexts } from "../../core/frames.ts";
import type { GatheredCall, GatheredChoice } from "../../core/gathering.ts";
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
  const { promptTokens, completionTokens, cachedTokens = 0, reasoningTokens = 0 } = usage;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: reasoningTokens,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
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
): string {
  const logprobs = persona === "minimal" || !shape.hasLogprobs ? "" : `"logprobs":null,`;
  const finish = reason === null ? "null" : `"${reason}"`;
  return `[{"index":${index},"delta":${delta},${logprobs}"finish_reason":${finish}}]`;
}

/** How a choice begins: with text, with a call, or with words of refusal. */
const ROLE_DELTAS = {
  text: `"role":"assistant","content":"","refusal":null`,
  call: `"role":"assistant","content":null`,
  refusal: `"role":"assistant","content":null,"refusal":""`,
} as const;

/** What a chunk depends on, besides the stamps of each answer. */
export type ChunkOptions = Omit<ChunkHead, "id" | "created">;

/** Lays and speaks answers as chunks. */
export class ChunkLayout implements Layout {
  readonly key: string;
  readonly idLengths = [ID_BYTES];
  readonly #options: ChunkOptions & { readonly shape: Shape };

  constructor(options: ChunkOptions) {
    const { persona, model, wantsUsage, wantsObfuscation, tier } = options;
    this.key = `openai_chat ${persona} ${wantsUsage} ${wantsObfuscation} ${tier} ${model}`;
    this.#options = { ...options, shape: shapeOf(model) };
  }

  writer([created, id]: StampTexts): AnswerWriter {
    return new ChunkWriter({ ...this.#options, id: id!, created: Number(created) });
  }
}

/** Writes one answer; each choice opens with its role when it first says something. */
class ChunkWriter implements AnswerWriter {
  readonly #head: ShapedHead;
  readonly #open = new Set<number>();

  constructor(head: ShapedHead) {
    this.#head = head;
  }

  step(step: Step): string {
    const head = this.#head;
    switch (step.kind) {
      case "delta":
        return this.#opening(step.choice, step.block === "refusal" ? "refusal" : "text") +
          this.#delta(step.choice, `${DELTA_KEYS[step.block]}:${JSON.stringify(step.text)}`);
      case "call": {
        const { index, id, name } = step;
        const call = JSON.stringify({
          index,
          id,
          type: "function",
          function: { name, arguments: "" },
        });
        return this.#opening(step.choice, "call") +
          this.#delta(step.choice, `"tool_calls":[${call}]`);
      }
      case "arguments": {
        const piece = JSON.stringify({
          index: step.index,
          function: { arguments: step.text },
        });
        return this.#delta(step.choice, `"tool_calls":[${piece}]`);
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

  #delta(index: number, fields: string): string {
    const head = this.#head;
    return chunk(head, choice(head, index, `{${fields}}`, null), "null");
  }
}

/** OpenAI's own API never shows reasoning; servers that do call it so. */
const DELTA_KEYS = {
  text: `"content"`,
  reasoning: `"reasoning_content"`,
  refusal: `"refusal"`,
} as const;

/** One whole answer: the `chat.completion` object, in the key order and layout of the real API. */
export function completionBody(
  head: Pick<ChunkHead, "persona" | "id" | "created" | "model" | "tier">,
  choices: readonly GatheredChoice[],
  usage: Usage,
): string {
  const isMinimal = head.persona === "minimal";
  const { fingerprint, hasLogprobs, hasTier } = shapeOf(head.model);
  const body = {
    id: `chatcmpl-${head.id}`,
    object: "chat.completion",
    created: head.created,
    model: head.model,
    choices: choices.map((choice, index) => ({
      index,
      message: messageOf(choice, isMinimal),
      ...(isMinimal || !hasLogprobs ? {} : { logprobs: null }),
      finish_reason: choice.reason,
    })),
    usage: usageObject(usage),
    ...(isMinimal || !hasTier ? {} : { service_tier: head.tier ?? "default" }),
    ...(isMinimal ? {} : { system_fingerprint: FINGERPRINTS[fingerprint] }),
  };
  return `${JSON.stringify(body, null, 2)}\n`;
}

const BLANK_ID = "x".repeat(ID_BYTES);
/** Ten digits, as the time has. */
const BLANK_CREATED = 1_000_000_000;

/**
 * A whole answer as bytes, laid once: only its id and its time differ from one request to the next.
 */
export class CompletionBytes {
  readonly #bytes: Buffer;
  readonly #idAt: number;
  readonly #createdAt: number;

  constructor(
    head: Pick<ChunkHead, "persona" | "model" | "tier">,
    choices: readonly GatheredChoice[],
    usage: Usage,
  ) {
    const blank = { ...head, id: BLANK_ID, created: BLANK_CREATED };
    this.#bytes = Buffer.from(completionBody(blank, choices, usage));
    // Both come before anything that a model or a client says.
    this.#idAt = this.#bytes.indexOf(BLANK_ID);
    this.#createdAt = this.#bytes.indexOf(String(BLANK_CREATED));
  }

  /** Bytes of the answer. */
  get length(): number {
    return this.#bytes.length;
  }

  /** With these stamps. Whoever writes the bytes takes them at once: the next call writes over them. */
  stamped([created, id]: Stamped): Uint8Array {
    this.#put(created, this.#createdAt);
    this.#put(id!, this.#idAt);
    return this.#bytes;
  }

  #put(stamp: Uint8Array, at: number): void {
    for (let i = 0; i < stamp.length; i++) this.#bytes[at + i] = stamp[i]!;
  }
}

function messageOf({ text, reasoning, refusal, calls }: GatheredChoice, isMinimal: boolean) {
  const hasText = text !== "" || (calls.length === 0 && refusal === "");
  return {
    role: "assistant",
    content: hasText ? text : null,
    ...(reasoning === "" ? {} : { reasoning_content: reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: calls.map(callObject) }),
    ...(isMinimal ? {} : { refusal: refusal === "" ? null : refusal, annotations: [] }),
  };
}

function callObject({ id, name, arguments: text }: GatheredCall) {
  return { id, type: "function", function: { name, arguments: text } };
}
