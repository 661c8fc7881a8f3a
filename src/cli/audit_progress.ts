/**
 * Tells what an audit is doing: one line that is written anew each second on a terminal, else a line
 * every quarter of a minute. A check that is over has a line of its own.
 *
 * @module
 */

import type { FailOn, Finding } from "../load/audit/finding.ts";
import { isWrong } from "../load/audit/report_terminal.ts";
import type { Terminal } from "./terminal.ts";

const LIVE_MS = 1000;
const PLAIN_MS = 15_000;

/** The progress of one audit, on standard error. */
export class AuditProgress {
  readonly #checks: number;
  readonly #terminal: Terminal;
  readonly #failOn: FailOn;
  readonly #isLive: boolean;
  readonly #startMs = performance.now();
  readonly #running = new Map<string, number>();
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #over = new Set<string>();

  /** `isLive`: standard error is a terminal. */
  constructor(
    checks: number,
    terminal: Terminal,
    failOn: FailOn = "fail",
    isLive = process.stderr.isTTY === true,
  ) {
    this.#checks = checks;
    this.#failOn = failOn;
    this.#terminal = terminal;
    this.#isLive = isLive;
    this.#timer = setInterval(() => this.#tell(), isLive ? LIVE_MS : PLAIN_MS);
  }

  /** A check begins. */
  started(name: string): void {
    this.#running.set(name, performance.now());
    if (this.#isLive) this.#tell();
  }

  /** A check is over; some are run in two parts. */
  ended(name: string, findings: readonly Finding[]): void {
    this.#running.delete(name);
    const bad = findings.filter(({ verdict }) => isWrong(verdict, this.#failOn));
    const text = bad.length === 0
      ? "ok"
      : bad.map((one) => `${one.verdict} ${one.name}`).join(", ");
    const isSaid = bad.length === 0 && this.#over.has(name);
    this.#over.add(name);
    if (isSaid) return;
    this.#wipe();
    this.#terminal.complain(`${name}: ${text}`);
  }

  /** Says nothing more. */
  stop(): void {
    clearInterval(this.#timer);
    this.#wipe();
  }

  /** "48 s: 12 of 17 checks over, silence since 47 s". */
  line(nowMs = performance.now()): string {
    const seconds = (sinceMs: number) => Math.round((nowMs - sinceMs) / 1000);
    const running = [...this.#running].map(([name, sinceMs]) =>
      `${name} for ${seconds(sinceMs)} s`
    );
    return `${seconds(this.#startMs)} s: ${this.#over.size} of ${this.#checks} checks over${
      running.length === 0 ? "" : `; running: ${running.join(", ")}`
    }`;
  }

  #tell(): void {
    if (!this.#isLive) return this.#terminal.complain(this.line());
    const columns = process.stderr.columns ?? 80;
    process.stderr.write(`\r\x1b[2K${this.line().slice(0, columns - 1)}`);
  }

  #wipe(): void {
    if (this.#isLive) process.stderr.write("\r\x1b[2K");
  }
}
