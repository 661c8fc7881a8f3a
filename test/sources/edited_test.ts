import { describe, expect, test } from "bun:test";
import type { Ask, Source } from "../../src/core/answer.ts";
import { Exchange } from "../../src/core/exchange.ts";
import type { Turn } from "../../src/core/turn.ts";
import { Fields } from "../../src/lib/http1/fields.ts";
import { edited, type Edits } from "../../src/sources/edited.ts";
import { makeEngine, TURN } from "./upstream/rig.ts";

/** What a source behind `edits` is asked. */
async function asked(
  edits: Edits,
  body: string | Uint8Array | null,
  turn: Turn = TURN,
  type = "application/json",
) {
  let seen: Ask | undefined;
  const inner: Source = {
    name: "inner",
    answer(ask) {
      seen = ask;
      return { kind: "script", script: { name: "s", steps: [] }, model: "m" };
    },
  };
  const bytes = body === null ? null : new Uint8Array(Buffer.from(body));
  const fields = Fields.of([["content-type", type]]);
  const wire = { dialect: "openai_chat", method: "POST", path: "/x", fields, body: bytes } as const;
  const ask: Ask = { model: () => turn.model, turn: () => turn, wire, cutsAfterBlank: true };
  const call = new Exchange(makeEngine(), "test", { method: "POST" });
  await edited(inner, edits).answer(ask, call);
  return { ask: seen!, bytes: seen!.wire!.body, isSame: seen!.wire!.body === bytes };
}

const EDITS: Edits = {
  rename: { "gpt-4o": "水/llama", "o3*": "big" },
  params_set: { temperature: 0.5, user: "weir" },
  params_remove: ["logit_bias"],
  params_max: { max_tokens: 100, n: 2 },
  params_min: { n: 1 },
};

/** What is asked → what goes up. */
const BODIES: readonly (readonly [Edits, string, string])[] = [
  [EDITS, "{}", '{"temperature":0.5,"user":"weir"}'],
  [
    EDITS,
    '{ "model" : "gpt-4o",\n\t"x":[1.0, 2e1, "\\u6c34 水 🌊"], "temperature":1.0 , "user": "u" }',
    '{ "model" : "水/llama",\n\t"x":[1.0, 2e1, "\\u6c34 水 🌊"], "temperature":0.5 , "user": "weir" }',
  ],
  // Some servers have no regard for the case of a name.
  [
    { params_max: { max_tokens: 100 }, params_remove: ["user"], params_set: { n: 1 } },
    '{"Max_Tokens":999,"User":"u","USER":"v","N":7}',
    '{"Max_Tokens":100,"N":1,"n":1}',
  ],
  [{ rename: { a: "m" } }, '{"Model":"a"}', '{"Model":"m"}'],
  [{ params_remove: ["a"], params_set: { b: 1, c: "水" } }, '{"a":1}', '{"b":1,"c":"水"}'],
  [
    { rename: { "*": "m" } },
    '{"model":"a","model":"b","x":{"model":"c"}}',
    '{"model":"m","model":"m","x":{"model":"c"}}',
  ],
  [{ rename: { "gpt-4o": "m" } }, '{"model":"\\u0067pt-4o"}', '{"model":"m"}'],
  [{ rename: { "水*": "m" } }, '{"model":"水流"}', '{"model":"m"}'],
  [{ rename: { "*": "m" } }, '{"model":""}', '{"model":""}'],
  [{ params_remove: ["a", "b"] }, '{"a":{"a":1}, "c":[{"a":1}], "b":2}', '{"c":[{"a":1}]}'],
  [{ params_max: { max_tokens: 100 } }, '{"max_tokens":1000}', '{"max_tokens":100}'],
  [
    { params_max: { max_tokens: 100 } },
    '{"max_tokens":null,"max_completion_tokens":1000}',
    '{"max_tokens":null,"max_completion_tokens":1000}',
  ],
  [{ params_max: { n: 2 }, params_min: { n: 1 } }, '{"n":0}', '{"n":1}'],
  [
    { params_set: { stream: false } },
    '{"stream":true,"stream":1}',
    '{"stream":false,"stream":false}',
  ],
];

describe("edited()", () => {
  for (const [edits, body, expected] of BODIES) {
    test(`${body} becomes ${expected}`, async () => {
      const { bytes, isSame } = await asked(edits, body);
      // A blank may stay beside what was taken away.
      const text = Buffer.from(bytes!).toString();
      if (edits.params_remove === undefined) expect(text).toBe(expected);
      expect(JSON.parse(text)).toEqual(JSON.parse(expected));
      expect(isSame).toBe(body === expected);
    });
  }

  test("bytes that are no UTF-8, and a byte order mark, stay as they are", async () => {
    const body = Buffer.concat([
      Buffer.from('\ufeff{"a":"'),
      Buffer.from([0xff, 0xfe, 0xe6]),
      Buffer.from('","model":"gpt-4o"}'),
    ]);
    const { bytes } = await asked({ rename: { "gpt-4o": "m" } }, body);
    const expected = Buffer.from(body.toString("latin1").replace("gpt-4o", "m"), "latin1");
    expect(Buffer.from(bytes!).equals(expected)).toBe(true);
  });

  for (
    const body of [
      null,
      "",
      "no JSON",
      "[1]",
      '"x"',
      "null",
      '{"model":"other","temperature":0.5,"user":"weir"}',
    ]
  ) {
    test(`${body} goes up as it is`, async () => {
      expect((await asked(EDITS, body)).isSame).toBe(true);
    });
  }

  test("a turn is edited as its bytes are", async () => {
    const turn: Turn = {
      ...TURN,
      tokensMax: 500,
      params: { logit_bias: {}, temperature: 2, seed: 1, n: 9 },
    };
    const { ask } = await asked(EDITS, "{}", turn);
    expect([ask.model(), ask.cutsAfterBlank]).toEqual(["水/llama", true]);
    expect(ask.turn()).toEqual({
      ...turn,
      model: "水/llama",
      tokensMax: 100,
      params: { temperature: 0.5, seed: 1, n: 2, user: "weir" },
    });
    expect(ask.turn()).toBe(ask.turn());
  });

  test("a bound adds no limit that was not there, and a set value does", async () => {
    const turn: Turn = { ...TURN, tokensMax: undefined };
    const bounded = await asked({ params_max: { max_tokens: 5 } }, "{}", turn);
    expect(bounded.ask.turn().tokensMax).toBeUndefined();
    const set = await asked({ params_set: { max_output_tokens: 5 } }, "{}", turn);
    expect(set.ask.turn().tokensMax).toBe(5);
  });

  test("a form is refused: it would go up unchanged", async () => {
    const asking = asked(EDITS, "--x", TURN, "multipart/form-data; boundary=x");
    await expect(asking).rejects.toMatchObject({ code: "request_invalid" });
  });

  test("one that nests too deep is refused", async () => {
    const body = `{"a":${"[".repeat(5000)}${"]".repeat(5000)}}`;
    await expect(asked(EDITS, body)).rejects.toMatchObject({ code: "request_invalid" });
  });

  test("without edits there is no wrapper", () => {
    const source: Source = { name: "s", answer: () => Promise.reject(new Error()) };
    expect(edited(source, {})).toBe(source);
  });
});
