/**
 * Chunks: an output that is told while it happens, and what becomes of it where a value is needed.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import { Attachment, type ChunkFormat } from "../core/workflow.ts";

/** Bytes of text that a stream is collected into when a job needs it as a value. */
export const COLLECTED_BYTES_MAX = 64 * 1024 * 1024;
/** Chunks that a stream is collected into. */
export const COLLECTED_CHUNKS_MAX = 1_000_000;

/**
 * Objects and lists in one value, each counted as often as it stands there: jobs that repeat each
 * other's outputs make values that are small in memory and have no end on paper.
 */
export const VALUE_PARTS_MAX = 1_000_000;

/** A stream of values. It can be read once. */
export class Chunks {
  readonly source: AsyncIterable<unknown>;
  /** null = nobody has said yet. */
  readonly format: ChunkFormat | null;

  constructor(source: AsyncIterable<unknown>, format: ChunkFormat | null) {
    this.source = source;
    this.format = format;
  }

  /** The same stream, written as `format`. */
  as(format: ChunkFormat): Chunks {
    return new Chunks(this.source, format);
  }
}

/** A stream of the one value `value`. */
export function oneChunk(value: unknown, format: ChunkFormat): Chunks {
  return new Chunks(
    (async function* () {
      yield value;
    })(),
    format,
  );
}

/** Reads `chunks` to its end: texts joined to one, anything else as a list. Nulls are left out. */
export async function collect(chunks: Chunks): Promise<unknown> {
  return joined(await collectItems(chunks));
}

/** What chunks mean as one value. */
export function joined(items: readonly unknown[]): unknown {
  return items.every((item) => typeof item === "string") ? items.join("") : items;
}

/** Every chunk of `chunks`, without the nulls. */
export async function collectItems(chunks: Chunks): Promise<readonly unknown[]> {
  const items: unknown[] = [];
  let bytes = 0;
  for await (const chunk of chunks.source) {
    if (chunk === null || chunk === undefined) continue;
    bytes += sizeOf(chunk);
    if (bytes > COLLECTED_BYTES_MAX || items.length >= COLLECTED_CHUNKS_MAX) {
      throw new AppError(
        "workflow_failed",
        `Cannot collect a stream of more than ${COLLECTED_BYTES_MAX} bytes ` +
          `or ${COLLECTED_CHUNKS_MAX} chunks`,
      );
    }
    items.push(chunk);
  }
  return items;
}

/**
 * `value` with every stream in it collected. Values without streams come back as they are.
 *
 * @throws {AppError} `workflow_failed` for a value of more than `VALUE_PARTS_MAX` parts.
 */
export async function settle(value: unknown): Promise<unknown> {
  if (value instanceof Chunks) return await collect(value);
  if (!holdsChunks(value)) return value;
  if (Array.isArray(value)) return await Promise.all(value.map(settle));
  const entries = Object.entries(value as Record<string, unknown>);
  return Object.fromEntries(
    await Promise.all(entries.map(async ([key, item]) => [key, await settle(item)] as const)),
  );
}

/** Bytes that `value` takes in memory, roughly: what limits count. */
export function sizeOf(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (value instanceof Attachment) return value.bytes.length;
  if (typeof value !== "object" || value === null) return 8;
  let size = 16;
  if (Array.isArray(value)) {
    for (const item of value as readonly unknown[]) size += sizeOf(item);
    return size;
  }
  for (const key in value) {
    size += key.length + sizeOf((value as Readonly<Record<string, unknown>>)[key]);
  }
  return size;
}

function holdsChunks(value: unknown): boolean {
  const rest: unknown[] = [value];
  for (let parts = 0; rest.length > 0; parts++) {
    if (parts > VALUE_PARTS_MAX) {
      throw new AppError(
        "workflow_failed",
        `Cannot take a value of more than ${VALUE_PARTS_MAX} parts`,
      );
    }
    const item = rest.pop();
    if (item instanceof Chunks) return true;
    if (typeof item !== "object" || item === null || item instanceof Attachment) continue;
    if (Array.isArray(item)) {
      for (const inner of item as readonly unknown[]) {
        if (typeof inner === "object" && inner !== null) rest.push(inner);
      }
      continue;
    }
    for (const key in item) {
      const inner = (item as Readonly<Record<string, unknown>>)[key];
      if (typeof inner === "object" && inner !== null) rest.push(inner);
    }
  }
  return false;
}
