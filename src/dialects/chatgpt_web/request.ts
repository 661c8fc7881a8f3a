/**
 * What `/conv` is asked: the `Chat-Type` header, the query of a list and the body of a message.
 *
 * @module
 */

import { URLSearchParams } from "node:url";
import { z } from "zod";
import { AppError } from "../../core/errors.ts";
import { queryOf } from "../../core/body.ts";
import type { Fields } from "../../lib/http1/fields.ts";

/** Longest `Chat-Type` and longest id, in characters: a word and a UUID are a third of it. */
const NAME_CHARS_MAX = 200;

/** Path segments of plain characters; none is "." or "..", so that it stays below its upstream. */
const CHAT_TYPE = /^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[\w.~-]+(?:\/[\w.~-]+)*$/;

/** Conversations in a list when nobody says how many, and the most there can be. */
const LIMIT = 5;
const LIMIT_MAX = 100;

const ID = z.string().max(NAME_CHARS_MAX);

/** The schema of `POST` with `Chat-Type: conversation`. */
export const CONV_BODY = z.looseObject({
  content: z.string().min(1).describe("what the user says"),
  parent_message_id: ID.nullish().describe(
    "the message this answers to: current_node, or the last",
  ),
  conversation_id: ID.nullish().describe(
    "absent or empty, or without a parent: a new conversation",
  ),
});

/** One message of the client. Both ids are given, or both are "". */
export interface ConvMessage {
  readonly content: string;
  readonly parentId: string;
  readonly conversationId: string;
}

/**
 * The value of `Chat-Type`.
 *
 * @throws {AppError} 400 when it is missing, empty or no path.
 */
export function chatTypeOf(fields: Pick<Fields, "get">): string {
  const type = fields.get("chat-type") ?? "";
  if (type.length <= NAME_CHARS_MAX && CHAT_TYPE.test(type)) return type;
  throw new AppError(
    "param_missing",
    type === ""
      ? "The Chat-Type header is missing: conversations, conversation or conversation/<id>"
      : "The Chat-Type header must be a path such as conversation/<id>",
  );
}

/** The part of the list that is asked for. */
export function pageOf(url: string): { readonly offset: number; readonly limit: number } {
  const query = new URLSearchParams(queryOf(url));
  return {
    offset: wholeNumber(query.get("offset"), "offset", 0, Number.MAX_SAFE_INTEGER, 0),
    limit: wholeNumber(query.get("limit"), "limit", 1, LIMIT_MAX, LIMIT),
  };
}

/** The query of a list for the upstream: with a `limit`, as go-gpt-server has it. */
export function listQuery(url: string): string {
  const query = queryOf(url);
  if (new URLSearchParams(query).has("limit")) return query;
  return `${query}${query.length > 1 ? "&" : query === "" ? "?" : ""}limit=${LIMIT}`;
}

function wholeNumber(
  text: string | null,
  name: string,
  min: number,
  max: number,
  initial: number,
): number {
  if (text === null || text === "") return initial;
  const value = Number(text);
  if (/^\d{1,16}$/.test(text) && value >= min && value <= max) return value;
  throw new AppError("param_value", `${name} must be a whole number from ${min} to ${max}`);
}

/**
 * The message in `body`, a parsed JSON value.
 *
 * @throws {AppError} 400 with what is wrong first.
 */
export function parseConvMessage(body: unknown): ConvMessage {
  const checked = CONV_BODY.safeParse(body);
  if (!checked.success) {
    const [issue] = checked.error.issues;
    const path = issue?.path.join(".");
    throw new AppError("param_type", `${path || "the body"}: ${issue?.message ?? "invalid"}`);
  }
  const { content, parent_message_id, conversation_id } = checked.data;
  if (!parent_message_id || !conversation_id) return { content, parentId: "", conversationId: "" };
  return { content, parentId: parent_message_id, conversationId: conversation_id };
}
