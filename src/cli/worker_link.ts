/**
 * The worker's end of the channel to its supervisor.
 *
 * @module
 */

import { type Gather, type Gathered, gatherOnce, type ReportKind } from "../ops/gather.ts";
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

/** How much longer than the supervisor a worker waits, so that the supervisor's answer still counts. */
const GATHER_SLACK_MS = 500;

/** What a worker does when its supervisor says so. */
export interface WorkerDuties {
  readonly report: (what: Question) => unknown;
  readonly steer: (first: number, count: number) => Promise<boolean>;
  readonly retire: () => void;
  /** Gives "", or why it cannot. */
  readonly renew: () => string;
  /** Called again when less time is left than was said before. */
  readonly drain: (limitMs: number) => void;
}

/** The channel to the supervisor. */
export interface WorkerLink {
  /** Where the supervisor wants it to listen. */
  readonly host: string;
  readonly port: number;
  readonly gather: Gather;
  /** Says that this worker takes requests, and from now on does what it is told. */
  readonly open: (hello: Pick<Hello, "version" | "introduction">, duties: WorkerDuties) => void;
  /** Hands over what was counted, before the process ends. */
  readonly close: (metrics: unknown) => Promise<void>;
}

/** The link of this process, or undefined when no supervisor has started it. */
export function workerLink(
  env: Readonly<Record<string, string | undefined>>,
): WorkerLink | undefined {
  if (env[WORKER_VARIABLE] === undefined || process.send === undefined) return undefined;
  return makeLink(env[HOST_VARIABLE] ?? "", Number(env[PORT_VARIABLE]));
}

function makeLink(host: string, port: number): WorkerLink {
  const questions = new Map<number, (gathered: Gathered) => void>();
  let nextId = 1;
  let duties: WorkerDuties | undefined;

  function say(message: FromWorker): void {
    process.send?.(message);
  }

  /** Answers question `id` with what `asked` gives. */
  function answer(id: number, asked: unknown): void {
    void Promise.resolve(asked).then((report) => say({ kind: "report", id, report }));
  }

  function hear(message: ToWorker): void {
    switch (message.kind) {
      case "ask":
        answer(message.id, duties?.report(message.what));
        break;
      case "gathered":
        questions.get(message.id)?.(message);
        break;
      case "steer":
        answer(message.id, duties?.steer(message.first, message.count));
        break;
      case "renew":
        answer(message.id, duties?.renew());
        break;
      case "retire":
        duties?.retire();
        break;
      case "drain":
        duties?.drain(message.limitMs);
        break;
    }
  }

  async function gather(what: ReportKind): Promise<Gathered> {
    const id = nextId++;
    const { promise, resolve } = Promise.withResolvers<Gathered>();
    questions.set(id, resolve);
    const own = () => resolve({ reports: [duties!.report(what)], silent: ["the supervisor"] });
    const timer = setTimeout(own, REPORT_MS_MAX + GATHER_SLACK_MS);
    if (process.connected) say({ kind: "gather", id, what });
    else own();
    const { reports, silent } = await promise;
    clearTimeout(timer);
    questions.delete(id);
    return { reports, silent };
  }

  return {
    host,
    port,
    gather: gatherOnce(gather),
    open(hello, newDuties) {
      duties = newDuties;
      process.on("message", (message) => hear(message as ToWorker));
      say({ kind: "ready", protocol: PROTOCOL, ...hello });
    },
    async close(metrics) {
      if (!process.connected) return;
      const sent = Promise.withResolvers<void>();
      const last: FromWorker = { kind: "last", report: metrics };
      process.send!(last, undefined, undefined, () => sent.resolve());
      await Promise.race([sent.promise, Bun.sleep(REPORT_MS_MAX)]);
    },
  };
}
