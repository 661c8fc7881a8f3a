/**
 * `/conv` without an upstream: weir keeps the conversations, and its own model answers in them.
 *
 * @module
 */

import type { Source } from "../../core/answer.ts";
import type { Conversation, Conversations, Said } from "../../core/conversations.ts";
import { AppError } from "../../core/errors.ts";
import type { Keeper } from "../../core/keeping.ts";
import { sseHeaders } from "../../core/sse_headers.ts";
import type { AnswerStamps, Stamps } from "../../core/stamp.ts";
import type { Asking, RecordLateness, Whole } from "../../core/surface.ts";
import { EMPTY_TURN, type Message, type Turn } from "../../core/turn.ts";
import { CONVERSATION_EDITS } from "../../dialects/chatgpt_web/fault_edits.ts";
import { CONV_LAYOUT, convErrorEvent } from "../../dialects/chatgpt_web/conversation.ts";
import { type ConvMessage, pageOf, parseConvMessage } from "../../dialects/chatgpt_web/request.ts";
import { methodNotAllowed } from "../../dialects/detail/errors.ts";
import { turnAsk } from "../turn_ask.ts";
import {
  BusyConversations,
  type ConvCall,
  convJson,
  type ConvRoom,
  parseConvJson,
} from "./conv.ts";
import { withIndex } from "./conv_passed.ts";

/** What it needs. */
export interface OwnConvDeps {
  readonly source: Source;
  readonly conversations: Conversations;
  readonly stamps: Stamps;
  readonly recordLateness: RecordLateness;
  /** Messages of a conversation that the model sees again. */
  readonly historyMax: number;
  /** The model of every answer. */
  readonly model: string;
  readonly uuid: () => string;
  /** True: an answer is finished although its client has left. */
  readonly isDraining: boolean;
}

const CONVERSATION = "conversation/";

/** Makes the room. */
export function ownConv(deps: OwnConvDeps): ConvRoom {
  const { source, conversations, stamps, uuid } = deps;
  const busy = new BusyConversations();
  const headers = sseHeaders();

  function list({ head, visitor }: ConvCall): Whole {
    const { offset, limit } = pageOf(head.target);
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
    );
  }

  function show({ type, visitor }: ConvCall): Whole {
    const conversation = find(visitor.id, type.slice(CONVERSATION.length));
    return convJson({
      current_node: conversation.currentNode,
      title: conversation.title,
      update_time: conversation.updatedMs / 1000,
    });
  }

  function find(owner: string, id: string): Conversation {
    const conversation = conversations.find(owner, id);
    if (conversation !== undefined) return conversation;
    throw new AppError("not_found", `Can't load conversation ${id}`);
  }

  function say({ bytes, visitor, exchange }: ConvCall): Asking {
    const message = parseConvMessage(parseConvJson(bytes));
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
    return ask(conversation.id, parentId, said, message);
  }

  function ask(
    conversationId: string,
    parentId: string,
    said: readonly Said[],
    { content }: ConvMessage,
  ): Asking {
    const messageId = uuid();
    const question: Said = { id: uuid(), role: "user", text: content };
    const keeper: Keeper = {
      // As with ChatGPT: what is known whole is kept whole when the reader leaves early, and what broke
      // off as far as it went.
      keepsKnown: true,
      keepsBroken: true,
      keep: (text) =>
        conversations.add(conversationId, parentId, [
          question,
          { id: messageId, role: "assistant", text },
        ]),
      finish() {},
    };
    const messages: Message[] = [...said, question].map(({ role, text }) => ({
      role,
      content: text,
    }));
    const turn: Turn = {
      ...EMPTY_TURN,
      model: deps.model,
      isDefaultModel: true,
      messages,
      isStream: true,
    };
    return turnAsk(turn, {
      source,
      layout: CONV_LAYOUT,
      manner: {
        stamps: idStamps(conversationId, messageId, stamps),
        headers: () => headers,
        errorEvent: (error) => convErrorEvent(conversationId, error),
        faultEdits: CONVERSATION_EDITS,
        recordLateness: deps.recordLateness,
      },
      keeper,
      isDraining: deps.isDraining,
    });
  }

  return {
    source: source.name,
    answer(call) {
      const { type, head: { method } } = call;
      if (type === "conversations" && method === "GET") return list(call);
      if (type === "conversation" && method === "POST") return say(call);
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

function idStamps(conversationId: string, messageId: string, stamps: Stamps): AnswerStamps {
  const ids = [conversationId, messageId].map((id) => new TextEncoder().encode(id));
  const own = () => [stamps.created(), ...ids] as const;
  return { own, shared: own };
}
