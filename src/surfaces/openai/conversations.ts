/**
 * `/v1/conversations`: conversations, and the items that their responses go on from.
 *
 * @module
 */

import type { AppError } from "../../core/errors.ts";
import { type Stamps, workerDigits, workerOfDigits } from "../../core/stamp.ts";
import { markOf } from "../../core/store.ts";
import type { Surface } from "../../core/surface.ts";
import { checkCount, type JsonObject, type Level } from "../../dialects/openai/check.ts";
import { errorOf, missing, under, wrongType } from "../../dialects/openai/faults.ts";
import { checkMetadata } from "../../dialects/openai_chat/params.ts";
import { checkInput } from "../../dialects/openai_responses/input.ts";
import { type KeptItem, keptItem } from "../../dialects/openai_responses/kept_items.ts";
import {
  checkIncluded,
  type KeptRow,
  type KeptRows,
  keptRows,
  listOf,
  objectUnknown,
  type Operation,
  pageOf,
  pagingOf,
  type Told,
  told,
} from "./kept_objects.ts";
import type { Keep } from "./keep.ts";
import { SAMPLE_CREATED_S, sampleDigits, sampleItem } from "./sample.ts";
import type { Packing } from "./stored_keep.ts";

/** What a conversation is. */
export interface Conversation {
  readonly id: string;
  readonly createdS: number;
  readonly metadata: unknown;
  readonly items: readonly KeptItem[];
  /** True: nobody has made it, and nothing is kept of it. */
  readonly isMadeUp?: true;
}

/** What they need. */
export interface ConversationsDeps {
  readonly keep: Keep<Conversation>;
  readonly rows: KeptRows;
  readonly stamps: Stamps;
  /** This worker's number; 0 = it is the only one. */
  readonly worker: number;
  readonly validate: Level;
  /** True: what nobody has is made up. */
  readonly makesUp: boolean;
}

/** Items that one request may bring. */
const ITEMS_MAX = 20;

/** What a conversation without items takes of memory, in bytes, some. */
const OBJECT_BYTES = 512;

/** All conversations, and the surfaces of their rows. */
export class Conversations {
  readonly #deps: ConversationsDeps;
  readonly #items: KeptRow;
  readonly #appended: KeptRow;
  readonly #found: KeptRow;
  readonly surfaces: Readonly<
    Record<
      "create" | "get" | "update" | "remove" | "addItems" | "listItems" | "getItem" | "removeItem",
      Surface
    >
  >;

  constructor(deps: ConversationsDeps) {
    this.#deps = deps;
    const { rows } = deps;
    const row = keptRows<Conversation>({
      name: "v1_conversation",
      workerOf,
      keep: deps.keep,
      unknown: conversationUnknown,
      madeUp: deps.makesUp ? (id, answer) => answer(sampleOf(id)) : undefined,
    });
    this.#items = rows.internal(row("_all", ({ items }) => told(items)));
    this.#appended = rows.internal(row("_append", async (conversation, { body }) => {
      await this.#change(
        conversation,
        ({ items }) => ({ items: [...items, ...body as KeptItem[]] }),
      );
      return told(null);
    }));
    this.#found = rows.internal({
      name: "v1_conversation_items_found",
      hasBody: false,
      answer: async ({ body }) => told(await this.#find(new Set(body as readonly string[]))),
    });
    this.surfaces = {
      create: rows.surface({
        name: "v1_conversations",
        hasBody: true,
        answer: ({ body }) => this.#create(body as JsonObject),
      }),
      get: rows.surface(row("", (conversation) => told(objectOf(conversation)))),
      update: rows.surface(row("_update", async (conversation, { body }) => {
        const metadata = newMetadata(body, this.#deps.validate);
        return told(objectOf(await this.#change(conversation, () => ({ metadata }))));
      }, true)),
      remove: rows.surface(row("_delete", async ({ id }) => {
        await deps.keep.delete(id);
        return told({ id, object: "conversation.deleted", deleted: true });
      })),
      addItems: rows.surface(row("_items_create", async (conversation, { body, query }) => {
        checkIncluded(query, deps.validate);
        const { items } = body as JsonObject;
        if (items === undefined) throw errorOf(missing("items"));
        const added = this.#itemsOf(items);
        await this.#change(conversation, ({ items }) => ({ items: [...items, ...added] }));
        return told(listOf({ data: added, has_more: false }));
      }, true)),
      listItems: rows.surface(
        row(
          "_items",
          ({ items }, { query }) => {
            checkIncluded(query, deps.validate);
            return told(listOf(pageOf(items, pagingOf(query, "desc", deps.validate))));
          },
        ),
      ),
      getItem: rows.surface(row("_item", ({ items }, { params, query }) => {
        checkIncluded(query, deps.validate);
        const id = params["item"]!;
        const item = items.find((one) => one.id === id);
        if (item === undefined && !deps.makesUp) throw objectUnknown("Item", id);
        return told(item ?? sampleItem(id));
      })),
      removeItem: rows.surface(row("_item_delete", async (conversation, { params }) => {
        const changed = await this.#change(conversation, ({ items }) => {
          const left = items.filter(({ id }) => id !== params["item"]);
          if (left.length === items.length && !deps.makesUp) {
            throw objectUnknown("Item", params["item"]!);
          }
          return { items: left };
        });
        return told(objectOf(changed));
      })),
    };
  }

  /** The items of conversation `id`, wherever it is; undefined = there is no such one. */
  async itemsOf(id: string): Promise<readonly KeptItem[] | undefined> {
    const items = await this.#deps.rows.tell(this.#items, operation(id, null));
    return items !== undefined && "json" in items ? JSON.parse(items.json) : undefined;
  }

  /** Those of the items `ids` that are in any conversation of any worker. */
  async itemsNamed(ids: readonly string[]): Promise<readonly KeptItem[]> {
    const found = await this.#deps.rows.askAll(this.#found, operation("", ids));
    return found.flatMap((told) => "json" in told ? JSON.parse(told.json) as KeptItem[] : []);
  }

  async #find(ids: ReadonlySet<string>): Promise<readonly KeptItem[]> {
    const { keep } = this.#deps;
    const found = new Map<string, KeptItem>();
    const stored = await keep.stored?.list({
      ...EVERY,
      marks: [...ids].slice(0, NAMED_MAX).map(markOfItem),
      limit: NAMED_MAX,
    });
    for (const { items } of [...stored ?? [], ...keep.all()]) {
      for (const item of items) if (ids.has(item.id)) found.set(item.id, item);
    }
    return [...found.values()];
  }

  /** Adds `items` to conversation `id`, wherever it is. @throws {AppError} when its store is away. */
  async append(id: string, items: readonly JsonObject[]): Promise<void> {
    const kept = items.map((item) => this.#kept(item));
    await this.#deps.rows.tell(this.#appended, operation(id, kept));
  }

  async #create({ metadata, items }: JsonObject): Promise<Told> {
    if (metadata !== undefined && metadata !== null) checkMetadataOf(metadata, this.#deps.validate);
    const { stamps, keep } = this.#deps;
    const conversation: Conversation = {
      id: `conv_${this.#hex()}`,
      createdS: stamps.createdS,
      metadata: metadata ?? {},
      items: items === undefined || items === null ? [] : this.#itemsOf(items),
    };
    await keep.set(conversation.id, conversation);
    return told(objectOf(conversation));
  }

  #itemsOf(items: unknown): readonly KeptItem[] {
    const { validate } = this.#deps;
    const fault = Array.isArray(items)
      ? checkCount(items.length, 0, ITEMS_MAX) ?? checkInput(items, validate)
      : wrongType("an array of objects", items);
    if (fault !== undefined) throw errorOf(under("items", fault));
    return (items as readonly JsonObject[]).map((item) => this.#kept(item));
  }

  #kept(item: JsonObject): KeptItem {
    return keptItem(item, (prefix) => `${prefix}_${this.#hex()}`);
  }

  /** 48 digits, of which the last tell the worker. */
  #hex(): string {
    const { stamps, worker } = this.#deps;
    const digits = stamps.hex(48);
    return worker === 0 ? digits : digits.slice(0, -4) + workerDigits(worker);
  }

  /** `conversation`, changed where it is kept. One that nobody has made is changed for this answer. */
  async #change(
    conversation: Conversation,
    change: (conversation: Conversation) => Partial<Pick<Conversation, "items" | "metadata">>,
  ): Promise<Conversation> {
    const edit = (one: Conversation) => ({ ...one, ...change(one) });
    const { id, isMadeUp } = conversation;
    const changed = isMadeUp ? undefined : await this.#deps.keep.change(id, edit);
    return changed ?? edit(conversation);
  }
}

/** What a conversation takes of memory, in bytes, some. */
export function weightOf({ items }: Conversation): number {
  return OBJECT_BYTES + JSON.stringify(items).length;
}

/** Conversations as the store has them. `wallMs`: milliseconds since 1970. */
export function conversationPacking(wallMs: () => number): Packing<Conversation> {
  return {
    pack: (conversation) => ({
      id: conversation.id,
      atMs: wallMs(), // whoever talks on keeps it young
      doneMs: 0,
      model: "",
      marks: conversation.items.map(({ id }) => markOfItem(id)).join(""),
      data: JSON.stringify(conversation),
    }),
    unpack: ({ data }) => JSON.parse(data) as Conversation,
  };
}

function markOfItem(id: string): string {
  return markOf("item", id);
}

/** All conversations, if there are marks that they have. */
const EVERY = {
  model: undefined,
  needs: "any",
  nowMs: Number.MAX_SAFE_INTEGER,
  after: undefined,
  isAscending: true,
} as const;

/** Items that the store is asked for at once, and conversations that it may give for them. */
const NAMED_MAX = 100;

/** "Conversation with id 'conv_x' not found.": 404. */
export function conversationUnknown(id: string): AppError {
  return objectUnknown("Conversation", id);
}

/** A conversation that nobody has made. */
function sampleOf(id: string): Conversation {
  return {
    id,
    createdS: SAMPLE_CREATED_S,
    metadata: {},
    items: [sampleItem(`msg_${sampleDigits(id, 48)}`)],
    isMadeUp: true,
  };
}

/** The worker that has conversation `id`. */
function workerOf(id: string): number {
  return id.startsWith("conv_") ? workerOfDigits(id.slice(-4)) : NaN;
}

function operation(id: string, body: unknown): Operation {
  return { params: { id }, query: "", body };
}

function objectOf({ id, createdS, metadata }: Conversation) {
  return { id, object: "conversation", created_at: createdS, metadata };
}

/** What `body` puts in place of an object's pairs. @throws {AppError} when there is no such thing. */
export function newMetadata(body: unknown, level: Level): unknown {
  const { metadata } = body as JsonObject;
  if (metadata === undefined) throw errorOf(missing("metadata"));
  checkMetadataOf(metadata, level);
  return metadata;
}

/** @throws {AppError} when `metadata` is none. */
function checkMetadataOf(metadata: unknown, level: Level): void {
  const fault = metadata === null ? undefined : checkMetadata(metadata, level);
  if (fault !== undefined) throw errorOf(under("metadata", fault));
}
