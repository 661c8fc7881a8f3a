/**
 * What weir says when it starts: where it listens, what answers, what to try.
 *
 * @module
 */

import type { App } from "../app.ts";
import type { Config } from "../config/config.ts";
import { tapeModes } from "../config/contradictions.ts";
import { maskUrl } from "../config/describe.ts";
import { isLocked } from "../config/own_keys.ts";
import { isLoopback } from "../lib/host.ts";
import { basicOf } from "../lib/userinfo.ts";
import { asksUpstreams } from "./listen.ts";
import { connectionsMax } from "./process_facts.ts";
import type { Settings } from "./settings.ts";
import { VERSION } from "./version.ts";

/** Letters of the mock's reply that are shown. */
const REPLY_LETTERS_MAX = 60;

/**
 * Where, what answers, what to try; and where workflows are run, when there are any. `pagePort`: the
 * port of the page's own; undefined = it has none.
 */
export function introduction(
  app: App,
  settings: Settings,
  port: number,
  pagePort: number | undefined,
): readonly string[] {
  const { config, workflows, workflowFiles } = settings;
  const { host, unix, tls_cert_file } = config.server;
  const scheme = tls_cert_file === "" ? "http" : "https";
  const url = unix === "" ? `${scheme}://${urlHost(host)}:${port}` : `${scheme}://localhost`;
  const place = unix === "" ? `${url}${url.includes(host) ? "" : ` (${host})`}` : `socket ${unix}`;
  const curl = unix === "" ? "curl -N" : `curl -N --unix-socket ${unix}`;
  const shown = config.auth.token !== "" || config.auth.tokens.length > 0 ? "auth.token" : "key";
  const key = !app.needsToken ? "" : ` -H 'authorization: Bearer <${shown}>'`;
  const ids = workflows.workflows.map(({ id }) => id).join(", ");
  const { basePath, webui } = workflows.controller;
  const base = basePath || "/api";
  return [
    `weir ${VERSION} listens on ${place}`,
    ...answerLines(app, config),
    ...memoryLines(app),
    `try: ${curl} ${url}/v1/chat/completions${key} -H 'content-type: application/json' ` +
    `-d '{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hello"}]}'`,
    ...(workflowFiles.length === 0 ? [] : [
      `workflows: ${ids} of ${workflowFiles.join(", ")}: POST ${url}${base}/workflows/runs`,
    ]),
    ...(webui === null || pagePort === undefined
      ? []
      : [`page: ${scheme}://${urlHost(webui.host)}:${pagePort}/`]),
  ];
}

/** Who answers: one line for `/v1/chat/completions`, and one for each surface that differs. */
function answerLines({ sources, fixtureCount }: App, config: Config): string[] {
  const [main, apiChat, chat] = [sources.main, sources.apiChat, sources.chat].map(sources.urlOf);
  const answeredBy = (path: string, url: string) => `proxy: ${path} is answered by ${maskUrl(url)}`;
  const lines = [
    ...(fixtureCount === 0
      ? []
      : [`fixtures: ${fixtureCount}; what none of them fits is answered as follows`]),
    main === ""
      ? `mock: /v1/chat/completions answers ${JSON.stringify(short(config.mock.reply))}`
      : answeredBy("/v1/chat/completions", main!),
  ];
  if (config.tape.mode !== "off") {
    lines.push(`tapes: ${config.tape.mode}, in ${config.tape.folder}`);
  }
  if (apiChat !== main) {
    lines.push(`${answeredBy("/api/chat", apiChat!)} (a key is set, and no llm.base_url)`);
  }
  if (chat !== main) lines.push(answeredBy("/chat", chat!));
  if (sources.conv !== undefined) {
    lines.push(answeredBy("/conv", config.conv.unofficial_proxy));
  }
  for (const { match, to } of config.routes) {
    lines.push(`route: ${match?.model ?? "every other model"} is answered by ${to.join(", ")}`);
  }
  return lines;
}

/** What is wrong with the memory: whoever only wants the mock is served all the same. */
function memoryLines({ memory }: App): string[] {
  const trouble = memory.health?.()?.trouble ?? "";
  return trouble === "" ? [] : [`memory: /v1/response and /memory/* fail: ${trouble}`];
}

/** `host` as a client on this machine writes it. */
function urlHost(host: string): string {
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return name.includes(":") ? `[${name}]` : name;
}

/** What is right in `config` and yet hardly meant. */
export function oddities(config: Config): readonly string[] {
  const { chat, llm, server, upstreams } = config;
  const isProxy = chat.source !== "mock" && llm.base_url !== "";
  const hasTokens = isLocked(config, "bearer");
  return [
    ...(isProxy && llm.api_key === "" && llm.api_keys.length === 0 &&
        basicOf(llm.base_url) === "" && hasTokens
      ? [
        "llm.api_key is not set, and clients' keys are weir's own (auth.token): " +
        "the upstream gets no key",
      ]
      : []),
    ...(llm.api_key !== "" && upstreams.some(({ name }) => name === "llm")
      ? ["llm.api_key is not used: the upstream named llm has its key in upstreams, or none"]
      : []),
    ...idleTapes(config),
    ...crowd(config),
    // Whoever reaches such an address is on this machine: a proxy, as a rule.
    ...(isLoopback(server.host.toLowerCase()) ? sharedLimit(config) : []),
  ];
}

/** Tapes are exchanges with upstreams: a mock's answers are none. */
function idleTapes(config: Config): readonly string[] {
  const { chat, llm, tape, upstreams } = config;
  const isRecorded = tapeModes(config).some((mode) => mode === "record" || mode === "auto");
  if (!isRecorded || upstreams.length > 0 || llm.base_url !== "") {
    const isMock = tape.mode === "record" && chat.source === "mock" && upstreams.length === 0;
    return isMock ? ["tape.mode: record records nothing while chat.source is mock"] : [];
  }
  return [
    "no tape is recorded, as there is no upstream: set llm.base_url (tape.mode: " +
    `${tape.mode}${tape.mode === "record" ? "" : "; in the routes: record or auto"})`,
  ];
}

/** More clients than there are descriptors for. */
function crowd(config: Config): readonly string[] {
  const most = connectionsMax(asksUpstreams(config));
  if (config.server.connections_max <= most) return [];
  return [
    `server.connections_max is ${config.server.connections_max}, and this process has files for ` +
    `${most} clients: that counts. Raise its limit of files (ulimit -n, LimitNOFILE=)`,
  ];
}

/** Behind a proxy that nobody trusts, a limit for each client is one limit for all of them. */
function sharedLimit({ server }: Config): readonly string[] {
  const { streams_per_client_max, trusted_proxies, unix } = server;
  if (streams_per_client_max === 0 || trusted_proxies.length > 0 || unix !== "") return [];
  return [
    "server.trusted_proxies is empty: all clients of a proxy share one " +
    "server.streams_per_client_max. For a proxy on this machine: [127.0.0.1]",
  ];
}

function short(text: string): string {
  return text.length > REPLY_LETTERS_MAX ? `${text.slice(0, REPLY_LETTERS_MAX)}…` : text;
}
