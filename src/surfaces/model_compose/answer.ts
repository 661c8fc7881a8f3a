/**
 * How the workflow API answers with a task: its state, its bare output, or its chunks as SSE.
 *
 * @module
 */

import { asAppError } from "../../core/errors.ts";
import { outcomeOf } from "../../core/events.ts";
import type { Exchange } from "../../core/exchange.ts";
import { type Feed, Outlet } from "../../core/outlet.ts";
import type { Attachment, RunOutput, TaskState } from "../../core/workflow.ts";
import { jsonResponse } from "../../dialects/detail/errors.ts";
import { chunkEvent } from "./chunks.ts";

/** An output whose chunks come as they are read. */
export type ChunksOutput = Extract<RunOutput, { readonly kind: "chunks" }>;

const STREAM_HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  "x-accel-buffering": "no",
  "access-control-allow-origin": "*",
} as const;

/** The state of a task. Keys without a value are left out. */
export function stateResponse(state: TaskState): Response {
  const { taskId, status, errorText } = state;
  const output = valueOfOutput(state.output);
  return jsonResponse({
    task_id: taskId,
    status,
    ...(output === null ? {} : { output }),
    ...(errorText === "" ? {} : { error: errorText }),
  });
}

/** The bare output of a task that is over. */
export function outputResponse({ status, output, errorText }: TaskState): Response {
  if (status === "failed" || status === "cancelled") {
    return jsonResponse({ detail: errorText || `The run was ${status}` }, 500);
  }
  if (status !== "completed") return jsonResponse({ detail: "Task is still in progress." }, 202);
  if (output?.kind === "file") return fileResponse(output.file);
  if (output?.kind === "collected") {
    const events = output.items.map((item) => chunkEvent(item, output.format)).join("");
    return new Response(events, { headers: STREAM_HEADERS });
  }
  return jsonResponse(valueOfOutput(output));
}

function valueOfOutput(output: RunOutput | undefined): unknown {
  switch (output?.kind) {
    case "value":
      return output.value ?? null;
    case "file":
      return output.file;
    case "collected": {
      const { items } = output;
      return items.every((item) => typeof item === "string") ? items.join("") : items;
    }
    default:
      return null;
  }
}

function fileResponse({ bytes, contentType, filename }: Attachment): Response {
  const name = filename.replace(/[^\x20-\x7e]|["\\]/g, "_");
  const encoded = encodeURIComponent(filename);
  return new Response(bytes, {
    headers: {
      "content-type": contentType,
      "cache-control": "no-cache",
      "access-control-allow-origin": "*",
      ...(filename === "" ? {} : {
        // RFC 6266: the plain name for old clients, the encoded one for all characters.
        "content-disposition": `attachment; filename="${name}"` +
          (name === filename ? "" : `; filename*=UTF-8''${encoded}`),
      }),
    },
  });
}

/**
 * Streams `output`. The response begins with the first chunk, so a run that fails before it says
 * anything is thrown and not streamed. One that fails later is cut: the body has no proper end.
 */
export async function streamResponse(
  output: ChunksOutput,
  exchange: Exchange,
  abort: () => void,
): Promise<Response> {
  const iterator = output.chunks[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done) {
    exchange.begin(200);
    exchange.end("completed");
    return new Response("", { headers: STREAM_HEADERS });
  }
  const outlet = new Outlet({
    exchange,
    errorEvent: () => null,
    canComment: () => true, // every write is whole events
    onLeave: abort,
  });
  const feed: Feed = (written) => void tell(written, iterator, output, outlet, exchange);
  return outlet.open(200, STREAM_HEADERS, chunkEvent(first.value, output.format), feed);
}

async function tell(
  written: void | Promise<void>,
  iterator: AsyncIterator<unknown>,
  { format }: ChunksOutput,
  outlet: Outlet,
  exchange: Exchange,
): Promise<void> {
  try {
    await written;
    while (!outlet.isClosed) {
      const next = await iterator.next();
      if (next.done) return outlet.end();
      await outlet.write(chunkEvent(next.value, format));
    }
    await iterator.return?.();
  } catch (error) {
    const failure = asAppError(error);
    if (failure.code === "internal" && !outlet.isClosed) {
      exchange.engine.watch({ kind: "bug", where: exchange.surface, error });
    }
    outlet.fail(failure, outcomeOf(failure));
  }
}
