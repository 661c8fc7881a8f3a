/**
 * The chunks of a workflow's output as SSE: one event each, `data:` lines only, no end mark.
 *
 * @module
 */

import type { ChunkFormat } from "../../core/workflow.ts";
import { textEvent } from "../../lib/sse.ts";

/** One chunk as one event. Chunks that are null have been left out before. */
export function chunkEvent(chunk: unknown, format: ChunkFormat): string {
  if (format === "json") return `data: ${JSON.stringify(chunk)}\n\n`;
  return textEvent(textOfChunk(chunk));
}

/** model-compose writes what Python prints; objects are JSON instead of Python's own notation. */
function textOfChunk(chunk: unknown): string {
  switch (typeof chunk) {
    case "string":
      return chunk;
    case "boolean":
      return chunk ? "True" : "False";
    default:
      return JSON.stringify(chunk);
  }
}
