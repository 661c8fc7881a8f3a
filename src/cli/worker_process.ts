/**
 * A worker as its supervisor sees it: a child process, whether it is ready, and what it answers.
 *
 * @module
 */

import type { PeerQuestion, ToldAll } from "../core/peers.ts";
import type { Gathered, ReportKind } from "../ops/gather.ts";
import {
  type FromWorker,
  type Hello,
  HOST_VARIABLE,
  PORT_VARIABLE,
  PROTOCOL,
  type Question,
  REPORT_MS_MAX,
  type ToWorker,
  WORKER_VARIABLE,
} from "./channel.ts";
import { Failure } from "./terminal.ts";

/** Longest time from the start of a worker until it takes requests. */
const START_MS_MAX = 30_000;

/** Longest time for what a worker is told to do at once: on a busy machine it may be late. */
const DUTY_MS_MAX = 10_000;

/** What only the supervisor tells its manager, and so no worker must find. */
const NOT_FOR_WORKERS = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/** How a worker is started. */
export interface WorkerOptions {
  /** Its number, for people: none is given twice. */
  readonly number: number;
  readonly command: readonly string[];
  readonly host: string;
  readonly port: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Gathers for a worker that was asked over HTTP. */
  readonly gather: (kind: ReportKind) => Promise<Gathered>;
  /** Has others answer a question of this one: worker number `to`, or all (null). */
  readonly relay: (
    from: WorkerProcess,
    to: number | null,
    question: PeerQuestion,
  ) => Promise<ToldAll>;
  /** Has all answer a question, in the order in which all are told. */
  readonly tell: (question: PeerQuestion) => Promise<ToldAll>;
  /** Takes the last metrics of a worker that ends. */
  readonly onLast: (report: unknown) => void;
}

/** How a worker ended, in words: "code 1", "signal SIGSEGV". */
export type Ending = string;

/** One child process. */
export class WorkerProcess {
  readonly number: number;
  readonly pid: number;
  /** Resolves when it takes requests; rejects with a `Failure` when it will not. */
  readonly ready: Promise<Hello>;
  readonly exited: Promise<Ending>;
  readonly startedMs = performance.now();
  /** When it last answered, on the clock of `performance`. */
  heardMs = performance.now();
  isReady = false;
  /** True: it is told what all are told, whether or not it takes requests yet. */
  hasJoined = false;
  isDraining = false;
  hasExited = false;
  readonly #child: Bun.Subprocess<"ignore", "inherit", "inherit">;
  readonly #questions = new Map<number, (report: unknown) => void>();
  readonly #hello = Promise.withResolvers<Hello>();
  readonly #options: WorkerOptions;
  #nextId = 1;

  /** @throws {Failure} when the system does not start it. */
  constructor(options: WorkerOptions) {
    this.#options = options;
    this.number = options.number;
    const exited = Promise.withResolvers<Ending>();
    this.exited = exited.promise;
    const env: Record<string, string | undefined> = {
      ...options.env,
      [WORKER_VARIABLE]: String(options.number),
      [HOST_VARIABLE]: options.host,
      [PORT_VARIABLE]: String(options.port),
    };
    for (const name of NOT_FOR_WORKERS) delete env[name];
    try {
      this.#child = Bun.spawn([...options.command], {
        env,
        stdio: ["ignore", "inherit", "inherit"],
        serialization: "json",
        ipc: (message) => this.#hear(message as FromWorker),
        onExit: (_child, code, _signal) => {
          const ending = code === null ? `signal ${this.#child.signalCode}` : `code ${code}`;
          this.hasExited = true;
          this.#hello.reject(new Failure(`${this.name} ended with ${ending} before it listened`));
          for (const answer of this.#questions.values()) answer(undefined);
          exited.resolve(ending);
        },
      });
    } catch (error) {
      const { code, message } = error as { readonly code?: string; readonly message: string };
      const [program] = options.command;
      throw new Failure(`worker ${this.number} cannot be started (${program}): ${code ?? message}`);
    }
    this.pid = this.#child.pid;
    const tooLong = setTimeout(() => {
      this.#hello.reject(new Failure(`${this.name} did not listen within ${START_MS_MAX} ms`));
      this.kill();
    }, START_MS_MAX);
    this.ready = this.#hello.promise.finally(() => clearTimeout(tooLong));
    // Whoever waits for it sees the failure; nobody may wait when all are ended early.
    this.ready.catch(() => {});
  }

  /** As people read it: "worker 3 (process 4711)". */
  get name(): string {
    return `worker ${this.number} (process ${this.pid})`;
  }

  /** The worker's answer; undefined when none comes within `REPORT_MS_MAX`, or it has ended. */
  ask(what: Question): Promise<unknown> {
    return this.#ask((id) => ({ kind: "ask", id, what }));
  }

  /** Its answer to another worker's question; undefined = it has none, or none in time. */
  async answerPeer(question: PeerQuestion): Promise<unknown> {
    return await this.#ask((id) => ({ kind: "peer", id, question })) ?? undefined;
  }

  /**
   * Has it read the config again, for requests on connections that it has kept. Gives why it could not,
   * and turns them away; undefined = they are answered as the config says now, or it has ended.
   */
  async renew(): Promise<string | undefined> {
    if (!this.isReady) return undefined; // it is told to end
    const report = await this.#ask((id) => ({ kind: "renew", id }), DUTY_MS_MAX);
    if (report === "" || this.hasExited) return undefined;
    return typeof report === "string" ? report : `no answer within ${DUTY_MS_MAX} ms`;
  }

  /**
   * Sends new connections to `count` sockets of the port from number `first` on, in the order in
   * which they began to listen; a count of 0 sends them to all. False when that cannot be.
   */
  async steer(first: number, count: number): Promise<boolean> {
    return await this.#ask((id) => ({ kind: "steer", id, first, count }), DUTY_MS_MAX) === true;
  }

  /** Closes its connections one by one, as they are answered. It gets no new ones. */
  retire(): void {
    this.isDraining = true;
    this.#say({ kind: "retire" });
  }

  /** Lets it finish what is open within `limitMs`, and then end. */
  drain(limitMs: number): void {
    this.isDraining = true;
    // One that is not ready may listen, and clients may have come: it drains on SIGTERM by itself. Before
    // it listens it ends of that.
    if (!this.isReady) this.#child.kill("SIGTERM");
    this.#say({ kind: "drain", limitMs });
  }

  /** Ends it at once. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async #ask(question: (id: number) => ToWorker, limitMs = REPORT_MS_MAX): Promise<unknown> {
    if (this.hasExited) return undefined;
    const id = this.#nextId++;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.#questions.set(id, resolve);
    const timer = setTimeout(() => resolve(undefined), limitMs);
    this.#say(question(id));
    const report = await promise;
    clearTimeout(timer);
    this.#questions.delete(id);
    return report;
  }

  #say(message: ToWorker): void {
    if (this.hasExited) return;
    try {
      this.#child.send(message);
    } catch {
      // The channel of a process that is just ending: `exited` tells.
    }
  }

  #relayed(id: number, told: Promise<ToldAll>): void {
    void told.then((told) => this.#say({ kind: "relayed", id, ...told }));
  }

  #hear(message: FromWorker): void {
    this.heardMs = performance.now();
    switch (message.kind) {
      case "ready":
        if (message.protocol === PROTOCOL) {
          this.isReady = this.hasJoined = true;
          this.#hello.resolve(message);
        } else {
          this.#hello.reject(
            new Failure(
              `${this.name} is weir ${message.version}, which this supervisor cannot lead: ` +
                "restart weir as a whole",
            ),
          );
          this.kill();
        }
        break;
      case "report":
        this.#questions.get(message.id)?.(message.report);
        break;
      case "gather":
        void this.#options.gather(message.what).then((gathered) =>
          this.#say({ kind: "gathered", id: message.id, ...gathered })
        );
        break;
      case "relay":
        this.#relayed(message.id, this.#options.relay(this, message.to, message.question));
        break;
      case "join":
        this.hasJoined = true;
        break;
      case "tell":
        this.#relayed(message.id, this.#options.tell(message.question));
        break;
      case "last":
        this.#options.onLast(message.report);
        break;
    }
  }
}
