/**
 * Whether a refusal of the upstream's reaches the client as it was said.
 *
 * @module
 */

import { type Finding, VERDICTS } from "../finding.ts";
import { ownAnswer } from "../own_answer.ts";
import { bodyChange, fieldChanges, FORMS, statusChange, tellForm } from "../refusals.ts";
import { type Asked, type Check, finding, type Rig, shownBytes, timeline } from "../rig.ts";
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

/** A 429 with all that providers say in one, to a client that wants a stream and to one that does not. */
export const limitPassThrough: Check = {
  name: "limits",
  title: "Does a 429 reach the client as the upstream has said it?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const fields = FIELDS.map(([name, value]) => `${name}: ${value}`);
    const all = await Promise.all(
      FORMS.map((form) =>
        tellForm(
          rig,
          form,
          (attempt) => attempt.write(jsonAnswer(429, "Too Many Requests", BODY, fields)),
        )
      ),
    );
    for (const asked of all) {
      const own = ownAnswer(asked);
      if (own === undefined) continue;
      return [finding("limits", {
        part: "body",
        verdict: asked.exchange.status === 0 ? "fail" : "void",
        limit: LIMIT,
        measured: own.measured,
        evidence: timeline(asked),
        mend: own.mend,
      })];
    }
    return [worst(all.map(bodyFinding)), worst(all.map(fieldFinding))];
  },
};

/** The worse one of two findings of one name. */
function worst(findings: readonly Finding[]): Finding {
  return VERDICTS.flatMap((verdict) => findings.filter((one) => one.verdict === verdict))[0]!;
}

function bodyFinding({ exchange }: Asked): Finding {
  const body = exchange.body.toString();
  const wrong = statusChange(exchange, 429);
  const change = wrong === undefined
    ? bodyChange(BODY, body)
    : { verdict: "fail" as const, text: wrong };
  return finding("limits", {
    part: "body",
    verdict: change?.verdict ?? "pass",
    limit: LIMIT,
    measured: change?.text ?? "the same",
    evidence: change === undefined
      ? []
      : [`sent ${shownBytes(BODY)}`, `got  ${shownBytes(exchange.body)}`],
    mend:
      "Pass the upstream's error on with its status: clients read type, code and the time in the message.",
  });
}

function fieldFinding({ exchange }: Asked): Finding {
  const changes = fieldChanges(exchange, FIELDS);
  const isSame = changes.length === 0;
  return finding("limits", {
    part: "headers",
    verdict: isSame ? "pass" : "fail",
    limit: "retry-after, retry-after-ms, x-should-retry and x-ratelimit-* as they were said",
    measured: isSame ? `all ${FIELDS.length}` : changes.join(", "),
    evidence: isSame ? [] : [shownBytes(exchange.headText)],
    mend: "Let these headers pass: official clients wait as long as they say.",
  });
}
