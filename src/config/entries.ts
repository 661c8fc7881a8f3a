/**
 * Settings that come as lists of entries, and what they share with sections.
 *
 * @module
 */

import { z } from "zod";
import { headersUp } from "./door_rules.ts";
import { ABOUT, type Unit } from "./shape.ts";
import {
  bytes,
  credential,
  credentials,
  entries,
  entryNameRule,
  faultTextRule,
  flag,
  globRule,
  globsRule,
  headerFields,
  httpUrl,
  kind,
  line,
  momentRule,
  namesRule,
  numberRule,
  oneOf,
  paramNamesRule,
  paramsRule,
  pathGlobs,
  patternRule,
  renameRule,
  required,
  scalarRule,
  share,
  someOf,
  targetRule,
  timeout,
  TIMEOUT_MS_MAX,
  TOKEN_NAME,
  upstreamUrl,
  upstreamUrlRule,
  weightsRule,
  whole,
} from "./rules.ts";

import { jsonPaths, TAPE_MODES } from "./tape_rules.ts";

/** 1 GiB, as the largest of server.body_max_bytes. */
const BODY_BYTES_MAX = 1_073_741_824;
/** Back-off doubles: more retries than these outlast every client. */
const RETRIES_MAX = 10;
/** More requests than these at once no weir has open; and an hour is no while. */
const CONCURRENCY_MAX = 1_000_000;
const BREAKER_MIN_MAX = 1_000_000;
const BREAKER_MS_MAX = 3_600_000;
/** 256 MiB: an event is parsed as one string. */
const EVENT_BYTES_MAX = 268_435_456;
/** 1 TiB: a stream is not held. */
const ANSWER_BYTES_MAX = 1_099_511_627_776;
/** More units than this are no limit. */
const LIMITED_MAX = 1_000_000_000;
/** Entries are compared with each request: limits against accidents only. */
const TOKENS_MAX = 100;
const UPSTREAMS_MAX = 100;
const ROUTES_MAX = 1000;
const LIMITS_MAX = 100;
/** They are looked up: a limit against accidents only. */
const KEYS_MAX = 1000;
/** Whole numbers end there; and nobody has so much. */
const BUDGET_TOKENS_MAX = Number.MAX_SAFE_INTEGER;
const BUDGET_USD_MAX = 1_000_000;
const MUST_USD = `an amount from 0 to ${BUDGET_USD_MAX}`;
const FAULTS_MAX = 100;
const PRICES_MAX = 1000;

const MUST_PROBE = "a path on one line that begins with a slash, such as /models";

/** What is said about an upstream, be it `llm` or an entry of `upstreams`. */
export const UPSTREAM = {
  base_url: upstreamUrl(
    "the upstream, e.g. https://api.openai.com/v1; a query (?api-version=…) goes up each time; empty = none",
  ),
  api_key: credential("its key; empty = the client's own is passed on, while auth.token is empty"),
  api_key_file: line("file that holds the key instead; empty = none"),
  api_keys: credentials(
    "further keys, used in turn with it; one that is limited or refused rests (429, 401, 403)",
  ),
  api_keys_file: line("file that holds these instead, one a line; empty = none"),
  model_id: line("the model when a request names none"),
  api_key_header: oneOf(["auto", "authorization", "x-api-key", "api-key"], "auto")(
    "auto | authorization | x-api-key | api-key: where the key goes; api-key is Azure's",
  ),
  connect_timeout_ms: timeout(10_000)(
    "longest wait for a connection, TLS with it; behind llm.proxy, headers_timeout_ms is all",
  ),
  headers_timeout_ms: timeout(300_000)("longest wait for its response headers"),
  first_token_timeout_ms: timeout(300_000)("longest wait for its first chunk"),
  idle_timeout_ms: timeout(300_000)("longest silence between two chunks"),
  whole_timeout_ms: whole(0, TIMEOUT_MS_MAX, 0, "ms")(
    "longest time for a whole answer, from its request on; 0 = as long as it takes",
  ),
  event_max_bytes: bytes(1024, EVENT_BYTES_MAX, 16_777_216)(
    "longest event that is read and said in another dialect, and longest answer without events",
  ),
  answer_max_bytes: bytes(1024, ANSWER_BYTES_MAX, 134_217_728)(
    "longest answer that is read so, its compression undone; where bytes are passed on, no limit",
  ),
  retries: whole(0, RETRIES_MAX, 2)("before the first byte only"),
  concurrency_max: whole(0, CONCURRENCY_MAX, 0)(
    "answers that it gives at once, of each process; the others wait; 0 = any number",
  ),
  waiting_max: whole(0, CONCURRENCY_MAX, 100)("requests that may wait for that; more are refused"),
  waiting_timeout_ms: timeout(10_000)("for how long each may"),
  breaker_share: share(0.5)(
    "where a route leads to it: it is left alone once such a share of requests fails; 0 = never",
  ),
  breaker_min: whole(1, BREAKER_MIN_MAX, 20)("of so many requests at least"),
  breaker_window_ms: whole(100, BREAKER_MS_MAX, 10_000, "ms")("within so long"),
  breaker_open_ms: whole(100, BREAKER_MS_MAX, 5_000, "ms")(
    "how long it is left alone, before one request at a time tries it",
  ),
  probe_ms: whole(0, BREAKER_MS_MAX, 0, "ms")(
    "how often its breaker asks whether it is there; 0 = it learns from clients' requests alone",
  ),
  probe_path: kind(
    z.string(MUST_PROBE).regex(/^\/[!-~]*$/, MUST_PROBE),
    "/models",
  )("what it is asked for then, below base_url"),
  resend: oneOf(["auto", "never"], "auto")(
    "auto | never: whether a kept connection that closes at once, unanswered, is tried anew",
  ),
  stream_options: oneOf(["auto", "never"], "auto")(
    "auto | never: asks for the usage of streams, until the upstream refuses that (400, 422)",
  ),
  headers: headerFields("added to every upstream request, e.g. {X-Team: blue}"),
  headers_up: headersUp("the only client headers that go up; empty = all but private ones"),
  proxy: httpUrl("http:// or https:// proxy on the way to it; empty = none"),
  ca_file: line("PEM file with extra certificate authorities to trust"),
  speaks: someOf(["openai_chat", "openai_responses", "anthropic_messages"])(
    "the dialects it understands; empty = it is asked and found out",
  ),
  rename: kind(renameRule(), {})("what it calls models, e.g. {gpt-4o*: llama3}; none = the same"),
  paths: pathGlobs(
    "which other paths of /v1 go to it, e.g. [/embeddings, /files*]; empty = all but /organization/*",
  ),
};

const upstream = z.strictObject({
  name: required(entryNameRule("upstream", "mock"))("what routes and logs call it; mock is taken"),
  ...UPSTREAM,
  base_url: required(upstreamUrlRule(false), "url")("where it is, e.g. https://api.openai.com/v1"),
}, "an entry with a name and a base_url").refine(
  ({ api_key, api_key_file }) => api_key === "" || api_key_file === "",
  { path: ["api_key_file"], message: "empty while api_key is set" },
).refine(
  ({ api_keys, api_keys_file }) => api_keys.length === 0 || api_keys_file === "",
  { path: ["api_keys_file"], message: "empty while api_keys is set" },
);

/** Upstreams beside `llm`. */
export const UPSTREAMS = entries(
  upstream,
  UPSTREAMS_MAX,
  "{name: local, base_url: http://127.0.0.1:8000/v1}",
  { noun: "upstream" },
)("further upstreams, each by its name; llm is the one of that name");

const limit = z.strictObject({
  model: globSetting("the models that it is about, where * is any text"),
  key: globSetting(
    "the clients: names of auth.tokens, else the keys that they show; * is any text",
  ),
  per: oneOf(["key_and_model", "key", "model", "all"], "key_and_model")(
    "key_and_model | key | model | all: what has buckets of its own",
  ),
  requests_per_min: limitSetting("requests a minute"),
  requests_per_day: limitSetting("requests a day"),
  tokens_per_min: limitSetting("tokens a minute, of questions and answers"),
  tokens_per_day: limitSetting("tokens a day"),
  concurrent_max: limitSetting("requests at once"),
  state: oneOf(["ok", "quota", "overloaded", "slow_down"], "ok")(
    "ok | quota | overloaded | slow_down: what all requests are told, whatever the limits",
  ),
}, "an entry like {model: gpt-4o*, requests_per_min: 60}");

function globSetting(meaning: string) {
  return kind(globRule(), "*")(meaning);
}

function limitSetting(meaning: string) {
  return whole(0, LIMITED_MAX, 0)(`${meaning}; 0 = no limit`);
}

/** The limits that the mock plays. */
export const LIMITS = entries(
  limit,
  LIMITS_MAX,
  "{model: gpt-4o*, requests_per_min: 60, tokens_per_min: 30000}",
)("a provider's rate limits, which the mock keeps: the first entry that fits a request; none = none");

const mustMatch = "a mapping like {model: gpt-4o*}, with model, path, key, header and source";

/** A key that an entry may have. */
function told<Value>(schema: z.ZodType<Value>, meaning: string, unit?: Unit) {
  const optional = schema.optional();
  ABOUT.add(optional, { meaning, ...(unit === undefined ? {} : { unit }) });
  return optional;
}

const pattern = globRule("pattern");
const faultMatch = z.strictObject({
  model: told(pattern, "the model's name"),
  path: told(pattern, "the path, without its query"),
  key: told(
    pattern,
    "the name of the token that opened the door, else the key that the client shows",
  ),
  header: told(
    z.record(z.string(), pattern, "a mapping of headers to patterns"),
    "headers that must be there, and what they say",
  ),
  source: told(
    patternRule("the name of an upstream, or mock"),
    "who would answer, fixtures aside",
  ),
}, mustMatch);

const MUST_BYTES = `a whole number of bytes from 0 to ${BODY_BYTES_MAX}`;
const bodyBytesRule = () => z.int(MUST_BYTES).min(0, MUST_BYTES).max(BODY_BYTES_MAX, MUST_BYTES);
const yes = () => z.literal(true, "true, or left out");
const MUST_HEDGE = `a whole number of milliseconds from 1 to ${TIMEOUT_MS_MAX}`;
const routeMatch = z.strictObject({
  model: globSetting("the model's name"),
  path: told(pattern, "the path, without its query"),
  key: told(pattern, "the name of the key that was shown"),
  header: told(
    z.record(z.string(), pattern, "a mapping of headers to patterns"),
    "headers that must be there, and what they say",
  ),
  body_min_bytes: told(bodyBytesRule(), "the least size of its body", "bytes"),
  body_max_bytes: told(bodyBytesRule(), "the largest size of its body", "bytes"),
  tools: told(yes(), "true: it has tools"),
  vision: told(yes(), "true: it shows images"),
}, "a mapping like {model: gpt-4o*}");

/** A day: who wants to keep answers for longer wants a tape. */
const TTL_S_MAX = 86_400;
const EVENTS_PER_S_MAX = 100_000;
const MUST_PACE = `at_once, recorded, or events a second from 1 to ${EVENTS_PER_S_MAX}`;

const routeCache = z.strictObject({
  ttl_s: whole(1, TTL_S_MAX, 300, "s")("how long an answer is given again"),
  scope: oneOf(["key", "all"], "key")(
    "key | all: whose answers those of a key may be, its own or anybody's",
  ),
  pace: kind<"at_once" | "recorded" | number>(
    z.union([
      z.enum(["at_once", "recorded"]),
      z.number().min(1).max(EVENTS_PER_S_MAX),
    ], MUST_PACE),
    "at_once",
  )("how fast streams are given again: at_once · recorded = as they came · so many events a second"),
  headers: headersUp("headers that change the answer, besides the usual ones, e.g. [x-team]"),
  volatile: jsonPaths("fields of the body that do not, besides the usual ones, e.g. [trace_id]"),
}, "a mapping like {ttl_s: 300}");

const route = z.strictObject({
  name: kind(
    z.union(
      [z.literal(""), entryNameRule("route")],
      "a name of up to 64 letters, digits, _ . and -",
    ),
    "",
  )("what keys call it; empty = it has no name"),
  match: required<z.infer<typeof routeMatch>>(routeMatch.prefault({}))(
    "which requests: those of this model, path, key, header, size and kind; none = all",
  ),
  to: required(targetRule())(
    "who answers them: the names of upstreams, or mock; each where those before it fail",
  ),
  weights: told(
    weightsRule(),
    "the part of each, e.g. {openai: 3, local: 1}: the least busy is asked first; none = as in to",
  ),
  hedge_ms: told(
    z.int(MUST_HEDGE).min(1, MUST_HEDGE).max(TIMEOUT_MS_MAX, MUST_HEDGE),
    "after such a silence the second one is asked, too, and whoever speaks first answers",
    "ms",
  ),
  rename: told(renameRule(), "other names for models, e.g. {gpt-4o*: llama3}; none = as they are"),
  params_set: told(
    paramsRule(scalarRule(), "{temperature: 0.2}"),
    "parameters that each request gets, whatever it says, e.g. {temperature: 0.2}",
  ),
  params_remove: told(paramNamesRule(), "parameters that are taken away, e.g. [logit_bias]"),
  params_max: told(
    paramsRule(numberRule(), "{max_tokens: 4096}"),
    "the largest numbers that parameters may have, e.g. {max_tokens: 4096}",
  ),
  params_min: told(paramsRule(numberRule(), "{n: 1}"), "and the smallest"),
  cache: told(routeCache, "answers are kept and given again, e.g. {ttl_s: 300}; none = none is"),
  tape: oneOf(["usual", ...TAPE_MODES], "usual")("what is done with tapes; usual = tape.mode"),
  usage: oneOf(["ask", "count", "off"], "count")(
    "what answers cost: ask = the upstream is made to tell it · count = as it tells, else as weir counts · off",
  ),
}, "an entry with match and to");

/** Who answers which request. */
export const ROUTES = entries(route, ROUTES_MAX, "{match: {model: gpt-4o*}, to: [local]}")(
  "who answers: the first that matches; without any, chat.source decides",
);

const faultRule = z.strictObject({
  match: required<z.infer<typeof faultMatch>>(faultMatch.prefault({}))(
    "which requests: those of this model, path, key, header and source; none = all",
  ),
  rate: share(1)("what share of them, 0 to 1"),
  fault: required(faultTextRule())("what happens, as `weir faults` lists it, e.g. cut@event=3"),
}, "an entry with match and fault");

/** What goes wrong on purpose. */
export const FAULT_RULES = entries(
  faultRule,
  FAULTS_MAX,
  "{match: {model: gpt-4o*}, rate: 0.1, fault: cut@event=3}",
)("what goes wrong on purpose, in front of the mock and of upstreams alike");

/** What a key is limited by, in the order in which it is told. */
export const KEY_RULES = {
  models: kind(globsRule("pattern of model names", "[gpt-4o*]"), [])(
    "the models that it may ask, where * is any text; empty = all",
  ),
  routes: kind(namesRule(), [])("the names of the routes that it may take; empty = all"),
  requests_per_min: limitSetting("requests a minute"),
  requests_per_day: limitSetting("requests a day"),
  tokens_per_min: limitSetting("tokens a minute, of questions and answers"),
  tokens_per_day: limitSetting("tokens a day"),
  concurrent_max: limitSetting("requests at once"),
  budget_per: oneOf(["day", "month"], "month")("day | month: for how long the budget is (UTC)"),
  budget_tokens: whole(0, BUDGET_TOKENS_MAX, 0)("tokens of its budget; 0 = no limit"),
  budget_usd: kind(
    z.number(MUST_USD).min(0, MUST_USD).max(BUDGET_USD_MAX, MUST_USD),
    0,
  )("US dollars of its budget; 0 = no limit"),
  admin: flag(false)("true: it reaches /__weir/… and /metrics, too"),
};

const MUST_PRICE = "US dollars for a million tokens, from 0 to 100000";
const PRICE_MAX = 100_000;
const MUST_CACHED = `-1, or ${MUST_PRICE}`;

function cachedPrice(description: string) {
  return kind(
    z.union([z.literal(-1), z.number().min(0).max(PRICE_MAX)], MUST_CACHED),
    -1,
  )(description);
}

function tokenPrice(description: string) {
  return required(z.number(MUST_PRICE).min(0, MUST_PRICE).max(PRICE_MAX, MUST_PRICE))(description);
}

const price = z.strictObject({
  model: required(globRule("name of a model"))("the models that cost so much, where * is any text"),
  input: tokenPrice("US dollars for a million tokens of the question"),
  output: tokenPrice("US dollars for a million tokens of the answer"),
  cached: cachedPrice("of the question what came out of a cache; -1 = as input"),
  cache_write: cachedPrice("of the question what was put into a cache; -1 = as input"),
}, "an entry with model, input and output");

/** What models cost, where that is not what their makers have published. */
export const PRICES = entries(price, PRICES_MAX, "{model: my-*, input: 0.5, output: 1.5}")(
  "what models cost in place of what is published; the first that fits",
);

const mustText = "an entry with a name and one of token, token_file and token_sha256";
const MUST_DIGEST = "64 hexadecimal digits, or empty";
const key = z.strictObject({
  name: required(entryNameRule("key", TOKEN_NAME, "that of auth.token"))(
    "what logs, usage and limits call it",
  ),
  token: credential("the key itself; empty = the text of token_file"),
  token_file: line("file that holds it; empty = none"),
  token_sha256: kind(z.string(MUST_DIGEST).regex(/^(?:[\da-fA-F]{64})?$/, MUST_DIGEST), "", {
    shows: "secret",
  })(
    "its SHA-256, where the config shall not hold it; empty = none",
  ),
  expires: kind(momentRule(), "")("the moment it ends: 2027-01-31, or with a time; empty = never"),
  ...KEY_RULES,
}, mustText).refine(
  ({ token, token_file, token_sha256 }) =>
    [token, token_file, token_sha256].filter((text) => text !== "").length === 1,
  mustText,
);

/** Who may ask, for what, and how much. */
export const KEYS = entries(key, KEYS_MAX, "{name: ci, token: …, models: [gpt-4o*]}", {
  noun: "key",
  shows: "secret",
})("who may ask, for what, and how much; auth.token(s) are admin keys without limits");

const mustOne = "an entry with a name and either token or token_file";
const token = z.strictObject({
  name: required(entryNameRule("token"))("what logs call it"),
  token: credential("the token itself; empty = the text of token_file"),
  token_file: line("file that holds it; empty = none"),
}, mustOne).refine(({ token, token_file }) => (token === "") !== (token_file === ""), mustOne);

/** Bearer tokens with names. */
export const TOKENS = entries(token, TOKENS_MAX, "{name: blue, token: …}", {
  noun: "token",
  shows: "secret",
})("further tokens, e.g. [{name: blue, token: …}, {name: ci, token_file: …}]");
