/**
 * Every setting there is, as one tree in the order of `config.yaml`: its rule, default and meaning.
 * A new setting is one entry here, and `bun run config`; environment names, flags, messages, masks,
 * the type `Config`, `config.yaml` and its JSON Schema all follow from this tree.
 *
 * Units are in the names: `_ms` milliseconds, `_bytes` bytes.
 *
 * @module
 */

import { z } from "zod";
import {
  bytes,
  credential,
  fileMode,
  filePlaces,
  flag,
  headerFields,
  host,
  hostOrHttpUrl,
  httpUrl,
  keyPrefix,
  latencyNumber,
  latencyProfile,
  line,
  memoryUrl,
  milliseconds,
  moderationWords,
  names,
  networks,
  oneOf,
  reply,
  type Setting,
  share,
  sharedUrl,
  signingKey,
  storeUrl,
  text,
  timeout,
  TIMEOUT_MS_MAX,
  whole,
  workers,
} from "./rules.ts";
import { hostNames, pageOrigins } from "./door_rules.ts";
import { LATENCY_LOADS, LATENCY_NUMBERS, type LatencyKey } from "./latency.ts";
import {
  FAULT_RULES,
  KEYS,
  LIMITS,
  PRICES,
  ROUTES,
  TOKENS,
  UPSTREAM,
  UPSTREAMS,
} from "./entries.ts";
import { jsonPaths, patterns, speed, TAPE_MODES } from "./tape_rules.ts";

/** An hour: longer than any client waits for an answer. */
const WAIT_MS_MAX = 3_600_000;
/** 1 GiB: a body is parsed as one string, and those end at 2 GiB. */
const BODY_BYTES_MAX = 1_073_741_824;
/** 1 TiB: more than the memory of a machine. */
const BODIES_BYTES_MAX = 1_099_511_627_776;
/** 1 MiB: counting tokens holds up the event loop, and 16 times the default already takes long. */
const COUNT_BYTES_MAX = 1_048_576;
const KEPT_MAX = 10_000_000;
/** Each token is an event: a stream of 64 Ki of them is as long as an answer of the mock may be. */
const LOREM_TOKENS_MAX = 65_536;
/** 32 bits. */
const SEED_MAX = 4_294_967_295;
const JOURNAL_MAX = 1_000_000;
const KEPT_BYTES_MAX = 64 * 1024 ** 3;
/** 64 MiB: it is looked at as a whole. */
const ANSWER_BYTES_MAX = 67_108_864;
/** A century; of sums two months at least, since budgets are of a month. */
const STORE_DAYS_MAX = 36_500;
const USAGE_SUMS_DAYS_MIN = 62;
const STORE_BYTES_MAX = 16 * 1024 ** 4;
/** More turns than the context of any model holds. */
const HISTORY_TURNS_MAX = 1000;
/** What Bun takes as the head of a request, in bytes: a longer URL never gets as far as weir. */
const URL_BYTES_MAX = 16_384;
/** More responses at once than one process has files for. */
const STREAMS_MAX = 1_000_000;
/** Bun's longest silence on a connection. */
const IDLE_MS_MAX = 255_000;
/** More tokens than the context of any model holds. */
const HISTORY_TOKENS_MAX = 10_000_000;
/** A file of 1 MiB holds some hundred turns; one of 1 TiB is more than a memory server gets back. */
const OUTBOX_BYTES_MIN = 1_048_576;
const OUTBOX_BYTES_MAX = 1_099_511_627_776;
/** 64 MiB: an answer of memory is made in one piece. */
const PAGE_BYTES_MAX = 67_108_864;
/** 256 MiB: a tape is looked through as a whole before it is written. */
const TAPE_BYTES_MAX = 268_435_456;
/** A hundred years. */
const KEEP_DAYS_MAX = 36_500;
const PORT_MAX = 65_535;
/** More tries than these are no budget. */
const TRIES_MAX = 1_000_000;

/** The numbers of a latency profile, each as one's own or as the profile has it. */
const latencyNumbers = Object.fromEntries(
  Object.keys(LATENCY_NUMBERS).map((key) => [key, latencyNumber(key as LatencyKey)]),
) as Record<LatencyKey, Setting<number | "auto">>;

/** The one tree. */
export const TREE = z.strictObject({
  server: z.strictObject({
    host: host("127.0.0.1")("address to listen on; 0.0.0.0 = every one"),
    port: whole(0, PORT_MAX, 8080)("port to listen on; 0 = any free one"),
    workers: workers(1)("processes sharing the port; auto = one per core"),
    unix: line("path of a socket to listen on instead of the port, for nginx; empty = the port"),
    unix_mode: fileMode("660")("who may connect to that socket, as chmod writes it"),
    tls_cert_file: line(
      "PEM file with the certificate and its chain, read again on reload; empty = no TLS",
    ),
    tls_key_file: line("PEM file with its key"),
    hosts: hostNames(
      "names by which browsers may reach weir while there is no auth.token, e.g. [weir.example.com]",
    ),
    origins: pageOrigins(
      "pages elsewhere that may ask while there is no auth.token, e.g. [https://app.example.com]",
    ),
    trusted_proxies: networks(
      "whose X-Forwarded-For is believed, e.g. [127.0.0.1, 10.0.0.0/8]; server.unix is anyway",
    ),
    url_max_bytes: bytes(64, URL_BYTES_MAX, 8192)("longer URLs are refused (414)"),
    body_max_bytes: bytes(1, BODY_BYTES_MAX, 33_554_432)("larger request bodies are refused (413)"),
    body_timeout_ms: timeout(30_000)("a body that is not there by then is refused (408)"),
    head_timeout_ms: timeout(30_000)("a request whose head is not there by then is refused (408)"),
    write_timeout_ms: timeout(60_000)(
      "a client that takes nothing of its answer for this long is cut off",
    ),
    unread_max_bytes: bytes(1, BODIES_BYTES_MAX, 268_435_456)(
      "what clients have not taken of answers, over 64 KiB each; above it the slowest are cut off",
    ),
    idle_timeout_ms: whole(1000, IDLE_MS_MAX, IDLE_MS_MAX, "ms")(
      "a connection without a request is closed; more than nginx's keepalive_timeout",
    ),
    connections_max: whole(0, STREAMS_MAX, 0)(
      "client connections of a process; more are closed at once; 0 = as many as it has files for",
    ),
    streams_max: whole(1, STREAMS_MAX, 32_768)("open streams of a process; more are refused (503)"),
    streams_per_client_max: whole(0, STREAMS_MAX, 0)(
      "open requests of one client address; more are refused (429); 0 = no limit",
    ),
    requests_waiting_max: whole(1, STREAMS_MAX, 8192)(
      "requests of a process that have no stream yet; more are refused (503)",
    ),
    bodies_max_bytes: bytes(1, BODIES_BYTES_MAX, 268_435_456)(
      "what is here of all bodies over 64 KiB that are not whole yet; more is refused (503)",
    ),
    drain_ms: milliseconds(WAIT_MS_MAX, 30_000)("how long SIGTERM waits for open streams"),
    retire_ms: milliseconds(TIMEOUT_MS_MAX, 3_600_000)(
      "how long a worker that a reload has replaced may finish its streams",
    ),
    keepalive_ms: milliseconds(WAIT_MS_MAX, 15_000)(
      "an SSE comment into a stream that has been silent this long; 0 = off",
    ),
    main: whole(0, PORT_MAX, 0)(
      "a memory server on this local port, same as memory.url: http://127.0.0.1:PORT; 0 = none",
    ),
  }),
  auth: z.strictObject({
    token: credential("bearer token for /v1/*, /memory/*, /api/*; empty = open"),
    token_file: line("file that holds the token instead; empty = none"),
    tokens: TOKENS,
    open: flag(false)(
      "true: whoever reaches weir may spend its upstreams' keys, although there is no token",
    ),
    secret_key: signingKey("signs and checks the tokens of /token, /chat, /conv"),
  }),
  keys: KEYS,
  store: z.strictObject({
    url: storeUrl("")(
      "keys, usage, objects: sqlite://FILE or postgres://…; empty = memory.url, or weir-store.db beside a server",
    ),
    keys: oneOf(["auto", "on", "off"], "auto")(
      "auto: keys of `weir key` open a door that has a lock · on: they are the lock · off: they do not",
    ),
    usage: oneOf(["auto", "on", "off"], "auto")(
      "what answers cost is kept: auto of those to keys, and to tokens unless the mock is all there is · on: " +
        "of all · off: to keys that have a budget",
    ),
    usage_days: whole(1, STORE_DAYS_MAX, 90, "days")(
      "days that single rows of usage stay in the store",
    ),
    usage_sums_days: whole(USAGE_SUMS_DAYS_MIN, STORE_DAYS_MAX, 800, "days")(
      "days of which the sums stay that `weir usage` adds up",
    ),
    objects: flag(false)(
      "true: responses, conversations and stored completions are kept in the store · false: in each process",
    ),
    objects_days: whole(1, STORE_DAYS_MAX, 30, "days")("days that they stay there"),
    objects_max_bytes: bytes(1_048_576, STORE_BYTES_MAX, 1_073_741_824)(
      "what they may take there together; the oldest go first",
    ),
  }),
  shared: z.strictObject({
    url: sharedUrl(
      "limits of keys, breakers and cache of several weirs: redis://… or rediss://…; empty = each its own",
    ),
    prefix: keyPrefix("weir:")("how its keys begin there: weirs with the same one share"),
    ca_file: line("PEM file with extra certificate authorities to trust, for rediss://"),
    timeout_ms: timeout(500)(
      "longest wait for its answer; then it is away, and limits hold per node",
    ),
  }),
  prices: PRICES,
  llm: z.strictObject(UPSTREAM),
  upstreams: UPSTREAMS,
  routes: ROUTES,
  cache: z.strictObject({
    answers_max: whole(1, KEPT_MAX, 10_000)(
      "answers that a process keeps for routes with a cache; the least recently used go first",
    ),
    answers_max_bytes: bytes(0, KEPT_BYTES_MAX, 67_108_864)(
      "memory that they may take together, and those that are on their way",
    ),
    answer_max_bytes: bytes(0, ANSWER_BYTES_MAX, 1_048_576)("longer answers are not kept"),
  }),
  retry_budget: z.strictObject({
    share: share(0.2)(
      "tries that a request brings, for all upstreams: 0.2 = one for five requests",
    ),
    per_second: whole(0, TRIES_MAX, 10)("tries that come besides in each second"),
    saved_max: whole(0, TRIES_MAX, 100)("tries that are saved up; 0 = nothing is asked twice"),
  }),
  tape: z.strictObject({
    folder: line("folder of tapes: exchanges with upstreams, one file each; empty = none"),
    mode: oneOf(TAPE_MODES, "off")(
      "off | record | replay: what is there · auto: and record the rest · strict: and refuse the rest",
    ),
    match: oneOf(["request", "order"], "request")(
      "request: the tape of an equal request · order: one after the other, as they were recorded",
    ),
    volatile: jsonPaths(
      "fields of JSON bodies that make no request another one, e.g. [user, metadata.*]",
    ),
    speed: speed("how fast tapes are replayed: 1 as it was, 2 twice as fast, 0 at once"),
    fresh_ids: flag(false)("true: replayed answers get ids and times of their own"),
    redact: patterns(
      "what reaches no tape besides keys and cookies: regular expressions, e.g. [ticket-[0-9]+]",
    ),
    body_max_bytes: bytes(1024, TAPE_BYTES_MAX, 16_777_216)(
      "an exchange with a longer body, question or answer, is not recorded",
    ),
  }),
  chat: z.strictObject({
    source: oneOf(["auto", "mock", "proxy"], "auto")(
      "mock | proxy | auto: proxy as soon as llm.base_url is set",
    ),
    on_disconnect: oneOf(["cancel", "drain"], "cancel")(
      "cancel | drain: what happens upstream when the client leaves",
    ),
    api_proxy: hostOrHttpUrl("upstream of /chat: HOST[:PORT] or a URL; empty = none of its own"),
    api_key: credential("key of that upstream"),
  }),
  conv: z.strictObject({
    unofficial_proxy: hostOrHttpUrl("upstream of /conv: HOST[:PORT] or a URL; empty = none"),
    access_token: credential("its whole Authorization header, so with its own Bearer"),
  }),
  mock: z.strictObject({
    reply: reply("powered by openai")("what the mock says"),
    first_token_ms: milliseconds(WAIT_MS_MAX, 0)("wait before the first word"),
    delay_ms: milliseconds(WAIT_MS_MAX, 50)("wait after each chunk; 0 = the whole answer at once"),
    chunks: oneOf(["word", "token"], "word")(
      "word | token: what a chunk of /v1/chat/completions and of workflows holds",
    ),
    tools: oneOf(["forced", "auto"], "forced")(
      "forced: a tool is called when tool_choice asks for it · auto: after every user message, too",
    ),
    persona: oneOf(["live", "minimal", "gpt-4o"], "live")(
      "live: the shape that today's API has for the model · minimal: texts in six bare events",
    ),
    models: names("the only model names there are; empty = every name is served"),
    validate: oneOf(["live", "spec"], "live")(
      "live | spec: hold to the live API, or to its document, and make up objects that nobody has made",
    ),
    moderation: moderationWords(
      "words that moderation flags, by category, e.g. {violence: [kill]}",
    ),
    count_bytes_max: bytes(0, COUNT_BYTES_MAX, 65_536)(
      "tokens are counted exactly up to this much text, and estimated above",
    ),
    kept_max: whole(0, KEPT_MAX, 10_000)(
      "responses, conversations and stored completions that a process keeps; the oldest go first",
    ),
    kept_max_bytes: bytes(0, KEPT_BYTES_MAX, 67_108_864)("memory that they may take together"),
    seed: whole(0, SEED_MAX, 0)(
      "what chance draws for a request follows from it, the same in every run",
    ),
    fixtures: filePlaces(
      "files, folders and patterns of answers that somebody wrote, e.g. [fixtures/, more/*.yaml]",
    ),
    strict: flag(false)("true: what no fixture fits is 404, with the reasons of the nearest ones"),
    echo: flag(false)("true: the answer is what the user said last"),
    lorem: whole(0, LOREM_TOKENS_MAX, 0)(
      "the answer is so many tokens of filler, or as many as the request wants; 0 = mock.reply",
    ),
    limits: LIMITS,
    admin: oneOf(["on", "off"], "on")(
      "on | off: whether /__weir/… adds fixtures and tells of requests",
    ),
    latency: z.strictObject({
      profile: latencyProfile(
        "plain: the even pace of first_token_ms and delay_ms · realistic, 8b-h100, …, or a file",
      ),
      load: oneOf(["auto", ...LATENCY_LOADS], "auto")(
        "none | factor | steps: what load does, or auto: as the profile has it; so below",
      ),
      ...latencyNumbers,
    }),
  }),
  faults: z.strictObject({
    header: flag(false)(
      "true: the header x-weir-fault asks for faults where an upstream may answer, too",
    ),
    rules: FAULT_RULES,
  }),
  response: z.strictObject({
    on_disconnect: oneOf(["drain", "cancel"], "drain")(
      "drain | cancel: keep the whole answer when the client leaves, or what it was sent",
    ),
  }),
  memory: z.strictObject({
    url: memoryUrl("sqlite://weir.db")(
      "or http://HOST:PORT (a memory server), postgres://… (shared by many nodes)",
    ),
    history_turns: whole(0, HISTORY_TURNS_MAX, 20)("turns that are told to the model again"),
    history_tokens: whole(0, HISTORY_TOKENS_MAX, 8192)(
      "the most tokens of these turns, the oldest are left out; 0 = no limit",
    ),
    system_prompt: text("")("template of the system prompt; empty = weir's own"),
    system_prompt_file: line("a file with that template instead"),
    durability: oneOf(["process", "power"], "process")(
      "process | power: what a seen [DONE] survives",
    ),
    keep_days: whole(0, KEEP_DAYS_MAX, 0, "days")(
      "turns are forgotten after this many days; 0 = never",
    ),
    page_max_bytes: bytes(1024, PAGE_BYTES_MAX, 4_194_304)(
      "texts that /memory/messages and /memory/query show at a time",
    ),
    timeout_ms: timeout(30_000)("longest wait for a memory server, or for Postgres"),
    outbox: line("file for turns on their way to a server or to Postgres; empty = weir-outbox.db"),
    outbox_max_bytes: bytes(OUTBOX_BYTES_MIN, OUTBOX_BYTES_MAX, 1_073_741_824)(
      "when this much waits in it, new requests are refused (503)",
    ),
  }),
  ops: z.strictObject({
    log: oneOf(["requests", "errors", "off"], "errors")("requests | errors | off"),
    log_format: oneOf(["auto", "json", "pretty"], "auto")(
      "json | pretty | auto: pretty on a terminal, else json",
    ),
    journal: oneOf(["off", "heads", "bodies"], "heads")(
      "off | heads | bodies: what /__weir/requests keeps of the last requests and answers",
    ),
    journal_max: whole(1, JOURNAL_MAX, 1000)("requests it keeps; the oldest go first"),
    journal_max_bytes: bytes(65_536, KEPT_BYTES_MAX, 134_217_728)(
      "memory that it may take; a body that is kept takes ten bytes for each of its characters",
    ),
    log_prompts: flag(false)("true: lines show the beginning of what clients ask"),
    route_headers: flag(true)(
      "true: answers tell which route and upstream they took, how many tries, and weir's own time",
    ),
    metrics_port: whole(0, PORT_MAX, 0)(
      "a port of its own for /metrics; 0 = on server.port, behind auth.token",
    ),
    metrics_host: host("127.0.0.1")("address of that port"),
    otlp_endpoint: httpUrl("collector of traces, e.g. http://127.0.0.1:4318; empty = no traces"),
    otlp_headers: headerFields("added to every request to it, e.g. {X-Api-Key: …}"),
    otlp_sample_ratio: share(1)("share of the traces that begin here and are kept, 0 to 1"),
  }),
});
