/**
 * The first request of an audit: is there a gateway, and does it ask the audit's upstream? Whatever
 * is wrong is said in a sentence, before anything is measured.
 *
 * @module
 */

import { CannotConnect } from "./probe_client.ts";
import { type Rig, shownBytes } from "./rig.ts";
import { answerWhole } from "./stream.ts";

/** A gateway that has said nothing until then says nothing. */
const ANSWER_MS_MAX = 10_000;
/** Of what it said. */
const SAID_BYTES_MAX = 160;

/** What stands in the way. `isReached`: the gateway did ask the upstream. */
export interface Obstacle {
  readonly text: string;
  /** True when it may be otherwise in a moment: nothing listens yet, or it is not configured yet. */
  readonly mayPass: boolean;
}

/** Asks once, and gives what stands in the way of an audit; undefined = nothing does. */
export async function greet(rig: Rig): Promise<Obstacle | undefined> {
  const { gateway } = rig.options;
  const at = `${gateway.hostname}:${gateway.port}`;
  const upstream = `http://${rig.upstream.hostname}:${rig.upstream.port}/v1`;
  let asked;
  try {
    asked = await rig.ask("through", (attempt, mark) => answerWhole(attempt, mark));
  } catch (error) {
    if (!(error instanceof CannotConnect)) throw error;
    if (!error.isDistrusted) {
      return { mayPass: true, text: `Nothing listens on ${at}: ${error.message}` };
    }
    return {
      mayPass: false,
      text:
        `The certificate of ${at} is not trusted (${error.message}): --insecure audits it all the same`,
    };
  }
  await rig.settle(asked, ANSWER_MS_MAX);
  const { exchange, expectation } = asked;
  const isReached = expectation.attempts.length > 0;
  const { status } = exchange;
  if (exchange.end === "broken") {
    return {
      mayPass: false,
      text: `What listens on ${at} does not speak HTTP/1.1: it said "${
        shownBytes(exchange.wireText.slice(0, 60))
      }" (${exchange.fault})`,
    };
  }
  if (isReached) {
    if (status === 200) return undefined;
    return {
      mayPass: false,
      text: `The gateway asked the upstream, was answered 200 and gave the client ${
        status === 0 ? "no answer" : status
      }: ${shownBytes(exchange.body, 0, SAID_BYTES_MAX)}`,
    };
  }
  if (status === 401 || status === 403) {
    return {
      mayPass: false,
      text: `The gateway answers ${status}: it wants a key. Give one with --gateway-key, or with ` +
        `--header 'authorization: Bearer …'`,
    };
  }
  if (status >= 300 && status < 400) {
    const [to = "nowhere"] = /^location: *(.*)$/im.exec(exchange.headText)?.slice(1) ?? [];
    return {
      mayPass: false,
      text: `The gateway answers ${status} and redirects to ${to}: audit that URL`,
    };
  }
  if (status === 0) {
    return {
      mayPass: true,
      text: exchange.end === "left"
        ? `The gateway said nothing for ${
          ANSWER_MS_MAX / 1000
        } s and did not ask the upstream at ${upstream}`
        : `The gateway closed the connection without an answer and did not ask the upstream at ${upstream}`,
    };
  }
  return {
    mayPass: true,
    text: `The gateway answers ${status} by itself and does not ask the upstream at ${upstream}: ` +
      `configure that as its upstream (what it said: ${
        shownBytes(exchange.body, 0, SAID_BYTES_MAX)
      })`,
  };
}
