/**
 * What OpenAI's chat API answers: `chat.completion.chunk` events, and the `chat.completion` object
 * (docs/facts/openai_api.md "Stream rules").
 *
 * @module
 */

import type {
  Block,
  EndReason,
  Labels,
  Moderation,
  ModerationResult,
  Step,
  TokenLogprob,
  UrlCitation,
  Usage,
} from "../../core/answer.ts";
import { type AnswerWriter, DONE_EVENT } from "../../core/dialect.ts";
import {
  CREATED_BYTES,
  labelsKey,
  type Layout,
  type Stamped,
  type StampTexts,
} from "../../core/frames.ts";
import type { Gathered, GatheredCall, GatheredChoice } from "../../core/gathering.ts";
import { type AnswerStamps, ID_BYTES } from "../../core/stamp.ts";
import { type Family, familyOf } from "../openai/families.ts";
import { resultInAnswer } from "../openai/moderations.ts";

/**
 * live: the shape that today's API has for the model · minimal: a text in the six events of the
 * OpenResty mock (docs/facts/systems.md "Events"), anything else as `live`.
 */
export type Persona = "live" | "minimal";

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
  /** The whole id: "chatcmpl-" and 29 characters, unless the answer has one of its own. */
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** The name the answer carries: dated where the real API dates it. */
  readonly model: string;
  /** The name in an answer that persona `minimal` does not shape; absent = `model`. */
  readonly fullModel?: string;
  /**
   * True: every chunk has a `usage` key, null until the last (docs/facts/openai_api.md "Usage
   * chunk").
   */
  readonly wantsUsage: boolean;
  /** True: the client has declared `functions`, and looks for calls in `function_call` alone. */
  readonly callsFunctions?: true;
  /** The tier that the answer says it had; absent = "default". */
  readonly tier?: Tier;
  /**
   * True: every chunk is padded to a multiple of 16 characters (docs/facts/openai_api.md
   * "Obfuscation").
   */
  readonly wantsObfuscation: boolean;
  /** What the answer says of itself; absent = nothing. */
  readonly labels?: Labels | undefined;
}

/** The fingerprint of the mock: "fp_" and 10 hexadecimal digits, the same in every answer. */
export const FINGERPRINT = "fp_77656972a1";

const FINGERPRINTS: Readonly<Record<Family["fingerprint"], string | null>> = {
  own: FINGERPRINT,
  null: null,
  empty: "",
};

/** A chunk's head, and which fields its model shows. */
type ShapedHead = ChunkHead & { readonly shape: Family };

/** The same, and what each event of the answer begins with. */
type WrittenHead = ShapedHead & { readonly start: string };

function fingerprintOf({ labels, shape }: Pick<ShapedHead, "labels" | "shape">): string | null {
  return labels?.fingerprint ?? FINGERPRINTS[shape.fingerprint];
}

function idOf(stamp: string, labels: Labels | undefined): string {
  return labels?.id ?? `chatcmpl-${stamp}`;
}

const CREATED_PREFIX = ',"object":"chat.completion.chunk","created":';

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
function chunk(head: WrittenHead, choices: string, usage: string, isUsageFirst = false): string {
  const { start } = head;
  if (head.persona === "minimal") return `data: ${start}"choices":${choices}}\n\n`;
  const told = head.wantsUsage ? `"usage":${usage}` : "";
  const first = isUsageFirst && told !== "" ? `${told},` : "";
  const last = isUsageFirst || told === "" ? "" : `,${told}`;
  const json = `${start}${first}"choices":${choices}${last}`;
  if (!head.wantsObfuscation) return `data: ${json}}\n\n`;
  const pad = PAD.slice(0, (16 - (json.length + 1) % 16) % 16);
  return `data: ${json},"obfuscation":"${pad}"}\n\n`;
}

/** `head` for the events of one answer: what they begin with is written once. */
function written(head: ShapedHead): WrittenHead {
  const { persona, id, created, model, shape, tier = "default" } = head;
  const start = `{"id":${JSON.stringify(id)}${CREATED_PREFIX}${created},"model":${
    JSON.stringify(model)
  },`;
  if (persona === "minimal") return { ...head, start };
  const told = shape.hasTier ? `"service_tier":"${tier}",` : "";
  const fingerprint = `"system_fingerprint":${JSON.stringify(fingerprintOf(head))},`;
  return { ...head, start: start + told + fingerprint };
}

function choice(
  { persona, shape }: ShapedHead,
  index: number,
  delta: string,
  reason: EndReason | "function_call" | null,
  logprobs = "null",
): string {
  const hasLogprobs = persona !== "minimal" && (shape.hasLogprobs || logprobs !== "null");
  const told = hasLogprobs ? `"logprobs":${logprobs},` : "";
  const finish = reason === null ? "null" : `"${reason}"`;
  return `[{"index":${index},"delta":${delta},${told}"finish_reason":${finish}}]`;
}

/**
 * How a choice begins, behind its role: with text, with several calls, with sound, or with words of
 * refusal.
 */
const OPENINGS = {
  text: `,"content":"","refusal":null`,
  calls: `,"content":null`,
  audio: `,"content":null,"refusal":null`,
  refusal: `,"content":null,"refusal":""`,
} as const;

/** What a chunk depends on, besides the stamps of each answer. */
export type ChunkOptions = Omit<ChunkHead, "id" | "created">;

const NO_USAGE: Usage = { promptTokens: 0, completionTokens: 0 };

/** Characters of a call's id that are the same in all calls of one answer. */
const CALL_STAMP_CHARS = 22;

/** Characters of an id of sound. */
const AUDIO_ID_CHARS = 32;

/**
 * The ids of an answer: its own, what those of its calls are made of, that of its sound, and, as
 * digits, the second in which that one expires.
 */
export const CHUNK_ID_LENGTHS: readonly number[] = [
  ID_BYTES,
  CALL_STAMP_CHARS,
  AUDIO_ID_CHARS,
  CREATED_BYTES,
];

/** Seconds for which sound may be referred to. */
const AUDIO_LIFE_S = 3600;

/** `stamps` of `CHUNK_ID_LENGTHS`, with the digits of their last one. `wallS`: since 1970. */
export function withExpiry(stamps: AnswerStamps, wallS: () => number): AnswerStamps {
  const filled = (stamped: Stamped, idCount: number): Stamped => {
    if (idCount < CHUNK_ID_LENGTHS.length) return stamped;
    new TextEncoder().encodeInto(String(wallS() + AUDIO_LIFE_S), stamped.at(-1)!);
    return stamped;
  };
  return {
    shared: (idCount) => filled(stamps.shared(idCount), idCount),
    own: (idCount) => filled(stamps.own(idCount), idCount),
  };
}

/** Lays and speaks answers as chunks, or in one piece. */
export class ChunkLayout implements Layout {
  readonly key: string;
  readonly idLengths = CHUNK_ID_LENGTHS;
  readonly #options: ChunkOptions & { readonly shape: Family };

  constructor(options: ChunkOptions) {
    const { persona, model, fullModel, wantsUsage, wantsObfuscation, tier, labels } = options;
    const flags = `${wantsUsage} ${wantsObfuscation} ${options.callsFunctions ?? false}`;
    this.key = `openai_chat ${persona} ${flags} ${tier} ${model} ${fullModel ?? ""}${
      labelsKey(labels)
    }`;
    this.#options = { ...options, shape: familyOf(options.fullModel ?? model) };
  }

  labelled(labels: Labels): ChunkLayout {
    return new ChunkLayout({ ...this.#options, labels });
  }

  writer(stamps: StampTexts): AnswerWriter {
    const [created, id] = stamps;
    const { labels } = this.#options;
    const head = {
      ...named(this.#options),
      id: idOf(id!, labels),
      created: labels?.createdS ?? Number(created),
    };
    return new ChunkWriter(head, stamps);
  }

  whole(said: Gathered, stamps: StampTexts): string {
    const options = said.choices.every(isPlain) ? this.#options : full(this.#options);
    const told = options.callsFunctions ? withOlderCalls(said) : said;
    return completionBody(named(options), told, stamps);
  }
}

/** `head` with the model's name that the answer gives, if it gives one. */
function named<Head extends Pick<ShapedHead, "labels" | "model" | "fullModel">>(head: Head): Head {
  const model = head.labels?.model;
  return model === undefined ? head : { ...head, model, fullModel: model };
}

/** `head` in the full shape. */
function full<Head extends Pick<ShapedHead, "persona" | "model" | "fullModel">>(head: Head): Head {
  return { ...head, persona: "live", model: head.fullModel ?? head.model };
}

/** True when a choice is a text and nothing else. */
function isPlain(choice: GatheredChoice): boolean {
  const { refusal, calls, citations, logprobs, audio, moderation } = choice;
  return refusal === "" && calls.length === 0 && citations.length === 0 &&
    logprobs === undefined && audio === undefined && moderation === undefined;
}

/** True when an answer that begins with `step` is a text, as far as anybody knows. */
function beginsPlain(step: Step): boolean {
  if (step.kind === "delta") return step.block !== "refusal" && step.logprobs === undefined;
  return step.kind !== "call" && step.kind !== "arguments" && step.kind !== "audio" &&
    step.kind !== "citation";
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
  #head: WrittenHead;
  readonly #stamps: StampTexts;
  readonly #open = new Set<number>();
  /** The calls that take text, as "choice index". */
  readonly #custom = new Set<string>();
  /** The choices that call in the older way, those with several calls, and those with sound. */
  readonly #functionCalls = new Set<number>();
  readonly #parallel = new Set<number>();
  readonly #sounding = new Set<number>();
  readonly #moderations: Moderation[] = [];

  constructor(head: ShapedHead, stamps: StampTexts) {
    this.#head = written(head);
    this.#stamps = stamps;
  }

  step(step: Step): string {
    const isFirst = this.#open.size === 0;
    if (isFirst && this.#head.persona === "minimal" && !beginsPlain(step)) {
      this.#head = written(full(this.#head));
    }
    const head = this.#head;
    switch (step.kind) {
      case "delta": {
        const { choice, block, text, logprobs } = step;
        if (block === "reasoning" && text === "") return ""; // there was some: no words for it
        const opening = block === "refusal" ? "refusal" : "text";
        return this.#opening(choice, opening, logprobs && logprobsText([], block)) +
          this.#delta(
            choice,
            `${DELTA_KEYS[block]}:${JSON.stringify(text)}`,
            logprobsText(logprobs, block),
          );
      }
      case "signature":
      case "redacted":
        return ""; // the API never shows reasoning, nor what proves it
      case "call":
        return this.#call(step);
      case "arguments": {
        const { choice, index, text } = step;
        if (this.#functionCalls.has(choice)) {
          return this.#delta(choice, `"function_call":${JSON.stringify({ arguments: text })}`);
        }
        const piece = this.#custom.has(`${choice} ${index}`)
          ? { index, custom: { input: text } }
          : { index, function: { arguments: text } };
        return this.#delta(choice, `"tool_calls":[${JSON.stringify(piece)}]`);
      }
      case "citation": {
        const annotation = JSON.stringify(annotationObject(step.citation));
        return this.#opening(step.choice, "text") +
          this.#delta(step.choice, `"annotations":[${annotation}]`);
      }
      case "audio": {
        const { choice, data, transcript } = step;
        const isFirst = !this.#sounding.has(choice);
        this.#sounding.add(choice);
        const piece = {
          ...(isFirst ? { id: audioId(this.#stamps) } : {}),
          ...(data === "" ? {} : { data }),
          ...(transcript === "" ? {} : { transcript }),
        };
        return this.#opening(choice, "audio") +
          this.#delta(choice, `"audio":${JSON.stringify(piece)}`);
      }
      case "end": {
        const isFunctionCall = this.#functionCalls.has(step.choice);
        const reason = isFunctionCall && step.reason === "tool_calls"
          ? "function_call"
          : step.reason;
        return this.#opening(step.choice, "text") + this.#expiry(step.choice) +
          chunk(head, choice(head, step.choice, "{}", reason), "null");
      }
      case "moderation":
        this.#moderations.push(step.moderation);
        return "";
      case "usage":
        return head.wantsUsage ? chunk(head, "[]", JSON.stringify(usageObject(step.usage))) : "";
    }
  }

  close(): string {
    return this.#moderated() + DONE_EVENT;
  }

  #call(step: Step & { readonly kind: "call" }): string {
    const { choice, index, name, isParallel } = step;
    const tool = step.tool ?? (this.#head.callsFunctions ? "function_call" : undefined);
    const id = step.id || callId(this.#stamps[CALL_STAMP]!, choice, index);
    if (tool === "custom") this.#custom.add(`${choice} ${index}`);
    if (tool === "function_call") this.#functionCalls.add(choice);
    if (isParallel) this.#parallel.add(choice);
    const call = { index, ...callObject({ id, name, arguments: "", tool }) };
    const fields = tool === "function_call"
      ? `"function_call":${JSON.stringify({ name, arguments: "" })}`
      : `"tool_calls":[${JSON.stringify(call)}]`;
    if (isParallel || this.#open.has(choice)) {
      return this.#opening(choice, "calls") + this.#delta(choice, fields);
    }
    this.#open.add(choice);
    return this.#delta(choice, `${this.#role},"content":null,${fields},"refusal":null`);
  }

  get #role(): string {
    return `"role":${JSON.stringify(roleOf(this.#head))}`;
  }

  #opening(index: number, kind: keyof typeof OPENINGS, logprobs?: string): string {
    if (this.#open.has(index)) return "";
    this.#open.add(index);
    const isMinimal = this.#head.persona === "minimal";
    return this.#delta(index, this.#role + (isMinimal ? "" : OPENINGS[kind]), logprobs);
  }

  /** The last word about a choice's sound has nothing else, not even a reason to end. */
  #expiry(index: number): string {
    if (!this.#sounding.has(index)) return "";
    const audio = `{"expires_at":${this.#stamps[EXPIRY_STAMP]}}`;
    return chunk(this.#head, `[{"index":${index},"delta":{"audio":${audio}}}]`, "null");
  }

  /** Behind the usage (docs/facts/openai_api.md "Moderation"). */
  #moderated(): string {
    if (this.#moderations.length === 0) return "";
    const moderation = JSON.stringify(moderationObject(this.#moderations));
    return chunk(this.#head, `[],"moderation":${moderation}`, "null");
  }

  #delta(index: number, fields: string, logprobs?: string): string {
    const head = this.#head;
    const choices = choice(head, index, `{${fields}}`, null, logprobs);
    return chunk(head, choices, "null", this.#parallel.has(index));
  }
}

function roleOf({ labels }: Pick<ShapedHead, "labels">): string {
  return labels?.role ?? "assistant";
}

/** Where it stands what the ids of calls are made of, and the second in which sound expires. */
const CALL_STAMP = 2;
const EXPIRY_STAMP = 4;

/** The id of an answer's sound. */
function audioId([, , , audio]: StampTexts): string {
  return `audio_${audio}`;
}

/** Moderations as the chat API says them: a result for the prompt, and one for each choice. */
function moderationObject(moderations: readonly Moderation[]) {
  const [{ model, input }] = moderations as readonly [Moderation];
  const results = (of: readonly ModerationResult[]) => ({
    type: "moderation_results",
    model,
    results: of.map((result) => resultInAnswer(result, model)),
  });
  return { input: results([input]), output: results(moderations.map(({ output }) => output)) };
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
  head: Pick<ShapedHead, "persona" | "model" | "tier" | "shape" | "labels">,
  { choices, usage = NO_USAGE }: Gathered,
  stamps: StampTexts,
): string {
  const isMinimal = head.persona === "minimal";
  const { hasLogprobs, hasTier } = head.shape;
  const [created, id] = stamps;
  const moderations = choices.flatMap(({ moderation }) => moderation ?? []);
  const body = {
    id: idOf(id!, head.labels),
    object: "chat.completion",
    created: head.labels?.createdS ?? Number(created),
    model: head.model,
    choices: choices.map((choice, index) => ({
      index,
      message: messageOf(choice, index, head, stamps),
      ...(isMinimal || !(hasLogprobs || choice.logprobs !== undefined)
        ? {}
        : { logprobs: logprobsObject(choice.logprobs, choice.refusal !== "") }),
      finish_reason: choice.reason === "tool_calls" && isFunctionCall(choice)
        ? "function_call"
        : choice.reason,
    })),
    usage: usageObject(usage),
    ...(isMinimal || !hasTier ? {} : { service_tier: head.tier ?? "default" }),
    ...(isMinimal ? {} : { system_fingerprint: fingerprintOf(head) }),
    ...(moderations.length === 0 ? {} : { moderation: moderationObject(moderations) }),
  };
  const text = `${JSON.stringify(body, null, 2)}\n`;
  // A slot's digits are no number while they are blanks. No text has this with bare quotes.
  return choices.some(({ audio }) => audio !== undefined)
    ? text.replaceAll(/"expires_at": "(\w+)"/g, '"expires_at": $1')
    : text;
}

/** `said`, with functions called in chat's older way. */
function withOlderCalls(said: Gathered): Gathered {
  const older = ({ tool = "function_call", ...call }: GatheredCall) => ({ ...call, tool });
  return {
    ...said,
    choices: said.choices.map((choice) => ({ ...choice, calls: choice.calls.map(older) })),
  };
}

function isFunctionCall({ calls }: GatheredChoice): boolean {
  return calls.some(({ tool }) => tool === "function_call");
}

function messageOf(
  choice: GatheredChoice,
  index: number,
  head: Pick<ShapedHead, "persona" | "labels">,
  stamps: StampTexts,
) {
  const { text, reasoning, refusal, calls, citations, audio } = choice;
  const hasText = text !== "" || (calls.length === 0 && refusal === "" && audio === undefined);
  return {
    role: roleOf(head),
    content: hasText ? text : null,
    ...(reasoning === "" ? {} : { reasoning_content: reasoning }),
    ...callsOf(choice, index, stamps),
    ...(head.persona === "minimal" ? {} : {
      refusal: refusal === "" ? null : refusal,
      annotations: citations.map(annotationObject),
    }),
    ...(audio === undefined ? {} : {
      audio: { id: audioId(stamps), ...audio, expires_at: stamps[EXPIRY_STAMP] },
    }),
  };
}

/** `tool_calls` or `function_call`; none of them where nothing is called. */
function callsOf(choice: GatheredChoice, index: number, stamps: StampTexts) {
  const { calls } = choice;
  if (calls.length === 0) return {};
  if (isFunctionCall(choice)) {
    const [{ name, arguments: text }] = calls as readonly [GatheredCall];
    return { function_call: { name, arguments: text } };
  }
  return {
    tool_calls: calls.map((call, at) =>
      callObject({ ...call, id: call.id || callId(stamps[CALL_STAMP]!, index, at) })
    ),
  };
}

/** A call as the chat API says it. */
export function callObject({ id, name, arguments: text, tool }: GatheredCall) {
  return tool === "custom"
    ? { id, type: "custom", custom: { name, input: text } }
    : { id, type: "function", function: { name, arguments: text } };
}
