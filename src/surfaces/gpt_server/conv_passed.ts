/**
 * `/conv` with an upstream (`conv.unofficial_proxy`): its lists with what system 003 adds, its events
 * untouched.
 *
 * @module
 */

import type { Wire } from "../../core/answer.ts";
import type { Exchange } from "../../core/exchange.ts";
import { type BodyLimits, queryOf, readBytes, readJson } from "../../core/body.ts";
import { BusyConversations, convBodyErrors, type ConvCall, type ConvRoom } from "./conv.ts";
import { nextMessage } from "../../dialects/chatgpt_web/events.ts";
import { listQuery, parseConvMessage } from "../../dialects/chatgpt_web/request.ts";
import { visitorHeaders } from "./visitor.ts";

/** The upstream of `/conv`. */
export interface ConvUpstreamLike {
  /** Passes one request up and its answer down, byte for byte. */
  pass(wire: Wire, exchange: Exchange): Promise<Response>;
  /** Asks with GET and reads the answer whole. */
  get(path: string, headers: Headers, exchange: Exchange): Promise<{
    readonly status: number;
    readonly headers: Headers;
    readonly body: Uint8Array<ArrayBuffer>;
  }>;
}

/** What it needs. */
export interface PassedConvDeps {
  readonly upstream: ConvUpstreamLike;
  readonly bodyLimits: BodyLimits;
  readonly uuid: () => string;
}

type JsonObject = Readonly<Record<string, unknown>>;

/** Makes the room. */
export function passedConv({ upstream, bodyLimits, uuid }: PassedConvDeps): ConvRoom {
  const bodyErrors = convBodyErrors(bodyLimits.bytesMax);
  const busy = new BusyConversations();

  /** An answer of JSON as `change` makes it; any other answer as it came. */
  async function changed(
    { request, visitor, exchange }: ConvCall,
    path: string,
    change: (value: JsonObject) => JsonObject,
  ): Promise<Response> {
    const answer = await upstream.get(path, visitorHeaders(request.headers, visitor), exchange);
    const value = answer.status === 200 ? jsonObject(answer.body) : undefined;
    const body = value === undefined ? answer.body : JSON.stringify(change(value));
    exchange.complete(answer.status, Buffer.byteLength(body));
    return new Response(body, { status: answer.status, headers: answer.headers });
  }

  async function say({ request, type, visitor, exchange }: ConvCall): Promise<Response> {
    const message = parseConvMessage(await readJson(request, bodyLimits, bodyErrors));
    const { content, parentId, conversationId } = message;
    if (conversationId !== "") busy.enter(conversationId, exchange);
    exchange.isStream = true;
    const headers = visitorHeaders(request.headers, visitor);
    headers.set("content-type", "application/json");
    const body = nextMessage(content, uuid(), parentId || uuid(), conversationId);
    return await upstream.pass({
      method: "POST",
      path: `/${type}${queryOf(request.url)}`,
      headers,
      body: new TextEncoder().encode(body),
    }, exchange);
  }

  async function pass({ request, type, visitor, exchange }: ConvCall): Promise<Response> {
    const { method } = request;
    const body = method === "GET"
      ? null
      : await readBytes(request, bodyLimits, bodyErrors.tooLarge);
    return await upstream.pass({
      method,
      path: `/${type}${queryOf(request.url)}`,
      headers: visitorHeaders(request.headers, visitor),
      body,
    }, exchange);
  }

  return {
    source: "proxy",
    answer(call) {
      const { type, request: { method, url } } = call;
      if (method === "POST" && type === "conversation") return say(call);
      if (method === "GET" && type === "conversations") {
        return changed(call, `/${type}${listQuery(url)}`, withIndex);
      }
      if (method === "GET" && type.startsWith("conversation/")) {
        return changed(call, `/${type}${queryOf(url)}`, shortened);
      }
      return pass(call);
    },
  };
}

/** What system 003 adds to a list: its mode of one conversation at a time. */
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
