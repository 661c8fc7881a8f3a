/**
 * What answers: the mock, the upstreams of the config, and the routes between them, each source in
 * what wraps it.
 *
 * @module
 */

import type { Config, UpstreamEntry } from "../config/config.ts";
import { defaultModel } from "../config/default_model.ts";
import { latencyOf, type LatencyValues } from "../config/latency.ts";
import { replays, type TapeMode } from "../config/tape_rules.ts";
import type { Ask, DialectName, Source } from "../core/answer.ts";
import type { StrikeUnasked } from "../core/driver.ts";
import type { Turn } from "../core/turn.ts";
import { modelObject, modelsList } from "../dialects/openai/models.ts";
import { type ListedTarget, modelLists, type ModelRow } from "./model_lists.ts";
import { modelNotListed } from "../dialects/openai/errors.ts";
import { namedModel } from "../dialects/openai_chat/peek_model.ts";
import type { Wheel } from "../lib/wheel.ts";
import { Balance } from "./balance.ts";
import { edited } from "./edited.ts";
import { fallback, type HedgeRules, type Target, type TargetOrder } from "./fallback.ts";
import { requestMatcher } from "./request_match.ts";
import type { BreakerState } from "../core/events.ts";
import type { Call } from "../core/exchange.ts";
import { counting as countingOf } from "./counting.ts";
import type { Draws } from "./draws.ts";
import { mockEndpoints } from "./endpoints/endpoints.ts";
import { faultsChecked } from "./faults/asked.ts";
import { faults, unaskedFaults } from "./faults/faults.ts";
import { rulesOf } from "./faults/rules.ts";
import type { StrikeDeps } from "./faults/strike.ts";
import { fixtures, type FixturesDeps, passedFixtures } from "./fixtures/fixtures.ts";
import { globOf } from "./glob.ts";
import type { KeyGuard } from "./keys/guard.ts";
import type { Limits } from "./limits/limits.ts";
import { Mock } from "./mock/mock.ts";
import { type Passing, passOn, type PassRoute, type PassTarget } from "./pass.ts";
import { notePrompts } from "./prompt_note.ts";
import type { UsageCounts } from "./usage/usage.ts";
import { Physics, type PhysicsDeps } from "./physics/physics.ts";
import { MODEL_CHARS_MAX, modelOf, route, targets, usualOf } from "./route.ts";
import { Speaks } from "./upstream/speaks.ts";
import type { TokenCounters } from "./tokens.ts";
import { type Entry, UpstreamMaker, type UpstreamsWorld } from "./upstreams.ts";

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
  /** The upstream that is asked where no model decides; undefined = the mock answers. */
  readonly upstream: Source | undefined;
  /** Has faults happen where none of these is asked. */
  readonly strike: StrikeUnasked;
  /** Whom to ask for models, for clients of OpenAI's API; undefined = the mock answers. */
  readonly models: Source | undefined;
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
}

/** The keys of clients. */
export interface SourceKeys {
  readonly guard: KeyGuard;
  /** True while some key has limits: what its clients ask must be understood. */
  readonly hasLimits: () => boolean;
}

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
  const { llm, chat, conv, upstreams } = config;
  const { random, wallMs, limits } = world;
  const isOpen = keys === undefined;
  const relaying = new Set<Source>();
  const streaming = new Map<Source, Speaks>();
  const urls = new Map<Source, string>();
  const spoken = new Map<Source, Speaks>();
  const takers = new Map<Source, (path: string) => boolean>();
  const makers = new UpstreamMaker({
    config,
    world,
    tokens,
    wheel,
    isEndpoint: (path) => endpoints.has(path),
  });

  function upstream(entry: Entry, mode: TapeMode): Source {
    const { source: made, speaks, takes, streamsUp } = makers.upstream(entry, mode);
    const answering = noted(made);
    // A tape knows how long its answer is.
    const source = replays(mode) ? answering : faultsChecked(answering);
    relaying.add(source);
    spoken.set(source, speaks);
    takers.set(source, takes);
    if (streamsUp) streaming.set(source, speaks);
    urls.set(source, entry.base_url || `the tapes of ${config.tape.folder}`);
    return source;
  }

  function noted(source: Source): Source {
    return config.ops.log_prompts ? notePrompts(source) : source;
  }

  /** An entry of `upstreams`. Without a model of its own it gets the one that is the default. */
  function entryOf(entry: UpstreamEntry): Entry {
    const section = `upstreams.${upstreams.indexOf(entry)}`;
    return {
      ...entry,
      model_id: entry.model_id || llm.model_id,
      section,
      urlKey: `${section}.base_url`,
      passesClientKey: isOpen,
      passesClient: false,
    };
  }

  const llmNamed = upstreams.find(({ name }) => name === "llm");
  const llmEntry: Entry = llmNamed === undefined
    ? {
      ...llm,
      name: "llm",
      section: "llm",
      urlKey: "llm.base_url",
      passesClientKey: isOpen,
      passesClient: false,
    }
    : entryOf(llmNamed);

  /** The upstream named llm, with what differs. */
  function llmUpstream(own: Partial<Entry> = {}, mode: TapeMode = config.tape.mode): Source {
    return upstream({ ...llmEntry, ...own }, mode);
  }

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
  const mock = noted(own?.(ownMock) ?? ownMock);
  const isMock = chat.source === "mock";
  // Headers and model of `llm` are for that upstream, and may be secrets of it.
  // go-gpt-server passes everything of its clients on.
  const ownOnly = {
    model_id: "",
    headers: {},
    headers_up: [],
    passesClientKey: false,
    passesClient: true,
  };
  const made = new Map<string, Source>();
  const names = new Map<Source, string>();

  /** The source of that name, with what is done with tapes; undefined = there is none. */
  function named(name: string, mode: TapeMode = config.tape.mode): Source | undefined {
    if (name === "mock") return mock;
    const key = `${mode} ${name}`;
    const known = made.get(key) ?? makeNamed(name, mode);
    if (known !== undefined) {
      made.set(key, known);
      names.set(known, name);
    }
    return known;
  }

  function makeNamed(name: string, mode: TapeMode): Source | undefined {
    const entry = upstreams.find((entry) => entry.name === name);
    if (name === "llm") {
      return llmEntry.base_url !== "" || replays(mode) ? llmUpstream({}, mode) : undefined;
    }
    if (entry !== undefined) return upstream(entryOf(entry), mode);
    if (name !== "chat" || chat.api_proxy === "") return undefined;
    return llmUpstream({
      ...ownOnly,
      name,
      api_key: chat.api_key,
      api_keys: [],
      base_url: apiBase(chat.api_proxy),
      urlKey: "chat.api_proxy",
    }, mode);
  }

  const usual = isMock ? mock : named("llm") ?? mock;
  const routes = config.routes.map((entry) => {
    const { name, match, to, weights, tape, usage, hedge_ms: afterMs } = entry;
    const hedge = afterMs === undefined ? undefined : { afterMs, take: () => makers.takeTry() };
    const targets = to.map((name) => ({
      name,
      source: named(name, tape === "usual" ? undefined : tape)!,
    }));
    const edit = (source: Source) => scripted(source, edited(source, entry), false);
    const balance = weights && new Balance(weights);
    const order = (targets: readonly Target[]) => balance?.over(targets) ?? (() => targets);
    return {
      name,
      model: match.model,
      fits: requestMatcher(match),
      usage,
      first: targets[0]!.name,
      targets,
      order,
      edit,
      hedge,
      aliases: plainNames([match.model, ...Object.keys(entry.rename ?? {})]),
      to: edit(joined(targets, order(targets), hedge)),
    };
  });

  /** Targets as one source. */
  function joined(
    targets: readonly Target[],
    orderOf: TargetOrder,
    hedge?: HedgeRules,
  ): Source {
    const [first] = targets;
    if (targets.length === 1) return first!.source;
    const source = fallback(first!.source.name, orderOf, hedge);
    if (targets.some(({ source }) => relaying.has(source))) relaying.add(source);
    urls.set(source, urls.get(first!.source) ?? "");
    names.set(source, first!.name);
    return source;
  }

  const reached = [...routes.flatMap(({ targets }) => targets.map(({ source }) => source)), usual];
  const nameOf = (source: Source) => source === mock ? "mock" : names.get(source) ?? "";
  const faultDeps = { ...strikes, draws: world.draws, rules: rulesOf(config.faults.rules) };

  /** Faults in front of `source`, which stands in its place then. `targetOf`: who would answer. */
  function faulty(
    source: Source,
    targetOf: (model: string, ask: Ask, call: Call) => string,
  ): Source {
    const place = {
      takesHeader: config.faults.header || !relaying.has(source),
      isOwn: !relaying.has(source),
      modelOf: (ask: Ask) => modelOf(ask) || defaultModel(config),
      sourceOf: (ask: Ask, call: Call) => targetOf(modelOf(ask) || defaultModel(config), ask, call),
    };
    return scripted(source, faults(source, place, faultDeps));
  }

  /** What `routes` say, and `otherwise` for the rest. */
  function routed(otherwise: Source): Source {
    const source = route(routes, otherwise, defaultModel(config));
    urls.set(source, urls.get(usualOf(routes, otherwise)) ?? "");
    if ([...reached, otherwise].some((target) => relaying.has(target))) relaying.add(source);
    const targetOf = targets(routes, otherwise);
    return faulty(
      scripted(source, fixtures(source, written)),
      // What answers where no model decides has a name of its own, or is OpenAI's with the key alone.
      (model, ask, call) => nameOf(targetOf(model, ask, call)) || "llm",
    );
  }

  /** `wrapped`, which stands in the place of `source`. `streams`: large bodies may go up through it. */
  function scripted(source: Source, wrapped: Source, streams = true): Source {
    if (wrapped === source) return source;
    urls.set(wrapped, urls.get(source) ?? "");
    if (relaying.has(source)) relaying.add(wrapped);
    const name = names.get(source);
    if (name !== undefined) names.set(wrapped, name);
    const speaks = streaming.get(source);
    if (streams && speaks !== undefined) streaming.set(wrapped, speaks);
    return wrapped;
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
      scripted(source, keys?.guard.around(counted, isRouted) ?? counted);
    guarded.set(source, known);
    return known;
  }

  const main = routed(usual);

  /** Counts the prompts that `target` would answer. */
  function counted(target: Source): Source {
    const { models } = config.mock;
    return countingOf(target, spoken.get(target), (turn) => {
      const isKnown = target !== mock || models.length === 0 || models.includes(turn.model);
      if (!isKnown) throw modelNotListed(turn.model);
      return ownMock.promptTokens(turn);
    });
  }

  const endpoints = mockEndpoints({
    validate: config.mock.validate,
    models: config.mock.models,
    words: config.mock.moderation,
    tokens: tokens.named("cl100k_base"),
    random,
  });
  const limitedEndpoints = own?.(endpoints) ?? endpoints;
  const passTarget = (source: Source): PassTarget =>
    source === mock
      ? { to: limitedEndpoints, takes: endpoints.has, isMock: true }
      : { to: source, takes: takers.get(source)!, isMock: false };
  /** Where each route leads on the other paths: to those that take the path. */
  const passRows: readonly PassRoute[] = [
    ...routes.map(({ name, model, fits, usage, first, targets, order, edit }) => {
      const each = targets.map(({ source }) => passTarget(source));
      const row = { name, model, fits, usage, first };
      if (each.length === 1) return { ...row, ...each[0]!, to: edit(each[0]!.to) };
      const orderOf = order(targets.map(({ name }, i) => ({ name, source: each[i]!.to })));
      const takersOf = new Map(targets.map(({ name }, i) => [name, each[i]!.takes]));
      const to = edit(joined(targets, (ask) => {
        const path = ask.wire!.path.split("?", 1)[0]!;
        return orderOf(ask).filter(({ name }) => takersOf.get(name)!(path));
      }));
      return {
        ...{ ...row, to, each },
        takes: (path: string) => each.some(({ takes }) => takes(path)),
        isMock: false,
      };
    }),
    { name: "", model: undefined, ...passTarget(usual) },
  ];
  const passer = passOn(passRows);
  const scriptedPasser = passedFixtures(passer, written);
  if (passRows.some(({ isMock }) => !isMock)) relaying.add(scriptedPasser);
  const passing = faulty(scriptedPasser, (model, ask, call) => {
    const path = ask.wire?.path.split("?", 1)[0] ?? "";
    const fits = model.length > MODEL_CHARS_MAX ? passRows.slice(-1) : passRows;
    const row = fits.find((row) =>
      (row.model === undefined || globOf(row.model).test(model)) && row.takes(path) &&
      row.fits?.(ask, call) !== false
    );
    return row === undefined ? "" : row.isMock ? "mock" : nameOf(row.to);
  });
  const isOne = new Set(passRows.map(({ to }) => to)).size === 1 && !config.ops.log_prompts;
  const passed = streaming.get(passRows[0]!.to);
  if (isOne && passed !== undefined) streaming.set(passing, passed);

  /** The one upstream, or the lists of several; undefined = the mock alone answers. */
  function modelsSource(): Source | undefined {
    const isOne = new Set(reached).size === 1;
    if (routes.length === 0 || isOne) return reached.find((source) => relaying.has(source));
    const target = (name: string, source: Source): ListedTarget => {
      const { rename = {} } = upstreams.find((entry) => entry.name === name) ?? {};
      const own = {
        list: () => modelsList(config.mock.models).data.map((model) => ({ ...model })),
        one: (id: string) => modelObject(id, config.mock.models),
      };
      return {
        name,
        source,
        aliases: plainNames(Object.keys(rename)),
        ...(source === mock ? { own } : {}),
      };
    };
    const rows: readonly ModelRow[] = routes.map(({ model, fits, targets, aliases }) => ({
      model,
      isForAll: fits === undefined,
      targets: targets.map(({ name, source }) => target(name, source)),
      aliases,
    }));
    const rest = { model: undefined, isForAll: true, aliases: [] };
    return modelLists([...rows, { ...rest, targets: [target(nameOf(usual), usual)] }]);
  }

  function chatSource(): Source {
    if (isMock) return main;
    const own = named("chat");
    const hasKey = chat.api_key !== "" && llmEntry.base_url !== "";
    if (own === undefined && !hasKey) return main;
    const source = own ??
      llmUpstream({ api_key: chat.api_key, api_keys: [], passesClientKey: false });
    const wrapped = faulty(
      scripted(source, fixtures(source, written)),
      () => own === undefined ? "llm" : "chat",
    );
    unrouted.add(wrapped);
    return wrapped;
  }

  /** `/conv` has an upstream of its own dialect. */
  function convSource(): Source | undefined {
    if (conv.unofficial_proxy === "") return undefined;
    const own = {
      ...ownOnly,
      name: "conv",
      section: "llm",
      api_key: "",
      api_keys: [],
      base_url: conv.unofficial_proxy,
      urlKey: "conv.unofficial_proxy",
      headers: conv.access_token === "" ? {} : { authorization: conv.access_token },
    };
    const source = makers.web({ ...llm, ...own });
    relaying.add(source);
    return faulty(source, () => "conv");
  }

  const firstUpstream = reached.find((source) => relaying.has(source));
  const counting = route(
    routes.map(({ targets, order, edit, hedge: _, aliases: __, ...row }) => {
      const counters = targets.map(({ name, source }) => ({ name, source: counted(source) }));
      return { ...row, to: edit(joined(counters, order(counters))) };
    }),
    counted(usual),
    defaultModel(config),
  );
  if (firstUpstream !== undefined) relaying.add(counting);

  const models = modelsSource();
  const hasOnlyKey = !isMock && llmEntry.base_url === "" && llm.api_key !== "";
  return {
    main: keyed(main),
    apiChat: keyed(
      hasOnlyKey ? routed(llmUpstream({ base_url: OPENAI_URL, passesClientKey: false })) : main,
    ),
    chat: keyed(chatSource()),
    conv: convSource(),
    upstream: firstUpstream && faulty(firstUpstream, () => nameOf(firstUpstream)),
    models: models && faulty(models, () => nameOf(firstUpstream ?? usual)),
    counting: keyed(
      faulty(
        counting,
        (model, ask, call) => nameOf(targets(routes, usual)(model, ask, call)),
      ),
      null,
    ),
    strike: unaskedFaults({
      takesHeader: config.faults.header || firstUpstream === undefined,
      modelOf: ({ model, request }) =>
        model || namedModel(Buffer.from(request?.text ?? "")) || defaultModel(config),
    }, faultDeps),
    promptTokens: (turn) => ownMock.promptTokens(turn),
    passing: keyed(passing),
    answerer: (model, path) => passer.answerer(model, path),
    passesAll: passRows.some(({ isMock }) => !isMock),
    urlOf: (source) => urls.get(source) ?? "",
    isRelaying: (source) => relaying.has(source),
    streamsUp: (source, dialect) =>
      written.shelf.isIdle && !written.keepsViews && keys?.hasLimits() !== true &&
      streaming.get(source)?.isSureOf(dialect) === true,
    upstreamHealth: () => makers.health(),
    tapeTrouble: () => makers.tapeTrouble,
    close: () => makers.close(),
  };
}

/** Those of `names` that are no patterns. */
function plainNames(names: readonly string[]): readonly string[] {
  return names.filter((name) => !name.includes("*"));
}

/** What wraps a source. */
type Wrapper = (source: Source) => Source;

/** `outer` around `inner`, as far as there are such; undefined = neither is there. */
function wrapping(outer: Wrapper | undefined, inner: Wrapper | undefined): Wrapper | undefined {
  if (outer === undefined || inner === undefined) return outer ?? inner;
  return (source) => outer(inner(source));
}

/**
 * go-gpt-server names a host (docs/facts/systems.md "/chat") and means its `/v1`; a URL with a path
 * says where the API is itself.
 */
function apiBase(url: string): string {
  return new URL(url).pathname === "/" ? `${url}/v1` : url;
}
