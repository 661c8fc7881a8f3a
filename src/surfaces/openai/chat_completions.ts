/**
 * `POST /v1/chat/completions`: the OpenAI chat API, answered by the mock or relayed to an upstream.
 *
 * @module
 */

import type { Fields } from "../../lib/http1/fields.ts";
import { HeaderBlock } from "../../lib/http1/header_block.ts";
import type { RequestHead } from "../../lib/http1/request_head.ts";
import type { Source, Usage, Wire } from "../../core/answer.ts";
import { queryOf } from "../../core/body.ts";
import { checkDepth, checkSize } from "../../core/depth.ts";
import { type AppError, asAppError } from "../../core/errors.ts";
import type { Authorize, Exchange } from "../../core/exchange.ts";
import type { Gathered } from "../../core/gathering.ts";
import { sseFields } from "../../core/sse_headers.ts";
import type { Stamps } from "../../core/stamp.ts";
import type {
  Asking,
  Inbound,
  Manner,
  RecordLateness,
  Surface,
  Whole,
} from "../../core/surface.ts";
import { EMPTY_TURN, type Turn } from "../../core/turn.ts";
import {
  bodyTooLarge,
  brokenJson,
  errorAnswer,
  errorEvent,
  keyError,
} from "../../dialects/openai/errors.ts";
import { datedModel } from "../../dialects/openai/models.ts";
import { peekModel } from "../../dialects/openai_chat/peek_model.ts";
import { type ChatRequest, parseChatRequest } from "../../dialects/openai_chat/request.ts";
import {
  ChunkLayout,
  CompletionBytes,
  type Persona,
  type Tier,
  tierOf,
} from "../../dialects/openai_chat/write_answer.ts";

/** What differs between the URLs that speak this dialect. */
export interface Door {
  /** The URL's name in logs and metrics. */
  readonly surface: string;
  /**
   * Lets a request in.
   *
   * @throws {AppError} when it may not come in (also as a rejection).
   */
  readonly admit: (head: RequestHead, exchange: Exchange) => void | Promise<void>;
  /** The fields that may go upstream. */
  readonly fieldsUp: (head: RequestHead, exchange: Exchange) => Fields;
  /** True: words of the mock have their blank behind them, as that system had them. */
  readonly cutsAfterBlank: boolean;
  /** The answer to a request that was refused, or that failed before its first byte. */
  readonly refuse: (error: AppError, requestId: string) => Whole;
}

/** What the surface needs. */
export interface ChatCompletionsDeps {
  readonly source: Source;
  /** True when some of its source's answers are relays: the body is kept as it came. */
  readonly isRelaying: boolean;
  /** True when its source passes on whatever is asked: a large body goes up while it comes. */
  readonly streamsUp: boolean;
  readonly stamps: Stamps;
  readonly recordLateness: RecordLateness;
  readonly door: Door;
  readonly persona: Persona;
  readonly validate: "spec" | "live";
  /** True: an answer is finished although its client has left. */
  readonly isDraining: boolean;
  /** What `openai-processing-ms` says: the mock's time to its first token. */
  readonly processingMs: number;
}

/** Where the answers' own id goes: "req_" and 32 hex digits. */
const REQUEST_ID = { name: "x-request-id", width: 36 } as const;

/** A whole answer, and what it depends on. A live answer has choices of its own, so it is laid anew. */
interface Told {
  readonly choices: Gathered["choices"];
  readonly model: string;
  readonly tier: Tier;
  readonly usage: Usage;
  readonly bytes: CompletionBytes;
}

function sameUsage(one: Usage, other: Usage): boolean {
  return one.promptTokens === other.promptTokens &&
    one.completionTokens === other.completionTokens &&
    one.cachedTokens === other.cachedTokens && one.reasoningTokens === other.reasoningTokens;
}

/** A longer question, and a longer answer, is not remembered. */
const REMEMBERED_CHARS_MAX = 16_384;
const REMEMBERED_BYTES_MAX = 65_536;

/** Layouts kept: one per model name and combination of options. */
const LAYOUTS_MAX = 1024;

/** Makes the surface. */
export function chatCompletions(deps: ChatCompletionsDeps): Surface {
  const { source, door, persona } = deps;
  const room = new ChatRoom(deps);
  return {
    name: door.surface,
    source: source.name,
    takes: deps.streamsUp ? "stream" : "body",
    admit(head, exchange) {
      if (persona !== "minimal") exchange.requestId = `req_${deps.stamps.hex(32)}`;
      return door.admit(head, exchange);
    },
    answer: (inbound, exchange) => new ChatAsk(room, inbound, exchange),
    tooLarge: bodyTooLarge,
    refuse: (error, { requestId }) => door.refuse(error, requestId),
  };
}

/** What all requests of one surface share. */
class ChatRoom {
  readonly deps: ChatCompletionsDeps;
  readonly manner: Manner;
  readonly cutsAfterBlank: boolean;
  readonly #jsonHeaders: HeaderBlock;
  readonly #layouts = new Map<string, ChunkLayout>();
  /** The whole answer that was told last: a mock tells the same again and again. */
  #told: Told | undefined;
  #parsed: { readonly text: string; readonly chat: ChatRequest } | undefined;
  /** What was asked last: most requests ask for the same as the one before. */
  #last:
    | { readonly chat: ChatRequest; readonly tier: Tier; readonly layout: ChunkLayout }
    | undefined;

  constructor(deps: ChatCompletionsDeps) {
    this.deps = deps;
    const { persona, stamps, door } = deps;
    this.cutsAfterBlank = door.cutsAfterBlank || persona === "minimal";
    const fields = answerFields(deps);
    const { "x-accel-buffering": unbuffered, ...ofMinimal } = sseFields(fields);
    // The OpenResty mock says neither an id nor anything to nginx.
    const streamHeaders = persona === "minimal"
      ? HeaderBlock.of(ofMinimal)
      : HeaderBlock.of({ ...ofMinimal, "x-accel-buffering": unbuffered! }, REQUEST_ID);
    this.#jsonHeaders = HeaderBlock.of(
      { "content-type": "application/json", ...fields },
      persona === "minimal" ? undefined : REQUEST_ID,
    );
    this.manner = {
      stamps: stamps.withId(),
      headers: (exchange) => this.#stamped(streamHeaders, exchange),
      errorEvent,
      recordLateness: deps.recordLateness,
    };
  }

  layoutOf(chat: ChatRequest): ChunkLayout {
    const { model, wantsUsage, wantsObfuscation } = chat;
    const tier = tierOf(chat.params["service_tier"]);
    const last = this.#last;
    if (
      last !== undefined && last.chat.model === model && last.chat.wantsUsage === wantsUsage &&
      last.chat.wantsObfuscation === wantsObfuscation && last.tier === tier
    ) return last.layout;
    const { persona } = this.deps;
    const made = new ChunkLayout({
      persona,
      model: this.#modelName(model),
      wantsUsage,
      wantsObfuscation,
      tier,
    });
    const layout = this.#layouts.get(made.key) ?? made;
    if (this.#layouts.size >= LAYOUTS_MAX) this.#layouts.clear();
    this.#layouts.set(layout.key, layout);
    this.#last = { chat: { ...EMPTY_CHAT, model, wantsUsage, wantsObfuscation }, tier, layout };
    return layout;
  }

  /**
   * The request in a body. The last one is at hand: who tests under load says the same again and
   * again, and to parse it takes 1 µs.
   */
  parse(text: string): ChatRequest {
    if (text === this.#parsed?.text) return this.#parsed.chat;
    const { persona, validate } = this.deps;
    try {
      const chat = parseChatRequest(parseJson(text), validate);
      if (text.length <= REMEMBERED_CHARS_MAX) this.#parsed = { text, chat };
      return chat;
    } catch (error) {
      // The OpenResty mock never reads the body (docs/facts/systems.md "Events"): its clients get their answer whatever they send.
      if (persona !== "minimal" || asAppError(error).status !== 400) throw error;
      return EMPTY_CHAT;
    }
  }

  /** The whole answer as one object. */
  whole(said: Gathered, { model, params }: ChatRequest, exchange: Exchange): Whole {
    return {
      kind: "whole",
      status: 200,
      headers: this.#stamped(this.#jsonHeaders, exchange),
      body: this.#laid(said, model, tierOf(params["service_tier"])).stamped(
        this.manner.stamps.shared(),
      ),
    };
  }

  #laid({ choices, usage = NO_USAGE }: Gathered, model: string, tier: Tier): CompletionBytes {
    const told = this.#told;
    if (
      told !== undefined && told.choices === choices && told.model === model &&
      told.tier === tier && sameUsage(told.usage, usage)
    ) return told.bytes;
    const head = { persona: this.deps.persona, model: this.#modelName(model), tier };
    const bytes = new CompletionBytes(head, choices, usage);
    if (bytes.length <= REMEMBERED_BYTES_MAX) this.#told = { choices, model, tier, usage, bytes };
    return bytes;
  }

  /** The shared fields with this answer's id: whoever writes the answer takes them at once. */
  #stamped(shared: HeaderBlock, { requestId }: Exchange): HeaderBlock {
    return requestId === "" ? shared : shared.stamp(requestId);
  }

  #modelName(model: string): string {
    return this.deps.persona === "minimal" ? MINIMAL_MODEL : datedModel(model);
  }
}

/** One request. It is parsed when somebody asks for its turn, which no relay does. */
class ChatAsk implements Asking {
  readonly kind = "ask";
  readonly #room: ChatRoom;
  readonly #inbound: Inbound;
  readonly wire: Wire | undefined;
  #chat: ChatRequest | undefined = undefined;

  constructor(room: ChatRoom, inbound: Inbound, exchange: Exchange) {
    this.#room = room;
    this.#inbound = inbound;
    const { isRelaying, door } = room.deps;
    this.wire = isRelaying
      ? {
        dialect: "openai_chat",
        method: "POST",
        path: `/chat/completions${queryOf(inbound.head.target)}`,
        fields: door.fieldsUp(inbound.head, exchange),
        body: inbound.bytes,
        upload: inbound.upload,
      }
      : undefined;
  }

  get source(): Source {
    return this.#room.deps.source;
  }

  get manner(): Manner {
    return this.#room.manner;
  }

  get isDraining(): boolean {
    return this.#room.deps.isDraining;
  }

  get cutsAfterBlank(): boolean {
    return this.#room.cutsAfterBlank;
  }

  model(): string {
    return this.wire === undefined ? this.#read().model : peekModel(this.wire.body);
  }

  turn(): Turn {
    const chat = this.#read();
    const { isStream } = this;
    // Usually the very object that was parsed: on the hot path nothing is copied.
    if (isStream && chat.isStream) return chat;
    return { ...chat, isStream, wantsUsage: chat.wantsUsage || !isStream };
  }

  get isStream(): boolean {
    return this.#read().stream ?? this.#room.deps.persona === "minimal";
  }

  get layout(): ChunkLayout {
    return this.#room.layoutOf(this.#read());
  }

  whole(said: Gathered, exchange: Exchange): Whole {
    return this.#room.whole(said, this.#read(), exchange);
  }

  #read(): ChatRequest {
    return this.#chat ??= this.#room.parse(this.#inbound.text);
  }
}

function parseJson(text: string): unknown {
  checkSize(text);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw brokenJson();
  }
  checkDepth(text, body);
  return body;
}

/** The door of `/v1/chat/completions`: OpenAI's keys and OpenAI's errors. */
export function v1Door(
  authorize: Authorize,
  /** The keys that are right: an error never repeats one. */
  secrets: readonly string[],
): Door {
  return {
    surface: "v1_chat_completions",
    admit({ fields }, exchange) {
      const verdict = authorize(fields, exchange);
      if (verdict !== "ok") throw keyError(verdict, fields, secrets);
    },
    fieldsUp: ({ fields }) => fields,
    cutsAfterBlank: false,
    refuse: errorAnswer,
  };
}

/** What every answer of the mock carries, whatever its content type. */
function answerFields({ persona, processingMs }: ChatCompletionsDeps): Record<string, string> {
  if (persona === "minimal") return { "access-control-allow-origin": "*" };
  return {
    "openai-version": "2020-10-01",
    "openai-processing-ms": String(Math.max(1, Math.round(processingMs))),
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "X-Request-ID",
  };
}

const NO_USAGE: Usage = { promptTokens: 0, completionTokens: 0 };

/** The one model that the OpenResty mock knows. */
const MINIMAL_MODEL = "gpt-3.5-turbo";

/** A request of which nothing is known. */
const EMPTY_CHAT: ChatRequest = { ...EMPTY_TURN, stream: undefined, wantsObfuscation: true };
