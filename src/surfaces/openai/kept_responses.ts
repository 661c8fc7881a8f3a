/**
 * Responses that are kept: `/v1/responses/{id}` and what stands below it, and what a new response
 * goes on from (docs/facts/openai_api.md "Responses: request").
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import { RESPONSE_ID_LENGTHS, type Stamps, stampTexts, workerOfDigits } from "../../core/stamp.ts";
import type { Surface } from "../../core/surface.ts";
import { type JsonObject, type Level } from "../../dialects/openai/check.ts";
import { echo, errorOf } from "../../dialects/openai/faults.ts";
import { requestedUnknown } from "../../dialects/openai_responses/errors.ts";
import { encryptedOf, IdMaker, responseIdOf } from "../../dialects/openai_responses/ids.ts";
import { checkTalk, messagesOf, withReferenced } from "../../dialects/openai_responses/input.ts";
import { type KeptItem, keptItem } from "../../dialects/openai_responses/kept_items.ts";
import {
  parseResponsesRequest,
  promptUnknown,
  type ResponsesRequest,
} from "../../dialects/openai_responses/request.ts";
import { ResponsesLayout, stepsOf } from "../../dialects/openai_responses/write_answer.ts";
import type { Wheel } from "../../lib/wheel.ts";
import type { AnswerKeeper, KeptAnswer, ToldAnswer } from "../kept_answer.ts";
import type { Past } from "../model_surface.ts";
import { type Conversations, conversationUnknown } from "./conversations.ts";
import {
  checkIncluded,
  type KeptRow,
  type KeptRows,
  keptRows,
  listOf,
  objectUnknown,
  pageOf,
  pagingOf,
  queryOf,
  type TimedEvent,
  type Told,
  told,
} from "./kept_objects.ts";
import type { Keep } from "./keep.ts";
import type { AnswerPacking, PackedAnswer } from "./packed_answer.ts";
import { renamed, SAMPLE_PROMPT, sampleAnswer } from "./sample.ts";
import type { Packing } from "./stored_keep.ts";

type KeptResponse = KeptAnswer<ResponsesRequest>;

/** What they need. */
export interface KeptResponsesDeps {
  readonly keep: Keep<ToldAnswer>;
  readonly rows: KeptRows;
  readonly conversations: Conversations;
  readonly stamps: Stamps;
  readonly wheel: Wheel;
  readonly validate: Level;
  /** The model that is meant where none is named. */
  readonly model: string;
  /** The models that are answered for; empty = any. */
  readonly models: readonly string[];
  /** True: what is not kept here may be an upstream's. */
  readonly isRelaying: boolean;
  /** True: the mock answers what names this model ("" = none). */
  readonly isMocked: (model: string) => boolean;
  /** What answers say that nobody has made; undefined = they are missing. */
  readonly madeUpReply: string | undefined;
  /** Tokens of a prompt. */
  readonly countPrompt: (request: ResponsesRequest) => number;
  readonly countText: (model: string, text: string) => number;
}

/** Responses that one may go on from, one before the other. */
const CHAIN_MAX = 1000;

/** What tells that a body names something that was kept. */
const NAMES = ["previous_response_id", "conversation", "item_reference"]
  .map((name) => Buffer.from(`"${name}"`));

/** What one response has added to the talk, and the one before it. */
interface Link {
  readonly items: readonly KeptItem[];
  readonly previousId: string | null;
  readonly status: "in_progress" | "done";
}

/** All kept responses, and the surfaces of their rows. */
export class KeptResponses implements AnswerKeeper<ResponsesRequest>, Past<ResponsesRequest> {
  readonly #deps: KeptResponsesDeps;
  readonly #link: KeptRow;
  readonly holdsEnds: boolean;
  readonly surfaces: Readonly<
    Record<"get" | "remove" | "cancel" | "inputItems" | "inputTokens" | "compact", Surface>
  >;

  constructor(deps: KeptResponsesDeps) {
    this.#deps = deps;
    const { rows, keep, wheel } = deps;
    this.holdsEnds = keep.stored !== undefined;
    const row = keptRows<ToldAnswer>({
      name: "v1_response",
      workerOf,
      keep,
      unknown: (id) => objectUnknown("Response", id),
      madeUp: deps.madeUpReply === undefined ? undefined : async (id, answer) => {
        const sample = this.#sampleOf(id, deps.madeUpReply!);
        return renamed(await answer(sample), idOf(sample), id);
      },
    });
    this.#link = rows.internal(row("_link", (kept) => told(this.#linkOf(kept))));
    this.surfaces = {
      get: rows.surface(row("_get", (kept, { query }) => this.#get(kept, query))),
      remove: rows.surface(row("_delete", async (_kept, { params: { id } }) => {
        await keep.delete(id!);
        return told({ id, object: "response", deleted: true });
      })),
      cancel: rows.surface(row("_cancel", async (kept) => {
        if (deps.validate === "live" && !this.#requestOf(kept).isBackground) {
          throw new AppError("request_invalid", "Cannot cancel a synchronous response.");
        }
        const edit = (one: ToldAnswer) => {
          if (!this.#isDone(one)) one.cancelledMs ??= wheel.nowMs;
          return one;
        };
        return this.#object(await keep.change(idOf(kept), edit) ?? edit(kept));
      }, true)),
      inputItems: rows.surface(row("_input_items", async (kept, { query }) => {
        checkIncluded(query, deps.validate);
        const paging = pagingOf(query, "desc", deps.validate);
        const { previousId } = this.#requestOf(kept);
        const past = previousId === undefined ? [] : await this.#chain(previousId, idOf(kept));
        return told(listOf(pageOf([...past, ...this.#inputOf(kept)], paging)));
      })),
      inputTokens: rows.surface({
        name: "v1_response_input_tokens",
        hasBody: true,
        answer: async ({ body }) => {
          const input_tokens = deps.countPrompt(await this.#counted(body as JsonObject));
          return told({ object: "response.input_tokens", input_tokens });
        },
      }),
      compact: rows.surface({
        name: "v1_response_compact",
        hasBody: true,
        answer: async ({ body }) => {
          const { model } = body as JsonObject;
          if (!deps.isMocked(typeof model === "string" ? model : "")) throw notCompacted();
          return this.#compacted(await this.#counted(body as JsonObject));
        },
      }),
    };
  }

  mayKeep(): boolean {
    return true;
  }

  isKept({ isStored, isBackground, conversationId }: ResponsesRequest): boolean {
    return isStored || isBackground || conversationId !== undefined;
  }

  /** Items that were only named are kept with what they say: they may be gone when somebody asks. */
  textOf(text: string, { isRestated, items }: ResponsesRequest): string {
    return isRestated ? JSON.stringify({ ...JSON.parse(text), input: items }) : text;
  }

  isDeferred({ isBackground }: ResponsesRequest): boolean {
    return isBackground;
  }

  keep(kept: KeptResponse, request: ResponsesRequest): Promise<void> | undefined {
    const { keep, conversations } = this.#deps;
    const isKept = request.isStored || request.isBackground;
    const written = isKept ? keep.set(idOf(kept), kept) : undefined;
    if (request.conversationId === undefined || kept.said === undefined) return written;
    const appended = conversations.append(request.conversationId, [
      ...this.#inputOf(kept),
      ...this.#outputOf(kept),
    ]);
    return written === undefined ? appended : Promise.all([written, appended]).then(() => {});
  }

  drop(kept: KeptResponse): void {
    this.#deps.keep.drop(idOf(kept));
  }

  mayName(body: Uint8Array<ArrayBuffer>): boolean {
    const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    return NAMES.some((name) => bytes.includes(name));
  }

  resolve(request: ResponsesRequest): Promise<ResponsesRequest | undefined> | undefined {
    const { previousId, conversationId, references } = request;
    return previousId === undefined && conversationId === undefined && references.length === 0
      ? undefined
      : this.#resolved(request);
  }

  checkNone(request: ResponsesRequest): void {
    const { previousId, conversationId, references: [named] } = request;
    this.#checkPrompt(request);
    if (named !== undefined) throw itemUnknown(named);
    if (previousId !== undefined) throw previousUnknown(previousId);
    if (conversationId !== undefined) throw conversationUnknown(conversationId);
  }

  /** What a prompt says that is kept elsewhere cannot be asked of a model; the mock needs none. */
  #checkPrompt({ promptId }: ResponsesRequest): void {
    if (promptId !== undefined && this.#deps.isRelaying) throw promptUnknown(promptId);
  }

  async #resolved(request: ResponsesRequest): Promise<ResponsesRequest | undefined> {
    const { isRelaying } = this.#deps;
    try {
      const resolved = await this.#withPast(request);
      this.#checkPrompt(resolved);
      return resolved;
    } catch (error) {
      const isUnknown = error instanceof AppError &&
        (error.code === "previous_unknown" || error.code === "object_unknown");
      if (isRelaying && isUnknown) return undefined;
      throw error;
    }
  }

  /** `request`, behind what was said before. Instructions of before are no part of it. */
  async #withPast(request: ResponsesRequest): Promise<ResponsesRequest> {
    const { previousId, conversationId, references, asked } = request;
    const past = previousId !== undefined
      ? await this.#chain(previousId)
      : conversationId !== undefined
      ? await this.#talk(conversationId)
      : [];
    if (past.length === 0 && references.length === 0) return request;
    const found = await this.#named(references, past);
    const items = withReferenced(request.items, found);
    const talk = [...past, ...items];
    const fault = this.#deps.validate === "live" ? checkTalk(talk) : undefined;
    if (fault !== undefined) throw errorOf(fault);
    return {
      ...request,
      messages: messagesOf(talk, asked["instructions"]),
      ...(found.size === 0 ? {} : { items, references: [], isRestated: true }),
    };
  }

  /**
   * The items `ids`, of `past` or of whatever else is kept.
   *
   * @throws {AppError} 404 when there is no such one, unless the mock is to be lenient.
   */
  async #named(
    ids: readonly string[],
    past: readonly KeptItem[],
  ): Promise<ReadonlyMap<string, KeptItem>> {
    const { conversations, validate, isRelaying } = this.#deps;
    const missing = new Set(ids);
    const found = new Map<string, KeptItem>();
    const take = (items: readonly KeptItem[]) => {
      for (const item of items) if (missing.delete(item.id)) found.set(item.id, item);
    };
    take(past);
    const responses = new Set([...missing].map(responseIdOf).filter((id) => id !== undefined));
    if (responses.size > CHAIN_MAX) throw tooManyNamed();
    for (const id of responses) take((await this.#linked(id))?.items ?? []);
    if (missing.size > 0) take(await conversations.itemsNamed([...missing]));
    const [unknown] = missing;
    const isStrict = validate === "live" || isRelaying;
    if (unknown !== undefined && isStrict) throw itemUnknown(unknown);
    return found;
  }

  /** What response `id` has added, wherever it is; undefined = there is no such one. */
  async #linked(id: string): Promise<Link | undefined> {
    const asked = { params: { id }, query: "", body: null };
    const found = await this.#deps.rows.tell(this.#link, asked);
    return found !== undefined && "json" in found ? JSON.parse(found.json) as Link : undefined;
  }

  async #talk(id: string): Promise<readonly KeptItem[]> {
    const items = await this.#deps.conversations.itemsOf(id);
    if (items === undefined) throw conversationUnknown(id);
    return items;
  }

  /**
   * All that was said up to response `last`, input and output. `asked` is the one that the client
   * has named: it knows no other.
   */
  async #chain(last: string, asked = last): Promise<readonly KeptItem[]> {
    const links: (readonly KeptItem[])[] = [];
    for (let id: string | null = last; id !== null;) {
      const found: Link | undefined = await this.#linked(id);
      if (found === undefined) throw id === asked ? previousUnknown(id) : this.#previousLost(asked);
      const { items, previousId, status } = found;
      if (status !== "done") throw previousRunning(id);
      links.push(items);
      if (links.length > CHAIN_MAX) throw chainTooLong(asked);
      id = previousId;
    }
    return links.reverse().flat();
  }

  #previousLost(id: string): AppError {
    const settings = this.holdsEnds
      ? "store.objects_days, store.objects_max_bytes"
      : "mock.kept_max, mock.kept_max_bytes";
    return new AppError(
      "previous_lost",
      `What was said before response '${
        echo(id)
      }' is no longer all there: a response that it goes ` +
        `on from was deleted, or went with the oldest (${settings}).`,
      { param: "previous_response_id" },
    );
  }

  /** A response that nobody has made. */
  #sampleOf(id: string, reply: string): ToldAnswer {
    const { model, validate, countPrompt, countText } = this.#deps;
    const body = { model, input: SAMPLE_PROMPT };
    return sampleAnswer(id, {
      idLengths: RESPONSE_ID_LENGTHS,
      body,
      reply,
      usage: {
        promptTokens: countPrompt(parseResponsesRequest(body, validate, model)),
        completionTokens: countText(model, reply),
      },
    });
  }

  #linkOf(kept: ToldAnswer): Link {
    const { previousId = null } = this.#requestOf(kept);
    return this.#isDone(kept)
      ? {
        items: [...this.#inputOf(kept), ...this.#outputOf(kept)],
        previousId,
        status: "done",
      }
      : { items: [], previousId, status: "in_progress" };
  }

  /** True once all of it is said, or it was cancelled. */
  #isDone({ cancelledMs, startMs, totalMs }: ToldAnswer): boolean {
    return cancelledMs !== undefined || this.#deps.wheel.nowMs - startMs >= totalMs;
  }

  #requestOf({ text }: ToldAnswer): ResponsesRequest {
    return parseResponsesRequest(JSON.parse(text), this.#deps.validate, this.#deps.model);
  }

  #layoutOf(kept: ToldAnswer): ResponsesLayout {
    return new ResponsesLayout(this.#requestOf(kept), kept.labels);
  }

  #inputOf(kept: ToldAnswer): readonly KeptItem[] {
    const [, head, tail] = kept.stamps!;
    const ids = new IdMaker(head!, tail!);
    // Behind the places of the output's items.
    return (this.#requestOf(kept).items as readonly JsonObject[]).map((item, at) =>
      keptItem(item, (prefix) => ids.of(prefix, INPUT_PLACE + at))
    );
  }

  #outputOf(kept: ToldAnswer): readonly KeptItem[] {
    if (kept.cancelledMs !== undefined) return [];
    const layout = this.#layoutOf(kept);
    return JSON.parse(layout.answered(kept.said!, kept.stamps!)).output;
  }

  #get(kept: ToldAnswer, query: string): Told | Promise<Told> {
    checkIncluded(query, this.#deps.validate);
    const params = queryOf(query);
    if (params.get("stream") !== "true") return this.#object(kept);
    const after = params.get("starting_after") ?? "-1";
    if (!/^-?\d{1,9}$/.test(after)) {
      throw new AppError(
        "param_type",
        "Invalid type for 'starting_after': expected an integer, but got a string instead.",
        { param: "starting_after" },
      );
    }
    const pad = params.get("include_obfuscation");
    const padded = pad === undefined ? {} : { wantsObfuscation: pad !== "false" };
    return {
      events: this.#eventsOf(kept, padded).filter(({ text }) => numberOf(text) > Number(after)),
    };
  }

  #object(kept: ToldAnswer): Told {
    const { startMs, stamps, cancelledMs } = kept;
    const request = this.#requestOf(kept);
    const layout = new ResponsesLayout(request, kept.labels);
    if (cancelledMs !== undefined) return { json: layout.unfinished("cancelled", stamps!) };
    if (this.#isDone(kept)) return { json: layout.answered(kept.said!, stamps!) };
    const firstMs = kept.script?.steps[0]?.afterMs ?? 0;
    const isQueued = request.isBackground && this.#deps.wheel.nowMs - startMs < firstMs;
    return { json: layout.unfinished(isQueued ? "queued" : "in_progress", stamps!) };
  }

  /** Its stream, as it was or still is sent, but for what is `changed` of it. */
  #eventsOf(
    kept: ToldAnswer,
    changed: Partial<Pick<ResponsesRequest, "wantsObfuscation">>,
  ): readonly TimedEvent[] {
    const { script, said, stamps, usage, startMs, cancelledMs } = kept;
    if (said === undefined) {
      throw new AppError(
        "request_invalid",
        "This response is still being answered, and its stream is its first client's: " +
          "ask again without 'stream' until it is completed.",
        { param: "stream" },
      );
    }
    if (cancelledMs !== undefined) {
      throw new AppError(
        "request_invalid",
        "This response was cancelled: it has no stream any more.",
        { param: "stream" },
      );
    }
    const request = { ...this.#requestOf(kept), ...changed };
    const writer = new ResponsesLayout(request, kept.labels).writer(stamps!);
    const passedMs = this.#deps.wheel.nowMs - startMs;
    const events: TimedEvent[] = [];
    let dueMs = 0;
    const say = (text: string) => {
      for (const event of text.match(EVENT) ?? []) {
        events.push({ text: event, dueMs: Math.max(0, dueMs - passedMs) });
      }
    };
    say(writer.open?.() ?? "");
    const steps = script?.steps ??
      [...stepsOf(said.choices[0]!, usage)].map((step) => ({ ...step, afterMs: 0 }));
    for (const step of steps) {
      dueMs += step.afterMs;
      say(writer.step(step));
    }
    if (script !== undefined && usage !== undefined) say(writer.step({ kind: "usage", usage }));
    say(writer.close());
    return events;
  }

  /** A body of `input_tokens` or `compact`, read as a request. */
  async #counted(body: JsonObject): Promise<ResponsesRequest> {
    const { validate, model, models } = this.#deps;
    const request = parseResponsesRequest(body, validate, model);
    const isKnown = models.length === 0 || request.isDefaultModel || models.includes(request.model);
    if (!isKnown) throw requestedUnknown(request.model);
    return await this.#withPast(request);
  }

  #compacted(request: ResponsesRequest): Told {
    const { stamps, countPrompt, countText, validate } = this.#deps;
    const made = stampTexts(stamps.withResponseIds().own(3));
    const [created, head, tail, call] = made;
    const ids = new IdMaker(head!, tail!);
    // The schema of a compacted talk knows no messages of users.
    const users = request.messages.flatMap(({ role, content }, at) =>
      role === "user" && validate === "live"
        ? [keptItem(
          { type: "message", role, content },
          (prefix) => ids.of(prefix, INPUT_PLACE + at),
        )]
        : []
    );
    const encrypted_content = encryptedOf(call!);
    const input = countPrompt(request);
    const output = countText(request.model, encrypted_content);
    return told({
      id: ids.of("resp", 0),
      object: "response.compaction",
      created_at: Number(created),
      output: [...users, { type: "compaction", id: ids.of("cmp", 1), encrypted_content }],
      usage: {
        input_tokens: input,
        input_tokens_details: {
          ...(validate === "spec" ? { cache_write_tokens: 0 } : {}),
          cached_tokens: 0,
        },
        output_tokens: output,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: input + output,
      },
    });
  }
}

/** Items of an input have the places from here on: an answer has fewer items. */
const INPUT_PLACE = 1000;

const EVENT = /[^]*?\n\n/g;

function numberOf(event: string): number {
  return Number(/"sequence_number":(\d+)/.exec(event)?.[1] ?? 0);
}

function idOf({ stamps, labels }: ToldAnswer): string {
  const [, head, tail] = stamps!;
  return labels?.id ?? new IdMaker(head!, tail!).of("resp", 0);
}

/** Responses as the store has them. */
export function responsePacking(answers: AnswerPacking): Packing<ToldAnswer> {
  return {
    pack(kept) {
      const packed = answers.pack(kept);
      return packed && {
        id: idOf(kept),
        atMs: packed.startMs,
        doneMs: packed.startMs + packed.totalMs,
        model: "",
        marks: "",
        data: JSON.stringify(packed),
      };
    },
    unpack: ({ data }) => answers.unpack(JSON.parse(data) as PackedAnswer),
  };
}

/** The worker that has response `id`. */
function workerOf(id: string): number {
  return /^resp_[0-9a-f]{50}$/.test(id) ? workerOfDigits(id.slice(-8, -4)) : NaN;
}

/** As the live API says it. */
function itemUnknown(id: string): AppError {
  return new AppError("object_unknown", `Item with id '${echo(id)}' not found.`, {
    param: "input",
  });
}

/** Only a model can say in short what was said, and this one's upstream has no such question. */
function notCompacted(): AppError {
  return new AppError(
    "request_invalid",
    "The upstream of this model does not speak the Responses API, so nothing can compact the talk: " +
      "ask the model itself for a summary, or send less of 'input'.",
  );
}

function tooManyNamed(): AppError {
  return new AppError(
    "request_invalid",
    `'input' names items of more than ${CHAIN_MAX} responses: send what matters of them whole.`,
    { param: "input" },
  );
}

function previousUnknown(id: string): AppError {
  return new AppError(
    "previous_unknown",
    `Previous response with id '${echo(id)}' not found.`,
    { param: "previous_response_id" },
  );
}

function previousRunning(id: string): AppError {
  return new AppError(
    "request_invalid",
    `Previous response with id '${echo(id)}' is still in progress: wait until it is completed.`,
    { param: "previous_response_id" },
  );
}

function chainTooLong(id: string): AppError {
  return new AppError(
    "request_invalid",
    `The responses before '${
      echo(id)
    }' are more than ${CHAIN_MAX}: begin anew, with what matters ` +
      "of them in 'input'.",
    { param: "previous_response_id" },
  );
}
