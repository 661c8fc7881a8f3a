import { describe, expect, test } from "bun:test";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { modelNamed } from "../../../src/sources/keys/model_of.ts";

const DEEP = `{"model":"m","a":${"[".repeat(3000)}${"]".repeat(3000)},"b":{"model":"x"}}`;

/** Bodies → the model that every server reads in them; undefined = that cannot be told. */
const CASES: readonly (readonly [string, string | undefined])[] = [
  ['{"model":"gpt-4o"}', "gpt-4o"],
  ['{"messages":[{"content":"\\"model\\":\\"x\\""}],"model":"gpt-4o"}', "gpt-4o"],
  ['{"tools":[{"parameters":{"properties":{"model":{"type":"string"}}}}],"model":"m"}', "m"],
  ['{"metadata":{"model":"x"},"model":"m"}', "m"],
  ['{"mod\\u0065l":"m"}', "m"],
  ['{"messages":"\\u0065\\u0061"}', ""],
  ['{"model":"\\u0067pt"}', "gpt"],
  ['{"Model":"x"}', ""],
  ["{}", ""],
  ['{"model":null}', ""],
  ['{"model":""}', ""],
  ['{ \n "model" : "m", "messages": []}', "m"],
  ['{"model":"m\\n"}', "m\n"],
  [`{"model":"${"m".repeat(300)}"}`, "m".repeat(300)],
  // What servers read in different ways.
  ['{"model":"good","model":"bad"}', undefined],
  ['{"model":"bad","a":1,"model":"good"}', undefined],
  ['{"mod\\u0065l":"bad","model":"good"}', undefined],
  ['{"model":"good","\\u006DODEL":"x","\\u006dodel":"bad"}', undefined],
  ['{"model":"good","\\u006dodel":"bad"}', undefined],
  ['{"model":["m"]}', undefined],
  ['{"model":3}', undefined],
  ["", undefined],
  ["[]", undefined],
  ['"m"', undefined],
  ['{"model":"m",}', "m"], // no server takes it
  ['{"a":1,"model":"m",}', undefined],
  ["model=m&x=1", undefined],
  [DEEP, undefined],
];

function ask(body: Uint8Array<ArrayBuffer>, fields: Record<string, string> = {}) {
  return {
    model: () => "not asked",
    turn: () => {
      throw new Error("not asked");
    },
    wire: {
      dialect: "openai_chat" as const,
      method: "POST",
      path: "/chat/completions",
      fields: Fields.of(Object.entries(fields)),
      body,
    },
  };
}

const bytes = (text: string) => new TextEncoder().encode(text);

describe("modelNamed()", () => {
  for (const [body, model] of CASES) {
    test(`of ${body.slice(0, 70)} is ${model ?? "untold"}`, () => {
      if (model === undefined) {
        expect(() => modelNamed(ask(bytes(body)))).toThrow();
      } else expect(modelNamed(ask(bytes(body)))).toBe(model);
    });
  }

  test("of what is compressed, or in another coding, is untold", () => {
    expect(() => modelNamed(ask(Bun.gzipSync('{"model":"m"}'), { "content-encoding": "gzip" })))
      .toThrow("its body is compressed");
    expect(modelNamed(ask(bytes('{"model":"m"}'), { "content-encoding": "identity" }))).toBe("m");
    const utf16 = new Uint8Array(Buffer.from('\ufeff{"model":"m"}', "utf16le"));
    expect(() => modelNamed(ask(utf16))).toThrow("its body is no JSON");
  });

  test("of a turn is the turn's", () => {
    expect(modelNamed({ model: () => "m", turn: () => ({}) as never })).toBe("m");
  });
});
