/**
 * Whether a stream may be silent for as long as models think.
 *
 * @module
 */

import { counted } from "../../../lib/counted.ts";
import type { Finding } from "../finding.ts";
import { ms } from "../numbers.ts";
import type { AnswerEnd } from "../probe_client.ts";
import { type Asked, type Check, finding, type Rig, timeline } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import { chunk, DONE, endBody, finishEvent, sequenceOf, streamHead, textEvent } from "../stream.ts";

/** The upstream's comments come in a fifth of the silence, at the latest after so long. */
const COMMENT_MS_MAX = 5000;

/** How an answer ended that should not have. */
const ENDS: Readonly<Record<AnswerEnd, string>> = {
  whole: "ended",
  early: "closed",
  reset: "reset",
  broken: "broken",
  left: "given up",
};

/**
 * What is silent: a stream behind its first text, the same but for comments, or all of an answer, its
 * head too.
 */
const KINDS = ["stream", "comments", "head"] as const;
type Kind = typeof KINDS[number];

/** A gateway that comments by itself does so at least as often. */
const BEAT_MS_MAX = 15_000;
/** Timers and queues of a gateway that passes each comment on. */
const LATE_MS_MAX = 1000;

/** Silences of all lengths and kinds, all at once. */
export const silence: Check = {
  name: "silence",
  title: "Is a silent upstream waited for, and are its keep-alive comments passed on?",
  isSlow: true,
  async run(rig: Rig): Promise<readonly Finding[]> {
    const all = await Promise.all(
      rig.options.silencesS.flatMap((seconds) =>
        KINDS.map((kind) => keepSilent(rig, seconds, kind))
      ),
    );
    // Its rhythm may show in longer silences only.
    const isBeating = all.some(({ hasOwnBytes }) => hasOwnBytes);
    return all.map((one) => judge(one, isBeating));
  },
};

/** A silence, and what came of it. */
interface Silent {
  readonly asked: Asked;
  readonly seconds: number;
  readonly kind: Kind;
  /** When it began. */
  readonly saidMs: number;
  /** The answer has come to its end. */
  readonly isWhole: boolean;
  /** Reads in it. */
  readonly reads: number;
  /** For how long nothing came, at the longest. */
  readonly holeMs: number;
  /** How long that may be where each comment is passed on. */
  readonly holeMsMax: number;
  /** The same where the gateway comments by itself. */
  readonly beatMsMax: number;
  /** The upstream commented, and something else came. */
  readonly hasOwnBytes: boolean;
}

function commentEveryMs(seconds: number): number {
  return Math.min(COMMENT_MS_MAX, seconds * 1000 / 5);
}

async function keepSilent(rig: Rig, seconds: number, kind: Kind): Promise<Silent> {
  const silentMs = seconds * 1000;
  const everyMs = commentEveryMs(seconds);
  let saidMs = 0;
  let overMs = 0;
  const asked = await rig.tell("through", async (attempt: Attempt, mark: string) => {
    if (kind !== "head") {
      attempt.write(Buffer.concat([Buffer.from(streamHead()), chunk(textEvent(mark, 1))]));
    }
    const beganMs = performance.now();
    saidMs ||= beganMs;
    for (let at = everyMs; at < silentMs; at += everyMs) {
      if (!await attempt.pause(Math.max(0, beganMs + at - performance.now()))) return;
      if (kind === "comments") attempt.write(chunk(`: keep-alive ${mark}\n\n`));
    }
    if (!await attempt.pause(Math.max(0, beganMs + silentMs - performance.now()))) return;
    overMs = performance.now();
    if (kind === "head") attempt.write(streamHead());
    endBody(attempt, textEvent(mark, 2) + finishEvent(mark) + DONE);
  }, { timeoutMs: silentMs + 15_000, mayStay: true });
  const { exchange, mark } = asked;
  // Whatever comes keeps what stands between awake: the upstream's comments or others.
  const during = exchange.reads.filter(({ atMs, body }) =>
    body.length > 0 && atMs > saidMs + 100 && atMs < saidMs + silentMs - 50
  );
  const times = [saidMs, ...during.map(({ atMs }) => atMs), overMs];
  const lines = Buffer.concat(during.map(({ body }) => body)).toString("latin1").split(
    /\r\n|\r|\n/,
  );
  const lateMs = LATE_MS_MAX + rig.watch.worst(saidMs, overMs);
  return {
    asked,
    seconds,
    kind,
    saidMs,
    isWhole: overMs > 0 && exchange.status === 200 &&
      exchange.events().some(({ data }) => sequenceOf(data, mark) === 2),
    reads: during.length,
    holeMs: Math.max(...times.slice(1).map((atMs, i) => atMs - times[i]!)),
    holeMsMax: everyMs + lateMs,
    beatMsMax: BEAT_MS_MAX + lateMs,
    hasOwnBytes: kind === "comments" && lines.some((line) => line !== "" && !line.includes(mark)),
  };
}

function judge(one: Silent, isBeating: boolean): Finding {
  const { asked, seconds, kind, isWhole, reads, holeMs } = one;
  const isHoled = kind === "comments" && isWhole && (reads === 0 || holeMs > one.holeMsMax) &&
    !(isBeating && holeMs <= one.beatMsMax);
  const isVoid = asked.expectation.attempts.length === 0;
  return finding("silence", {
    part: kind === "stream" ? `${seconds}s` : `${seconds}s-${kind}`,
    verdict: isVoid ? "void" : !isWhole || isHoled ? "fail" : "pass",
    limit: `${seconds} s ${LIMITS[kind]}`,
    measured: !isWhole
      ? brokenText(one)
      : kind !== "comments"
      ? "whole"
      : isHoled
      ? `whole, but ${holedText(one)}`
      : `whole, ${counted(reads, "read")} in the silence, none for ${ms(holeMs)} at most`,
    value: isWhole ? Math.round(holeMs) : undefined,
    unit: "ms",
    evidence: timeline(asked),
    mend: isHoled
      ? "Pass comments on, or send some: what stands between gateway and client cuts a connection that is quiet."
      : kind === "head"
      ? "Wait longer for the upstream's head (nginx: proxy_read_timeout): models think before their first byte."
      : "Wait longer between two reads of the upstream (nginx: proxy_read_timeout), or send comments while it is silent.",
  });
}

const LIMITS: Readonly<Record<Kind, string>> = {
  stream: "without a byte: not cut",
  comments:
    `with the upstream's comments: not cut, and they come through, or others at least every ${
      BEAT_MS_MAX / 1000
    } s`,
  head: "before the answer's head: waited for",
};

function holedText({ reads, seconds, holeMs }: Silent): string {
  return reads === 0
    ? "the upstream's comments were swallowed and none of its own came"
    : `nothing came for ${ms(holeMs)}, while the upstream commented every ${
      ms(commentEveryMs(seconds))
    }`;
}

/** How an answer that is not whole ended, and when. */
function brokenText({ asked: { exchange }, saidMs }: Silent): string {
  const { status, headMs, endMs, end } = exchange;
  return status > 0 && status !== 200
    ? `answered with ${status} ${ms((headMs ?? saidMs) - saidMs)} into the silence`
    : `${ENDS[end ?? "left"]} ${ms((endMs ?? saidMs) - saidMs)} into the silence`;
}
