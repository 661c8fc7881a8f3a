/**
 * Loads one workflow of a file: its jobs, and the graph they form. One function per type of job.
 *
 * @module
 */

import type { Condition, Job, JobReference, Operator, Work, Workflow } from "./definition.ts";
import { checkGraph } from "./graph.ts";
import {
  bothKeys,
  CASE_KEYS,
  CONDITION_KEYS,
  jobKeys,
  ROUTING_KEYS,
  WORKFLOW_KEYS,
} from "./keys.ts";
import { type Components, DEFAULT_ID, loadComponent } from "./load_component.ts";
import type { Problems, Section, Sources } from "./section.ts";

const WORKFLOW_ID = "__workflow__";
const JOB_ID = "__job__";
/** Jobs of one workflow. */
const JOBS_MAX = 1000;

const JOB_TYPES = [
  "action",
  "component",
  "delay",
  "if",
  "switch",
  "random-router",
  "filter",
] as const;

const OPERATORS: readonly Operator[] = [
  "eq",
  "neq",
  "gt",
  "gte",
  "lt",
  "lte",
  "in",
  "not-in",
  "starts-with",
  "ends-with",
  "match",
];

/** Loads the workflow in `section`. */
export function loadWorkflow(
  section: Section,
  components: Components,
  problems: Problems,
): Workflow {
  const id = section.text("id") ?? WORKFLOW_ID;
  const isNested = section.has("jobs") || section.has("job");
  // The flat spelling: the job's keys stand on the workflow. No key of a job at all is one, too.
  const sections = isNested ? section.sections("jobs", "job") : [section];
  if (isNested) section.checkKeys(WORKFLOW_KEYS);
  if (sections.length > JOBS_MAX) {
    section.problem("jobs", `has ${sections.length} jobs; the limit is ${JOBS_MAX}`);
  }
  const named = sections.slice(0, JOBS_MAX).map((job) => ({
    job,
    jobId: (isNested ? job.text("id") : null) ?? JOB_ID,
  }));
  const jobIds = new Set<string>();
  for (const { job, jobId } of named) {
    if (jobIds.has(jobId)) job.problem("id", `There are two jobs with the id '${jobId}'`);
    jobIds.add(jobId);
  }
  const sources: Sources = {
    names: new Set(["input", "output", "jobs", "context"]),
    jobIds,
  };
  const jobs = named.map(({ job, jobId }): Job => ({
    id: jobId,
    place: job.place,
    dependsOn: references(job, "depends_on"),
    work: loadWork(job, isNested, `${id}/${jobId}`, components, sources),
  }));
  checkGraph(jobs, section.path, problems);
  return {
    id,
    title: section.text("title") ?? section.text("name"),
    description: section.text("description"),
    jobs,
    output: isNested ? section.pattern("output", sources) : null,
  };
}

function loadWork(
  section: Section,
  isNested: boolean,
  inlineId: string,
  components: Components,
  sources: Sources,
): Work {
  const type = section.text("type") ?? "action";
  if ((JOB_TYPES as readonly string[]).includes(type)) {
    section.checkKeys(isNested ? jobKeys(type) : bothKeys(WORKFLOW_KEYS, jobKeys(type)));
  } else {
    section.problem("type", `weir has no job of type '${type}': it has ${JOB_TYPES.join(", ")}`);
  }
  switch (type) {
    case "delay":
      return loadDelay(section, sources);
    case "if":
      return {
        kind: "if",
        conditions: loadConditions(section, sources),
        otherwise: reference(section, "otherwise"),
      };
    case "switch":
      return loadSwitch(section, sources);
    case "random-router":
      return loadRouter(section);
    case "filter":
      return { kind: "filter", output: section.pattern("output", sources) };
    default:
      return {
        kind: "action",
        ...target(section, inlineId, components),
        input: section.pattern("input", sources),
        output: section.pattern("output", sources),
        repeatCount: section.pattern("repeat_count", sources),
      };
  }
}

/** The component and action that a job calls: by id, inline, or the default ones. */
function target(
  section: Section,
  inlineId: string,
  components: Components,
): { readonly componentId: string; readonly actionId: string } {
  const inline = section.kindOf("component") === "map" ? section.section("component") : null;
  if (inline !== null) components.byId.set(inlineId, loadComponent(inline, inlineId));
  const asked = inline === null ? section.text("component") ?? DEFAULT_ID : inlineId;
  const componentId = asked === DEFAULT_ID ? components.defaultId : asked;
  const component = componentId === null ? undefined : components.byId.get(componentId);
  if (component === undefined) {
    section.problem(
      "component",
      asked !== DEFAULT_ID
        ? `There is no component '${asked}'`
        : components.byId.size === 0
        ? "There is no component: the file needs a component section"
        : "There are several components: name one, or mark one with default: true",
    );
    return { componentId: "", actionId: "" };
  }
  const askedAction = section.text("action") ?? DEFAULT_ID;
  const actionId = askedAction === DEFAULT_ID ? component.defaultActionId : askedAction;
  if (component.actions.size > 0 && (actionId === null || !component.actions.has(actionId))) {
    section.problem(
      "action",
      actionId === null
        ? `Component '${component.id}' has several actions: name one, or mark one as default`
        : `Component '${component.id}' has no action '${actionId}'`,
    );
  }
  return { componentId: component.id, actionId: actionId ?? "" };
}

function loadDelay(section: Section, sources: Sources): Work {
  const mode = section.word("mode", ["time-interval", "specific-time"], "time-interval");
  const key = mode === "time-interval" ? "duration" : "time";
  const value = section.pattern(key, sources);
  if (value === null) section.problem(key, `A delay job needs '${key}'`);
  if (value?.kind === "constant" && key === "duration") section.duration(key, 0);
  const timezone = section.text("timezone") ?? "";
  if (!isTimezone(timezone)) section.problem("timezone", `There is no time zone '${timezone}'`);
  return {
    kind: "delay",
    mode: mode === "time-interval" ? "interval" : "until",
    value: value ?? { kind: "constant", value: 0 },
    timezone,
    output: section.pattern("output", sources),
  };
}

function loadConditions(section: Section, sources: Sources): readonly Condition[] {
  // A single condition may stand on the job itself; `input` may stand on either.
  const conditions = section.has("conditions") || section.has("condition")
    ? section.sections("conditions", "condition")
    : [section];
  for (const condition of conditions) {
    if (condition !== section) condition.checkKeys(CONDITION_KEYS);
  }
  return conditions.map((condition) => ({
    operator: condition.word("operator", OPERATORS, "eq"),
    input: condition.pattern("input", sources) ?? section.pattern("input", sources),
    value: condition.pattern("value", sources),
    ifTrue: reference(condition, "if_true"),
    ifFalse: reference(condition, "if_false"),
  }));
}

function loadSwitch(section: Section, sources: Sources): Work {
  // A single case may stand on the job itself.
  const isListed = section.has("cases") || section.has("case");
  const lines = isListed ? section.sections("cases", "case") : [section];
  const cases = lines.flatMap((line) => {
    if (isListed) line.checkKeys(CASE_KEYS);
    else if (!section.has("then")) return [];
    const then = reference(line, "then");
    const value = line.pattern("value", sources);
    if (then === null) line.problem("then", "A case needs 'then', the job it leads to");
    return then === null
      ? []
      : [{ value: value ?? { kind: "constant" as const, value: null }, then }];
  });
  return {
    kind: "switch",
    input: section.pattern("input", sources),
    cases,
    otherwise: reference(section, "otherwise"),
  };
}

function loadRouter(section: Section): Work {
  const isWeighted = section.word("mode", ["uniform", "weighted"], "uniform") === "weighted";
  const routings = section.sections("routings", "routing").flatMap((line) => {
    line.checkKeys(ROUTING_KEYS);
    const to = reference(line, "target") ?? reference(line, "to");
    if (to === null) line.problem("target", "A routing needs 'target', the job it leads to");
    const weight = line.number("weight") ?? 1;
    return to === null ? [] : [{ target: to, weight: isWeighted ? weight : 1 }];
  });
  if (!routings.some(({ weight }) => weight > 0)) {
    section.problem("routings", "A random-router needs a routing with a weight above 0");
  }
  return { kind: "random-router", routings };
}

function reference(section: Section, key: string): JobReference | null {
  return references(section, key)[0] ?? null;
}

function references(section: Section, key: string): readonly JobReference[] {
  return section.texts(key).map(({ text, place }) => ({ jobId: text, place }));
}

function isTimezone(name: string): boolean {
  if (name === "") return true;
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
