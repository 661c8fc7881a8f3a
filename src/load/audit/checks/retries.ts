/**
 * How many requests the upstream sees for one of the client's, when it fails.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import { counted } from "../../../lib/counted.ts";
import { ms } from "../numbers.ts";
import { type Asked, type Check, finding, type Rig, shownBytes, timeline } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import { chunk, jsonAnswer, roleEvent, streamHead, textEvent } from "../stream.ts";

/** The upstream asks for so many seconds. */
const RETRY_AFTER_S = 1;
/** A stalled answer is watched so long. */
const STALL_MS = 3000;
/** A gateway that waits between attempts may take so long. */
const ANSWER_MS_MAX = 20_000;
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

const FAILINGS: readonly Failing[] = [
  {
    name: "429",
    what: `429 with retry-after: ${RETRY_AFTER_S}`,
    script: (attempt) =>
      attempt.write(
        jsonAnswer(429, "Too Many Requests", errorJson("rate_limit_exceeded"), [
          `retry-after: ${RETRY_AFTER_S}`,
        ]),
      ),
    timeoutMs: ANSWER_MS_MAX,
  },
  {
    name: "503",
    what: "503",
    script: (attempt) =>
      attempt.write(jsonAnswer(503, "Service Unavailable", errorJson("server_is_overloaded"))),
    timeoutMs: ANSWER_MS_MAX,
  },
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
      findings.push(countFinding(rig, failing, asked));
      if (failing.name === "429") findings.push(waitFinding(asked));
      const bodies = bodyFinding(failing, asked);
      if (bodies !== undefined) findings.push(bodies);
      for (const attempt of asked.expectation.attempts) {
        if (failing.name === "stall") attempt.reset();
      }
    }
    return findings;
  },
};

function countFinding(rig: Rig, { name, what, hasBegun }: Failing, asked: Asked): Finding {
  const { attempts } = asked.expectation;
  const declared = hasBegun ? 0 : rig.options.retriesDeclared;
  // A kept connection that ends without a byte may have ended before the request: `keep-alive` asks
  // that such a one is sent again.
  const mayBeStale = name === "reset" && (attempts[0]?.ordinal ?? 1) > 1;
  const attemptsMax = 1 + declared + (mayBeStale ? 1 : 0);
  const count = attempts.length;
  return finding("retries", {
    part: name,
    verdict: count === 0 ? "void" : count > attemptsMax ? "fail" : "pass",
    limit: hasBegun
      ? "one attempt once a byte has reached the client"
      : `at most ${counted(attemptsMax, "attempt")} (${
        counted(declared, "retry", "retries")
      } declared${mayBeStale ? ", and one more for a kept connection" : ""})`,
    measured: `${what}: ${counted(count, "attempt")}, the client got ${
      asked.exchange.status === 0 ? "no answer" : asked.exchange.status
    }`,
    value: count,
    unit: "attempts",
    evidence: timeline(asked),
    mend: hasBegun
      ? "Never ask again once a byte has left: the client would read two answers in one."
      : "Leave retries to the client, or say how many there are (--retries): each layer multiplies those of the other.",
  });
}

function waitFinding(asked: Asked): Finding {
  const { attempts } = asked.expectation;
  const gapsMs = attempts.slice(1).map(({ arrivedMs }, i) => arrivedMs - attempts[i]!.arrivedMs);
  const shortest = Math.min(...gapsMs);
  const isIgnored = shortest < RETRY_AFTER_S * 1000 - ROUNDING_MS;
  return finding("retries", {
    part: "retry-after",
    verdict: gapsMs.length > 0 && isIgnored ? "fail" : "pass",
    limit: `no sooner than the ${RETRY_AFTER_S} s that the upstream asks for`,
    measured: gapsMs.length === 0
      ? "nothing is asked again"
      : `asked again after ${gapsMs.map(ms).join(", ")}`,
    value: gapsMs.length === 0 ? undefined : shortest,
    unit: "ms",
    evidence: timeline(asked),
    mend: "Wait as long as retry-after (and retry-after-ms) says before asking again.",
  });
}

/** Undefined where there was one attempt only. */
function bodyFinding({ name }: Failing, { expectation: { attempts } }: Asked): Finding | undefined {
  const [first, ...others] = attempts;
  if (first === undefined || others.length === 0) return undefined;
  const differs = others.find(({ body }) => !body.equals(first.body));
  return finding("retries", {
    part: `${name}-body`,
    verdict: differs === undefined ? "pass" : "fail",
    limit: "every attempt has the same body",
    measured: differs === undefined ? `${attempts.length} bodies, the same` : "bodies differ",
    evidence: [
      `attempt 1: ${shownBytes(first.body)}`,
      `another:   ${shownBytes((differs ?? others[0]!).body)}`,
    ],
    mend: "Keep the bytes of the request and send those again.",
  });
}

function errorJson(code: string): string {
  return JSON.stringify({
    error: { message: "The audit's upstream refuses", type: "server_error", param: null, code },
  });
}
