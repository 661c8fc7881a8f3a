/**
 * The OpenAI chat dialect: `chat.completion.chunk` events, as scripts laid into frames and as live
 * events, and the `chat.completion` object (facts/openai-api.md 1.2, 1.3, 5.1).
 *
 * @module
 */

import type { EndReason, Script, Usage } from "../../core/answer.ts";
import { type Dialect, DONE_EVENT } from "../../core/dialect.ts";
import type { AppError } from "../../core/errors.ts";
import {
  CREATED_BLANK,
  type Frame,
  type Frames,
  ID_BLANK,
  ID_BYTES,
  layFrames,
  type Slots,
} from "../../core/frames.ts";
import { errorEvent } from "../openai/errors.ts";

/** gpt-4o: today's full chunk shape · minimal: the six events of system 002. */
export type Persona = "gpt-4o" | "minimal";

/** What is the same in every chunk of one answer. */
export interface ChunkHead {
  readonly persona: Persona;
  /** 29 characters behind "chatcmpl-". */
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** The name the answer carries: dated where the real API dates it. */
  readonly model: string;
  /** True: every chunk has a `usage` key, null until the last (rule 14). */
  readonly wantsUsage: boolean;
  /** True: every chunk is padded to a multiple of 16 characters (rule 17). */
  readonly wantsObfuscation: boolean;
}

/** The fingerprint of the mock: "fp_" and 10 hexadecimal digits, the same in every answer. */
export const FINGERPRINT = "fp_77656972a1";

const ID_PREFIX = 'data: {"id":"chatcmpl-';
const CREATED_PREFIX = '","object":"chat.completion.chunk","created":';

/** Where id and time stand in every chunk: before anything whose length can change. */
const SLOTS: Slots = {
  idAt: ID_PREFIX.length,
  createdAt: ID_PREFIX.length + ID_BYTES + CREATED_PREFIX.length,
};

/**
 * The pad of rule 17: its length is counted in UTF-16 units of the JSON without the field, its
 * characters mean nothing.
 */
const PAD = "h7Qx2LmVt9RbKe4";

/** The `usage` object, all detail fields included (facts 5.1, "Non-stream"). */
export function usageObject({ promptTokens, completionTokens }: Usage) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: 0,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}

/** One event. `choices` and `usage` are JSON texts; key order is rule 18's. */
function chunk(head: ChunkHead, choices: string, usage: string): string {
  const { persona, id, created, model } = head;
  const start = `{"id":"chatcmpl-${id}${CREATED_PREFIX}${created},"model":${
    JSON.stringify(model)
  },`;
  if (persona === "minimal") return `data: ${start}"choices":${choices}}\n\n`;
  const json = `${start}"service_tier":"default","system_fingerprint":"${FINGERPRINT}",` +
    `"choices":${choices}${head.wantsUsage ? `,"usage":${usage}` : ""}`;
  if (!head.wantsObfuscation) return `data: ${json}}\n\n`;
  const pad = PAD.slice(0, (16 - (json.length + 1) % 16) % 16);
  return `data: ${json},"obfuscation":"${pad}"}\n\n`;
}

function choice(persona: Persona, index: number, delta: string, reason: EndReason | null): string {
  const logprobs = persona === "minimal" ? "" : `"logprobs":null,`;
  const finish = reason === null ? "null" : `"${reason}"`;
  return `[{"index":${index},"delta":${delta},${logprobs}"finish_reason":${finish}}]`;
}

function roleChunk(head: ChunkHead, index: number): string {
  const delta = head.persona === "minimal"
    ? `{"role":"assistant"}`
    : `{"role":"assistant","content":"","refusal":null}`;
  return chunk(head, choice(head.persona, index, delta, null), "null");
}

function textChunk(head: ChunkHead, index: number, text: string): string {
  const delta = `{"content":${JSON.stringify(text)}}`;
  return chunk(head, choice(head.persona, index, delta, null), "null");
}

function endChunk(head: ChunkHead, index: number, reason: EndReason): string {
  return chunk(head, choice(head.persona, index, "{}", reason), "null");
}

function usageChunk(head: ChunkHead, usage: Usage): string {
  return chunk(head, "[]", JSON.stringify(usageObject(usage)));
}

/** What a laid-down answer depends on, besides the id and the time of each request. */
export type FramesHead = Omit<ChunkHead, "id" | "created">;

/**
 * Lays `script` down as chunks, `choiceCount` answers side by side: each has its own role chunk and
 * its own finish chunk, interleaved piece by piece (rule 13).
 */
export function encodeChunks(
  script: Script,
  framesHead: FramesHead,
  choiceCount: number,
  usage?: Usage,
): Frames {
  const head: ChunkHead = { ...framesHead, id: ID_BLANK, created: CREATED_BLANK };
  const frames: Frame[] = [];
  let dueMs = 0;
  let isOpen = false;
  for (const step of script.steps) {
    dueMs += step.afterMs;
    for (let index = 0; index < choiceCount; index++) {
      if (!isOpen) frames.push({ text: roleChunk(head, index), dueMs });
      frames.push({
        text: step.kind === "text"
          ? textChunk(head, index, step.text)
          : endChunk(head, index, step.reason),
        dueMs,
      });
    }
    isOpen = true;
  }
  if (usage !== undefined && head.wantsUsage) frames.push({ text: usageChunk(head, usage), dueMs });
  frames.push({ text: DONE_EVENT, dueMs });
  return layFrames(frames, SLOTS, frames.length - 1);
}

/** Speaks a live answer as chunks. */
export class ChunkDialect implements Dialect {
  readonly #head: ChunkHead;

  constructor(head: ChunkHead) {
    this.#head = head;
  }

  open(): string {
    return roleChunk(this.#head, 0);
  }

  text(text: string): string {
    return text === "" ? "" : textChunk(this.#head, 0, text);
  }

  end(reason: EndReason, usage?: Usage): string {
    const counts = this.#head.wantsUsage && usage !== undefined
      ? usageChunk(this.#head, usage)
      : "";
    return endChunk(this.#head, 0, reason) + counts + DONE_EVENT;
  }

  error(error: AppError): string {
    return errorEvent(error);
  }
}

/** One whole answer: the `chat.completion` object, in the key order and layout of the real API. */
export function completionBody(
  head: Pick<ChunkHead, "persona" | "id" | "created" | "model">,
  choices: readonly { readonly text: string; readonly reason: EndReason }[],
  usage: Usage,
): string {
  const isMinimal = head.persona === "minimal";
  const body = {
    id: `chatcmpl-${head.id}`,
    object: "chat.completion",
    created: head.created,
    model: head.model,
    choices: choices.map(({ text, reason }, index) => ({
      index,
      message: isMinimal
        ? { role: "assistant", content: text }
        : { role: "assistant", content: text, refusal: null, annotations: [] },
      ...(isMinimal ? {} : { logprobs: null }),
      finish_reason: reason,
    })),
    usage: usageObject(usage),
    ...(isMinimal ? {} : { service_tier: "default", system_fingerprint: FINGERPRINT }),
  };
  return `${JSON.stringify(body, null, 2)}\n`;
}
