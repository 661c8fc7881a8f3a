/**
 * Whether an answer that breaks off still looks broken to the client.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import { type Asked, type Check, finding, type Rig, shownBytes, timeline } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import {
  chunk,
  event,
  finishEvent,
  LAST_CHUNK,
  roleEvent,
  streamHead,
  textEvent,
} from "../stream.ts";

/** Texts of the whole answer. */
const EVENTS = 12;
/** Between the last event and what goes wrong. */
const PAUSE_MS = 30;
/** So long a stalled stream is watched. */
const STALL_MS = 2000;

const ERROR_JSON =
  '{"error":{"message":"The server had an error","type":"server_error","param":null,"code":"weir_audit"}}';

/** How an answer goes wrong, and whether its connection's end alone tells a client. */
interface Kind {
  readonly name: string;
  readonly what: string;
  /** True where the upstream itself ended the body properly: a clean end is then no lie. */
  readonly isClean: boolean;
  /** True where the client must be told by an event. */
  readonly saysError?: boolean;
  readonly isOpen?: boolean;
  readonly run: (attempt: Attempt) => Promise<void>;
}

const KINDS: readonly Kind[] = [
  {
    name: "cut",
    what: "the connection is closed in the middle of the body",
    isClean: false,
    run: (attempt) => attempt.cut(),
  },
  {
    name: "cut-clean",
    what: "the body ends properly, without an end mark",
    isClean: true,
    run: (attempt) => Promise.resolve(attempt.write(LAST_CHUNK)),
  },
  {
    name: "reset",
    what: "the connection is reset",
    isClean: false,
    run: (attempt) => Promise.resolve(attempt.reset()),
  },
  {
    name: "stall",
    what: "nothing comes any more",
    isClean: false,
    isOpen: true,
    run: async (attempt) => void await attempt.pause(STALL_MS + 5000),
  },
  {
    name: "error-event",
    what: "an error event, then a proper end",
    isClean: true,
    saysError: true,
    run: (attempt) =>
      Promise.resolve(
        attempt.write(Buffer.concat([chunk(event(ERROR_JSON)), Buffer.from(LAST_CHUNK)])),
      ),
  },
];

/** After how many texts: none, one, half of them, all with the finish reason. */
const PLACES = [
  { name: "0", texts: 0 },
  { name: "1", texts: 1 },
  { name: "mid", texts: EVENTS / 2 },
  { name: "last", texts: EVENTS },
] as const;

/** Every way to go wrong at every place. */
export const truncation: Check = {
  name: "truncation",
  title: "Does a broken answer look broken?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const findings: Finding[] = [];
    const open = KINDS.filter(({ isOpen }) => isOpen).flatMap((kind) =>
      PLACES.map((place) => breakOff(rig, kind, place))
    );
    // They are awaited last, and an audit that is interrupted does not come so far.
    for (const one of open) one.catch(() => {});
    for (const kind of KINDS.filter(({ isOpen }) => !isOpen)) {
      for (const place of PLACES) findings.push(await breakOff(rig, kind, place));
    }
    return [...findings, ...await Promise.all(open)];
  },
};

async function breakOff(rig: Rig, kind: Kind, place: typeof PLACES[number]): Promise<Finding> {
  const isLast = place.texts === EVENTS;
  const asked = await rig.tell("through", async (attempt: Attempt, mark: string) => {
    attempt.write(streamHead());
    if (place.texts > 0) attempt.write(chunk(roleEvent(mark)));
    for (let sequence = 1; sequence <= place.texts; sequence++) {
      attempt.write(chunk(textEvent(mark, sequence)));
    }
    if (isLast) attempt.write(chunk(finishEvent(mark)));
    await attempt.drained();
    if (await attempt.pause(PAUSE_MS)) await kind.run(attempt);
  }, { timeoutMs: kind.isOpen ? STALL_MS : 10_000, mayStay: true });
  const lies = liesOf(asked, kind, isLast);
  const isVoid = asked.expectation.attempts.length === 0;
  for (const attempt of asked.expectation.attempts) if (kind.isOpen) attempt.reset();
  return finding("truncation", {
    part: `${kind.name}-${place.name}`,
    verdict: isVoid ? "void" : lies.length > 0 ? "fail" : "pass",
    limit: "no [DONE], no finish reason of the gateway's own, no clean end without an error",
    measured: `${kind.what}; the client sees ${
      lies.length > 0 ? lies.join(" and ") : seenOf(asked)
    }`,
    evidence: [
      ...timeline(asked),
      `the last the client read: ${shownBytes(asked.exchange.wireText.slice(-160))}`,
    ],
    mend: kind.saysError
      ? "Pass the error event on and end there: whoever trusts [DONE] takes the answer for whole."
      : "End the client's answer as the upstream's ended: an error event or a closed connection, and never an end mark.",
  });
}

/** What would make a client take the answer for whole. */
function liesOf({ exchange }: Asked, kind: Kind, isLast: boolean): readonly string[] {
  const texts = exchange.events().map(({ data }) => data);
  const hasError = texts.some((data) => /"error"\s*:/.test(data)) || exchange.status >= 400;
  const lies: string[] = [];
  if (texts.includes("[DONE]")) lies.push("[DONE]");
  if (!isLast && texts.some((data) => /"finish_reason"\s*:\s*"/.test(data))) {
    lies.push("a finish reason that the upstream has not said");
  }
  if (exchange.end === "whole" && !hasError && !kind.isClean) lies.push("a clean end");
  if (kind.saysError && exchange.end === "whole" && !hasError) lies.push("no error");
  return lies;
}

function seenOf({ exchange }: Asked): string {
  if (exchange.status >= 400) return `status ${exchange.status}`;
  if (exchange.events().some(({ data }) => /"error"\s*:/.test(data))) return "an error event";
  switch (exchange.end) {
    case "early":
      return "the connection closed";
    case "reset":
      return "the connection reset";
    case "broken":
      return "an answer that is no HTTP any more";
    case "left":
      return "nothing, and waits";
    default:
      return "an answer without an end mark";
  }
}
