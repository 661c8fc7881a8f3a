import { describe, expect, test } from "bun:test";
import { parseApiChat } from "../../../src/dialects/content_events/request.ts";
import { Unprocessable, unprocessableAnswer } from "../../../src/dialects/detail/unprocessable.ts";

const HELLO = [{ role: "user", content: "你好 🌊" }];

describe("parseApiChat()", () => {
  test("takes the README's body, and passes on what it has no place for", () => {
    const body = {
      messages: HELLO,
      model: "gpt-4o",
      temperature: 0.7,
      max_tokens: 5,
      stop: ["a", ""],
      stream: false,
      n: 3,
      seed: 7,
      top_p: null,
    };
    expect(parseApiChat(body, "usual")).toMatchObject({
      model: "gpt-4o",
      messages: HELLO,
      isStream: true,
      choiceCount: 1,
      tokensMax: 5,
      stop: ["a"],
    });
    expect({ ...parseApiChat(body, "usual").params }).toEqual({ temperature: 0.7, seed: 7 });
  });

  for (const model of [undefined, null, ""]) {
    test(`answers with the usual model for ${JSON.stringify(model)}`, () => {
      expect(parseApiChat({ messages: HELLO, model }, "usual").model).toBe("usual");
    });
  }

  test("takes a key named __proto__ as a plain key", () => {
    const body = JSON.parse(`{"messages":[{"role":"user","content":"x"}],"__proto__":{"a":1}}`);
    const { params } = parseApiChat(body, "usual");
    expect(Object.keys(params)).toEqual(["__proto__"]);
    expect((params as { readonly a?: number }).a).toBeUndefined();
  });

  /** body → the one fault, as FastAPI would say it. */
  const faults: readonly (readonly [string, unknown, Record<string, unknown>])[] = [
    ["no messages", {}, {
      type: "missing",
      loc: ["body", "messages"],
      msg: "Field required",
      input: {},
    }],
    ["messages that are text", { messages: "x" }, {
      type: "list_type",
      loc: ["body", "messages"],
      msg: "Input should be a valid list",
      input: "x",
    }],
    ["no message", { messages: [] }, {
      type: "too_short",
      loc: ["body", "messages"],
      msg: "List should have at least 1 item after validation, not 0",
      input: [],
      ctx: { field_type: "List", min_length: 1, actual_length: 0 },
    }],
    ["a message that is a number", { messages: [1] }, {
      type: "model_attributes_type",
      loc: ["body", "messages", 0],
      msg: "Input should be a valid dictionary or object to extract fields from",
      input: 1,
    }],
    ["a message without content", { messages: [{ role: "user" }] }, {
      type: "missing",
      loc: ["body", "messages", 0, "content"],
      msg: "Field required",
      input: { role: "user" },
    }],
    ["content null", { messages: [{ role: "user", content: null }] }, {
      type: "string_type",
      loc: ["body", "messages", 0, "content"],
      msg: "Input should be a valid string",
      input: null,
    }],
    ["a part without its type", { messages: [{ role: "user", content: [{}] }] }, {
      type: "missing",
      loc: ["body", "messages", 0, "content", 0, "type"],
      msg: "Field required",
      input: {},
    }],
    ["temperature 3", { messages: HELLO, temperature: 3 }, {
      type: "less_than_equal",
      loc: ["body", "temperature"],
      msg: "Input should be less than or equal to 2",
      input: 3,
      ctx: { le: 2 },
    }],
    ["temperature -1", { messages: HELLO, temperature: -1 }, {
      type: "greater_than_equal",
      loc: ["body", "temperature"],
      msg: "Input should be greater than or equal to 0",
      input: -1,
      ctx: { ge: 0 },
    }],
    ["temperature as text", { messages: HELLO, temperature: "hot" }, {
      type: "float_type",
      loc: ["body", "temperature"],
      msg: "Input should be a valid number",
      input: "hot",
    }],
    ["max_tokens 1.5", { messages: HELLO, max_tokens: 1.5 }, {
      type: "int_from_float",
      loc: ["body", "max_tokens"],
      msg: "Input should be a valid integer, got a number with a fractional part",
      input: 1.5,
    }],
    ["five stops", { messages: HELLO, stop: ["a", "b", "c", "d", "e"] }, {
      type: "too_long",
      loc: ["body", "stop"],
      msg: "List should have at most 4 items after validation, not 5",
      input: ["a", "b", "c", "d", "e"],
      ctx: { field_type: "List", max_length: 4, actual_length: 5 },
    }],
    ["null", null, {
      type: "model_attributes_type",
      loc: ["body"],
      msg: "Input should be a valid dictionary or object to extract fields from",
      input: null,
    }],
  ];
  for (const [name, body, fault] of faults) {
    test(`refuses ${name} in FastAPI's words`, () => {
      let thrown: unknown;
      try {
        parseApiChat(body, "usual");
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(Unprocessable);
      const { status, body: told } = unprocessableAnswer(thrown as Unprocessable);
      expect(status).toBe(422);
      expect(JSON.parse(told as string)).toEqual({ detail: [fault] });
    });
  }

  test("tells a bounded number of faults, and repeats no large input", () => {
    const body = { messages: Array.from({ length: 5000 }, () => ({ role: "x".repeat(1000) })) };
    let thrown: unknown;
    try {
      parseApiChat(body, "usual");
    } catch (error) {
      thrown = error;
    }
    const text = unprocessableAnswer(thrown as Unprocessable).body as string;
    expect(JSON.parse(text).detail).toHaveLength(100);
    expect(text.length).toBeLessThan(20_000);
  });
});
