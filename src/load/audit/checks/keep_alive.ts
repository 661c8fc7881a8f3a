/**
 * Whether connections to the upstream are kept, and what happens when one of them ends just as it is
 * used again.
 *
 * @module
 */

import { isByteRelay } from "../byte_relay.ts";
import type { Finding, Verdict } from "../finding.ts";
import { counted } from "../../../lib/counted.ts";
import { ownAnswer } from "../own_answer.ts";
import {
  type Asked,
  type Check,
  finding,
  inTurn,
  isBeyondMachine,
  KeptConnection,
  type Rig,
  shownBytes,
  timeline,
  type Way,
} from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import { answerWhole, chunk, roleEvent, sequenceOf, streamHead, textEvent } from "../stream.ts";

const REQUESTS = 30;
/** Before they are judged: until so many in a row came on a used connection, or all of these went. */
const WARM_ROW = 10;
const WARM_UP_MAX = 200;
const REUSED_SHARE_MIN = 0.9;
/** The upstream closes so long before (-) or after the next request. */
const RACE_MS = [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5] as const;
const RACE_ROUNDS = 6;
/** Until the request before a race is at the upstream. */
const ARRIVAL_MS_MAX = 5000;
/** From an answer to the next request of a race. */
const IDLE_MS = 40;

/** Reuse on both sides, the race against a closing upstream, and what follows a request that was given up. */
export const keepAlive: Check = {
  name: "keep-alive",
  title: "Are connections kept, and is a closing one survived?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    return await inTurn([() => reuse(rig), () => race(rig), () => afterAbort(rig)]);
  },
};

/** A request, and whether it went on a connection that the client had used before. */
interface Reused {
  readonly asked: Asked;
  readonly isOnUsed: boolean;
}

async function reuse(rig: Rig): Promise<readonly Finding[]> {
  const kept = new KeptConnection(rig, "through");
  let before: unknown;
  const askOnce = async (): Promise<Reused> => {
    const connection = await kept.get();
    const isOnUsed = connection === before;
    before = connection;
    const asked = await rig.tell("through", (attempt, mark) => answerWhole(attempt, mark), {
      connection,
    });
    // The upstream's connection is given back when its last bytes have been read.
    await rig.sleep(2);
    return { asked, isOnUsed };
  };
  // A pool that uses its connections in turn is at work once each of them has been opened.
  let inRow = 0;
  for (let i = 0; i < WARM_UP_MAX && inRow < WARM_ROW; i++) {
    const { asked } = await askOnce();
    inRow = (asked.expectation.attempts.at(-1)?.ordinal ?? 0) > 1 ? inRow + 1 : 0;
  }
  const judged: Reused[] = [];
  for (let i = 0; i < REQUESTS; i++) judged.push(await askOnce());
  kept.close();
  return [upstreamReuse(judged), clientReuse(judged)];
}

/** The upstream's connections, and how often each had been used. */
function upstreamReuse(judged: readonly Reused[]): Finding {
  const arrived = judged.flatMap(({ asked }) => asked.expectation.attempts.at(-1) ?? []);
  const used = arrived.filter(({ ordinal }) => ordinal > 1).length;
  const share = used / Math.max(1, arrived.length);
  const connections = new Set(arrived.map(({ connection }) => connection));
  return finding("keep-alive", {
    part: "reuse",
    verdict: arrived.length === 0 ? "void" : share >= REUSED_SHARE_MIN ? "pass" : "fail",
    limit: `${100 * REUSED_SHARE_MIN} % of requests come on a connection that was used before`,
    measured: `${used} of ${
      counted(arrived.length, "request")
    } in turn came on a used connection, ${
      counted(connections.size, "connection")
    } to the upstream in all`,
    value: 100 * share,
    unit: "%",
    evidence: [
      `connection, and number of the request on it: ${
        arrived.map(({ connection, ordinal }) => `${connection}/${ordinal}`).join(", ")
      }`,
    ],
    mend:
      'Keep connections to the upstream open (nginx: keepalive in the upstream, proxy_http_version 1.1, Connection ""): each new one costs a round trip, and with TLS three.',
  });
}

/** A gateway may close its clients' connections behind each answer: that is slow, and no fault. */
function clientReuse(judged: readonly Reused[]): Finding {
  const answered = judged.filter(({ asked }) => asked.exchange.status > 0);
  const used = answered.filter(({ isOnUsed }) => isOnUsed).length;
  const share = used / Math.max(1, answered.length);
  const opened = judged.findIndex(({ isOnUsed }, i) => i > 0 && !isOnUsed);
  const last = judged[opened - 1]?.asked;
  return finding("keep-alive", {
    part: "clients",
    verdict: answered.length === 0 ? "void" : share >= REUSED_SHARE_MIN ? "pass" : "note",
    limit: `${
      100 * REUSED_SHARE_MIN
    } % of requests go on a connection that the client has used before`,
    measured: `${used} of ${counted(answered.length, "request")} in turn went on a used connection`,
    value: 100 * share,
    unit: "%",
    evidence: last === undefined
      ? []
      : ["before a new one:", ...timeline(last), shownBytes(last.exchange.headText)],
    mend:
      "Keep the client's connection open behind an answer: each new one costs a round trip, and with TLS three.",
  });
}

/** What a client got in a race. */
interface Raced {
  readonly offsetMs: number;
  readonly asked: Asked;
}

/** Races of one way. */
export interface RaceCounts {
  readonly races: number;
  /** Answered with a 5xx. */
  readonly failed: number;
  /** Closed without an answer, although the upstream has not seen the request. */
  readonly closed: number;
}

async function race(rig: Rig): Promise<Finding> {
  const direct: Raced[] = [];
  const through: Raced[] = [];
  for (let round = 0; round < RACE_ROUNDS; round++) {
    for (const offsetMs of RACE_MS) {
      direct.push(await raceOnce(rig, "direct", offsetMs));
      through.push(await raceOnce(rig, "through", offsetMs));
    }
  }
  const counts = countRaces(through);
  const { verdict, why } = judgeRaces(counts, countRaces(direct), await isByteRelay(rig));
  const bad = [...through.filter(isRefused), ...through.filter(isClosed)];
  const [first] = bad;
  return finding("keep-alive", {
    part: "close-idle",
    verdict,
    limit: "the client gets an answer when the upstream closes an idle connection",
    measured: `${counts.races} races from ${RACE_MS[0]} to +${
      RACE_MS.at(-1)
    } ms: ${counts.failed} answered ${
      through.find(isRefused)?.asked.exchange.status ?? "5xx"
    }, ${counts.closed} closed without an answer${why}`,
    direct: `${countRaces(direct).closed} closed without an answer`,
    value: counts.failed + counts.closed,
    unit: "answers",
    evidence: first === undefined ? [] : [
      `closed ${first.offsetMs} ms from the request`,
      ...timeline(first.asked),
      shownBytes(first.asked.exchange.wireText),
    ],
    mend:
      "Ask again on a new connection when a kept one ends before its first byte, and close idle ones sooner than the upstream does.",
  });
}

async function raceOnce(rig: Rig, way: Way, offsetMs: number): Promise<Raced> {
  const kept = new KeptConnection(rig, way);
  const closing = Promise.withResolvers<Attempt>();
  const before = await rig.tell(way, (attempt, mark) => {
    answerWhole(attempt, mark);
    closing.resolve(attempt);
  }, { connection: await kept.get() });
  if (!await rig.within(closing.promise, ARRIVAL_MS_MAX)) {
    throw new Error(`of a request before a race: ${ownAnswer(before)?.measured ?? "it came late"}`);
  }
  const attempt = await closing.promise;
  const closes = rig.sleep(IDLE_MS + offsetMs).then(() => attempt.cut());
  closes.catch(() => {}); // an audit that is interrupted ends elsewhere
  await rig.sleep(IDLE_MS);
  const asked = await rig.tell(way, (one, mark) => answerWhole(one, mark), {
    connection: await kept.get(),
  });
  await closes;
  kept.close();
  return { offsetMs, asked };
}

function isRefused({ asked }: Raced): boolean {
  return asked.exchange.status >= 500;
}

/** What the upstream has never seen can be asked again without harm. */
function isClosed({ asked }: Raced): boolean {
  return asked.exchange.status === 0 && asked.expectation.attempts.length === 0;
}

function countRaces(raced: readonly Raced[]): RaceCounts {
  return {
    races: raced.length,
    failed: raced.filter(isRefused).length,
    closed: raced.filter(isClosed).length,
  };
}

/**
 * A gateway that hangs up instead of answering 502 has failed just the same. One that closes its
 * client's connection with the upstream's, as a relay must, loses about as many as a client without
 * it: what is a little more than that cannot be told.
 */
export function judgeRaces(
  { failed, closed }: RaceCounts,
  direct: RaceCounts,
  isRelay: boolean,
): { readonly verdict: Verdict; readonly why: string } {
  if (failed > 0) return { verdict: "fail", why: "" };
  if (closed === 0) return { verdict: "pass", why: "" };
  if (isRelay) return { verdict: "pass", why: ", as where bytes are only passed on" };
  if (closed <= direct.closed) {
    return { verdict: "pass", why: `, no more than without the gateway` };
  }
  return isBeyondMachine(closed, direct.closed)
    ? { verdict: "fail", why: "" }
    : { verdict: "void", why: ": hardly more than without the gateway" };
}

/** The request behind one that was given up must not read what was left of it. */
async function afterAbort(rig: Rig): Promise<Finding> {
  const wrong: string[] = [];
  for (let i = 0; i < 5; i++) {
    const left = await rig.ask("through", async (attempt, mark) => {
      attempt.write(Buffer.concat([Buffer.from(streamHead()), chunk(roleEvent(mark))]));
      for (let sequence = 1; sequence < 200 && await attempt.pause(1); sequence++) {
        attempt.write(chunk(textEvent(mark, sequence)));
      }
    });
    await rig.within(left.exchange.hasBody(1), 2000);
    left.connection.leave("reset");
    const next = await rig.tell("through", (attempt, mark) => answerWhole(attempt, mark));
    const isOwn = next.exchange.events().some(({ data }) => sequenceOf(data, next.mark) === 3);
    if (!isOwn || next.exchange.wireText.includes(left.mark)) {
      wrong.push(shownBytes(next.exchange.wireText));
    }
    for (const attempt of left.expectation.attempts) attempt.reset();
  }
  return finding("keep-alive", {
    part: "after-abort",
    verdict: wrong.length > 0 ? "fail" : "pass",
    limit: "the answer behind one that was given up is its own",
    measured: wrong.length === 0 ? "5 answers, each its own" : `${wrong.length} of 5 wrong`,
    value: wrong.length,
    unit: "answers",
    evidence: wrong,
    mend:
      "Close a connection whose answer was not read to its end, and never give it to the next request.",
  });
}
