/**
 * Sends each question to the source that its model is routed to.
 *
 * @module
 */

import type { Ask, Source } from "../core/answer.ts";
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
  readonly to: Source;
  /** Absent = "count". */
  readonly usage?: UsageRule;
}

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
      const row = rowOf(modelOf(ask) || defaultModel);
      checkRoute(row?.name ?? "", call);
      takeRule(row?.usage ?? "count", call);
      const source = row?.to ?? otherwise;
      call.source = source.name;
      return source.answer(ask, call);
    },
  };
}

/** Which source answers for a model. */
export function targets(
  routes: readonly Route[],
  otherwise: Source,
): (model: string) => Source {
  const rowOf = rowFor(routes);
  return (model) => rowOf(model)?.to ?? otherwise;
}

/** The first of `routes` that matches a model. */
function rowFor(routes: readonly Route[]): (model: string) => Route | undefined {
  const rows = routes.map((route) => ({
    route,
    glob: route.model === undefined ? undefined : globOf(route.model),
  }));
  return (model) => {
    const isName = model.length <= MODEL_CHARS_MAX;
    return rows.find(({ glob }) => glob === undefined || (isName && glob.test(model)))?.route;
  };
}

/** Who answers what nobody has thought of: the first route for every model, else `otherwise`. */
export function usualOf(routes: readonly Route[], otherwise: Source): Source {
  return routes.find(({ model }) => model === undefined || model === "*")?.to ?? otherwise;
}

/** The model that is named; "" = none. What a wire carries is parsed: here a wrong guess would count. */
export function modelOf(ask: Ask): string {
  return ask.wire === undefined ? ask.model() : namedModel(ask.wire.body);
}
