/**
 * The routes of the config: who is asked for conversations, on the other paths, for counts of prompts
 * and for lists of models.
 *
 * @module
 */

import type { Config, RouteEntry } from "../config/config.ts";
import type { Source } from "../core/answer.ts";
import { Balance } from "./balance.ts";
import type { AnswerCache } from "./cache/answer_cache.ts";
import { cached } from "./cache/cache.ts";
import { edited } from "./edited.ts";
import { fallback, type HedgeRules, type Target, type TargetOrder } from "./fallback.ts";
import type { ListedTarget, ModelRow } from "./model_lists.ts";
import type { PassRoute, PassTarget } from "./pass.ts";
import { requestMatcher } from "./request_match.ts";
import type { Route } from "./route.ts";
import type { SourceBook } from "./source_book.ts";
import { keyOf } from "./tape/request_key.ts";

/** What they need. */
export interface RoutesDeps {
  readonly config: Config;
  readonly book: SourceBook;
  /** The source of that name: the config has been checked for it. */
  readonly named: (name: string, tape: RouteEntry["tape"]) => Source;
  /** Takes one more question from what may be asked besides; false = no more may. */
  readonly takeTry: () => boolean;
  /** Where answers are kept of routes that want it; undefined = none does. */
  readonly cache: AnswerCache | undefined;
  /** Around what gives them: what notes prompts, where that is wanted. */
  readonly noted: (source: Source) => Source;
}

/** The routes, each with its targets in one source. */
export class Routes {
  readonly rows: readonly ComposedRoute[];

  constructor(deps: RoutesDeps) {
    this.rows = deps.config.routes.map((entry) => new ComposedRoute(entry, deps));
  }

  /** All that they lead to. */
  get targets(): readonly Target[] {
    return this.rows.flatMap(({ targets }) => targets);
  }

  /** The same routes to what `wrap` makes of their targets. */
  over(wrap: (source: Source) => Source): readonly Route[] {
    return this.rows.map((row) => row.over(wrap));
  }

  /** Where they lead on the paths that hold no conversation, by what takes them. */
  passing(takerOf: (source: Source) => PassTarget): readonly PassRoute[] {
    return this.rows.map((row) => row.passing(takerOf));
  }

  /** What models they can serve; `listed` is a target's own list. */
  models(listed: (target: Target) => ListedTarget): readonly ModelRow[] {
    return this.rows.map(({ model, fits, targets, aliases }) => ({
      ...{ model, aliases },
      isForAll: fits === undefined,
      targets: targets.map(listed),
    }));
  }
}

/** One of them. */
class ComposedRoute implements Route {
  readonly name: string;
  readonly model: string | undefined;
  readonly fits: Route["fits"];
  readonly usage: NonNullable<Route["usage"]>;
  readonly first: string;
  readonly targets: readonly Target[];
  /** Names of models that it knows by itself. */
  readonly aliases: readonly string[];
  readonly to: Source;
  readonly #entry: RouteEntry;
  readonly #book: SourceBook;
  readonly #balance: Balance | undefined;
  readonly #hedge: HedgeRules | undefined;

  readonly #cache: AnswerCache | undefined;
  readonly #noted: RoutesDeps["noted"];
  /** What it is, and where it leads. */
  readonly #identity: string;

  constructor(entry: RouteEntry, deps: RoutesDeps) {
    const { config, book, named, takeTry, cache } = deps;
    const { name, match, to, weights, tape, usage, hedge_ms: afterMs } = entry;
    this.#entry = entry;
    this.#book = book;
    this.#cache = entry.cache && cache;
    this.#noted = deps.noted;
    this.#identity = entry.cache === undefined ? "" : identityOf(entry, config);
    this.#balance = weights && new Balance(weights);
    this.#hedge = afterMs === undefined ? undefined : { afterMs, take: takeTry };
    this.name = name;
    this.model = match.model;
    this.fits = requestMatcher(match);
    this.usage = usage;
    this.targets = to.map((name) => ({ name, source: named(name, tape) }));
    this.first = this.targets[0]!.name;
    this.aliases = plainNames([match.model, ...Object.keys(entry.rename ?? {})]);
    const joined = this.#joined(this.targets, this.#orderOf(this.targets), this.#hedge);
    this.to = this.#cached(this.#edited(joined));
  }

  over(wrap: (source: Source) => Source): Route {
    const { name, model, fits, usage, first } = this;
    const wrapped = this.targets.map(({ name, source }) => ({ name, source: wrap(source) }));
    const to = this.#edited(this.#joined(wrapped, this.#orderOf(wrapped)));
    return { name, model, fits, usage, first, to };
  }

  passing(takerOf: (source: Source) => PassTarget): PassRoute {
    const { name, model, fits, usage, first, targets } = this;
    const row = { name, model, fits, usage, first };
    const each = targets.map(({ source }) => takerOf(source));
    const [only] = each;
    if (each.length === 1) {
      return { ...row, ...only!, to: this.#cached(this.#edited(only!.to)) };
    }
    const orderOf = this.#orderOf(targets.map(({ name }, i) => ({ name, source: each[i]!.to })));
    const takersOf = new Map(targets.map(({ name }, i) => [name, each[i]!.takes]));
    const to = this.#cached(this.#edited(this.#joined(targets, (ask) => {
      const path = ask.wire!.path.split("?", 1)[0]!;
      return orderOf(ask).filter(({ name }) => takersOf.get(name)!(path));
    })));
    return {
      ...{ ...row, to, each },
      takes: (path) => each.some(({ takes }) => takes(path)),
      isMock: false,
    };
  }

  /** What this route changes of questions must be seen whole. */
  #edited(source: Source): Source {
    return this.#book.wrap(edited(source, this.#entry), source, { streamsUp: false });
  }

  /** A question is looked at as a whole, too. */
  #cached(source: Source): Source {
    const { cache } = this.#entry;
    if (cache === undefined || this.#cache === undefined) return source;
    const wrapped = this.#noted(cached(source, this.#cache, cache, this.#identity));
    return this.#book.wrap(wrapped, source, { streamsUp: false });
  }

  #orderOf(targets: readonly Target[]): TargetOrder {
    return this.#balance?.over(targets) ?? (() => targets);
  }

  /** `targets` as one source. */
  #joined(targets: readonly Target[], orderOf: TargetOrder, hedge?: HedgeRules): Source {
    const [first] = targets;
    if (targets.length === 1) return first!.source;
    const { url } = this.#book.facts(first!.source);
    return this.#book.note(fallback(first!.source.name, orderOf, hedge), {
      url,
      name: first!.name,
      isRelaying: targets.some(({ source }) => this.#book.facts(source).isRelaying),
    });
  }
}

/** What a route is, and where it leads: the same for another weir with the same config. */
function identityOf({ cache: _, ...entry }: RouteEntry, config: Config): string {
  const places = entry.to.map((name) => {
    const upstream = config.upstreams.find((one) => one.name === name) ??
      (name === "chat" ? { ...config.llm, base_url: config.chat.api_proxy } : config.llm);
    if (name === "mock") return null;
    const { base_url, model_id, headers, rename, speaks } = upstream;
    return { base_url, model_id, headers, rename, speaks };
  });
  return keyOf(JSON.stringify([entry, places, config.llm.model_id, config.tape.mode]));
}

/** Those of `names` that are no patterns. */
export function plainNames(names: readonly string[]): readonly string[] {
  return names.filter((name) => !name.includes("*"));
}
