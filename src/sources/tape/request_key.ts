/**
 * When two requests are the same: JSON by what it says, without the fields that make no request
 * another one; and, for clients of another dialect than a tape's, by the turn in them.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { DialectName } from "../../core/answer.ts";
import { textOf, toolsOf, type Turn } from "../../core/turn.ts";
import { parseMessagesRequest } from "../../dialects/anthropic_messages/request.ts";
import { parseChatRequest } from "../../dialects/openai_chat/request.ts";
import { parseResponsesRequest } from "../../dialects/openai_responses/request.ts";
import { isDeeper } from "../../lib/depth.ts";
import { ExactNumber, parseExactJson } from "../../lib/exact_json.ts";

/** Deeper JSON is compared byte by byte. */
const DEPTH_MAX = 1000;

/** A request, as far as it is compared. */
export interface Comparable {
  readonly method: string;
  /** Below the base URL, with the query. */
  readonly path: string;
  readonly body: Uint8Array | null;
}

/** Finds fields that are left out. */
export class Volatile {
  readonly #paths: readonly (readonly string[])[];

  /** `paths`: keys with dots between them, where `*` is any key, and any item of a list. */
  constructor(paths: readonly string[]) {
    this.#paths = paths.map((path) => path.split("."));
  }

  /** `value`, JSON, without them, and with the keys of its objects in order. Numbers keep their digits. */
  without(value: unknown): unknown {
    return ordered(value, this.#paths);
  }
}

type Paths = readonly (readonly string[])[];

function ordered(value: unknown, paths: Paths): unknown {
  if (typeof value !== "object" || value === null || value instanceof ExactNumber) return value;
  if (Array.isArray(value)) {
    return value.map((item, index) => ordered(item, below(paths, String(index))));
  }
  const entries: [string, unknown][] = [];
  for (const key of Object.keys(value).sort()) {
    const inner = below(paths, key);
    if (inner.some(({ length }) => length === 0)) continue;
    entries.push([key, ordered((value as Readonly<Record<string, unknown>>)[key], inner)]);
  }
  return Object.fromEntries(entries);
}

const NO_PATHS: Paths = [];

/** What is left of `paths` below `key`. */
function below(paths: Paths, key: string): Paths {
  if (paths.length === 0) return NO_PATHS;
  return paths.filter(([first]) => first === "*" || first === key).map((path) => path.slice(1));
}

/** The JSON in `body`, as it is compared; undefined = it is none, and its bytes are compared. */
export function comparedJson(body: Uint8Array, ignored: Volatile): unknown {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(body);
    const value = parseExactJson(text);
    return isDeeper(value, DEPTH_MAX) ? undefined : ignored.without(value);
  } catch {
    return undefined;
  }
}

/** The same for two requests that are the same. */
export function requestKey({ method, path, body }: Comparable, ignored: Volatile): string {
  const hash = createHash("sha256").update(`${method} ${path}\n`);
  if (body === null || body.length === 0) return hash.digest("base64");
  const json = comparedJson(body, ignored);
  if (json !== undefined) return hash.update(JSON.stringify(json)).digest("base64");
  return hash.update("\0").update(withoutBoundary(body)).digest("base64");
}

/** The line that each part of a form begins with: chance makes it. */
const BOUNDARY = /^--[\w'()+,./:=?-]{8,70}(?=\r\n)/;

/** A form with another boundary is the same form. */
function withoutBoundary(body: Uint8Array): Uint8Array | string {
  const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString("latin1");
  const boundary = BOUNDARY.exec(text)?.[0];
  return boundary === undefined ? body : text.replaceAll(boundary, "--");
}

/** Reads a turn out of a body; each throws an `AppError` when there is none. */
const READERS: Readonly<Partial<Record<DialectName, (body: unknown) => Turn>>> = {
  openai_chat: (body) => parseChatRequest(body, "spec"),
  openai_responses: (body) => parseResponsesRequest(body, "spec", ""),
  anthropic_messages: parseMessagesRequest,
};

/** The turn that `body` asks for in `dialect`; undefined = it holds none that is known here. */
export function turnIn(dialect: DialectName, body: Uint8Array): Turn | undefined {
  try {
    return READERS[dialect]?.(JSON.parse(new TextDecoder().decode(body)));
  } catch {
    return undefined;
  }
}

/** The same for two turns that ask the same of one model, whatever dialect they came in. */
export function turnKey(turn: Turn): string {
  const said = turn.messages.map(({ role, content, tool_calls, tool_call_id }) => ({
    role: role === "developer" ? "system" : role,
    text: isText(content) ? textOf(content) : content,
    calls: Array.isArray(tool_calls) && tool_calls.length > 0 ? tool_calls : undefined,
    tool_call_id,
  }));
  const tools = toolsOf(turn).map(({ kind, name, parameters }) => ({ kind, name, parameters }));
  const json = ordered({ model: turn.model, said, tools }, NO_PATHS);
  return createHash("sha256").update(JSON.stringify(json)).digest("base64");
}

/** True: there is nothing but text. */
function isText(content: unknown): boolean {
  if (content === null || content === undefined || typeof content === "string") return true;
  return Array.isArray(content) &&
    content.every((part) => typeof part === "object" && part !== null && "text" in part);
}
