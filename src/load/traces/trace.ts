/**
 * Traces: what was asked elsewhere, and when. Readers of the forms in which they are published. They
 * are given a text in pieces and give its requests one by one, so that a file of gigabytes is read as
 * far as somebody wants it, and no further.
 *
 *   Mooncake     JSON lines: timestamp (ms), input_length, output_length, hash_ids (512 tokens each)
 *   AIPerf       the same, with session_id, delay, messages, message_mode, tools, text_input, payload
 *                or extra
 *   Azure        CSV: TIMESTAMP, ContextTokens, GeneratedTokens; in 2025 NumImages as well
 *   BurstGPT     CSV: Timestamp (s), Model, Request tokens, Response tokens, …; 0 = it had failed
 *   ShareGPT     JSON: [{conversations: [{from: "human", value}]}], or a line each; it has no times
 *   journal      what weir's GET /__weir/requests gives
 *   tape         weir's *.tape.jsonl
 *
 * @module
 */

import { type Api, apiOfPath, type Item } from "../requests/bodies.ts";
import { linesOf, objectsOf } from "./pieces.ts";

/** One request of a trace. */
export interface TraceRequest {
  /** By the trace's own clock; undefined = nobody knows. */
  readonly atMs: number | undefined;
  /** The prompt's length; undefined = its text is there. */
  readonly promptTokens: number | undefined;
  /** The answer's length; undefined = nobody knows. */
  readonly outputTokens: number | undefined;
  /** What is asked, as it is. */
  readonly text?: string | undefined;
  /** The whole body of the request, as it is. */
  readonly body?: string | undefined;
  /** Where it was asked; undefined = where this run asks. */
  readonly path?: string | undefined;
  /** Messages of chat, in place of the body. */
  readonly messages?: readonly Item[] | undefined;
  /** What else stands in the body. */
  readonly fields?: Item | undefined;
  /** Blocks of the prompt: prompts that begin with the same ones begin with the same text. */
  readonly blocks?: readonly number[] | undefined;
  /** Which conversation it belongs to. */
  readonly session?: string | undefined;
  /** From the answer before it in its conversation; undefined = its time is known, or it follows at once. */
  readonly delayMs?: number | undefined;
  /** True: it asks what it says, and nothing of what was said before in its conversation. */
  readonly isWhole?: boolean | undefined;
  /** What follows in its conversation, of the first one. */
  readonly later?: readonly TraceRequest[] | undefined;
}

/** Tokens of a block of Mooncake's. */
export const BLOCK_TOKENS = 512;

/** The forms that are read. */
export const TRACE_FORMS = [
  "mooncake",
  "azure",
  "burstgpt",
  "sharegpt",
  "journal",
  "tape",
] as const;

/** The name of a form. */
export type TraceForm = typeof TRACE_FORMS[number];

type Json = Readonly<Record<string, unknown>>;
type Requests = Generator<TraceRequest, void, void>;

const READERS: Readonly<Record<TraceForm, (pieces: Iterable<string>) => Requests>> = {
  mooncake: readMooncake,
  azure: (pieces) => readCsv(pieces, ["TIMESTAMP", "ContextTokens", "GeneratedTokens"], momentMs),
  burstgpt: (pieces) =>
    readCsv(
      pieces,
      ["Timestamp", "Request tokens", "Response tokens"],
      (cell) => 1000 * numberIn(cell),
    ),
  sharegpt: readSharegpt,
  journal: readJournal,
  tape: readTapeLines,
};

/** Characters from which a form is told. */
const BEGINNING = 1024 * 1024;

/**
 * The requests of a trace, in the order of the file, with the times of its own clock.
 *
 * @throws {TypeError} with a sentence when the text has none of the forms.
 */
export function* readTrace(pieces: Iterable<string>): Requests {
  const iterator = pieces[Symbol.iterator]();
  let beginning = "";
  let next = iterator.next();
  while (next.done !== true && beginning.length < BEGINNING) {
    beginning += next.value;
    next = iterator.next();
  }
  const text = beginning.replace(/^\uFEFF/, "");
  if (next.done === true && text.trim() === "") throw new TypeError("it is empty");
  const form = formOf(text);
  if (form === undefined) {
    throw new TypeError(`it has none of the forms that are known: ${TRACE_FORMS.join(", ")}`);
  }
  function* all() {
    yield text;
    for (; next.done !== true; next = iterator.next()) yield next.value;
  }
  let isAny = false;
  for (const request of READERS[form](all())) {
    isAny = true;
    yield request;
  }
  if (!isAny) throw new TypeError(`it has no request, as ${form}`);
}

/** Why a request of a trace cannot be asked. */
export type Unaskable = "another API" | "nothing known";

/**
 * The request as it can be asked in `api`: one of another API, whose body would be none here, is a prompt
 * of its length.
 */
export function askedIn(api: Api, { path, ...request }: TraceRequest): TraceRequest | Unaskable {
  const isOther = path !== undefined && apiOfPath(path.replace(/\?.*/s, "")) !== api;
  const asked = isOther ? { ...request, body: undefined } : request;
  const { promptTokens, text, body, messages, blocks } = asked;
  if ((promptTokens ?? text ?? body ?? messages ?? blocks) !== undefined) return asked;
  return isOther ? "another API" : "nothing known";
}

/**
 * Requests of one conversation as one: the first, with those that follow it. The others stay as they are,
 * and all in the order in which they begin.
 */
export function inSessions(requests: readonly TraceRequest[]): readonly TraceRequest[] {
  const heads = new Map<unknown, TraceRequest & { readonly later: TraceRequest[] }>();
  const all: TraceRequest[] = [];
  for (const request of requests) {
    const { session } = request;
    const head = session === undefined ? undefined : heads.get(session);
    if (head !== undefined) {
      head.later.push(request);
      continue;
    }
    const first = { ...request, later: [] };
    if (session !== undefined) heads.set(session, first);
    all.push(session === undefined ? request : first);
  }
  return all;
}

/** A request, and what follows it in its conversation. */
export function turnsOf(request: TraceRequest): readonly TraceRequest[] {
  return [request, ...request.later ?? []];
}

/** Times before 1973 are no dates: their clock began with their trace. */
const DATES_FROM_MS = 1e11;

/**
 * The requests of several traces in the order of their times, which then begin with 0. Traces with dates
 * have a common clock; where one has none, each begins with its own first request.
 *
 * @throws {TypeError} when some have times and others have none.
 */
export function inOrder(traces: readonly (readonly TraceRequest[])[]): readonly TraceRequest[] {
  const firsts = traces.map((requests) =>
    requests.reduce((least, { atMs = Infinity }) => Math.min(least, atMs), Infinity)
  );
  if (firsts.every((firstMs) => firstMs === Infinity)) return traces.flat();
  if (traces.flat().some(({ atMs }) => atMs === undefined)) {
    throw new TypeError("some requests have a time, and others have none");
  }
  const areDates = firsts.every((firstMs) => firstMs >= DATES_FROM_MS);
  const commonMs = Math.min(...firsts);
  return traces
    .flatMap((requests, at) => {
      const beginMs = areDates ? commonMs : firsts[at]!;
      const since = ({ atMs }: TraceRequest) => atMs === undefined ? undefined : atMs - beginMs;
      return requests.map((one) => ({
        ...one,
        atMs: one.atMs! - beginMs,
        ...(one.later === undefined
          ? {}
          : { later: one.later.map((later) => ({ ...later, atMs: since(later) })) }),
      }));
    })
    .sort((a, b) => a.atMs - b.atMs);
}

/** Which form a text has, by its beginning. */
export function formOf(text: string): TraceForm | undefined {
  const start = text.trimStart();
  const end = start.indexOf("\n");
  const line = end < 0 ? start : start.slice(0, end);
  if (/^"?TIMESTAMP"?\s*,.*ContextTokens/.test(line)) return "azure";
  if (/^"?Timestamp"?\s*,.*Request tokens/.test(line)) return "burstgpt";
  if (start.startsWith("[") && /"conversations"/.test(start)) return "sharegpt";
  if (start.startsWith("{") && /^\{\s*"requests"\s*:/.test(start)) return "journal";
  const first = parsed(line);
  if (first?.["tape"] !== undefined) return "tape";
  if (Array.isArray(first?.["conversations"])) return "sharegpt";
  return first !== undefined && ASKED.some((key) => first[key] !== undefined)
    ? "mooncake"
    : undefined;
}

/** What says what a request of Mooncake's or AIPerf's asks: one of these. */
const ASKED = ["input_length", "text_input", "messages", "payload"] as const;

const isNumber = (value: unknown) => number(value) !== undefined;
const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const TIME = { is: isNumber, no: "no number" };
const COUNT = { is: isCount, no: "no number of tokens" };

/** What values must be where they are there. */
const MOONCAKE = {
  timestamp: TIME,
  delay: TIME,
  input_length: COUNT,
  output_length: COUNT,
  messages: {
    is: (value: unknown) => Array.isArray(value) && value.every((one) => object(one) !== undefined),
    no: "no list of messages",
  },
  payload: { is: (value: unknown) => object(value) !== undefined, no: "no JSON object" },
  hash_ids: {
    is: (value: unknown) => Array.isArray(value) && value.every(isNumber),
    no: "no list of numbers",
  },
} as const;

function* readMooncake(pieces: Iterable<string>): Requests {
  /** Of each session: whether its messages are new ones, and its tools. */
  const sessions = new Map<string, { readonly isDelta: boolean; readonly tools: unknown }>();
  /** The model that each session was asked of last. */
  const models = new Map<string, string>();
  for (const { text: line, number: at } of linesOf(pieces)) {
    const one = parsed(line);
    if (one === undefined) throw new TypeError(`line ${at} is no JSON object`);
    if (ASKED.every((key) => one[key] === undefined)) {
      throw new TypeError(`line ${at} has none of ${ASKED.join(", ")}`);
    }
    const { session_id, messages, payload, text_input, hash_ids, message_mode } = one;
    for (const [key, wanted] of Object.entries(MOONCAKE)) {
      const value = one[key];
      if (value === undefined || value === null || wanted.is(value)) continue;
      throw new TypeError(`line ${at}: its ${key} is ${wanted.no}`);
    }
    const session = session_id === undefined || session_id === null
      ? undefined
      : String(session_id);
    const isDelta = message_mode === "delta";
    const before = session === undefined ? undefined : sessions.get(session);
    // What is new goes on with the tools that were there.
    const tools = one["tools"] ?? (isDelta ? before?.tools : undefined);
    if (session !== undefined && Array.isArray(messages)) {
      if (before?.isDelta === !isDelta) {
        throw new TypeError(
          `line ${at}: its messages are ${isDelta ? "new ones" : "all"} (message_mode), ` +
            `and those of its session before were ${isDelta ? "all" : "new ones"}`,
        );
      }
      sessions.set(session, { isDelta, tools });
    }
    // A conversation goes on with the model that it had.
    const named = one["model"] ?? object(payload)?.["model"];
    const model = typeof named === "string" ? named : session && models.get(session);
    if (session && model) models.set(session, model);
    const fields = {
      ...(model ? { model } : {}),
      ...(Array.isArray(tools) ? { tools } : {}),
      ...object(one["extra"]),
    };
    yield {
      atMs: number(one["timestamp"]),
      promptTokens: number(one["input_length"]),
      // As BurstGPT has it: what had failed, had said nothing.
      outputTokens: number(one["output_length"]) || undefined,
      text: typeof text_input === "string" ? text_input : undefined,
      body: object(payload) === undefined ? undefined : JSON.stringify(payload),
      messages: Array.isArray(messages) ? messages as readonly Item[] : undefined,
      fields: Object.keys(fields).length === 0 ? undefined : fields,
      blocks: Array.isArray(hash_ids) && hash_ids.length > 0
        ? hash_ids as readonly number[]
        : undefined,
      session,
      delayMs: number(one["delay"]),
      isWhole: Array.isArray(messages) && !isDelta,
    };
  }
}

/** `columns`: the time, the tokens of the prompt, those of the answer. */
function* readCsv(
  pieces: Iterable<string>,
  columns: readonly [string, string, string],
  timeOf: (cell: string) => number,
): Requests {
  let places: readonly number[] | undefined;
  for (const { text, number: at } of linesOf(pieces)) {
    const found = cells(text);
    if (places === undefined) {
      places = columns.map((name) => found.indexOf(name));
      const missing = columns.filter((_, i) => places![i]! < 0);
      if (missing.length > 0) throw new TypeError(`its head has no ${missing.join(", no ")}`);
      continue;
    }
    const [time = "", input = "", output = ""] = places.map((place) => found[place]);
    const atMs = timeOf(time);
    const promptTokens = numberIn(input);
    const outputTokens = numberIn(output);
    if (Number.isNaN(atMs + promptTokens + outputTokens)) {
      throw new TypeError(`line ${at} has no time, or no numbers of tokens`);
    }
    // BurstGPT: a service that has failed has said nothing. It was asked all the same.
    yield { atMs, promptTokens, outputTokens: outputTokens || undefined };
  }
}

function* readSharegpt(pieces: Iterable<string>): Requests {
  for (const { text, number: at } of objectsOf(pieces)) {
    const one = parsed(text);
    if (one === undefined) throw new TypeError(`line ${at} begins an object that is no JSON`);
    const said = list(one["conversations"]).map(object);
    const asked = said.find((turn) => turn?.["from"] === "human" || turn?.["from"] === "user");
    const value = asked?.["value"];
    if (typeof value !== "string" || value === "") continue;
    yield { atMs: undefined, promptTokens: undefined, outputTokens: undefined, text: value };
  }
}

function* readJournal(pieces: Iterable<string>): Requests {
  const requests = list(object(JSON.parse([...pieces].join("")))?.["requests"]);
  for (const one of requests.map(object)) {
    const atMs = number(one?.["at_ms"]);
    if (one === undefined || atMs === undefined || one["method"] !== "POST") continue;
    const { body: written, path } = one;
    // Of a long one the beginning is kept, as text: then its length is what is known of it.
    const value = typeof written === "string" ? parsed(written) : object(written);
    yield {
      atMs,
      promptTokens: number(one["prompt_tokens"]),
      outputTokens: number(one["completion_tokens"]),
      body: value === undefined ? undefined : JSON.stringify(value),
      path: typeof path === "string" ? path : undefined,
    };
  }
}

/** One tape: its request's body, in its pieces, where and when it was asked. */
function* readTapeLines(pieces: Iterable<string>): Requests {
  let atMs: number | undefined;
  let path: string | undefined;
  const sentPieces: Buffer[] = [];
  for (const { text } of linesOf(pieces)) {
    const one = parsed(text) ?? {};
    const { when, request, sent, sent64 } = one;
    if (request !== undefined && typeof one["path"] === "string") path = one["path"];
    if (typeof when === "string") atMs = Date.parse(when);
    if (typeof sent === "string") sentPieces.push(Buffer.from(sent));
    if (typeof sent64 === "string") sentPieces.push(Buffer.from(sent64, "base64"));
  }
  const body = Buffer.concat(sentPieces).toString();
  if (body !== "" && parsed(body) === undefined) {
    throw new TypeError("its request has a body that is no JSON object");
  }
  if (body !== "") yield { atMs, promptTokens: undefined, outputTokens: undefined, body, path };
}

/**
 * "2023-11-16 18:17:03.9799600", "2024-05-10 00:00:00.009930+00:00": digits of a second that no `Date`
 * has are kept, and where no zone is named it is UTC.
 */
function momentMs(cell: string): number {
  const found = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)?$/.exec(cell);
  if (found === null) return NaN;
  const [, day, time, fraction = "", zone = "Z"] = found;
  return Date.parse(`${day}T${time}${zone}`) + 1000 * Number(fraction || 0);
}

/** A number that is written down, and nothing else: an empty cell is none. */
function numberIn(cell: string): number {
  return /^\d+(\.\d+)?$/.test(cell) ? Number(cell) : NaN;
}

/** Cells of a row of CSV; those in quotes may have commas, and quotes twice. */
function cells(line: string): readonly string[] {
  if (!line.includes('"')) return line.split(",").map((cell) => cell.trim());
  return [...line.matchAll(/(?:^|,)\s*(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) =>
    quoted === undefined ? plain!.trim() : quoted.replaceAll('""', '"').trim()
  );
}

function parsed(line: string): Json | undefined {
  try {
    return object(JSON.parse(line));
  } catch {
    return undefined;
  }
}

function object(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Json
    : undefined;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function number(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}
