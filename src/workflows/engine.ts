/**
 * The workflows of one process: starts runs, keeps their tasks, and stops them. The life of a run
 * is one class, so that its four ends (whole, failed, left, shut down) can be seen side by side.
 *
 * @module
 */

import { AppError, asAppError } from "../core/errors.ts";
import {
  Attachment,
  type Run,
  type RunOutput,
  type TaskState,
  type TaskStatus,
  type Workflows,
  type WorkflowSchema,
} from "../core/workflow.ts";
import { Semaphore } from "../lib/semaphore.ts";
import { ulid } from "../lib/ulid.ts";
import type { Wheel } from "../lib/wheel.ts";
import type { Calls } from "./call.ts";
import { Chunks, collectItems, settle } from "./chunks.ts";
import type { Definition, Workflow } from "./definition.ts";
import { runJobs } from "./jobs.ts";
import { InputCheck } from "./input_check.ts";
import { inputUses, schemaOf } from "./schema.ts";
import { Tasks } from "./tasks.ts";

/** Runs that go on or wait. Above this a new one is refused. */
export const RUNS_OPEN_MAX = 10_000;
/** Calls that wait for one component. */
const CALLS_WAITING_MAX = 10_000;
/** Of a workflow's name that there is none, an error repeats so much. */
const ASKED_CHARS_MAX = 200;
/** How a caller asks for the default workflow by name. */
const DEFAULT_ID = "__default__";

/** What happens to a run, for logs. `jobId` is null for the workflow as a whole. */
export interface RunNote {
  readonly taskId: string;
  readonly workflowId: string;
  readonly jobId: string | null;
  readonly stage: "started" | "completed" | "failed" | "cancelled";
  /** Milliseconds since the run, or the job, began. */
  readonly elapsedMs: number;
}

/** What runs need. Time and chance are arguments. */
export interface EngineDeps {
  readonly calls: Calls;
  readonly wheel: Wheel;
  readonly wallMs: () => number;
  readonly random: () => number;
  readonly randomBytes: (target: Uint8Array<ArrayBuffer>) => void;
  readonly note: (note: RunNote) => void;
  /** Told of what is thrown and no failure of a workflow. */
  readonly onBug: (error: unknown) => void;
}

/** Runs the workflows of `definition`. */
export class WorkflowEngine implements Workflows {
  readonly schemas: readonly WorkflowSchema[];
  readonly #checks: ReadonlyMap<string, InputCheck>;
  readonly #definition: Definition;
  readonly #deps: EngineDeps;
  readonly #tasks: Tasks;
  readonly #gate: Semaphore;
  readonly #gates: ReadonlyMap<string, Semaphore>;
  readonly #open = new Set<AbortController>();

  constructor(definition: Definition, deps: EngineDeps) {
    this.#definition = definition;
    this.#deps = deps;
    const uses = new Map(
      definition.workflows.map((workflow) => [workflow, inputUses(workflow, definition)] as const),
    );
    this.schemas = [...uses].map(([workflow, used]) => schemaOf(workflow, definition, used));
    this.#checks = new Map([...uses].map(([{ id }, used]) => [id, new InputCheck(used)] as const));
    this.#tasks = new Tasks(() => deps.wheel.nowMs);
    this.#gate = new Semaphore(definition.controller.runsMax || RUNS_OPEN_MAX, RUNS_OPEN_MAX);
    this.#gates = new Map(
      [...definition.components.values()]
        .filter(({ callsMax }) => callsMax > 0)
        .map(({ id, callsMax }) => [id, new Semaphore(callsMax, CALLS_WAITING_MAX)] as const),
    );
  }

  /** Runs that are not over. */
  get openCount(): number {
    return this.#open.size;
  }

  find(workflowId: string | null): string {
    return this.#find(workflowId).id;
  }

  check(workflowId: string, input: unknown): void {
    this.#checks.get(workflowId)!.check(input);
  }

  task(taskId: string): TaskState | undefined {
    return this.#tasks.get(taskId);
  }

  stop(reason: AppError): void {
    for (const abort of [...this.#open]) abort.abort(reason);
  }

  start(
    workflowId: string | null,
    input: unknown,
    { signal, isKept, payer }: Parameters<Workflows["start"]>[2],
  ): Run {
    const workflow = this.#find(workflowId);
    if (this.#open.size >= RUNS_OPEN_MAX) {
      throw new AppError("too_many", `${RUNS_OPEN_MAX} runs go on already: try again later`);
    }
    const taskId = ulid(this.#deps.wallMs(), this.#deps.randomBytes);
    const { calls } = this.#deps;
    const settled = new OpenRun(workflow, taskId, {
      ...this.#deps,
      calls: payer === undefined
        ? calls
        : { ...calls, askLlm: (body, signal) => calls.askLlm(body, signal, payer) },
      definition: this.#definition,
      tasks: this.#tasks,
      gate: this.#gate,
      gates: this.#gates,
      open: this.#open,
    }).go(input, signal, isKept);
    return { taskId, settled };
  }

  #find(workflowId: string | null): Workflow {
    const { workflows, defaultWorkflowId } = this.#definition;
    const asked = workflowId ?? DEFAULT_ID;
    const id = asked === DEFAULT_ID ? defaultWorkflowId : asked;
    const workflow = workflows.find((candidate) => candidate.id === id);
    if (workflow === undefined) {
      throw new AppError("not_found", `Workflow '${asked.slice(0, ASKED_CHARS_MAX)}' not found.`);
    }
    return workflow;
  }
}

/** What one run shares with all others. */
interface Shared extends EngineDeps {
  readonly definition: Definition;
  readonly tasks: Tasks;
  readonly gate: Semaphore;
  readonly gates: ReadonlyMap<string, Semaphore>;
  readonly open: Set<AbortController>;
}

/** One run, from its first state to its last. */
class OpenRun {
  readonly #workflow: Workflow;
  readonly #taskId: string;
  readonly #shared: Shared;
  readonly #startMs: number;
  readonly #jobStartMs = new Map<string, number>();
  /** Ends everything that belongs to this run; aborted when the run is over, too. */
  readonly #abort = new AbortController();
  #leave: () => void = () => {};
  #forget: () => void = () => {};

  constructor(workflow: Workflow, taskId: string, shared: Shared) {
    this.#workflow = workflow;
    this.#taskId = taskId;
    this.#shared = shared;
    this.#startMs = shared.wheel.nowMs;
  }

  /** Runs. Never rejects: a failure is a state. */
  async go(input: unknown, outer: AbortSignal, isKept: boolean): Promise<TaskState> {
    const { open, gate, tasks } = this.#shared;
    const onOuter = () => this.#abort.abort(outer.reason);
    if (outer.aborted) onOuter();
    else outer.addEventListener("abort", onOuter, { once: true });
    this.#forget = () => outer.removeEventListener("abort", onOuter);
    open.add(this.#abort);
    tasks.set(this.#state("pending"));
    try {
      this.#leave = await gate.enter(this.#abort.signal);
      tasks.set(this.#state("processing"));
      this.#note(null, "started");
      const result = await runJobs(this.#workflow, input, {
        ...this.#shared,
        taskId: this.#taskId,
        signal: this.#abort.signal,
        note: (jobId, stage) => this.#note(jobId, stage),
      });
      this.#abort.signal.throwIfAborted();
      return await this.#finish(result, isKept);
    } catch (error) {
      return this.#fail(error);
    }
  }

  async #finish(result: unknown, isKept: boolean): Promise<TaskState> {
    if (!(result instanceof Chunks)) return this.#end("completed", outputOf(await settle(result)));
    const format = result.format ?? "text";
    if (isKept) {
      const items = await collectItems(new Chunks(wholeTexts(result.source), result.format));
      return this.#end("completed", { kind: "collected", items, format });
    }
    const state = this.#state("processing", {
      kind: "chunks",
      chunks: this.#watched(result),
      format,
    });
    // What the task shows meanwhile has no chunks: they belong to the client that asked first.
    return state;
  }

  /** The chunks without nulls; the end of reading, however it comes, is the end of the run. */
  async *#watched({ source }: Chunks): AsyncGenerator<unknown> {
    let isWhole = false;
    try {
      yield* wholeTexts(source);
      isWhole = true;
    } catch (error) {
      this.#fail(error);
      throw error;
    } finally {
      // Without an error and not whole, the reader has left.
      this.#end(isWhole ? "completed" : "cancelled");
    }
  }

  #fail(error: unknown): TaskState {
    const { signal } = this.#abort;
    const isAborted = signal.aborted;
    const reason: unknown = isAborted ? signal.reason : error;
    const failure = asAppError(reason);
    if (!isAborted && failure.code === "internal") this.#shared.onBug(error);
    const message = reason instanceof AppError || !isAborted
      ? failure.message
      : "The run was cancelled: its client has left";
    return this.#end(isAborted ? "cancelled" : "failed", undefined, message);
  }

  /** Notes the last state, once; and closes what the run has left open. */
  #end(status: TaskStatus, output?: RunOutput, errorText = ""): TaskState {
    const { tasks, open } = this.#shared;
    const state = this.#state(status, output, errorText);
    if (!open.delete(this.#abort)) return state;
    this.#forget();
    this.#leave();
    tasks.end(state);
    this.#note(null, status as "completed" | "failed" | "cancelled");
    this.#abort.abort();
    return state;
  }

  #state(status: TaskStatus, output?: RunOutput, errorText = ""): TaskState {
    return {
      taskId: this.#taskId,
      workflowId: this.#workflow.id,
      status,
      ...(output === undefined ? {} : { output }),
      errorText,
    };
  }

  #note(jobId: string | null, stage: RunNote["stage"]): void {
    const nowMs = this.#shared.wheel.nowMs;
    if (jobId !== null && stage === "started") this.#jobStartMs.set(jobId, nowMs);
    const startMs = jobId === null ? this.#startMs : this.#jobStartMs.get(jobId)!;
    this.#shared.note({
      taskId: this.#taskId,
      workflowId: this.#workflow.id,
      jobId,
      stage,
      elapsedMs: nowMs - startMs,
    });
  }
}

function outputOf(value: unknown): RunOutput {
  return value instanceof Attachment ? { kind: "file", file: value } : { kind: "value", value };
}

/**
 * `source` without nulls, and with no character in two halves: an upstream that cuts its texts by
 * UTF-16 units would have both halves of an emoji written as U+FFFD.
 */
async function* wholeTexts(source: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  let half = "";
  for await (const chunk of source) {
    if (chunk === null || chunk === undefined) continue;
    if (typeof chunk !== "string") {
      if (half !== "") yield half;
      half = "";
      yield chunk;
      continue;
    }
    const text = half + chunk;
    half = /[\ud800-\udbff]$/.test(text) ? text.slice(-1) : "";
    if (half === "") yield text;
    else if (text.length > 1) yield text.slice(0, -1);
  }
  if (half !== "") yield half;
}
