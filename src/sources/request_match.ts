/**
 * Which requests an entry of the config is about.
 *
 * @module
 */

import type { Ask } from "../core/answer.ts";
import type { Call } from "../core/exchange.ts";
import { fieldText } from "../lib/http1/field_text.ts";
import { globOf } from "./glob.ts";
import { keyName } from "./shown_key.ts";

/** A longer value is matched by no pattern, which may take the cube of its length. */
const VALUE_CHARS_MAX = 1024;

/** What is said of requests: patterns, in which `*` is any text. What is undefined may be anything. */
export interface CallMatch {
  /** Without the query. */
  readonly path?: string | undefined;
  /** The name of the key that was shown. */
  readonly key?: string | undefined;
  /** Headers that must be there. */
  readonly header?: Readonly<Record<string, string>> | undefined;
}

/** What is said of their bodies besides. */
export interface BodyMatch {
  readonly body_min_bytes?: number | undefined;
  readonly body_max_bytes?: number | undefined;
  readonly tools?: true | undefined;
  readonly vision?: true | undefined;
}

/** Matches texts of up to `charsMax` UTF-16 units. */
export function boundedGlob(pattern: string, charsMax: number): (text: string) => boolean {
  const glob = globOf(pattern);
  return (text) => text.length <= charsMax && glob.test(text);
}

/** Matches requests by what came before their bodies. */
export function callMatcher({ path, key, header = {} }: CallMatch): (call: Call) => boolean {
  const tests: ((call: Call) => boolean)[] = [];
  const test = (pattern: string, value: (call: Call) => string) => {
    const fits = boundedGlob(pattern, VALUE_CHARS_MAX);
    tests.push((call) => fits(value(call)));
  };
  if (key !== undefined) test(key, keyName);
  if (path !== undefined) test(path, pathOf);
  for (const [spelled, pattern] of Object.entries(header)) {
    const name = spelled.toLowerCase();
    tests.push(({ request }) => request?.head.fields.has(name) === true);
    test(pattern, ({ request }) => fieldText(request?.head.fields.get(name) ?? ""));
  }
  return (call) => tests.every((holds) => holds(call));
}

/** Matches requests by all but their model; undefined = all of them fit. */
export function requestMatcher(
  match: CallMatch & BodyMatch,
): ((ask: Ask, call: Call) => boolean) | undefined {
  const { path, key, header, body_min_bytes, body_max_bytes, tools, vision } = match;
  const isAny = [path, key, header, body_min_bytes, body_max_bytes, tools, vision]
    .every((one) => one === undefined);
  if (isAny) return undefined;
  const fitsCall = callMatcher(match);
  const hasSize = body_min_bytes !== undefined || body_max_bytes !== undefined;
  return (ask, call) => {
    if (!fitsCall(call)) return false;
    if (hasSize) {
      const bytes = ask.wire?.body?.length ?? Buffer.byteLength(call.request?.text ?? "");
      if (bytes < (body_min_bytes ?? 0) || bytes > (body_max_bytes ?? Infinity)) return false;
    }
    if (tools === undefined && vision === undefined) return true;
    const asked = askedOf(ask, call);
    return (tools === undefined || hasTools(asked)) && (vision === undefined || showsImages(asked));
  };
}

function pathOf({ request }: Call): string {
  return request?.head.target.split("?", 1)[0] ?? "";
}

/** What a request asks, as far as it is JSON; of a large body that is not here, nothing. */
function askedOf({ wire }: Ask, { request }: Call): unknown {
  try {
    const text = wire === undefined
      ? request?.text ?? ""
      : new TextDecoder().decode(wire.body ?? undefined);
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Tools, as each dialect has them. */
function hasTools(asked: unknown): boolean {
  return ["tools", "functions"].some((key) => listOf(asked, key).length > 0);
}

/** What holds the conversation, in each dialect. */
const CONVERSATIONS = ["messages", "input"] as const;
const IMAGES: ReadonlySet<unknown> = new Set(["image_url", "input_image", "image"]);

/** True when a part of a message, or of what a tool gave, is an image. */
function showsImages(asked: unknown): boolean {
  return CONVERSATIONS.some((key) => listOf(asked, key).some((item) => isImage(item)));
}

/** Parts lie in a message, in the result of a tool in it, and no deeper. */
function isImage(part: unknown, levels = 2): boolean {
  if (typeof part !== "object" || part === null) return false;
  if ("type" in part && IMAGES.has(part.type)) return true;
  if (levels === 0) return false;
  return ["content", "output"].some((key) =>
    listOf(part, key).some((inner) => isImage(inner, levels - 1))
  );
}

function listOf(value: unknown, key: string): readonly unknown[] {
  if (typeof value !== "object" || value === null) return [];
  const list = (value as Readonly<Record<string, unknown>>)[key];
  return Array.isArray(list) ? list : [];
}
