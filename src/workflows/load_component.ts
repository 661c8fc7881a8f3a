/**
 * Loads the components of a workflow file and their actions.
 *
 * @module
 */

import type { Action, Component, Method, Polling, RequestPattern } from "./definition.ts";
import type { Pattern } from "./interpolate.ts";
import { ACTION_KEYS, bothKeys, COMPLETION_KEYS, COMPONENT_KEYS } from "./keys.ts";
import type { Section, Sources } from "./section.ts";

/** The id of what has none. */
const COMPONENT_ID = "__component__";
const ACTION_ID = "__action__";
/** How a file asks for the default one by name. */
export const DEFAULT_ID = "__default__";

const METHODS: readonly Method[] = ["GET", "POST", "PUT", "DELETE", "PATCH"];
/** model-compose's own defaults. */
const POLL_INTERVAL_MS = 5000;
const POLL_TIMEOUT_MS = 300_000;

const IN_REQUEST: Sources = { names: new Set(["input", "context"]), jobIds: null };
const IN_OUTPUT: Sources = {
  names: new Set(["input", "response", "result", "context"]),
  jobIds: null,
};
const NOWHERE: Sources = { names: new Set(), jobIds: null };

/** The components of a file, by id, and the default one. */
export interface Components {
  readonly byId: Map<string, Component>;
  readonly defaultId: string | null;
}

/** Loads every component in `sections`. */
export function loadComponents(sections: readonly Section[], root: Section): Components {
  const byId = new Map<string, Component>();
  let defaultId: string | null = null;
  for (const section of sections) {
    const id = section.text("id") ?? COMPONENT_ID;
    if (byId.has(id)) section.problem("id", `There are two components with the id '${id}'`);
    byId.set(id, loadComponent(section, id));
    if (!section.flag("default")) continue;
    if (defaultId !== null) {
      root.problem("components", `'${defaultId}' and '${id}' are both the default component`);
    }
    defaultId = id;
  }
  if (byId.size === 1) [defaultId = null] = byId.keys();
  return { byId, defaultId };
}

/** One component; also one that a job holds inline. */
export function loadComponent(section: Section, id: string): Component {
  const type = section.text("type");
  if (type === null) {
    section.problem("type", "must be set: http-client is the one type that weir has");
  } else if (type !== "http-client") {
    section.problem("type", `weir has no component of type '${type}': it has http-client`);
    return {
      id,
      baseUrl: null,
      headers: null,
      actions: new Map(),
      defaultActionId: null,
      callsMax: 0,
    };
  }
  const isNested = section.has("actions") || section.has("action");
  section.checkKeys(isNested ? COMPONENT_KEYS : bothKeys(COMPONENT_KEYS, ACTION_KEYS));
  const baseUrl = section.pattern("base_url", IN_REQUEST);
  const actions = new Map<string, Action>();
  let defaultActionId: string | null = null;
  // The flat spelling: the component is its own only action, but its headers stay its own.
  for (const action of isNested ? section.sections("actions", "action") : [section]) {
    if (isNested) action.checkKeys(ACTION_KEYS);
    const actionId = (isNested ? action.text("id") : null) ?? ACTION_ID;
    if (actions.has(actionId)) action.problem("id", `There are two actions '${actionId}'`);
    actions.set(actionId, loadAction(action, actionId, isNested, baseUrl !== null));
    if (isNested && action.flag("default")) defaultActionId = actionId;
  }
  if (actions.size === 1) [defaultActionId = null] = actions.keys();
  return {
    id,
    baseUrl,
    headers: section.mapPattern("headers", isNested ? NOWHERE : IN_REQUEST),
    actions,
    defaultActionId,
    callsMax: section.integer("max_concurrent_count", 0, 1_000_000) ?? 0,
  };
}

function loadAction(section: Section, id: string, isNested: boolean, hasBase: boolean): Action {
  const streamFormat = section.has("stream_format")
    ? section.word("stream_format", ["json", "text"], "json")
    : null;
  const request = loadRequest(section, isNested, hasBase, IN_REQUEST);
  return {
    id,
    request: streamFormat === null ? request : { ...request, body: asking(request.body) },
    streamFormat,
    polling: loadPolling(section.section("completion"), hasBase),
    output: section.pattern("output", IN_OUTPUT),
  };
}

function loadRequest(
  section: Section,
  hasHeaders: boolean,
  hasBase: boolean,
  sources: Sources,
  fallback: Method = "POST",
): RequestPattern {
  const endpoint = section.pattern("endpoint", sources);
  const path = section.pattern("path", sources);
  if ((endpoint === null) === (path === null)) {
    section.problem(
      endpoint === null ? "path" : "endpoint",
      "Either 'endpoint' or 'path' must be set, but not both",
    );
  } else if (path !== null && !hasBase) {
    section.problem("path", "'path' needs the component's base_url, or write a whole 'endpoint'");
  }
  return {
    method: section.word("method", METHODS, fallback),
    target: endpoint === null
      ? { kind: "path", pattern: path ?? { kind: "constant", value: "" } }
      : { kind: "endpoint", pattern: endpoint },
    headers: hasHeaders ? section.mapPattern("headers", sources) : null,
    params: section.mapPattern("params", sources),
    body: section.pattern("body", sources),
  };
}

function loadPolling(section: Section | null, hasBase: boolean): Polling | null {
  if (section === null) return null;
  const type = section.text("type") ?? "polling";
  if (type !== "polling") {
    section.problem("type", `weir has no completion of type '${type}': it has polling`);
    return null;
  }
  section.checkKeys(COMPLETION_KEYS);
  const sources: Sources = {
    names: new Set(["input", "response", "result", "context"]),
    jobIds: null,
  };
  return {
    request: loadRequest(section, true, hasBase, sources, "GET"),
    status: section.pattern("status", sources),
    successWhen: section.patterns("success_when", sources),
    failWhen: section.patterns("fail_when", sources),
    intervalMs: section.duration("interval", POLL_INTERVAL_MS),
    timeoutMs: section.duration("timeout", POLL_TIMEOUT_MS),
  };
}

/**
 * `body` with `stream: true` in place of `streaming: true`: older examples spell it so, and the
 * OpenAI API knows only the former.
 */
function asking(body: Pattern | null): Pattern | null {
  if (body?.kind !== "map") return body;
  const keys = body.entries.map(([key]) => key);
  if (!keys.includes("streaming") || keys.includes("stream")) return body;
  return {
    kind: "map",
    entries: body.entries.map(([key, value]) => [key === "streaming" ? "stream" : key, value]),
  };
}
