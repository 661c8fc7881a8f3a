/**
 * Whether a refusal of the upstream's reaches the client as it was said.
 *
 * @module
 */

import { differenceText, jsonDifferences } from "../../../lib/json_differences.ts";
import type { Finding } from "../finding.ts";
import { ownAnswer, tellWithRoom } from "../own_answer.ts";
import { type Asked, type Check, finding, type Rig, shownBytes, timeline } from "../rig.ts";
import { headFields } from "../head_fields.ts";
import { type Attempt } from "../scripted_upstream.ts";
import { jsonAnswer } from "../stream.ts";

const FIELDS = [
  ["retry-after", "1"],
  ["retry-after-ms", "870"],
  ["x-ratelimit-limit-requests", "500"],
  ["x-ratelimit-remaining-requests", "0"],
  ["x-ratelimit-reset-requests", "120ms"],
  ["x-ratelimit-limit-tokens", "30000"],
  ["x-ratelimit-remaining-tokens", "0"],
  ["x-ratelimit-reset-tokens", "6m0s"],
  ["x-should-retry", "false"],
] as const;
const BODY =
  '{"error":{"message":"Rate limit reached for audit on tokens per min (TPM): Limit 30000, Used 28039, Requested 3906. Please try again in 870ms.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}';
const LIMIT = "status and body of a 429 as they were said";
/** A gateway that asks again first may take so long. */
const ANSWER_MS_MAX = 20_000;

/** A 429 with all that providers say in one. */
export const limitPassThrough: Check = {
  name: "limits",
  title: "Does a 429 reach the client as the upstream has said it?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const asked = await tellWithRoom(rig, (attempt: Attempt) =>
      attempt.write(
        jsonAnswer(
          429,
          "Too Many Requests",
          BODY,
          FIELDS.map(([name, value]) => `${name}: ${value}`),
        ),
      ), { timeoutMs: ANSWER_MS_MAX });
    const own = ownAnswer(asked);
    if (own === undefined) return [bodyFinding(asked), fieldFinding(asked)];
    return [finding("limits", {
      part: "body",
      verdict: asked.exchange.status === 0 ? "fail" : "void",
      limit: LIMIT,
      measured: own.measured,
      evidence: timeline(asked),
      mend: own.mend,
    })];
  },
};

function bodyFinding({ exchange }: Asked): Finding {
  const body = exchange.body.toString();
  const isSame = exchange.status === 429 && body === BODY;
  return finding("limits", {
    part: "body",
    verdict: isSame ? "pass" : "fail",
    limit: LIMIT,
    measured: isSame ? "the same" : changeText(exchange.status, body),
    evidence: isSame ? [] : [`sent ${shownBytes(BODY)}`, `got  ${shownBytes(body)}`],
    mend:
      "Pass the upstream's error on with its status: clients read type, code and the time in the message.",
  });
}

function changeText(status: number, body: string): string {
  if (status !== 429) return `status ${status || "none"}`;
  try {
    const [difference] = jsonDifferences(JSON.parse(body), JSON.parse(BODY), 1);
    return difference === undefined ? "the same values, written anew" : differenceText(difference);
  } catch {
    return "a body that is no JSON";
  }
}

function fieldFinding({ exchange }: Asked): Finding {
  const got = new Map(headFields(exchange.headText));
  const lost = FIELDS.filter(([name]) => !got.has(name));
  const changed = FIELDS.filter(([name, value]) => got.has(name) && got.get(name) !== value);
  const isSame = lost.length + changed.length === 0;
  return finding("limits", {
    part: "headers",
    verdict: isSame ? "pass" : "fail",
    limit: "retry-after, retry-after-ms, x-should-retry and x-ratelimit-* as they were said",
    measured: isSame ? `all ${FIELDS.length}` : [
      lost.length === 0 ? "" : `lost: ${lost.map(([name]) => name).join(", ")}`,
      changed.length === 0
        ? ""
        : `changed: ${changed.map(([name]) => `${name}: ${got.get(name)}`).join(", ")}`,
    ].filter((text) => text !== "").join("; "),
    evidence: isSame ? [] : [shownBytes(exchange.headText)],
    mend: "Let these headers pass: official clients wait as long as they say.",
  });
}
