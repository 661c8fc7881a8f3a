/**
 * What answers which surface: the mock, the upstream of `llm.*`, or one of a surface's own.
 *
 * @module
 */

import type { Source } from "./core/answer.ts";
import type { Config } from "./config/config.ts";
import type { Wheel } from "./lib/wheel.ts";
import { ConvUpstream } from "./sources/conv_upstream.ts";
import { http1Transport } from "./sources/http1_transport.ts";
import { Mock } from "./sources/mock.ts";
import { notePrompts } from "./sources/prompt_note.ts";
import type { TokenCounter } from "./sources/tokens.ts";
import { fetchTransport, routedFetch, type Transport } from "./sources/transport.ts";
import { Upstream, type UpstreamDeps } from "./sources/upstream.ts";

/** Where a key without a base URL belongs. */
const OPENAI_URL = "https://api.openai.com/v1";

/** What people name when they name no model. */
const USUAL_MODEL = "gpt-3.5-turbo";

/** A source and where it is. */
export interface Answerer {
  readonly source: Source;
  /** The base URL of an upstream; "" = the mock. */
  readonly url: string;
}

/** Who answers where. */
export interface Answerers {
  /** `/v1/*`, and every surface without an upstream of its own. */
  readonly main: Answerer;
  /** As `main`, for `/v1/response`, which has an `on_disconnect` of its own. */
  readonly response: Answerer;
  /** `/api/chat` and workflows: OpenAI's own API when there is a key and no `llm.base_url`. */
  readonly apiChat: Answerer;
  readonly chat: Answerer;
  /** The upstream of `/conv`; undefined = weir keeps the conversations, and `main` answers in them. */
  readonly conv: ConvUpstream | undefined;
  /** Closes connections to upstreams: idle ones now, the others behind their answers. */
  readonly close: () => void;
}

/** What they need of the process. */
export interface AnswererWorld {
  /** The tokens that open the door; none = it is open. */
  readonly tokens: readonly unknown[];
  readonly wallMs: () => number;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** PEM text of `llm.ca_file`; "" = none. */
  readonly ca: string;
}

/** Makes them. */
export function makeAnswerers(
  config: Config,
  world: AnswererWorld,
  tokens: TokenCounter,
  wheel: Wheel,
): Answerers {
  const { llm, chat, conv } = config;
  const { ca, random, wallMs } = world;
  const route = { proxy: llm.proxy, ca };
  const transports: Transport[] = [];

  function deps(base_url: string, configKey: string): UpstreamDeps {
    const transport = llm.proxy === ""
      ? http1Transport({ base_url, configKey, ca, wheel })
      : fetchTransport({ ...route, base_url, configKey });
    transports.push(transport);
    return { transport, fetch: routedFetch(route), random, wallMs };
  }

  const noted = (source: Source) => config.ops.log_prompts ? notePrompts(source) : source;
  const patience = { ...llm, on_disconnect: chat.on_disconnect };

  function upstream(
    url: string,
    options: Partial<Config["llm"] & Pick<Config["chat"], "on_disconnect">>,
    configKey = "llm.base_url",
  ): Answerer {
    const passesClientKey = url === llm.base_url && world.tokens.length === 0;
    const source = new Upstream({
      ...patience,
      ...options,
      base_url: url,
      passes_client_key: passesClientKey,
    }, deps(url, configKey));
    return { source: noted(source), url };
  }

  const isMock = chat.source === "mock";
  const main = isMock || llm.base_url === ""
    ? { source: noted(new Mock(config.mock, tokens)), url: "" }
    : upstream(llm.base_url, {});

  function chatAnswerer(): Answerer {
    if (isMock) return main;
    // Headers and model of `llm` are for that upstream, and may be secrets of it.
    if (chat.api_proxy !== "") {
      const own = { api_key: chat.api_key, model_id: "", headers: {} };
      return upstream(apiBase(chat.api_proxy), own, "chat.api_proxy");
    }
    const hasKey = chat.api_key !== "" && llm.base_url !== "";
    return hasKey ? upstream(llm.base_url, { api_key: chat.api_key }) : main;
  }

  const hasOnlyKey = !isMock && llm.base_url === "" && llm.api_key !== "";
  return {
    main,
    response: main.url === "" ? main : upstream(main.url, config.response),
    apiChat: hasOnlyKey ? upstream(OPENAI_URL, {}) : main,
    chat: chatAnswerer(),
    conv: conv.unofficial_proxy === "" ? undefined : new ConvUpstream(
      { ...patience, base_url: conv.unofficial_proxy, headers: {} },
      conv.access_token,
      deps(conv.unofficial_proxy, "conv.unofficial_proxy"),
    ),
    close: () => transports.forEach((transport) => transport.close()),
  };
}

/** The model of a request that names none. */
export function defaultModel({ llm, mock }: Config): string {
  return llm.model_id || mock.models[0] || USUAL_MODEL;
}

/** System 003 names a host and means its `/v1`; a URL with a path says where the API is itself. */
function apiBase(url: string): string {
  return new URL(url).pathname === "/" ? `${url}/v1` : url;
}
