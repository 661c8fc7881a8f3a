/**
 * Whether each client gets its own answer and each request reaches the upstream once: tried with
 * many streams at once, and judged over all that the audit has asked, in whatever check.
 *
 * @module
 */

import { counted } from "../../../lib/counted.ts";
import { CANARY, type Finding } from "../finding.ts";
import type { Again, Foreign } from "../isolation_watch.ts";
import { ownAnswer } from "../own_answer.ts";
import { END_TEXTS } from "../probe_client.ts";
import { type Asked, type Check, finding, type Rig, shownBytes, timeline } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import {
  chunk,
  DONE,
  endBody,
  finishEvent,
  roleEvent,
  sequenceOf,
  streamHead,
  textEvent,
} from "../stream.ts";
import { byCheck } from "../watched.ts";

/** Streams at once, and how often. */
const CLIENTS = 16;
const ROUNDS = 3;
/** Of a stream. */
const EVENTS = 12;
const GAP_MS = 5;
/** Shown before and behind what is another one's. */
const AROUND_CHARS = 120;
/** Requests that are told with all that happened to them. */
const TOLD_MAX = 20;

/** Many streams at once, half of them with credentials; and what all checks have seen. */
export const isolation: Check = {
  name: "isolation",
  title: "Does each client get its own answer, and the upstream each request once?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const all: Asked[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      all.push(
        ...await Promise.all(
          Array.from({ length: CLIENTS }, (_, client) => stream(rig, client % 2 === 0)),
        ),
      );
    }
    return [atOnceFinding(all)];
  },
  overall,
};

/** `hasSecrets`: with credentials and a cookie of its own, which whoever has none must not get. */
async function stream(rig: Rig, hasSecrets: boolean): Promise<Asked> {
  const set = hasSecrets ? [`set-cookie: upstream=${rig.canary()}; Path=/`] : [];
  const secrets = rig.notGiven([
    ["cookie", `session=${rig.canary()}`],
    ["authorization", `Bearer ${rig.canary()}`],
  ]);
  return await rig.tell("through", async (attempt: Attempt, mark: string) => {
    attempt.write(Buffer.concat([Buffer.from(streamHead(set)), chunk(roleEvent(mark))]));
    for (let sequence = 1; sequence <= EVENTS; sequence++) {
      if (!await attempt.pause(GAP_MS)) return;
      attempt.write(chunk(textEvent(mark, sequence)));
    }
    endBody(attempt, finishEvent(mark) + DONE);
  }, { fields: hasSecrets ? secrets : [] });
}

/** What is wrong with a stream; undefined = nothing is. How events are spelt is for `bytes`. */
function faultOf(asked: Asked): string | undefined {
  const own = ownAnswer(asked);
  if (own !== undefined) return own.measured;
  const { mark, exchange } = asked;
  const came = exchange.events().flatMap(({ data }) => sequenceOf(data, mark) ?? []);
  const inOrder = came.every((sequence, i) => sequence === i + 1);
  if (!inOrder || came.length !== EVENTS) {
    return `of its events 1 to ${EVENTS} came ${came.length === 0 ? "none" : came.join(", ")}`;
  }
  return exchange.end === "whole" ? undefined : END_TEXTS[exchange.end ?? "left"];
}

function atOnceFinding(all: readonly Asked[]): Finding {
  // What the gateway answers by itself is mixed with nothing; what it leaves open is not answered.
  const arrived = all.filter((asked) =>
    asked.exchange.end === "left" || ownAnswer(asked) === undefined
  );
  const refused = all.length - arrived.length;
  const wrong = arrived.flatMap((asked) => {
    const why = faultOf(asked);
    return why === undefined ? [] : [{ asked, why }];
  });
  return finding("isolation", {
    part: "at-once",
    verdict: arrived.length === 0 ? "void" : wrong.length > 0 ? "fail" : "pass",
    limit: `${CLIENTS} streams at once: each whole, with its own events in their order`,
    measured: `${
      wrong.length === 0
        ? `${counted(arrived.length, "stream")}, each whole`
        : `${wrong.length} of ${counted(arrived.length, "stream")} not so, the first: ${
          wrong[0]!.why
        }`
    }${refused === 0 ? "" : `; ${refused} more did not reach the upstream`}`,
    value: wrong.length,
    unit: "streams",
    evidence: wrong.slice(0, TOLD_MAX).flatMap(({ asked, why }) => [
      `${asked.mark}: ${why}`,
      ...timeline(asked),
    ]),
    mend: "Share nothing between two requests: no buffer, no variable outside of them, no parser.",
  });
}

/** What all checks have seen. */
function overall(rig: Rig): readonly Finding[] {
  const { isolation: seen } = rig;
  const again = seen.again();
  return [
    foreignFinding(rig, "answer", seen.mixedAnswers, seen.answers, seen.inAnswers),
    foreignFinding(rig, "request", seen.mixedRequests, seen.requests, seen.inRequests),
    onceFinding(again, seen.requests, rig.options.retriesDeclared),
  ];
}

function foreignFinding(
  { keys }: Rig,
  what: "answer" | "request",
  mixed: number,
  all: number,
  found: readonly Foreign[],
): Finding {
  return finding("isolation", {
    part: `${what}s`,
    verdict: mixed > 0 ? "fail" : "pass",
    limit: `no ${what} of any check holds the mark, a cookie or a key of another one`,
    measured: mixed === 0
      ? `${counted(all, what)}, each with what is its own`
      : `${mixed} of ${counted(all, what)} with ${kindsText(found)}: ${byCheck(found)}`,
    value: mixed,
    unit: `${what}s`,
    evidence: found.map(({ check, mark, foreign, foreignCheck, shown }) =>
      `${check}: the ${what} of ${mark} holds ${foreign} of ${
        foreignCheck ?? "a request that is not remembered"
      }: ${shownAround(keys.hide(shown), foreign)}`
    ),
    mend:
      "Share nothing between two requests: no buffer, no variable outside of them, no cookies that are kept, no cache that answers what is only alike.",
  });
}

/** "a foreign mark", "a foreign canary", or both. */
function kindsText(found: readonly Foreign[]): string {
  const kinds = found.map(({ foreign }) => foreign.startsWith(CANARY) ? "canary" : "mark");
  return [...new Set(kinds)].sort().map((kind) => `a foreign ${kind}`).join(" or ");
}

function shownAround(text: string, word: string): string {
  return shownBytes(text, Math.max(0, text.indexOf(word) - AROUND_CHARS), 2 * AROUND_CHARS);
}

function onceFinding(again: readonly Again[], requests: number, declared: number): Finding {
  const over = again.filter(({ count }) => count > declared);
  return finding("isolation", {
    part: "once",
    verdict: over.length > 0 ? "fail" : again.length > 0 ? "note" : "pass",
    limit: "where the upstream has not failed, a request reaches it once",
    measured: again.length === 0
      ? `${counted(requests, "request")}, none again without a failure`
      : `${again.length} of ${
        counted(requests, "request")
      } came again, though nothing had failed: ${byCheck(again)}${
        over.length > 0 ? "" : `; no more than the ${declared} declared`
      }`,
    value: again.length,
    unit: "requests",
    evidence: again.slice(0, TOLD_MAX).flatMap(({ check, mark, count, lines }) => [
      `${check}, ${mark}: ${count + 1} times`,
      ...lines(),
    ]),
    mend:
      "Send each request once, and again only when the upstream has failed: each one more is paid for.",
  });
}
