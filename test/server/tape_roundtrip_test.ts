/**
 * What a client sees while weir records is what another client sees when another weir replays: the
 * same bytes in the same pieces, none before its time. Recorded from a mock that nobody here wrote,
 * from weir itself, and from a script of raw bytes.
 *
 * Nothing here asserts that a machine is fast: of times, only that nothing comes too early.
 */

import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { readTape, type Tape } from "../../src/sources/tape/format.ts";
import { launchAimock } from "./aimock.ts";
import {
  launch,
  type LaunchOptions,
  makeFolder,
  run,
  TEST_MS_MAX,
  waitFor,
  type Weir,
} from "./launch.ts";
import { connect, parseRaw, rawChat } from "./raw_client.ts";
import { act, chunk, scriptedUpstream, sseHead } from "./scripted_upstream.ts";
import { timedExchange, type TimedResponse } from "./timed_client.ts";

setDefaultTimeout(TEST_MS_MAX);

const TEXT = "你好 🌊, every piece of this answer comes when it came before";
/** A timer may fire this much before its time. */
const EARLY_MS = 1.5;
const KEY = "sk-taped-0123456789abcdef";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function weir(
  set: LaunchOptions["set"],
  more: Omit<LaunchOptions, "set"> = {},
): Promise<Weir> {
  const weir = await launch({ ...more, set: { "ops.log": "off", ...set } });
  open.push(() => weir.stop());
  return weir;
}

const recorder = (folder: string, url: string, more: LaunchOptions["set"] = {}) =>
  weir({
    "tape.folder": folder,
    "tape.mode": "record",
    "llm.base_url": `${url}/v1`,
    "llm.api_key": KEY,
    ...more,
  });

/** It has no upstream, and no key. */
const player = (folder: string, more: LaunchOptions["set"] = {}) =>
  weir({ "tape.folder": folder, "tape.mode": "strict", ...more });

function body(content: string, more: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content }], ...more });
}

const ask = (port: number, text: string) =>
  timedExchange(
    port,
    rawChat(text, ["Connection: close", "Authorization: Bearer client-0123456789"]),
  );

/** The tapes in `folder`, as soon as there are `count`. */
async function tapesIn(folder: string, count: number): Promise<readonly Tape[]> {
  const names = await waitFor(() => {
    const names = readdirSync(folder).filter((name) => name.endsWith(".tape.jsonl")).sort();
    return names.length >= count && names;
  }, `${count} tapes in ${folder}`);
  return names.map((name) => readTape(readFileSync(join(folder, name))));
}

/** How many tapes a weir has noted as replayed. */
function replayedIn(folder: string): number {
  const file = join(folder, ".replayed");
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0;
}

/** Nothing in the folder may be secret. */
async function expectClean(folder: string): Promise<void> {
  const words = ["tape", "check", folder, "--set", `llm.api_key=${KEY}`];
  expect(await run(words)).toMatchObject({ code: 0, errors: "" });
  for (const name of readdirSync(folder)) {
    expect(readFileSync(join(folder, name), "utf8")).not.toMatch(/sk-taped|client-0123/);
  }
}

/** `replayed` has the body of `recorded`, in the pieces of `tape`, none of them before its time. */
function expectSame(recorded: TimedResponse, tape: Tape, replayed: TimedResponse): void {
  expect(replayed.status).toBe(recorded.status);
  expect(replayed.isWhole).toBe(recorded.isWhole);
  expect(replayed.body.toString()).toBe(recorded.body.toString());
  if (replayed.chunks.length === 0) return;
  expect(replayed.pieces.map(({ bytes }) => bytes.toString("base64"))).toEqual(
    tape.reads.map(({ bytes }) => Buffer.from(bytes).toString("base64")),
  );
  for (const [at, { ms }] of replayed.pieces.entries()) {
    expect(ms).toBeGreaterThanOrEqual(tape.reads[at]!.atUs / 1000 - EARLY_MS);
  }
}

describe("recorded from aimock, replayed without it", () => {
  const FIXTURES = [
    { match: { userMessage: "slow" }, response: { content: TEXT }, chunkSize: 4, latency: 25 },
    { match: { userMessage: "whole" }, response: { content: TEXT } },
    {
      match: { userMessage: "busy" },
      response: { error: { message: "不行", type: "rate_limit_error" }, status: 429 },
    },
  ];
  const QUESTIONS = [
    body("slow", { stream: true }),
    body("whole"),
    body("busy"),
  ];

  test("a raw client sees the same bytes at the same times", async () => {
    const aimock = await launchAimock(FIXTURES);
    open.push(() => aimock.stop());
    const folder = makeFolder();
    const { port, stop } = await recorder(folder, aimock.url, { "llm.retries": 0 });
    const recorded: TimedResponse[] = [];
    for (const question of QUESTIONS) recorded.push(await ask(port, question));
    const tapes = await tapesIn(folder, QUESTIONS.length);
    await stop();
    await aimock.stop();
    await expectClean(folder);
    expect(recorded.map(({ status }) => status)).toEqual([200, 200, 429]);
    expect(recorded[0]!.pieces.length).toBeGreaterThan(5);
    const again = await player(folder);
    for (const [at, question] of QUESTIONS.entries()) {
      expectSame(recorded[at]!, tapes[at]!, await ask(again.port, question));
    }
    await waitFor(() => replayedIn(folder) === QUESTIONS.length);
    expect(await run(["tape", "prune", folder, "--unused"])).toMatchObject({
      code: 0,
      output: "removed 0 files of 3, 0 B\n",
    });
    // What weir wrote down is what the client of the recording saw, or earlier by its way through weir.
    for (const [at, { ms }] of recorded[0]!.pieces.entries()) {
      expect(ms).toBeGreaterThanOrEqual(tapes[0]!.reads[at]!.atUs / 1000 - EARLY_MS);
    }
  });

  test("the official client records and replays", async () => {
    const aimock = await launchAimock(FIXTURES);
    open.push(() => aimock.stop());
    const folder = makeFolder();
    // Without a key of weir's own, the client's goes up.
    const first = await recorder(folder, aimock.url, { "llm.api_key": "" });
    const recorded = await converse(first.url);
    await tapesIn(folder, 4);
    await first.stop();
    await aimock.stop();
    await expectClean(folder);
    const second = await player(folder, { "tape.speed": 0 });
    const replayed = await converse(second.url);
    expect(replayed).toEqual(recorded);
    expect(replayed.streamed).toBe(TEXT);
    expect(replayed.whole.choices[0]!.message.content).toBe(TEXT);
    expect(replayed.output).toBe(TEXT);
    expect(replayed.events.at(-1)).toBe("response.completed");
  });

  async function converse(url: string) {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "client-0123456789", maxRetries: 0 });
    const messages = (content: string) => [{ role: "user" as const, content }];
    const stream = await client.chat.completions.create({
      model: "gpt-4o",
      messages: messages("slow"),
      stream: true,
    });
    let streamed = "";
    const ids = new Set<string>();
    for await (const { id, choices } of stream) {
      ids.add(id);
      streamed += choices[0]?.delta.content ?? "";
    }
    const whole = await client.chat.completions.create({
      model: "gpt-4o",
      messages: messages("whole"),
    });
    const events: string[] = [];
    for await (
      const event of await client.responses.create({ model: "gpt-4o", input: "slow", stream: true })
    ) {
      events.push(event.type === "response.output_text.delta" ? event.delta : event.type);
    }
    const response = await client.responses.create({ model: "gpt-4o", input: "whole" });
    return { streamed, ids: [...ids], whole, events, output: response.output_text };
  }
});

describe("recorded from weir itself", () => {
  test("streams and whole answers come again, byte for byte and not before their time", async () => {
    const folder = makeFolder();
    const upstream = await weir({
      "mock.reply": TEXT,
      "mock.delay_ms": 20,
      "mock.first_token_ms": 60,
    });
    const first = await recorder(folder, upstream.url);
    const questions = [
      body("one", { stream: true }),
      body("two"),
      body("three", { stream: true, stream_options: { include_usage: true } }),
    ];
    const recorded = await Promise.all(questions.map((question) => ask(first.port, question)));
    const tapes = await tapesIn(folder, questions.length);
    await first.stop();
    await upstream.stop();
    const second = await player(folder);
    const replayed = await Promise.all(questions.map((question) => ask(second.port, question)));
    for (const [at, question] of questions.entries()) {
      const tape = tapes.find(({ request }) => Buffer.from(request.body).toString() === question)!;
      expectSame(recorded[at]!, tape, replayed[at]!);
    }
    expect(recorded[0]!.pieces.length).toBeGreaterThan(5);
  });

  test("two workers record, and two others replay", async () => {
    const folder = makeFolder();
    const upstream = await weir({ "mock.reply": TEXT, "mock.delay_ms": 5 });
    const first = await recorder(folder, upstream.url, { "server.workers": 2 });
    const questions = Array.from({ length: 24 }, (_, i) => body(`${i}`, { stream: i % 2 === 0 }));
    const recorded = await Promise.all(questions.map((question) => ask(first.port, question)));
    const tapes = await tapesIn(folder, questions.length);
    expect(tapes).toHaveLength(questions.length);
    expect(readdirSync(folder).filter((name) => name.endsWith(".partial"))).toEqual([]);
    expect(new Set(tapes.map(({ request }) => Buffer.from(request.body).toString())))
      .toEqual(new Set(questions));
    await first.stop();
    await upstream.stop();
    await expectClean(folder);
    const second = await player(folder, { "server.workers": 2, "tape.speed": 0 });
    for (let round = 0; round < 2; round++) {
      const replayed = await Promise.all(questions.map((question) => ask(second.port, question)));
      expect(replayed.map(({ body }) => body.toString()))
        .toEqual(recorded.map(({ body }) => body.toString()));
    }
  });
});

describe("recorded from raw bytes", () => {
  test("pieces that cut characters and lines come in the same pieces; no end is made up", async () => {
    const folder = makeFolder();
    const bytes = Buffer.from(`data: {"choices":[{"index":0,"delta":{"content":"你好🌊"}}]}\n\n`);
    const cuts = [3, bytes.indexOf("好") + 1, bytes.indexOf("🌊") + 2, bytes.length];
    const gates = cuts.map(() => Promise.withResolvers<void>());
    const upstream = scriptedUpstream(() => [
      act.send(sseHead()),
      ...cuts.flatMap((cut, at) => [
        act.send(chunk(bytes.subarray(cuts[at - 1] ?? 0, cut))),
        act.wait(gates[at]!.promise),
      ]),
      act.end, // without [DONE], and without HTTP's end
    ]);
    open.push(() => upstream.close());
    const first = await recorder(folder, upstream.url, {
      "llm.retries": 0,
      "server.keepalive_ms": 0,
    });
    const request = rawChat(body("raw", { stream: true }), ["Connection: close"]);
    const client = await connect(first.port, request);
    for (const [at, gate] of gates.entries()) {
      // Each is a read of its own: the next one leaves when the client has it.
      await waitFor(() => parseRaw(client.received()).chunks.length === at + 1);
      gate.resolve();
    }
    const recorded = parseRaw(await client.closed);
    const [tape] = await tapesIn(folder, 1) as [Tape];
    expect(tape.ending.how).toBe("upstream_broke");
    expect(tape.reads.map(({ bytes }) => bytes.length)).toEqual(
      cuts.map((cut, at) => cut - (cuts[at - 1] ?? 0)),
    );
    await first.stop();
    upstream.close();
    const second = await player(folder, { "server.keepalive_ms": 0 });
    const replayed = await ask(second.port, body("raw", { stream: true }));
    expect(replayed.body.toString()).toBe(recorded.body.toString());
    expect(replayed.isWhole).toBe(recorded.isWhole);
    expect(replayed.body.toString()).not.toContain("[DONE]");
  });
});
