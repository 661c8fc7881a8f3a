/**
 * How the workflow API answers with a task: its state, its bare output, or its chunks as SSE.
 *
 * @module
 */

import { sseHeaders } from "../../core/sse_headers.ts";
import type { EventsOutput, Whole } from "../../core/surface.ts";
import type { Attachment, RunOutput, TaskState } from "../../core/workflow.ts";
import { CHUNK_EDITS } from "../../dialects/workflow_chunks/fault_edits.ts";
import { jsonAnswer } from "../../dialects/detail/errors.ts";
import { chunkEvent } from "./chunks.ts";

/** An output whose chunks come as they are read. */
export type ChunksOutput = Extract<RunOutput, { readonly kind: "chunks" }>;

const STREAM_HEADERS = sseHeaders();

/** The state of a task. Keys without a value are left out. */
export function stateAnswer(state: TaskState): Whole {
  const { taskId, status, errorText } = state;
  const output = valueOfOutput(state.output);
  return jsonAnswer({
    task_id: taskId,
    status,
    ...(output === null ? {} : { output }),
    ...(errorText === "" ? {} : { error: errorText }),
  });
}

/** The bare output of a task that is over. */
export function outputAnswer({ status, output, errorText }: TaskState): Whole {
  if (status === "failed" || status === "cancelled") {
    return jsonAnswer({ detail: errorText || `The run was ${status}` }, 500);
  }
  if (status !== "completed") return jsonAnswer({ detail: "Task is still in progress." }, 202);
  if (output?.kind === "file") return fileAnswer(output.file);
  if (output?.kind === "collected") {
    const events = output.items.map((item) => chunkEvent(item, output.format)).join("");
    return { kind: "whole", status: 200, headers: STREAM_HEADERS, body: events };
  }
  return jsonAnswer(valueOfOutput(output));
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

function fileAnswer({ bytes, contentType, filename }: Attachment): Whole {
  const name = filename.replace(/[^\x20-\x7e]|["\\]/g, "_");
  const encoded = encodeURIComponent(filename);
  return {
    kind: "whole",
    status: 200,
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
    body: bytes,
  };
}

/**
 * Streams `output`, when its first chunk is here: a run that fails before it says anything rejects.
 * One that fails later is cut: the body has no proper end.
 */
export async function streamAnswer({ chunks, format }: ChunksOutput): Promise<EventsOutput> {
  const iterator = chunks[Symbol.asyncIterator]();
  let first: IteratorResult<unknown> | undefined = await iterator.next();
  // Not a generator: that would not be returned while it waits for its next chunk.
  const events: AsyncIterator<string> = {
    async next() {
      const turn = first ?? await iterator.next();
      first = undefined;
      if (turn.done) return { done: true, value: undefined };
      return { done: false, value: chunkEvent(turn.value, format) };
    },
    async return() {
      await iterator.return?.();
      return { done: true, value: undefined };
    },
  };
  return {
    kind: "events",
    events: { [Symbol.asyncIterator]: () => events },
    headers: STREAM_HEADERS,
    errorEvent: () => null,
    faultEdits: CHUNK_EDITS,
  };
}
