/**
 * Whether connections to the upstream are kept, and what happens when one of them ends just as it is
 * used again.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import {
  type Asked,
  type Check,
  finding,
  KeptConnection,
  type Rig,
  shownBytes,
  timeline,
} from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import { answerWhole, chunk, roleEvent, sequenceOf, streamHead, textEvent } from "../stream.ts";

const REQUESTS = 30;
const REUSED_SHARE_MIN = 0.9;
/** The upstream closes so long before (-) or after the next request. */
const RACE_MS = [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5] as const;
const RACE_ROUNDS = 6;
/** From an answer to the next request of a race. */
const IDLE_MS = 40;

/** Reuse, the race against a closing upstream, and what follows a request that was given up. */
export const keepAlive: Check = {
  name: "keep-alive",
  title: "Are connections kept, and is a closing one survived?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    return [await reuse(rig), await race(rig), await afterAbort(rig)];
  },
};

async function reuse(rig: Rig): Promise<Finding> {
  const kept = new KeptConnection(rig, "through");
  const used = new Set<number>();
  let clients = 0;
  let before: unknown;
  for (let i = 0; i < REQUESTS; i++) {
    const connection = await kept.get();
    if (connection !== before) clients++;
    before = connection;
    const asked = await rig.tell("through", (attempt, mark) => answerWhole(attempt, mark), {
      connection,
    });
    for (const attempt of asked.expectation.attempts) used.add(attempt.connection);
    // The upstream's connection is given back when its last bytes have been read.
    await rig.sleep(2);
  }
  kept.close();
  const share = 1 - (used.size - 1) / REQUESTS;
  const isKept = share >= REUSED_SHARE_MIN && clients <= 1 + REQUESTS * (1 - REUSED_SHARE_MIN);
  return finding("keep-alive", {
    part: "reuse",
    verdict: used.size === 0 ? "void" : isKept ? "pass" : "fail",
    limit: `${100 * REUSED_SHARE_MIN} % of requests come on a connection that was used before`,
    measured:
      `${REQUESTS} requests in turn: ${used.size} connections to the upstream, ${clients} of the client`,
    value: 100 * share,
    unit: "%",
    evidence: [`connections of the upstream: ${[...used].join(", ")}`],
    mend:
      'Keep connections to the upstream open (nginx: keepalive in the upstream, proxy_http_version 1.1, Connection ""): each new one costs a round trip, and with TLS three.',
  });
}

/** What a client got in a race. */
interface Raced {
  readonly offsetMs: number;
  readonly asked: Asked;
}

async function race(rig: Rig): Promise<Finding> {
  const raced: Raced[] = [];
  for (let round = 0; round < RACE_ROUNDS; round++) {
    for (const offsetMs of RACE_MS) {
      const kept = new KeptConnection(rig, "through");
      const closing = Promise.withResolvers<Attempt>();
      await rig.tell("through", (attempt, mark) => {
        answerWhole(attempt, mark);
        closing.resolve(attempt);
      }, { connection: await kept.get() });
      const attempt = await closing.promise;
      const closes = rig.sleep(IDLE_MS + offsetMs).then(() => attempt.cut());
      closes.catch(() => {}); // an audit that is interrupted ends elsewhere
      await rig.sleep(IDLE_MS);
      raced.push({
        offsetMs,
        asked: await rig.tell("through", (one, mark) => answerWhole(one, mark), {
          connection: await kept.get(),
        }),
      });
      await closes;
      kept.close();
    }
  }
  const failed = raced.filter(({ asked }) => asked.exchange.status >= 500);
  // Straight to the upstream the same happens, and a client asks again on a new connection.
  const closed = raced.filter(({ asked }) => asked.exchange.status === 0);
  const [first] = failed;
  return finding("keep-alive", {
    part: "close-idle",
    verdict: failed.length > 0 ? "fail" : "pass",
    limit: "no error of the gateway's own when the upstream closes an idle connection",
    measured: `${raced.length} races from ${RACE_MS[0]} to +${
      RACE_MS.at(-1)
    } ms: ${failed.length} answered ${
      first === undefined ? "5xx" : first.asked.exchange.status
    }, ${closed.length} closed without an answer`,
    value: failed.length,
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
