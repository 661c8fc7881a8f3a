/**
 * Whether the upstream gets the request that the client has sent.
 *
 * @module
 */

import { parseExactJson } from "../../../lib/exact_json.ts";
import {
  differenceText,
  type JsonDifference,
  jsonDifferences,
} from "../../../lib/json_differences.ts";
import { isRenamed } from "../comparison.ts";
import type { Finding, Verdict } from "../finding.ts";
import { bytesText, ms } from "../numbers.ts";
import { ownAnswer, tellWithRoom } from "../own_answer.ts";
import { type Asked, type Check, finding, type Rig, shownBytes, timeline } from "../rig.ts";
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

/** A prompt of a book: what reads bodies into small buffers loses some of it. */
const LARGE_BYTES = 1024 * 1024;
const LARGE_MS_MAX = 20_000;

/**
 * What a gateway may add without changing the answer: who asks, and what only the gateway itself
 * reads. `stream_options` is judged by whether the usage reaches the client.
 */
const HARMLESS = ["user", "metadata", "safety_identifier", "prompt_cache_key", "stream_options"];
/** What is so unless something else is said: adding it says nothing new. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  temperature: 1,
  top_p: 1,
  n: 1,
  store: false,
  logprobs: false,
  presence_penalty: 0,
  frequency_penalty: 0,
  parallel_tool_calls: true,
  service_tier: "auto",
};

/** A request that was tried: what was sent and what came of it. */
interface Spelt {
  readonly spelling: Spelling;
  readonly sent: string;
  readonly asked: Asked;
  /** Undefined where it did not arrive, or is no JSON. */
  readonly differences: readonly JsonDifference[] | undefined;
}

/** Bodies as they arrive, and whether a usage chunk comes that nobody has asked for. */
export const fidelity: Check = {
  name: "fidelity",
  title: "Does the upstream get the request that was sent?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const spelt: Spelt[] = [];
    for (const spelling of SPELLINGS) spelt.push(await spell(rig, spelling));
    const usageFinding = await usage(rig);
    const all = spelt.flatMap(({ differences }) => differences ?? []);
    return [
      ...spelt.map(speltFinding),
      modelFinding(all.filter(isRenamed), rig.options.model),
      addedFinding(all.filter(isAdded), usageFinding.verdict === "fail", spelt),
      usageFinding,
      await query(rig),
      await large(rig),
    ];
  },
};

/** A member of the request itself that the client has not sent. */
function isAdded({ path, other }: JsonDifference): boolean {
  return other === undefined && !/[.[]/.test(path);
}

async function spell(rig: Rig, spelling: Spelling): Promise<Spelt> {
  let sent = "";
  const asked = await tellWithRoom(rig, answer, {
    body: (mark) => {
      const model = JSON.stringify(rig.options.model);
      return sent =
        `{"model":${model},"stream":true,"messages":[{"role":"user","content":"${mark}"}],${
          spelling.members(mark)
        }}`;
    },
  });
  const arrived = asked.expectation.attempts[0]?.body.toString();
  return { spelling, sent, asked, differences: differencesOf(sent, arrived) };
}

function differencesOf(sent: string, arrived = ""): readonly JsonDifference[] | undefined {
  try {
    return jsonDifferences(parseExactJson(arrived), parseExactJson(sent));
  } catch {
    return undefined;
  }
}

function speltFinding({ spelling: { name, what }, sent, asked, differences }: Spelt): Finding {
  const [attempt] = asked.expectation.attempts;
  // A gateway may refuse what it does not know, as long as it says so.
  const own = ownAnswer(asked);
  const { verdict, measured } = own ?? compare(sent, attempt?.body.toString() ?? "", differences);
  return finding("fidelity", {
    part: name,
    verdict,
    limit: `${what}: nothing lost and nothing changed`,
    measured,
    evidence: verdict === "pass" ? [] : evidenceOf(asked, sent),
    mend: own !== undefined
      ? own.mend
      : verdict === "fail"
      ? "Send the client's own bytes on; where one value must be changed, change it in place."
      : "The values are the same; bytes that are passed on untouched cannot be got wrong.",
  });
}

function evidenceOf({ expectation, exchange }: Asked, sent: string): readonly string[] {
  return [
    `sent     ${shownBytes(Buffer.from(sent))}`,
    `arrived  ${shownBytes(expectation.attempts[0]?.body ?? exchange.wireText)}`,
  ];
}

function compare(
  sent: string,
  arrived: string,
  differences: readonly JsonDifference[] | undefined,
): { readonly verdict: Verdict; readonly measured: string } {
  if (sent === arrived) return { verdict: "pass", measured: "the same bytes" };
  if (differences === undefined) return { verdict: "fail", measured: "what arrived is no JSON" };
  // What is added and how the model is called are findings of their own.
  const changed = differences.filter((one) => !isAdded(one) && !isRenamed(one));
  if (changed.length > 0) {
    return {
      verdict: "fail",
      measured: changed.slice(0, 3).map((one) => differenceText(one)).join("; "),
    };
  }
  return differences.length > 0
    ? { verdict: "pass", measured: "all that was sent is there" }
    : { verdict: "note", measured: "the same values, written anew" };
}

function modelFinding(renamed: readonly JsonDifference[], model: string): Finding {
  const [first] = renamed;
  return finding("fidelity", {
    part: "model",
    verdict: first === undefined ? "pass" : "note",
    limit: "a model that is called otherwise at the upstream is known",
    measured: first === undefined ? `the upstream is asked for "${model}"` : differenceText(first),
    mend: "Nothing, where the gateway's configuration says so.",
  });
}

function addedFinding(
  added: readonly JsonDifference[],
  usageComes: boolean,
  [first]: readonly Spelt[],
): Finding {
  const names = new Map(added.map((one) => [one.path, one]));
  const isHarmless = ({ path, one }: JsonDifference) =>
    one === null || DEFAULTS[path] === one ||
    HARMLESS.includes(path) && !(path === "stream_options" && usageComes);
  const harmful = [...names.values()].filter((one) => !isHarmless(one));
  const verdict = harmful.length > 0 ? "fail" : names.size > 0 ? "note" : "pass";
  const told = verdict === "fail" ? harmful : [...names.values()];
  return finding("fidelity", {
    part: "added",
    verdict,
    limit: "nothing is asked for that the client has not asked for",
    measured: verdict === "pass"
      ? "nothing is added"
      : `added: ${told.map(({ path, one }) => `${path}: ${shownJson(one)}`).join(", ")}`,
    evidence: verdict === "pass" || first === undefined
      ? []
      : told.map(({ path, one }) =>
        `"${path}":${shownJson(one)} is in the upstream's request and not in the client's`
      ),
    mend: verdict === "fail"
      ? "Ask for what the client asks for: this changes its answer, or what the provider keeps of it."
      : "It changes no answer; the client should know that it is there.",
  });
}

function shownJson(value: unknown): string {
  return shownBytes(JSON.stringify(value));
}

/** What a query may have: an escaped plus, a blank, one name twice, no value. */
const QUERY = "weir_audit=a%2Bb%20c&weir_audit=2&weir_empty=";

/** A query string: kept, and by its characters; a gateway may have paths of its own. */
async function query(rig: Rig): Promise<Finding> {
  const { path } = rig.options.gateway;
  const sent = `${path}${path.includes("?") ? "&" : "?"}${QUERY}`;
  const asked = await tellWithRoom(rig, answer, { path: sent });
  const [attempt] = asked.expectation.attempts;
  const arrived = attempt?.headText.split(" ", 2)[1] ?? "";
  const came = parametersOf(arrived);
  const wanted = parametersOf(sent);
  const lost = wanted.filter(({ name }) => !came.some((one) => one.name === name));
  const others = wanted.filter((one) => !lost.includes(one));
  const isKept = wanted.length === others.length;
  // In its order, as far as it came: a gateway may add some of its own.
  const kept = came.filter(({ name }) => others.some((one) => one.name === name));
  const changed = others.find(({ text }, i) => text !== kept[i]?.text);
  const own = ownAnswer(asked);
  const { verdict, measured } = own !== undefined
    ? own
    : changed !== undefined
    ? { verdict: "fail" as const, measured: `${changed.name} has another value` }
    : isKept
    ? { verdict: "pass" as const, measured: "the same bytes" }
    : {
      verdict: "note" as const,
      measured: `lost: ${[...new Set(lost.map(({ name }) => name))].join(", ")}`,
    };
  return finding("fidelity", {
    part: "query",
    verdict,
    limit: "a query string: nothing lost and nothing changed",
    measured,
    evidence: verdict === "pass" ? [] : [
      `sent     POST ${shownBytes(sent)}`,
      `arrived  ${shownBytes(attempt?.headText.split("\r\n", 1)[0] ?? asked.exchange.headText)}`,
    ],
    mend: own !== undefined
      ? own.mend
      : verdict === "fail"
      ? "Send the query on by its characters, without decoding it in between."
      : "Providers read some of it, such as api-version: send it on, or say that it ends at the gateway.",
  });
}

/** The parameters of a path's query as they are spelt. */
function parametersOf(path: string): readonly { readonly name: string; readonly text: string }[] {
  const at = path.indexOf("?");
  return at < 0 ? [] : path.slice(at + 1).split("&").filter((text) => text !== "").map((text) => ({
    name: text.split("=", 1)[0]!,
    text,
  }));
}

/** A request of a megabyte: whole, or refused. */
async function large(rig: Rig): Promise<Finding> {
  let sent = "";
  const asked = await tellWithRoom(rig, answer, {
    body: (mark) => {
      const words = "A line of a long prompt, which must not be lost. ";
      const content = `${mark} ${words.repeat(LARGE_BYTES / words.length)}`;
      return sent = JSON.stringify({
        model: rig.options.model,
        stream: true,
        messages: [{ role: "user", content }],
      });
    },
    timeoutMs: LARGE_MS_MAX,
  });
  const [attempt] = asked.expectation.attempts;
  const differences = differencesOf(sent, attempt?.body.toString());
  // A gateway may refuse what it does not know, as long as it says so.
  const own = ownAnswer(asked);
  const { verdict, measured } = own ?? compare(sent, attempt?.body.toString() ?? "", differences);
  return finding("fidelity", {
    part: "large",
    verdict: verdict === "note" && attempt !== undefined ? "pass" : verdict,
    limit: `a request of ${bytesText(LARGE_BYTES)}: nothing lost and nothing changed`,
    measured: `${measured}${
      attempt === undefined
        ? ""
        : `, at the upstream ${ms(attempt.arrivedMs - asked.exchange.sentMs)} later`
    }`,
    evidence: verdict === "pass" ? [] : [
      `sent ${sent.length} bytes, ${attempt?.body.length ?? 0} arrived`,
      ...evidenceOf(asked, sent),
    ],
    mend: verdict === "void" && own !== undefined
      ? own.mend
      : "Let bodies of this size pass, or say 413: prompts grow to it.",
  });
}

/** The upstream sends a usage chunk when it is asked for one; the client has not asked. */
async function usage(rig: Rig): Promise<Finding> {
  const asked = await tellWithRoom(rig, answer);
  const own = ownAnswer(asked);
  const isAskedFor = asked.expectation.attempts.some(({ body }) => asksUsage(body));
  const comes = asked.exchange.events().some(({ data }) => /"usage"\s*:\s*\{/.test(data));
  return finding("fidelity", {
    part: "usage",
    verdict: own !== undefined
      ? (own.verdict === "note" ? "void" : own.verdict)
      : comes
      ? "fail"
      : "pass",
    limit: "no usage chunk without stream_options.include_usage",
    measured: own !== undefined
      ? own.measured
      : comes
      ? "the client gets a usage chunk that it has not asked for"
      : isAskedFor
      ? "the gateway asks for it and keeps it to itself"
      : "nobody asks for it",
    evidence: own !== undefined
      ? timeline(asked)
      : comes
      ? [shownBytes(asked.exchange.body.subarray(-400))]
      : [],
    mend: own !== undefined
      ? own.mend
      : "Drop the usage chunk where the client has not asked for it: its choices are empty, and clients read choices[0].",
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
