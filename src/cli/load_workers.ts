/**
 * A load by several processes of this machine: each has a part of every round, and what they have
 * found is put together as that of several machines is.
 *
 * @module
 */

import { statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Gathered, type GatheredParts } from "../load/metrics/gathered.ts";
import { sideBySide } from "../load/report/run_file.ts";
import { TOOLS } from "../load/report/tools/tools.ts";
import type { RawPlace } from "../load/report/raw.ts";
import type { Round } from "../load/report/report.ts";
import { type Shard, WHOLE, within } from "../load/shape/shards.ts";
import type { Stage } from "../load/shape/stages.ts";
import { Spread } from "../load/spread.ts";
import { Tally } from "../load/tally.ts";
import type { LoadNeed, LoadOptions } from "./load_options.ts";
import type { LineFile } from "./whole_files.ts";
import {
  type FromWorker,
  LOAD_WORKER_VARIABLE,
  messagesOf,
  type ToWorker,
  type WorkerProgress,
} from "./load_protocol.ts";
import type { EndReason, LoadCrew, RoundResult, StartRound } from "./load_round.ts";
import { scheduledCount } from "./load_shape.ts";
import { Silence, SILENCE_LOOK_MS } from "./load_silence.ts";
import { selfCommand } from "./self.ts";
import { EXIT, Failure } from "./terminal.ts";

/**
 * A worker tells how far it is every half second. One that has said nothing for so long stands still, and
 * is ended: a machine may be as busy as it likes.
 */
const SILENCE_MS_MAX = 30_000;
/** The same once it was told to end, until it has: somebody is waiting for the report. */
const ENDING_MS_MAX = 5000;
/** By then all workers have heard when they begin. */
const START_MS = 50;
/** What a process is asked to carry before `auto` takes another one: requests at once, or a second. */
const PER_WORKER = 250;

/** How many processes `--workers auto` takes on a machine of `cores`, and why, in a sentence. */
export function autoWorkers(
  { atOnce, perSecond }: LoadNeed,
  cores: number = availableParallelism(),
): { readonly count: number; readonly why: string } {
  const most = Math.max(atOnce, perSecond);
  const wanted = Math.max(1, Math.ceil(most / PER_WORKER));
  const count = Math.min(wanted, cores);
  const load = most === Infinity
    ? "a load without an upper end"
    : atOnce >= perSecond
    ? `${atOnce} at once`
    : `${Number(perSecond.toPrecision(3))} requests a second`;
  const limit = wanted > cores ? `, and there are ${cores} cores` : "";
  return {
    count,
    why:
      `--workers auto: ${
        count === 1 ? "1 process" : `${count} processes`
      } for ${load}, one for each ` +
      `${PER_WORKER}${limit}`,
  };
}

/** @throws {Failure} for files that only one process can read. */
export function refuseForWorkers({ flags }: LoadOptions): void {
  const files = { "--bodies": flags.bodies, "--trace": flags.trace, "--ca-file": [flags.caFile] };
  for (const [name, paths] of Object.entries(files)) {
    for (const path of paths) {
      if (path === undefined || statSync(path).isFile()) continue;
      throw new Failure(
        `${name} ${path} can be read once: with --workers it must be a file`,
        EXIT.usage,
      );
    }
  }
}

type Result = Extract<FromWorker, { readonly kind: "result" }>;
type RawLines = Extract<FromWorker, { readonly kind: "raw" }>;
type Message = Exclude<FromWorker, WorkerProgress | RawLines | { readonly kind: "over" }>;

/** One of them. */
class Worker {
  /** How it is called in a report: "worker 2 of 4". */
  readonly name: string;
  /** The last it said of its round. */
  progress: WorkerProgress | undefined;
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #raw: LineFile | undefined;
  readonly #errors: Promise<string>;
  readonly #listening: Promise<void>;
  readonly #said: Message[] = [];
  #hears = Promise.withResolvers<void>();
  #isOver = false;
  readonly #silence = new Silence(performance.now());
  /** It was told to end, and has not. */
  #isEnding = false;
  /** After how many seconds of silence it was ended; undefined = it was not. */
  #silentSeconds: number | undefined;

  constructor(words: readonly string[], { index, count }: Shard, raw: LineFile | undefined) {
    this.#raw = raw;
    this.name = `worker ${index + 1} of ${count}`;
    this.#child = Bun.spawn(selfCommand(words), {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, [LOAD_WORKER_VARIABLE]: `${index + 1}/${count}` },
    });
    this.#errors = new Response(this.#child.stderr).text();
    this.#listening = this.#listen();
  }

  get isGone(): boolean {
    return this.#isOver && this.#said.length === 0;
  }

  tell(message: ToWorker): void {
    if (this.#isOver) return;
    if (message.kind === "end") {
      this.#isEnding = true;
      this.#silence.end();
    }
    const { stdin } = this.#child;
    // That it is gone is heard where its output ends.
    const sent = async () => {
      await stdin.write(`${JSON.stringify(message)}\n`);
      await stdin.flush();
    };
    sent().catch(() => {});
  }

  /**
   * What it says next, its progress and its lines apart; undefined = it is gone, or was silent for `silenceMsMax` and
   * is ended.
   */
  async next(silenceMsMax = SILENCE_MS_MAX): Promise<Message | undefined> {
    this.#silence.end();
    const timer = setInterval(() => this.#look(silenceMsMax), SILENCE_LOOK_MS);
    while (this.#said.length === 0 && !this.#isOver) await this.#hears.promise;
    clearInterval(timer);
    return this.#said.shift();
  }

  #look(silenceMsMax: number): void {
    const msMax = this.#isEnding ? Math.min(ENDING_MS_MAX, silenceMsMax) : silenceMsMax;
    if (this.#silence.look(performance.now()) < msMax || this.#silentSeconds !== undefined) return;
    this.#silentSeconds = Math.round(msMax / 1000);
    this.#child.kill("SIGKILL");
  }

  /** Why it is gone, in a few words. */
  async reason(): Promise<string> {
    await this.#child.exited;
    if (this.#silentSeconds !== undefined) {
      return `${this.name} said nothing for ${this.#silentSeconds} s, and was ended`;
    }
    const { signalCode, exitCode } = this.#child;
    const how = signalCode === null ? `ended with ${exitCode}` : `was ended by ${signalCode}`;
    const [line = ""] = (await this.#errors).trim().split("\n").slice(-1);
    return line === "" ? `${this.name} ${how}` : `${this.name} ${how}: ${line}`;
  }

  /** Ends it: what it had to say is said. */
  async close(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    await this.#listening;
  }

  async #listen(): Promise<void> {
    try {
      const heard = () => this.#silence.end();
      for await (const message of messagesOf<FromWorker>(this.#child.stdout, heard)) {
        if (message.kind === "progress") {
          this.progress = message;
        } else if (message.kind === "over") {
          this.#isEnding = false;
        } else if (message.kind === "raw") {
          if (message.lines !== null) this.#raw?.write(message.lines);
          else this.#raw?.giveUp("its lines came faster than they could be written");
        } else {
          this.#said.push(message);
          this.#wake();
        }
      }
    } catch {
      // It died in the middle of a line.
    }
    this.#isOver = true;
    this.#wake();
  }

  #wake(): void {
    this.#hears.resolve();
    this.#hears = Promise.withResolvers<void>();
  }
}

/** Several processes as one. */
export class LoadWorkers implements LoadCrew {
  readonly #options: LoadOptions;
  readonly #workers: readonly Worker[];

  private constructor(options: LoadOptions, workers: readonly Worker[]) {
    this.#options = options;
    this.#workers = workers;
  }

  /**
   * Starts `count` of them, each with the command line of this process. `raw` gets their lines.
   *
   * @throws {Failure} when one of them does not get as far as being ready.
   */
  static async start(
    count: number,
    words: readonly string[],
    options: LoadOptions,
    raw: LineFile | undefined,
  ): Promise<LoadWorkers> {
    const workers = Array.from(
      { length: count },
      (_, index) => new Worker(words, { index, count }, raw),
    );
    const crew = new LoadWorkers(options, workers);
    // All of them read the same files as this process has, and may have to share a core.
    const readyMsMax = SILENCE_MS_MAX + count * performance.now();
    const said = await Promise.all(workers.map((worker) => worker.next(readyMsMax)));
    const lost = said.indexOf(undefined);
    if (lost < 0) return crew;
    const reason = await workers[lost]!.reason();
    await crew.close();
    throw new Failure(`Cannot begin: ${reason}`);
  }

  get processes(): number {
    return this.#workers.length;
  }

  async prepare(stage: Stage, place: RawPlace): Promise<StartRound> {
    for (const worker of this.#workers) {
      worker.progress = undefined;
      worker.tell({ kind: "prepare", stage, place });
    }
    await Promise.all(this.#workers.map((worker) => worker.next()));
    return (wantedMs) => {
      const atMs = wantedMs ?? Date.now() + START_MS;
      let endedMs = Infinity;
      for (const worker of this.#workers) worker.tell({ kind: "start", atMs });
      return {
        progress: () => {
          const told = this.#workers.flatMap(({ progress = [] }) => progress);
          const sum = (read: (one: WorkerProgress) => number) =>
            told.reduce((total, one) => total + read(one), 0);
          const ttft = new Spread();
          for (const one of told) ttft.addBrief(one.ttft);
          return {
            nowMs: Date.now() - atMs,
            sent: sum((one) => one.sent),
            over: sum((one) => one.over),
            active: sum((one) => one.active),
            waiting: sum((one) => one.waiting),
            failed: sum((one) => one.failed),
            ttft,
          };
        },
        end: (why: EndReason) => {
          endedMs = Date.now() - atMs;
          for (const worker of this.#workers) worker.tell({ kind: "end", why });
        },
        result: this.#result(stage, place.round, () => endedMs),
      };
    };
  }

  /**
   * Puts together what all of them say in the end. One that dies has failed with all it had sent, and
   * what else it was to send, up to `endedMs` after the start, never goes out.
   */
  async #result(
    stage: Stage,
    roundNumber: number,
    endedMs: () => number,
  ): Promise<RoundResult> {
    const { slo, as, shard = WHOLE } = this.#options.flags;
    const said = await Promise.all(this.#workers.map((worker) => worker.next()));
    const results = said.filter((one): one is Result => one?.kind === "result");
    const parts = results.map(({ tally, facts }): Round => ({ tally: Tally.read(tally), facts }));
    const lost = this.#workers.filter((_, at) => said[at]?.kind !== "result");
    const reasons = await Promise.all(lost.map((worker) => worker.reason()));
    const troubles = reasons.map((reason) =>
      `${reason}: the load was smaller from then on, and what it had measured is lost`
    );
    const round = sideBySide(parts, slo, troubles);
    lost.forEach((worker, at) => {
      const sent = worker.progress?.sent ?? 0;
      round.tally.lose(Math.max(1, sent), reasons[at]!);
      const part = { index: this.#workers.indexOf(worker), count: this.#workers.length };
      const own = within(shard, part);
      const due = scheduledCount(this.#options, stage, roundNumber, own, endedMs());
      round.tally.notSent += Math.max(0, due - Math.max(1, sent));
    });
    const gathered = as === undefined
      ? undefined
      : gatheredOf(as, results.flatMap((one) => one.gathered ?? []));
    const kept = results.flatMap((one) => one.kept);
    return { round, gathered, kept, isBroken: lost.length > 0 };
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.close()));
  }
}

/** What all of them have gathered for a tool, in the order in which requests were over. */
function gatheredOf(tool: keyof typeof TOOLS, parts: readonly GatheredParts[]): Gathered {
  const gathered = new Gathered(TOOLS[tool].read, () => 0);
  for (const part of parts) gathered.merge(part);
  gathered.requests.sort((a, b) => a.endMs - b.endMs);
  return gathered;
}
