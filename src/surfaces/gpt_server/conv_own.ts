/**
 * `/conv` without an upstream: weir keeps the conversations, and its own model answers in them.
 *
 * @module
 */

import { EMPTY_TURN, type Message, type Script, type Source } from "../../core/answer.ts";
import type { Conversation, Conversations, Said } from "../../core/conversations.ts";
import { AppError } from "../../core/errors.ts";
import type { Exchange } from "../../core/exchange.ts";
import { encodeScript, type Frames } from "../../core/frames.ts";
import { reply } from "../../core/reply.ts";
import type { RecordLateness } from "../../core/voice.ts";
import { speak } from "../../core/speak.ts";
import type { Stamps } from "../../core/stamp.ts";
import { type BodyLimits, readJson } from "../../core/body.ts";
import {
  BusyConversations,
  convBodyErrors,
  type ConvCall,
  convJson,
  type ConvRoom,
} from "./conv.ts";
import {
  BLANK_HEAD,
  CONV_SLOTS,
  ConvDialect,
  type ConvHead,
  convIdBytes,
} from "../../dialects/chatgpt_web/events.ts";
import { methodNotAllowed } from "../../dialects/detail/errors.ts";
import { withIndex } from "./conv_passed.ts";
import { type ConvMessage, pageOf, parseConvMessage } from "../../dialects/chatgpt_web/request.ts";

/** What it needs. */
export interface OwnConvDeps {
  readonly source: Source;
  readonly conversations: Conversations;
  readonly stamps: Stamps;
  readonly recordLateness: RecordLateness;
  readonly bodyLimits: BodyLimits;
  /** Messages of a conversation that the model sees again. */
  readonly historyMax: number;
  /** The model of every answer. */
  readonly model: string;
  readonly uuid: () => string;
}

const CONVERSATION = "conversation/";

/** Makes the room. */
export function ownConv(deps: OwnConvDeps): ConvRoom {
  const { source, conversations, stamps, uuid, bodyLimits } = deps;
  const bodyErrors = convBodyErrors(bodyLimits.bytesMax);
  const busy = new BusyConversations();
  const framesOfScripts = new WeakMap<Script, Frames>();
  const headers = new Headers({
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
    "access-control-allow-origin": "*",
  });

  function list({ request, visitor, exchange }: ConvCall): Response {
    const { offset, limit } = pageOf(request.url);
    let page = conversations.list(visitor.id, offset, limit);
    if (page.total === 0) {
      // A client takes `items[0].id` from here: the first one there is.
      conversations.begin(visitor.id);
      page = conversations.list(visitor.id, offset, limit);
    }
    return convJson(
      withIndex({
        items: page.items.map(itemOf),
        total: page.total,
        limit,
        offset,
        has_missing_conversations: false,
      }),
      exchange,
    );
  }

  function show({ type, visitor, exchange }: ConvCall): Response {
    const conversation = find(visitor.id, type.slice(CONVERSATION.length));
    return convJson({
      current_node: conversation.currentNode,
      title: conversation.title,
      update_time: conversation.updatedMs / 1000,
    }, exchange);
  }

  function find(owner: string, id: string): Conversation {
    const conversation = conversations.find(owner, id);
    if (conversation !== undefined) return conversation;
    throw new AppError("not_found", `Can't load conversation ${id}`);
  }

  async function say({ request, visitor, exchange }: ConvCall): Promise<Response> {
    const message = parseConvMessage(await readJson(request, bodyLimits, bodyErrors));
    const { conversationId } = message;
    if (conversationId !== "") busy.enter(conversationId, exchange);
    const conversation = conversationId === ""
      ? conversations.begin(visitor.id)
      : find(visitor.id, conversationId);
    if (conversationId === "") busy.enter(conversation.id, exchange);
    const parentId = message.parentId || conversation.currentNode;
    const said = conversations.thread(conversation.id, parentId, deps.historyMax);
    if (said === undefined) {
      throw new AppError("not_found", `There is no message ${parentId} in this conversation`);
    }
    exchange.isStream = true;
    exchange.model = deps.model;
    return await answer(conversation.id, parentId, said, message, exchange);
  }

  async function answer(
    conversationId: string,
    parentId: string,
    said: readonly Said[],
    { content }: ConvMessage,
    exchange: Exchange,
  ): Promise<Response> {
    const head: ConvHead = { conversationId, messageId: uuid(), createdS: stamps.createdS };
    const question: Said = { id: uuid(), role: "user", text: content };
    const keep = (text: string) =>
      conversations.add(conversationId, parentId, [
        question,
        { id: head.messageId, role: "assistant", text },
      ]);
    const messages: Message[] = [...said, question].map(({ role, text }) => ({
      role,
      content: text,
    }));
    const turn = { ...EMPTY_TURN, model: deps.model, messages, isStream: true };
    const pending = source.answer(turn, exchange);
    const given = pending instanceof Promise ? await pending : pending;
    const dialect = new ConvDialect(head);
    if (given.kind === "script") {
      // It is known whole, and as with ChatGPT it is kept whole if the reader leaves early.
      keep(textOfScript(given.script));
      const id = convIdBytes(head);
      return await reply(framesOf(given.script), exchange, {
        stamps: { id: () => id, sharedId: () => id, created: () => stamps.created() },
        headers: () => headers,
        errorEvent: (error) => dialect.error(error),
        recordLateness: deps.recordLateness,
      });
    }
    let isKept = false;
    return await speak(given.steps, {
      exchange,
      dialect,
      headers,
      abort: () => {}, // the source itself hears of the leaving
      onEnd(text, isWhole) {
        if (isKept || (text === "" && !isWhole)) return;
        isKept = true;
        keep(text);
      },
    });
  }

  function framesOf(script: Script): Frames {
    const known = framesOfScripts.get(script);
    if (known !== undefined) return known;
    const frames = encodeScript(script, new ConvDialect(BLANK_HEAD), CONV_SLOTS);
    framesOfScripts.set(script, frames);
    return frames;
  }

  return {
    source: source.name,
    async answer(call) {
      const { type, request: { method } } = call;
      if (type === "conversations" && method === "GET") return list(call);
      if (type === "conversation" && method === "POST") return await say(call);
      if (type.startsWith(CONVERSATION) && method === "GET") return show(call);
      if (type === "conversations" || type === "conversation" || type.startsWith(CONVERSATION)) {
        const allow = type === "conversation" ? "POST" : "GET";
        throw methodNotAllowed(allow);
      }
      throw new AppError("not_found", `There is nothing of the Chat-Type ${type}`);
    },
  };
}

function itemOf({ id, title, createdMs, updatedMs }: Conversation) {
  return {
    id,
    title,
    create_time: new Date(createdMs).toISOString(),
    update_time: new Date(updatedMs).toISOString(),
  };
}

function textOfScript({ steps }: Script): string {
  return steps.map((step) => step.kind === "text" ? step.text : "").join("");
}
