/**
 * The kinds of settings: each makes a schema with its default and what is said about it. Every
 * message of a rule is the end of the sentence "must be …".
 *
 * @module
 */

import { z } from "zod";
import { FaultTextError, parseFaults } from "./faults.ts";
import { LATENCY_NUMBERS, LATENCY_PROFILES, type LatencyKey, PROFILE_FILE } from "./latency.ts";
import { MODERATION_CATEGORIES, type ModerationCategory } from "./moderation.ts";
import { ABOUT, type About, type Shows, type Unit } from "./shape.ts";

/** A value with a default. */
export type Setting<Value> = z.ZodDefault<z.ZodType<Value>>;

/** A day: longer than any answer takes, and far from the 24.8 days where timers overflow. */
export const TIMEOUT_MS_MAX = 86_400_000;
/** Each is compared with each request's: a limit against accidents only. */
const CIDRS_MAX = 1000;
/** Model names are compared and listed, not stored: a limit against accidents only. */
const PLACES_MAX = 1000;
const MODELS_MAX = 1000;
const HEADERS_MAX = 100;
const PATHS_MAX = 100;
/** Each is looked for in each text. */
const WORDS_MAX = 1000;
/** More processes than any machine has cores for. */
const WORKERS_MAX = 1024;

/** Everything but control characters: what fits on one line. */
// Spelled out, so that config.schema.json says it to validators of every language.
// deno-lint-ignore no-control-regex
const LINE = /^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$/;
/** What every HTTP implementation lets through in a header value. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** A header name (RFC 9110, token). */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** A name that logs and other settings may use. */
const NAME = /^[\w.-]{1,64}$/;
/** A name or an address; a single colon would start a port, two or more are IPv6. */
const HOST = /^(?:[^\s/:@]+|\[?[0-9a-fA-F]*:[0-9a-fA-F.]*:[0-9a-fA-F:.%\w]*\]?)$/;

/** A kind of setting with its default: told what it means, it is one. */
export type Kind<Value> = (meaning: string) => Setting<Value>;

/** Makes a kind of its rule, its default, and what more is said about it. */
export function kind<Value>(
  schema: z.ZodType<Value>,
  initial: NoInfer<Value>,
  more: Omit<About, "meaning"> = {},
): Kind<Value> {
  return (meaning) => {
    const setting = schema.default(initial as z.util.NoUndefined<Value>);
    ABOUT.add(setting, { meaning, ...more });
    return setting;
  };
}

/** A value that an entry must have. */
export function required<Value>(
  schema: z.ZodType<Value>,
  shows: Shows = "plain",
): (meaning: string) => z.ZodType<Value> {
  return (meaning) => {
    ABOUT.add(schema, { meaning, shows });
    return schema;
  };
}

/** A whole number. */
export function whole(
  min: number,
  max: number,
  initial: number,
  unit?: Unit,
): Kind<number> {
  const must = `a whole number from ${min} to ${max}`;
  const schema = z.int(must).min(min, must).max(max, must);
  return kind(schema, initial, unit === undefined ? {} : { unit });
}

/** How long something may take, in whole milliseconds. */
export function timeout(initial: number): Kind<number> {
  return whole(1, TIMEOUT_MS_MAX, initial, "ms");
}

/** How large something may be, in bytes. */
export function bytes(min: number, max: number, initial: number): Kind<number> {
  return whole(min, max, initial, "bytes");
}

/** Milliseconds, also parts of them. */
export function milliseconds(max: number, initial: number): Kind<number> {
  const must = `a number of milliseconds from 0 to ${max}`;
  return kind(z.number(must).min(0, must).max(max, must), initial, { unit: "ms" });
}

/** Any text, over as many lines as it likes. */
export function text(initial: string): Kind<string> {
  return kind(z.string("text"), initial);
}

/** What the mock says, and into how many pieces it is cut at the most: each becomes an event. */
const REPLY_CHARS_MAX = 1_048_576;
const REPLY_WORDS_MAX = 65_536;
/** A character of a script that is written without blanks counts as a word. */
const WORD =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]|[^\s\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]+/gu;

/** The reply of the mock: text that is not endless. */
export function reply(initial: string): Kind<string> {
  const must = `text of at most ${REPLY_CHARS_MAX} characters and ${REPLY_WORDS_MAX} words ` +
    "(a Chinese or Japanese character is one)";
  const schema = z.string("text").max(REPLY_CHARS_MAX, must)
    .refine((text) => text.length > REPLY_CHARS_MAX || wordCount(text) <= REPLY_WORDS_MAX, must);
  return kind(schema, initial);
}

function wordCount(text: string): number {
  return text.length <= REPLY_WORDS_MAX ? 0 : text.match(WORD)?.length ?? 0;
}

/** Text on one line. */
export const line: Kind<string> = kind(lineRule(), "");

function lineRule(): z.ZodString {
  const must = "text on one line, without control characters";
  return z.string(must).regex(LINE, must);
}

/** true or false. */
export function flag(initial: boolean): Kind<boolean> {
  return kind(z.boolean("true or false"), initial);
}

/** A part of a whole, from 0 to 1. */
export function share(initial: number): Kind<number> {
  const must = "a number from 0 to 1";
  return kind(z.number(must).min(0, must).max(1, must), initial);
}

const MUST_CREDENTIAL = "one line of printable ASCII";

/**
 * A secret that travels in a header: blanks at its ends, which files often leave, are cut off. Nothing
 * but blanks is none: taken for an empty one, it would open a door that somebody meant to lock.
 */
export const credential: Kind<string> = kind(credentialRule(), "", { shows: "secret" });

function credentialRule(): z.ZodType<string> {
  return z.string(MUST_CREDENTIAL).refine((it) => it === "" || it.trim() !== "", MUST_CREDENTIAL)
    .trim().refine((it) => /^[\x20-\x7e]*$/.test(it), MUST_CREDENTIAL);
}

/** More keys of one upstream are nobody's. */
const CREDENTIALS_MAX = 100;

/** Several such secrets. */
export const credentials: Kind<readonly string[]> = (() => {
  const must = `a list of at most ${CREDENTIALS_MAX} keys`;
  const one = credentialRule().refine((it) => it !== "", MUST_CREDENTIAL);
  return kind(z.array(one, must).max(CREDENTIALS_MAX, must), [], { shows: "secret" });
})();

/** A secret that signs: any letters, and no blank is cut off, since each one counts beside others. */
export const signingKey: Kind<string> = kind(
  lineRule().refine((it) => it === "" || it.trim() !== "", "more than blanks"),
  "",
  { shows: "secret" },
);

/** One of a few words. */
export function oneOf<const Word extends string>(
  words: readonly [Word, ...Word[]],
  initial: NoInfer<Word>,
): Kind<Word> {
  const schema = z.enum(words, `one of ${words.join(", ")}`) as unknown as z.ZodType<Word>;
  return kind(schema, initial);
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

/** The rule of `httpUrl`; an empty one is refused unless `mayBeEmpty`. */
export function httpUrlRule(mayBeEmpty: boolean): z.ZodType<string> {
  const must = "an http:// or https:// URL without ? and #";
  return z.string(must)
    .refine((value) => value === "" ? mayBeEmpty : isHttpUrl(value), must)
    .transform(withoutTrailingSlashes);
}

/** An http(s) URL, or empty. Paths are put behind it, so it ends without `/` and has no query. */
export const httpUrl: Kind<string> = kind(httpUrlRule(true), "", { shows: "url" });

/** The rule of `upstreamUrl`; an empty one is refused unless `mayBeEmpty`. */
export function upstreamUrlRule(mayBeEmpty: boolean): z.ZodType<string> {
  const must = "an http:// or https:// URL without #";
  const isFine = (value: string) =>
    !/[\s#\\]/.test(value) && isHttpUrl(value.replace(/\?.*$/s, ""));
  return z.string(must)
    .refine((value) => value === "" ? mayBeEmpty : isFine(value), must)
    .transform((value) => {
      const [, url = "", query = ""] = /^([^?]*)(\?.*)?$/s.exec(value)!;
      return withoutTrailingSlashes(url) + (query === "?" ? "" : query);
    });
}

/** An http(s) URL below which paths are put, or empty. A query goes with each of them. */
export const upstreamUrl: Kind<string> = kind(upstreamUrlRule(true), "", { shows: "url" });

/** As `httpUrl`, and also HOST or HOST:PORT, which become http://HOST:PORT. */
export const hostOrHttpUrl: Kind<string> = kind(hostOrHttpUrlRule(), "", { shows: "url" });

function hostOrHttpUrlRule(): z.ZodType<string> {
  const must = "HOST, HOST:PORT, or an http:// or https:// URL without ? and #";
  const asUrl = (value: string) => value.includes("://") ? value : `http://${value}`;
  return z.string(must)
    .refine((value) => value === "" || isHttpUrl(asUrl(value)), must)
    .transform((value) => value === "" ? "" : withoutTrailingSlashes(asUrl(value)));
}

/** Where memory lives. The address of a store may carry `?options`, that of a server may not. */
export function memoryUrl(initial: string): Kind<string> {
  const must =
    "sqlite://FILE, http:// or https:// and a host, or postgres://USER:PASSWORD@HOST/DATABASE";
  const schema = z.string(must).refine((value) => {
    return isHttpUrl(value) || isStoreUrl(value);
  }, must).transform((value) => isHttpUrl(value) ? withoutTrailingSlashes(value) : value);
  return kind(schema, initial, { shows: "url" });
}

/** Where keys and usage are kept; empty where the memory is. */
export function storeUrl(initial: string): Kind<string> {
  const must = "sqlite://FILE, or postgres://USER:PASSWORD@HOST/DATABASE";
  const schema = z.string(must).refine((value) => value === "" || isStoreUrl(value), must);
  return kind(schema, initial, { shows: "url" });
}

/** Where several weirs keep what they share, or empty. */
export const sharedUrl: Kind<string> = (() => {
  const must =
    "redis:// or rediss://, USER:PASSWORD@ if needed, a host, and the number of a database";
  const schema = z.string(must).refine((value) => value === "" || isRedisUrl(value), must);
  return kind(schema, "", { shows: "url" });
})();

function isRedisUrl(value: string): boolean {
  return isPlainUrl(value, ["redis:", "rediss:"]) && /^\/?\d{0,4}$/.test(new URL(value).pathname);
}

/** How names of keys begin that a server keeps for several programs. */
export function keyPrefix(initial: string): Kind<string> {
  const must = "1 to 64 letters, digits and any of : . _ - { }";
  return kind(z.string(must).regex(/^[\w:.{}-]{1,64}$/, must), initial);
}

function isStoreUrl(value: string): boolean {
  if (value.startsWith("sqlite://")) return value.length > "sqlite://".length && LINE.test(value);
  return isPlainUrl(value.replace(/\?[^#\s]*$/, ""), ["postgres:", "postgresql:"]);
}

/** A host name or an address; the brackets of an IPv6 address go. */
export function host(initial: string): Kind<string> {
  const must = "a host name or an address, without a port";
  const schema = z.string(must).regex(HOST, must).transform((value) => value.replace(/[[\]]/g, ""));
  return kind(schema, initial);
}

/** How many processes. */
export function workers(initial: number | "auto"): Kind<number | "auto"> {
  const must = `a whole number from 1 to ${WORKERS_MAX}, or auto`;
  const count = z.int(must).min(1, must).max(WORKERS_MAX, must);
  return kind(z.union([z.literal("auto", must), count], must), initial);
}

/** A list of names. */
export const names: Kind<readonly string[]> = kind(namesRule(), []);

/** The rule of `names`. */
export function namesRule(): z.ZodType<readonly string[]> {
  const must = `a list of at most ${MODELS_MAX} names, such as [gpt-4o, gpt-4o-mini]`;
  const mustItem = "a name on one line";
  const name = z.string(mustItem).min(1, mustItem).regex(LINE, mustItem);
  return z.array(name, must).max(MODELS_MAX, must);
}

/** A list of files, folders and patterns. */
export const filePlaces: Kind<readonly string[]> = (() => {
  const must = `a list of at most ${PLACES_MAX} files, folders or patterns, such as [fixtures/]`;
  const mustItem = "a file, a folder or a pattern on one line";
  const place = z.string(mustItem).min(1, mustItem).regex(LINE, mustItem);
  return kind(z.array(place, must).max(PLACES_MAX, must), []);
})();

/** Some of a few words, or none. */
export function someOf<const Word extends string>(
  words: readonly [Word, ...Word[]],
): Kind<readonly Word[]> {
  const must = `a list of some of ${words.join(", ")}`;
  const word = z.enum(words, `one of ${words.join(", ")}`) as unknown as z.ZodType<Word>;
  return kind(z.array(word, must).max(words.length, must), []);
}

/** Paths below a base URL, in which `*` stands for any text. */
export const pathGlobs: Kind<readonly string[]> = kind(pathGlobsRule(), []);

function pathGlobsRule(): z.ZodType<readonly string[]> {
  const must = `a list of at most ${PATHS_MAX} paths, such as [/embeddings, /files*]`;
  const mustItem = "a path on one line that begins with a slash, such as /files*";
  return z.array(z.string(mustItem).startsWith("/", mustItem).regex(LINE, mustItem), must)
    .max(PATHS_MAX, must);
}

/** Fields of an HTTP header. Their values are secret. */
export const headerFields: Kind<Readonly<Record<string, string>>> = kind(headerFieldsRule(), {}, {
  shows: "secret",
});

function headerFieldsRule(): z.ZodType<Readonly<Record<string, string>>> {
  const must = `a mapping of at most ${HEADERS_MAX} header names to one-line texts`;
  const mustValue = "a header value: one line of Latin-1 text";
  return z.record(
    z.string().regex(HEADER_NAME, must),
    z.string(mustValue).regex(HEADER_VALUE, mustValue),
    must,
  ).refine((fields) => Object.keys(fields).length <= HEADERS_MAX, must);
}

/** Words by the category that they belong to. */
export const moderationWords: Kind<
  { readonly [category in ModerationCategory]?: readonly string[] }
> = kind(moderationWordsRule(), {});

function moderationWordsRule(): z.ZodType<
  { readonly [category in ModerationCategory]?: readonly string[] }
> {
  const must = `a mapping of categories (${MODERATION_CATEGORIES.join(", ")}) to lists of words`;
  const mustItem = "a word, or several, on one line";
  const word = z.string(mustItem).regex(LINE, mustItem)
    .refine((text) => text.trim() !== "", mustItem);
  const mustWords = `a list of at most ${WORDS_MAX} words, such as [kill, blow up]`;
  const words = z.array(word, mustWords).max(WORDS_MAX, mustWords);
  return z.partialRecord(z.enum(MODERATION_CATEGORIES, must), words, must);
}

/** A number of a latency profile, or `auto`: the profile's own. */
export function latencyNumber(key: LatencyKey): Setting<number | "auto"> {
  const { min, max, isWhole, meaning } = LATENCY_NUMBERS[key];
  const must = `${isWhole ? "a whole number" : "a number"} from ${min} to ${max}, or auto`;
  const number = (isWhole ? z.int(must) : z.number(must)).min(min, must).max(max, must);
  const unit = key.endsWith("_ms") ? { unit: "ms" as const } : {};
  return kind(z.union([z.literal("auto", must), number], must), "auto", unit)(meaning);
}

/** The name of a latency profile, or the file of one. */
export const latencyProfile: Kind<string> = kind(latencyProfileRule(), "plain");

function latencyProfileRule(): z.ZodType<string> {
  const names: readonly string[] = ["plain", ...Object.keys(LATENCY_PROFILES)];
  const must = `one of ${names.join(", ")}, or a file that ends in .yaml, .yml or .json`;
  return z.string(must).regex(LINE, must)
    .refine((name) => names.includes(name) || PROFILE_FILE.test(name), must);
}

/** Networks: an address, or an address and how many of its bits count. */
export const networks: Kind<readonly string[]> = kind(networksRule(), []);

function networksRule(): z.ZodType<readonly string[]> {
  const must = `a list of at most ${CIDRS_MAX} networks, such as [127.0.0.1, 10.0.0.0/8, fd00::/8]`;
  const mustItem = "an address or a network, such as 10.0.0.0/8";
  return z.array(z.string(mustItem).refine(isNetwork, mustItem), must).max(CIDRS_MAX, must);
}

function isNetwork(text: string): boolean {
  const [, address = "", bits] = /^([\d.]+|[\da-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const isV4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/.test(address);
  const isV6 = address.includes(":") && URL.canParse(`http://[${address}]/`);
  return (isV4 || isV6) && Number(bits ?? 0) <= (isV4 ? 32 : 128);
}

/** The permissions of a file as `chmod` writes them. */
export function fileMode(initial: string): Kind<string> {
  const must = "three octal digits, such as 660";
  return kind(z.string(must).regex(/^[0-7]{3}$/, must), initial);
}

/** The name of an entry, by which logs and other settings call it; `taken` is weir's own. */
export function entryNameRule(noun: string, taken?: string): z.ZodType<string> {
  const must = mustName(noun);
  return z.string(must).regex(NAME, must)
    .refine((name) => name !== taken, `another name than ${taken}, which is weir's own`);
}

function mustName(noun: string): string {
  return `a name of up to 64 letters, digits, _ . and -, which no other ${noun} has`;
}

/** A name, of a model or a key. */
export function globRule(noun = "name"): z.ZodType<string> {
  return patternRule(`a ${noun} on one line, where * stands for any text`);
}

/** A text on one line that is compared. `must`: what it is. */
export function patternRule(must: string): z.ZodType<string> {
  return z.string(must).min(1, must).regex(LINE, must);
}

/** A moment: a day, which stands for its first moment in UTC, or a time of day with it. */
export function momentRule(): z.ZodType<string> {
  const must = "a date such as 2027-01-31, or with a time such as 2027-01-31T12:00:00Z";
  return z.string(must).refine((text) => text === "" || isMoment(text), must);
}

/** True when `text` is such a moment, and no other way to write a date. */
export function isMoment(text: string): boolean {
  const isDate =
    /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2}))?$/;
  return isDate.test(text) && !Number.isNaN(Date.parse(text));
}

/** A list of patterns, in which `*` is any text; empty = `meaning` says what. */
export function globsRule(noun: string, example: string): z.ZodType<readonly string[]> {
  const must = `a list of at most ${MODELS_MAX} ${noun}s, such as ${example}`;
  return z.array(globRule(noun), must).max(MODELS_MAX, must);
}

/** Faults, as they are written. */
export function faultTextRule(): z.ZodType<string> {
  const must = "faults such as cut@event=3";
  return z.string(must).superRefine((text, context) => {
    try {
      parseFaults(text);
    } catch (error) {
      if (!(error instanceof FaultTextError)) throw error;
      context.addIssue({ code: "custom", message: `${must} (${error.message})` });
    }
  });
}

/** More than these are no fallback. */
const TARGETS_MAX = 16;
const WEIGHT_MAX = 1000;

/** Who answers: names, the first one first. */
export function targetRule(): z.ZodType<readonly string[]> {
  const must =
    `a list of 1 to ${TARGETS_MAX} different upstreams, or mock, such as [openai, local]`;
  const name = z.string("the name of an upstream, or mock");
  return z.array(name, must).min(1, must).max(TARGETS_MAX, must)
    .refine((names) => new Set(names).size === names.length, must);
}

/** The part of each, by its name. */
export function weightsRule(): z.ZodType<Readonly<Record<string, number>>> {
  const must = `a whole number from 1 to ${WEIGHT_MAX}`;
  const weight = z.int(must).min(1, must).max(WEIGHT_MAX, must);
  return z.record(z.string(), weight, "a mapping of the names in to to their parts: {openai: 3}");
}

/** What a request is about is no parameter. */
const NO_PARAMS: ReadonlySet<string> = new Set(["model", "stream", "messages", "input", "prompt"]);
const PARAMS_MAX = 100;
const MUST_PARAM = "the name of a parameter, and none of " + [...NO_PARAMS].join(", ");

function isParam(name: string): boolean {
  return name !== "" && LINE.test(name) && !NO_PARAMS.has(name);
}

/** Values of parameters, by their names. */
export function paramsRule<Value>(
  value: z.ZodType<Value>,
  example: string,
): z.ZodType<Readonly<Record<string, Value>>> {
  const must = `a mapping of at most ${PARAMS_MAX} parameters, none of them ` +
    `${[...NO_PARAMS].join(", ")}, such as ${example}`;
  return z.record(z.string(), value, must).refine((record) => {
    const names = Object.keys(record);
    return names.length <= PARAMS_MAX && names.every(isParam);
  }, must);
}

/** A number, a text, or true or false. */
export function scalarRule(): z.ZodType<string | number | boolean> {
  return z.union([z.string(), z.number(), z.boolean()], "a number, a text, true or false");
}

/** A number that has an end. */
export function numberRule(): z.ZodType<number> {
  return z.number("a number");
}

/** Names of parameters. */
export function paramNamesRule(): z.ZodType<readonly string[]> {
  const must = `a list of at most ${PARAMS_MAX} names of parameters, such as [logit_bias]`;
  return z.array(z.string(MUST_PARAM).refine(isParam, MUST_PARAM), must).max(PARAMS_MAX, must);
}

/** Names of models, in which `*` is any text, and what they are called instead. */
export function renameRule(): z.ZodType<Readonly<Record<string, string>>> {
  const must = `a mapping of at most ${MODELS_MAX} names of models, such as {gpt-4o*: llama3}`;
  const mustName = "a name on one line";
  const name = z.string(mustName).min(1, mustName).regex(LINE, mustName);
  return z.record(z.string().min(1, must).regex(LINE, must), name, must)
    .refine((record) => Object.keys(record).length <= MODELS_MAX, must);
}

/** A list of at most `max` entries; `example` shows one. Without `noun` they have no names. */
export function entries<Entry extends object>(
  entry: z.ZodType<Entry>,
  max: number,
  example: string,
  { noun, shows = "plain" }: { readonly noun?: string; readonly shows?: Shows } = {},
): Kind<readonly Entry[]> {
  const must = `a list of at most ${max} entries like ${example}`;
  const list = z.array(entry, must).max(max, must);
  return kind(noun === undefined ? list : list.superRefine(namesDiffer(noun)), [], { shows });
}

/** The second of two entries with one name is told so. */
function namesDiffer(noun: string) {
  return (list: readonly object[], context: z.RefinementCtx) => {
    const seen = new Set<unknown>();
    for (const [index, entry] of list.entries()) {
      const { name } = entry as { readonly name: unknown };
      if (seen.has(name)) {
        context.addIssue({ code: "custom", path: [index, "name"], message: mustName(noun) });
      }
      seen.add(name);
    }
  };
}
