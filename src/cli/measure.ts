/**
 * A measurement of a server: asks it first, opens the streams, prints what was found.
 *
 * When all first answers are the same but for ids and times, every stream must be that answer, byte
 * for byte; when two in a row come at the same pace, every event has a due time.
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
  probeFault,
  requestBytes,
  targetOf,
} from "../load/stream_probe.ts";
import { errorWords } from "../load/socket_words.ts";
import { judge, type StreamReport } from "../load/stream_report.ts";
import { type StreamPlan, StreamRun, type StreamTarget } from "../load/stream_run.ts";
import { jsonText, snakeKeys } from "../load/report/json_text.ts";
import { onEnding } from "./signals.ts";
import { firstWords, teller } from "../load/told.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";

/** The server is asked until two answers in a row came at one pace, so often at the most. */
const PROBES_MAX = 5;
/** How often a run tells how far it has come. */
const PROGRESS_MS = 1000;

/** How a run judges the events: against what the server said before, by their number, or not at all. */
export type Expected =
  | { readonly kind: "learnt" }
  | { readonly kind: "count"; readonly events: number }
  | { readonly kind: "free" };

/** What is measured, and how. */
export interface BenchOptions {
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
  /** How late the client's own loop may be, p99. */
  readonly loopMsMax: number;
  /** Takes secrets out of what the server says. */
  readonly clean: (text: string) => string;
}

/** What the server said before the streams were opened. */
interface FirstAnswers {
  readonly probes: readonly Probe[];
  /** "status 429: slow down", where it did not answer. */
  readonly refused: readonly string[];
}

/**
 * Measures, and prints the report and a verdict. Gives 0 when the figures can be believed and nothing
 * was lost, 3 when they cannot, 1 when something was lost, 130 when Ctrl-C ended it.
 *
 * @throws {Failure} when the server cannot be asked, or gives no event stream.
 */
export async function measure(options: BenchOptions, terminal: Terminal): Promise<number> {
  const target = targetOf(options.url, requestBytes(options.url, options.body, options.headers));
  const abort = new AbortController();
  const interrupt = () => abort.abort();
  onEnding(interrupt);
  const first = await askFirst(target, options, abort.signal);
  const plan = planOf(target, first.probes, options, abort.signal);
  if (!options.isJson) {
    for (const line of planLines(plan, first.probes, options)) {
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
  const failed = [...new Set(first.refused)].map((said) => {
    const count = first.refused.filter((one) => one === said).length;
    return `${count} of the first answers: ${said}`;
  });
  const verdict = judge(report, { loopMsMax: options.loopMsMax, failed });
  if (options.isJson) {
    terminal.print(jsonText({ report: measuredOnly(report), verdict: snakeKeys(verdict) }));
  } else for (const line of reportLines(report)) terminal.print(line);
  const text = [verdict.kind, verdict.reasons.join("; ")].filter((part) => part !== "").join(": ");
  (options.isJson ? terminal.complain : terminal.print)(`verdict: ${text}`);
  if (abort.signal.aborted) return EXIT.interrupted;
  return EXITS[verdict.kind];
}

/** For JSON: null in place of the zeros of a summary in which there is nothing. */
function measuredOnly(report: StreamReport): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(snakeKeys(report)).map(([name, value]) => {
      const { count } = Object(value) as { readonly count?: unknown };
      return [name, count === 0 ? null : value];
    }),
  );
}

const EXITS = { valid: EXIT.done, invalid: EXIT.doubtful, failed: EXIT.failed } as const;

/** @throws {Failure} when the server gives no event stream. */
async function askFirst(
  target: StreamTarget,
  { expected, timeoutSeconds, clean }: BenchOptions,
  signal: AbortSignal,
): Promise<FirstAnswers> {
  const tell = teller(clean);
  const probes: Probe[] = [];
  const refused: string[] = [];
  const aborted = Promise.withResolvers<never>();
  signal.addEventListener(
    "abort",
    () => aborted.reject(new Failure("Interrupted", EXIT.interrupted)),
  );
  const probesMax = expected.kind === "learnt" ? PROBES_MAX : 1;
  while (probes.length + refused.length < probesMax && scheduleOf(probes) === undefined) {
    let found: Probe;
    try {
      found = await Promise.race([probe(target, timeoutSeconds * 1000), aborted.promise]);
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw new Failure(
        `Cannot measure ${target.hostname}:${target.port}: ${tell(errorWords(error as Error))}`,
      );
    }
    const { status } = found.head;
    if (status !== 200) {
      const words = tell(firstWords(Buffer.from(found.body).toString()));
      const said = `status ${status}${words === "" ? "" : `: ${words}`}`;
      if (status < 500 && status !== 429) throw new Failure(`The server answers with ${said}`);
      // It is busy: how the streams fare is for them to show.
      refused.push(said);
      continue;
    }
    if (eventEnds(found.body).length === 0) {
      throw new Failure("The answer is no event stream. Ask for one with --body, or name its path");
    }
    probes.push(found);
  }
  return { probes, refused };
}

/** What the last two answers agree on: the first of all also waited for code to be compiled. */
function scheduleOf(probes: readonly Probe[]): Float64Array | undefined {
  return probes.length < 2 ? undefined : learnSchedule(probes.slice(-2));
}

function planOf(
  target: StreamTarget,
  probes: readonly Probe[],
  { streams, seconds, timeoutSeconds, expected, clean }: BenchOptions,
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
    fault: answer === undefined ? "" : probeFault(probes.at(-1)!),
    clean,
    graceMs: timeoutSeconds * 1000,
    signal,
  };
}

function planLines(
  { answer, dueMs, eventsPerStream }: StreamPlan,
  probes: readonly Probe[],
  { url, streams, seconds }: BenchOptions,
): readonly string[] {
  const { origin, pathname } = new URL(url);
  const held = answer !== undefined
    ? `each must be the ${
      eventEnds(probes[0]!.body).length
    } events (${answer.bytes.length} bytes) of the first answers`
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
    ["unread at most, ms", report.unreadMs],
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
    (report.eventsPerRead === null ? "" : `${report.eventsPerRead.toFixed(2)} events a read, `) +
    `this client used ` +
    `${Math.round(100 * report.clientCpuShare)} % of a core`,
  ];
}
