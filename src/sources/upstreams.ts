/**
 * Makes the sources of upstreams: what asks one, what asks it again, and what reads its answers for
 * clients of other dialects.
 *
 * @module
 */

import type { Config, UpstreamEntry } from "../config/config.ts";
import { replays, type TapeMode } from "../config/tape_rules.ts";
import type { DialectName, Source, Usage } from "../core/answer.ts";
import type { BreakerShare } from "../core/breakers.ts";
import type { UpstreamDialect } from "../core/dialect.ts";
import type { BreakerState } from "../core/events.ts";
import type { Turn } from "../core/turn.ts";
import { ANTHROPIC_MESSAGES } from "../dialects/anthropic_messages/upstream.ts";
import { OPENAI_CHAT } from "../dialects/openai_chat/upstream.ts";
import { OPENAI_RESPONSES } from "../dialects/openai_responses/upstream.ts";
import { Fields } from "../lib/http1/fields.ts";
import { masker } from "../lib/mask.ts";
import { RetryBudget } from "../lib/retry_budget.ts";
import { basicOf } from "../lib/userinfo.ts";
import type { Wheel } from "../lib/wheel.ts";
import { Breaker, broken } from "./breaker.ts";
import { concurrency } from "./concurrency.ts";
import { edited } from "./edited.ts";
import { Probe } from "./probe.ts";
import { pathTaker } from "./pass.ts";
import { promptTokens } from "./prompt_tokens.ts";
import { Tapes, type TapesWorld } from "./tape/compose.ts";
import type { UsedMode } from "./tape/tape.ts";
import type { TokenCounters } from "./tokens.ts";
import { AskWriter } from "./upstream/asked.ts";
import { http1Transport } from "./upstream/http1_transport.ts";
import { KeyTurns } from "./upstream/key_turns.ts";
import { respeak } from "./upstream/respeak.ts";
import { retry } from "./upstream/retry.ts";
import { Speaks } from "./upstream/speaks.ts";
import { askUsage } from "./usage/ask.ts";
import { StreamOptions } from "./upstream/stream_options.ts";
import { fetchTransport, routedFetch, type Transport, urlBelow } from "./upstream/transport.ts";
import { HeadersUp } from "./upstream/headers_up.ts";
import { keysOf, Upstream } from "./upstream/upstream.ts";

/** What an upstream is made of, whichever section names it. */
export type Entry = Omit<UpstreamEntry, "api_key_file" | "api_keys_file"> & {
  /** Where the config has its time limits: "llm". */
  readonly section: string;
  /** The config key that says where it is. */
  readonly urlKey: string;
  readonly passesClientKey: boolean;
  readonly passesClient: boolean;
};

/** What upstreams need of the process. */
export interface UpstreamsWorld extends TapesWorld {
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** PEM text of a `ca_file` of the config; "" = none. */
  readonly caOf: (file: string) => string;
  /** Tells other weirs what breakers find out; absent: there are none. */
  readonly breakers?: BreakerShare | undefined;
}

/** What makers need. */
export interface MakerDeps {
  readonly config: Config;
  readonly world: UpstreamsWorld;
  readonly tokens: TokenCounters;
  readonly wheel: Wheel;
  /** True when the mock has an endpoint at a path below /v1. */
  readonly isEndpoint: (path: string) => boolean;
}

/** The source of one upstream, and what is known of it. */
export interface MadeUpstream {
  readonly source: Source;
  readonly speaks: Speaks;
  /** True when a path below its base URL may go to it. */
  readonly takes: (path: string) => boolean;
  /** True when a large body may go up to it while it still comes. */
  readonly streamsUp: boolean;
}

/** Makes sources, and closes what they have opened. */
export class UpstreamMaker {
  readonly #deps: MakerDeps;
  readonly #transports: Transport[] = [];
  readonly #budget: RetryBudget;
  readonly #breakers = new Map<string, Breaker>();
  readonly #probes: Probe[] = [];
  #tapes: Tapes | undefined;

  constructor(deps: MakerDeps) {
    this.#deps = deps;
    this.#budget = new RetryBudget(deps.config.retry_budget, () => deps.wheel.nowMs);
  }

  /** What is wrong with the folder of tapes; "" = nothing. */
  get tapeTrouble(): string {
    return this.#tapes?.trouble ?? "";
  }

  /** An upstream of models. */
  upstream(entry: Entry, mode: TapeMode): MadeUpstream {
    const { config, tokens, isEndpoint } = this.#deps;
    const streamOptions = new StreamOptions(entry.stream_options);
    const speaks = speaksOf(entry.speaks);
    const countUsage = (turn: Turn, said: string): Usage => {
      const counter = tokens.of(turn.model);
      return {
        promptTokens: promptTokens(turn, counter),
        completionTokens: counter.count(said),
      };
    };
    const patient = this.#asked(entry, speaks, streamOptions, mode);
    const respoken = respeak(patient, speaks, entry, streamOptions, {
      count: countUsage,
      mask: masker(ownSecrets(entry)),
      dialectOf: (name) => ASKED.find((dialect) => dialect.name === name),
    });
    const spoken = askUsage(respoken, streamOptions);
    const named = edited(concurrency(spoken, entry, entry.name), { rename: entry.rename });
    const breaker = this.#breakerOf(entry);
    const source = breaker === undefined ? named : broken(named, breaker, entry.name);
    const isTaken = pathTaker(entry.paths);
    // Other APIs have other paths: OpenAI's own endpoints are for who speaks a dialect of OpenAI's.
    const isOpenai = speaks.has("openai_chat") || speaks.has("openai_responses");
    const takes = (path: string) =>
      isTaken(path) && (isOpenai || !isEndpoint(path)) && speaks.knows(path);
    // `fetch` wants a whole body, or sends chunks whatever its length; a tape is found by all of it.
    const isUntouched = entry.model_id === "" && named === spoken && !config.ops.log_prompts &&
      !replays(mode);
    return { source, speaks, takes, streamsUp: isUntouched && entry.proxy === "" };
  }

  /** Takes one more question from what may be asked besides; false = no more may. */
  takeTry(): boolean {
    return this.#budget.take();
  }

  /** How the upstreams do that have a breaker. */
  health(): readonly { readonly name: string; readonly breaker: BreakerState }[] {
    return [...this.#breakers].map(([name, { state }]) => ({ name, breaker: state }));
  }

  /** The breaker of an upstream that routes lead to: one, however often it is made. */
  #breakerOf(entry: Entry): Breaker | undefined {
    const { config, world, wheel } = this.#deps;
    const { name } = entry;
    const isRouted = config.routes.some(({ to }) => to.includes(name));
    if (!isRouted || entry.breaker_share === 0) return undefined;
    const known = this.#breakers.get(name);
    if (known !== undefined) return known;
    const made = new Breaker(name, entry, () => wheel.nowMs, world.watch, world.breakers);
    this.#breakers.set(name, made);
    if (entry.probe_ms > 0 && entry.base_url !== "") this.#probe(entry, made);
    return made;
  }

  #probe(entry: Entry, breaker: Breaker): void {
    const { world, wheel } = this.#deps;
    const { proxy, base_url, headers, probe_ms: everyMs, probe_path } = entry;
    const asked = routedFetch({ proxy, ca: world.caOf(entry.ca_file) });
    const isAnthropic = speaksOf(entry.speaks).asked?.name === "anthropic_messages";
    const [apiKey] = keysOf(entry);
    const basic = apiKey === "" ? basicOf(base_url) : "";
    const up = new HeadersUp({
      ...{ apiKey: apiKey!, isAnthropic, keyHeader: entry.api_key_header },
      ...{ passesClientKey: false, passesClient: false, names: [] },
    }, basic === "" ? headers : { authorization: basic, ...headers });
    const fields = [...up.of(Fields.NONE)].map(([name, value]): [string, string] => [name, value]);
    const url = urlBelow(withoutUserinfo(base_url))(probe_path);
    const ask = async (signal: AbortSignal) => {
      const answer = await asked(url, { headers: fields, signal, redirect: "manual" });
      await answer.body?.cancel();
      return answer.status;
    };
    const probe = new Probe({ everyMs, ask, breaker, wheel });
    this.#probes.push(probe);
    probe.start();
  }

  /** ChatGPT's web API, of whose answers nothing is read. */
  web(entry: Entry): Source {
    return this.#asked(entry, WEB, new StreamOptions("never"), this.#deps.config.tape.mode);
  }

  /**
   * Closes connections: idle ones now, the others behind their answers. Settles when what was recorded
   * is written.
   */
  async close(): Promise<void> {
    for (const probe of this.#probes) probe.stop();
    for (const transport of this.#transports) transport.close();
    await this.#tapes?.close();
  }

  /** An upstream, or tapes in its place, asked again when it is busy. It answers with relays only. */
  #asked(
    entry: Entry,
    speaks: Speaks,
    streamOptions: StreamOptions,
    mode: TapeMode,
  ): Source {
    const { config, world, wheel } = this.#deps;
    const upstream = entry.base_url === "" ? undefined : this.#once(entry, speaks, streamOptions);
    const { name, retries } = entry;
    const taped = (mode: UsedMode) => {
      this.#tapes ??= new Tapes(config, world, wheel);
      const asks = upstream?.asks ?? new AskWriter(entry.model_id, speaks, streamOptions);
      return this.#tapes.source({ mode, name, asks, upstream, options: entry });
    };
    const { random, wallMs } = world;
    const options = { retries, random, wallMs, budget: this.#budget };
    return retry(mode === "off" ? upstream! : taped(mode), options);
  }

  /** An upstream, asked once. */
  #once(entry: Entry, speaks: Speaks, streamOptions: StreamOptions): Upstream {
    const { base_url, proxy, ca_file, resend } = entry;
    const { world, wheel } = this.#deps;
    const place = { base_url, configKey: entry.urlKey, ca: world.caOf(ca_file), resend };
    const transport = proxy === ""
      ? http1Transport({ ...place, wheel, connectMs: entry.connect_timeout_ms })
      : fetchTransport({ ...place, proxy });
    this.#transports.push(transport);
    const turnsOf = (count: number) => new KeyTurns(count, () => wheel.nowMs, world.wallMs);
    return new Upstream(entry, transport, speaks, streamOptions, turnsOf);
  }
}

/** `fetch` wants no user in a URL. */
function withoutUserinfo(url: string): string {
  return url.replace(/^(https?:\/\/)[^/?#]*@/i, "$1");
}

/** What weir says to an upstream and to nobody else, as it may stand in what that one answers. */
function ownSecrets({ api_key, api_keys, headers, base_url }: Entry): readonly string[] {
  const basic = basicOf(base_url).slice("Basic ".length);
  const userinfo = Buffer.from(basic, "base64").toString();
  const password = userinfo.slice(userinfo.indexOf(":") + 1);
  const values = [api_key, ...api_keys, ...Object.values(headers), basic, password];
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
