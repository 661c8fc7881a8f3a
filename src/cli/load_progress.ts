/**
 * Tells how far a load is: one line that is written anew on a terminal, else a line now and then.
 *
 * @module
 */

import { shown } from "../load/report/terminal.ts";
import type { LoadOptions } from "./load_options.ts";
import type { Warmup } from "./load_values.ts";
import type { RoundProgress } from "./load_round.ts";
import type { Terminal } from "./terminal.ts";

/** How often a round is looked at. */
export const LOOK_MS = 500;
/** A line that stays is written every so many looks. */
const PLAIN_LOOKS = 4;
/** Rates that the little picture shows. */
const BARS = 12;
const LEVELS = "▁▂▃▄▅▆▇█";

/** As many of `parts` as fit into `columns`: the first is the most important, and is there in any case. */
export function fitting(parts: readonly string[], columns: number): string {
  let line = "";
  for (const part of parts) {
    const longer = line === "" ? part : `${line}, ${part}`;
    if (longer.length > columns) break;
    line = longer;
  }
  return line === "" ? parts[0]!.slice(0, columns) : line;
}

/** All of a round. */
interface Whole {
  readonly durationMs: number;
  readonly requests: number;
  /** True: requests are sent on a schedule, whatever is over. */
  readonly hasSchedule: boolean;
}

/**
 * How long a round will go on sending; [] = nobody knows: that is over, and what is under way ends when
 * it does, or nothing has happened yet by which it could be told.
 */
export function secondsLeft(
  { sent, over, nowMs }: Pick<RoundProgress, "sent" | "over" | "nowMs">,
  { durationMs, requests, hasSchedule }: Whole,
): readonly number[] {
  const byTime = durationMs - nowMs;
  // Without a schedule one is sent when one is over.
  const done = hasSchedule ? sent : over;
  const byCount = done === 0 ? Infinity : (nowMs * (requests - done)) / done;
  const leftMs = Math.min(byTime, byCount);
  return leftMs > 0 && leftMs < Infinity ? [Math.ceil(leftMs / 1000)] : [];
}

/** The progress of one round, on standard error. */
export class LoadProgress {
  readonly #title: string;
  readonly #options: LoadOptions;
  readonly #warmup: Warmup;
  readonly #terminal: Terminal;
  readonly #isLive = process.stderr.isTTY === true && process.env["TERM"] !== "dumb";
  readonly #rates: number[] = [];
  #looks = 0;
  #over = 0;

  /** `warmup`: of the round. */
  constructor(title: string, options: LoadOptions, warmup: Warmup, terminal: Terminal) {
    this.#title = title;
    this.#options = options;
    this.#warmup = warmup;
    this.#terminal = terminal;
  }

  /** Leaves an empty line where a live one was. */
  stop(): void {
    if (this.#isLive) process.stderr.write("\r\x1b[2K");
  }

  /** To be called every `LOOK_MS`. */
  tell(progress: RoundProgress): void {
    const looks = this.#isLive ? 1 : PLAIN_LOOKS;
    if (++this.#looks % looks !== 0) return;
    const { sent, over, active, waiting, failed, ttft } = progress;
    const rate = (1000 * (over - this.#over)) / (looks * LOOK_MS);
    this.#over = over;
    this.#rates.push(rate);
    if (this.#rates.length > BARS) this.#rates.shift();
    const [p50, p99] = [ttft.percentile(50), ttft.percentile(99)];
    const parts = [
      ...(failed > 0 ? [`${failed} FAILED`] : []),
      `${shown(rate)}/s`,
      ...this.#left(progress).map((seconds) => `${seconds} s left`),
      ...(p50 === undefined ? [] : [`first token p50 ${shown(p50)} p99 ${shown(p99!)} ms`]),
      `${active} active`,
      ...(waiting > 0 ? [`${waiting} waiting`] : []),
      `${over} of ${sent} over`,
    ];
    if (!this.#isLive) return this.#terminal.complain(`${this.#title}: ${parts.join(", ")}`);
    const told = parts.toSpliced(failed > 0 ? 3 : 2, 0, this.#bars());
    const line = fitting([...told, this.#title], (process.stderr.columns || 80) - 1);
    process.stderr.write(`\r\x1b[2K${line}`);
  }

  #left(progress: RoundProgress): readonly number[] {
    const { durationMs, flags } = this.#options;
    const { ms, requests } = this.#warmup;
    const hasSchedule = flags.search || flags.trace.length > 0 ||
      (flags.rate !== undefined && !flags.sweep);
    return secondsLeft(progress, {
      // When so many have warmed up, only a schedule knows.
      durationMs: hasSchedule || requests === 0 ? durationMs + ms : Infinity,
      requests: (flags.requests ?? Infinity) + requests,
      hasSchedule,
    });
  }

  #bars(): string {
    const most = Math.max(...this.#rates, 1e-9);
    return this.#rates.map((rate) => LEVELS[Math.round((rate / most) * (LEVELS.length - 1))])
      .join("");
  }
}
