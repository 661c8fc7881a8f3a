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

/** Silences of all lengths, each with and without the upstream's comments, all at once. */
export const silence: Check = {
  name: "silence",
  title: "Is a silent stream left alone, and are its keep-alive comments passed on?",
  isSlow: true,
  async run(rig: Rig): Promise<readonly Finding[]> {
    const { silencesS } = rig.options;
    return (await Promise.all(
      silencesS.flatMap((
        seconds,
      ) => [keepSilent(rig, seconds, false), keepSilent(rig, seconds, true)]),
    )).flat();
  },
};

async function keepSilent(rig: Rig, seconds: number, comments: boolean): Promise<Finding> {
  const silentMs = seconds * 1000;
  const everyMs = Math.min(COMMENT_MS_MAX, silentMs / 5);
  let saidMs = 0;
  let isOver = false;
  const asked = await rig.tell("through", async (attempt: Attempt, mark: string) => {
    attempt.write(Buffer.concat([Buffer.from(streamHead()), chunk(textEvent(mark, 1))]));
    saidMs = performance.now();
    for (let at = everyMs; at < silentMs; at += everyMs) {
      const dueMs = saidMs + at;
      if (!await attempt.pause(Math.max(0, dueMs - performance.now()))) return;
      if (comments) attempt.write(chunk(": keep-alive\n\n"));
    }
    if (!await attempt.pause(Math.max(0, saidMs + silentMs - performance.now()))) return;
    isOver = true;
    endBody(attempt, textEvent(mark, 2) + finishEvent(mark) + DONE);
  }, { timeoutMs: silentMs + 15_000, mayStay: true });
  return judge(asked, seconds, comments, isOver, saidMs);
}

function judge(
  asked: Asked,
  seconds: number,
  comments: boolean,
  isOver: boolean,
  saidMs: number,
): Finding {
  const { exchange, mark, expectation } = asked;
  const isWhole = isOver && exchange.events().some(({ data }) => sequenceOf(data, mark) === 2);
  // Whatever comes in the silence keeps what stands between awake: the upstream's comments or others.
  const during = exchange.reads.filter(({ atMs, body }) =>
    body.length > 0 && atMs > saidMs + 100 && atMs < saidMs + seconds * 1000 - 50
  );
  const endedText = ms((exchange.endMs ?? saidMs) - saidMs);
  const isMute = comments && isWhole && during.length === 0;
  return finding("silence", {
    part: `${seconds}s${comments ? "-comments" : ""}`,
    verdict: expectation.attempts.length === 0 ? "void" : !isWhole || isMute ? "fail" : "pass",
    limit: comments
      ? `${seconds} s with the upstream's comments: not cut, and something comes through`
      : `${seconds} s without a byte: not cut`,
    measured: !isWhole
      ? `${ENDS[exchange.end ?? "left"]} ${endedText} into the silence`
      : isMute
      ? "whole, but the upstream's comments were swallowed and none of its own came"
      : comments
      ? `whole, ${counted(during.length, "read")} in the silence`
      : "whole",
    value: isWhole ? during.length : undefined,
    unit: "reads",
    evidence: timeline(asked),
    mend: isMute
      ? "Pass comments on, or send some: what stands between gateway and client cuts a connection that is quiet."
      : "Wait longer between two reads of the upstream (nginx: proxy_read_timeout), or send comments while it is silent.",
  });
}
