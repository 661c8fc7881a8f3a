/**
 * `weir bench URL`: opens many streams on any server and says how late its events come, and whether
 * the figures can be believed.
 *
 * It asks the server a few times first. When all answers are the same but for ids and times, every
 * stream must be that answer, byte for byte; when two in a row come at the same pace, every event has
 * a due time.
 *
 * @module
 */

import type { Summary } from "../lib/histogram.ts";
import {
  eventEnds,
  knownAnswer,
  learnSchedule,
  type Probe,
  probe,
  requestBytes,
  targetOf,
} from "../load/stream_probe.ts";
import { judge, type StreamReport } from "../load/stream_report.ts";
import { type StreamPlan, StreamRun, type StreamTarget } from "../load/stream_run.ts";
import { defineCommand } from "./command.ts";
import {
  choiceFlag,
  type FlagValues,
  listFlag,
  numberFlag,
  parsedFlag,
  readNumber,
  switchFlag,
  textFlag,
} from "./flags.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";

/** Asked of a URL that names no path. */
const DEFAULT_PATH = "/v1/chat/completions";
const DEFAULT_BODY = JSON.stringify({
  model: "gpt-4o",
  stream: true,
  messages: [{ role: "user", content: "Hello" }],
});
/** The server is asked until two answers in a row came at one pace, so often at the most. */
const PROBES_MAX = 5;
const STREAMS_MAX = 20_000;
const SECONDS_MAX = 600;
const EVENTS_MAX = 1_000_000;
/** How often a run tells how far it has come. */
const PROGRESS_MS = 1000;

/** How a run judges the events: against what the server said before, by their number, or not at all. */
type Expected =
  | { readonly kind: "learnt" }
  | { readonly kind: "count"; readonly events: number }
  | { readonly kind: "free" };

interface BenchOptions {
  readonly url: string;
  readonly streams: number;
  /** The starts are spread over this long. */
  readonly seconds: number;
  /** An answer that is not over after this long, counted from its last due event, has failed. */
  readonly timeoutSeconds: number;
  readonly expected: Expected;
  /** Undefined: a GET. */
  readonly body: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly isJson: boolean;
}

const FLAGS = {
  streams: numberFlag({
    short: "n",
    value: "N",
    text: "streams, each on a connection of its own",
    min: 1,
    max: STREAMS_MAX,
    isWhole: true,
    default: 64,
  }),
  seconds: numberFlag({
    short: "s",
    value: "S",
    text: "their starts are spread over this many seconds",
    min: 0,
    max: SECONDS_MAX,
    isWhole: false,
    default: 2,
  }),
  events: parsedFlag<Expected>({
    value: "WHAT",
    text: "learn: every answer must be as the first ones, at their pace; " +
      `a number up to ${EVENTS_MAX}: every answer must have so many events; ` +
      "free: any number, as they come",
    default: "learn",
    read: readExpected,
  }),
  timeout: numberFlag({
    value: "S",
    text: "an answer may end this many seconds later than it is due",
    min: 1,
    max: SECONDS_MAX,
    isWhole: true,
    default: 30,
  }),
  body: textFlag({
    short: "d",
    value: "JSON",
    text: "what is posted",
    notes: ['default a chat request with "stream": true'],
  }),
  method: choiceFlag({
    short: "X",
    value: "METHOD",
    text: "how the server is asked",
    choices: ["GET", "POST"],
    default: "POST",
  }),
  header: listFlag({
    short: "H",
    value: "'NAME: VALUE'",
    text: "a header of every request",
    read: readHeader,
  }),
  json: switchFlag({ text: "print the report as JSON" }),
};

/** Measures a server. */
export const bench = defineCommand({
  name: "bench",
  summary: "open many streams on any server, and tell how late its events come",
  details:
    "It asks the server a few times first, and says at the end whether to believe the figures.",
  operands: {
    url: { name: "URL", text: `http or https; without a path: ${DEFAULT_PATH}` },
  },
  flags: FLAGS,
  examples: [
    { line: "weir bench http://127.0.0.1:8080", text: "a weir on this machine" },
    {
      line: "weir bench http://127.0.0.1:8080/v1/chat/completions -n 200 -s 1 --json",
      text: "200 streams within a second, the report as JSON",
    },
    {
      line: "weir bench http://127.0.0.1:8080 -H 'authorization: Bearer sk-1' --events free",
      text: "a server that wants a key, and whose answers differ",
    },
  ],
  exits: {
    [EXIT.done]: "the figures can be believed, and no event was lost",
    [EXIT.failed]: "they cannot, or an answer was not whole, or the server gave no event stream",
    [EXIT.interrupted]: "interrupted by Ctrl-C; the report is of what was there until then",
  },
  run: ({ flags, operands }, terminal) => measure(benchOptions(operands.url, flags), terminal),
});

async function measure(options: BenchOptions, terminal: Terminal): Promise<number> {
  const target = targetOf(options.url, requestBytes(options.url, options.body, options.headers));
  const abort = new AbortController();
  const interrupt = () => abort.abort();
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  const probes = await askFirst(target, options, abort.signal);
  const plan = planOf(target, probes, options, abort.signal);
  if (!options.isJson) {
    for (const line of planLines(plan, probes, options)) {
      terminal.print(line);
    }
  }
  const run = new StreamRun(plan);
  const progress = setInterval(() => {
    const { opened, over, events } = run.progress;
    terminal.complain(
      `${opened} of ${options.streams} streams open, ${over} over, ${events} events`,
    );
  }, PROGRESS_MS);
  const report = await run.measure().finally(() => clearInterval(progress));
  const verdict = judge(report);
  if (options.isJson) terminal.print(JSON.stringify({ report, verdict }, null, 2));
  else for (const line of reportLines(report)) terminal.print(line);
  const text = [verdict.kind, verdict.reasons.join("; ")].filter((part) => part !== "").join(": ");
  (options.isJson ? terminal.complain : terminal.print)(`verdict: ${text}`);
  if (abort.signal.aborted) return EXIT.interrupted;
  return verdict.kind === "valid" ? EXIT.done : EXIT.failed;
}

/** @throws {Failure} when the server gives no event stream. */
async function askFirst(
  target: StreamTarget,
  { expected, timeoutSeconds }: BenchOptions,
  signal: AbortSignal,
): Promise<readonly Probe[]> {
  const probes: Probe[] = [];
  const aborted = Promise.withResolvers<never>();
  signal.addEventListener(
    "abort",
    () => aborted.reject(new Failure("Interrupted", EXIT.interrupted)),
  );
  const probesMax = expected.kind === "learnt" ? PROBES_MAX : 1;
  while (probes.length < probesMax && scheduleOf(probes) === undefined) {
    let found: Probe;
    try {
      found = await Promise.race([probe(target, timeoutSeconds * 1000), aborted.promise]);
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw new Failure(
        `Cannot measure ${target.hostname}:${target.port}: ${(error as Error).message}`,
      );
    }
    if (found.head.status !== 200) {
      const said = Buffer.from(found.body).toString().slice(0, 300).trim();
      throw new Failure(`The server answers with status ${found.head.status}: ${said}`);
    }
    if (eventEnds(found.body).length === 0) {
      throw new Failure("The answer is no event stream. Ask for one with --body, or name its path");
    }
    probes.push(found);
  }
  return probes;
}

/** What the last two answers agree on: the first of all also waited for code to be compiled. */
function scheduleOf(probes: readonly Probe[]): Float64Array | undefined {
  return probes.length < 2 ? undefined : learnSchedule(probes.slice(-2));
}

function planOf(
  target: StreamTarget,
  probes: readonly Probe[],
  { streams, seconds, timeoutSeconds, expected }: BenchOptions,
  signal: AbortSignal,
): StreamPlan {
  const answer = expected.kind === "learnt"
    ? knownAnswer(probes.map(({ body }) => body))
    : undefined;
  const dueMs = scheduleOf(probes);
  return {
    target,
    streams,
    rampMs: seconds * 1000,
    answer,
    dueMs,
    eventsPerStream: expected.kind === "count" ? expected.events : undefined,
    graceMs: timeoutSeconds * 1000,
    signal,
  };
}

function planLines(
  { answer, dueMs, eventsPerStream }: StreamPlan,
  [first]: readonly Probe[],
  { url, streams, seconds }: BenchOptions,
): readonly string[] {
  const { origin, pathname } = new URL(url);
  const events = eventEnds(first!.body).length;
  const held = answer !== undefined
    ? `each must be the ${events} events (${answer.bytes.length} bytes) of the first answers`
    : eventsPerStream !== undefined
    ? `each must have ${eventsPerStream} events`
    : "events are counted, not compared";
  const pace = dueMs === undefined
    ? "No schedule is known: no lateness"
    : `The last event is due after ${Math.round(dueMs.at(-1)!)} ms`;
  return [
    `${streams} streams on ${origin}${pathname}, started over ${seconds} s; ${held}. ${pace}.`,
  ];
}

function reportLines(report: StreamReport): readonly string[] {
  const rows: readonly (readonly [name: string, summary: Summary])[] = [
    ["first event after, ms", report.firstEventMs],
    ["gap between events, ms", report.gapMs],
    ["lateness of events, ms", report.latenessMs],
    ["drift of streams, ms", report.driftMs],
    ["drift of streams, %", report.driftPercent],
    ["own starts late, ms", report.startDelayMs],
    ["own loop late, ms", report.loopDelayMs],
  ];
  const cells = (values: readonly string[]) => values.map((value) => value.padStart(10)).join("");
  return [
    "",
    `${"".padEnd(24)}${cells(["p50", "p90", "p99", "p99.9", "max", "count"])}`,
    ...rows.filter(([, { count }]) => count > 0).map(([name, summary]) => {
      const { p50, p90, p99, p999, max, count } = summary;
      const values = [p50, p90, p99, p999, max].map((value) => value.toFixed(2));
      return `${name.padEnd(24)}${cells([...values, String(count)])}`;
    }),
    "",
    `${report.completed} of ${report.streams} streams whole, ${report.events} events: ` +
    `${report.lost} lost, ${report.doubled} doubled, ${report.merged} merged, ` +
    `${report.strange} strange`,
    `${Math.round(report.eventsPerSecond)} events/s, ${
      Math.round(report.bytesPerSecond)
    } bytes/s, ` +
    `${report.eventsPerRead.toFixed(2)} events a read; this client used ` +
    `${Math.round(100 * report.clientCpuShare)} % of a core`,
  ];
}

/** @throws {Failure} when `text` is no URL that can be measured. */
function benchOptions(text: string, flags: FlagValues<typeof FLAGS>): BenchOptions {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new Failure(`bench needs an http:// or https:// URL, not "${text}"`, EXIT.usage);
  }
  if (url.pathname === "/") url.pathname = DEFAULT_PATH;
  const { streams, seconds, timeout, events, body = DEFAULT_BODY, method, header, json } = flags;
  return {
    url: url.href,
    streams,
    seconds,
    timeoutSeconds: timeout,
    expected: events,
    body: method === "GET" ? undefined : body,
    headers: Object.fromEntries(header),
    isJson: json,
  };
}

function readExpected(text: string, name: string): Expected {
  if (text === "learn") return { kind: "learnt" };
  if (text === "free") return { kind: "free" };
  const range = { min: 1, max: EVENTS_MAX, isWhole: true };
  return { kind: "count", events: readNumber(text, name, range) };
}

/** The value is never part of a message: it may be a key. */
function readHeader(text: string): readonly [name: string, value: string] {
  const at = text.indexOf(":");
  const name = text.slice(0, Math.max(0, at)).trim();
  const value = text.slice(at + 1).trim();
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || /[\r\n\0]/.test(value)) {
    throw new Failure("--header needs NAME: VALUE on one line", EXIT.usage);
  }
  return [name, value];
}
