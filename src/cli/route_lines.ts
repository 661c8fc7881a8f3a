/**
 * Routes as people read them: which requests go where, in which order.
 *
 * @module
 */

import type { Config, RouteEntry } from "../config/config.ts";
import { maskUrl } from "../config/describe.ts";

/** A line for each route and one for what none takes; none where there are no routes. */
export function routeLines(config: Config): readonly string[] {
  const { routes, chat, llm, upstreams } = config;
  if (routes.length === 0) return [];
  const hasLlm = llm.base_url !== "" || upstreams.some(({ name }) => name === "llm");
  const rest = chat.source !== "mock" && hasLlm ? "llm" : "mock";
  const rows = [
    ...routes.map((route) => [route.name, requestsOf(route), wayOf(route)] as const),
    // A route for everything leaves nothing over.
    ...(routes.some((route) => requestsOf(route) === EVERYTHING)
      ? []
      : [["", "everything else", rest] as const]),
  ];
  const width = (column: 0 | 1) => Math.max(...rows.map((row) => row[column].length));
  const [names, requests] = [width(0), width(1)];
  const lines = rows.map(([name, what, way]) =>
    `${names === 0 ? "" : `${name.padEnd(names)}  `}${what.padEnd(requests)}  → ${way}`
  );
  const reached = new Set(["llm", ...routes.flatMap(({ to }) => to)]);
  return [...lines, ...upstreamLines(config, reached)];
}

/** Where the upstreams are that are reached, without what is secret. */
function upstreamLines(
  { llm, upstreams }: Config,
  reached: ReadonlySet<string>,
): readonly string[] {
  const all = [...(llm.base_url === "" ? [] : [{ ...llm, name: "llm" }]), ...upstreams];
  return all.filter(({ name }) => reached.has(name)).map((entry) => {
    const { name, base_url, retries, concurrency_max, api_key, api_keys } = entry;
    const keys = new Set([api_key, ...api_keys].filter((key) => key !== "")).size;
    const facts = [
      ...(keys > 1 ? [`${keys} keys in turn`] : []),
      `${retries} ${retries === 1 ? "retry" : "retries"}`,
      ...(concurrency_max > 0 ? [`${concurrency_max} at once`] : []),
      ...Object.entries(entry.rename).map(([from, to]) => `${from} is ${to}`),
    ];
    return `${name}: ${maskUrl(base_url)} (${facts.join(", ")})`;
  });
}

const EVERYTHING = "every model";

/** Which requests: "gpt-4o*, key ci, with tools". */
function requestsOf({ match }: RouteEntry): string {
  const { model, path, key, header = {}, body_min_bytes, body_max_bytes, tools, vision } = match;
  return [
    model === "*" ? EVERYTHING : model,
    ...(path === undefined ? [] : [`path ${path}`]),
    ...(key === undefined ? [] : [`key ${key}`]),
    ...Object.entries(header).map(([name, pattern]) => `${name}: ${pattern}`),
    ...(body_min_bytes === undefined ? [] : [`from ${body_min_bytes} bytes`]),
    ...(body_max_bytes === undefined ? [] : [`up to ${body_max_bytes} bytes`]),
    ...(tools === undefined ? [] : ["with tools"]),
    ...(vision === undefined ? [] : ["with images"]),
  ].join(", ");
}

const WHOM = { key: "each key", all: "everybody" } as const;

/** Where they go: "openai → local", "openai 3 + local 1", and what is changed. */
function wayOf(route: RouteEntry): string {
  const { to, weights, hedge_ms, rename = {}, cache } = route;
  const { params_set, params_remove, params_max, params_min } = route;
  const way = weights === undefined
    ? to.join(" → ")
    : to.map((name) => `${name} ${weights[name]}`).join(" + ");
  const params = [params_set, params_remove, params_max, params_min].some((one) =>
    one !== undefined && Object.keys(one).length > 0
  );
  const extras = [
    ...(hedge_ms === undefined ? [] : [`the second after ${hedge_ms} ms`]),
    ...Object.entries(rename).map(([from, name]) => `${from} is ${name}`),
    ...(params ? ["parameters changed"] : []),
    ...(cache === undefined ? [] : [`kept ${cache.ttl_s} s for ${WHOM[cache.scope]}`]),
  ];
  return extras.length === 0 ? way : `${way} (${extras.join(", ")})`;
}
