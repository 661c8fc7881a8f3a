import { describe, expect, test } from "bun:test";
import type { Step, TimedStep, TokenLogprob } from "../../../src/core/answer.ts";
import { layScript, type StampTexts } from "../../../src/core/frames.ts";
import { Gathering } from "../../../src/core/gathering.ts";
import {
  CompletionLayout,
  completionModel,
  type CompletionOptions,
} from "../../../src/dialects/openai_completions/write_answer.ts";

const ID = "AbCdEfGhIjKlMnOpQrStUvWxYz012";
const STAMPS: StampTexts = ["1764300000", ID];
const HEAD = `data: {"id":"cmpl-${ID}","object":"text_completion","created":1764300000,`;

function likely(token: string, logprob = -0.5): TokenLogprob {
  return { token, logprob, top: [{ token, logprob }, { token: "x", logprob: -2 }] };
}

function layoutOf(options: Partial<CompletionOptions> = {}): CompletionLayout {
  return new CompletionLayout({
    model: "davinci-002",
    prompts: ["Say 🌊"],
    choicesPerPrompt: 1,
    wantsEcho: false,
    logprobCount: undefined,
    wantsUsage: false,
    logprobsOf: (prompt) => prompt.split(/(?= )/).map((token) => likely(token)),
    ...options,
  });
}

function delta(text: string, choice = 0, logprobs?: readonly TokenLogprob[]): Step {
  return { kind: "delta", choice, block: "text", text, ...(logprobs && { logprobs }) };
}

const END: Step = { kind: "end", choice: 0, reason: "length" };

/** What a script of `steps` is on the wire. */
function laid(
  layout: CompletionLayout,
  steps: readonly Step[],
  counts?: readonly [number, number],
) {
  const timed: readonly TimedStep[] = steps.map((step) => ({ ...step, afterMs: 1 }));
  const usage = counts && { promptTokens: counts[0], completionTokens: counts[1] };
  const { bytes } = layScript({ name: "s", steps: timed }, layout, usage);
  return new TextDecoder().decode(bytes).replaceAll(/cmpl-a+/g, `cmpl-${ID}`)
    .replaceAll(/"created":\d+/g, '"created":1764300000');
}

function chunk(choice: string, more = ""): string {
  return `${HEAD}"choices":[{${choice}}],"model":"davinci:2023-07-21-v2"${more}}\n\n`;
}

function text(said: string, finish: string | null = null, index = 0, logprobs = "null"): string {
  return `"text":${JSON.stringify(said)},"index":${index},"logprobs":${logprobs},"finish_reason":${
    JSON.stringify(finish)
  }`;
}

const DONE = "data: [DONE]\n\n";

describe("CompletionLayout, streamed", () => {
  test("the last text says why it ended", () => {
    expect(laid(layoutOf(), [delta("one"), delta(" 水 🌊"), END]))
      .toBe(chunk(text("one")) + chunk(text(" 水 🌊", "length")) + DONE);
  });

  test("so does that of each choice, which come side by side", () => {
    const steps: Step[] = [
      delta("a"),
      delta("b", 1),
      delta("c"),
      delta("d", 1),
      END,
      { kind: "end", choice: 1, reason: "stop" },
    ];
    expect(laid(layoutOf({ choicesPerPrompt: 2 }), steps)).toBe(
      [text("a"), text("b", null, 1), text("c", "length"), text("d", "stop", 1)]
        .map((one) => chunk(one)).join("") + DONE,
    );
  });

  test("where nobody knows what follows, an empty text says it", () => {
    const writer = layoutOf().writer(STAMPS);
    expect([delta("one"), END].map((step) => writer.step(step)).join("") + writer.close())
      .toBe(chunk(text("one")) + chunk(text("", "length")) + DONE);
  });

  test("without a text there is an empty one", () => {
    expect(laid(layoutOf(), [END])).toBe(chunk(text("", "length")) + DONE);
  });

  test("usage is null, and then a chunk of its own with another order", () => {
    expect(laid(layoutOf({ wantsUsage: true }), [delta("one"), END], [5, 1])).toBe(
      chunk(text("one", "length"), ',"usage":null') +
        `${HEAD}"model":"davinci:2023-07-21-v2","usage":{"prompt_tokens":5,"completion_tokens":1,` +
        `"total_tokens":6},"choices":[]}\n\n${DONE}`,
    );
  });

  test("an echo comes first, and alone where nothing follows", () => {
    const layout = layoutOf({ wantsEcho: true, prompts: ["A", "B"] });
    const steps: Step[] = [delta("one"), END, { kind: "end", choice: 1, reason: "length" }];
    expect(laid(layout, steps)).toBe(
      chunk(text("A")) + chunk(text("one", "length")) + chunk(text("B", "length", 1)) + DONE,
    );
  });

  test("log probabilities stand behind the prompt, each at its place", () => {
    const steps = [delta("one", 0, [likely("one")]), delta(" 🌊", 0, [likely(" 🌊", -3)]), END];
    const first =
      '{"tokens":["one"],"token_logprobs":[-0.5],"top_logprobs":[{"one":-0.5}],"text_offset":[5]}';
    const second =
      '{"tokens":[" 🌊"],"token_logprobs":[-3],"top_logprobs":[{" 🌊":-3}],"text_offset":[8]}';
    expect(laid(layoutOf({ logprobCount: 1 }), steps)).toBe(
      chunk(text("one", null, 0, first)) + chunk(text(" 🌊", "length", 0, second)) + DONE,
    );
  });

  test("a call, reasoning and what else it has no word for is not said, a refusal is", () => {
    const steps: Step[] = [
      { kind: "delta", choice: 0, block: "reasoning", text: "hm" },
      { kind: "call", choice: 0, index: 0, id: "c", name: "f" },
      { kind: "arguments", choice: 0, index: 0, text: "{}" },
      { kind: "delta", choice: 0, block: "refusal", text: "no" },
      { kind: "end", choice: 0, reason: "tool_calls" },
    ];
    expect(laid(layoutOf(), steps)).toBe(chunk(text("no", "stop")) + DONE);
  });
});

describe("CompletionLayout, whole", () => {
  function whole(layout: CompletionLayout, steps: readonly Step[]) {
    const said = new Gathering();
    for (const step of steps) said.add(step);
    const body = layout.whole(said, STAMPS);
    expect(body).toBe(`${JSON.stringify(JSON.parse(body), null, 2)}\n`);
    return JSON.parse(body) as { readonly choices: readonly Record<string, unknown>[] };
  }

  test("has the keys in the API's order, and no details of usage", () => {
    const usage = { promptTokens: 5, completionTokens: 1, reasoningTokens: 7 };
    const body = whole(layoutOf(), [delta("one"), END, { kind: "usage", usage }]);
    expect(JSON.stringify(body)).toBe(
      `{"id":"cmpl-${ID}","object":"text_completion","created":1764300000,` +
        `"model":"davinci:2023-07-21-v2","choices":[{${text("one", "length")}}],` +
        `"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}`,
    );
  });

  test("echoes each prompt to its choices, with what is told of its tokens", () => {
    const layout = layoutOf({
      prompts: ["a b", "🌊"],
      choicesPerPrompt: 2,
      wantsEcho: true,
      logprobCount: 2,
    });
    const steps = [0, 1, 2, 3].flatMap((choice): Step[] => [
      delta("!", choice, [likely("!")]),
      { kind: "end", choice, reason: "stop" },
    ]);
    const { choices } = whole(layout, steps);
    expect(choices.map((choice) => choice["text"])).toEqual(["a b!", "a b!", "🌊!", "🌊!"]);
    expect(choices[1]!["logprobs"]).toEqual({
      tokens: ["a", " b", "!"],
      token_logprobs: [null, -0.5, -0.5],
      top_logprobs: [null, { " b": -0.5, x: -2 }, { "!": -0.5, x: -2 }],
      text_offset: [0, 1, 3],
    });
    expect(choices[3]!["logprobs"]).toMatchObject({ text_offset: [0, 1] });
  });

  test("tells only what was said where no likely tokens are wanted", () => {
    const [choice] =
      whole(layoutOf({ logprobCount: 0 }), [delta("!", 0, [likely("!")]), END]).choices;
    expect(choice!["logprobs"]).toEqual({
      tokens: ["!"],
      token_logprobs: [-0.5],
      top_logprobs: null,
      text_offset: [5],
    });
  });

  test("tells nothing where the source does not", () => {
    const { choices: [choice] } = whole(layoutOf({ logprobCount: 1 }), [delta("!"), END]);
    expect(choice!["logprobs"]).toBeNull();
  });
});

describe("CompletionLayout.key", () => {
  test("differs with all that stands in the answer, and holds no prompt", () => {
    const options: readonly Partial<CompletionOptions>[] = [
      {},
      { model: "x" },
      { wantsUsage: true },
      { wantsEcho: true },
      { wantsEcho: true, prompts: ["b"] },
      { wantsEcho: true, prompts: ["a", "b"] },
      { logprobCount: 1 },
      { logprobCount: 1, prompts: ["longer than the other"] },
    ];
    const layouts = options.map((one) => layoutOf(one));
    expect(new Set(layouts.map(({ key }) => key)).size).toBe(options.length);
    expect(layouts.map(({ isForOne }) => isForOne)).toEqual(options.map((_, i) => i > 2));
    expect(layoutOf({ prompts: ["x".repeat(1_000_000)], wantsEcho: true }).key.length)
      .toBeLessThan(200);
    expect(layoutOf({ prompts: ["other"] }).key).toBe(layouts[0]!.key);
  });
});

test("completionModel() knows the names that base models answer with", () => {
  expect(["davinci-002", "gpt-3.5-turbo-instruct", "constructor", "llama"].map(completionModel))
    .toEqual([
      "davinci:2023-07-21-v2",
      "gpt-3.5-turbo-instruct:20230824-v2",
      "constructor",
      "llama",
    ]);
});
