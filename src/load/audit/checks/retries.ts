/**
 * How many requests the upstream sees for one of the client's, when it fails.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import { counted } from "../../../lib/counted.ts";
import { ms } from "../numbers.ts";
import {
  ANSWER_MS_MAX,
  FORMS,
  type Refusal,
  REFUSALS,
  refuse,
  RETRY_AFTER_S,
  tellForm,
  TOO_MANY,
  UNAVAILABLE,
} from "../refusals.ts";
import { type Asked, type Check, finding, type Rig, shownBytes, timeline } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import { chunk, roleEvent, streamHead, textEvent } from "../stream.ts";

/** A stalled answer is watched so long. */
const STALL_MS = 3000;
/** A timer that rounds down is no breach of `retry-after`. */
const ROUNDING_MS = 50;

/** How the upstream fails, each time it is asked. */
interface Failing {
  readonly name: string;
  readonly what: string;
  readonly script: (attempt: Attempt, mark: string) => Promise<void> | void;
  readonly timeoutMs: number;
  /** True when a first byte has reached the client: nothing may be asked again. */
  readonly hasBegun?: boolean;
}

/** A failure that was tried. */
interface Tried extends Pick<Failing, "name" | "what" | "hasBegun"> {
  readonly asked: Asked;
}

/** It says that it is busy, and for how long. */
const BUSY: readonly Refusal[] = [TOO_MANY, UNAVAILABLE];

const FAILINGS: readonly Failing[] = [
  {
    name: "reset",
    what: "a reset before any byte",
    script: (attempt) => attempt.reset(),
    timeoutMs: ANSWER_MS_MAX,
  },
  {
    name: "stall",
    what: `silence for ${STALL_MS / 1000} s`,
    script: async (attempt) => void await attempt.pause(STALL_MS + 5000),
    timeoutMs: STALL_MS,
  },
  {
    name: "after-first-byte",
    what: "a reset behind the first events",
    async script(attempt, mark) {
      attempt.write(Buffer.concat([
        Buffer.from(streamHead()),
        chunk(roleEvent(mark) + textEvent(mark, 1)),
      ]));
      if (await attempt.pause(100)) attempt.reset();
    },
    timeoutMs: ANSWER_MS_MAX,
    hasBegun: true,
  },
];

/** Attempts for each request, what they say, and when they come. */
export const retries: Check = {
  name: "retries",
  title: "How often is a failing upstream asked for one request?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const findings: Finding[] = [];
    for (const failing of FAILINGS) {
      const asked = await rig.tell("through", failing.script, {
        timeoutMs: failing.timeoutMs,
        // How the client is left is told with each.
        mayStay: true,
      });
      await rig.sleep(100);
      findings.push(countFinding(rig, { ...failing, asked }));
      for (const attempt of asked.expectation.attempts) {
        if (failing.name === "stall") attempt.reset();
      }
    }
    // Behind the reset: more of them at once leave more kept connections.
    const busy = await Promise.all(BUSY.map((refusal) => tellRefusal(rig, refusal)));
    return [
      ...findings,
      ...busy.map((one) => countFinding(rig, one)),
      waitFinding(busy.map(({ asked }) => asked)),
    ];
  },
  // Behind so many errors a gateway may take the upstream for dead.
  async after(rig: Rig) {
    const all = await Promise.all(REFUSALS.map((refusal) => tellRefusal(rig, refusal)));
    return all.map((one) => countFinding(rig, one));
  },
};

/** Refuses each attempt, in a stream and without: of the two the one that has more of them. */
async function tellRefusal(rig: Rig, refusal: Refusal): Promise<Tried> {
  const both = await Promise.all(
    FORMS.map((form) => tellForm(rig, form, (attempt, mark) => refuse(attempt, mark, refusal))),
  );
  const [stream, whole] = both as [Asked, Asked];
  const isMore = whole.expectation.attempts.length > stream.expectation.attempts.length;
  const [waitS] = refusal.fields.filter(([field]) => field === "retry-after");
  return {
    name: String(refusal.status),
    what: `${refusal.status}${waitS === undefined ? "" : ` with ${waitS.join(": ")}`}`,
    asked: isMore ? whole : stream,
  };
}

function countFinding(rig: Rig, { name, what, hasBegun = false, asked }: Tried): Finding {
  const { attempts } = asked.expectation;
  const declared = hasBegun ? 0 : rig.options.retriesDeclared;
  // A kept connection that ends without a byte may have ended before the request: `keep-alive` asks
  // that such a one is sent again.
  const used = attempts.filter(({ ordinal }) => name === "reset" && ordinal > 1).length;
  const staleMax = Math.min(used, 1 + declared);
  const attemptsMax = 1 + declared + staleMax;
  const count = attempts.length;
  const [first, ...others] = attempts;
  const differing = others.find(({ body }) => !body.equals(first!.body));
  const isTooOften = count > attemptsMax;
  return finding("retries", {
    part: name,
    verdict: count === 0 ? "void" : isTooOften || differing !== undefined ? "fail" : "pass",
    limit: hasBegun
      ? "one attempt once a byte has reached the client"
      : `at most ${counted(attemptsMax, "attempt")} (${
        counted(declared, "retry", "retries")
      } declared${
        staleMax === 0 ? "" : `, and ${staleMax} more for kept connections`
      }), all with one body`,
    measured: `${what}: ${counted(count, "attempt")}${
      differing === undefined ? "" : " with different bodies"
    }, the client got ${asked.exchange.status === 0 ? "no answer" : asked.exchange.status}`,
    value: count,
    unit: "attempts",
    evidence: differing === undefined ? timeline(asked) : [
      ...timeline(asked),
      `attempt 1: ${shownBytes(first!.body)}`,
      `another:   ${shownBytes(differing.body)}`,
    ],
    mend: hasBegun
      ? "Never ask again once a byte has left: the client would read two answers in one."
      : isTooOften
      ? "Leave retries to the client, or say how many there are (--retries): each layer multiplies those of the other."
      : "Keep the bytes of the request and send those again.",
  });
}

function waitFinding(all: readonly Asked[]): Finding {
  const gapsMs = all.flatMap(({ expectation: { attempts } }) =>
    attempts.slice(1).map(({ arrivedMs }, i) => arrivedMs - attempts[i]!.arrivedMs)
  );
  const shortest = Math.min(...gapsMs);
  const isIgnored = shortest < RETRY_AFTER_S * 1000 - ROUNDING_MS;
  return finding("retries", {
    part: "retry-after",
    verdict: isIgnored ? "fail" : "pass",
    limit: `no sooner than the ${RETRY_AFTER_S} s that the upstream asks for`,
    measured: gapsMs.length === 0
      ? "nothing is asked again"
      : `asked again after ${gapsMs.map(ms).join(", ")}`,
    value: gapsMs.length === 0 ? undefined : shortest,
    unit: "ms",
    evidence: all.flatMap(timeline),
    mend: "Wait as long as retry-after (and retry-after-ms) says before asking again.",
  });
}
