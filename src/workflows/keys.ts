/**
 * The keys of model-compose's files: those that weir reads, and those that it knows and refuses,
 * since a file that relies on them would do something else here (docs/facts/systems.md "Workflow
 * files").
 *
 * @module
 */

/** The keys of one kind of mapping. */
export interface Keys {
  /** How sentences name the mapping: "filter", "component". */
  readonly kind: string;
  readonly known: readonly string[];
  /** Keys of model-compose that weir does not support → values that ask for what weir does anyway. */
  readonly unsupported: Readonly<Record<string, readonly (string | number | boolean)[]>>;
}

/** Sections of a file that weir has nothing like. */
export const FOREIGN_SECTIONS = ["listener", "gateway", "logger", "system", "tracer"]
  .flatMap((name) => [name, `${name}s`]);

export const FILE_KEYS: Keys = {
  kind: "file",
  known: [
    "controller",
    "component",
    "components",
    "workflow",
    "workflows",
    ...FOREIGN_SECTIONS,
  ],
  unsupported: {},
};

/** How a run is steered: keys that are told by their name wherever a file has something that runs. */
const STEERING: Keys["unsupported"] = {
  interrupt: [false],
  hook: [],
  retry: [1],
  on_error: [],
  max_run_count: [],
  rate_limit: [],
  runtime: ["native"],
};

const LISTENING = ["type", "host", "port", "base_path", "webui", "max_concurrent_count"];

export const CONTROLLER_KEYS: Keys = {
  kind: "controller",
  known: ["name", "adapter", "adapters", ...LISTENING],
  unsupported: {
    origins: ["*"],
    runtime: ["native"],
    threaded: [false],
    queue: [],
    shutdown_pending_period: ["0s", 0],
    shutdown_timeout: [],
  },
};

export const ADAPTER_KEYS: Keys = {
  kind: "adapter",
  known: LISTENING,
  unsupported: { origins: ["*"], websocket: [false] },
};

export const WEBUI_KEYS: Keys = {
  kind: "webui",
  known: ["host", "port"],
  unsupported: { driver: ["gradio"], static_dir: [], server_dir: [], command: [] },
};

export const WORKFLOW_KEYS: Keys = {
  kind: "workflow",
  known: ["id", "name", "title", "description", "default", "job", "jobs", "output"],
  unsupported: { ...STEERING, private: [false] },
};

const ANY_JOB: Omit<Keys, "kind"> = {
  known: ["id", "name", "type", "depends_on"],
  unsupported: STEERING,
};

const BY_JOB_TYPE: Readonly<Record<string, readonly string[]>> = {
  job: ["component", "action", "input", "output", "repeat_count"],
  delay: ["mode", "duration", "time", "timezone", "output"],
  if: ["input", "condition", "conditions", "operator", "value", "if_true", "if_false", "otherwise"],
  switch: ["input", "case", "cases", "value", "then", "otherwise"],
  "random-router": ["mode", "routing", "routings"],
  filter: ["output"],
};

const FILTER_UNSUPPORTED = { input: [], where: [], streaming: [false] };

/** The keys of a job of `type`, one of those that weir has. */
export function jobKeys(type: string): Keys {
  const kind = Object.hasOwn(BY_JOB_TYPE, type) ? type : "job";
  return {
    kind,
    known: [...ANY_JOB.known, ...BY_JOB_TYPE[kind]!],
    unsupported: { ...ANY_JOB.unsupported, ...(kind === "filter" ? FILTER_UNSUPPORTED : {}) },
  };
}

export const CONDITION_KEYS: Keys = {
  kind: "condition",
  known: ["input", "operator", "value", "if_true", "if_false"],
  unsupported: {},
};

export const CASE_KEYS: Keys = { kind: "case", known: ["value", "then"], unsupported: {} };

export const ROUTING_KEYS: Keys = {
  kind: "routing",
  known: ["target", "to", "weight"],
  unsupported: {},
};

export const COMPONENT_KEYS: Keys = {
  kind: "component",
  known: [
    "id",
    "type",
    "default",
    "base_url",
    "headers",
    "max_concurrent_count",
    "action",
    "actions",
  ],
  unsupported: STEERING,
};

const REQUEST = ["endpoint", "path", "method", "headers", "body", "params"];

export const ACTION_KEYS: Keys = {
  kind: "action",
  known: ["id", "default", "output", "stream_format", "completion", ...REQUEST],
  unsupported: { ...STEERING, stream_fragmented: [true] },
};

export const COMPLETION_KEYS: Keys = {
  kind: "completion",
  known: ["type", "status", "success_when", "fail_when", "interval", "timeout", ...REQUEST],
  unsupported: { ...STEERING, stream_format: [], stream_fragmented: [true], wait_for: [] },
};

/** The keys of a mapping that is both, named as the first: the flat spellings. */
export function bothKeys(first: Keys, second: Keys): Keys {
  return {
    kind: first.kind,
    known: [...new Set([...first.known, ...second.known])],
    unsupported: { ...second.unsupported, ...first.unsupported },
  };
}

/** What does in weir what a refused key would do. */
export const INSTEAD: Readonly<Record<string, string>> = {
  "controller.origins": "set server.origins of weir's config",
  "controller.shutdown_timeout": "set server.drain_ms of weir's config",
};

/** Types of `as TYPE`, those that only forms show among them. Others are let pass, as a type. */
export const TYPES: readonly string[] = [
  "string",
  "text",
  "markdown",
  "number",
  "integer",
  "boolean",
  "json",
  "list",
  "object",
  "base64",
  "image",
  "audio",
  "video",
  "file",
  "select",
  "slider",
  "url",
  "any",
  "none",
  "stream",
  "event-stream",
  "sse-text",
  "sse-json",
];

/** Keys that make a value of its siblings in model-compose; as plain JSON they would lie. */
export const OPERATORS: ReadonlySet<string> = new Set(["*", "?", "+", "|", "..."]);
