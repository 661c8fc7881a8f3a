/**
 * Tells how far a load is: one line that is written anew on a terminal, else a line now and then.
 *
 * @module
 */

import type { LoadRun } from "../load/run.ts";
import { shown } from "../load/report/terminal.ts";
import type { Tally } from "../load/tally.ts";
import type { LoadOptions } from "./load_options.ts";
import type { Terminal } from "./terminal.ts";

const LIVE_MS = 500;
const PLAIN_MS = 2000;
/** Rates that the little picture shows. */
const BARS = 24;
const LEVELS = "▁▂▃▄▅▆▇█";

/** The progress of one round, on standard error. */
export class LoadProgress {
  readonly #title: string;
  readonly #run: LoadRun;
  readonly #tally: Tally;
  readonly #options: LoadOptions;
  readonly #terminal: Terminal;
  readonly #isLive = process.stderr.isTTY === true;
  readonly #rates: number[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;
  #over = 0;

  constructor(
    title: string,
    run: LoadRun,
    tally: Tally,
    options: LoadOptions,
    terminal: Terminal,
  ) {
    this.#title = title;
    this.#run = run;
    this.#tally = tally;
    this.#options = options;
    this.#terminal = terminal;
  }

  start(): void {
    this.#timer = setInterval(() => this.#tell(), this.#isLive ? LIVE_MS : PLAIN_MS);
  }

  /** Leaves an empty line where a live one was. */
  stop(): void {
    clearInterval(this.#timer);
    if (this.#isLive) process.stderr.write("\r\x1b[2K");
  }

  #tell(): void {
    const { sent, over, active, waiting } = this.#run.progress;
    const everyMs = this.#isLive ? LIVE_MS : PLAIN_MS;
    const rate = (1000 * (over - this.#over)) / everyMs;
    this.#over = over;
    this.#rates.push(rate);
    if (this.#rates.length > BARS) this.#rates.shift();
    const { ttft_ms } = this.#tally.spreads;
    const [p50, p99] = [ttft_ms.percentile(50), ttft_ms.percentile(99)];
    const { failed } = this.#tally.outcomes;
    const parts = [
      `${sent} sent`,
      `${over} over`,
      ...(failed > 0 ? [`${failed} FAILED`] : []),
      `${active} active`,
      ...(waiting > 0 ? [`${waiting} waiting`] : []),
      `${shown(rate)}/s`,
      ...(p50 === undefined ? [] : [`first token p50 ${shown(p50)} p99 ${shown(p99!)} ms`]),
      ...this.#left(sent),
    ];
    const line = `${this.#title}: ${parts.join(", ")}`;
    if (!this.#isLive) return this.#terminal.complain(line);
    const columns = process.stderr.columns ?? 80;
    process.stderr.write(`\r\x1b[2K${`${this.#bars()} ${line}`.slice(0, columns - 1)}`);
  }

  /** How long it will go on, as far as that is known. */
  #left(sent: number): readonly string[] {
    const { durationMs, flags } = this.#options;
    const nowMs = this.#run.nowMs;
    const byTime = durationMs - nowMs;
    const byCount = flags.requests === undefined || sent === 0
      ? Infinity
      : (nowMs * (flags.requests - sent)) / sent;
    const leftMs = Math.min(byTime, byCount);
    return leftMs === Infinity ? [] : [`${Math.max(0, Math.ceil(leftMs / 1000))} s left`];
  }

  #bars(): string {
    const most = Math.max(...this.#rates, 1e-9);
    return this.#rates.map((rate) => LEVELS[Math.round((rate / most) * (LEVELS.length - 1))])
      .join("");
  }
}
