/**
 * The flags of `weir load`.
 *
 * @module
 */

import { type ToolName, TOOLS } from "../load/report/tools/tools.ts";
import { APIS } from "../load/requests/bodies.ts";
import {
  asText,
  choiceFlag,
  headerReader,
  listFlag,
  numberFlag,
  optionalFlag,
  parsedFlag,
  readChoice,
  readNumber,
  switchFlag,
  textFlag,
} from "./flags.ts";
import { PLACES_MAX } from "./load_places.ts";
import type { Expected } from "./measure.ts";
import {
  readArrivals,
  readLength,
  readMoment,
  readNumbers,
  readShard,
  readSlo,
  readTime,
  readWarmup,
} from "./load_values.ts";

const CONCURRENCY = { min: 1, max: 20_000, isWhole: true } as const;
const RATE = { min: 0.001, max: 1_000_000, isWhole: false } as const;
const TOKENS = { min: 1, max: 1_000_000, isWhole: true } as const;

const STREAMS_MAX = 20_000;
const SECONDS_MAX = 600;
const EVENTS_MAX = 1_000_000;
const TOOL_NAMES = Object.keys(TOOLS) as readonly ToolName[];

/** Everything that a load can be told. */
export const LOAD_FLAGS = {
  concurrency: optionalFlag({
    short: "c",
    value: "N[,N…]",
    text: "requests at once, each sent when one is over; several numbers, one after the other",
    notes: ["default 8"],
    group: "How much",
    read: readNumbers(CONCURRENCY),
  }),
  rate: optionalFlag({
    short: "r",
    value: "R[,R…]",
    text: "requests a second on a schedule of their own, whether or not others are over",
    group: "How much",
    read: readNumbers(RATE),
  }),
  duration: optionalFlag({
    value: "TIME",
    text:
      "nothing new is sent after this time, warm-up left out: 500ms, 30s, 2m, 1h; without a unit seconds",
    notes: ["default 10s, unless --requests is given"],
    group: "How much",
    read: readLength,
  }),
  requests: optionalFlag({
    value: "N",
    text: "requests in all, warm-up left out",
    group: "How much",
    read: (value, name) => readNumber(value, name, { min: 1, max: 1e9, isWhole: true }),
  }),
  warmup: optionalFlag({
    value: "N|TIME",
    text: "so many requests, or a time with its unit, come before and are part of no figure",
    group: "How much",
    read: readWarmup,
  }),
  api: optionalFlag({
    value: "NAME",
    text: "what the server speaks",
    choices: APIS,
    notes: ["default by the path"],
    group: "What is asked",
    read: readChoice(APIS),
  }),
  model: textFlag({
    short: "m",
    value: "NAME",
    text: "the model that is asked",
    notes: ["default gpt-4o"],
    group: "What is asked",
  }),
  prompt: textFlag({
    value: "TEXT",
    text: "what is asked",
    notes: ["default Hello"],
    group: "What is asked",
  }),
  promptTokens: optionalFlag({
    value: "N",
    text: "prompts of so many tokens, each another one",
    group: "What is asked",
    read: (value, name) => readNumber(value, name, TOKENS),
  }),
  outputTokens: optionalFlag({
    value: "N",
    text: "answers of so many tokens at most; of a trace, those whose length it does not say",
    group: "What is asked",
    read: (value, name) => readNumber(value, name, TOKENS),
  }),
  whole: switchFlag({ text: "answers in one piece instead of a stream", group: "What is asked" }),
  turns: numberFlag({
    value: "N",
    text: "conversations of so many questions, each with all that was said before",
    min: 1,
    max: 1000,
    isWhole: true,
    default: 1,
    group: "What is asked",
  }),
  think: parsedFlag({
    value: "TIME",
    text: "from an answer to the same user's next request, on average (exponential)",
    default: "0s",
    group: "What is asked",
    read: readTime,
  }),
  body: textFlag({
    short: "d",
    value: "JSON",
    text: "what is posted, as it is",
    group: "What is asked",
  }),
  bodies: listFlag({
    value: "FILE",
    text: "a body on each line, taken in turn; of several files, one behind the other",
    completes: "files",
    group: "What is asked",
    read: asText,
  }),
  trace: listFlag({
    value: "FILE",
    text: "ask what was asked elsewhere, when it was asked: traces of Mooncake, AIPerf, Azure, " +
      "BurstGPT, prompts of ShareGPT, weir's journal and tapes",
    completes: "files",
    group: "What is asked",
    read: asText,
  }),
  speed: numberFlag({
    value: "X",
    text: "how many times as fast a trace is asked",
    min: 0.001,
    max: 100_000,
    isWhole: false,
    default: 1,
    group: "What is asked",
  }),
  header: listFlag({
    short: "H",
    value: "'NAME: VALUE'",
    text: "a header of every request, in place of the one that would be there",
    group: "Server",
    read: headerReader("a load"),
  }),
  endpoint: listFlag({
    value: "URL",
    text: "another server that takes its turns, with the same API",
    group: "Server",
    read: asText,
  }),
  method: choiceFlag({
    short: "X",
    value: "METHOD",
    text: "how the server is asked",
    choices: ["GET", "POST"],
    default: "POST",
    group: "Server",
  }),
  caFile: textFlag({
    value: "FILE",
    text: "trust these authorities instead of the system's",
    completes: "files",
    group: "Server",
  }),
  insecure: switchFlag({ text: "trust any certificate", group: "Server" }),
  slo: optionalFlag({
    value: "LIMITS",
    text: "what a good answer keeps, with units: ttft=300ms,tpot=50ms,itl=200ms,e2e=5s",
    group: "Judging",
    read: readSlo,
  }),
  sloShare: numberFlag({
    value: "SHARE",
    text: "the share of all requests that must be good",
    min: 0,
    max: 1,
    isWhole: false,
    default: 0.99,
    group: "Judging",
  }),
  maxLoopMs: numberFlag({
    value: "MS",
    text:
      "a run is doubtful when the client may have made times longer than this, p99, and than 1 %",
    min: 0.1,
    max: 10_000,
    isWhole: false,
    default: 2,
    group: "Judging",
  }),
  json: switchFlag({ text: "print the report as JSON", group: "Output" }),
  csv: textFlag({
    value: "FILE",
    text: "write the report as CSV, a row for each stage; - prints it",
    completes: "files",
    group: "Output",
  }),
  html: textFlag({
    value: "FILE",
    text: "write the report as one page with pictures, for a browser; - prints it",
    completes: "files",
    group: "Output",
  }),
  out: textFlag({
    short: "o",
    value: "FILE",
    text: "write the run with all its distributions, for merge and compare; - prints it",
    completes: "files",
    group: "Output",
  }),
  raw: textFlag({
    value: "FILE",
    text: "write a line of JSON for each request, with all its times, while the load runs",
    completes: "files",
    group: "Output",
  }),
  as: optionalFlag({
    value: "TOOL",
    text: "print what another tool would, by its definitions; with --json, in its own form",
    choices: TOOL_NAMES,
    group: "Output",
    read: readChoice(TOOL_NAMES),
  }),
  arrivals: parsedFlag({
    value: "KIND",
    text:
      "how requests of a rate are spread: constant, poisson, gamma:K (K below 1: bursts, above 1: evener)",
    default: "poisson",
    group: "Shape of the load",
    read: readArrivals,
  }),
  ramp: optionalFlag({
    value: "TIME",
    text: "the rate, or the concurrency, is reached over this time",
    group: "Shape of the load",
    read: readTime,
  }),
  rampFrom: numberFlag({
    value: "R",
    text: "the rate at the beginning of the ramp",
    min: 0,
    max: RATE.max,
    isWhole: false,
    default: 0,
    group: "Shape of the load",
  }),
  rampKind: choiceFlag({
    value: "KIND",
    text: "how the rate rises",
    choices: ["linear", "exponential"],
    default: "linear",
    group: "Shape of the load",
  }),
  sweep: switchFlag({
    text: "one at a time, as many as possible at once, and rates between what these two have found",
    group: "Shape of the load",
  }),
  sweepSize: numberFlag({
    value: "N",
    text: "rates of a sweep, and one",
    min: 3,
    max: 100,
    isWhole: true,
    default: 10,
    group: "Shape of the load",
  }),
  search: switchFlag({
    text: "the highest rate that keeps --slo: from --rate FROM on, or --rate FROM,TO",
    group: "Shape of the load",
  }),
  stopWhenSaturated: switchFlag({
    text:
      "a stage whose requests at once and times to the first token grow without end is stopped, " +
      "and higher rates are left out; --sweep and --search always do so",
    group: "Shape of the load",
  }),
  rounds: numberFlag({
    value: "N",
    text: "how often all of it is done: figures then have confidence intervals",
    min: 1,
    max: 100,
    isWhole: true,
    default: 1,
    group: "Shape of the load",
  }),
  maxConcurrency: optionalFlag({
    value: "N",
    text:
      "most requests at once with a rate: more wait in the client, which is told apart. Without one: --concurrency",
    notes: [
      `1 to ${CONCURRENCY.max}`,
      `default ${PLACES_MAX}, or what ulimit -n leaves for connections`,
    ],
    group: "Shape of the load",
    read: (value, name) => readNumber(value, name, CONCURRENCY),
  }),
  grace: parsedFlag({
    value: "TIME",
    text: "what is under way at the end, or due and not sent by then, is waited for so long",
    default: "30s",
    group: "Shape of the load",
    read: readTime,
  }),
  timeout: optionalFlag({
    value: "TIME",
    text:
      "a request that is not over so long after it was sent has failed; of a burst: after it was due",
    notes: ["default 600s; of a burst 30s"],
    group: "Shape of the load",
    read: readLength,
  }),
  connectTimeout: parsedFlag({
    value: "TIME",
    text:
      "a request whose connection, TLS included, is not ready so long after it was asked for has failed",
    default: "10s",
    group: "Shape of the load",
    read: readLength,
  }),
  seed: numberFlag({
    value: "N",
    text: "the same number gives the same schedule and the same prompts",
    min: 0,
    max: 2 ** 32 - 1,
    isWhole: true,
    default: 1,
    group: "Shape of the load",
  }),
  newConnections: switchFlag({ text: "a connection for each request", group: "Clients" }),
  leaveAfter: optionalFlag({
    value: "N",
    text: "clients hang up after so many tokens",
    group: "Clients",
    read: (value, name) => readNumber(value, name, TOKENS),
  }),
  leaveShare: numberFlag({
    value: "SHARE",
    text: "the share of clients that --leave-after is about",
    min: 0,
    max: 1,
    isWhole: false,
    default: 1,
    group: "Clients",
  }),
  readRate: optionalFlag({
    value: "BYTES",
    text: "clients read so many bytes a second",
    group: "Clients",
    read: (value, name) => readNumber(value, name, { min: 1, max: 1e12, isWhole: true }),
  }),
  workers: optionalFlag<number | "auto">({
    value: "N|auto",
    text: "so many processes; auto: as many as the load needs, and no more than there are cores",
    group: "Several processes and machines",
    read: (value, name) =>
      value === "auto" ? value : readNumber(value, name, { min: 1, max: 256, isWhole: true }),
  }),
  shard: optionalFlag({
    value: "I/N",
    text:
      "this is the I-th of N machines: it sends its part of the load; job/N: I is that of a pod of " +
      "an Indexed Job",
    group: "Several processes and machines",
    read: readShard,
  }),
  startAt: optionalFlag({
    value: "MOMENT",
    text: "wait until then: 2026-11-28T22:00:00Z, or seconds since 1970",
    group: "Several processes and machines",
    read: readMoment,
  }),
  streams: optionalFlag({
    short: "n",
    value: "N",
    text: "a burst: streams, each on a connection of its own",
    notes: ["1 to 20000", "default 64"],
    group: "Burst",
    read: (value, name) => readNumber(value, name, { min: 1, max: STREAMS_MAX, isWhole: true }),
  }),
  seconds: optionalFlag({
    short: "s",
    value: "S",
    text: "their starts are spread over this many seconds",
    notes: ["0 to 600", "default 2"],
    group: "Burst",
    read: (value, name) => readNumber(value, name, { min: 0, max: SECONDS_MAX, isWhole: false }),
  }),
  events: optionalFlag<Expected>({
    value: "WHAT",
    text: "learn: every answer must be as the first ones, at their pace; " +
      `a number up to ${EVENTS_MAX}: every answer must have so many events; ` +
      "free: any number, as they come",
    notes: ["default learn"],
    group: "Burst",
    read: readExpected,
  }),
} as const;

function readExpected(text: string, name: string): Expected {
  if (text === "learn") return { kind: "learnt" };
  if (text === "free") return { kind: "free" };
  const range = { min: 1, max: EVENTS_MAX, isWhole: true };
  return { kind: "count", events: readNumber(text, name, range) };
}
