/**
 * Which headers cross the gateway, found by canaries: values that occur nowhere else.
 *
 * @module
 */

import { isByteRelay } from "../byte_relay.ts";
import type { Finding } from "../finding.ts";
import { counted } from "../../../lib/counted.ts";
import { KEY_SHOWN, type Sightings } from "../own_keys.ts";
import { type Asked, type Check, finding, type Rig, shownBytes } from "../rig.ts";
import { CannotConnect, type Target } from "../probe_client.ts";
import type { Attempt } from "../scripted_upstream.ts";
import {
  chunk,
  headText,
  jsonAnswer,
  LAST_CHUNK,
  roleEvent,
  streamHead,
  wholeBody,
} from "../stream.ts";
import { byCheck, type Sighting } from "../watched.ts";

/** Named in Connection in letters of another case. */
const CASED = "X-Weir-Hop-Case";
/** The value of Connection. */
const NAMED = `x-weir-hop, ${CASED.toUpperCase()}`;

/**
 * Headers of the client, each with a canary. `isHop`: it ends at the next hop (RFC 9110 7.6.1), named
 * in Connection or not. Trailer does not (6.6.2).
 */
const UP = [
  { name: "authorization", isHop: false, isCredential: true },
  { name: "cookie", isHop: false, isCredential: true },
  { name: "x-api-key", isHop: false, isCredential: true },
  { name: "x-weir-audit", isHop: false, isCredential: false },
  { name: "x-weir-hop", isHop: true, isCredential: false },
  { name: "keep-alive", isHop: true, isCredential: false },
  { name: "proxy-authorization", isHop: true, isCredential: true },
  { name: "proxy-connection", isHop: true, isCredential: false },
  { name: CASED, isHop: true, isCredential: false },
  { name: "te", isHop: true, isCredential: false },
  { name: "upgrade", isHop: true, isCredential: false },
] as const;

/** What stands before a canary, so that the value is one of its header's. */
const PREFIXES: Readonly<Record<string, string>> = {
  authorization: "Bearer ",
  cookie: "session=",
  "keep-alive": "timeout=5, x=",
  "set-cookie": "upstream=",
};

/** Headers of the upstream. */
const DOWN = [
  { name: "set-cookie", isHop: false },
  { name: "server", isHop: false },
  { name: "x-powered-by", isHop: false },
  { name: "x-weir-audit", isHop: false },
  { name: "x-weir-hop", isHop: true },
  { name: "proxy-authenticate", isHop: true },
  { name: CASED, isHop: true },
  { name: "keep-alive", isHop: true },
  { name: "upgrade", isHop: true },
] as const;

/** Canaries up, canaries down, keys that end at the gateway, and what steers an nginx. */
export const headers: Check = {
  name: "headers",
  title: "Which headers cross the gateway, and which must not?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const canaries = new Map(UP.map(({ name }) => [name as string, rig.canary()]));
    const downCanaries = new Map(DOWN.map(({ name }) => [name as string, rig.canary()]));
    const fields = rig.notGiven(
      UP.map(({ name }) => [name, (PREFIXES[name] ?? "") + canaries.get(name)!]),
    );
    const down = [...downCanaries].map(([name, value]) =>
      `${name}: ${PREFIXES[name] ?? ""}${value}`
    );
    const asked = await rig.tell(
      "through",
      (attempt: Attempt, mark: string) =>
        attempt.write(Buffer.concat([
          Buffer.from(streamHead([...down, `connection: ${NAMED}`])),
          chunk(wholeBody(mark, 1)),
          Buffer.from(LAST_CHUNK),
        ])),
      { fields: [...fields, ["connection", NAMED]] },
    );
    const [attempt] = asked.expectation.attempts;
    if (attempt === undefined) return [unreached()];
    const isBelowHttp = await isByteRelay(rig);
    return [
      ...upFindings(attempt, canaries, isBelowHttp, rig.options.gatewayKey !== undefined),
      ...downFindings(asked, downCanaries, isBelowHttp),
      await accel(rig),
    ];
  },
  async after(rig) {
    const secrets = UP.filter(({ isCredential }) => isCredential);
    await provoke(
      rig,
      rig.notGiven(secrets.map(({ name }) => [name, (PREFIXES[name] ?? "") + secretCanary(rig)])),
    );
    return [];
  },
  overall: (rig) => [...keyUpFindings(rig), ownKeyFinding(rig), echoFinding(rig)],
};

function upFindings(
  attempt: Attempt,
  canaries: ReadonlyMap<string, string>,
  isBelowHttp: boolean,
  hasGatewayKey: boolean,
): Finding[] {
  const leaked = UP.filter(({ name }) => attempt.headText.includes(canaries.get(name)!));
  const hop = leaked.filter(({ isHop }) => isHop);
  const credentials = leaked.filter(({ isHop, isCredential }) => isCredential && !isHop);
  const others = leaked.filter(({ isHop, isCredential }) => !isCredential && !isHop);
  return [
    finding("headers", {
      part: "hop-up",
      verdict: hop.length === 0 ? "pass" : isBelowHttp ? "note" : "fail",
      limit: "what Connection names, and what ends at the next hop, does not reach the upstream",
      measured: hop.length === 0 ? "none of them" : hopText(hop, isBelowHttp),
      evidence: linesWith(attempt.headText, hop.map(({ name }) => canaries.get(name)!)),
      mend:
        "Drop the headers that Connection names and those of RFC 9110, 7.6.1, before asking the upstream.",
    }),
    finding("headers", {
      part: "credentials-up",
      verdict: credentials.length === 0 ? "pass" : hasGatewayKey ? "fail" : "note",
      limit: hasGatewayKey
        ? "the client's credentials stay with the gateway, which has a key of its own"
        : "the client's credentials that reach the upstream are known",
      measured: credentials.length === 0
        ? "none of them"
        : `reaching it: ${
          credentials.map(({ name }) => reachedText(attempt.headText, name, canaries.get(name)!))
            .join(", ")
        }`,
      evidence: linesWith(attempt.headText, credentials.map(({ name }) => canaries.get(name)!)),
      mend:
        "Drop the client's credentials where the gateway has its own for the upstream: cookies and keys were given to the gateway alone.",
    }),
    finding("headers", {
      part: "others-up",
      verdict: others.length === 0 ? "pass" : "note",
      limit: "headers of the client's own that reach the upstream are known",
      measured: others.length === 0 ? "none of them" : `passing: ${namesOf(others)}`,
      evidence: linesWith(attempt.headText, others.map(({ name }) => canaries.get(name)!)),
      mend: "Nothing secret; a list of what may pass keeps it so.",
    }),
  ];
}

function downFindings(
  { exchange }: Asked,
  canaries: ReadonlyMap<string, string>,
  isBelowHttp: boolean,
): Finding[] {
  const head = exchange.headsText;
  const leaked = DOWN.filter(({ name }) => head.includes(canaries.get(name)!));
  const hop = leaked.filter(({ isHop }) => isHop);
  const others = leaked.filter(({ isHop }) => !isHop);
  return [
    finding("headers", {
      part: "hop-down",
      verdict: hop.length === 0 ? "pass" : isBelowHttp ? "note" : "fail",
      limit:
        "what the upstream's Connection names, and what ends at the next hop, does not reach the client",
      measured: hop.length === 0 ? "none of them" : hopText(hop, isBelowHttp),
      evidence: linesWith(head, hop.map(({ name }) => canaries.get(name)!)),
      mend:
        "Drop the headers that the upstream's Connection names and those of RFC 9110, 7.6.1, before answering the client.",
    }),
    finding("headers", {
      part: "others-down",
      verdict: others.length === 0 ? "pass" : "note",
      limit: "headers of the upstream that reach the client are known",
      measured: others.length === 0 ? "none of them" : `passing: ${namesOf(others)}`,
      evidence: linesWith(head, others.map(({ name }) => canaries.get(name)!)),
      mend:
        "Drop the upstream's cookies and what tells of its software, where clients should not know it.",
    }),
  ];
}

/** How an upstream answers. */
type Trouble = (attempt: Attempt, mark: string) => void | Promise<void>;

/** What an upstream does that makes a gateway answer with an error, mostly one of its own. */
const TROUBLES: readonly Trouble[] = [
  ...[[401, "Unauthorized"], [403, "Forbidden"], [404, "Not Found"], [429, "Too Many Requests"], [
    500,
    "Internal Server Error",
  ], [503, "Service Unavailable"]].map(([status, reason]) => (attempt: Attempt) =>
    attempt.write(
      jsonAnswer(status as number, reason as string, '{"error":{"message":"No","type":"x"}}'),
    )
  ),
  // Before any byte, inside the head, with what is no HTTP, inside the body.
  (attempt) => attempt.reset(),
  (attempt) => attempt.cut(),
  (attempt) => {
    attempt.write("HTTP/1.1 200 OK\r\ncontent-ty");
    return attempt.cut();
  },
  (attempt) => {
    attempt.write("220 mail.example ESMTP\r\n\r\n");
    return attempt.cut();
  },
  (attempt) =>
    attempt.write(`${headText(200, "OK", ["content-length: 12x", "content-type: a/b"])}{}`),
  async (attempt, mark) => {
    attempt.write(streamHead());
    attempt.write(chunk(roleEvent(mark)));
    if (await attempt.pause(30)) attempt.reset();
  },
];
/** A gateway that asks again first, or waits for more, may take so long. */
const TROUBLE_MS_MAX = 10_000;

/** Makes the gateway answer with errors, at the end: it may take the upstream for dead then. */
async function provoke(rig: Rig, fields: Target["fields"]): Promise<void> {
  const suffer = async (trouble: Trouble) => {
    try {
      await rig.tell("through", trouble, { fields, timeoutMs: TROUBLE_MS_MAX, mayStay: true });
    } catch (error) {
      // A relay whose upstream refuses resets its client at once: there is no error to read.
      if (!(error instanceof CannotConnect)) throw error;
    }
  };
  for (const trouble of TROUBLES) await suffer(trouble);
  await rig.upstream.refusing(() => suffer(TROUBLES[0]!));
}

/** The key that clients show the gateway must be in no request of the audit's, however it is written. */
function keyUpFindings({ keys, options }: Rig): readonly Finding[] {
  if (options.gatewayKey === undefined) return [];
  const seen = keys.inRequests();
  return [finding("headers", {
    part: "key-up",
    verdict: seen.count > 0 ? "fail" : "pass",
    limit: "the key that clients show the gateway reaches the upstream in no request of any check",
    measured: sightingsText(seen, "request"),
    value: seen.count,
    unit: "requests",
    evidence: seen.found.map((one) => shownKey(one, "request")),
    mend:
      "Drop the client's key from what is sent on, in headers, target and body: it opens the gateway to whoever reads the upstream's logs.",
  })];
}

/** The key that the gateway shows the upstream must not come back in any answer of the audit's. */
function ownKeyFinding({ keys }: Rig): Finding {
  const leaks = keys.leaks();
  const seen = keys.inAnswers();
  return finding("headers", {
    part: "own-key",
    verdict: leaks.length + seen.count > 0 ? "fail" : "pass",
    limit: "the gateway's key for the upstream never reaches a client",
    measured: keys.count === 0
      ? "the gateway shows the upstream no key of its own"
      : `${inErrorsText(leaks, keys.errors)}, ${sightingsText(seen, "other answer")}`,
    value: leaks.length + seen.count,
    unit: "answers",
    evidence: [...leaks, ...seen.found].map((one) => shownKey(one, "answer")),
    mend: "Never copy the request to the upstream into what a client sees.",
  });
}

/** What the client has shown and reads again is no leak, but stands in its logs then. */
function echoFinding({ keys }: Rig): Finding {
  const echoes = keys.echoes();
  return finding("headers", {
    part: "echo",
    verdict: echoes.length > 0 ? "note" : "pass",
    limit: "the client's credentials are in no error",
    measured: inErrorsText(echoes, keys.errors),
    value: echoes.length,
    unit: "answers",
    evidence: echoes.map((one) => shownKey(one, "answer")),
    mend: "Leave them out of errors: those are logged, and shown to others.",
  });
}

function inErrorsText(leaks: readonly Sighting[], errors: number): string {
  return leaks.length > 0
    ? `in ${leaks.length} of ${counted(errors, "different error")}`
    : `in none of ${counted(errors, "different error")}`;
}

function sightingsText({ all, count, found }: Sightings, what: string): string {
  return count > 0
    ? `in ${count} of ${counted(all, what)}: ${byCheck(found)}`
    : `in none of ${counted(all, what)}`;
}

function shownKey({ check, mark, shown }: Sighting, what: "request" | "answer"): string {
  const from = Math.max(0, shown.indexOf(KEY_SHOWN) - 80);
  return `${check}: the ${what} of ${mark}: ${shownBytes(shown, from)}`;
}

/** A value of the client's that must be in no error. */
function secretCanary(rig: Rig): string {
  const value = rig.canary();
  rig.keys.shown(value);
  return value;
}

/** `X-Accel-Redirect` makes an nginx serve a place of its own. */
async function accel(rig: Rig): Promise<Finding> {
  const value = `/${rig.canary()}`;
  const asked = await rig.tell(
    "through",
    (attempt: Attempt, mark: string) =>
      attempt.write(Buffer.concat([
        Buffer.from(streamHead([`x-accel-redirect: ${value}`])),
        chunk(wholeBody(mark, 1)),
        Buffer.from(LAST_CHUNK),
      ])),
  );
  const isObeyed = !asked.exchange.body.includes(asked.mark);
  const isPassed = asked.exchange.headsText.includes(value);
  return finding("headers", {
    part: "x-accel",
    verdict: isObeyed ? "fail" : isPassed ? "note" : "pass",
    limit: "an upstream cannot steer the gateway, or an nginx before it, by X-Accel headers",
    measured: isObeyed
      ? `the gateway obeys: the client gets ${asked.exchange.status} and not the upstream's answer`
      : isPassed
      ? "passed on to the client"
      : "dropped",
    evidence: [shownBytes(asked.exchange.wireText)],
    mend:
      "Drop X-Accel-* of upstreams that are not your own (nginx: proxy_ignore_headers X-Accel-Redirect, proxy_hide_header): behind an nginx it opens internal places.",
  });
}

function unreached(): Finding {
  return finding("headers", {
    verdict: "void",
    limit: "a request with canaries reaches the upstream",
    measured: "it did not",
    mend: "",
  });
}

function hopText(hop: readonly { readonly name: string }[], isBelowHttp: boolean): string {
  return `passing: ${namesOf(hop)}${
    isBelowHttp ? "; the gateway passes bytes on and is no hop of HTTP" : ""
  }`;
}

/** "x-gw-key (the client's authorization)": under which name a value arrives. */
function reachedText(head: string, name: string, value: string): string {
  const names = head.split("\r\n").filter((line) => line.includes(value))
    .map((line) => line.slice(0, line.indexOf(":")).toLowerCase());
  return [...new Set(names)].map((one) => one === name ? one : `${one} (the client's ${name})`)
    .join(", ");
}

function namesOf(found: readonly { readonly name: string }[]): string {
  return found.map(({ name }) => name).join(", ");
}

function linesWith(head: string, values: readonly string[]): readonly string[] {
  return head.split("\r\n").filter((line) => values.some((value) => line.includes(value)))
    .map((line) => shownBytes(line));
}
