/**
 * The first request of an audit: is there a gateway, and does it ask the audit's upstream? Whatever
 * is wrong is said in a sentence, before anything is measured.
 *
 * @module
 */

import {
  CannotConnect,
  ClientConnection,
  type ConnectFault,
  type ConnectionEnds,
} from "./probe_client.ts";
import { type Rig, shownBytes } from "./rig.ts";
import { answerWhole } from "./stream.ts";

/** A gateway that has said nothing until then says nothing. */
const ANSWER_MS_MAX = 10_000;
/** A server of TLS has answered a hello until then. */
const HELLO_MS_MAX = 5_000;
/** Of what it said. */
const SAID_BYTES_MAX = 160;

/** What stands in the way. `isReached`: the gateway did ask the upstream. */
export interface Obstacle {
  readonly text: string;
  /** True when it may be otherwise in a moment: nothing listens yet, or it is not configured yet. */
  readonly mayPass: boolean;
}

/** What is said of a connection that cannot be opened. */
const UNCONNECTED: Readonly<Record<ConnectFault, (at: string, why: string) => string>> = {
  nobody: (at, why) => `Nothing listens on ${at}: ${why}`,
  plain: (at) => `What listens on ${at} speaks no TLS: try http://${at}`,
  handshake: (at, why) => `The TLS handshake with ${at} failed: ${why}`,
  distrusted: (at, why) =>
    `The certificate of ${at} is not trusted (${why}): --insecure audits it all the same`,
};
/** How a server of TLS begins to say that what it got is none: an alert. */
const TLS_ALERT = "\x15\x03";

/** Asks once, and gives what stands in the way of an audit; undefined = nothing does. */
export async function greet(rig: Rig): Promise<Obstacle | undefined> {
  const { gateway } = rig.options;
  const host = gateway.hostname;
  const at = `${host.includes(":") ? `[${host}]` : host}:${gateway.port}`;
  const upstream = `http://${rig.upstream.hostname}:${rig.upstream.port}/v1`;
  let asked;
  try {
    asked = await rig.ask("through", (attempt, mark) => answerWhole(attempt, mark));
  } catch (error) {
    if (!(error instanceof CannotConnect)) throw error;
    const { fault, message } = error;
    return {
      mayPass: fault === "nobody" || fault === "handshake",
      text: UNCONNECTED[fault](at, message),
    };
  }
  await rig.settle(asked, ANSWER_MS_MAX);
  const { exchange, expectation } = asked;
  const isReached = expectation.attempts.length > 0;
  const { status } = exchange;
  if (isSame(asked.connection.ends, expectation.attempts[0]?.ends)) {
    return {
      mayPass: false,
      text: `${at} is the audit's own upstream, with no gateway before it: give the gateway's URL`,
    };
  }
  const isAlert = exchange.end === "broken" && exchange.wireText.startsWith(TLS_ALERT);
  if (isAlert || exchange.wireText === "" && !isReached && await speaksTls(rig)) {
    return { mayPass: false, text: `What listens on ${at} speaks TLS: try https://${at}` };
  }
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

const heard = new WeakMap<Rig, Promise<boolean>>();

/** True when what says nothing to a request answers a hello of TLS. Tried once for an audit. */
function speaksTls(rig: Rig): Promise<boolean> {
  const told = heard.get(rig) ?? sayHello(rig);
  heard.set(rig, told);
  return told;
}

async function sayHello({ options: { gateway } }: Rig): Promise<boolean> {
  if (gateway.isTls) return false;
  try {
    const target = { ...gateway, isTls: true, isInsecure: true };
    (await ClientConnection.open(target, HELLO_MS_MAX)).leave("fin");
    return true;
  } catch {
    return false;
  }
}

/**
 * True when the client's connection is the one that the upstream has taken: nobody is between them. A
 * relay of bytes, which passes on all that is said, has another.
 */
function isSame(client: ConnectionEnds | undefined, upstream: ConnectionEnds | undefined): boolean {
  return client !== undefined && client.own === upstream?.other && client.other === upstream.own;
}
