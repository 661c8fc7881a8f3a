/**
 * Sends each question to the source that its model is routed to.
 *
 * @module
 */

import type { Ask, Source } from "../core/answer.ts";
import type { Call } from "../core/exchange.ts";
import type { UsageRule } from "../core/usage.ts";
import { namedModel } from "../dialects/openai_chat/peek_model.ts";
import { globOf } from "./glob.ts";
import { checkRoute } from "./keys/routes.ts";
import { takeRule } from "./usage/usage.ts";

/** Where a question goes; the first route that matches counts. */
export interface Route {
  /** "" or absent = it has none. */
  readonly name?: string;
  /** A name in which `*` stands for any characters; undefined = every model. */
  readonly model: string | undefined;
  /** True when it is for a request whose model fits; absent = it is. */
  readonly fits?: RequestTest | undefined;
  readonly to: Source;
  /** The name of the upstream that is asked first; absent = `to` says it. */
  readonly first?: string;
  /** Absent = "count". */
  readonly usage?: UsageRule;
}

/** Looks at a request. */
export type RequestTest = (ask: Ask, call: Call) => boolean;

/** A longer name is nobody's: it matches no pattern, which may take the cube of its length. */
export const MODEL_CHARS_MAX = 512;

/**
 * Asks the source of the first of `routes` that matches, else `otherwise`. A question that names no
 * model is one for `defaultModel`.
 */
export function route(
  routes: readonly Route[],
  otherwise: Source,
  defaultModel: string,
): Source {
  if (routes.length === 0) return otherwise;
  const rowOf = rowFor(routes);
  return {
    name: usualOf(routes, otherwise).name,
    answer(ask, call) {
      const row = rowOf(modelOf(ask) || defaultModel, ask, call);
      const { name = "", first = "", usage = "count", to: source } = row ?? { to: otherwise };
      checkRoute(name, call);
      takeRule(usage, call);
      call.source = source.name;
      call.route = name;
      call.target = first;
      return source.answer(ask, call);
    },
  };
}

/** Which source answers a request for a model. */
export function targets(
  routes: readonly Route[],
  otherwise: Source,
): (model: string, ask: Ask, call: Call) => Source {
  const rowOf = rowFor(routes);
  return (model, ask, call) => rowOf(model, ask, call)?.to ?? otherwise;
}

/** The first of `routes` that matches a request for a model. */
function rowFor(
  routes: readonly Route[],
): (model: string, ask: Ask, call: Call) => Route | undefined {
  const rows = routes.map((route) => ({
    route,
    glob: route.model === undefined ? undefined : globOf(route.model),
  }));
  return (model, ask, call) => {
    const isName = model.length <= MODEL_CHARS_MAX;
    return rows.find(({ glob, route: { fits } }) =>
      (glob === undefined || (isName && glob.test(model))) &&
      (fits === undefined || fits(ask, call))
    )?.route;
  };
}

/** Who answers what nobody has thought of: the first route for every model, else `otherwise`. */
export function usualOf(routes: readonly Route[], otherwise: Source): Source {
  const isForAll = ({ model, fits }: Route) =>
    fits === undefined && (model === undefined || model === "*");
  return routes.find(isForAll)?.to ?? otherwise;
}

/** The model that is named; "" = none. What a wire carries is parsed: here a wrong guess would count. */
export function modelOf(ask: Ask): string {
  return ask.wire === undefined ? ask.model() : namedModel(ask.wire.body);
}
