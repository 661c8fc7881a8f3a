/**
 * Runs the jobs of one workflow: each one as soon as what it depends on is settled, side by side
 * where nothing keeps them apart. One file, since what a job does decides which jobs come next.
 *
 * @module
 */

import { shown } from "../lib/shown.ts";
import { type Semaphore, SemaphoreFull } from "../lib/semaphore.ts";
import type { Wheel } from "../lib/wheel.ts";
import { type Calls, failed } from "./call.ts";
import { Chunks, collect, settle } from "./chunks.ts";
import { holds, isEqual } from "./condition.ts";
import { textOfValue } from "./convert.ts";
import {
  type Definition,
  type Job,
  type JobReference,
  routesOf,
  type Work,
  type Workflow,
} from "./definition.ts";
import { durationMs } from "./duration.ts";
import { wholeExpression } from "./expression.ts";
import { readJobsOf, terminalsOf } from "./graph.ts";
import { callAction } from "./http_client.ts";
import { type Pattern, render, type Scope } from "./interpolate.ts";
import { wallMsOf } from "./wall_time.ts";

/** The most times that one job repeats. */
export const REPEAT_COUNT_MAX = 1000;

/** What a run needs besides its workflow. Time and chance are arguments. */
export interface RunContext {
  readonly taskId: string;
  readonly definition: Definition;
  readonly calls: Calls;
  readonly wheel: Wheel;
  readonly wallMs: () => number;
  /** 0 ≤ x < 1: what a random-router rolls. */
  readonly random: () => number;
  /** The gate of each component that has a limit. */
  readonly gates: ReadonlyMap<string, Semaphore>;
  readonly signal: AbortSignal;
  /** Told when a job begins and when it is complete. */
  readonly note: (jobId: string, stage: "started" | "completed") => void;
}

/**
 * Runs `workflow` with `input` and gives its output: a value, or `Chunks`.
 *
 * @throws {AppError} the failure of the first job that fails; the others are left to the signal.
 */
export async function runJobs(
  workflow: Workflow,
  input: unknown,
  context: RunContext,
): Promise<unknown> {
  return await new JobRun(workflow, input, context).run();
}

/** Where a job is: "dead" is one that no path will reach. */
type Stage = "waiting" | "running" | "done" | "dead";

class JobRun {
  readonly #workflow: Workflow;
  readonly #context: RunContext;
  readonly #stages = new Map<string, Stage>();
  readonly #outputs = new Map<string, { readonly output: unknown }>();
  readonly #routed = new Set<string>();
  /** Target → the jobs that may route to it. */
  readonly #routers = new Map<string, string[]>();
  /** Jobs whose output somebody needs as a value. */
  readonly #valued: ReadonlySet<string>;
  readonly #scope: Scope;

  constructor(workflow: Workflow, input: unknown, context: RunContext) {
    this.#workflow = workflow;
    this.#context = context;
    for (const job of workflow.jobs) {
      this.#stages.set(job.id, "waiting");
      for (const { jobId } of routesOf(job)) {
        const routers = this.#routers.get(jobId) ?? [];
        routers.push(job.id);
        this.#routers.set(jobId, routers);
      }
    }
    const terminals = new Set(terminalsOf(workflow.jobs).map(({ id }) => id));
    const inner = workflow.jobs.map(({ id }) => id).filter((id) => !terminals.has(id));
    this.#valued = new Set([...inner, ...readJobsOf(workflow)]);
    this.#scope = { input: input ?? null, context: { task_id: context.taskId } };
  }

  async run(): Promise<unknown> {
    const running = new Map<string, Promise<string>>();
    for (;;) {
      for (const job of this.#ready()) {
        this.#stages.set(job.id, "running");
        running.set(job.id, this.#perform(job));
      }
      if (running.size === 0) return await this.#result();
      const doneId = await Promise.race(running.values());
      running.delete(doneId);
      this.#stages.set(doneId, "done");
    }
  }

  /** The jobs that can begin now; what can never begin is marked dead on the way. */
  #ready(): readonly Job[] {
    const ready: Job[] = [];
    let hasChanged = true;
    while (hasChanged) {
      hasChanged = false;
      for (const job of this.#workflow.jobs) {
        if (this.#stages.get(job.id) !== "waiting" || ready.includes(job)) continue;
        const verdict = this.#verdict(job);
        if (verdict === "ready") ready.push(job);
        if (verdict !== "dead") continue;
        this.#stages.set(job.id, "dead");
        hasChanged = true;
      }
    }
    return ready;
  }

  #verdict({ id, dependsOn }: Job): "ready" | "wait" | "dead" {
    const needed = dependsOn.map(({ jobId }) => this.#stages.get(jobId)!);
    const routers = this.#routers.get(id);
    if (routers !== undefined && !this.#routed.has(id)) {
      const stages = routers.map((router) => this.#stages.get(router)!);
      return stages.every(isSettled) ? "dead" : "wait";
    }
    if (!needed.every(isSettled)) return "wait";
    const isCut = routers === undefined && needed.length > 0 && !needed.includes("done");
    return isCut ? "dead" : "ready";
  }

  async #perform(job: Job): Promise<string> {
    const { note } = this.#context;
    note(job.id, "started");
    const output = await this.#work(job.id, job.work, {
      ...this.#scope,
      jobs: Object.fromEntries(this.#outputs),
    });
    this.#outputs.set(job.id, { output });
    note(job.id, "completed");
    return job.id;
  }

  async #work(id: string, work: Work, scope: Scope): Promise<unknown> {
    switch (work.kind) {
      case "action": {
        const output = await this.#repeat(work, scope);
        return output instanceof Chunks && !this.#valued.has(id) ? output : await settle(output);
      }
      case "delay":
        await this.#delay(work, scope);
        return work.output === null ? null : await settle(render(work.output, scope));
      case "filter":
        return work.output === null ? null : await settle(render(work.output, scope));
      default:
        this.#route(this.#choose(work, scope));
        return null;
    }
  }

  async #repeat(
    work: Extract<Work, { readonly kind: "action" }>,
    scope: Scope,
  ): Promise<unknown> {
    const count = work.repeatCount === null ? 1 : Number(render(work.repeatCount, scope));
    if (!Number.isInteger(count) || count < 1 || count > REPEAT_COUNT_MAX) {
      throw failed(`repeat_count must be a whole number from 1 to ${REPEAT_COUNT_MAX}: ${count}`);
    }
    if (count === 1) return await this.#call(work, scope);
    const calls = Array.from(
      { length: count },
      async () => await settle(await this.#call(work, scope)),
    );
    return await Promise.all(calls);
  }

  async #call(work: Extract<Work, { readonly kind: "action" }>, scope: Scope): Promise<unknown> {
    const { definition, calls, signal, gates, taskId } = this.#context;
    const component = definition.components.get(work.componentId)!;
    const action = component.actions.get(work.actionId)!;
    const input = work.input === null ? scope["input"] : await settle(render(work.input, scope));
    const leave = await enter(gates.get(component.id), signal);
    let output: unknown;
    try {
      output = await callAction(
        component,
        action,
        { input, context: { run_id: taskId, task_id: taskId } },
        calls,
        signal,
      );
    } catch (error) {
      leave();
      throw error;
    }
    if (!(output instanceof Chunks)) leave();
    else output = new Chunks(leaving(output.source, leave), output.format);
    if (work.output === null) return output;
    if (output instanceof Chunks && !isWholeOutput(work.output)) output = await collect(output);
    return render(work.output, { ...scope, output });
  }

  async #delay(
    { mode, value, timezone }: Extract<Work, { readonly kind: "delay" }>,
    scope: Scope,
  ): Promise<void> {
    const { wheel, wallMs, signal } = this.#context;
    const given = render(value, scope);
    const until = mode === "until" ? wallMsOf(textOfValue(given), timezone) : null;
    const waitMs = mode === "interval"
      ? durationMs(given)
      : until === null
      ? null
      : until - wallMs();
    if (waitMs === null) {
      const wanted = mode === "interval" ? "a duration such as 5s" : "an ISO time";
      throw failed(`Cannot wait for ${shown(given)}: it is not ${wanted}`);
    }
    if (waitMs > 0 && !await wheel.until(wheel.nowMs + waitMs, signal)) throw signal.reason;
  }

  /** The job that a routing job leads to; null = nowhere. */
  #choose(
    work: Exclude<Work, { readonly kind: "action" | "delay" | "filter" }>,
    scope: Scope,
  ): JobReference | null {
    const valueOf = (pattern: Pattern | null) => pattern === null ? null : render(pattern, scope);
    switch (work.kind) {
      case "if":
        for (const { operator, input, value, ifTrue, ifFalse } of work.conditions) {
          const route = holds(operator, valueOf(input), valueOf(value)) ? ifTrue : ifFalse;
          if (route !== null) return route;
        }
        return work.otherwise;
      case "switch": {
        const input = valueOf(work.input);
        const found = work.cases.find(({ value }) => isEqual(input, valueOf(value)));
        return found?.then ?? work.otherwise;
      }
      case "random-router": {
        const total = work.routings.reduce((sum, { weight }) => sum + weight, 0);
        let rest = this.#context.random() * total;
        for (const { target, weight } of work.routings) {
          rest -= weight;
          if (rest < 0) return target;
        }
        return work.routings.at(-1)!.target;
      }
    }
  }

  #route(target: JobReference | null): void {
    if (target !== null) this.#routed.add(target.jobId);
  }

  /** The output of the last terminal job; mappings of several are merged. */
  async #result(): Promise<unknown> {
    const ended = terminalsOf(this.#workflow.jobs).filter(({ id }) => this.#outputs.has(id));
    let output: unknown = null;
    for (const { id } of ended) {
      const own = this.#outputs.get(id)!.output;
      const next = ended.length === 1 ? own : await settle(own);
      output = isMapping(output) && isMapping(next) ? { ...output, ...next } : next;
    }
    const pattern = this.#workflow.output;
    if (pattern === null) return output;
    if (output instanceof Chunks && !isWholeOutput(pattern)) output = await collect(output);
    return render(pattern, {
      ...this.#scope,
      jobs: Object.fromEntries(this.#outputs),
      output,
    });
  }
}

function isSettled(stage: Stage): boolean {
  return stage === "done" || stage === "dead";
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null &&
    [Object.prototype, null].includes(Object.getPrototypeOf(value));
}

/** True for `${output}` and `${output as …}` alone: only there a stream stays a stream. */
function isWholeOutput(pattern: Pattern): boolean {
  if (pattern.kind !== "template") return false;
  const whole = wholeExpression(pattern.template);
  return whole !== null && whole.source === "output" && whole.path.length === 0;
}

async function enter(gate: Semaphore | undefined, signal: AbortSignal): Promise<() => void> {
  if (gate === undefined) return () => {};
  try {
    const leave = await gate.enter(signal);
    // A stream that nobody begins to read never ends by itself: the end of the run ends it.
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
    return leave;
  } catch (error) {
    if (error instanceof SemaphoreFull) throw failed("Too many calls wait for this component");
    throw error;
  }
}

/** `source`, calling `leave` when it is over. */
async function* leaving(
  source: AsyncIterable<unknown>,
  leave: () => void,
): AsyncGenerator<unknown> {
  try {
    yield* source;
  } finally {
    leave();
  }
}
