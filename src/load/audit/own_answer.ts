/**
 * What the gateway answers by itself, without the upstream: of what it does to requests and answers
 * that proves nothing.
 *
 * @module
 */

import type { Verdict } from "./finding.ts";
import { ms } from "./numbers.ts";
import type { Asked, Rig, TellOptions } from "./rig.ts";
import type { Attempt } from "./scripted_upstream.ts";

/** What came of a request that never reached the upstream whole. */
export interface OwnAnswer {
  /**
   * `busy`: the gateway has no room for requests just now, which is void. `refused`: it does not take
   * this one, which it may. `failed`: it has another answer, or none, for what was to be passed on.
   */
  readonly kind: "busy" | "refused" | "failed";
  readonly verdict: Verdict;
  /** In words. */
  readonly measured: string;
  readonly mend: string;
}

/** What whoever runs a gateway that is `busy` can do. */
export const BUSY_MEND =
  "Nothing, where that is its limit: audit it with one that lets the audit's requests pass.";

/** What is said of each kind. */
const KINDS: Readonly<Record<OwnAnswer["kind"], Pick<OwnAnswer, "verdict" | "mend">>> = {
  busy: {
    verdict: "void",
    mend: BUSY_MEND,
  },
  refused: { verdict: "note", mend: "Let clients ask for what the provider has." },
  failed: { verdict: "fail", mend: "Send each request on, and pass its answer on." },
};

/** Statuses of a limit or an overload, which say nothing about the request. */
const BUSY: readonly number[] = [429, 503];

/** Undefined where the upstream was asked. To be called once the answer has ended. */
export function ownAnswer({ exchange, expectation }: Asked): OwnAnswer | undefined {
  if (expectation.attempts.length > 0) return undefined;
  const { status, end, endMs, sentMs } = exchange;
  const [kind, what] = BUSY.includes(status)
    ? ["busy", `refused with ${status}`] as const
    : status >= 400 && status < 500
    ? ["refused", `refused with ${status}`] as const
    : status > 0
    ? ["failed", `answered with ${status}`] as const
    : end === "left"
    ? ["failed", `not answered within ${ms((endMs ?? sentMs) - sentMs)}`] as const
    : ["failed", "not answered, and the connection ended"] as const;
  const measured = status > 0
    ? `${what} by the gateway itself: the upstream was not asked`
    : `${what}: it never reached the upstream whole`;
  return { kind, measured, ...KINDS[kind] };
}

/** Waited before a request that found no room is sent again, in seconds, whatever `retry-after` says. */
const WAIT_S = 1;
const WAIT_S_MAX = 3;

/** Waits as long as an answer of `busy` asks for. */
export async function waitForRoom(rig: Rig, { exchange }: Asked): Promise<void> {
  const asked = Number(exchange.field("retry-after") ?? WAIT_S);
  await rig.sleep(1000 * Math.min(WAIT_S_MAX, asked >= WAIT_S ? asked : WAIT_S));
}

/** As `rig.tell` through the gateway; once more where that had no room. */
export async function tellWithRoom(
  rig: Rig,
  script: (attempt: Attempt, mark: string) => void | Promise<void>,
  options?: TellOptions,
): Promise<Asked> {
  const asked = await rig.tell("through", script, options);
  if (ownAnswer(asked)?.kind !== "busy") return asked;
  await waitForRoom(rig, asked);
  return await rig.tell("through", script, options);
}
