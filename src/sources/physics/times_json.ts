/**
 * Times as JSON: results of vLLM (`vllm bench serve --save-detailed`) and of those that write as it
 * does, AIPerf's records, GenAI-Perf's exports, and one object for each answer with names of one's
 * own.
 *
 * @module
 */

import { isDeeper } from "../../lib/depth.ts";
import { jsonFault } from "../../lib/json_fault.ts";
import { jsonPlaces } from "../../lib/json_places.ts";
import {
  BadValue,
  columnsOf,
  type ReadTimes,
  type Times,
  type TimesColumn,
  TimesFault,
  timesOf,
  type TimeUnit,
  unitOf,
  UNITS,
} from "./times.ts";

type Json = Readonly<Record<string, unknown>>;

/** Deeper than any of these files is. */
const DEPTH_MAX = 32;

/** One JSON value of a file, and where it is. */
interface Value {
  readonly value: unknown;
  readonly text: string;
  readonly file: string;
  /** The line on which the text begins, from 1. */
  readonly line: number;
  /** Where in the text it is. */
  readonly path: Path;
}

/** What can be wrong below a value: the way to it. */
type Path = readonly (string | number)[];

/**
 * The times in `text`, JSON or JSON lines, of a file that is called `file`.
 *
 * @throws {TimesFault} with the place of what is wrong.
 */
export function readJson(text: string, file: string, unit: TimeUnit | undefined): ReadTimes {
  const values = valuesIn(text, file);
  const [first] = values;
  const shape = object(first?.value);
  const reader = FORMATS.find(({ isOne }) => isOne(shape));
  if (reader !== undefined) return reader.read(values);
  return readRows(values, unit);
}

/** The whole text as one value, else each line as one. */
function valuesIn(text: string, file: string): readonly Value[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return linesIn(text, file);
  }
  const whole = { value, text, file, line: 1, path: [] };
  if (isDeeper(value, DEPTH_MAX)) throw faultAt(whole, 0, "it is nested too deeply");
  return Array.isArray(value) && !value.some(Array.isArray)
    ? value.map((one, at) => ({ ...whole, value: one, path: [at] }))
    : [whole];
}

function linesIn(text: string, file: string): readonly Value[] {
  const values: Value[] = [];
  const lines = text.split("\n");
  for (const [at, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const one = { text: line, file, line: at + 1, path: [] };
    try {
      values.push({ ...one, value: JSON.parse(line) });
    } catch {
      // Where not even the first line is JSON, it is one broken value and not many.
      const broken = values.length > 0 ? one : { ...one, text, line: 1 };
      throw faultAt(broken, jsonFault(broken.text) ?? 0, "it is no JSON from here on");
    }
    if (isDeeper(values.at(-1)!.value, DEPTH_MAX)) {
      throw faultAt(one, 0, "it is nested too deeply");
    }
  }
  return values;
}

function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Json : {};
}

/** A fault at what `path` leads to in a value. */
function fault(one: Value, path: Path, what: string): TimesFault {
  let place = jsonPlaces(one.text);
  let at = place.at;
  for (const key of [...one.path, ...path]) {
    const inner = typeof key === "number"
      ? place.items?.[key]
      : place.fields?.findLast((field) => field.key === key)?.value;
    if (inner === undefined) break;
    place = inner;
    at = place.at;
  }
  return faultAt(one, at, what);
}

function faultAt(one: Omit<Value, "value">, offset: number, what: string): TimesFault {
  const before = one.text.slice(0, offset).split("\n");
  const line = one.line + before.length - 1;
  return new TimesFault(`${one.file}:${line}:${before.at(-1)!.length + 1}: ${what}`);
}

/** A format that its first value tells. */
interface Format {
  readonly isOne: (first: Json) => boolean;
  /** @throws {TimesFault} */
  readonly read: (values: readonly Value[]) => ReadTimes;
}

const FORMATS: readonly Format[] = [
  { isOne: ({ ttfts }) => Array.isArray(ttfts), read: readRuns },
  {
    isOne: ({ metrics, metadata }) => typeof metrics === "object" && typeof metadata === "object",
    read: readRecords,
  },
  { isOne: ({ experiments }) => Array.isArray(experiments), read: readExperiments },
  refused(
    (first) => object(first["time_to_first_token"])["unit"] !== undefined,
    "it has percentiles, from which nothing can be fitted: AIPerf writes each request into " +
      "profile_export.jsonl",
  ),
  refused(
    (first) => Object.keys(first).some((key) => /^(mean|median|p\d+)_ttft_ms$/.test(key)),
    "it has percentiles, from which nothing can be fitted: give vllm bench serve " +
      "--save-detailed (sglang: --output-details), and it writes each request",
  ),
  refused(
    ({ interactions, http_interactions }) =>
      Array.isArray(interactions) || Array.isArray(http_interactions),
    "it is a cassette, which has no times",
  ),
];

function refused(isOne: (first: Json) => boolean, why: string): Format {
  return {
    isOne,
    read([first]) {
      throw fault(first!, [], why);
    },
  };
}

/** Columns of a format whose names and units are known. */
function column(field: TimesColumn["field"], name: string, factor = 1): TimesColumn {
  return { field, name, factor, rank: 0 };
}

/** An answer, or that it is none. */
type Taken = Times | "it failed";

/** Those that did not fail, with a note of how many did. */
function read(format: string, all: readonly Taken[], notes: readonly string[]): ReadTimes {
  const times = all.filter((one) => one !== "it failed");
  const failed = all.length - times.length;
  const left = failed === 0 ? [] : [`${failed} that failed are left out`];
  return { format, times, notes: [...left, ...notes] };
}

/** Lists of a run, and what an entry of each is. */
const RUN = [
  ["ttfts", column("firstToken", "ttfts", UNITS.s)],
  ["itls", column("gap", "itls", UNITS.s)],
  ["itl_token_lens", column("gapTokens", "itl_token_lens")],
  ["latencies", column("total", "latencies", UNITS.s)],
  ["input_lens", column("promptTokens", "input_lens")],
  ["output_lens", column("outputTokens", "output_lens")],
  ["errors", column("error", "errors")],
] as const;

/** A result for each value, each with a list for each quantity. Its times are seconds. */
function readRuns(values: readonly Value[]): ReadTimes {
  const all = values.flatMap((value) => {
    const run = object(value.value);
    const count = (run["ttfts"] as readonly unknown[] | undefined)?.length;
    const columns = RUN.filter(([key]) => run[key] !== undefined && run[key] !== null);
    for (const [key] of columns) {
      const list = run[key];
      if (!Array.isArray(list)) throw fault(value, [key], `${key} must be a list`);
      if (list.length === count) continue;
      const what = `${key} must have as many entries as ttfts, ${count}: it has ${list.length}`;
      throw fault(value, [key], what);
    }
    return Array.from({ length: count ?? 0 }, (_, at) =>
      taken(
        value,
        `${value.file}:${value.line}, request ${at + 1}`,
        columns.map(([key, column]) => {
          const entry = (run[key] as readonly unknown[])[at];
          return [column, entry, [key, at]] as const;
        }),
      ));
  });
  return read("a result of vLLM", all, []);
}

/** AIPerf's names → what they are. */
const RECORD: Readonly<Record<string, TimesColumn["field"]>> = {
  time_to_first_token: "firstToken",
  inter_chunk_latency: "gap",
  request_latency: "total",
  input_sequence_length: "promptTokens",
  output_sequence_length: "outputTokens",
  usage_prompt_cache_read_tokens: "cachedTokens",
};

/** A record for each request, with the unit beside each value. Warm-up is left out. */
function readRecords(values: readonly Value[]): ReadTimes {
  let warmups = 0;
  const all = values.flatMap((value): readonly Taken[] => {
    const { metadata, metrics, error } = object(value.value);
    const { benchmark_phase, was_cancelled } = object(metadata);
    if (benchmark_phase === "warmup") {
      warmups++;
      return [];
    }
    const place = placeOf(value);
    if ((error !== null && error !== undefined) || was_cancelled === true) return ["it failed"];
    const entries = Object.entries(object(metrics)).flatMap(([name, metric]) => {
      // Where there are no chunks, the mean of a request is better than nothing.
      const field = RECORD[name] ?? (name === "inter_token_latency" ? "gap" : undefined);
      if (field === undefined) return [];
      if (name === "inter_token_latency" && "inter_chunk_latency" in object(metrics)) return [];
      const { value: number, unit } = object(metric);
      const factor = UNITS[unitOf(String(unit)) ?? "ms"];
      const isTime = field === "firstToken" || field === "gap" || field === "total";
      const path = ["metrics", name, "value"];
      return [[column(field, name, isTime ? factor : 1), number, path] as const];
    });
    return [taken(value, place, entries)];
  });
  const notes = warmups === 0 ? [] : [`${warmups} of the warm-up are left out`];
  return read("records of AIPerf", all, notes);
}

/** Requests with the nanoseconds at which each response came. */
function readExperiments([value]: readonly Value[]): ReadTimes {
  const experiments = object(value!.value)["experiments"] as readonly unknown[];
  const all = experiments.flatMap((experiment, atExperiment) => {
    const { requests } = object(experiment);
    if (!Array.isArray(requests)) return [];
    return requests.map((request, atRequest) => {
      const path = ["experiments", atExperiment, "requests", atRequest];
      return exported(value!, request, path);
    });
  });
  return read("an export of GenAI-Perf", all, []);
}

function exported(value: Value, request: unknown, path: Path): Taken {
  const { timestamp, response_timestamps, response_outputs } = object(request);
  const at = Array.isArray(response_timestamps) ? response_timestamps : [];
  const said = Array.isArray(response_outputs) ? response_outputs : undefined;
  const start = typeof timestamp === "number" ? timestamp : NaN;
  const stamps = at.filter((one, index) =>
    typeof one === "number" && (said === undefined || saysSomething(said[index]))
  ) as readonly number[];
  if (stamps.length === 0) return "it failed";
  const numbers = path.filter((key) => typeof key === "number").map((key) => key + 1);
  const place = `${value.file}, ${numbers.join("/")}`;
  const gaps = stamps.slice(1).map((one, index) => one - stamps[index]!);
  return taken(value, place, [
    [column("firstToken", "response_timestamps", UNITS.ns), stamps[0]! - start, path],
    [column("gap", "response_timestamps", UNITS.ns), gaps, path],
  ]);
}

/** False: an event without text, which is not counted (the first chunk of chat has only a role). */
function saysSomething(output: unknown): boolean {
  const { response } = object(output);
  const text = typeof output === "string" ? output : response;
  if (typeof text !== "string") return object(output)["text_output"] !== undefined;
  const data = text.replace(/^data:\s*/, "").trim();
  if (data === "" || data === "[DONE]") return false;
  if (!data.startsWith("{")) return true;
  return /"(?:content|text|reasoning_content|reasoning|arguments)"\s*:\s*"[^"]/.test(data);
}

/** An object for each answer, with names of one's own. */
function readRows(values: readonly Value[], unit: TimeUnit | undefined): ReadTimes {
  const names = [...new Set(values.flatMap(({ value }) => Object.keys(object(value))))];
  let columns;
  try {
    columns = columnsOf(names, unit);
  } catch (error) {
    if (!(error instanceof TimesFault) || values.length === 0) throw error;
    throw faultAt(values[0]!, 0, error.message.replace("no column of times", "no time"));
  }
  const all = values.map((value) => {
    if (Object.keys(object(value.value)).length === 0) {
      throw faultAt(value, 0, "each answer must be an object with its times");
    }
    const entries = [...columns].map(([at, column]) => {
      const name = names[at]!;
      return [column, object(value.value)[name], [name]] as const;
    });
    return taken(value, placeOf(value), entries);
  });
  return read(values.length === 1 ? "JSON" : "JSON lines", all, []);
}

function placeOf({ file, line, path }: Value): string {
  const [at] = path;
  return typeof at === "number" ? `${file}, entry ${at + 1}` : `${file}:${line}`;
}

/** @throws {TimesFault} with the place of a value that cannot be. */
function taken(
  value: Value,
  place: string,
  entries: readonly (readonly [column: TimesColumn, value: unknown, path: Path])[],
): Taken {
  try {
    return timesOf(place, entries.map(([column, entry]) => [column, entry]));
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    const [, , path] = entries.find(([column]) => column === error.column)!;
    throw fault(value, path, error.message);
  }
}
