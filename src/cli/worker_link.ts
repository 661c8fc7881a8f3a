/**
 * The worker's end of the channel to its supervisor.
 *
 * @module
 */

import type { AnswerPeer, PeerQuestion, Peers, ToldAll } from "../core/peers.ts";
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
  SHARED_VARIABLE,
  type ToWorker,
  WORKER_VARIABLE,
} from "./channel.ts";

/** Nobody has answered. */
const NOBODY: ToldAll = { answers: [], missing: 0 };

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
  /** The folder of what all workers share. */
  readonly shared: string;
  readonly gather: Gather;
  readonly peers: Peers;
  /** From now on `answer` is asked what other workers ask, until it is open. */
  readonly join: (answer: AnswerPeer) => void;
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
  const place = { host: env[HOST_VARIABLE] ?? "", port: Number(env[PORT_VARIABLE]) };
  return makeLink(number, { ...place, shared: env[SHARED_VARIABLE] ?? "" });
}

function makeLink(
  number: number,
  { host, port, shared }: Pick<WorkerLink, "host" | "port" | "shared">,
): WorkerLink {
  const questions = new Map<number, (gathered: Gathered) => void>();
  const relays = new Map<number, (told: ToldAll) => void>();
  let nextId = 1;
  let duties: WorkerDuties | undefined;
  let answerEarly: AnswerPeer | undefined;

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
        relays.get(message.id)?.(message);
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
      const answer = await (duties?.answerPeer ?? answerEarly)?.(question) ?? null;
      return JSON.stringify(answer).length > RELAYED_CHARS_MAX ? null : answer;
    } catch {
      return null; // whoever asks says that there is nothing
    }
  }

  /** Has others answer `question`, which `message` carries to them. */
  async function relay(
    question: PeerQuestion,
    message: (id: number) => FromWorker,
  ): Promise<ToldAll> {
    const isTooMuch = relays.size >= RELAYS_MAX ||
      JSON.stringify(question).length > RELAYED_CHARS_MAX;
    if (isTooMuch || !process.connected) return NOBODY;
    const id = nextId++;
    const { promise, resolve } = Promise.withResolvers<ToldAll>();
    relays.set(id, resolve);
    const timer = setTimeout(() => resolve(NOBODY), REPORT_MS_MAX + GATHER_SLACK_MS);
    say(message(id));
    const told = await promise;
    clearTimeout(timer);
    relays.delete(id);
    return told;
  }

  const relayTo = async (to: number | null, question: PeerQuestion) =>
    (await relay(question, (id) => ({ kind: "relay", id, to, question }))).answers;

  function listen(): void {
    process.on("message", (message) => hear(message as ToWorker));
  }

  return {
    host,
    port,
    shared,
    gather: gatherOnce(gather),
    peers: {
      own: number,
      ask: async (worker, question) => (await relayTo(worker, question))[0],
      askAll: (question) => relayTo(null, question),
      tellAll: (question) => relay(question, (id) => ({ kind: "tell", id, question })),
    },
    join(answer) {
      answerEarly = answer;
      listen();
      say({ kind: "join" });
    },
    open(hello, newDuties) {
      duties = newDuties;
      if (answerEarly === undefined) listen();
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
