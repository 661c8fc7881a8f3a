/**
 * `as TYPE`: a value as another type. null is never converted, and an unknown type lets pass.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import { Attachment, type ChunkFormat } from "../core/workflow.ts";
import { ExactNumber, exactNumber, parseExactJson } from "../lib/exact_json.ts";
import { shown } from "../lib/shown.ts";
import { Chunks, oneChunk } from "./chunks.ts";
import type { Conversion } from "./expression.ts";

/** Decimal, as Python's `float()` takes it: no hexadecimal, no empty text. */
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const INTEGER = /^[+-]?\d+$/;

/**
 * The stream format that `conversion` asks for, in any of the three spellings: `text;sse-text`,
 * `sse-text`, `stream/text` or `event-stream/text`. null = none.
 */
export function chunkFormatOf({ type, subtype, format }: Conversion): ChunkFormat | null {
  if (type === "sse-text" || format === "sse-text") return "text";
  if (type === "sse-json" || format === "sse-json") return "json";
  if (type === "stream" || type === "event-stream" || format === "stream") {
    return subtype === "json" || (format === "stream" && type === "json") ? "json" : "text";
  }
  return null;
}

/**
 * Converts `value`.
 *
 * @throws {AppError} `workflow_failed` when it cannot be converted.
 */
export function convert(value: unknown, conversion: Conversion): unknown {
  if (value === null || value === undefined) return null;
  const chunkFormat = chunkFormatOf(conversion);
  if (value instanceof Chunks) return chunkFormat === null ? value : value.as(chunkFormat);
  const converted = conversion.isList && conversion.type !== "object"
    ? toList(value).map((item) => toType(item, conversion))
    : toType(value, conversion);
  return chunkFormat === null ? converted : oneChunk(converted, chunkFormat);
}

/** A value as it stands inside a text: null is nothing, objects are JSON. */
export function textOfValue(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (value instanceof Attachment) return new TextDecoder().decode(value.bytes);
  if (value instanceof Chunks) {
    throw new AppError("workflow_failed", "Cannot put a stream into a text");
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function toType(value: unknown, conversion: Conversion): unknown {
  const { type, subtype, format } = conversion;
  switch (type) {
    case "string":
    case "text":
      return format === "base64" ? toBase64(value) : textOfValue(value);
    case "number":
      return toNumber(value);
    case "integer":
      return toInteger(value);
    case "boolean":
      return value === true || value === 1 ||
        (typeof value === "string" && /^(true|1)$/i.test(value.trim()));
    case "json":
      return typeof value === "string" ? parseJson(value) : value;
    case "list":
      return toList(value);
    case "object":
      return conversion.isList ? toObjects(value, subtype) : toObject(value);
    case "base64":
      return toBase64(value);
    case "image":
    case "audio":
    case "video":
    case "file":
      return toFile(value, format);
    default:
      return value;
  }
}

function toNumber(value: unknown): number | ExactNumber {
  if (typeof value === "number" || value instanceof ExactNumber) return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value === "string" && NUMBER.test(value.trim())) {
    const text = value.trim();
    const number = exactNumber(text) ?? Number(text); // "+1", ".5" and "1." are no JSON
    if (number instanceof ExactNumber ? Number.isFinite(Number(text)) : Number.isFinite(number)) {
      return number;
    }
  }
  throw cannot(value, "a number");
}

function toInteger(value: unknown): number | ExactNumber {
  if (typeof value === "number" && Number.isFinite(value)) return Math.trunc(value);
  if (typeof value === "boolean") return value ? 1 : 0;
  const text = value instanceof ExactNumber || typeof value === "string"
    ? String(value).trim()
    : "";
  if (INTEGER.test(text)) return exactNumber(text.replace(/^\+/, "")) ?? Number(text);
  throw cannot(value, "an integer");
}

function toList(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (typeof value !== "string") return [value];
  const text = value.trim();
  if (text.startsWith("[")) {
    const parsed = tryJson(text);
    if (Array.isArray(parsed)) return parsed;
  }
  return text === "" ? [] : text.split(",").map((item) => item.trim());
}

function toObject(value: unknown): unknown {
  const object = typeof value === "string" ? tryJson(value) : value;
  const isObject = typeof object === "object" && object !== null && !Array.isArray(object);
  if (isObject && !(object instanceof ExactNumber)) return object;
  throw cannot(value, "an object");
}

/** `object[]/a,b.c`: each object with only these paths, keyed by their last step. */
function toObjects(value: unknown, subtype: string): unknown {
  const list = typeof value === "string" ? tryJson(value) : value;
  if (!Array.isArray(list)) throw cannot(value, "a list of objects");
  if (subtype === "") return list;
  const paths = subtype.split(",").map((path) => path.split("."));
  return list.map((item: unknown) =>
    Object.fromEntries(paths.map((path) => [path.at(-1)!, ownPath(item, path)]))
  );
}

function ownPath(value: unknown, path: readonly string[]): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return null;
    at = (at as Record<string, unknown>)[key];
  }
  return at ?? null;
}

function toBase64(value: unknown): string {
  if (value instanceof Attachment) return Buffer.from(value.bytes).toString("base64");
  return Buffer.from(textOfValue(value)).toString("base64");
}

function toFile(value: unknown, format: string): unknown {
  if (!(value instanceof Attachment)) return value;
  if (format === "base64") return toBase64(value);
  if (format === "data-uri") return `data:${value.contentType};base64,${toBase64(value)}`;
  return value;
}

function parseJson(text: string): unknown {
  const value = tryJson(text);
  if (value === undefined) throw cannot(text, "JSON");
  return value;
}

function tryJson(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch {
    return undefined; // the caller says what it wanted
  }
}

function cannot(value: unknown, wanted: string): AppError {
  return new AppError("workflow_failed", `Cannot convert ${shown(value)} to ${wanted}`);
}
