/**
 * Whether the upstream is told when the client has left, whenever that is.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import { counted } from "../../../lib/counted.ts";
import { ms } from "../numbers.ts";
import { type Asked, type Check, finding, type Rig, timeline } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import {
  chunk,
  DONE,
  endBody,
  finishEvent,
  jsonAnswer,
  roleEvent,
  streamHead,
  textEvent,
} from "../stream.ts";

const LATE_MS_MAX = 100;
/** The upstream is watched so long after the client has left. */
const WATCHED_MS = 2000;
const GAP_MS = 20;
/** What is too late may be the machine's doing once, but not three times. */
const TRIES = 3;

type How = "fin" | "reset";

/** When a client leaves. */
interface Window {
  readonly name: string;
  /** True: it is no stream that is asked for. */
  readonly isJson?: boolean;
  /** Answers, until the client has left. */
  readonly script: (attempt: Attempt, mark: string) => Promise<void>;
  /** Settles when it is time to leave. */
  readonly ready: (rig: Rig, asked: Asked) => Promise<unknown>;
}

/** While nothing has been answered. */
const BEFORE_HEAD: Omit<Window, "name"> = {
  script: async (attempt) => void await attempt.pause(WATCHED_MS + 3000),
  ready: (_, { expectation }) => expectation.arrived,
};

const WINDOWS: readonly Window[] = [
  { name: "before-head", ...BEFORE_HEAD },
  { name: "json", isJson: true, ...BEFORE_HEAD },
  {
    name: "after-head",
    async script(attempt, mark) {
      attempt.write(streamHead());
      // Some gateways pass no head on before there is a body: a comment is none of the answer.
      attempt.write(chunk(": the model thinks\n\n"));
      if (await attempt.pause(WATCHED_MS + 3000)) endBody(attempt, finishEvent(mark) + DONE);
    },
    ready: async (rig, { exchange, expectation }) => {
      await expectation.arrived;
      // Where neither comes, the client leaves without having seen them.
      await rig.within(exchange.hasBody(1), 300);
    },
  },
  {
    name: "mid-stream",
    async script(attempt, mark) {
      attempt.write(Buffer.concat([Buffer.from(streamHead()), chunk(roleEvent(mark))]));
      for (let sequence = 1; await attempt.pause(GAP_MS); sequence++) {
        attempt.write(chunk(textEvent(mark, sequence)));
        if (sequence * GAP_MS > WATCHED_MS + 3000) return endBody(attempt, DONE);
      }
    },
    ready: async (rig, { exchange, expectation }) => {
      await expectation.arrived;
      await rig.within(exchange.hasBody(600), 500);
    },
  },
];

/** All windows, and the one between two attempts; each left with a FIN and with an RST. */
export const cancel: Check = {
  name: "cancel",
  title: "Does the upstream stop when the client leaves?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const findings: Finding[] = [];
    for (const how of ["fin", "reset"] as const) {
      for (const window of WINDOWS) findings.push(await leaveIn(rig, window, how));
      findings.push(await leaveInBackOff(rig, how));
    }
    return findings;
  },
};

async function leaveIn(rig: Rig, window: Window, how: How): Promise<Finding> {
  let best = await leaveOnce(rig, window, how);
  for (let again = 1; again < TRIES && best.lateMs > LATE_MS_MAX; again++) {
    if (best.lateMs === Infinity) break;
    const next = await leaveOnce(rig, window, how);
    if (next.lateMs < best.lateMs) best = next;
  }
  const { lateMs, after, asked, machineMs } = best;
  const isKept = lateMs <= LATE_MS_MAX;
  const isMachine = Number.isFinite(lateMs) && machineMs > LATE_MS_MAX / 2;
  return finding("cancel", {
    part: `${window.name}-${how}`,
    verdict: asked.expectation.attempts.length === 0
      ? "void"
      : isKept
      ? "pass"
      : isMachine
      ? "void"
      : "fail",
    limit: `the upstream's connection ends within ${LATE_MS_MAX} ms`,
    measured: `${
      Number.isFinite(lateMs)
        ? `ended ${ms(lateMs)} later`
        : `still open after ${WATCHED_MS / 1000} s`
    }${after === 0 ? "" : `; ${counted(after, "event")} generated for nobody`}`,
    value: Number.isFinite(lateMs) ? lateMs : undefined,
    unit: "ms",
    evidence: timeline(asked),
    mend:
      "Abort the upstream's request when the client's connection closes: before the head, after it, and between two events.",
  });
}

async function leaveOnce(rig: Rig, window: Window, how: How) {
  const body = window.isJson ? rig.jsonBody : rig.chatBody;
  const asked = await rig.ask("through", window.script, { body });
  await rig.within(window.ready(rig, asked), 5000);
  const leftMs = performance.now();
  asked.connection.leave(how);
  const [attempt] = asked.expectation.attempts;
  const hasEnded = attempt !== undefined && await rig.within(attempt.left, WATCHED_MS);
  const lateMs = hasEnded ? attempt.leftMs! - leftMs : Infinity;
  const after = attempt?.writes.filter(({ atMs }) => atMs > leftMs).length ?? 0;
  if (attempt !== undefined && !hasEnded) attempt.reset();
  const machineMs = rig.watch.worst(leftMs, performance.now());
  return { lateMs, after, asked, machineMs };
}

/** The upstream has refused, and the gateway waits before it asks again. */
async function leaveInBackOff(rig: Rig, how: How): Promise<Finding> {
  const body = '{"error":{"message":"Overloaded","type":"server_error","param":null,"code":null}}';
  const refuse = (attempt: Attempt) =>
    attempt.write(jsonAnswer(503, "Service Unavailable", body, ["retry-after: 1"]));
  const asked = await rig.ask("through", refuse);
  await rig.within(asked.expectation.arrived, 5000);
  await rig.within(asked.exchange.ended, 200);
  const isWaiting = asked.exchange.end === undefined;
  const leftMs = performance.now();
  asked.connection.leave(how);
  if (isWaiting) await rig.sleep(WATCHED_MS);
  const after = asked.expectation.attempts.filter(({ arrivedMs }) =>
    arrivedMs > leftMs + LATE_MS_MAX
  );
  return finding("cancel", {
    part: `back-off-${how}`,
    verdict: after.length > 0 ? "fail" : "pass",
    limit: "no further attempt once the client has left",
    measured: !isWaiting
      ? "the gateway does not wait and ask again, so that there is nothing to cancel"
      : `${counted(after.length, "attempt")} after the client had left`,
    value: after.length,
    unit: "attempts",
    evidence: timeline(asked),
    mend: "End the wait between two attempts when the client's connection closes.",
  });
}
