/**
 * The workers of one weir: starts them, replaces the ones that die, and asks them all.
 *
 *            start          ready            dies            roll()
 *   (none) ────────▶ starting ────▶ serving ──────▶ back-off ──────▶ the next one
 *                                      │
 *                                      └── roll(): all new ones serve first ──▶ draining ──▶ ended
 *
 * @module
 */

import { backoffMs } from "../lib/backoff.ts";
import type { PeerQuestion, ToldAll } from "../core/peers.ts";
import { type Gather, type Gathered, gatherOnce, type ReportKind } from "../ops/gather.ts";
import { type Hello, REPORT_MS_MAX } from "./channel.ts";
import { Failure, type Terminal } from "./terminal.ts";
import { WorkerProcess } from "./worker_process.ts";

/** This many deaths within this time, and something is wrong that a restart does not mend. */
const DEATHS_MAX = 5;
const DEATHS_WINDOW_MS = 60_000;

/** How often every worker is asked how it is. */
const LOOK_MS = 5000;

/** How often a worker that drains is asked whether it still listens. */
const LISTENING_LOOK_MS = 20;

/** A worker that has not answered for so long hangs, and is ended: a new one takes its place. */
const SILENCE_MS_MAX = 30_000;

/** Tries to start one worker of several at once, before the others stay as they are. */
const SPAWNS_MAX = 3;

/** Workers were asked within this time and one has answered, or none does. */
const ANSWER_MS_MAX = 2 * LOOK_MS + REPORT_MS_MAX;

/**
 * Between the moment new connections go to new workers and the one the old ones stop listening.
 * Handshakes that had begun end in it, and connections that are kept alive and in use are told to
 * close behind an answer: what is closed after that has been idle for so long.
 */
export const LINGER_MS = 5000;

/** What a crew needs. */
export interface CrewOptions {
  readonly command: readonly string[];
  /** Where all of them listen, whatever the config says later. */
  readonly host: string;
  readonly port: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly terminal: Terminal;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** Adds the last metrics of a worker that has ended to what is kept of those before it. */
  readonly keep: (kept: unknown, last: unknown) => unknown;
  /** The crew gives up: why. All workers are still there. */
  readonly onGivingUp: (reason: string) => void;
  /** Worker number `number` has ended, however it did. */
  readonly onGone: (number: number) => void;
}

/** How a crew is. */
export interface CrewState {
  readonly serving: number;
  readonly draining: number;
  readonly streams: number;
}

/** Waits until nobody can connect to `worker`, which drains: new connections must not find it. */
async function untilSilent(worker: WorkerProcess): Promise<void> {
  const endMs = performance.now() + SILENCE_MS_MAX;
  while (performance.now() < endMs && await worker.ask("listening") === true) {
    await Bun.sleep(LISTENING_LOOK_MS);
  }
}

/** What `workers` answer to `question`: it has left to all of them when this returns. */
async function askEach(
  workers: readonly WorkerProcess[],
  question: PeerQuestion,
): Promise<ToldAll> {
  const answers = await Promise.all(workers.map((worker) => worker.answerPeer(question)));
  return {
    answers: answers.filter((answer) => answer !== undefined),
    missing: workers.filter((worker, i) => answers[i] === undefined && !worker.hasExited).length,
  };
}

/** Every worker there is. */
export class Crew {
  readonly #options: CrewOptions;
  readonly #workers = new Set<WorkerProcess>();
  readonly #gather: Gather = gatherOnce((kind) => this.#gatherNow(kind));
  /** When workers died that nobody had asked to end, within the window. */
  #deathsMs: number[] = [];
  #nextNumber = 1;
  /** Rises with every roll: what was about to be replaced then has been. */
  #generation = 0;
  #isStopping = false;
  #kept: unknown = undefined;
  #looking: ReturnType<typeof setInterval> | undefined;
  #streams = 0;

  constructor(options: CrewOptions) {
    this.#options = options;
  }

  /** How it is; streams as they were at the last look. */
  get state(): CrewState {
    const all = [...this.#workers];
    return {
      serving: all.filter((worker) => worker.isReady && !worker.isDraining).length,
      draining: all.filter((worker) => worker.isDraining).length,
      streams: this.#streams,
    };
  }

  /** Does at least one worker answer? */
  get isAnswering(): boolean {
    const sinceMs = performance.now() - ANSWER_MS_MAX;
    return [...this.#workers].some((one) =>
      one.isReady && !one.isDraining && !one.hasExited && one.heardMs >= sinceMs
    );
  }

  /**
   * Starts `count` workers. The first one comes alone: what is wrong is said once, and files that
   * are made on first use are made once.
   *
   * @throws {Failure} when one does not come; none is left then, unless they are ending already.
   */
  async start(count: number): Promise<Hello> {
    try {
      const hello = await (await this.#add()).ready;
      await this.#addAll(count - 1, 0);
      this.#looking = setInterval(() => void this.#look(), LOOK_MS);
      return hello;
    } catch (error) {
      if (!this.#isStopping) await this.end();
      throw error;
    }
  }

  /**
   * Starts `count` new workers, and when all of them take requests lets the old ones finish within
   * `limitMs`. When it is done no worker answers a new request by the old config. The old ones stay as
   * they are when a new one does not come.
   *
   * @throws {Failure} in that case.
   */
  async roll(count: number, limitMs: number): Promise<Hello> {
    const added = await this.#addAll(count, limitMs);
    this.#generation++;
    const [first] = added;
    const others = [...this.#workers].filter((worker) => !added.includes(worker));
    const old = others.filter((worker) => !worker.isDraining);
    const listening = old.filter((worker) => worker.isReady && !worker.hasExited);
    // From here on nothing is refused: where steering cannot be had, the old ones just stop.
    const isSteered = await first!.steer(listening.length, count);
    for (const worker of listening) worker.retire();
    await Promise.all(others.map((worker) => this.#renew(worker)));
    if (isSteered) {
      await Bun.sleep(LINGER_MS);
      // While the old ones leave, the numbers of the sockets change, but for this one's.
      await first!.steer(listening.length, 1);
    }
    for (const worker of old) worker.drain(limitMs);
    await Promise.all(old.map(untilSilent));
    await first!.steer(0, 0);
    return await first!.ready;
  }

  /** What all workers answer. All hear what is told so in the same order. */
  async tell(question: PeerQuestion): Promise<ToldAll> {
    return await askEach([...this.#workers].filter((worker) => worker.hasJoined), question);
  }

  /**
   * Lets every worker finish within `limitMs`. Resolves when all have ended: false when one of those that
   * took requests has not done so by itself.
   */
  async drain(limitMs: number): Promise<boolean> {
    this.#stopLooking();
    const all = [...this.#workers];
    for (const worker of all) worker.drain(limitMs);
    const isInOrder = await Promise.all(all.map(async (worker) => {
      const ending = await worker.exited;
      if (!worker.isReady || ending === "code 0") return true;
      this.#options.terminal.complain(
        `weir: ${worker.name} ended with ${ending} as it was finishing`,
      );
      return false;
    }));
    return isInOrder.every(Boolean);
  }

  /** Ends every worker at once. */
  async end(): Promise<void> {
    this.#stopLooking();
    for (const worker of this.#workers) worker.kill();
    await Promise.all([...this.#workers].map((worker) => worker.exited));
  }

  /** Asks every worker how many streams it has open, and ends one that hangs. */
  async look(): Promise<CrewState> {
    await this.#look();
    return this.state;
  }

  #stopLooking(): void {
    this.#isStopping = true;
    clearInterval(this.#looking);
  }

  async #renew(worker: WorkerProcess): Promise<void> {
    const reason = await worker.renew();
    if (reason === undefined) return;
    this.#options.terminal.complain(
      `weir: ${worker.name}, which has been replaced, could not read the config again: ${reason}`,
    );
  }

  /**
   * Starts `count` workers at once; when one does not come, none of them stays. What clients have begun
   * at the others may finish within `limitMs`.
   */
  async #addAll(count: number, limitMs: number): Promise<readonly WorkerProcess[]> {
    const added: WorkerProcess[] = [];
    try {
      while (added.length < count) added.push(await this.#add());
      await Promise.all(added.map((worker) => worker.ready));
      return added;
    } catch (error) {
      for (const worker of added) worker.drain(limitMs);
      throw error;
    }
  }

  /** Starts a worker: what keeps the system from it may be over in a moment. */
  async #add(): Promise<WorkerProcess> {
    for (let attempt = 1;; attempt++) {
      if (this.#isStopping) throw new Failure("weir is ending");
      try {
        return this.#spawn();
      } catch (error) {
        if (!(error instanceof Failure) || attempt === SPAWNS_MAX) throw error;
        await this.#pause(error.message, attempt);
      }
    }
  }

  /** Says `what` went wrong, and waits as long as before retry `attempt`. */
  async #pause(what: string, attempt: number): Promise<void> {
    const delayMs = Math.round(backoffMs(attempt, this.#options.random));
    this.#options.terminal.complain(`weir: ${what}: a new one starts in ${delayMs} ms`);
    await Bun.sleep(delayMs);
  }

  /** @throws {Failure} when the system does not start it. */
  #spawn(): WorkerProcess {
    const worker = new WorkerProcess({
      ...this.#options,
      number: this.#nextNumber++,
      gather: this.#gather,
      relay: (from, to, question) => this.#relay(from, to, question),
      tell: (question) => this.tell(question),
      onLast: (report) => {
        this.#kept = this.#options.keep(this.#kept, report);
      },
    });
    this.#workers.add(worker);
    void worker.exited.then((ending) => {
      this.#workers.delete(worker);
      this.#options.onGone(worker.number);
      // One that never was ready is its starter's business.
      if (worker.isReady && !worker.isDraining) void this.#replace(worker, ending);
    });
    return worker;
  }

  /**
   * Starts one in the place of `worker`. The crew gives up when workers keep dying; one that does not come
   * is tried for again and again, as long as others serve or the system starts none.
   */
  async #replace(worker: WorkerProcess, ending: string): Promise<void> {
    const generation = this.#generation;
    const isNeeded = () => !this.#isStopping && generation === this.#generation;
    let what = `${worker.name} ended with ${ending}`;
    let isDeath = true;
    for (let attempt = 1; isNeeded(); attempt++) {
      if (isDeath && this.#countDeath(what)) return;
      await this.#pause(what, Math.max(attempt, this.#deathsMs.length));
      if (!isNeeded()) return;
      let next: WorkerProcess | undefined;
      try {
        next = this.#spawn();
        await next.ready;
        return;
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        what = error.message;
        isDeath = next !== undefined && this.state.serving === 0;
      }
    }
  }

  /** True when it was one too many, because of which the crew has given up. */
  #countDeath(what: string): boolean {
    const nowMs = performance.now();
    this.#deathsMs = this.#deathsMs.filter((atMs) => atMs > nowMs - DEATHS_WINDOW_MS);
    const count = this.#deathsMs.push(nowMs);
    if (count <= DEATHS_MAX) return false;
    this.#options.onGivingUp(
      `${what}, which is death ${count} within ${DEATHS_WINDOW_MS / 1000} s: weir gives up`,
    );
    return true;
  }

  async #look(): Promise<void> {
    const asked = [...this.#workers].filter((worker) => worker.isReady);
    const counts = await Promise.all(asked.map((worker) => worker.ask("streams")));
    this.#streams = counts.reduce<number>(
      (sum, count) => sum + (typeof count === "number" ? count : 0),
      0,
    );
    for (const worker of asked) {
      const silentMs = performance.now() - worker.heardMs;
      if (worker.hasExited || silentMs < SILENCE_MS_MAX) continue;
      this.#options.terminal.complain(
        `weir: ${worker.name} has not answered for ${Math.round(silentMs / 1000)} s: it is ended`,
      );
      worker.kill();
    }
  }

  /** What others answer to a question of worker `from`: the ones that drain are asked, too. */
  async #relay(
    from: WorkerProcess,
    to: number | null,
    question: PeerQuestion,
  ): Promise<ToldAll> {
    return await askEach(
      [...this.#workers].filter((worker) =>
        worker.isReady && worker !== from && (to === null || worker.number === to)
      ),
      question,
    );
  }

  async #gatherNow(kind: ReportKind): Promise<Gathered> {
    const asked = [...this.#workers].filter((worker) => worker.isReady);
    const answers = await Promise.all(asked.map((worker) => worker.ask(kind)));
    const kept = kind === "metrics" && this.#kept !== undefined ? [this.#kept] : [];
    return {
      reports: [...kept, ...answers.filter((answer) => answer !== undefined)],
      silent: asked.filter((worker, i) => answers[i] === undefined && !worker.hasExited)
        .map((worker) => worker.name),
    };
  }
}
