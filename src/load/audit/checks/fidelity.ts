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
import { changeText, isRenamed } from "../comparison.ts";
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
  /** The message's text as it stands in the JSON; the mark alone unless given. */
  readonly content?: (mark: string) => string;
  /** Members of the body as JSON, behind the usual ones. */
  readonly members?: string;
  /** True where RFC 8259 does not say what it means: whatever comes of it is no failure. */
  readonly isOpen?: boolean;
}

const SPELLINGS: readonly Spelling[] = [
  {
    name: "unknown-keys",
    what: "keys that nobody knows",
    members: '"x_weir_audit":{"deep":[1,{"a":null}]},"_vendor":true,"ключ":"значение"',
  },
  {
    name: "numbers",
    what: "numbers that no double holds",
    members: '"seed":12345678901234567890,"temperature":0.10000000000000000555,"top_p":1.0',
  },
  {
    name: "order",
    what: "keys in an order of their own, blanks, escapes, numbers such as -0 and 0.1e1",
    members: '"user":"\\u00e9\\/\\u2028\\ud83d\\ude00" , "top_p" : 1,"n":1,\r\n\t' +
      toolWith('"multipleOf":0.1e1,"maximum":1E2,"minimum":-0,"type":"number"'),
  },
  {
    name: "unicode",
    what: "characters that look the same as others, and those that cannot be seen",
    // Decomposed, joined, of an emoji's own look, at the end of a line, of no width.
    content: (mark) =>
      `${mark} e\u0301 \u212b \ufb01 \u{1f469}\u200d\u{1f52c} \u2764\ufe0f a\u2028b\u2029c \ufeff`,
  },
  {
    name: "blanks",
    what: "blanks around a text, and the ends of its lines",
    content: (mark) => ` \\t${mark}  two\\r\\nlines\\rmore\\n\\n\u00a0\\r\\n `,
  },
  {
    name: "controls",
    what: "characters that only an escape can spell",
    content: (mark) => `${mark} a\\u0000b\\u0001\\b\\f\\u001b[0m\u007f`,
  },
  {
    name: "surrogates",
    what: "half of a character, as a text that was cut has it",
    content: (mark) => `${mark} \\ud83d`,
    isOpen: true,
  },
  {
    name: "duplicate-keys",
    what: "one key twice",
    members: '"top_p":0.25,"top_p":0.75',
    isOpen: true,
  },
  {
    name: "number-range",
    what: "numbers beyond a double's range",
    members: toolWith('"type":"number","maximum":1e400,"exclusiveMinimum":1e-400'),
    isOpen: true,
  },
];

/** A tool whose only parameter has this schema: gateways that know each key do not look into it. */
function toolWith(schema: string): string {
  return '"tools":[{"type":"function","function":{"name":"audit","parameters":' +
    `{"type":"object","properties":{"x":{${schema}}}}}}]`;
}

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
      const { content = (text) => text, members } = spelling;
      return sent = `{"model":${model},"stream":true,"messages":[{"role":"user","content":"${
        content(mark)
      }"}]${members === undefined ? "" : `,${members}`}}`;
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

function speltFinding({ spelling, sent, asked, differences }: Spelt): Finding {
  const { name, what, isOpen = false } = spelling;
  const [attempt] = asked.expectation.attempts;
  // A gateway may refuse what it does not know, as long as it says so.
  const own = ownAnswer(asked);
  const { verdict, measured } = own ??
    compare(sent, attempt?.body.toString() ?? "", differences, isOpen);
  return finding("fidelity", {
    part: name,
    verdict,
    limit: `${what}: ${
      isOpen ? "what becomes of it is known" : "nothing lost and nothing changed"
    }`,
    measured,
    evidence: verdict === "pass" ? [] : evidenceOf(asked, sent),
    mend: own !== undefined
      ? own.mend
      : isOpen
      ? "RFC 8259 leaves open what this means: who sends the client's own bytes on leaves it to the provider."
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
  isOpen = false,
): { readonly verdict: Verdict; readonly measured: string } {
  if (sent === arrived) return { verdict: "pass", measured: "the same bytes" };
  const bad = isOpen ? "note" : "fail";
  if (differences === undefined) return { verdict: bad, measured: "what arrived is no JSON" };
  // What is added and how the model is called are findings of their own.
  const changed = differences.filter((one) => !isAdded(one) && !isRenamed(one));
  if (changed.length > 0) {
    return {
      verdict: bad,
      measured: changed.slice(0, 3).map(changeText).join("; "),
    };
  }
  if (losesTwin(sent, arrived)) {
    return { verdict: "note", measured: "of two equal keys the last one is left" };
  }
  return differences.length > 0
    ? { verdict: "pass", measured: "all that was sent is there" }
    : { verdict: "note", measured: "the same values, written anew" };
}

/** True where a key that `sent` has twice is there once, which the values need not show. */
function losesTwin(sent: string, arrived: string): boolean {
  const [wanted, came] = [sent, arrived].map((text) => text.match(/"\w+"(?=\s*:)/g) ?? []);
  const count = (keys: readonly string[], key: string) => keys.filter((one) => one === key).length;
  return wanted!.some((key) => count(came!, key) < count(wanted!, key));
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
      // Characters of several bytes, which what reads by pieces may cut.
      const words = "A line of a long prompt – “größer” als ein Puffer, 一行, 👩‍🔬 – is not lost. ";
      const content = `${mark} ${words.repeat(LARGE_BYTES / Buffer.byteLength(words))}`;
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
      `sent ${Buffer.byteLength(sent)} bytes, ${attempt?.body.length ?? 0} arrived`,
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
