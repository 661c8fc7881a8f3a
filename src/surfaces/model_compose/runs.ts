/**
 * `POST /api/workflows/runs`: runs a workflow. A streamed output is SSE, any other one JSON.
 *
 * @module
 */

import { AppError, clientLeft } from "../../core/errors.ts";
import { type Authorize, type Engine, Exchange, type OpenStream } from "../../core/exchange.ts";
import { Attachment, type TaskState, type Workflows } from "../../core/workflow.ts";
import { isDeeper } from "../../lib/depth.ts";
import { type BodyLimits, readBytes } from "../../core/body.ts";
import { objectOfFields } from "./bracket_form.ts";
import {
  answered,
  checkToken,
  detailResponse,
  jsonResponse,
} from "../../dialects/detail/errors.ts";
import { outputResponse, stateResponse, streamResponse } from "./answer.ts";

/** Objects and lists inside one another in a request. */
export const INPUT_DEPTH_MAX = 100;

/** What the surface needs. */
export interface RunsDeps {
  readonly engine: Engine;
  readonly workflows: Workflows;
  readonly authorize: Authorize;
  readonly bodyLimits: BodyLimits;
}

/** What a client asks for. */
interface RunRequest {
  readonly workflowId: string | null;
  readonly input: unknown;
  readonly isWaiting: boolean;
  /** null = not said: a stream is streamed, anything else is told with its state. */
  readonly isOutputOnly: boolean | null;
}

const NEVER = new AbortController().signal;

/**
 * Makes the handler. It calls `bePatient(true)` while a run goes on that says nothing: some last
 * longer than any connection may be silent.
 */
export function workflowRuns(
  deps: RunsDeps,
): (request: Request, bePatient: (isPatient: boolean) => void) => Promise<Response> {
  const { engine, workflows, authorize, bodyLimits } = deps;

  async function handle(
    request: Request,
    exchange: Exchange,
    bePatient: (isPatient: boolean) => void,
  ): Promise<Response> {
    checkToken(authorize, request, exchange);
    const run = await readRun(request, bodyLimits);
    const workflowId = workflows.find(run.workflowId);
    if (!run.isWaiting) {
      if (run.isOutputOnly === true) {
        throw invalid("output_only=true requires wait_for_completion=true.");
      }
      const { taskId } = workflows.start(workflowId, run.input, { signal: NEVER, isKept: true });
      return answered(exchange, jsonResponse({ task_id: taskId, status: "pending" }));
    }
    const abort = new AbortController();
    const { signal } = exchange;
    const onLeave = () => abort.abort(clientLeft());
    // Shutdown finds a run that has not answered yet among the open streams.
    const waiting: OpenStream = { fail: (error) => abort.abort(error) };
    const { settled, taskId } = workflows.start(workflowId, run.input, {
      signal: abort.signal,
      isKept: false,
    });
    signal.addEventListener("abort", onLeave, { once: true });
    if (signal.aborted) onLeave();
    engine.streams.add(waiting);
    bePatient(true);
    try {
      const state = await settled;
      abort.signal.throwIfAborted();
      return await answer(state, run, exchange, onLeave);
    } catch (error) {
      abort.abort(clientLeft());
      // What failed before the first chunk is the state of the task by now.
      const state = workflows.task(taskId);
      if (state?.status !== "failed") throw error;
      return told(state, run, exchange);
    } finally {
      engine.streams.delete(waiting);
      bePatient(false);
      signal.removeEventListener("abort", onLeave);
    }
  }

  return async (request, bePatient) => {
    const exchange = new Exchange(engine, "api_workflows_runs", request);
    exchange.source = "workflow";
    try {
      return await handle(request, exchange, bePatient);
    } catch (error) {
      return detailResponse(exchange.refuse(error));
    }
  };
}

async function answer(
  state: TaskState,
  run: RunRequest,
  exchange: Exchange,
  abort: () => void,
): Promise<Response> {
  if (state.output?.kind === "chunks") {
    if (run.isOutputOnly === false) {
      throw invalid("Streaming output is only allowed when output_only=true.");
    }
    exchange.isStream = true;
    return await streamResponse(state.output, exchange, abort);
  }
  return told(state, run, exchange);
}

/** The answer for a run that is over. */
function told(state: TaskState, { isOutputOnly }: RunRequest, exchange: Exchange): Response {
  const response = isOutputOnly === true ? outputResponse(state) : stateResponse(state);
  const { status, errorText } = state;
  const failure = status === "failed" ? new AppError("workflow_failed", errorText) : undefined;
  return answered(exchange, response, failure);
}

async function readRun(request: Request, bodyLimits: BodyLimits): Promise<RunRequest> {
  const header = request.headers.get("content-type") ?? "";
  const type = header.split(";")[0]!.trim().toLowerCase();
  if (type === "") throw invalid("Missing or empty Content-Type header.");
  const tooLarge = () =>
    new AppError("body_too_large", `The request body has more than ${bodyLimits.bytesMax} bytes`);
  switch (type) {
    case "application/json":
      return parseRun(parseJson(await readBytes(request, bodyLimits, tooLarge)));
    case "multipart/form-data":
    case "application/x-www-form-urlencoded":
      return parseRun(await parseForm(await readBytes(request, bodyLimits, tooLarge), header));
    default:
      throw invalid(`Unsupported Content-Type: ${type}`);
  }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw invalid(`Invalid request body: ${(error as Error).message}`);
  }
}

async function parseForm(
  bytes: Uint8Array<ArrayBuffer>,
  contentType: string,
): Promise<Record<string, unknown>> {
  let form: Awaited<ReturnType<Response["formData"]>>;
  try {
    form = await new Response(bytes, { headers: { "content-type": contentType } }).formData();
  } catch (error) {
    throw invalid(`Invalid request body: ${(error as Error).message}`);
  }
  const fields = await Promise.all(
    Array.from(form.entries(), async ([name, value]) => {
      if (typeof value === "string") return [name, value] as const;
      const content = new Uint8Array(await value.arrayBuffer());
      const type = value.type || "application/octet-stream";
      return [name, new Attachment(content, type, value.name)] as const;
    }),
  );
  return objectOfFields(fields);
}

function parseRun(body: unknown): RunRequest {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw invalid("Invalid request body: it must be an object");
  }
  if (isDeeper(body, INPUT_DEPTH_MAX)) {
    throw invalid(`Invalid request body: it nests deeper than ${INPUT_DEPTH_MAX} levels`);
  }
  const fields = body as Readonly<Record<string, unknown>>;
  const { workflow_id = null, input = null } = fields;
  if (workflow_id !== null && typeof workflow_id !== "string") {
    throw invalid("Invalid request body: workflow_id must be a string");
  }
  return {
    workflowId: workflow_id === "" ? null : workflow_id,
    input,
    isWaiting: flag(fields, "wait_for_completion") ?? true,
    isOutputOnly: flag(fields, "output_only"),
  };
}

/** true, false, or the words that forms have for them. */
function flag(fields: Readonly<Record<string, unknown>>, key: string): boolean | null {
  const value = fields[key] ?? null;
  if (value === null || typeof value === "boolean") return value;
  const word = String(value).toLowerCase();
  if (/^(true|1|yes|on)$/.test(word)) return true;
  if (/^(false|0|no|off)$/.test(word)) return false;
  throw invalid(`Invalid request body: ${key} must be true or false`);
}

function invalid(message: string): AppError {
  return new AppError("request_invalid", message);
}
