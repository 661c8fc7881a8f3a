/**
 * What is left of a gateway that is asked twice as much as it can do.
 *
 * The audit's connections are opened before, few at once, and each has carried an answer: what then
 * gets none was at the gateway, and was not lost in a listen queue or in the audit itself. What the
 * audit could not send, since no connection was free, is told apart and is no failure.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import type { ClientConnection, ClientExchange } from "../probe_client.ts";
import { type Check, KeptConnection, type Rig, type Way } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import { answerWhole } from "../stream.ts";
import {
  ANSWER_MS_MAX,
  CONCURRENCY,
  isHeld,
  isStable,
  isTooFast,
  judgeOverload,
  kneeOf,
  type Outcome,
  type OverloadWindow,
  USEFUL_MS_MAX,
} from "./overload_verdict.ts";

const CLOSED_MS = 1000;
/** Rounds of it, until two that follow each other are about the same. */
const ROUNDS_MAX = 5;
const OPEN_MS = 2500;
/** A fail shows in each of them. */
const WINDOWS = 2;
/** Enough for a queue without bound to make answers useless, and no more than sockets are cheap. */
const CONNECTIONS_PER_RATE = 2;
const CONNECTIONS_MIN = 32;
const CONNECTIONS_MAX = 512;
/** Below the listen queue of any server. */
const OPENING_MAX = 8;
/** A connection whose first request is not answered by then is one too many. */
const OPENING_MS_MAX = 2000;

/** Goodput at twice the capacity. */
export const overload: Check = {
  name: "overload",
  title: "Does it still do its work when it is asked for twice as much?",
  // A quarter of a minute each, and a machine that is busy stays so.
  againMax: 1,
  async run(rig: Rig): Promise<readonly Finding[]> {
    const rounds: number[] = [];
    let own = 0;
    while (rounds.length < ROUNDS_MAX && !isStable(rounds)) {
      own = Math.max(own, await closedLoop(rig, "direct"));
      rounds.push(await closedLoop(rig, "through"));
    }
    const knee = kneeOf(rounds);
    const nothing = { rounds, own, afterwards: knee, connections: 0, openingText: "", windows: [] };
    if (!isStable(rounds) || isTooFast(knee, own)) return [judgeOverload(nothing)];
    const { connections, text: openingText } = await openConnections(
      rig,
      Math.round(Math.min(CONNECTIONS_MAX, Math.max(CONNECTIONS_MIN, knee * CONNECTIONS_PER_RATE))),
    );
    const windows: OverloadWindow[] = [];
    const count = connections.length;
    while (windows.length < WINDOWS && !windows.some((one) => isHeld(one, knee))) {
      windows.push(await openLoop(rig, connections, 2 * knee));
    }
    for (const connection of connections) connection.leave("fin");
    const afterwards = await closedLoop(rig, "through");
    return [
      judgeOverload({ rounds, own, afterwards, connections: count, openingText, windows }),
    ];
  },
};

const script = (attempt: Attempt, mark: string) => answerWhole(attempt, mark, 8);

/** Whole answers per second. */
async function closedLoop(rig: Rig, way: Way): Promise<number> {
  const startMs = performance.now();
  const endMs = startMs + CLOSED_MS;
  let done = 0;
  await Promise.all(Array.from({ length: CONCURRENCY }, async () => {
    const kept = new KeptConnection(rig, way);
    while (performance.now() < endMs) {
      const exchange = await askOnce(rig, way, await kept.get(), ANSWER_MS_MAX);
      if (exchange.status === 200 && exchange.end === "whole") done++;
      else await rig.sleep(5);
    }
    kept.close();
  }));
  return done / ((performance.now() - startMs) / 1000);
}

async function askOnce(
  rig: Rig,
  way: Way,
  connection: ClientConnection,
  timeoutMs: number,
): Promise<ClientExchange> {
  const options = { connection, isKept: false, timeoutMs, mayStay: true };
  const { mark, exchange } = await rig.tell(way, script, options);
  rig.upstream.forget(mark);
  return exchange;
}

/** Up to so many connections, each of which has carried an answer. The first that fails is the last. */
async function openConnections(
  rig: Rig,
  wanted: number,
): Promise<{ readonly connections: ClientConnection[]; readonly text: string }> {
  const connections: ClientConnection[] = [];
  let text = "";
  let begun = 0;
  await Promise.all(Array.from({ length: OPENING_MAX }, async () => {
    while (text === "" && begun++ < wanted) {
      try {
        const connection = await rig.connect("through");
        const exchange = await askOnce(rig, "through", connection, OPENING_MS_MAX);
        if (exchange.status > 0 && !connection.isClosed) connections.push(connection);
        else if (exchange.status === 0) {
          text = `no more connections: the request on another one was ${
            exchange.end === "left" ? "not answered" : "closed without an answer"
          }`;
        } else text = "no more connections: the gateway closes each behind its answer";
      } catch (error) {
        rig.options.signal.throwIfAborted();
        text = `no more connections: ${(error as Error).message}`;
      }
    }
  }));
  return { connections, text };
}

async function openLoop(
  rig: Rig,
  connections: ClientConnection[],
  rate: number,
): Promise<OverloadWindow> {
  const outcomes: Record<Outcome, number> = {
    good: 0,
    late: 0,
    refused: 0,
    error: 0,
    cut: 0,
    reset: 0,
    timeout: 0,
    closed: 0,
  };
  const tookMs: number[] = [];
  const lagMs: number[] = [];
  let unsent = 0;
  let opening = 0;
  const all: Promise<void>[] = [];
  const startMs = performance.now();
  const ask = async (connection: ClientConnection) => {
    const exchange = await askOnce(rig, "through", connection, ANSWER_MS_MAX);
    const outcome = outcomeOf(exchange);
    outcomes[outcome]++;
    if (outcome === "good" || outcome === "late") tookMs.push(exchange.endMs! - exchange.sentMs);
    if (!connection.isClosed) return void connections.push(connection);
    // One for one, and few at once: no burst that a listen queue would drop.
    if (opening >= OPENING_MAX) return;
    opening++;
    try {
      connections.push(await rig.connect("through"));
    } catch {
      rig.options.signal.throwIfAborted();
    } finally {
      opening--;
    }
  };
  const count = Math.round(rate * OPEN_MS / 1000);
  for (let i = 0; i < count; i++) {
    const dueMs = startMs + i * 1000 / rate;
    while (performance.now() < dueMs) await rig.sleep(1);
    const connection = connections.pop();
    if (connection === undefined) {
      unsent++;
      continue;
    }
    lagMs.push(performance.now() - dueMs);
    const asked = ask(connection);
    asked.catch(() => {}); // awaited below, unless the audit is interrupted
    all.push(asked);
  }
  const windowMs = Math.max(OPEN_MS, performance.now() - startMs);
  const pressure = rig.watch.pressure(startMs, performance.now());
  await Promise.all(all);
  return { goodput: outcomes.good / (windowMs / 1000), outcomes, unsent, tookMs, lagMs, pressure };
}

function outcomeOf({ status, end, sentMs, endMs, headMs }: ClientExchange): Outcome {
  if (end === "left") return "timeout";
  if (status === 429 || status === 503) return "refused";
  if (end === "reset" && headMs !== undefined) return "reset";
  // Nothing came: a kept connection may have been closed just then.
  if (headMs === undefined) return end === "early" ? "closed" : "reset";
  if (end !== "whole") return "cut";
  if (status !== 200) return "error";
  return endMs! - sentMs <= USEFUL_MS_MAX ? "good" : "late";
}
