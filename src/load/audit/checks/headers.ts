/**
 * Which headers cross the gateway, found by canaries: values that occur nowhere else.
 *
 * @module
 */

import { CANARY, type Finding } from "../finding.ts";
import { type Asked, type Check, finding, type Rig, shownBytes } from "../rig.ts";
import { type Attempt, headFields } from "../scripted_upstream.ts";
import { chunk, jsonAnswer, LAST_CHUNK, streamHead, wholeBody } from "../stream.ts";

/** Headers of the client, each with a canary. `isHop`: it ends at the next hop (RFC 9110 7.6.1). */
const UP = [
  { name: "authorization", isHop: false, isCredential: true },
  { name: "cookie", isHop: false, isCredential: true },
  { name: "x-api-key", isHop: false, isCredential: true },
  { name: "x-weir-audit", isHop: false, isCredential: false },
  { name: "x-weir-hop", isHop: true, isCredential: false },
  { name: "keep-alive", isHop: true, isCredential: false },
  { name: "proxy-authorization", isHop: true, isCredential: true },
  { name: "proxy-connection", isHop: true, isCredential: false },
] as const;

/** What stands before a canary, so that the value is one of its header's. */
const PREFIXES: Readonly<Record<string, string>> = {
  authorization: "Bearer ",
  cookie: "session=",
  "keep-alive": "timeout=5, x=",
};

/** Headers of the upstream. */
const DOWN = [
  { name: "set-cookie", isHop: false },
  { name: "server", isHop: false },
  { name: "x-powered-by", isHop: false },
  { name: "x-weir-audit", isHop: false },
  { name: "x-weir-hop", isHop: true },
  { name: "proxy-authenticate", isHop: true },
] as const;

/** Canaries up, canaries down, the gateway's own key, and what steers an nginx. */
export const headers: Check = {
  name: "headers",
  title: "Which headers cross the gateway, and which must not?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const canaries = new Map(UP.map(({ name }) => [name as string, canary(rig)]));
    const downCanaries = new Map(DOWN.map(({ name }) => [name as string, canary(rig)]));
    const { gatewayKey } = rig.options;
    const fields = UP.filter(({ name }) => name !== "authorization" || !hasAuthorization(rig))
      .map(({ name }) => [name, (PREFIXES[name] ?? "") + canaries.get(name)!] as const);
    const down = [...downCanaries].map(([name, value]) =>
      name === "set-cookie" ? `set-cookie: upstream=${value}; Path=/` : `${name}: ${value}`
    );
    const asked = await rig.tell(
      "through",
      (attempt: Attempt, mark: string) =>
        attempt.write(Buffer.concat([
          Buffer.from(streamHead([...down, "connection: x-weir-hop"])),
          chunk(wholeBody(mark, 1)),
          Buffer.from(LAST_CHUNK),
        ])),
      { fields: [...fields, ["connection", "x-weir-hop"]] },
    );
    const [attempt] = asked.expectation.attempts;
    if (attempt === undefined) return [unreached()];
    if (gatewayKey !== undefined) canaries.set("authorization", gatewayKey);
    const isBelowHttp = passesHead(asked, attempt);
    return [
      ...upFindings(attempt, canaries, isBelowHttp, gatewayKey !== undefined),
      ...downFindings(asked, downCanaries, isBelowHttp),
      await ownKey(rig, attempt),
      await accel(rig),
    ];
  },
};

/** True when the command line gives the client's authorization. */
function hasAuthorization(rig: Rig): boolean {
  return rig.options.gateway.fields.some(([name]) => name.toLowerCase() === "authorization");
}

/** A relay of bytes is no HTTP intermediary: nothing ends there. */
function passesHead({ connection }: Asked, attempt: Attempt): boolean {
  const { hostname, port } = connection.target;
  const fields = headFields(attempt.headText);
  return fields.some(([name, value]) => name === "host" && value === `${hostname}:${port}`) &&
    fields.some(([name, value]) => name === "connection" && value === "x-weir-hop") &&
    fields[0]?.[0] === "host" && fields[1]?.[0] === "user-agent";
}

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
      measured: credentials.length === 0 ? "none of them" : `reaching it: ${namesOf(credentials)}`,
      evidence: credentials.map(({ name }) => `${name}: its canary is in the upstream's request`),
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
  const head = exchange.headText;
  const leaked = DOWN.filter(({ name }) => head.includes(canaries.get(name)!));
  const hop = leaked.filter(({ isHop }) => isHop);
  const others = leaked.filter(({ isHop }) => !isHop);
  return [
    finding("headers", {
      part: "hop-down",
      verdict: hop.length === 0 ? "pass" : isBelowHttp ? "note" : "fail",
      limit: "what the upstream's Connection names does not reach the client",
      measured: hop.length === 0 ? "none of them" : hopText(hop, isBelowHttp),
      evidence: linesWith(head, hop.map(({ name }) => canaries.get(name)!)),
      mend: "Drop the headers that the upstream's Connection names.",
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

/** The key that the gateway shows the upstream must not come back in an error. */
async function ownKey(rig: Rig, attempt: Attempt): Promise<Finding> {
  const shown = attempt.fields("authorization")[0]?.replace(/^Bearer /i, "");
  const client = rig.options.gateway.fields.find(([name]) =>
    name.toLowerCase() === "authorization"
  );
  const isOwn = shown !== undefined && shown.length > 3 && !client?.[1].includes(shown) &&
    !shown.startsWith(CANARY);
  if (!isOwn) {
    return finding("headers", {
      part: "own-key",
      verdict: "pass",
      limit: "the gateway's key for the upstream never reaches a client",
      measured: "the gateway shows the upstream no key of its own",
      mend: "",
    });
  }
  const answers = [];
  for (const [status, reason] of [[401, "Unauthorized"], [500, "Internal Server Error"]] as const) {
    answers.push(
      await rig.tell(
        "through",
        (one: Attempt) =>
          one.write(jsonAnswer(status, reason, '{"error":{"message":"No","type":"x"}}')),
        {
          timeoutMs: 20_000,
        },
      ),
    );
  }
  const found = answers.filter(({ exchange }) => exchange.wireText.includes(shown));
  return finding("headers", {
    part: "own-key",
    verdict: found.length > 0 ? "fail" : "pass",
    limit: "the gateway's key for the upstream never reaches a client",
    measured: found.length > 0 ? "it stands in an answer" : "it is in no answer",
    evidence: found.map(({ exchange }) => shownBytes(exchange.wireText.replaceAll(shown, "<KEY>"))),
    mend: "Never copy the request to the upstream into what a client sees.",
  });
}

/** `X-Accel-Redirect` makes an nginx serve a place of its own. */
async function accel(rig: Rig): Promise<Finding> {
  const value = `/${canary(rig)}`;
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
  const isPassed = asked.exchange.headText.includes(value);
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

function namesOf(found: readonly { readonly name: string }[]): string {
  return found.map(({ name }) => name).join(", ");
}

function linesWith(head: string, values: readonly string[]): readonly string[] {
  return head.split("\r\n").filter((line) => values.some((value) => line.includes(value)))
    .map((line) => shownBytes(line));
}

function canary(rig: Rig): string {
  return CANARY + rig.draw(12);
}
