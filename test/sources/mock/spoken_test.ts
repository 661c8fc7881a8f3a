import { describe, expect, test } from "bun:test";
import { askOf, type EndReason } from "../../../src/core/answer.ts";
import { Gathering } from "../../../src/core/gathering.ts";
import { EMPTY_TURN, type Turn } from "../../../src/core/turn.ts";
import { Mock, type MockOptions } from "../../../src/sources/mock/mock.ts";
import { TokenCounters } from "../../../src/sources/tokens.ts";

const TOKENS = new TokenCounters(65_536);

async function said(options: Partial<MockOptions>, turn: Partial<Turn>) {
  const mock = new Mock({
    ...{ reply: "powered by openai", first_token_ms: 0, delay_ms: 0, chunks: "word" },
    ...{ tools: "forced", models: [] },
    ...options,
  }, TOKENS);
  const answer = await mock.answer(
    askOf({ ...EMPTY_TURN, model: "gpt-4o", wantsUsage: true, ...turn }),
  );
  if (answer.kind !== "script") throw new Error(answer.kind);
  const gathering = new Gathering();
  for (const step of answer.script.steps) gathering.add(step);
  const [{ text, reason }] = gathering.choices as [Gathering["choices"][number]];
  return { text, reason, tokens: answer.usage!.completionTokens };
}

const user = (content: unknown) => ({ messages: [{ role: "user", content }] });

describe("mock.echo", () => {
  test("says what the user has said last", async () => {
    const messages = [
      { role: "user", content: "one" },
      { role: "assistant", content: "two" },
      { role: "user", content: [{ type: "text", text: "Hello 🌊 there" }] },
      { role: "tool", content: "four" },
    ];
    expect(await said({ echo: true }, { messages })).toMatchObject({
      text: "Hello 🌊 there",
      reason: "stop",
    });
  });

  test("says its reply to who has said nothing", async () => {
    expect((await said({ echo: true }, { messages: [] })).text).toBe("powered by openai");
  });

  test("keeps to the limits of a turn", async () => {
    const { text, reason, tokens } = await said({ echo: true }, {
      ...user("one two three four"),
      tokensMax: 2,
    });
    expect({ text, reason, tokens }).toEqual({ text: "one two", reason: "length", tokens: 2 });
    expect((await said({ echo: true }, { ...user("one two"), stop: [" two"] })).text).toBe("one");
  });

  test("one text is not taken for another of its length", () => {
    const mock = new Mock({
      ...{ reply: "r", first_token_ms: 0, delay_ms: 0, chunks: "word", tools: "forced" },
      ...{ models: [], echo: true },
    }, TOKENS);
    const texts = ["abc", "xyz", "abc"].map((content) => {
      const answer = mock.answer(askOf({ ...EMPTY_TURN, ...user(content) }));
      const [step] = answer.kind === "script" ? answer.script.steps : [];
      return step?.kind === "delta" ? step.text : undefined;
    });
    expect(texts).toEqual(["abc", "xyz", "abc"]);
  });

  test("is what a custom tool and a model of reasoning say, too", async () => {
    expect((await said({ echo: true }, { ...user("Think!"), model: "o3" })).text).toBe("Think!");
  });

  test("a text of too many words is refused", async () => {
    await expect(said({ echo: true }, user("a ".repeat(70_000)))).rejects.toThrow("are the most");
  });
});

describe("mock.lorem", () => {
  const rows: readonly (readonly [string, Partial<Turn>, number, EndReason])[] = [
    ["as many as the config says", user("Hi"), 40, "stop"],
    ["as many as the user wants", user("Please, lorem:7 of them"), 7, "stop"],
    ["as many as a turn lets it", { ...user("Hi"), tokensMax: 12 }, 12, "length"],
    [
      "the user's number, within the turn's limit",
      { ...user("lorem:30"), tokensMax: 9 },
      9,
      "length",
    ],
    ["many", user("lorem:3000"), 3000, "stop"],
    ["in another encoding", { ...user("lorem:333"), model: "gpt-3.5-turbo" }, 333, "stop"],
  ];
  for (const [name, turn, count, reason] of rows) {
    test(name, async () => {
      const heard = await said({ lorem: 40 }, turn);
      expect([heard.tokens, heard.reason]).toEqual([count, reason]);
      expect(heard.text).toStartWith("Lorem ipsum");
    });
  }

  test("0: the marker means nothing", async () => {
    expect((await said({}, user("lorem:7"))).text).toBe("powered by openai");
  });
});
