/**
 * `POST /api/workflows/runs`: runs a workflow. A streamed output is SSE, any other one JSON.
 *
 * @module
 */

import { checkDepth, checkSize } from "../../core/depth.ts";
import { AppError, clientLeft } from "../../core/errors.ts";
import type { Authorize, Call, Exchange } from "../../core/exchange.ts";
import type { Inbound, Output, Surface, Whole } from "../../core/surface.ts";
import { Attachment, type TaskState, type Workflows } from "../../core/workflow.ts";
import { checkToken, detailAnswer, jsonAnswer } from "../../dialects/detail/errors.ts";
import { parseExactJson } from "../../lib/exact_json.ts";
import { FORM_FIELDS_MAX, objectOfFields, tooManyFields } from "./bracket_form.ts";
import { withFormInput } from "./form_input.ts";
import { outputAnswer, stateAnswer, streamAnswer } from "./answer.ts";

/** What the surface needs. */
export interface RunsDeps {
  readonly workflows: Workflows;
  readonly authorize: Authorize;
  /** Plans the faults that a request asks for. @throws {AppError} for those that it cannot have. */
  readonly planFaults: (call: Call) => void;
}

/** What a client asks for. */
interface RunRequest {
  readonly workflowId: string | null;
  readonly input: unknown;
  readonly isWaiting: boolean;
  /** null = not said: a stream is streamed, anything else is told with its state. */
  readonly isOutputOnly: boolean | null;
}

/** Of a content type that there is none, an error repeats so much. */
const TYPE_CHARS_MAX = 100;

const URLENCODED = "application/x-www-form-urlencoded";
const AMPERSAND = 0x26;

const NEVER = new AbortController().signal;

/** Makes the surface. Some runs last longer than any connection may be silent. */
export function workflowRuns({ workflows, authorize, planFaults }: RunsDeps): Surface {
  async function answer(inbound: Inbound, exchange: Exchange): Promise<Output> {
    planFaults(exchange);
    const run = await readRun(inbound);
    const workflowId = workflows.find(run.workflowId);
    if (!run.isWaiting && run.isOutputOnly === true) {
      throw invalid("output_only=true requires wait_for_completion=true.");
    }
    workflows.check(workflowId, run.input);
    const { tokenName, key } = exchange;
    const payer = { tokenName, key };
    if (!run.isWaiting) {
      const options = { signal: NEVER, isKept: true, payer };
      const { taskId } = workflows.start(workflowId, run.input, options);
      return jsonAnswer({ task_id: taskId, status: "pending" });
    }
    const abort = new AbortController();
    const { signal } = exchange;
    signal.addEventListener("abort", { handleEvent: () => abort.abort(signal.reason) });
    if (signal.aborted) abort.abort(signal.reason);
    const { settled, taskId } = workflows.start(workflowId, run.input, {
      signal: abort.signal,
      isKept: false,
      payer,
    });
    try {
      const state = await settled;
      abort.signal.throwIfAborted();
      if (state.output?.kind !== "chunks") return told(state, run);
      if (run.isOutputOnly === false) {
        throw invalid("Streaming output is only allowed when output_only=true.");
      }
      return await streamAnswer(state.output);
    } catch (error) {
      abort.abort(clientLeft());
      // What failed before the first chunk is the state of the task by now.
      const state = workflows.task(taskId);
      if (state?.status !== "failed") throw error;
      return told(state, run);
    }
  }

  return {
    name: "api_workflows_runs",
    source: "workflow",
    takes: "body",
    isSpared: true,
    admit: (head, exchange) => checkToken(authorize, head, exchange),
    answer,
    tooLarge: (bytesMax) =>
      new AppError("body_too_large", `The request body has more than ${bytesMax} bytes`),
    refuse: detailAnswer,
  };
}

/** The answer for a run that is over. */
function told(state: TaskState, { isOutputOnly }: RunRequest): Whole {
  const answer = isOutputOnly === true ? outputAnswer(state) : stateAnswer(state);
  const { status, errorText } = state;
  if (status !== "failed") return answer;
  return { ...answer, failure: new AppError("workflow_failed", errorText) };
}

async function readRun({ head, bytes }: Inbound): Promise<RunRequest> {
  const header = head.fields.get("content-type") ?? "";
  const type = header.split(";")[0]!.trim().toLowerCase();
  if (type === "") throw invalid("Missing or empty Content-Type header.");
  switch (type) {
    case "application/json":
      return parseRun(parseJson(bytes));
    case "multipart/form-data":
    case URLENCODED:
      return parseRun(await parseForm(bytes, header));
    default:
      throw invalid(`Unsupported Content-Type: ${type.slice(0, TYPE_CHARS_MAX)}`);
  }
}

function parseJson(bytes: Uint8Array): unknown {
  const text = new TextDecoder().decode(bytes);
  checkSize(text, "Invalid request body: it");
  let body: unknown;
  try {
    body = parseExactJson(text);
  } catch (error) {
    throw invalid(`Invalid request body: ${(error as Error).message}`);
  }
  checkDepth(text, body, "Invalid request body: it");
  return body;
}

async function parseForm(
  bytes: Uint8Array<ArrayBuffer>,
  contentType: string,
): Promise<Readonly<Record<string, unknown>>> {
  if (contentType.toLowerCase().startsWith(URLENCODED) && hasManyFields(bytes)) {
    throw tooManyFields();
  }
  let form: Awaited<ReturnType<Response["formData"]>>;
  try {
    form = await new Response(bytes, { headers: { "content-type": contentType } }).formData();
  } catch (error) {
    throw invalid(`Invalid request body: ${(error as Error).message}`);
  }
  const fields: (readonly [string, unknown])[] = [];
  for (const [name, value] of form.entries()) {
    if (fields.length > FORM_FIELDS_MAX) break; // it is refused: the rest need not be read
    if (typeof value === "string") {
      fields.push([name, value]);
      continue;
    }
    const content = new Uint8Array(await value.arrayBuffer());
    const type = value.type || "application/octet-stream";
    fields.push([name, new Attachment(content, type, value.name)]);
  }
  return withFormInput(objectOfFields(fields));
}

/** True when a form of `name=value&…` has too many of them to be taken apart. */
function hasManyFields(bytes: Uint8Array): boolean {
  let count = 1;
  for (let at = bytes.indexOf(AMPERSAND); at >= 0; at = bytes.indexOf(AMPERSAND, at + 1)) {
    if (++count > FORM_FIELDS_MAX) return true;
  }
  return false;
}

function parseRun(body: unknown): RunRequest {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw invalid("Invalid request body: it must be an object");
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
  const word = typeof value === "object" ? "" : String(value).toLowerCase();
  if (/^(true|1|yes|on)$/.test(word)) return true;
  if (/^(false|0|no|off)$/.test(word)) return false;
  throw invalid(`Invalid request body: ${key} must be true or false`);
}

function invalid(message: string): AppError {
  return new AppError("request_invalid", message);
}
