/**
 * What a workflow file means, once its spellings are gone: closed types, every template parsed.
 *
 * @module
 */

import type { Pattern } from "./interpolate.ts";
import type { Place } from "./source_text.ts";

/** Everything one server or one `weir run` knows. */
export interface Definition {
  readonly controller: Controller;
  readonly components: ReadonlyMap<string, Component>;
  readonly workflows: readonly Workflow[];
  /** The workflow that runs when none is named; null = the caller must name one. */
  readonly defaultWorkflowId: string | null;
}

/** The `controller` section. null where the file says nothing, so that weir's own config holds. */
export interface Controller {
  readonly host: string | null;
  readonly port: number | null;
  /** With a slash in front and none behind: "/api"; "" = none. */
  readonly basePath: string;
  readonly webui: { readonly host: string; readonly port: number } | null;
  /** Runs side by side; the rest waits. 0 = no limit but `RUNS_OPEN_MAX`. */
  readonly runsMax: number;
}

/** An HTTP client, the one type of component weir has. */
export interface Component {
  readonly id: string;
  /** Without a trailing slash; null = every action has an endpoint. */
  readonly baseUrl: Pattern | null;
  /** Sent with every request; an action's own headers win. */
  readonly headers: Pattern | null;
  readonly actions: ReadonlyMap<string, Action>;
  readonly defaultActionId: string | null;
  /** Calls side by side; 0 = no limit. */
  readonly callsMax: number;
}

/** GET, POST, … */
export type Method = "GET" | "POST" | "PUT" | "DELETE" | "PATCH";

/** One kind of request that a component makes. */
export interface Action {
  readonly id: string;
  readonly request: RequestPattern;
  readonly streamFormat: "json" | "text" | null;
  /** How to wait for the end of what the request started; null = its response is the result. */
  readonly polling: Polling | null;
  /** null = the response itself. */
  readonly output: Pattern | null;
}

/** A request before its values are known. */
export interface RequestPattern {
  readonly method: Method;
  /** `endpoint` is a whole URL, `path` goes behind the component's base URL. */
  readonly target: { readonly kind: "endpoint" | "path"; readonly pattern: Pattern };
  readonly headers: Pattern | null;
  readonly params: Pattern | null;
  readonly body: Pattern | null;
}

/** `completion: {type: polling}`. */
export interface Polling {
  readonly request: RequestPattern;
  /** What `successWhen` and `failWhen` are compared with; null = the HTTP status. */
  readonly status: Pattern | null;
  readonly successWhen: readonly Pattern[];
  readonly failWhen: readonly Pattern[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** A graph of jobs. */
export interface Workflow {
  readonly id: string;
  readonly title: string | null;
  readonly description: string | null;
  readonly jobs: readonly Job[];
  /** Rendered after all jobs; null = the output of the terminal jobs. */
  readonly output: Pattern | null;
}

/** A job's name where another job refers to it. */
export interface JobReference {
  readonly jobId: string;
  readonly place: Place;
}

/** One step of a workflow. */
export interface Job {
  readonly id: string;
  readonly place: Place;
  readonly dependsOn: readonly JobReference[];
  readonly work: Work;
}

/** How two values are compared. */
export type Operator =
  | "eq"
  | "neq"
  | "gt"
  | "gte"
  | "lt"
  | "lte"
  | "in"
  | "not-in"
  | "starts-with"
  | "ends-with"
  | "match";

/** One line of an `if`. A null target goes nowhere. */
export interface Condition {
  readonly operator: Operator;
  readonly input: Pattern | null;
  readonly value: Pattern | null;
  readonly ifTrue: JobReference | null;
  readonly ifFalse: JobReference | null;
}

/** What a job does. */
export type Work =
  | {
    readonly kind: "action";
    readonly componentId: string;
    readonly actionId: string;
    readonly input: Pattern | null;
    readonly output: Pattern | null;
    /** How often, side by side; null = once. */
    readonly repeatCount: Pattern | null;
  }
  | {
    readonly kind: "delay";
    /** `interval`: a duration. `until`: an ISO time. */
    readonly mode: "interval" | "until";
    readonly value: Pattern;
    /** IANA zone of a time that names none; "" = UTC. */
    readonly timezone: string;
    readonly output: Pattern | null;
  }
  | {
    readonly kind: "if";
    readonly conditions: readonly Condition[];
    readonly otherwise: JobReference | null;
  }
  | {
    readonly kind: "switch";
    readonly input: Pattern | null;
    readonly cases: readonly { readonly value: Pattern; readonly then: JobReference }[];
    readonly otherwise: JobReference | null;
  }
  | {
    readonly kind: "random-router";
    readonly routings: readonly { readonly target: JobReference; readonly weight: number }[];
  }
  | { readonly kind: "filter"; readonly output: Pattern | null };

/** Every job that `job` may route to, in the order of the file. */
export function routesOf(job: Job): readonly JobReference[] {
  const { work } = job;
  switch (work.kind) {
    case "if":
      return [
        ...work.conditions.flatMap(({ ifTrue, ifFalse }) => [ifTrue, ifFalse]),
        work.otherwise,
      ].filter((route) => route !== null);
    case "switch":
      return [...work.cases.map(({ then }) => then), work.otherwise].filter((route) =>
        route !== null
      );
    case "random-router":
      return work.routings.map(({ target }) => target);
    default:
      return [];
  }
}
