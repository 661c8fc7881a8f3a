/**
 * When the parts of an answer came, as somebody measured them, and the names that such numbers have
 * in files.
 *
 * @module
 */

import { nearest } from "../../lib/nearest.ts";

/** What was measured of one answer. What is absent was not. */
export interface Times {
  /** Where it stands, for people: "times.csv:3". */
  readonly place: string;
  /** From the request to the first token, > 0. */
  readonly firstTokenMs?: number;
  /** Between an event with tokens and the one before it, from the second one on. */
  readonly gapsMs?: readonly number[];
  /** How many tokens the event behind each gap holds; as long as `gapsMs`. */
  readonly gapTokens?: readonly number[];
  /** The mean time of a token behind the first, where there are no single gaps. */
  readonly tokenMs?: number;
  /** From the request to the last token. */
  readonly totalMs?: number;
  readonly promptTokens?: number;
  /** How many of the prompt's came out of a cache. */
  readonly cachedTokens?: number;
  readonly outputTokens?: number;
}

/** What is in a file. */
export interface ReadTimes {
  /** What the file is: "CSV", "a result of vLLM", … */
  readonly format: string;
  readonly times: readonly Times[];
  /** What was left out, and what is odd: whole sentences without their place's name. */
  readonly notes: readonly string[];
}

/** A file that is not taken, and where it is wrong: "times.csv:3:9: WHAT". */
export class TimesFault extends Error {
  override readonly name = "TimesFault";
}

/** Units of time, in milliseconds. */
export const UNITS = { s: 1000, ms: 1, us: 0.001, ns: 0.000001 } as const;

/** One of them. */
export type TimeUnit = keyof typeof UNITS;

/** How units are written. */
const UNIT_WORDS: Readonly<Record<string, TimeUnit>> = {
  s: "s",
  sec: "s",
  secs: "s",
  second: "s",
  seconds: "s",
  ms: "ms",
  msec: "ms",
  millis: "ms",
  milliseconds: "ms",
  us: "us",
  "µs": "us",
  usec: "us",
  microseconds: "us",
  ns: "ns",
  nsec: "ns",
  nanoseconds: "ns",
};

/** The unit that `word` is; undefined = it is none. */
export function unitOf(word: string): TimeUnit | undefined {
  const small = word.toLowerCase();
  return Object.hasOwn(UNIT_WORDS, small) ? UNIT_WORDS[small] : undefined;
}

/** What a column or key of a file says of an answer. */
export type TimesField =
  | "firstToken"
  | "gap"
  | "gapTokens"
  | "total"
  | "promptTokens"
  | "cachedTokens"
  | "outputTokens"
  | "speed"
  | "error"
  | "status"
  | "success";

/** Fields that are a time, and have a unit. */
const TIMED: ReadonlySet<TimesField> = new Set(["firstToken", "gap", "total"]);

/** The names of each, in lower case, words joined by "_", without a unit; the best comes first. */
const NAMES: Readonly<Record<TimesField, readonly string[]>> = {
  firstToken: [
    "ttft",
    "ttfts",
    "time_to_first_token",
    "first_token",
    "first_token_latency",
    "first_token_time",
    "latency_to_first_token",
  ],
  gap: [
    "itls",
    "gaps",
    "inter_chunk_latency",
    "inter_chunk_latencies",
    "itl",
    "inter_token_latency",
    "inter_token_latencies",
    "tpot",
    "time_per_output_token",
    "tbt",
    "time_between_tokens",
    "gap",
  ],
  gapTokens: ["gap_tokens", "itl_token_lens", "event_tokens"],
  total: [
    "e2e",
    "e2el",
    "e2e_latency",
    "end_to_end_latency",
    "request_latency",
    "total_latency",
    "total_time",
    "total",
    "latency",
    "duration",
  ],
  promptTokens: [
    "prompt_tokens",
    "input_tokens",
    "prompt_len",
    "input_len",
    "input_length",
    "input_sequence_length",
    "isl",
    "prompt_token_count",
    "input_token_count",
    "context_tokens",
    "request_tokens",
  ],
  cachedTokens: [
    "cached_tokens",
    "cached_prompt_tokens",
    "cache_read_tokens",
    "cache_read_input_tokens",
  ],
  outputTokens: [
    "output_tokens",
    "completion_tokens",
    "generated_tokens",
    "output_len",
    "output_length",
    "output_sequence_length",
    "osl",
    "completion_token_count",
    "output_token_count",
    "response_tokens",
  ],
  speed: [
    "tokens_per_s",
    "tokens_per_sec",
    "tokens_per_second",
    "output_tokens_per_s",
    "output_tokens_per_second",
    "tps",
    "output_token_throughput_per_user",
  ],
  error: ["error", "error_message", "exception"],
  status: ["status", "status_code", "http_status"],
  success: ["success", "ok", "is_success"],
};

const FIELDS = Object.entries(NAMES) as readonly (readonly [TimesField, readonly string[]])[];

/** A column or key that is understood. */
export interface TimesColumn {
  readonly field: TimesField;
  /** As the file writes it. */
  readonly name: string;
  /** What its numbers are multiplied by to be milliseconds; 1 where they are no times. */
  readonly factor: number;
  /** Of two for one field the one with the smaller rank counts. */
  readonly rank: number;
}

/** "TTFT (ms)", "ttftMs" and "ttft-ms" as "ttft_ms". */
function plainName(name: string): string {
  return name.trim().replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase()
    .replace(/[^a-z0-9µ]+/g, "_").replace(/^_+|_+$/g, "");
}

/**
 * What the column or key `name` is; undefined = nothing that is known. `unit`: of times that do not
 * say theirs.
 *
 * @throws {TimesFault} without a place when it is a time and nobody says its unit.
 */
function columnOf(name: string, unit: TimeUnit | undefined): TimesColumn | undefined {
  const plain = plainName(name);
  const whole = named(plain);
  if (whole !== undefined) {
    if (!TIMED.has(whole.field)) return { ...whole, name, factor: 1 };
    if (unit !== undefined) return { ...whole, name, factor: UNITS[unit] };
    throw new TimesFault(
      `"${name}" does not say its unit: call it ${plain}_ms or ${plain}_s, or give --unit`,
    );
  }
  const at = plain.lastIndexOf("_");
  const own = unitOf(plain.slice(at + 1));
  const timed = at < 0 || own === undefined ? undefined : named(plain.slice(0, at));
  if (timed === undefined || own === undefined || !TIMED.has(timed.field)) return undefined;
  return { ...timed, name, factor: UNITS[own] };
}

function named(plain: string): Pick<TimesColumn, "field" | "rank"> | undefined {
  for (const [field, names] of FIELDS) {
    const rank = names.indexOf(plain);
    if (rank >= 0) return { field, rank };
  }
  return undefined;
}

/**
 * The columns among `names`, one for each field at most, with the place of each.
 *
 * @throws {TimesFault} without a place when no time is among them.
 */
export function columnsOf(
  names: readonly string[],
  unit: TimeUnit | undefined,
): ReadonlyMap<number, TimesColumn> {
  const found = new Map<TimesField, readonly [at: number, column: TimesColumn]>();
  for (const [at, name] of names.entries()) {
    const column = columnOf(name, unit);
    if (column === undefined) continue;
    const other = found.get(column.field)?.[1];
    if (other === undefined || column.rank < other.rank) found.set(column.field, [at, column]);
  }
  const columns = new Map(found.values());
  const fields = new Set(found.keys());
  const isEnough = fields.has("firstToken") || fields.has("gap") || fields.has("speed");
  if (!isEnough) throw new TimesFault(missing(names));
  return columns;
}

/** Names that are shown of a file that has others. */
const SHOWN_MAX = 20;

function missing(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN_MAX).map((name) => JSON.stringify(name)).join(", ");
  const more = names.length > SHOWN_MAX ? ` and ${names.length - SHOWN_MAX} more` : "";
  const known = FIELDS.flatMap(([field, words]) =>
    TIMED.has(field) ? words.map((word) => `${word}_ms`) : words
  );
  const hints = names.flatMap((name) => {
    const near = nearest(plainName(name), known);
    return near === undefined ? [] : [`is ${JSON.stringify(name)} ${near}?`];
  });
  const found = `${shown || "none"}${more}`;
  return `there is no column of times: it has ${found}. Needed is ttft_ms or ttft_s ` +
    "(to the first token), itl_ms or itl_s (between tokens) or tokens_per_s; prompt_tokens, " +
    `cached_tokens, output_tokens and e2e_ms help${hints.length === 0 ? "" : `; ${hints[0]}`}`;
}

/** A cell or value that cannot be what its column says: "must be …". */
export class BadValue extends Error {
  readonly column: TimesColumn;

  constructor(column: TimesColumn, what: string) {
    super(`${column.name} ${what}`);
    this.column = column;
  }
}

/** The largest time that is taken, a day: more is another unit. */
const TIME_MS_MAX = 86_400_000;

/** What tables have where there is nothing. */
const ABSENT: ReadonlySet<unknown> = new Set(["", "-", "null", "None", "NaN", "nan", "NA", "N/A"]);

/**
 * One answer of its values by column, or why it is left out. A value that is absent, null or empty
 * text was not measured.
 *
 * @throws {BadValue} when a value is nothing that its column can have.
 */
export function timesOf(
  place: string,
  values: readonly (readonly [column: TimesColumn, value: unknown])[],
): Times | "it failed" {
  let hasFailed = false;
  const times: Record<string, unknown> = { place };
  for (const [column, value] of values) {
    const { field } = column;
    if (value === undefined || value === null || ABSENT.has(value)) continue;
    switch (field) {
      case "error":
        hasFailed ||= value !== false && value !== 0 && value !== "0" && value !== "false";
        break;
      case "success":
        hasFailed ||= [false, 0, "0", "false", "False", "no"].includes(value as string);
        break;
      case "status":
        hasFailed ||= Number(value) >= 400;
        break;
      case "gap":
        if (Array.isArray(value)) times["gapsMs"] = value.map((one) => timeIn(column, one));
        else times["tokenMs"] = timeIn(column, value);
        break;
      case "gapTokens":
        if (!Array.isArray(value)) throw new BadValue(column, "must be a list");
        times[field] = value.map((one) => countIn(column, one));
        break;
      case "speed": {
        const speed = numberIn(column, value);
        // A request of one token has no speed.
        if (speed > 0) times["tokenMs"] ??= 1000 / speed;
        break;
      }
      case "firstToken":
      case "total":
        times[`${field}Ms`] = timeIn(column, value);
        break;
      default:
        times[field] = countIn(column, value);
    }
  }
  return hasFailed ? "it failed" : checked(times as unknown as Times, values);
}

/** Times that cannot be together, and those that stand for nothing. */
function checked(
  times: Times,
  values: readonly (readonly [column: TimesColumn, value: unknown])[],
): Times {
  const columnOfField = (field: TimesField) =>
    values.find(([column]) => column.field === field)![0];
  const { firstTokenMs, totalMs, promptTokens, cachedTokens, gapsMs, gapTokens } = times;
  const gapCount = gapsMs?.length ?? 0;
  if (gapTokens !== undefined && gapTokens.length !== gapCount) {
    throw new BadValue(
      columnOfField("gapTokens"),
      `must have as many entries as there are gaps, ${gapCount}: it has ${gapTokens.length}`,
    );
  }
  if (firstTokenMs !== undefined && totalMs !== undefined && totalMs < firstTokenMs) {
    throw new BadValue(
      columnOfField("total"),
      `must not be less than the time to the first token, ${firstTokenMs} ms: it is ${totalMs} ms`,
    );
  }
  if (cachedTokens !== undefined && promptTokens !== undefined && cachedTokens > promptTokens) {
    throw new BadValue(
      columnOfField("cachedTokens"),
      `must not be more than those of the prompt, ${promptTokens}: it is ${cachedTokens}`,
    );
  }
  if (firstTokenMs !== 0) return times;
  // What several tools write where nothing came.
  const { firstTokenMs: _, ...rest } = times;
  return rest;
}

function numberIn(column: TimesColumn, value: unknown): number {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number === "number" && Number.isFinite(number) && number >= 0) return number;
  throw new BadValue(column, `must be a number of 0 or more: it is ${JSON.stringify(value)}`);
}

function timeIn(column: TimesColumn, value: unknown): number {
  const ms = numberIn(column, value) * column.factor;
  if (ms <= TIME_MS_MAX) return ms;
  throw new BadValue(column, `must be less than a day: it is ${JSON.stringify(value)}`);
}

function countIn(column: TimesColumn, value: unknown): number {
  const count = numberIn(column, value);
  if (Number.isInteger(count)) return count;
  throw new BadValue(column, `must be a whole number: it is ${JSON.stringify(value)}`);
}
