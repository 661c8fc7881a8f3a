/**
 * Whether usage is counted right, however streams end:
 *
 *     bun --no-env-file bench/usage_streams.ts [--streams 10000] [--clients 100]
 *
 * Clients ask a weir in front of a weir that mocks. A fifth of the streams is left by their clients at random
 * places, a tenth is cut by the upstream. Wanted: whole streams cost what the mock has counted itself; left and
 * cut ones are marked as estimates, and their sum is within 5 % of what was said in them: of left ones by the
 * mock's own count (a client that leaves has not read all that has been said to it), of cut ones of what their
 * clients have heard.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { SseParser } from "../src/lib/sse.ts";
import { TokenCounter } from "../src/sources/tokens.ts";
import { startWeir, WEIR_FROM_SOURCE } from "./weir_server.ts";

const ANY_CORE = [0, 1];
/** Events behind which the upstream cuts streams of models named for it. */
const CUTS = [2, 4, 8, 12, 16];
/** Milliseconds between two pieces of an answer. */
const DELAY_MS = 20;
const COUNT_BYTES_MAX = 1_048_576;
/** What answers are made of: they say what was asked. */
const WORDS =
  "river weir 水 water 流れ gate über naïve 🌊 flow tokens and the of measure — 观测 gauge"
    .split(" ");
/** Milliseconds until usage has come to the store, and between two looks. */
const SETTLE_MS_MAX = 60_000;
const LOOK_MS = 250;

/** How many streams, and how many at once. */
export interface StreamLoad {
  readonly streams: number;
  readonly clients: number;
}

/** What one kind of streams has cost. */
export interface Tally {
  readonly streams: number;
  /** Tokens of questions and answers as the weir in front has them. */
  readonly tokensIn: number;
  readonly tokensOut: number;
  /** How many it has marked. */
  readonly estimated: number;
}

/** What was counted of a load. */
export interface StreamCounts {
  readonly whole: Tally;
  readonly left: Tally;
  /** Whole and left streams, as the mock has counted them. */
  readonly mock: { readonly whole: Tally; readonly left: Tally };
  readonly cut: Tally;
  /** Tokens of answers that the clients of left and of cut streams have heard. */
  readonly heard: { readonly left: number; readonly cut: number };
}

type Kind = "whole" | "left" | "cut";

/** The kind of stream number `i`: of ten two are left and one is cut. */
function kindOf(i: number): Kind {
  return i % 10 < 2 ? "left" : i % 10 === 2 ? "cut" : "whole";
}

/** Has two weirs count a load, one behind the other. */
export async function countStreams({ streams, clients }: StreamLoad): Promise<StreamCounts> {
  const upstream = await startWeir(
    WEIR_FROM_SOURCE,
    {
      "auth.token": "up",
      "store.usage": "on",
      "mock.echo": "true",
      "mock.delay_ms": String(DELAY_MS),
      "ops.log": "off",
      "faults.rules": JSON.stringify(CUTS.map((place) => ({
        match: { model: `gpt-4o-cut-${place}` },
        fault: `cut@event=${place}`,
      }))),
    },
    "mock",
    ANY_CORE,
  );
  const front = await startWeir(
    WEIR_FROM_SOURCE,
    {
      "auth.token": "root",
      "keys": JSON.stringify([{ name: "load", token: "load" }]),
      "upstreams": JSON.stringify([
        { name: "up", base_url: `${upstream.origin}/v1`, api_key: "up", retries: 0 },
      ]),
      "routes": JSON.stringify([{ to: ["up"], usage: "ask" }]),
      "ops.log": "off",
    },
    "weir",
    ANY_CORE,
  );
  try {
    const counter = new TokenCounter(COUNT_BYTES_MAX);
    const heard = { left: 0, cut: 0 };
    let next = 0;
    await Promise.all(Array.from({ length: clients }, async () => {
      for (let i = next++; i < streams; i = next++) {
        const kind = kindOf(i);
        const said = await listen(front.origin, kind);
        if (kind !== "whole") heard[kind] += counter.count(said);
      }
    }));
    const counted = await settled(front.origin, "root", streams);
    const own = await settled(upstream.origin, "up", streams);
    const whole = (model: string) => model === "gpt-4o";
    const left = (model: string) => model === "gpt-4o-left";
    return {
      whole: tally(counted, whole),
      left: tally(counted, left),
      mock: { whole: tally(own, whole), left: tally(own, left) },
      cut: tally(counted, (model) => model.startsWith("gpt-4o-cut-")),
      heard,
    };
  } finally {
    await front.stop();
    await upstream.stop();
  }
}

/** Asks for one stream, and gives what was heard of its answer. */
async function listen(origin: string, kind: Kind): Promise<string> {
  const words = Array.from({ length: 20 + random(60) }, () => WORDS[random(WORDS.length)]!);
  const place = CUTS[random(CUTS.length)]!;
  const model = kind === "whole"
    ? "gpt-4o"
    : kind === "left"
    ? "gpt-4o-left"
    : `gpt-4o-cut-${place}`;
  const leaving = new AbortController();
  let rest = kind === "left" ? 1 + random(words.length) : Infinity;
  const wantsUsage = random(2) === 0;
  let said = "";
  let isWhole = false;
  const parser = new SseParser(COUNT_BYTES_MAX);
  try {
    const response = await fetch(`${origin}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: "Bearer load" },
      body: JSON.stringify({
        model,
        stream: true,
        ...(wantsUsage ? { stream_options: { include_usage: true } } : {}),
        messages: [{ role: "user", content: words.join(" ") }],
      }),
      signal: leaving.signal,
    });
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    for await (const bytes of response.body!) {
      for (const { data } of parser.feed(bytes)) {
        if (data === "[DONE]") isWhole = true;
        else said += JSON.parse(data).choices[0]?.delta.content ?? "";
        if (--rest === 0) leaving.abort();
      }
      if (leaving.signal.aborted) break;
    }
  } catch (error) {
    if (kind === "whole") throw error;
  }
  if (kind === "whole" && !isWhole) throw new Error("A stream that nobody has cut is not whole");
  return said;
}

function random(below: number): number {
  return Math.floor(Math.random() * below);
}

type Line = Readonly<Record<string, string | number>>;

/** What a weir tells of usage by model, once it has `streams` requests. */
async function settled(origin: string, token: string, streams: number): Promise<readonly Line[]> {
  const endMs = performance.now() + SETTLE_MS_MAX;
  for (;;) {
    const response = await fetch(`${origin}/__weir/usage?by=model`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const { usage } = await response.json() as { readonly usage: readonly Line[] };
    const { streams: seen } = tally(usage, () => true);
    if (seen >= streams || performance.now() > endMs) return usage;
    await Bun.sleep(LOOK_MS);
  }
}

function tally(lines: readonly Line[], fits: (model: string) => boolean): Tally {
  const sum = (name: string) =>
    lines.filter(({ model }) => fits(String(model)))
      .reduce((total, line) => total + Number(line[name]), 0);
  return {
    streams: sum("requests"),
    tokensIn: sum("tokens_in"),
    tokensOut: sum("tokens_out"),
    estimated: sum("estimated"),
  };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      streams: { type: "string", default: "10000" },
      clients: { type: "string", default: "100" },
    },
  });
  const print = (line: string) => void process.stdout.write(`${line}\n`);
  const counts = await countStreams({
    streams: Number(values.streams),
    clients: Number(values.clients),
  });
  const { whole, left, cut, mock, heard } = counts;
  const tell = (name: string, { streams, tokensIn, tokensOut, estimated }: Tally) =>
    print(`${name}: ${streams} streams, ${tokensIn} + ${tokensOut} tokens, ${estimated} marked`);
  const off = (counted: number, said: number) => `${(100 * (counted / said - 1)).toFixed(2)} %`;
  tell("whole", whole);
  tell("whole, by the mock", mock.whole);
  tell("left", left);
  tell("left, by the mock", mock.left);
  tell("cut", cut);
  print(`left, against the mock: ${off(left.tokensOut, mock.left.tokensOut)}`);
  print(`left, against ${heard.left} heard: ${off(left.tokensOut, heard.left)}`);
  print(`cut, against ${heard.cut} heard: ${off(cut.tokensOut, heard.cut)}`);
}
