/**
 * The graph of a workflow's jobs: what is checked at load, and who depends on whom.
 *
 * @module
 */

import { type Job, routesOf, type Workflow } from "./definition.ts";
import { expressionsIn, type Pattern } from "./interpolate.ts";
import type { Problems } from "./section.ts";

/** Notes every reference that leads nowhere, every circle, and a graph that cannot begin. */
export function checkGraph(jobs: readonly Job[], path: string, problems: Problems): void {
  const byId = new Map(jobs.map((job) => [job.id, job] as const));
  let isSound = true;
  const fault = (job: Job, place: Job["place"], message: string) => {
    isSound = false;
    problems.add(place, `${path}.${job.id}`, message);
  };
  for (const job of jobs) {
    for (const { jobId, place } of job.dependsOn) {
      if (jobId === job.id) fault(job, place, `Job '${job.id}' depends on itself`);
      else if (!byId.has(jobId)) fault(job, place, `There is no job '${jobId}' to depend on`);
    }
    for (const { jobId, place } of routesOf(job)) {
      if (jobId === job.id) fault(job, place, `Job '${job.id}' routes to itself`);
      else if (!byId.has(jobId)) fault(job, place, `There is no job '${jobId}' to route to`);
    }
  }
  if (!isSound || jobs.length === 0) return;
  const circle = findCircle(jobs, byId);
  if (circle !== null) {
    const [first] = circle;
    fault(byId.get(first!)!, byId.get(first!)!.place, `Jobs go in a circle: ${circle.join(" → ")}`);
  } else if (entriesOf(jobs).length === 0) {
    fault(jobs[0]!, jobs[0]!.place, "No job can begin: each one depends on another");
  }
}

/** The jobs that begin: they depend on none, and none routes to them. */
export function entriesOf(jobs: readonly Job[]): readonly Job[] {
  const targets = new Set(jobs.flatMap(routesOf).map(({ jobId }) => jobId));
  return jobs.filter(({ id, dependsOn }) => dependsOn.length === 0 && !targets.has(id));
}

/** The jobs that end a workflow: none depends on them, and they route to none. */
export function terminalsOf(jobs: readonly Job[]): readonly Job[] {
  const needed = new Set(jobs.flatMap(({ dependsOn }) => dependsOn).map(({ jobId }) => jobId));
  return jobs.filter((job) => !needed.has(job.id) && routesOf(job).length === 0);
}

/** The jobs that every run reaches: no routing decides about them. */
export function certainOf(jobs: readonly Job[]): ReadonlySet<string> {
  const targets = new Set(jobs.flatMap(routesOf).map(({ jobId }) => jobId));
  const certain = new Set<string>();
  for (let before = -1; before < certain.size;) {
    before = certain.size;
    for (const { id, dependsOn } of jobs) {
      const isReached = dependsOn.length === 0 || dependsOn.some(({ jobId }) => certain.has(jobId));
      if (isReached && !targets.has(id)) certain.add(id);
    }
  }
  return certain;
}

/** The jobs whose output another pattern of the workflow reads: a stream must be a value there. */
export function readJobsOf(workflow: Workflow): ReadonlySet<string> {
  const read = new Set<string>();
  for (const pattern of [workflow.output, ...workflow.jobs.flatMap(patternsOf)]) {
    if (pattern === null) continue;
    for (const { source, path } of expressionsIn(pattern)) {
      const [step] = path;
      if (source !== "jobs") continue;
      if (step?.kind === "key") read.add(step.key);
      else for (const { id } of workflow.jobs) read.add(id);
    }
  }
  return read;
}

/** Every pattern of a job. */
export function patternsOf({ work }: Job): readonly (Pattern | null)[] {
  switch (work.kind) {
    case "action":
      return [work.input, work.output, work.repeatCount];
    case "delay":
      return [work.value, work.output];
    case "if":
      return work.conditions.flatMap(({ input, value }) => [input, value]);
    case "switch":
      return [work.input, ...work.cases.map(({ value }) => value)];
    case "random-router":
      return [];
    case "filter":
      return [work.output];
  }
}

/** The ids along a circle, its first one again at the end; null = there is none. */
function findCircle(
  jobs: readonly Job[],
  byId: ReadonlyMap<string, Job>,
): readonly string[] | null {
  // An edge leads from what comes first to what comes after it.
  const after = new Map<string, string[]>(jobs.map(({ id }) => [id, []]));
  for (const job of jobs) {
    for (const { jobId } of job.dependsOn) after.get(jobId)!.push(job.id);
    for (const { jobId } of routesOf(job)) after.get(job.id)!.push(jobId);
  }
  const state = new Map<string, "open" | "done">();
  for (const id of byId.keys()) {
    // A stack of its own: a chain of thousands of jobs must not exhaust the call stack.
    const trail: { readonly id: string; next: number }[] = [];
    if (!state.has(id)) {
      trail.push({ id, next: 0 });
      state.set(id, "open");
    }
    while (trail.length > 0) {
      const top = trail.at(-1)!;
      const target = after.get(top.id)![top.next++];
      if (target === undefined) {
        state.set(top.id, "done");
        trail.pop();
      } else if (state.get(target) === "open") {
        const ids = trail.map((step) => step.id);
        return [...ids.slice(ids.indexOf(target)), target];
      } else if (!state.has(target)) {
        state.set(target, "open");
        trail.push({ id: target, next: 0 });
      }
    }
  }
  return null;
}
