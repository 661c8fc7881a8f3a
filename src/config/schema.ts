/**
 * Every setting there is, in the order of `config.yaml`: its rule, default and meaning. A new
 * setting is one entry here and one line in `config.yaml`; environment names, flags, messages, the
 * type `Config` and what `weir check` prints all follow from this table.
 *
 * Units are in the names: `_ms` milliseconds, `_bytes` bytes.
 *
 * @module
 */

import { z } from "zod";

/** One setting. */
export interface Setting<Value> {
  /** Its rule. Every message of it is the end of the sentence "must be …". */
  readonly schema: z.ZodType<Value>;
  /** What holds when nobody says otherwise. */
  readonly initial: Value;
  /** One line for people: what it does, its range and what its limits mean. */
  readonly meaning: string;
  /**
   * How a value is read: "text" takes a scalar as it is written, "texts" does so for each scalar in
   * a list or a mapping, and "yaml" gives numbers and booleans their type.
   */
  readonly reads: "text" | "texts" | "yaml";
  /**
   * How it is shown: a secret never is, fields and tokens show their names only, a url without
   * password.
   */
  readonly shows: "plain" | "secret" | "fields" | "url" | "tokens";
}

/** An hour: longer than any client waits for an answer. */
const WAIT_MS_MAX = 3_600_000;
/** A day: longer than any answer takes, and far from the 24.8 days where timers overflow. */
const TIMEOUT_MS_MAX = 86_400_000;
/** 1 GiB: a body is parsed as one string, and those end at 2 GiB. */
const BODY_BYTES_MAX = 1_073_741_824;
/** 1 TiB: more than the memory of a machine. */
const BODIES_BYTES_MAX = 1_099_511_627_776;
/** 1 MiB: counting tokens holds up the event loop, and 16 times the default already takes long. */
const COUNT_BYTES_MAX = 1_048_576;
/** Back-off doubles: more retries than these outlast every client. */
const RETRIES_MAX = 10;
/** More processes than any machine has cores for. */
const WORKERS_MAX = 1024;
/** More turns than the context of any model holds. */
const HISTORY_TURNS_MAX = 1000;
/** What Bun takes as the head of a request, in bytes: a longer URL never gets as far as weir. */
const URL_BYTES_MAX = 16_384;
/** More responses at once than one process has files for. */
const STREAMS_MAX = 1_000_000;
/** Bun's longest silence on a connection. */
const IDLE_MS_MAX = 255_000;
/** Each is compared with each request's: a limit against accidents only. */
const TOKENS_MAX = 100;
const CIDRS_MAX = 1000;
/** More tokens than the context of any model holds. */
const HISTORY_TOKENS_MAX = 10_000_000;
/** A file of 1 MiB holds some hundred turns; one of 1 TiB is more than a memory server gets back. */
const OUTBOX_BYTES_MIN = 1_048_576;
const OUTBOX_BYTES_MAX = 1_099_511_627_776;
/** A hundred years. */
const KEEP_DAYS_MAX = 36_500;
/** Model names are compared and listed, not stored: a limit against accidents only. */
const MODELS_MAX = 1000;
const HEADERS_MAX = 100;
const PORT_MAX = 65_535;

/** Everything but control characters: what fits on one line. */
const LINE = /^[^\p{Cc}\u2028\u2029]*$/u;
/** What every HTTP implementation lets through in a header value. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** A header name (RFC 9110, token). */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** A name or an address; a single colon would start a port, two or more are IPv6. */
const HOST = /^(?:[^\s/:@]+|\[?[0-9a-fA-F]*:[0-9a-fA-F.]*:[0-9a-fA-F:.%\w]*\]?)$/;

function whole(min: number, max: number, initial: number, meaning: string): Setting<number> {
  const must = `a whole number from ${min} to ${max}`;
  const schema = z.int(must).min(min, must).max(max, must);
  return { schema, initial, meaning, reads: "yaml", shows: "plain" };
}

function milliseconds(max: number, initial: number, meaning: string): Setting<number> {
  const must = `a number of milliseconds from 0 to ${max}`;
  const schema = z.number(must).min(0, must).max(max, must);
  return { schema, initial, meaning, reads: "yaml", shows: "plain" };
}

/** Any text, over as many lines as it likes. */
function text(initial: string, meaning: string): Setting<string> {
  return { schema: z.string("text"), initial, meaning, reads: "text", shows: "plain" };
}

function line(initial: string, meaning: string): Setting<string> {
  const must = "text on one line, without control characters";
  const schema = z.string(must).regex(LINE, must);
  return { schema, initial, meaning, reads: "text", shows: "plain" };
}

function flag(initial: boolean, meaning: string): Setting<boolean> {
  return { schema: z.boolean("true or false"), initial, meaning, reads: "yaml", shows: "plain" };
}

function share(initial: number, meaning: string): Setting<number> {
  const must = "a number from 0 to 1";
  const schema = z.number(must).min(0, must).max(1, must);
  return { schema, initial, meaning, reads: "yaml", shows: "plain" };
}

/** A secret that travels in a header: blanks at its ends, which files often leave, are cut off. */
function credential(meaning: string): Setting<string> {
  const must = "one line of printable ASCII";
  const schema = z.string(must).trim().regex(/^[\x20-\x7e]*$/, must);
  return { schema, initial: "", meaning, reads: "text", shows: "secret" };
}

/** A secret that signs: any letters, and no blank is cut off, since each one counts. */
function signingKey(meaning: string): Setting<string> {
  return { ...line("", meaning), shows: "secret" };
}

function oneOf<const Word extends string>(
  words: readonly [Word, ...Word[]],
  initial: NoInfer<Word>,
  meaning: string,
): Setting<Word> {
  const schema = z.enum(words, `one of ${words.join(", ")}`) as z.ZodType<Word>;
  return { schema, initial, meaning, reads: "text", shows: "plain" };
}

/** Is `value` a whole URL with a host and one of `protocols`, and without `?` and `#`? */
function isPlainUrl(value: string, protocols: readonly string[]): boolean {
  if (/[\s?#\\]/.test(value) || !URL.canParse(value)) return false;
  const url = new URL(value);
  return protocols.includes(url.protocol) && url.host !== "" && /^[a-z]+:\/\//i.test(value);
}

function isHttpUrl(value: string): boolean {
  return isPlainUrl(value, ["http:", "https:"]);
}

function withoutTrailingSlashes(value: string): string {
  return value.replace(/\/+$/, "");
}

/** An http(s) URL, or empty. Paths are put behind it, so it ends without `/` and has no query. */
function httpUrl(meaning: string): Setting<string> {
  const must = "an http:// or https:// URL without ? and #";
  const schema = z.string(must)
    .refine((value) => value === "" || isHttpUrl(value), must)
    .transform(withoutTrailingSlashes);
  return { schema, initial: "", meaning, reads: "text", shows: "url" };
}

/** As `httpUrl`, and also HOST or HOST:PORT, which become http://HOST:PORT. */
function hostOrHttpUrl(meaning: string): Setting<string> {
  const must = "HOST, HOST:PORT, or an http:// or https:// URL without ? and #";
  const asUrl = (value: string) => value.includes("://") ? value : `http://${value}`;
  const schema = z.string(must)
    .refine((value) => value === "" || isHttpUrl(asUrl(value)), must)
    .transform((value) => value === "" ? "" : withoutTrailingSlashes(asUrl(value)));
  return { schema, initial: "", meaning, reads: "text", shows: "url" };
}

/** Where memory lives. The address of a store may carry `?options`, that of a server may not. */
function memoryUrl(initial: string, meaning: string): Setting<string> {
  const must =
    "sqlite://FILE, http:// or https:// and a host, or postgres://USER:PASSWORD@HOST/DATABASE";
  const schema = z.string(must).refine((value) => {
    if (value.startsWith("sqlite://")) return value.length > "sqlite://".length && LINE.test(value);
    return isHttpUrl(value) ||
      isPlainUrl(value.replace(/\?[^#\s]*$/, ""), ["postgres:", "postgresql:"]);
  }, must).transform((value) => isHttpUrl(value) ? withoutTrailingSlashes(value) : value);
  return { schema, initial, meaning, reads: "text", shows: "url" };
}

function host(initial: string, meaning: string): Setting<string> {
  const must = "a host name or an address, without a port";
  const schema = z.string(must).regex(HOST, must).transform((value) => value.replace(/[[\]]/g, ""));
  return { schema, initial, meaning, reads: "text", shows: "plain" };
}

function workers(initial: number | "auto", meaning: string): Setting<number | "auto"> {
  const must = `a whole number from 1 to ${WORKERS_MAX}, or auto`;
  const count = z.int(must).min(1, must).max(WORKERS_MAX, must);
  const schema = z.union([z.literal("auto", must), count], must);
  return { schema, initial, meaning, reads: "yaml", shows: "plain" };
}

function names(meaning: string): Setting<readonly string[]> {
  const must = `a list of at most ${MODELS_MAX} names, such as [gpt-4o, gpt-4o-mini]`;
  const mustItem = "a name on one line";
  const name = z.string(mustItem).min(1, mustItem).regex(LINE, mustItem);
  const schema = z.array(name, must).max(MODELS_MAX, must);
  return { schema, initial: [], meaning, reads: "texts", shows: "plain" };
}

function headerFields(meaning: string): Setting<Readonly<Record<string, string>>> {
  const must = `a mapping of at most ${HEADERS_MAX} header names to one-line texts`;
  const mustValue = "a header value: one line of Latin-1 text";
  const schema = z.record(
    z.string().regex(HEADER_NAME, must),
    z.string(mustValue).regex(HEADER_VALUE, mustValue),
    must,
  ).refine((fields) => Object.keys(fields).length <= HEADERS_MAX, must);
  return { schema, initial: {}, meaning, reads: "texts", shows: "fields" };
}

/** Networks: an address, or an address and how many of its bits count. */
function networks(meaning: string): Setting<readonly string[]> {
  const must = `a list of at most ${CIDRS_MAX} networks, such as [127.0.0.1, 10.0.0.0/8, fd00::/8]`;
  const mustItem = "an address or a network, such as 10.0.0.0/8";
  const schema = z.array(z.string(mustItem).refine(isNetwork, mustItem), must).max(CIDRS_MAX, must);
  return { schema, initial: [], meaning, reads: "texts", shows: "plain" };
}

function isNetwork(text: string): boolean {
  const [, address = "", bits] = /^([\d.]+|[\da-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const isV4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/.test(address);
  const isV6 = address.includes(":") && URL.canParse(`http://[${address}]/`);
  return (isV4 || isV6) && Number(bits ?? 0) <= (isV4 ? 32 : 128);
}

/** The permissions of a file as `chmod` writes them. */
function fileMode(initial: string, meaning: string): Setting<string> {
  const must = "three octal digits, such as 660";
  const schema = z.string(must).regex(/^[0-7]{3}$/, must);
  return { schema, initial, meaning, reads: "text", shows: "plain" };
}

/** A bearer token with a name that logs may show. */
export interface NamedToken {
  readonly name: string;
  /** The token itself; "" = it is the text of `token_file`. */
  readonly token: string;
  readonly token_file: string;
}

function namedTokens(meaning: string): Setting<readonly NamedToken[]> {
  const must = `a list of at most ${TOKENS_MAX} entries like {name: blue, token: …}`;
  const mustName = "a name of up to 64 letters, digits, _ . and -, which no other token has";
  const mustToken = "one line of printable ASCII";
  const mustOne = "an entry with a name and either token or token_file";
  const entry = z.strictObject({
    name: z.string(mustName).regex(/^[\w.-]{1,64}$/, mustName),
    token: z.string(mustToken).trim().regex(/^[\x20-\x7e]*$/, mustToken).default(""),
    token_file: z.string("a path on one line").regex(LINE, "a path on one line").default(""),
  }, mustOne).refine(({ token, token_file }) => (token === "") !== (token_file === ""), mustOne);
  const schema = z.array(entry, must).max(TOKENS_MAX, must).refine(
    (tokens) => new Set(tokens.map(({ name }) => name)).size === tokens.length,
    "a list whose names all differ",
  );
  return { schema, initial: [], meaning, reads: "texts", shows: "tokens" };
}

/** The one table: section → key → setting. */
export const SETTINGS = {
  server: {
    host: host("127.0.0.1", "address to listen on; 0.0.0.0 = every one"),
    port: whole(0, PORT_MAX, 8080, "port to listen on; 0 = any free one"),
    workers: workers(1, "processes sharing the port; auto = one per core"),
    unix: line(
      "",
      "path of a socket to listen on instead of the port, for nginx; empty = the port",
    ),
    unix_mode: fileMode("660", "who may connect to that socket, as chmod writes it"),
    tls_cert_file: line(
      "",
      "PEM file with the certificate and its chain, read again on reload; empty = no TLS",
    ),
    tls_key_file: line("", "PEM file with its key"),
    trusted_proxies: networks(
      "whose X-Forwarded-For is believed, e.g. [127.0.0.1, 10.0.0.0/8]; server.unix is anyway",
    ),
    url_max_bytes: whole(64, URL_BYTES_MAX, 8192, "longer URLs are refused (414)"),
    body_max_bytes: whole(1, BODY_BYTES_MAX, 33_554_432, "larger request bodies are refused (413)"),
    body_timeout_ms: whole(
      1,
      TIMEOUT_MS_MAX,
      30_000,
      "a body that is not there by then is refused (408)",
    ),
    write_timeout_ms: whole(
      1,
      TIMEOUT_MS_MAX,
      60_000,
      "a client that takes nothing of its stream for this long is cut off",
    ),
    idle_timeout_ms: whole(
      1000,
      IDLE_MS_MAX,
      IDLE_MS_MAX,
      "a connection without traffic is closed; more than nginx's keepalive_timeout, in steps of 4 s",
    ),
    streams_max: whole(1, STREAMS_MAX, 32_768, "open streams of a process; more are refused (503)"),
    streams_per_client_max: whole(
      0,
      STREAMS_MAX,
      0,
      "open requests of one client address; more are refused (429); 0 = no limit",
    ),
    requests_waiting_max: whole(
      1,
      STREAMS_MAX,
      8192,
      "requests of a process that have no stream yet; more are refused (503)",
    ),
    bodies_max_bytes: whole(
      1,
      BODIES_BYTES_MAX,
      268_435_456,
      "what is here of all bodies over 64 KiB that are not whole yet; more is refused (503)",
    ),
    drain_ms: milliseconds(WAIT_MS_MAX, 30_000, "how long SIGTERM waits for open streams"),
    retire_ms: milliseconds(
      TIMEOUT_MS_MAX,
      3_600_000,
      "how long a worker that a reload has replaced may finish its streams",
    ),
    keepalive_ms: milliseconds(
      WAIT_MS_MAX,
      15_000,
      "an SSE comment into a stream that has been silent this long; 0 = off",
    ),
    main: whole(
      0,
      PORT_MAX,
      0,
      "a memory server on this local port, same as memory.url: http://127.0.0.1:PORT; 0 = none",
    ),
  },
  auth: {
    token: credential("bearer token for /v1/*, /memory/*, /api/*; empty = open"),
    token_file: line("", "file that holds the token instead; empty = none"),
    tokens: namedTokens("further tokens, e.g. [{name: blue, token: …}, {name: ci, token_file: …}]"),
    secret_key: signingKey("signs and checks the tokens of /token, /chat, /conv"),
  },
  llm: {
    base_url: httpUrl("the upstream, e.g. https://api.openai.com/v1; empty = none"),
    api_key: credential(
      "its key; empty = the client's own is passed on, while auth.token is empty",
    ),
    api_key_file: line("", "file that holds the key instead; empty = none"),
    model_id: line("", "the model when a request names none"),
    headers_timeout_ms: whole(1, TIMEOUT_MS_MAX, 60_000, "longest wait for its response headers"),
    first_token_timeout_ms: whole(1, TIMEOUT_MS_MAX, 120_000, "longest wait for its first chunk"),
    idle_timeout_ms: whole(1, TIMEOUT_MS_MAX, 120_000, "longest silence between two chunks"),
    retries: whole(0, RETRIES_MAX, 2, "before the first byte only"),
    headers: headerFields("added to every upstream request, e.g. {X-Team: blue}"),
    proxy: httpUrl("http:// or https:// proxy on the way to it; empty = none"),
    ca_file: line("", "PEM file with extra certificate authorities to trust"),
  },
  chat: {
    source: oneOf(
      ["auto", "mock", "proxy"],
      "auto",
      "mock | proxy | auto: proxy as soon as llm.base_url is set",
    ),
    on_disconnect: oneOf(
      ["cancel", "drain"],
      "cancel",
      "cancel | drain: what happens upstream when the client leaves",
    ),
    api_proxy: hostOrHttpUrl("upstream of /chat: HOST[:PORT] or a URL; empty = none of its own"),
    api_key: credential("key of that upstream"),
  },
  conv: {
    unofficial_proxy: hostOrHttpUrl("upstream of /conv: HOST[:PORT] or a URL; empty = none"),
    access_token: credential("its whole Authorization header, so with its own Bearer"),
  },
  mock: {
    reply: text("powered by openai", "what the mock says"),
    first_token_ms: milliseconds(WAIT_MS_MAX, 0, "wait before the first word"),
    delay_ms: milliseconds(WAIT_MS_MAX, 50, "wait after each word; 0 = the whole answer at once"),
    persona: oneOf(
      ["gpt-4o", "minimal"],
      "gpt-4o",
      "gpt-4o: today's full chunk shape · minimal: six bare events",
    ),
    models: names("the only model names there are; empty = every name is served"),
    validate: oneOf(
      ["live", "spec"],
      "live",
      "live | spec: check requests as the live API does, or as its document says",
    ),
    count_bytes_max: whole(
      0,
      COUNT_BYTES_MAX,
      65_536,
      "tokens are counted exactly up to this much text, and estimated above",
    ),
  },
  response: {
    on_disconnect: oneOf(
      ["drain", "cancel"],
      "drain",
      "drain | cancel: keep the whole answer when the client leaves, or what it was sent",
    ),
  },
  memory: {
    url: memoryUrl(
      "sqlite://weir.db",
      "or http://HOST:PORT (a memory server), postgres://… (shared by many nodes)",
    ),
    history_turns: whole(0, HISTORY_TURNS_MAX, 20, "turns that are told to the model again"),
    history_tokens: whole(
      0,
      HISTORY_TOKENS_MAX,
      8192,
      "the most tokens of these turns, the oldest are left out; 0 = no limit",
    ),
    system_prompt: text("", "template of the system prompt; empty = weir's own"),
    system_prompt_file: line("", "a file with that template instead"),
    durability: oneOf(
      ["process", "power"],
      "process",
      "process | power: what a seen [DONE] survives",
    ),
    keep_days: whole(0, KEEP_DAYS_MAX, 0, "turns are forgotten after this many days; 0 = never"),
    timeout_ms: whole(
      1,
      TIMEOUT_MS_MAX,
      30_000,
      "longest wait for a memory server, or for Postgres",
    ),
    outbox: line(
      "",
      "file for turns on their way to a server or to Postgres; empty = weir-outbox.db",
    ),
    outbox_max_bytes: whole(
      OUTBOX_BYTES_MIN,
      OUTBOX_BYTES_MAX,
      1_073_741_824,
      "when this much waits in it, new requests are refused (503)",
    ),
  },
  ops: {
    log: oneOf(["requests", "errors", "off"], "errors", "requests | errors | off"),
    log_format: oneOf(
      ["auto", "json", "pretty"],
      "auto",
      "json | pretty | auto: pretty on a terminal, else json",
    ),
    log_prompts: flag(false, "true: lines show the beginning of what clients ask"),
    metrics_port: whole(
      0,
      PORT_MAX,
      0,
      "a port of its own for /metrics; 0 = on server.port, behind auth.token",
    ),
    metrics_host: host("127.0.0.1", "address of that port"),
    otlp_endpoint: httpUrl("collector of traces, e.g. http://127.0.0.1:4318; empty = no traces"),
    otlp_headers: headerFields("added to every request to it, e.g. {X-Api-Key: …}"),
    otlp_sample_ratio: share(1, "share of the traces that begin here and are kept, 0 to 1"),
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, Setting<unknown>>>>>;

type Table = typeof SETTINGS;
type ValueOf<Entry> = Entry extends Setting<infer Value> ? Value : never;

/** The checked settings, deeply frozen. A part takes its own section only: `Config["mock"]`. */
export type Config = {
  readonly [Section in keyof Table]: {
    readonly [Key in keyof Table[Section]]: ValueOf<Table[Section][Key]>;
  };
};

/** One row of the table, by its path. */
export interface SettingRow {
  readonly section: string;
  readonly key: string;
  /** "server.port" */
  readonly path: string;
  /** "WEIR_SERVER_PORT" */
  readonly variable: string;
  readonly setting: Setting<unknown>;
}

/** The table as rows in its order, by path. */
export const SETTING_ROWS: ReadonlyMap<string, SettingRow> = new Map(
  Object.entries(SETTINGS).flatMap(([section, settings]) =>
    Object.entries(settings).map(([key, setting]): [string, SettingRow] => {
      const path = `${section}.${key}`;
      const variable = `WEIR_${section}_${key}`.toUpperCase();
      return [path, { section, key, path, variable, setting }];
    })
  ),
);

/** Environment names that people already have → path. The WEIR_ name of the same setting wins. */
export const KNOWN_VARIABLES: ReadonlyMap<string, string> = new Map([
  ["OPENAI_API_KEY", "llm.api_key"],
  ["OPENAI_BASE_URL", "llm.base_url"],
  ["PORT", "server.port"],
  ["API_PROXY", "chat.api_proxy"],
  ["CHAT_API_KEY", "chat.api_key"],
  ["UNOFFICIAL_PROXY", "conv.unofficial_proxy"],
  ["ACCESS_TOKEN", "conv.access_token"],
  ["SECRET_KEY", "auth.secret_key"],
  ["OTEL_EXPORTER_OTLP_ENDPOINT", "ops.otlp_endpoint"],
]);
