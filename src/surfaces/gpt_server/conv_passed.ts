/**
 * `/conv` with an upstream (`conv.unofficial_proxy`): its lists with what go-gpt-server adds, its
 * events untouched.
 *
 * @module
 */

import type { Source, Wire } from "../../core/answer.ts";
import { queryOf } from "../../core/body.ts";
import { gatherBody } from "../../core/relay_body.ts";
import { HeadersDown } from "../../core/relay_headers.ts";
import type { Passing, Whole } from "../../core/surface.ts";
import { CONVERSATION_EDITS } from "../../dialects/chatgpt_web/fault_edits.ts";
import { nextMessage } from "../../dialects/chatgpt_web/conversation.ts";
import { listQuery, parseConvMessage } from "../../dialects/chatgpt_web/request.ts";
import { errorEvent } from "../../dialects/openai/errors.ts";
import { BusyConversations, type ConvCall, type ConvRoom, parseConvJson } from "./conv.ts";
import { visitorFields } from "./visitor.ts";

/** A conversation with its whole tree may be some MiB; more is no answer to this question. */
const JSON_BYTES_MAX = 64 * 1024 * 1024;

/** What it needs. */
export interface PassedConvDeps {
  /** Speaks `chatgpt_web`. */
  readonly upstream: Source;
  readonly uuid: () => string;
  /** True: an answer is finished although its client has left. */
  readonly isDraining: boolean;
}

type JsonObject = Readonly<Record<string, unknown>>;

/** Makes the room. */
export function passedConv({ upstream, uuid, isDraining }: PassedConvDeps): ConvRoom {
  const busy = new BusyConversations();

  function passing(wire: Omit<Wire, "dialect">): Passing {
    return {
      kind: "pass",
      source: upstream,
      wire: { ...wire, dialect: "chatgpt_web" },
      model: "",
      manner: { errorEvent, faultEdits: CONVERSATION_EDITS },
      isDraining,
    };
  }

  /** An answer of JSON as `change` makes it; any other answer as it came. */
  async function changed(
    { head, visitor, exchange }: ConvCall,
    path: string,
    change: (value: JsonObject) => JsonObject,
  ): Promise<Whole> {
    const fields = visitorFields(head.fields, visitor).with({ "accept-encoding": "identity" });
    const wire = { dialect: "chatgpt_web", method: "GET", path, fields, body: null } as const;
    const turn = () => {
      throw new TypeError("Cannot read a turn out of a list");
    };
    const relay = await upstream.answer({ wire, model: () => "", turn }, exchange);
    if (relay.kind !== "relay") throw new TypeError(`Cannot show a ${relay.kind} answer`);
    const { bytes, error } = await gatherBody(relay.body, exchange.signal, JSON_BYTES_MAX);
    if (error !== undefined) throw error;
    const value = relay.status === 200 ? jsonObject(bytes) : undefined;
    return {
      kind: "whole",
      status: relay.status,
      headers: new HeadersDown().of(relay.fields).headers,
      body: value === undefined ? bytes : JSON.stringify(change(value)),
    };
  }

  function say(call: ConvCall): Passing {
    const { head, type, visitor, exchange, bytes } = call;
    const { content, parentId, conversationId } = parseConvMessage(parseConvJson(bytes));
    if (conversationId !== "") busy.enter(conversationId, exchange);
    exchange.isStream = true;
    const fields = visitorFields(head.fields, visitor).with({
      "content-type": "application/json",
    });
    const body = nextMessage(content, uuid(), parentId || uuid(), conversationId);
    return passing({
      method: "POST",
      path: `/${type}${queryOf(head.target)}`,
      fields,
      body: new TextEncoder().encode(body),
    });
  }

  function pass(call: ConvCall): Passing {
    const { head: { method, target, fields }, type, visitor, bytes } = call;
    return passing({
      method,
      path: `/${type}${queryOf(target)}`,
      fields: visitorFields(fields, visitor),
      body: method === "GET" ? null : bytes,
    });
  }

  return {
    source: "proxy",
    answer(call) {
      const { type, head: { method, target } } = call;
      if (method === "POST" && type === "conversation") return say(call);
      if (method === "GET" && type === "conversations") {
        return changed(call, `/${type}${listQuery(target)}`, withIndex);
      }
      if (method === "GET" && type.startsWith("conversation/")) {
        return changed(call, `/${type}${queryOf(target)}`, shortened);
      }
      return pass(call);
    },
  };
}

/** What go-gpt-server adds to a list: its mode of one conversation at a time. */
export function withIndex(list: JsonObject): JsonObject {
  return { ...list, index: 0, multi: false };
}

/** What it leaves of a conversation. */
function shortened({ current_node, title, update_time }: JsonObject): JsonObject {
  return { current_node, title, update_time };
}

function jsonObject(body: Uint8Array): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? value as JsonObject : undefined;
  } catch {
    return undefined; // no JSON: it is passed on as it came
  }
}
