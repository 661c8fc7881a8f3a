/**
 * Reads an upstream's answer for whoever speaks another dialect: its bytes become steps while they
 * come, and its refusal becomes an error.
 *
 * @module
 */

import type { Answer, Relay, Source } from "../../core/answer.ts";
import type { AnswerLimits, UpstreamDialect } from "../../core/dialect.ts";
import { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";
import { gatherBody } from "../../core/relay_body.ts";
import { decoded } from "./decoded.ts";
import { LiveSteps } from "./live_steps.ts";

/** Bytes of a refusal that are read for its sentence. */
const REFUSAL_BYTES_MAX = 65_536;

/** No response can be made with a higher status (WHATWG Fetch). */
const STATUS_MAX = 599;

/**
 * `source`, whose relays are read wherever the client does not speak `dialect` itself, as far as
 * `limits` let them be.
 */
export function respeak(source: Source, dialect: UpstreamDialect, limits: AnswerLimits): Source {
  return {
    name: source.name,
    answer(ask, call) {
      const answer = source.answer(ask, call);
      if (ask.wire?.dialect === dialect.name) return answer;
      return answer instanceof Promise
        ? answer.then((settled) => readAnswer(settled, dialect, limits, call))
        : readAnswer(answer, dialect, limits, call);
    },
  };
}

/** `answer` as steps. @throws {AppError} when it is a refusal (the promise rejects). */
function readAnswer(
  answer: Answer,
  dialect: UpstreamDialect,
  limits: AnswerLimits,
  call: Call,
): Answer | Promise<Answer> {
  if (answer.kind !== "relay") return answer;
  const { status } = answer;
  if (status >= 400 && status <= STATUS_MAX) return refusal(decoded(answer), dialect, call);
  if (status >= 200 && status < 300) {
    const steps = new LiveSteps(decoded(answer), dialect, limits, call);
    return { kind: "live", steps, model: call.model };
  }
  answer.body.cancel();
  const what = status >= 300 && status < 400 && status !== 304
    ? "a redirect, which weir does not follow"
    : "no answer";
  throw new AppError("upstream_broken", `The upstream answered with the status ${status}: ${what}`);
}

/** Reads why the upstream refuses, as far as it says so: half a sentence is better than none. */
async function refusal(relay: Relay, dialect: UpstreamDialect, call: Call): Promise<never> {
  const { bytes } = await gatherBody(relay.body, call.signal, REFUSAL_BYTES_MAX);
  throw dialect.readError(relay.status, new TextDecoder().decode(bytes));
}
