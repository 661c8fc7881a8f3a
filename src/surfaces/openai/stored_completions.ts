/**
 * Chat completions that were asked for with `store: true`: the list, one of them, its messages.
 *
 * @module
 */

import type { Usage } from "../../core/answer.ts";
import { workerOfChatId } from "../../core/stamp.ts";
import { markOf } from "../../core/store.ts";
import type { Surface } from "../../core/surface.ts";
import { isObject, type JsonObject, type Level } from "../../dialects/openai/check.ts";
import { onlyPost } from "../../dialects/openai/errors.ts";
import type { ChatRequest } from "../../dialects/openai_chat/request.ts";
import { CHUNK_ID_LENGTHS } from "../../dialects/openai_chat/write_answer.ts";
import type { Wheel } from "../../lib/wheel.ts";
import type { AnswerKeeper, KeptAnswer, ToldAnswer } from "../kept_answer.ts";
import type { ModelLayout } from "../model_surface.ts";
import { newMetadata } from "./conversations.ts";
import {
  type KeptRow,
  type KeptRows,
  keptRows,
  listOf,
  objectUnknown,
  pageOf,
  type Paging,
  pagingOf,
  placeUnknown,
  queryOf,
  type Told,
  told,
} from "./kept_objects.ts";
import type { Keep, StoredKeep } from "./keep.ts";
import type { AnswerPacking, PackedAnswer } from "./packed_answer.ts";
import { SAMPLE_CREATED_S, SAMPLE_PROMPT, sampleAnswer } from "./sample.ts";
import type { Packing } from "./stored_keep.ts";

/** A kept completion, with what its list is ordered and filtered by. */
export interface StoredCompletion {
  readonly id: string;
  /** Milliseconds since 1970; rises from one to the next. */
  readonly atMs: number;
  readonly model: string;
  readonly metadata: JsonObject;
  readonly answer: ToldAnswer;
}

/** What they need. */
export interface StoredCompletionsDeps {
  readonly keep: Keep<StoredCompletion>;
  readonly rows: KeptRows;
  readonly wheel: Wheel;
  readonly wallMs: () => number;
  readonly validate: Level;
  /** The model of what nobody has made. */
  readonly model: string;
  /** What answers say that nobody has made; undefined = they are missing. */
  readonly madeUpReply: string | undefined;
  readonly parse: (text: string) => ChatRequest;
  readonly layout: (request: ChatRequest) => ModelLayout;
  /** What an answer costs, where its client has not asked for that. */
  readonly usageOf: (request: ChatRequest, said: string) => Usage;
}

/** What tells that a body may want to be stored. */
const STORE = Buffer.from(`"store"`);

/** One of a list, before it is asked for. */
interface Place {
  readonly id: string;
  readonly atMs: number;
}

/** All stored completions, and the surfaces of their rows. */
/** That of `Buffer` takes any bytes; a `Buffer` made around them costs more than it does. */
const { includes } = Buffer.prototype as unknown as {
  readonly includes: (this: Uint8Array, bytes: Uint8Array) => boolean;
};

export class StoredCompletions implements AnswerKeeper<ChatRequest> {
  readonly #deps: StoredCompletionsDeps;
  readonly #places: KeptRow;
  readonly #one: KeptRow;
  #lastMs = 0;
  readonly holdsEnds: boolean;
  readonly surfaces: Readonly<
    Record<"list" | "get" | "update" | "remove" | "messages", Surface>
  >;

  constructor(deps: StoredCompletionsDeps) {
    this.#deps = deps;
    const { rows, keep } = deps;
    this.holdsEnds = keep.stored !== undefined;
    const whole = (stored: StoredCompletion | undefined) =>
      stored !== undefined && this.#isDone(stored) ? stored : undefined;
    const row = keptRows<StoredCompletion>({
      name: "v1_stored_completion",
      workerOf,
      keep: {
        get: (id) => whole(keep.get(id)),
        ...(keep.stored && { stored: { find: async (id) => whole(await keep.stored!.find(id)) } }),
      },
      unknown: (id) => objectUnknown("Chat completion", id),
      madeUp: deps.madeUpReply === undefined
        ? undefined
        : (id, answer) => answer(sampleOf(id, deps.model, deps.madeUpReply!)),
    });
    this.#one = row("", (stored) => told(this.#objectOf(stored)));
    this.#places = rows.internal({
      name: "v1_stored_completions_places",
      hasBody: false,
      answer: ({ query }) => told(this.#placesOf(query)),
    });
    this.surfaces = {
      list: rows.surface({
        name: "v1_stored_completions",
        hasBody: false,
        answer: ({ query }) => this.#list(query),
      }),
      get: rows.surface(this.#one),
      update: rows.surface(row("_update", async (stored, { body }) => {
        const given = newMetadata(body, deps.validate);
        const metadata = isObject(given) ? given : {};
        const edit = (one: StoredCompletion) => ({ ...one, metadata });
        return told(this.#objectOf(await keep.change(stored.id, edit) ?? edit(stored)));
      }, true)),
      remove: rows.surface(row("_delete", async ({ id }) => {
        await keep.delete(id);
        return told({ object: "chat.completion.deleted", id, deleted: true });
      })),
      messages: rows.surface(row("_messages", ({ id, answer }, { query }) => {
        const messages = deps.parse(answer.text).messages.map(({ content, ...rest }, at) => ({
          ...rest,
          id: `${id}-${at}`,
          content: typeof content === "string" ? content : null,
          content_parts: Array.isArray(content) ? content : null,
        }));
        return told(listOf(pageOf(messages, pagingOf(query, "asc", deps.validate))));
      })),
    };
  }

  mayKeep(body: Uint8Array<ArrayBuffer>): boolean {
    return includes.call(body, STORE);
  }

  isKept({ params }: ChatRequest): boolean {
    return params["store"] === true;
  }

  keep(
    answer: KeptAnswer<ChatRequest>,
    { model, params }: ChatRequest,
  ): Promise<void> | undefined {
    const id = idOf(answer);
    const { keep, wallMs } = this.#deps;
    const { metadata } = params;
    this.#lastMs = Math.max(this.#lastMs + 1, wallMs());
    return keep.set(id, {
      id,
      atMs: this.#lastMs,
      model,
      metadata: isObject(metadata) ? metadata : {},
      answer,
    });
  }

  drop(answer: KeptAnswer<ChatRequest>): void {
    this.#deps.keep.drop(idOf(answer));
  }

  /** False while it is still said: it is there once it is whole. */
  #isDone({ answer: { startMs, totalMs } }: StoredCompletion): boolean {
    return this.#deps.wheel.nowMs - startMs >= totalMs;
  }

  #objectOf({ id, answer, metadata }: StoredCompletion): JsonObject {
    const { parse, layout, usageOf } = this.#deps;
    const request = parse(answer.text);
    const { choices, usage } = answer.said!;
    const text = choices.map(({ text }) => text).join("");
    const said = { choices, usage: usage ?? usageOf(request, text) };
    const plain = layout(request);
    const { labels } = answer;
    const labelled = labels === undefined ? plain : plain.labelled?.(labels) ?? plain;
    return { ...JSON.parse(labelled.whole(said, answer.stamps!)), id, metadata };
  }

  /** Those of this worker that fit. */
  #placesOf(query: string): readonly Place[] {
    const { model, pairs } = filterOf(query);
    const fits = (stored: StoredCompletion) =>
      (model === undefined || stored.model === model) &&
      pairs.every(([key, value]) => stored.metadata[key] === value);
    const places: Place[] = [];
    for (const stored of this.#deps.keep.all()) {
      const { id, atMs } = stored;
      if (this.#isDone(stored) && fits(stored)) places.push({ id, atMs });
    }
    return places;
  }

  /** Of all workers, in one order; each object is asked for where it is. */
  async #list(query: string): Promise<Told> {
    const { rows, validate } = this.#deps;
    const paging = pagingOf(query, "asc", validate);
    const { stored } = this.#deps.keep;
    if (stored !== undefined) return await this.#listStored(query, paging, stored);
    const gathered = await rows.askAll(this.#places, { params: {}, query, body: null });
    const places = gathered.flatMap((one) => "json" in one ? JSON.parse(one.json) as Place[] : []);
    if (places.length === 0 && validate === "live") await this.#checkAny();
    places.sort((a, b) => a.atMs - b.atMs || (a.id < b.id ? -1 : 1));
    const { data, has_more } = pageOf(places, paging);
    const objects = await Promise.all(
      data.map(({ id }) => rows.ask(this.#one, { params: { id }, query: "", body: null })),
    );
    // What was deleted meanwhile is left out.
    const found = objects.flatMap((one) =>
      one !== undefined && "json" in one ? [JSON.parse(one.json) as JsonObject] : []
    );
    return told(listOf({ data: found, has_more }));
  }

  /** A list of the store, which has all that was said to its end. */
  async #listStored(
    query: string,
    { limit, isAscending, after, level }: Paging,
    stored: StoredKeep<StoredCompletion>,
  ): Promise<Told> {
    const last = after === undefined ? undefined : await stored.find(after);
    if (after !== undefined && last === undefined && level === "live") throw placeUnknown(after);
    const { model, pairs } = filterOf(query);
    const asked = {
      model,
      marks: pairs.map(([key, value]) => markOf("pair", key, value)),
      needs: "all",
      nowMs: this.#deps.wallMs(),
      after: last,
      isAscending,
      limit: limit + 1,
    } as const;
    const found = await stored.list(asked);
    if (found.length === 0 && level === "live") {
      const any = { ...asked, model: undefined, marks: [], after: undefined, limit: 1 };
      if ((await stored.list(any)).length === 0) throw onlyPost();
    }
    const data = found.slice(0, limit).map((one) => this.#objectOf(one));
    return told(listOf({ data, has_more: found.length > limit }));
  }

  /**
   * The live API has no list for those who have stored nothing.
   *
   * @throws {AppError} 405.
   */
  async #checkAny(): Promise<void> {
    const all = await this.#deps.rows.askAll(this.#places, { params: {}, query: "", body: null });
    if (all.every((one) => "json" in one && one.json === "[]")) throw onlyPost();
  }
}

/** Which ones a list is of: `model=…`, `metadata[key]=…`. */
function filterOf(query: string) {
  const params = queryOf(query);
  const model = params.get("model");
  const pairs = [...params].flatMap(([name, value]) => {
    const key = /^metadata\[(.*)\]$/s.exec(name)?.[1];
    return key === undefined ? [] : [[key, value] as const];
  });
  return { model, pairs };
}

/** Completions as the store has them. */
export function completionPacking(answers: AnswerPacking): Packing<StoredCompletion> {
  return {
    pack({ answer, ...rest }) {
      const packed = answers.pack(answer);
      return packed && {
        id: rest.id,
        atMs: rest.atMs,
        doneMs: packed.startMs + packed.totalMs,
        model: rest.model,
        marks: Object.entries(rest.metadata)
          .map(([key, value]) => markOf("pair", key, String(value))).join(""),
        data: JSON.stringify({ ...rest, answer: packed }),
      };
    },
    unpack({ data }) {
      const { answer, ...rest } = JSON.parse(data) as
        & Omit<StoredCompletion, "answer">
        & { readonly answer: PackedAnswer };
      return { ...rest, answer: answers.unpack(answer) };
    },
  };
}

/** A completion that nobody has stored. */
function sampleOf(id: string, model: string, reply: string): StoredCompletion {
  // The schema of stored messages knows no other role.
  const body = { model, messages: [{ role: "assistant", content: SAMPLE_PROMPT }] };
  return {
    id,
    atMs: 1000 * SAMPLE_CREATED_S,
    model,
    metadata: {},
    answer: sampleAnswer(id, { idLengths: CHUNK_ID_LENGTHS, body, reply }),
  };
}

function idOf({ stamps, labels }: KeptAnswer<ChatRequest>): string {
  return labels?.id ?? `chatcmpl-${stamps![1]}`;
}

/** The worker that has completion `id`. */
function workerOf(id: string): number {
  return id.startsWith("chatcmpl-") ? workerOfChatId(id) : NaN;
}
