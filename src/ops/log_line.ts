/**
 * One event as one line: JSON for programs, or coloured text for a person at a terminal.
 *
 * What a client or an upstream wrote is not repeated: no query, no header, no body, and no sentence
 * of an error that may quote one of them. What remains of theirs is the model's name and the path that
 * nobody serves, both shortened, and the client's address. Of a token there is the name that the config
 * gives it.
 *
 * @module
 */

import type { ExchangeFacts, Outcome } from "../core/facts.ts";
import type { ErrorCode } from "../core/errors.ts";
import { masker } from "../lib/mask.ts";

/** How grave a line is. */
export type Severity = "info" | "warn" | "error";

/** What a line says besides its time, in its order. */
export type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Makes lines, each with its end. `event` is a word of our own. */
export interface LineFormat {
  readonly request: (exchange: ExchangeFacts, severity: Severity) => string;
  readonly note: (event: string, severity: Severity, fields: Fields) => string;
}

/** Longest model name in a line, in UTF-16 units. */
const MODEL_CHARS_MAX = 100;
/** Longest path in a line, in UTF-16 units. */
const PATH_CHARS_MAX = 200;
/** Billionths in a dollar. */
const NANOS = 1e9;
/** Names kept in their form for lines. */
const MODELS_MAX = 256;

/**
 * Errors whose sentences are made of our own words, hosts and settings. The others quote a client
 * or an upstream ("Incorrect API key provided: …"), so a line has their code only.
 */
const OWN_WORDS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "body_too_large",
  "upstream_unreachable",
  "upstream_timeout",
  "upstream_open",
  "upstream_full",
  "loop_detected",
  "memory_failed",
  "unavailable",
  "shutting_down",
  "internal",
]);

/** Methods that Bun lets through; anything else is not worth its text. */
const METHODS: ReadonlySet<string> = new Set([
  ...["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"],
]);

const SEVERITIES: Readonly<Record<Outcome, Severity>> = {
  completed: "info",
  refused: "info",
  client_left: "info",
  shut_down: "warn",
  upstream_failed: "error",
  timed_out: "error",
  failed: "error",
};

/** An answer that did not go well by our own or the upstream's fault is an error. */
export function severityOf({ outcome, status }: ExchangeFacts): Severity {
  const severity = SEVERITIES[outcome!];
  return severity === "info" && status >= 500 ? "warn" : severity;
}

/** The sentence of the error that ended `exchange`, where it quotes nobody; "" = none. */
export function ownErrorText({ error }: ExchangeFacts): string {
  return error !== undefined && OWN_WORDS.has(error.code) ? error.message : "";
}

/** Lines of JSON. `redact` takes secrets out of free text. */
export function jsonLines(wallMs: () => number, redact: (text: string) => string): LineFormat {
  const time = isoTimes(wallMs);
  const model = shortNames(redact);
  return {
    // Put together by hand: JSON.stringify of an object takes twice as long. Only texts that others
    // chose are escaped.
    request(exchange, severity) {
      const { requestId, source, upstream, error, promptText, trace, client, tokenName } = exchange;
      let line = `{"time":"${time()}","level":"${severity}","event":"request"`;
      if (requestId !== "") line += `,"id":${JSON.stringify(requestId)}`;
      if (trace !== undefined) line += `,"trace_id":"${trace.traceId}"`;
      // An address is checked to be one, and a token's name has letters and digits.
      if (client !== undefined && client.address !== "") line += `,"client":"${client.address}"`;
      if (tokenName !== "") line += `,"token":"${tokenName}"`;
      line += `,"surface":"${exchange.surface}","method":"${methodOf(exchange)}"`;
      if (exchange.path !== "") line += `,"path":${JSON.stringify(pathOf(exchange, redact))}`;
      line += `,"model":${model(exchange.model)},"stream":${exchange.isStream}`;
      line += `,"status":${exchange.status},"outcome":"${exchange.outcome}"`;
      if (source !== "") line += `,"source":"${source}"`;
      // Names of the config: letters and digits.
      if (exchange.route !== "") line += `,"route":"${exchange.route}"`;
      if (exchange.target !== "") line += `,"upstream":"${exchange.target}"`;
      if (exchange.cache !== undefined) line += `,"cache":"${exchange.cache.result}"`;
      if (exchange.firstByteMs >= 0) line += `,"first_byte_ms":${rounded(exchange.firstByteMs)}`;
      line += `,"duration_ms":${rounded(exchange.durationMs)},"bytes":${exchange.bodyBytes}`;
      if (exchange.promptTokens >= 0) line += `,"tokens_in":${exchange.promptTokens}`;
      if (exchange.completionTokens >= 0) line += `,"tokens_out":${exchange.completionTokens}`;
      if (exchange.cachedTokens >= 0) line += `,"tokens_cached":${exchange.cachedTokens}`;
      if (exchange.reasoningTokens >= 0) line += `,"tokens_reasoning":${exchange.reasoningTokens}`;
      if (exchange.tokensAreEstimated) line += `,"tokens_estimated":true`;
      if (exchange.costNanos >= 0) line += `,"cost_usd":${exchange.costNanos / NANOS}`;
      if (upstream !== undefined) {
        line += `,"upstream_attempts":${upstream.attempts}`;
        if (upstream.headersMs >= 0) line += `,"upstream_head_ms":${rounded(upstream.headersMs)}`;
      }
      if (error !== undefined) line += `,"error_code":"${error.code}"`;
      const errorText = ownErrorText(exchange);
      if (errorText !== "") line += `,"error":${JSON.stringify(redact(errorText))}`;
      if (promptText !== "") line += `,"prompt":${JSON.stringify(promptText)}`;
      return `${line}}\n`;
    },
    note(event, severity, fields) {
      const texts = Object.entries(fields).map(([key, value]) =>
        [key, typeof value === "string" ? redact(value) : value] as const
      );
      const line = { time: time(), level: severity, event, ...Object.fromEntries(texts) };
      return `${JSON.stringify(line)}\n`;
    },
  };
}

const COLOURS: Readonly<Record<Severity, string>> = {
  info: "\x1b[32m",
  warn: "\x1b[33m",
  error: "\x1b[31m",
};
const DIM = "\x1b[2m";
const PLAIN = "\x1b[0m";

/** Lines for a person. */
export function prettyLines(
  wallMs: () => number,
  redact: (text: string) => string,
  isColoured: boolean,
): LineFormat {
  const time = isoTimes(wallMs);
  const model = shortNames(redact);
  const paint = (colour: string, text: string) => isColoured ? `${colour}${text}${PLAIN}` : text;
  const clock = () => paint(DIM, time().slice(11, 23));
  return {
    request(exchange, severity) {
      const { requestId, source, promptTokens, completionTokens, error } = exchange;
      const { client, tokenName } = exchange;
      const about = exchange.tokensAreEstimated ? "~" : "";
      const words = [
        clock(),
        paint(COLOURS[severity], `${exchange.status} ${exchange.outcome}`),
        `${methodOf(exchange)} ${exchange.surface}`,
        ...(exchange.path === "" ? [] : [oneLine(pathOf(exchange, redact))]),
        `${rounded(exchange.durationMs)} ms`,
        ...(exchange.isStream ? [`first byte ${rounded(exchange.firstByteMs)} ms`] : []),
        `${exchange.bodyBytes} B`,
        ...(completionTokens >= 0 ? [`${about}${promptTokens}+${completionTokens} tokens`] : []),
        ...(exchange.costNanos >= 0 ? [`$${(exchange.costNanos / NANOS).toFixed(6)}`] : []),
        ...(exchange.model === "" ? [] : [model(exchange.model)]),
        ...(source === "" ? [] : [exchange.target || source]),
        ...(exchange.cache === undefined ? [] : [`cache ${exchange.cache.result}`]),
        ...(client === undefined || client.address === "" ? [] : [client.address]),
        ...(tokenName === "" ? [] : [`token ${tokenName}`]),
        ...(requestId === "" ? [] : [paint(DIM, oneLine(requestId))]),
        ...(error === undefined ? [] : [paint(COLOURS[severity], error.code)]),
      ];
      const errorText = ownErrorText(exchange);
      if (errorText !== "") words.push(oneLine(redact(errorText)));
      if (exchange.promptText !== "") words.push(JSON.stringify(exchange.promptText));
      return `${words.join("  ")}\n`;
    },
    note(event, severity, fields) {
      const words = Object.entries(fields)
        .filter(([, value]) => value !== undefined)
        .map(([key, value]) => `${key}=${oneLine(redact(String(value)))}`);
      return `${[clock(), paint(COLOURS[severity], event), ...words].join("  ")}\n`;
    },
  };
}

/** Takes what looks like a key, and every text in `secrets`, out of a text. */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const mask = masker(secrets);
  return (text) => mask(text.replace(KEY_LIKE, "$1$2***"));
}

/** What follows "Bearer", weir's own keys, and those of OpenAI and who copies its way of writing them. */
const KEY_LIKE = /(Bearer\s+|\bsk-)[\w.~+/=*-]{4,}|(\bweir_)[\da-z]{20,}/gi;

/** Tenths of a microsecond are nobody's business. */
function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}

function methodOf({ method }: ExchangeFacts): string {
  return METHODS.has(method) ? method : "other";
}

/** The path that nobody serves, without the host and the user that a proxy's client writes before it. */
function pathOf({ path }: ExchangeFacts, redact: (text: string) => string): string {
  const own = path.replace(/^[a-z][a-z\d+.-]*:\/\/[^/]*/i, "");
  return redact(own.length > PATH_CHARS_MAX ? `${own.slice(0, PATH_CHARS_MAX)}…` : own);
}

/** Control characters would let a text pretend to be lines, or colours. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ");
}

/**
 * Model names as JSON texts, shortened; the last ones are kept, since all requests name the same.
 */
function shortNames(redact: (text: string) => string): (name: string) => string {
  const known = new Map<string, string>();
  return (name) => {
    const text = known.get(name);
    if (text !== undefined) return text;
    const isLong = name.length > MODEL_CHARS_MAX;
    const short = redact(isLong ? `${name.slice(0, MODEL_CHARS_MAX)}…` : name);
    const made = JSON.stringify(short.toWellFormed());
    if (isLong) return made;
    if (known.size >= MODELS_MAX) known.clear();
    known.set(name, made);
    return made;
  };
}

/** Times as ISO 8601; what is above the milliseconds is made once a second. */
function isoTimes(wallMs: () => number): () => string {
  let second = -1;
  let head = "";
  return () => {
    const ms = Math.floor(wallMs());
    const now = Math.floor(ms / 1000);
    if (now !== second) {
      second = now;
      head = new Date(now * 1000).toISOString().slice(0, 20);
    }
    return `${head}${String(ms - now * 1000).padStart(3, "0")}Z`;
  };
}
