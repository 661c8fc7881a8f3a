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
import type { Ask, DialectName, Source, Usage } from "../core/answer.ts";
import type { UpstreamDialect } from "../core/dialect.ts";
import type { StrikeUnasked } from "../core/driver.ts";
import type { Turn } from "../core/turn.ts";
import { ANTHROPIC_MESSAGES } from "../dialects/anthropic_messages/upstream.ts";
import { modelNotListed } from "../dialects/openai/errors.ts";
import { namedModel } from "../dialects/openai_chat/peek_model.ts";
import { OPENAI_CHAT } from "../dialects/openai_chat/upstream.ts";
import { OPENAI_RESPONSES } from "../dialects/openai_responses/upstream.ts";
import type { Wheel } from "../lib/wheel.ts";
import { masker } from "../lib/mask.ts";
import { basicOf } from "../lib/userinfo.ts";
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
import { type Passing, passOn, pathTaker } from "./pass.ts";
import { notePrompts } from "./prompt_note.ts";
import { askUsage } from "./usage/ask.ts";
import type { UsageCounts } from "./usage/usage.ts";
import { Physics, type PhysicsDeps } from "./physics/physics.ts";
import { promptTokens } from "./prompt_tokens.ts";
import { MODEL_CHARS_MAX, modelOf, route, targets, usualOf } from "./route.ts";
import { http1Transport } from "./upstream/http1_transport.ts";
import { respeak } from "./upstream/respeak.ts";
import { retry } from "./upstream/retry.ts";
import { Tapes, type TapesWorld } from "./tape/compose.ts";
import type { UsedMode } from "./tape/tape.ts";
import { AskWriter } from "./upstream/asked.ts";
import { StreamOptions } from "./upstream/stream_options.ts";
import { fetchTransport, type Transport } from "./upstream/transport.ts";
import { Speaks } from "./upstream/speaks.ts";
import type { TokenCounters } from "./tokens.ts";
import { Upstream } from "./upstream/upstream.ts";

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
  /** What is wrong with the folder of tapes; "" = nothing. */
  readonly tapeTrouble: () => string;
  /**
   * Closes connections to upstreams: idle ones now, the others behind their answers. Settles when what
   * was recorded is written.
   */
  readonly close: () => Promise<void>;
}

/** What they need of the process. */
export interface SourcesWorld extends TapesWorld {
  readonly wallMs: () => number;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** PEM text of a `ca_file` of the config; "" = none. */
  readonly caOf: (file: string) => string;
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

/** What an upstream is made of, whichever section names it. */
type Entry = Omit<UpstreamEntry, "api_key_file"> & {
  /** Where the config has its time limits: "llm". */
  readonly section: string;
  /** The config key that says where it is. */
  readonly urlKey: string;
  readonly passesClientKey: boolean;
  readonly passesClient: boolean;
};

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
  const { random, wallMs, caOf, limits } = world;
  const isOpen = keys === undefined;
  const transports: Transport[] = [];
  const relaying = new Set<Source>();
  const streaming = new Map<Source, Speaks>();
  const urls = new Map<Source, string>();
  const spoken = new Map<Source, Speaks>();
  const takers = new Map<Source, (path: string) => boolean>();
  let tapes: Tapes | undefined;

  /** An upstream, or tapes in its place, asked again when it is busy. It answers with relays only. */
  function asked(
    entry: Entry,
    speaks: Speaks,
    streamOptions: StreamOptions,
    mode: TapeMode,
  ): Source {
    const upstream = entry.base_url === "" ? undefined : once(entry, speaks, streamOptions);
    const { name, retries } = entry;
    const taped = (mode: UsedMode) => {
      tapes ??= new Tapes(config, world, wheel);
      const asks = upstream?.asks ?? new AskWriter(entry.model_id, speaks, streamOptions);
      return tapes.source({ mode, name, asks, upstream, options: entry });
    };
    return retry(mode === "off" ? upstream! : taped(mode), { retries, random, wallMs });
  }

  /** An upstream, asked once. */
  function once(entry: Entry, speaks: Speaks, streamOptions: StreamOptions): Upstream {
    const { base_url, proxy, ca_file, resend } = entry;
    const place = { base_url, configKey: entry.urlKey, ca: caOf(ca_file), resend };
    const transport = proxy === ""
      ? http1Transport({ ...place, wheel })
      : fetchTransport({ ...place, proxy });
    transports.push(transport);
    return new Upstream(entry, transport, speaks, streamOptions);
  }

  function countUsage(turn: Turn, said: string): Usage {
    const counter = tokens.of(turn.model);
    return {
      promptTokens: promptTokens(turn, counter),
      completionTokens: counter.count(said),
    };
  }

  function upstream(entry: Entry, mode: TapeMode): Source {
    const streamOptions = new StreamOptions(entry.stream_options);
    const speaks = speaksOf(entry.speaks);
    const patient = asked(entry, speaks, streamOptions, mode);
    const respoken = respeak(patient, speaks, entry, streamOptions, {
      count: countUsage,
      mask: masker(ownSecrets(entry)),
      dialectOf: (name) => ASKED.find((dialect) => dialect.name === name),
    });
    const answering = noted(askUsage(respoken, streamOptions));
    // A tape knows how long its answer is.
    const source = replays(mode) ? answering : faultsChecked(answering);
    relaying.add(source);
    spoken.set(source, speaks);
    const takes = pathTaker(entry.paths);
    // Other APIs have other paths: OpenAI's own endpoints are for who speaks a dialect of OpenAI's.
    const isOpenai = speaks.has("openai_chat") || speaks.has("openai_responses");
    takers.set(
      source,
      (path) => takes(path) && (isOpenai || !endpoints.has(path)) && speaks.knows(path),
    );
    // `fetch` wants a whole body, or sends chunks whatever its length; a tape is found by all of it.
    const isUntouched = entry.model_id === "" && !config.ops.log_prompts && !replays(mode);
    if (isUntouched && entry.proxy === "") streaming.set(source, speaks);
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
      base_url: apiBase(chat.api_proxy),
      urlKey: "chat.api_proxy",
    }, mode);
  }

  const usual = isMock ? mock : named("llm") ?? mock;
  const routes = config.routes.map(({ name, match, to, tape, usage }) => ({
    name,
    usage,
    model: match?.model,
    to: named(to[0]!, tape === "usual" ? undefined : tape)!,
  }));
  const reached = [...routes.map(({ to }) => to), usual];
  const nameOf = (source: Source) => source === mock ? "mock" : names.get(source) ?? "";
  const faultDeps = { ...strikes, draws: world.draws, rules: rulesOf(config.faults.rules) };

  /** Faults in front of `source`, which stands in its place then. `targetOf`: who would answer. */
  function faulty(source: Source, targetOf: (model: string, ask: Ask) => string): Source {
    const place = {
      takesHeader: config.faults.header || !relaying.has(source),
      isOwn: !relaying.has(source),
      modelOf: (ask: Ask) => modelOf(ask) || defaultModel(config),
      sourceOf: (ask: Ask) => targetOf(modelOf(ask) || defaultModel(config), ask),
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
      (model) => nameOf(targetOf(model)) || "llm",
    );
  }

  /** `wrapped`, which is `source` with fixtures before it and stands in its place. */
  function scripted(source: Source, wrapped: Source): Source {
    urls.set(wrapped, urls.get(source) ?? "");
    if (relaying.has(source)) relaying.add(wrapped);
    const speaks = streaming.get(source);
    if (speaks !== undefined) streaming.set(wrapped, speaks);
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
  const passRows = [...routes, { name: "", model: undefined, to: usual }].map((row) =>
    row.to === mock
      ? { ...row, to: limitedEndpoints, takes: endpoints.has, isMock: true }
      : { ...row, takes: takers.get(row.to)!, isMock: false }
  );
  const passer = passOn(passRows);
  const scriptedPasser = passedFixtures(passer, written);
  if (passRows.some(({ isMock }) => !isMock)) relaying.add(scriptedPasser);
  const passing = faulty(scriptedPasser, (model, { wire }) => {
    const path = wire?.path.split("?", 1)[0] ?? "";
    const fits = model.length > MODEL_CHARS_MAX ? passRows.slice(-1) : passRows;
    const row = fits.find((row) =>
      (row.model === undefined || globOf(row.model).test(model)) && row.takes(path)
    );
    return row === undefined ? "" : row.isMock ? "mock" : nameOf(row.to);
  });
  const isOne = new Set(passRows.map(({ to }) => to)).size === 1 && !config.ops.log_prompts;
  const passed = streaming.get(passRows[0]!.to);
  if (isOne && passed !== undefined) streaming.set(passing, passed);

  function chatSource(): Source {
    if (isMock) return main;
    const own = named("chat");
    const hasKey = chat.api_key !== "" && llmEntry.base_url !== "";
    if (own === undefined && !hasKey) return main;
    const source = own ?? llmUpstream({ api_key: chat.api_key, passesClientKey: false });
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
      base_url: conv.unofficial_proxy,
      urlKey: "conv.unofficial_proxy",
      headers: conv.access_token === "" ? {} : { authorization: conv.access_token },
    };
    const source = asked({ ...llm, ...own }, WEB, new StreamOptions("never"), config.tape.mode);
    relaying.add(source);
    return faulty(source, () => "conv");
  }

  const firstUpstream = reached.find((source) => relaying.has(source));
  const counting = route(
    routes.map(({ name, model, to }) => ({ name, model, to: counted(to) })),
    counted(usual),
    defaultModel(config),
  );
  if (firstUpstream !== undefined) relaying.add(counting);

  const hasOnlyKey = !isMock && llmEntry.base_url === "" && llm.api_key !== "";
  return {
    main: keyed(main),
    apiChat: keyed(
      hasOnlyKey ? routed(llmUpstream({ base_url: OPENAI_URL, passesClientKey: false })) : main,
    ),
    chat: keyed(chatSource()),
    conv: convSource(),
    upstream: firstUpstream && faulty(firstUpstream, () => nameOf(firstUpstream)),
    counting: keyed(faulty(counting, (model) => nameOf(targets(routes, usual)(model))), null),
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
    tapeTrouble: () => tapes?.trouble ?? "",
    async close() {
      for (const transport of transports) transport.close();
      await tapes?.close();
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

/** What weir says to an upstream and to nobody else, as it may stand in what that one answers. */
function ownSecrets({ api_key, headers, base_url }: Entry): readonly string[] {
  const basic = basicOf(base_url).slice("Basic ".length);
  const userinfo = Buffer.from(basic, "base64").toString();
  const password = userinfo.slice(userinfo.indexOf(":") + 1);
  const values = [api_key, ...Object.values(headers), basic, password];
  return [...values, ...values.map((value) => value.replace(/^\w+ +/, ""))]; // "Bearer …"
}

/** ChatGPT's web API, of whose answers nothing is read. */
const WEB = new Speaks(["chatgpt_web"], undefined);

/** How turns are asked for in each dialect, the usual one first. */
const ASKED: readonly UpstreamDialect[] = [OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC_MESSAGES];

/** What `speaks` of the config says; empty = nobody knows, so everything goes up as it is. */
function speaksOf(words: readonly DialectName[]): Speaks {
  if (words.length === 0) {
    return new Speaks(
      ["openai", "openai_chat", "openai_completions", "openai_responses", "anthropic_messages"],
      OPENAI_CHAT,
      true,
    );
  }
  const isOpenai = words.some((word) => word.startsWith("openai_"));
  return new Speaks(
    // What weir has no words for goes up as it is, whatever an upstream speaks.
    [...words, "openai", ...(isOpenai ? ["openai_completions" as const] : [])],
    ASKED.find(({ name }) => words.includes(name)),
  );
}

/**
 * go-gpt-server names a host (docs/facts/systems.md "/chat") and means its `/v1`; a URL with a path
 * says where the API is itself.
 */
function apiBase(url: string): string {
  return new URL(url).pathname === "/" ? `${url}/v1` : url;
}
