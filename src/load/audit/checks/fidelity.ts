/**
 * Whether the upstream gets the request that the client has sent.
 *
 * @module
 */

import { parseExactJson } from "../../../lib/exact_json.ts";
import { differenceText, jsonDifferences } from "../../../lib/json_differences.ts";
import type { Finding } from "../finding.ts";
import { type Check, finding, type Rig, shownBytes } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import {
  chunk,
  DONE,
  finishEvent,
  LAST_CHUNK,
  streamHead,
  textEvent,
  usageEvent,
} from "../stream.ts";

/** A request, and what it tries. */
interface Spelling {
  readonly name: string;
  readonly what: string;
  /** Members of the body as JSON, behind the usual ones. */
  readonly members: (mark: string) => string;
}

const SPELLINGS: readonly Spelling[] = [
  {
    name: "unknown-keys",
    what: "keys that nobody knows",
    members: () => '"x_weir_audit":{"deep":[1,{"a":null}]},"_vendor":true,"ключ":"значение"',
  },
  {
    name: "numbers",
    what: "numbers that no double holds",
    members: () => '"seed":12345678901234567890,"temperature":0.10000000000000000555,"top_p":1.0',
  },
  {
    name: "order",
    what: "keys in an order of their own, blanks, escapes",
    members: () => '"user":"\\u00e9\\/\\u2028" , "top_p" : 1,"n":1',
  },
];

/** Bodies as they arrive, and whether a usage chunk comes that nobody has asked for. */
export const fidelity: Check = {
  name: "fidelity",
  title: "Does the upstream get the request that was sent?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const findings: Finding[] = [];
    for (const spelling of SPELLINGS) findings.push(await spell(rig, spelling));
    findings.push(await usage(rig));
    return findings;
  },
};

async function spell(rig: Rig, { name, what, members }: Spelling): Promise<Finding> {
  let sent = "";
  const asked = await rig.tell("through", answer, {
    body: (mark) => {
      const model = JSON.stringify(rig.options.model);
      return sent =
        `{"model":${model},"stream":true,"messages":[{"role":"user","content":"${mark}"}],${
          members(mark)
        }}`;
    },
  });
  const [attempt] = asked.expectation.attempts;
  const { verdict, measured } = attempt === undefined
    ? refused(asked.exchange.status)
    : compare(sent, attempt.body.toString());
  return finding("fidelity", {
    part: name,
    verdict,
    limit: `${what}: nothing lost and nothing changed`,
    measured,
    evidence: verdict === "pass" ? [] : [
      `sent     ${shownBytes(Buffer.from(sent))}`,
      `arrived  ${shownBytes(attempt?.body ?? asked.exchange.wireText)}`,
    ],
    mend: verdict === "fail"
      ? "Send the client's own bytes on; where one value must be changed, change it in place."
      : "The values are the same; bytes that are passed on untouched cannot be got wrong.",
  });
}

/** A gateway may refuse what it does not know, as long as it says so. */
function refused(status: number) {
  return status >= 400 && status < 500
    ? { verdict: "note" as const, measured: `refused with ${status}` }
    : { verdict: "fail" as const, measured: `it did not arrive; the client got ${status}` };
}

function compare(sent: string, arrived: string) {
  if (sent === arrived) return { verdict: "pass" as const, measured: "the same bytes" };
  let values: readonly [unknown, unknown];
  try {
    values = [parseExactJson(sent), parseExactJson(arrived)];
  } catch {
    return { verdict: "fail" as const, measured: "what arrived is no JSON" };
  }
  // What the gateway asks for besides is judged by what the client gets of it.
  const differences = jsonDifferences(values[1], values[0])
    .filter(({ path, other }) => !(path.startsWith("stream_options") && other === undefined));
  const [first] = differences;
  if (first === undefined) {
    return { verdict: "note" as const, measured: "the same values, written anew" };
  }
  const added = differences.every(({ other }) => other === undefined);
  const text = differences.slice(0, 3).map((one) => differenceText(one)).join("; ");
  return added
    ? { verdict: "note" as const, measured: `added: ${text}` }
    : { verdict: "fail" as const, measured: text };
}

/** The upstream sends a usage chunk when it is asked for one; the client has not asked. */
async function usage(rig: Rig): Promise<Finding> {
  const asked = await rig.tell("through", answer);
  const isAskedFor = asked.expectation.attempts.some(({ body }) => asksUsage(body));
  const comes = asked.exchange.events().some(({ data }) => /"usage"\s*:\s*\{/.test(data));
  return finding("fidelity", {
    part: "usage",
    verdict: asked.expectation.attempts.length === 0 ? "void" : comes ? "fail" : "pass",
    limit: "no usage chunk without stream_options.include_usage",
    measured: comes
      ? "the client gets a usage chunk that it has not asked for"
      : isAskedFor
      ? "the gateway asks for it and keeps it to itself"
      : "nobody asks for it",
    evidence: comes ? [shownBytes(asked.exchange.body.subarray(-400))] : [],
    mend:
      "Drop the usage chunk where the client has not asked for it: its choices are empty, and clients read choices[0].",
  });
}

function answer(attempt: Attempt, mark: string): void {
  const usageText = asksUsage(attempt.body) ? usageEvent(mark) : "";
  attempt.write(Buffer.concat([
    Buffer.from(streamHead()),
    chunk(textEvent(mark, 1) + finishEvent(mark) + usageText + DONE),
    Buffer.from(LAST_CHUNK),
  ]));
}

function asksUsage(body: Buffer): boolean {
  return /"include_usage"\s*:\s*true/.test(body.toString());
}
