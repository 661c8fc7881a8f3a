/**
 * Settings that are right one by one and cannot hold together.
 *
 * @module
 */

import { basicOf } from "../lib/userinfo.ts";
import { nearest } from "../lib/nearest.ts";
import { idleNumbers, latencyOf, latencyProblems, PROFILE_FILE } from "./latency.ts";
import { isLocked } from "./own_keys.ts";
import { replays, type TapeMode } from "./tape_rules.ts";
import { quoted, unknown } from "./problems.ts";
import { type Config, type RouteEntry, SETTING_ROWS } from "./schema.ts";

/** How a sentence about a setting, or about the part of it under `inner`, begins. */
export type Label = (path: string, inner: readonly PropertyKey[]) => string;

const TLS_PAIRS = [
  ["tls_cert_file", "tls_key_file"],
  ["tls_key_file", "tls_cert_file"],
] as const;

/** Everything in `config` that cannot hold together. Only what was given can be part of it. */
export function contradictions(config: Config, label: Label): readonly string[] {
  const { auth, chat, llm, server, shared, memory, tape, upstreams } = config;
  const problems: string[] = [];
  const say = (path: string, text: string) => problems.push(`${label(path, [])}: ${text}`);
  const hasLlm = llm.base_url !== "" || upstreams.some(({ name }) => name === "llm");
  if (chat.source === "proxy" && !hasLlm && !replays(tape.mode)) {
    say("chat.source", 'must be auto or mock while llm.base_url is empty: it is "proxy"');
  }
  if (server.unix !== "" && server.workers !== 1) {
    say(
      "server.unix",
      "must be empty while server.workers is not 1: processes can share " +
        "a port, and no socket file. Set server.workers: 1, or let nginx use the port",
    );
  }
  for (const [key, other] of TLS_PAIRS) {
    if (server[key] === "" || server[other] !== "") continue;
    say(`server.${key}`, `must be empty while server.${other} is: the two belong together`);
  }
  if (auth.open && isLocked(config, "bearer")) {
    say("auth.open", "must be false while there is a token: whoever has none is turned away");
  }
  const noFolder = (mode: TapeMode) =>
    `must be off while tape.folder is empty: it is ${JSON.stringify(mode)}`;
  if (tape.folder === "") {
    if (tape.mode !== "off") say("tape.mode", noFolder(tape.mode));
    for (const [index, { tape }] of config.routes.entries()) {
      if (tape === "usual" || tape === "off") continue;
      problems.push(`${label("routes", [index, "tape"])}: ${noFolder(tape)}`);
    }
  }
  if (shared.ca_file !== "" && !shared.url.startsWith("rediss:")) {
    say("shared.ca_file", "must be empty while shared.url is not rediss://…: nothing is encrypted");
  }
  const file = memory.system_prompt_file;
  if (file !== "" && memory.system_prompt !== "") {
    say(
      "memory.system_prompt_file",
      `must be empty while memory.system_prompt is set: it is ${JSON.stringify(file)}`,
    );
  }
  return [
    ...problems,
    ...latencyContradictions(config, label),
    ...doubleCredentials(config, label),
    ...takenNames(config, label),
    ...unknownTargets(config, label),
    ...oddWeights(config, label),
    ...loneHedges(config, label),
    ...idleCaches(config, label),
    ...emptyMatches(config, label),
    ...hiddenRoutes(config, label),
    ...oddParams(config, label),
    ...idleProbes(config, label),
    ...idleWaits(config, label),
    ...unusableKeys(config, label),
    ...unknownFaulty(config, label),
  ];
}

/** The mock's even pace and a drawn one: only one of them can be. */
function latencyContradictions({ mock }: Config, label: Label): readonly string[] {
  const { profile, ...own } = mock.latency;
  const problems: string[] = [];
  const say = (path: string, text: string) => problems.push(`${label(path, [])}: ${text}`);
  if (profile === "plain") {
    for (const [key, value] of Object.entries(own)) {
      if (value === "auto") continue;
      say(
        `mock.latency.${key}`,
        `must be auto while mock.latency.profile is plain: it is ${value}`,
      );
    }
    return problems;
  }
  for (const key of ["first_token_ms", "delay_ms"] as const) {
    const { initial } = SETTING_ROWS.get(`mock.${key}`)!;
    if (mock[key] === initial) continue;
    say(
      `mock.${key}`,
      `has no effect beside mock.latency.profile: ${profile}, which says when tokens leave: leave it ` +
        `out, or ${initial}, its default: it is ${mock[key]}`,
    );
  }
  if (PROFILE_FILE.test(profile)) return problems; // what the file says is not known here
  const merged = latencyOf(mock.latency)!;
  for (const { key, text } of idleNumbers(mock.latency, merged)) say(`mock.latency.${key}`, text);
  for (const { key, text } of latencyProblems(merged)) {
    // The one that was given is to blame.
    const given = mock.latency[key] === "auto" ? key.replace(/_max/, "_min") : key;
    say(`mock.latency.${given}`, `does not fit the profile: ${key} ${text}`);
  }
  return problems;
}

/** What is done with tapes, everywhere. */
export function tapeModes({ tape, routes }: Config): readonly TapeMode[] {
  const own = routes.map(({ tape }) => tape).filter((mode) => mode !== "usual");
  return [tape.mode, ...own];
}

/** A user and a password in a URL are sent as Basic, and a request has room for one credential. */
function doubleCredentials(config: Config, label: Label): readonly string[] {
  const { llm, chat, conv, ops, upstreams } = config;
  const problems: string[] = [];
  const check = (url: string, other: string, path: string, inner: readonly PropertyKey[] = []) => {
    if (other === "" || basicOf(url) === "") return;
    problems.push(
      `${label(path, inner)}: must be without a user and a password while ${other} is set: ` +
        "they are sent as Basic, and only one of the two can be",
    );
  };
  check(llm.base_url, keyOf(llm), "llm.base_url");
  for (const [i, entry] of upstreams.entries()) {
    check(entry.base_url, keyOf(entry), "upstreams", [i, "base_url"]);
  }
  check(chat.api_proxy, chat.api_key && "chat.api_key", "chat.api_proxy");
  check(conv.unofficial_proxy, conv.access_token && "conv.access_token", "conv.unofficial_proxy");
  check(
    ops.otlp_endpoint,
    authorizationIn("ops.otlp_headers", ops.otlp_headers),
    "ops.otlp_endpoint",
  );
  return problems;
}

/** What an upstream is told besides its URL that says who asks; "" = nothing. */
function keyOf(
  { api_key, api_keys, headers }: Pick<Config["llm"], "api_key" | "api_keys" | "headers">,
): string {
  const has = api_key !== "" || api_keys.length > 0;
  return has ? "its api_key" : authorizationIn("its headers", headers);
}

function authorizationIn(what: string, headers: Readonly<Record<string, string>>): string {
  const has = Object.keys(headers).some((name) => name.toLowerCase() === "authorization");
  return has ? `Authorization in ${what}` : "";
}

/** What keys call must be there, and two names must not mean one usage. */
function unusableKeys({ auth, keys, routes }: Config, label: Label): readonly string[] {
  const known = routes.map(({ name }) => name).filter((name) => name !== "");
  const twice = routes.flatMap(({ name }, index) =>
    name !== "" && known.indexOf(name) !== known.lastIndexOf(name)
      ? [`${label("routes", [index, "name"])}: must be a name that no other route has`]
      : []
  );
  const tokens = auth.tokens.map(({ name }) => name);
  return [
    ...twice,
    ...keys.flatMap(({ name, routes: wanted }, index) => [
      ...(tokens.includes(name)
        ? [`${label("keys", [index, "name"])}: must be a name that none of auth.tokens has`]
        : []),
      ...wanted.flatMap((route, at) =>
        known.includes(route) ? [] : [
          `${label("keys", [index, "routes", at])}: ` +
          `${quoted(route)} ${unknown("route", nearest(route, known), known)}`,
        ]
      ),
    ]),
  ];
}

/** The upstreams that have a setting of their own: name → that setting, if it is set. */
function shortForms({ llm, chat, conv }: Config): ReadonlyMap<string, string> {
  const forms = [
    ["llm", "llm.base_url", llm.base_url],
    ["chat", "chat.api_proxy", chat.api_proxy],
    ["conv", "conv.unofficial_proxy", conv.unofficial_proxy],
  ] as const;
  return new Map(forms.filter(([, , url]) => url !== "").map(([name, path]) => [name, path]));
}

function takenNames(config: Config, label: Label): readonly string[] {
  const forms = shortForms(config);
  return config.upstreams.flatMap(({ name }, index) => {
    const place = label("upstreams", [index, "name"]);
    const path = forms.get(name);
    if (path !== undefined) {
      return [`${place}: is given twice: ${path} is the upstream named ${name}`];
    }
    if (name === "conv") {
      return [
        `${place}: must be another name than conv, which is the upstream of ` +
        "conv.unofficial_proxy: it does not speak as the others do",
      ];
    }
    const own = name === "llm" ? ownOfLlm(config) : undefined;
    if (own === undefined) return [];
    return [`${place}: is given twice: ${own} is about the upstream named llm, too`];
  });
}

/** What is needed besides, or what environments have anyway (OPENAI_API_KEY). */
const SHARED_KEYS: ReadonlySet<string> = new Set([
  ...["api_key", "api_key_file", "api_keys", "api_keys_file", "proxy", "ca_file"],
]);

/** A setting under `llm` that says something about its upstream alone; undefined = there is none. */
function ownOfLlm({ llm }: Config): string | undefined {
  const keys = Object.keys(llm) as (keyof Config["llm"])[];
  const own = keys.filter((key) => !SHARED_KEYS.has(key))
    .find((key) => !Bun.deepEquals(llm[key], SETTING_ROWS.get(`llm.${key}`)!.initial));
  return own === undefined ? undefined : `llm.${own}`;
}

/** What answers /conv does not speak as the others do, so no route leads there. */
function unknownTargets(config: Config, label: Label): readonly string[] {
  const known = sourcesOf(config).filter((name) => name !== "conv");
  return config.routes.flatMap(({ to }, index) =>
    to.flatMap((name, at) => {
      if (known.includes(name)) return [];
      const place = label("routes", [index, "to", at]);
      return [`${place}: ${quoted(name)} ${unknown("upstream", nearest(name, known), known)}`];
    })
  );
}

/** Each target of a route has a weight, or none has. */
function oddWeights({ routes }: Config, label: Label): readonly string[] {
  return routes.flatMap(({ to, weights }, index) => {
    if (weights === undefined || to.toSorted().join() === Object.keys(weights).toSorted().join()) {
      return [];
    }
    return [
      `${label("routes", [index, "weights"])}: must have a number for each of ${to.join(", ")}`,
    ];
  });
}

/** What a probe learns, a breaker acts on, which those have that routes lead to. */
function idleProbes({ llm, upstreams, routes }: Config, label: Label): readonly string[] {
  const problemOf = (name: string, { probe_ms, breaker_share }: Config["llm"]) => {
    if (probe_ms === 0) return undefined;
    if (breaker_share === 0) {
      return "must be 0 while breaker_share is: nobody would act on what it learns";
    }
    return routes.some(({ to }) => to.includes(name))
      ? undefined
      : `must be 0 while no route leads to ${name}: nobody would act on what it learns`;
  };
  const ofLlm = problemOf("llm", llm);
  return [
    ...(ofLlm === undefined ? [] : [`${label("llm.probe_ms", [])}: ${ofLlm}`]),
    ...upstreams.flatMap((entry, index) => {
      const problem = problemOf(entry.name, entry);
      return problem === undefined
        ? []
        : [`${label("upstreams", [index, "probe_ms"])}: ${problem}`];
    }),
  ];
}

/** Nobody waits where any number may be answered at once. */
function idleWaits({ llm, upstreams }: Config, label: Label): readonly string[] {
  const idle = (entry: Config["llm"]) =>
    entry.concurrency_max > 0
      ? []
      : (["waiting_max", "waiting_timeout_ms"] as const).filter((key) =>
        entry[key] !== SETTING_ROWS.get(`llm.${key}`)!.initial
      );
  const must = "has no effect while concurrency_max is 0: nobody waits then";
  return [
    ...idle(llm).map((key) => `${label(`llm.${key}`, [])}: ${must}`),
    ...upstreams.flatMap((entry, index) =>
      idle(entry).map((key) => `${label("upstreams", [index, key])}: ${must}`)
    ),
  ];
}

/** A second one is asked where there is one. */
function loneHedges({ routes }: Config, label: Label): readonly string[] {
  return routes.flatMap(({ to, hedge_ms }, index) =>
    hedge_ms === undefined || to.length > 1
      ? []
      : [`${label("routes", [index, "hedge_ms"])}: must be left out where to has one name`]
  );
}

/** What the mock says is made once anyway, and kept in no cache. */
function idleCaches({ routes }: Config, label: Label): readonly string[] {
  return routes.flatMap(({ to, cache }, index) =>
    cache === undefined || to.some((name) => name !== "mock")
      ? []
      : [`${label("routes", [index, "cache"])}: must be left out where to names the mock alone`]
  );
}

/** What no request can be. */
function emptyMatches({ routes }: Config, label: Label): readonly string[] {
  return routes.flatMap(({ match }, index) => {
    const { body_min_bytes: least = 0, body_max_bytes: most = Infinity, path, header = {} } = match;
    const say = (key: string, text: string) => `${label("routes", [index, "match", key])}: ${text}`;
    return [
      ...(least > most
        ? [
          say("body_min_bytes", `must be at most body_max_bytes, which is ${most}: it is ${least}`),
        ]
        : []),
      ...(path !== undefined && !/^[/*]/.test(path)
        ? [say("path", `must begin with / or *, such as /v1/embeddings: it is ${quoted(path)}`)]
        : []),
      ...Object.keys(header).filter((name) => !FIELD_NAME.test(name)).map((name) =>
        say("header", `${quoted(name)} is no name of a header`)
      ),
    ];
  });
}

/** A token of RFC 9110, 5.6.2. */
const FIELD_NAME = /^[\w!#$%&'*+.^`|~-]+$/;

/** A route that all its requests pass by would never be taken. */
function hiddenRoutes({ routes }: Config, label: Label): readonly string[] {
  const isOfAll = ({ match: { model: _, ...rest } }: RouteEntry) =>
    Object.values(rest).every((value) => value === undefined);
  return routes.flatMap(({ match: { model } }, index) => {
    const hiding = routes.slice(0, index).findIndex((before) =>
      isOfAll(before) && (before.match.model === "*" || before.match.model === model)
    );
    if (hiding < 0) return [];
    return [
      `${
        label("routes", [index])
      }: is never taken, as routes.${hiding} takes all that it is for: ` +
      "put it before that one, or leave it out",
    ];
  });
}

/** A parameter is set, removed or bounded, and its bounds leave something between them. */
function oddParams({ routes }: Config, label: Label): readonly string[] {
  return routes.flatMap((route, index) => {
    const { params_set = {}, params_remove = [], params_max = {}, params_min = {} } = route;
    const say = (section: string, key: PropertyKey, text: string) =>
      `${label("routes", [index, section, key])}: ${text}`;
    return [
      ...params_remove.flatMap((name, at) =>
        Object.hasOwn(params_set, name)
          ? [say("params_remove", at, `must be left out while params_set has ${quoted(name)}`)]
          : []
      ),
      ...([["params_max", params_max], ["params_min", params_min]] as const).flatMap(
        ([section, bounds]) =>
          Object.keys(bounds).flatMap((name) => {
            const other = Object.hasOwn(params_set, name)
              ? "params_set"
              : params_remove.includes(name)
              ? "params_remove"
              : undefined;
            return other === undefined ? [] : [
              say(
                section,
                name,
                `must be left out while ${other} has it: nothing is left to bound`,
              ),
            ];
          }),
      ),
      ...Object.entries(params_min).flatMap(([name, least]) => {
        const most = params_max[name] ?? Infinity;
        if (least <= most) return [];
        return [
          say("params_min", name, `must be at most params_max, which is ${most}: it is ${least}`),
        ];
      }),
    ];
  });
}

/** The names of what may answer. */
function sourcesOf(config: Config): readonly string[] {
  const names = [...config.upstreams.map(({ name }) => name), ...shortForms(config).keys(), "mock"];
  if (tapeModes(config).some(replays)) names.push("llm");
  return [...new Set(names)];
}

/** A fault in front of a source that there is not would never happen. */
function unknownFaulty(config: Config, label: Label): readonly string[] {
  const known = sourcesOf(config);
  return config.faults.rules.flatMap(({ match: { source } }, index) => {
    if (source === undefined || known.includes(source)) return [];
    const place = label("faults.rules", [index, "match", "source"]);
    return [`${place}: ${quoted(source)} ${unknown("upstream", nearest(source, known), known)}`];
  });
}
