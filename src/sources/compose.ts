/**
 * What answers: the mock, the upstreams of the config, and the routes between them, each source in
 * what wraps it.
 *
 * @module
 */

import { URLSearchParams } from "node:url";
import type { Config } from "../config/config.ts";
import { defaultModel } from "../config/default_model.ts";
import { latencyOf, type LatencyValues } from "../config/latency.ts";
import type { Ask, DialectName, Source } from "../core/answer.ts";
import type { StrikeUnasked } from "../core/driver.ts";
import type { BreakerState } from "../core/events.ts";
import type { Call } from "../core/exchange.ts";
import type { Turn } from "../core/turn.ts";
import { modelNotListed } from "../dialects/openai/errors.ts";
import { infoFrom, modelInfo, modelsPage, pageOf } from "../dialects/anthropic_messages/models.ts";
import { modelObject, modelsList, objectFrom } from "../dialects/openai/models.ts";
import { namedModel } from "../dialects/openai_chat/peek_model.ts";
import type { Wheel } from "../lib/wheel.ts";
import type { SharedBytes } from "../core/shared.ts";
import type { RecordLateness } from "../core/surface.ts";
import { AnswerCache, type CacheReadings } from "./cache/answer_cache.ts";
import { counting as countingOf } from "./counting.ts";
import type { Draws } from "./draws.ts";
import { mockEndpoints } from "./endpoints/endpoints.ts";
import type { Target } from "./fallback.ts";
import { faults, unaskedFaults } from "./faults/faults.ts";
import { rulesOf } from "./faults/rules.ts";
import type { StrikeDeps } from "./faults/strike.ts";
import { fixtures, type FixturesDeps, passedFixtures } from "./fixtures/fixtures.ts";
import { globOf } from "./glob.ts";
import type { KeyGuard } from "./keys/guard.ts";
import type { Limits } from "./limits/limits.ts";
import { Mock } from "./mock/mock.ts";
import { type ListedTarget, modelLists, type ModelWords, type OwnModels } from "./model_lists.ts";
import { NamedUpstreams } from "./named_upstreams.ts";
import { type Passing, passOn, type PassRoute, type PassTarget } from "./pass.ts";
import { Physics, type PhysicsDeps } from "./physics/physics.ts";
import { notePrompts } from "./prompt_note.ts";
import { MODEL_CHARS_MAX, modelOf, route, targets, usualOf } from "./route.ts";
import { plainNames, Routes } from "./routes.ts";
import { SourceBook } from "./source_book.ts";
import type { TokenCounters } from "./tokens.ts";
import { UpstreamMaker, type UpstreamsWorld } from "./upstreams.ts";
import type { UsageCounts } from "./usage/usage.ts";

/** Where a key without a base URL belongs. */
const OPENAI_URL = "https://api.openai.com/v1";

/** Who answers where. */
export interface Sources {
  /** `/v1/*`, and every surface without an upstream of its own. */
  readonly main: Source;
  /** `/api/chat` and workflows: OpenAI's own API when there is a key and no `llm.base_url`. */
  readonly apiChat: Source;
  /** `/chat`. */
  readonly chat: Source;
  /**
   * The upstream of `/conv`; undefined = weir keeps the conversations, and `main` answers in them.
   */
  readonly conv: Source | undefined;
  /** Has faults happen where none of these is asked. */
  readonly strike: StrikeUnasked;
  /** Whom to ask for models, for clients of OpenAI's API; undefined = the mock answers. */
  readonly models: Source | undefined;
  /** The same for clients of Anthropic's. */
  readonly anthropicModels: Source | undefined;
  /** Counts prompts, for `/v1/messages/count_tokens`. */
  readonly counting: Source;
  /** Tokens of a turn's prompt, as weir counts them. */
  readonly promptTokens: (turn: Turn) => number;
  /** What takes the paths of `/v1/*` that hold no conversation: upstreams, and the mock some. */
  readonly passing: Source;
  /** Who of them answers (`Passing`). */
  readonly answerer: Passing["answerer"];
  /** True when some upstream is among them: any path may be one of its own. */
  readonly passesAll: boolean;
  /** True when `source` may answer with a relay. */
  readonly isRelaying: (source: Source) => boolean;
  /**
   * True when `source` passes on what is asked in `dialect`, whatever it is: nothing of a body is
   * needed before it goes up. A route reads the model out of the whole of it, `model_id` may change
   * it, `log_prompts` wants its end, fixtures look at all of it, and it may have to be asked again in
   * another dialect.
   */
  readonly streamsUp: (source: Source, dialect: DialectName) => boolean;
  /** The base URL of the upstream behind `source`, where no model decides; "" = the mock. */
  readonly urlOf: (source: Source) => string;
  /** How those do that routes lead to. */
  readonly upstreamHealth: () => readonly {
    readonly name: string;
    readonly breaker: BreakerState;
  }[];
  /** What is kept of answers; undefined = nothing is. */
  readonly cacheReadings: () => CacheReadings | undefined;
  /** What is wrong with the folder of tapes; "" = nothing. */
  readonly tapeTrouble: () => string;
  /**
   * Closes connections to upstreams: idle ones now, the others behind their answers. Settles when what
   * was recorded is written.
   */
  readonly close: () => Promise<void>;
}

/** What they need of the process. */
export interface SourcesWorld extends UpstreamsWorld {
  readonly draws: Draws;
  /** The limits that the mock plays; undefined = there are none. */
  readonly limits: Limits | undefined;
  /** What all workers share of load and prompts. */
  readonly desk: Pick<PhysicsDeps, "tally" | "prefixes">;
  /** What the file of `mock.latency.profile` says; absent = it names none. */
  readonly latencyFile?: LatencyValues | undefined;
  readonly recordLateness: RecordLateness;
  /** Where several weirs keep answers together; absent = each keeps its own. */
  readonly sharedBytes?: SharedBytes | undefined;
}

/** The keys of clients. */
export interface SourceKeys {
  readonly guard: KeyGuard;
  /** True while some key has limits: what its clients ask must be understood. */
  readonly hasLimits: () => boolean;
}

const OPENAI_MODELS: ModelWords = {
  one: objectFrom,
  list: (data) => ({ object: "list", data }),
};

const ANTHROPIC_MODELS: ModelWords = {
  one: infoFrom,
  list: (models, query) => pageOf(models.map(infoFrom), query),
};
/** As many as a page may have. */
const ALL_MODELS = new URLSearchParams({ limit: "1000" });

/** Makes them. `strikes`: what faults on purpose need of the process. */
export function composeSources(
  config: Config,
  world: SourcesWorld,
  tokens: TokenCounters,
  wheel: Wheel,
  ready: Omit<FixturesDeps, "own">,
  strikes: StrikeDeps,
  keys: SourceKeys | undefined,
  usage: UsageCounts | undefined,
): Sources {
  const { llm, chat, upstreams } = config;
  const { random, wallMs, limits } = world;
  const usualModel = defaultModel(config);
  const book = new SourceBook();
  const endpoints = mockEndpoints({
    validate: config.mock.validate,
    models: config.mock.models,
    words: config.mock.moderation,
    tokens: tokens.named("cl100k_base"),
    random,
  });
  const makers = new UpstreamMaker({ config, world, tokens, wheel, isEndpoint: endpoints.has });
  const noted = (source: Source) => config.ops.log_prompts ? notePrompts(source) : source;

  const ownMock = new Mock(config.mock, tokens);
  const profile = latencyOf(config.mock.latency, world.latencyFile);
  const physics = profile === undefined ? undefined : new Physics({
    ...{ profile, tokens, wheel, wallMs },
    draws: world.draws,
    ...world.desk,
    promptTokens: (turn) => ownMock.promptTokens(turn),
  });
  /** What weir answers by itself, the mock or a fixture, as it is answered in the end: limits come first. */
  const own = wrapping(limits?.around, physics?.around);
  const written: FixturesDeps = { ...ready, own };
  const mock = book.note(noted(own?.(ownMock) ?? ownMock), { name: "mock" });

  const asked = new NamedUpstreams({ config, makers, book, noted, isOpen: keys === undefined });
  const usual = (chat.source === "mock" ? undefined : asked.named("llm")) ?? mock;
  const cache = config.routes.some(({ cache }) => cache !== undefined)
    ? new AnswerCache({ ...world, limits: config.cache, shared: world.sharedBytes, wheel })
    : undefined;
  const routes = new Routes({
    ...{ config, book, cache, noted },
    named: (name, tape) =>
      name === "mock" ? mock : asked.named(name, tape === "usual" ? undefined : tape)!,
    takeTry: () => makers.takeTry(),
  });
  const reached = [...routes.targets.map(({ source }) => source), usual];
  const isRelaying = (source: Source) => book.facts(source).isRelaying;
  const firstUpstream = reached.find(isRelaying);
  const faultDeps = { ...strikes, draws: world.draws, rules: rulesOf(config.faults.rules) };

  /** Faults in front of `source`, which stands in its place then. `targetOf`: who would answer. */
  function faulty(
    source: Source,
    targetOf: (model: string, ask: Ask, call: Call) => string,
  ): Source {
    const place = {
      takesHeader: config.faults.header || !isRelaying(source),
      isOwn: !isRelaying(source),
      modelOf: (ask: Ask) => modelOf(ask) || usualModel,
      sourceOf: (ask: Ask, call: Call) => targetOf(modelOf(ask) || usualModel, ask, call),
    };
    return book.wrap(faults(source, place, faultDeps), source);
  }

  /** What `routes` say, and `otherwise` for the rest. */
  function routed(otherwise: Source): Source {
    const source = route(routes.rows, otherwise, usualModel);
    book.note(source, {
      url: book.facts(usualOf(routes.rows, otherwise)).url,
      isRelaying: [...reached, otherwise].some(isRelaying),
    });
    const targetOf = targets(routes.rows, otherwise);
    return faulty(
      book.wrap(fixtures(source, written), source),
      // What answers where no model decides has a name of its own, or is OpenAI's with the key alone.
      (model, ask, call) => book.facts(targetOf(model, ask, call)).name || "llm",
    );
  }

  const guarded = new Map<Source, Source>();
  /** Those in which no route decides. */
  const unrouted = new Set<Source>();

  /**
   * `source` behind the keys of its clients, with what its answers cost; one of its own for each.
   * `counts`: null = they cost nothing.
   */
  function keyed(source: Source, counts: UsageCounts | null = usage ?? null): Source {
    if (keys === undefined && counts === null) return source;
    const isRouted = config.routes.length > 0 && !unrouted.has(source);
    const counted = counts?.around(source) ?? source;
    const known = guarded.get(source) ??
      book.wrap(keys?.guard.around(counted, isRouted) ?? counted, source);
    guarded.set(source, known);
    return known;
  }

  const main = routed(usual);

  /** Counts the prompts that `target` would answer. */
  function counted(target: Source): Source {
    const { models } = config.mock;
    return countingOf(target, book.facts(target).speaks, (turn) => {
      const isKnown = target !== mock || models.length === 0 || models.includes(turn.model);
      if (!isKnown) throw modelNotListed(turn.model);
      return ownMock.promptTokens(turn);
    });
  }

  const limitedEndpoints = own?.(endpoints) ?? endpoints;
  const takerOf = (source: Source): PassTarget =>
    source === mock
      ? { to: limitedEndpoints, takes: endpoints.has, isMock: true }
      : { to: source, takes: book.facts(source).takes, isMock: false };
  /** Where each route leads on the other paths: to those that take the path. */
  const passRows: readonly PassRoute[] = [
    ...routes.passing(takerOf),
    { name: "", model: undefined, ...takerOf(usual) },
  ];
  const passer = passOn(passRows);
  const passesAll = passRows.some(({ isMock }) => !isMock);
  const passing = faulty(
    book.note(passedFixtures(passer, written), { isRelaying: passesAll }),
    (model, ask, call) => {
      const path = ask.wire?.path.split("?", 1)[0] ?? "";
      const fits = model.length > MODEL_CHARS_MAX ? passRows.slice(-1) : passRows;
      const row = fits.find((row) =>
        (row.model === undefined || globOf(row.model).test(model)) && row.takes(path) &&
        row.fits?.(ask, call) !== false
      );
      return row === undefined ? "" : row.isMock ? "mock" : book.facts(row.to).name;
    },
  );
  const isOne = new Set(passRows.map(({ to }) => to)).size === 1 && !config.ops.log_prompts;
  const { speaks, streamsUp } = book.facts(passRows[0]!.to);
  if (isOne && streamsUp) book.note(passing, { speaks, streamsUp });

  /** The one upstream, or the lists of several; undefined = the mock alone answers. */
  function modelsSource(words: ModelWords, own: OwnModels): Source | undefined {
    if (routes.rows.length === 0 || new Set(reached).size === 1) return firstUpstream;
    const listed = ({ name, source }: Target): ListedTarget => {
      const { rename = {} } = upstreams.find((entry) => entry.name === name) ?? {};
      const aliases = plainNames(Object.keys(rename));
      return { name, source, aliases, ...(source === mock ? { own } : {}) };
    };
    const rest = listed({ name: book.facts(usual).name, source: usual });
    const rows = [
      ...routes.models(listed),
      { model: undefined, isForAll: true, aliases: [], targets: [rest] },
    ];
    return modelLists(rows, words);
  }

  function chatSource(): Source {
    if (chat.source === "mock") return main;
    const own = asked.named("chat");
    if (own === undefined && (chat.api_key === "" || !asked.hasLlm)) return main;
    const source = own ??
      asked.llm({ api_key: chat.api_key, api_keys: [], passesClientKey: false });
    const wrapped = faulty(
      book.wrap(fixtures(source, written), source),
      () => own === undefined ? "llm" : "chat",
    );
    unrouted.add(wrapped);
    return wrapped;
  }

  const conv = asked.conv();
  const ownNames = config.mock.models;
  const models = modelsSource(OPENAI_MODELS, {
    list: () => modelsList(ownNames).data,
    one: (id) => modelObject(id, ownNames),
  });
  const anthropicModels = modelsSource(ANTHROPIC_MODELS, {
    list: () => modelsPage(ownNames, ALL_MODELS).data,
    one: (id) => modelInfo(id, ownNames),
  });
  const listsOf = (source: Source | undefined) =>
    source && faulty(source, () => book.facts(firstUpstream ?? usual).name);
  const counting = book.note(
    route(routes.over(counted), counted(usual), usualModel),
    { isRelaying: firstUpstream !== undefined },
  );
  const targetOf = targets(routes.rows, usual);
  const hasOnlyKey = chat.source !== "mock" && !asked.hasLlm && llm.api_key !== "";
  return {
    main: keyed(main),
    apiChat: keyed(
      hasOnlyKey ? routed(asked.llm({ base_url: OPENAI_URL, passesClientKey: false })) : main,
    ),
    chat: keyed(chatSource()),
    conv: conv && faulty(conv, () => "conv"),
    models: listsOf(models),
    anthropicModels: listsOf(anthropicModels),
    counting: keyed(
      faulty(counting, (model, ask, call) => book.facts(targetOf(model, ask, call)).name),
      null,
    ),
    strike: unaskedFaults({
      takesHeader: config.faults.header || firstUpstream === undefined,
      modelOf: ({ model, request }) =>
        model || namedModel(Buffer.from(request?.text ?? "")) || usualModel,
    }, faultDeps),
    promptTokens: (turn) => ownMock.promptTokens(turn),
    passing: keyed(passing),
    answerer: (model, path) => passer.answerer(model, path),
    passesAll,
    urlOf: (source) => book.facts(source).url,
    isRelaying,
    streamsUp: (source, dialect) => {
      const { streamsUp, speaks } = book.facts(source);
      return streamsUp && written.shelf.isIdle && !written.keepsViews &&
        keys?.hasLimits() !== true && speaks?.isSureOf(dialect) === true;
    },
    upstreamHealth: () => makers.health(),
    cacheReadings: () => cache?.readings(),
    tapeTrouble: () => makers.tapeTrouble,
    close() {
      cache?.close();
      return makers.close();
    },
  };
}

/** What wraps a source. */
type Wrapper = (source: Source) => Source;

/** `outer` around `inner`, as far as there are such; undefined = neither is there. */
function wrapping(outer: Wrapper | undefined, inner: Wrapper | undefined): Wrapper | undefined {
  if (outer === undefined || inner === undefined) return outer ?? inner;
  return (source) => outer(inner(source));
}
