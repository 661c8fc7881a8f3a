/**
 * The JSON Schema that a request for any JSON tells all the same: clients that know only
 * `json_object` put it into the prompt, and some servers take it beside the type.
 *
 * @module
 */

import { type Message, textOf } from "../../core/turn.ts";
import { fieldsOf } from "./fields.ts";

/** A longer message is not looked through. */
const TEXT_CHARS_MAX = 65_536;
/** Braces at which a schema may begin, in one message. */
const STARTS_MAX = 32;
/** Characters that are looked through from one brace or another, in all messages. */
const SEARCHED_CHARS_MAX = 2_097_152;

/** The schema; undefined = none is told. */
export function toldSchema(format: unknown, messages: readonly Message[]): unknown {
  const { schema } = fieldsOf(format);
  if (isSchema(schema)) return schema;
  const search: Search = { left: SEARCHED_CHARS_MAX };
  for (const { role, content } of messages) {
    if (role === "assistant" || role === "tool") continue;
    const told = schemaIn(textOf(content), search);
    if (told !== undefined) return told;
  }
  return undefined;
}

/** Characters that may still be looked through. */
interface Search {
  left: number;
}

function schemaIn(text: string, search: Search): unknown {
  if (text.length > TEXT_CHARS_MAX) return undefined;
  let from = text.indexOf("{");
  for (let starts = 0; from >= 0 && starts < STARTS_MAX && search.left > 0; starts++) {
    search.left -= text.length - from;
    const end = objectEnd(text, from);
    if (end === undefined) return undefined;
    const schema = parsed(text.slice(from, end));
    if (isSchema(schema)) return schema;
    from = text.indexOf("{", schema === undefined ? from + 1 : end);
  }
  return undefined;
}

/** The offset behind the object that begins at `from`; undefined = it does not end. */
function objectEnd(text: string, from: number): number | undefined {
  let depth = 0;
  let isText = false;
  for (let at = from; at < text.length; at++) {
    const char = text[at];
    if (char === "\\") at++;
    else if (char === '"') isText = !isText;
    else if (isText) continue;
    else if (char === "{") depth++;
    else if (char === "}" && --depth === 0) return at + 1;
  }
  return undefined;
}

/** An object that says which properties there are, itself or by reference. */
function isSchema(value: unknown): boolean {
  const { type, properties, $ref } = fieldsOf(value);
  return typeof $ref === "string" ||
    (type === "object" && Object.keys(fieldsOf(properties)).length > 0);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
