/** Fixtures of tapes say what the tapes say, in every dialect that weir speaks to upstreams. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { launch, makeFolder, run, TEST_MS_MAX, waitFor } from "./launch.ts";

setDefaultTimeout(TEST_MS_MAX);

const TEXT = "你好 🌊, as it was recorded";
const VECTOR = { model: "text-embedding-3-small", dimensions: 8 };
const messages = (content: string) => [{ role: "user", content }];

/** Path, question, what of the answer is compared: its words, without ids and times. */
const QUESTIONS: readonly (readonly [path: string, body: object, words: RegExp])[] = [
  ["/v1/chat/completions", { model: "gpt-4o", messages: messages("one") }, /"content":"[^"]*"/g],
  [
    "/v1/chat/completions",
    { model: "gpt-4o", messages: messages("two"), stream: true },
    /"content":"[^"]*"/g,
  ],
  ["/v1/responses", { model: "gpt-4o", input: "three" }, /"text": ?"[^"]*"/g],
  ["/v1/responses", { model: "gpt-4o", input: "four", stream: true }, /"text":"[^"]*"/g],
  [
    "/v1/messages",
    { model: "claude-sonnet-4-5", max_tokens: 99, messages: messages("five") },
    /"text":"[^"]*"/g,
  ],
  [
    "/v1/messages",
    { model: "claude-sonnet-4-5", max_tokens: 99, messages: messages("six"), stream: true },
    /"text":"[^"]*"/g,
  ],
  ["/v1/completions", { model: "gpt-3.5-turbo-instruct", prompt: "seven" }, /"text":"[^"]*"/g],
  [
    "/v1/completions",
    { model: "gpt-3.5-turbo-instruct", prompt: "eight", stream: true },
    /"text":"[^"]*"/g,
  ],
  ["/v1/embeddings", { ...VECTOR, input: "nine" }, /"embedding": ?\[[^\]]*\]/g],
  ["/v1/moderations", { input: "ten" }, /"flagged": ?\w+/g],
];

async function wordsOf(url: string): Promise<readonly string[]> {
  const words: string[] = [];
  for (const [path, body, expression] of QUESTIONS) {
    const response = await fetch(url + path, {
      method: "POST",
      headers: { "content-type": "application/json", "anthropic-version": "2023-06-01" },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    expect(response.status, `${path}: ${text}`).toBe(200);
    words.push((text.match(expression) ?? []).join("").replaceAll(/": /g, '":'));
  }
  return words;
}

test("every dialect", async () => {
  const folder = makeFolder();
  const out = join(makeFolder(), "taped.yaml");
  const upstream = await launch({ set: { "mock.reply": TEXT, "mock.delay_ms": 3 } });
  const recorder = await launch({
    set: {
      "tape.folder": folder,
      "tape.mode": "record",
      "llm.base_url": `${upstream.url}/v1`,
      "llm.speaks": '["openai_chat","openai_responses","anthropic_messages"]',
    },
  });
  const recorded = await wordsOf(recorder.url);
  await waitFor(() =>
    readdirSync(folder).filter((name) => name.endsWith(".tape.jsonl")).length === QUESTIONS.length
  );
  await recorder.stop();
  await upstream.stop();
  const made = await run(["tape", "fixture", folder, "--out", out]);
  expect(made.errors).toBe(
    `weir: ${QUESTIONS.length} fixtures of ${QUESTIONS.length} recordings, 0 not taken: ${out}\n`,
  );
  expect(made.code).toBe(0);
  const { fixtures } = parse(readFileSync(out, "utf8")) as {
    readonly fixtures: readonly { readonly recordedTimings?: { readonly ttftMs: number } }[];
  };
  // Conversations have times; vectors and judgements come at once.
  const timed = fixtures.filter(({ recordedTimings }) => recordedTimings !== undefined);
  expect(timed).toHaveLength(QUESTIONS.length - 2);

  const player = await launch({
    set: { "mock.reply": "something else", "mock.strict": true },
    args: ["--fixtures", out],
  });
  expect(await wordsOf(player.url)).toEqual(recorded);
  await player.stop();
});
