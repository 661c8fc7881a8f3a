/**
 * The model that a request names, for whoever may use only some: what weir reads must be what any upstream
 * reads, too.
 *
 * @module
 */

import type { Ask } from "../../core/answer.ts";
import { checkDepth, checkSize } from "../../core/depth.ts";
import { AppError } from "../../core/errors.ts";
import { firstModel } from "../../dialects/openai_chat/peek_model.ts";
import { jsonPlaces } from "../../lib/json_places.ts";

const KEY = '"model"';
const LATER = Buffer.from('"background"');
/** How every letter of that key begins, where it is written as an escape. */
const ESCAPED = "\\u006";

const decoder = new TextDecoder();
/** That of `Buffer` takes any bytes; a `Buffer` made around them costs more than it does. */
const indexOf = Buffer.prototype.indexOf as (this: Uint8Array, bytes: Uint8Array) => number;

/**
 * The model that `ask` names; "" = none.
 *
 * @throws {AppError} when it cannot be told, or several are named.
 */
export function modelNamed(ask: Ask): string {
  const { wire } = ask;
  if (wire === undefined) return ask.model();
  if (wire.upload !== undefined) throw unreadable("its body is still coming: send it again");
  if (wire.body === null) return "";
  if ((wire.fields.get("content-encoding") ?? "identity") !== "identity") {
    throw unreadable("its body is compressed");
  }
  const first = firstModel(wire.body);
  if (first !== "") return first;
  const text = decoder.decode(wire.body);
  const value = parsed(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw unreadable("its body is no JSON object");
  }
  checkSameName(text, value);
  const model = "model" in value ? value.model ?? "" : "";
  if (typeof model !== "string") throw unreadable("its model is no text");
  return model;
}

/** True when an upstream may answer `ask` later, where nobody counts what is said. */
export function isForLater({ wire }: Ask): boolean {
  const body = wire?.body ?? null;
  if (body === null || indexOf.call(body, LATER) < 0) return false;
  try {
    const value: unknown = JSON.parse(decoder.decode(body));
    return typeof value === "object" && value !== null && "background" in value &&
      value.background === true;
  } catch {
    return false; // its upstream says what is wrong with it
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw unreadable("its body is no JSON");
  }
}

/** Of two keys of one name some servers take the first and some the last. */
function checkSameName(text: string, value: object): void {
  const first = text.indexOf(KEY);
  if (text.indexOf(KEY, first + 1) < 0 && !text.includes(ESCAPED)) return;
  checkSize(text);
  checkDepth(text, value);
  const named = jsonPlaces(text).fields!.filter(({ key }) => key === "model");
  if (named.length > 1) throw unreadable("it names several");
}

function unreadable(why: string): AppError {
  return new AppError(
    "key_forbidden",
    `This key may use some models only, and which one this request is for cannot be told: ${why}`,
    { param: "model" },
  );
}
