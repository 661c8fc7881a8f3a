/**
 * The worker's end of the channel to its supervisor.
 *
 * @module
 */

import type { AnswerPeer, PeerQuestion, Peers } from "../core/peers.ts";
import { type Gather, type Gathered, gatherOnce, type ReportKind } from "../ops/gather.ts";
import {
  type FromWorker,
  type Hello,
  HOST_VARIABLE,
  PORT_VARIABLE,
  PROTOCOL,
  type Question,
  RELAYED_CHARS_MAX,
  RELAYS_MAX,
  REPORT_MS_MAX,
  type ToWorker,
  WORKER_VARIABLE,
} from "./channel.ts";

/** How much longer than the supervisor a worker waits, so that the supervisor's answer still counts. */
const GATHER_SLACK_MS = 500;

/** What a worker does when its supervisor says so. */
export interface WorkerDuties {
  readonly report: (what: Question) => unknown;
  readonly answerPeer: AnswerPeer;
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
  readonly peers: Peers;
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
  const number = Number(env[WORKER_VARIABLE]);
  return makeLink(number, env[HOST_VARIABLE] ?? "", Number(env[PORT_VARIABLE]));
}

function makeLink(number: number, host: string, port: number): WorkerLink {
  const questions = new Map<number, (gathered: Gathered) => void>();
  const relays = new Map<number, (answers: readonly unknown[]) => void>();
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
      case "peer":
        void answerPeer(message.question).then((report) =>
          say({ kind: "report", id: message.id, report })
        );
        break;
      case "relayed":
        relays.get(message.id)?.(message.answers);
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

  /** null = there is no answer, and JSON says so. */
  async function answerPeer(question: PeerQuestion): Promise<unknown> {
    try {
      const answer = await duties?.answerPeer(question) ?? null;
      return JSON.stringify(answer).length > RELAYED_CHARS_MAX ? null : answer;
    } catch {
      return null; // whoever asks says that there is nothing
    }
  }

  async function relay(to: number | null, question: PeerQuestion): Promise<readonly unknown[]> {
    const isTooMuch = relays.size >= RELAYS_MAX ||
      JSON.stringify(question).length > RELAYED_CHARS_MAX;
    if (isTooMuch || !process.connected) return [];
    const id = nextId++;
    const { promise, resolve } = Promise.withResolvers<readonly unknown[]>();
    relays.set(id, resolve);
    const timer = setTimeout(() => resolve([]), REPORT_MS_MAX + GATHER_SLACK_MS);
    say({ kind: "relay", id, to, question });
    const answers = await promise;
    clearTimeout(timer);
    relays.delete(id);
    return answers;
  }

  return {
    host,
    port,
    gather: gatherOnce(gather),
    peers: {
      own: number,
      ask: async (worker, question) => (await relay(worker, question))[0],
      askAll: (question) => relay(null, question),
    },
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
