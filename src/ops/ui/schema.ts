/**
 * What weir says about a workflow's inputs and outputs, checked once where it comes in.
 *
 * @module
 */

/** One input or output. */
export interface Variable {
  /** "" = the whole input or output. */
  readonly name: string;
  readonly type: string;
  readonly subtype: string;
  readonly format: string;
  readonly isList: boolean;
  /** undefined = it has none: the reader must say something. */
  readonly initial: unknown;
  readonly description: string;
  /** Absent unless it may stay empty although it has no default that is known here. */
  readonly isOptional?: true;
}

/** A workflow. */
export interface WorkflowSchema {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly isDefault: boolean;
  readonly inputs: readonly Variable[];
  /** Groups (several outputs at a time) are not opened: they are shown as JSON. */
  readonly outputs: readonly Variable[];
}

/**
 * Reads the answer of `GET /workflows?include_schema=true`.
 *
 * @throws {SyntaxError} it is not a list.
 */
export function readSchemas(value: unknown): readonly WorkflowSchema[] {
  if (!Array.isArray(value)) throw new SyntaxError("the list of workflows is not a list");
  return value.map(readSchema);
}

function readSchema(value: unknown): WorkflowSchema {
  const schema = record(value);
  return {
    id: text(schema["workflow_id"]),
    title: text(schema["title"]),
    description: text(schema["description"]),
    isDefault: schema["default"] === true,
    inputs: list(schema["input"]).map(readVariable),
    outputs: list(schema["output"]).map(readVariable),
  };
}

function readVariable(value: unknown): Variable {
  const variable = record(value);
  const isGroup = Array.isArray(variable["variables"]);
  return {
    name: text(variable["name"]),
    type: isGroup ? "json" : text(variable["type"]) || "string",
    subtype: text(variable["subtype"]),
    format: text(variable["format"]),
    isList: variable["is_list"] === true,
    initial: variable["default"] ?? undefined,
    description: text(variable["description"]),
    ...(variable["required"] === false ? { isOptional: true } : {}),
  };
}

/**
 * How the chunks of a streamed output are written, in any of the three spellings: `text;sse-json`,
 * `sse-json`, `stream/json` or `event-stream/json`. Text unless JSON is asked for.
 */
export function chunkKindOf({ outputs: [output] }: WorkflowSchema): "text" | "json" {
  if (output === undefined) return "text";
  const { type, subtype, format } = output;
  if (type === "sse-json" || format === "sse-json") return "json";
  if (type === "stream" || type === "event-stream") return subtype === "json" ? "json" : "text";
  return format === "stream" && type === "json" ? "json" : "text";
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
