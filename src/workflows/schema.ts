/**
 * What a workflow takes and gives, read off its expressions: for forms, documents and clients.
 *
 * @module
 */

import type { SchemaGroup, SchemaVariable, WorkflowSchema } from "../core/workflow.ts";
import { convert } from "./convert.ts";
import type { Action, Component, Definition, Job, Workflow } from "./definition.ts";
import { type Expression, expressionsOf, type Template, wholeExpression } from "./expression.ts";
import { certainOf, patternsOf, terminalsOf } from "./graph.ts";
import { expressionsIn, type Pattern } from "./interpolate.ts";

/** An expression that reads the input of a workflow. */
export interface InputUse {
  readonly expression: Expression;
  /** True when a run cannot do without: it has no default, and every run comes to it. */
  readonly isRequired: boolean;
}

/** Everything of its input that `workflow` reads. */
export function inputUses(workflow: Workflow, definition: Definition): readonly InputUse[] {
  const certain = certainOf(workflow.jobs);
  const uses: InputUse[] = [];
  const add = (pattern: Pattern, isCertain: boolean) => {
    const inner = new Set<Expression>(); // those in the default of another one
    for (const expression of expressionsIn(pattern)) {
      const { source, path, fallback } = expression;
      for (const one of fallback === null ? [] : expressionsOf(fallback)) inner.add(one);
      if (source !== "input") continue;
      const hasDefault = fallback !== null || inner.has(expression);
      uses.push({ expression, isRequired: isCertain && !hasDefault && path.length > 0 });
    }
  };
  for (const job of workflow.jobs) {
    // What a job decides by may be absent: that decides, too.
    const isDeciding = job.work.kind === "if" || job.work.kind === "switch";
    for (const pattern of inputPatternsOf(job, definition)) {
      add(pattern, certain.has(job.id) && !isDeciding);
    }
  }
  if (workflow.output !== null) add(workflow.output, true);
  return uses;
}

/** The schema of `workflow`, which reads `uses` of its input. */
export function schemaOf(
  workflow: Workflow,
  definition: Definition,
  uses = inputUses(workflow, definition),
): WorkflowSchema {
  const inputs = new Map<string, SchemaVariable>();
  const required = new Set<string>();
  for (const { expression, isRequired } of uses) {
    const { pathText } = expression;
    if (isRequired) required.add(pathText);
    if (!inputs.has(pathText)) inputs.set(pathText, variableOf(expression, pathText));
  }
  const outputs = workflow.output !== null && !isPlain(workflow.output, "output")
    ? outputsOf(workflow.output, "")
    : terminalsOf(workflow.jobs).flatMap((job) => jobOutputs(job, definition));
  const isDefault = definition.workflows.length > 1 && workflow.id === definition.defaultWorkflowId;
  return {
    workflow_id: workflow.id,
    ...(workflow.title === null ? {} : { title: workflow.title }),
    ...(workflow.description === null ? {} : { description: workflow.description }),
    input: [...inputs].map(([name, variable]) =>
      required.has(name) || variable.default !== undefined
        ? variable
        : { ...variable, required: false }
    ),
    output: outputs,
    ...(isDefault ? { default: true } : {}),
  };
}

/** Where a job's inputs show: in its action when it hands all of its own on, else in itself. */
function inputPatternsOf(job: Job, definition: Definition): readonly Pattern[] {
  const { work } = job;
  const own = patternsOf(job);
  const isPassing = work.kind === "action" &&
    (work.input === null || isPlain(work.input, "input"));
  const patterns = isPassing
    ? [...actionPatterns(work, definition), work.output, work.repeatCount]
    : own;
  return patterns.filter((pattern) => pattern !== null);
}

function actionPatterns(
  work: Extract<Job["work"], { readonly kind: "action" }>,
  definition: Definition,
): readonly (Pattern | null)[] {
  const { component, action } = targetOf(work, definition);
  const { polling } = action;
  const requests = [action.request, ...(polling === null ? [] : [polling.request])];
  return [
    component.baseUrl,
    component.headers,
    ...requests.flatMap(({ target, headers, params, body }) => [
      target.pattern,
      headers,
      params,
      body,
    ]),
    ...(polling === null ? [] : [polling.status, ...polling.successWhen, ...polling.failWhen]),
    action.output,
  ];
}

function targetOf(
  { componentId, actionId }: Extract<Job["work"], { readonly kind: "action" }>,
  { components }: Definition,
): { readonly component: Component; readonly action: Action } {
  const component = components.get(componentId)!;
  return { component, action: component.actions.get(actionId)! };
}

function jobOutputs(job: Job, definition: Definition): readonly (SchemaVariable | SchemaGroup)[] {
  const { work } = job;
  if (work.kind === "delay" || work.kind === "filter") {
    return work.output === null ? [] : outputsOf(work.output, "");
  }
  if (work.kind !== "action") return [];
  const isPassing = work.output === null || isPlain(work.output, "output");
  const pattern = isPassing ? targetOf(work, definition).action.output : work.output;
  const variables = pattern === null ? [] : outputsOf(pattern, "");
  const count = work.repeatCount;
  const isOnce = count === null || (count.kind === "constant" && Number(count.value) === 1);
  return isOnce ? variables : [{ variables }];
}

/** One variable for each expression that is a value of its own; mixed texts are strings. */
function outputsOf(pattern: Pattern, path: string): readonly SchemaVariable[] {
  switch (pattern.kind) {
    case "constant":
      return [];
    case "template": {
      const whole = wholeExpression(pattern.template);
      if (whole !== null) return [variableOf(whole, path)];
      return [{ ...(path === "" ? {} : { name: path }), type: "string" }];
    }
    case "list":
      return pattern.items.flatMap((item, i) => outputsOf(item, `${path}[${i}]`));
    case "map":
      return pattern.entries.flatMap(([key, item]) =>
        outputsOf(item, path === "" ? key : `${path}.${key}`)
      );
  }
}

/** True for `${source}` and nothing else: no path, no type, no default. */
function isPlain(pattern: Pattern, source: string): boolean {
  if (pattern.kind !== "template") return false;
  const whole = wholeExpression(pattern.template);
  return whole !== null && whole.source === source && whole.path.length === 0 &&
    whole.conversion === null && whole.fallback === null;
}

function variableOf(expression: Expression, name: string): SchemaVariable {
  const { conversion, fallback, annotations } = expression;
  const description = annotations.find((annotation) => annotation.name === "description")?.text;
  const initial = fallback === null ? null : literal(fallback);
  return {
    ...(name === "" ? {} : { name }),
    type: conversion?.type ?? "string",
    ...(conversion === null || conversion.subtype === "" ? {} : { subtype: conversion.subtype }),
    ...(conversion === null || conversion.format === "" ? {} : { format: conversion.format }),
    ...(conversion?.isList ? { is_list: true } : {}),
    ...(initial === null ? {} : { default: converted(initial, expression) }),
    ...(description === undefined ? {} : { description }),
  };
}

/** A default that is known without running; null = it refers to something. */
function literal(fallback: Template): string | null {
  const [only] = fallback;
  return fallback.length === 1 && typeof only === "string" ? only : null;
}

/** The default in its type; as text when it does not fit, which the run will complain about. */
function converted(text: string, { conversion }: Expression): unknown {
  if (conversion === null || !/^(number|integer|boolean|json|list|object)$/.test(conversion.type)) {
    return text;
  }
  try {
    return convert(text, { ...conversion, format: "" });
  } catch {
    return text;
  }
}
