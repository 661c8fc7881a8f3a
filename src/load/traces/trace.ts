/**
 * Traces: what was asked elsewhere, and when. Pure readers of the forms in which they are published.
 *
 *   Mooncake     JSON lines: timestamp (ms), input_length, output_length, hash_ids (512 tokens each)
 *   AIPerf       the same, with session_id, delay, messages, text_input or payload
 *   Azure        CSV: TIMESTAMP, ContextTokens, GeneratedTokens
 *   BurstGPT     CSV: Timestamp (s), Model, Request tokens, Response tokens, …; 0 = it had failed
 *   ShareGPT     JSON: [{conversations: [{from: "human", value}]}]; it has no times
 *   journal      what weir's GET /__weir/requests gives
 *   tape         weir's *.tape.jsonl
 *
 * @module
 */

/** One request of a trace. */
export interface TraceRequest {
  /** After the first one; undefined = nobody knows. */
  readonly atMs: number | undefined;
  /** The prompt's length; undefined = its text is there. */
  readonly promptTokens: number | undefined;
  /** The answer's length; undefined = nobody knows. */
  readonly outputTokens: number | undefined;
  /** What is asked, as it is. */
  readonly text?: string | undefined;
  /** The whole body of the request, as it is. */
  readonly body?: string | undefined;
  /** Blocks of the prompt: prompts that begin with the same ones begin with the same text. */
  readonly blocks?: readonly number[] | undefined;
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

const READERS: Readonly<Record<TraceForm, (text: string) => readonly TraceRequest[]>> = {
  mooncake: readMooncake,
  azure: (text) => readCsv(text, ["TIMESTAMP", "ContextTokens", "GeneratedTokens"], momentMs),
  burstgpt: (text) =>
    readCsv(
      text,
      ["Timestamp", "Request tokens", "Response tokens"],
      (cell) => 1000 * Number(cell),
    ),
  sharegpt: readSharegpt,
  journal: readJournal,
  tape: readTapeLines,
};

/**
 * The requests of a trace, with the times of its own clock.
 *
 * @throws {TypeError} with a sentence when the text has none of the forms.
 */
export function readTrace(text: string): readonly TraceRequest[] {
  const form = formOf(text);
  if (form === undefined) {
    throw new TypeError(`it has none of the forms that are known: ${TRACE_FORMS.join(", ")}`);
  }
  const requests = READERS[form](text);
  if (requests.length === 0) throw new TypeError(`it has no request, as ${form}`);
  return requests;
}

/** In the order of their times, which then begin with 0. Tapes and journals have a common clock. */
export function inOrder(requests: readonly TraceRequest[]): readonly TraceRequest[] {
  const firstMs = requests.reduce((least, { atMs = Infinity }) => Math.min(least, atMs), Infinity);
  if (firstMs === Infinity) return requests;
  return requests
    .map((one) => ({ ...one, atMs: Math.max(0, (one.atMs ?? firstMs) - firstMs) }))
    .sort((a, b) => a.atMs - b.atMs);
}

/** Which form a text has, by its beginning. */
export function formOf(text: string): TraceForm | undefined {
  const start = text.trimStart();
  const line = start.slice(0, start.indexOf("\n") < 0 ? undefined : start.indexOf("\n"));
  if (/^"?TIMESTAMP"?\s*,\s*"?ContextTokens/.test(line)) return "azure";
  if (/^"?Timestamp"?\s*,.*Request tokens/.test(line)) return "burstgpt";
  if (start.startsWith("[") && /"conversations"/.test(start)) return "sharegpt";
  if (start.startsWith("{") && /^\{\s*"requests"\s*:/.test(start)) return "journal";
  const first = parsed(line);
  if (first?.["tape"] !== undefined) return "tape";
  const keys = ["input_length", "text_input", "messages", "payload"];
  return keys.some((key) => first?.[key] !== undefined) ? "mooncake" : undefined;
}

function readMooncake(text: string): readonly TraceRequest[] {
  /** When a session's last request was, which the next one is so long behind. */
  const sessions = new Map<string, number>();
  return lines(text).flatMap((line, at) => {
    const one = parsed(line);
    if (one === undefined) throw new TypeError(`line ${at + 1} is no JSON object`);
    const session = String(one["session_id"] ?? `line ${at}`);
    const told = number(one["timestamp"]);
    const beforeMs = sessions.get(session);
    const atMs = told ??
      (beforeMs === undefined ? undefined : beforeMs + (number(one["delay"]) ?? 0));
    if (atMs !== undefined) sessions.set(session, atMs);
    const { messages, payload, text_input, hash_ids } = one;
    return [{
      atMs,
      promptTokens: number(one["input_length"]),
      outputTokens: number(one["output_length"]),
      text: typeof text_input === "string" ? text_input : undefined,
      body: payload !== undefined
        ? JSON.stringify(payload)
        : Array.isArray(messages)
        ? JSON.stringify({ messages })
        : undefined,
      blocks: Array.isArray(hash_ids)
        ? hash_ids.filter((id): id is number => typeof id === "number")
        : undefined,
    }];
  });
}

/** `columns`: the time, the tokens of the prompt, those of the answer. */
function readCsv(
  text: string,
  columns: readonly [string, string, string],
  timeOf: (cell: string) => number,
): readonly TraceRequest[] {
  const [head = "", ...rows] = lines(text);
  const heads = cells(head);
  const [time, input, output] = columns.map((name) => heads.indexOf(name));
  if (time! < 0 || input! < 0 || output! < 0) {
    throw new TypeError(`its head lacks one of ${columns.join(", ")}`);
  }
  return rows.flatMap((row, at) => {
    const found = cells(row);
    const atMs = timeOf(found[time!] ?? "");
    const promptTokens = Number(found[input!]);
    const outputTokens = Number(found[output!]);
    if (Number.isNaN(atMs + promptTokens + outputTokens)) {
      throw new TypeError(`line ${at + 2} has no time, or no numbers of tokens`);
    }
    // BurstGPT: a service that has failed has said nothing. It was asked all the same.
    return [{ atMs, promptTokens, outputTokens: outputTokens || undefined }];
  });
}

function readSharegpt(text: string): readonly TraceRequest[] {
  const all = JSON.parse(text) as unknown;
  return list(all).flatMap((one) => {
    const said = list(object(one)?.["conversations"]).map(object);
    const asked = said.find((turn) => turn?.["from"] === "human" || turn?.["from"] === "user");
    const value = asked?.["value"];
    return typeof value === "string" && value !== ""
      ? [{ atMs: undefined, promptTokens: undefined, outputTokens: undefined, text: value }]
      : [];
  });
}

function readJournal(text: string): readonly TraceRequest[] {
  const requests = list(object(JSON.parse(text))?.["requests"]);
  return requests.map(object).flatMap((one) => {
    const atMs = number(one?.["at_ms"]);
    const body = one?.["body"];
    const promptTokens = number(one?.["prompt_tokens"]);
    if (one === undefined || atMs === undefined || one["method"] !== "POST") return [];
    if (typeof body !== "string" && promptTokens === undefined) return [];
    return [{
      atMs,
      promptTokens,
      outputTokens: number(one["completion_tokens"]),
      body: typeof body === "string" && body !== "" ? body : undefined,
    }];
  });
}

/** One tape: its request's body, in its pieces, and when it was asked. */
function readTapeLines(text: string): readonly TraceRequest[] {
  let atMs: number | undefined;
  const pieces: Buffer[] = [];
  for (const line of lines(text)) {
    const one = parsed(line) ?? {};
    const { when, sent, sent64 } = one;
    if (typeof when === "string") atMs = Date.parse(when);
    if (typeof sent === "string") pieces.push(Buffer.from(sent));
    if (typeof sent64 === "string") pieces.push(Buffer.from(sent64, "base64"));
  }
  const body = Buffer.concat(pieces).toString();
  return body === "" ? [] : [{ atMs, promptTokens: undefined, outputTokens: undefined, body }];
}

/** "2023-11-16 18:17:03.9799600": digits of a second that no `Date` has are kept, and it is UTC. */
function momentMs(cell: string): number {
  const [, second, fraction = ""] = /^(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(\.\d+)?/.exec(cell) ?? [];
  if (second === undefined) return NaN;
  return Date.parse(`${second.replace(" ", "T")}Z`) + 1000 * Number(fraction || 0);
}

function lines(text: string): readonly string[] {
  return text.split(/\r?\n/).filter((line) => line.trim() !== "");
}

/** No cell of these has a comma. */
function cells(line: string): readonly string[] {
  return line.split(",").map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
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
