import { describe, expect, test } from "bun:test";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { isForLater, modelsNamed } from "../../../src/sources/keys/model_of.ts";

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
  // Behind a good beginning some readers take what is no JSON.
  ['{"model":"m",}', undefined],
  [`{"model":"m",'model':"x"}`, undefined],
  ['{"model":"m",model:"x"}', undefined],
  // Some servers do not care for the case.
  ['{"Model":"x"}', undefined],
  ['{"model":"m","Model":"x"}', undefined],
  ['{"MODEL":"x","model":"m"}', undefined],
  ['{"a":1,"model":"m",}', undefined],
  ["model=m&x=1", undefined],
  [DEEP, undefined],
];

/** Fields beside `"model":"m"` → the other models that they name, as "where: which". */
const OTHERS: readonly (readonly [string, readonly string[]])[] = [
  ['"models":["a","b"]', ["models[0]: a", "models[1]: b"]],
  ['"Model\u017f":["a"]', ["Model\u017f[0]: a"]],
  ['"models":["a"],"models":["b"]', ["models[0]: a", "models[0]: b"]],
  ['"fallbacks":["a",{"model":"b","stop":["x"],"user":"u"}]', [
    "fallbacks[0]: a",
    "fallbacks[1].model: b",
  ]],
  ['"context_window_fallbacks":[{"m":["a"]}]', ["context_window_fallbacks[0].m[0]: a"]],
  ['"fallbacks":[{"m":["a"],"model":"m"}]', ["fallbacks[0].m[0]: a", "fallbacks[0].model: m"]],
  ['"Fallbac\u212as":["a"]', ["Fallbac\u212as[0]: a"]],
  ['"\\u0066allbac\\u006bs":["a"]', ["fallbacks[0]: a"]],
  ['"extra_body":{"Model":"a"}', ["extra_body.Model: a"]],
  ['"fallback_model":"a"', ["fallback_model: a"]],
  ['"tools":[{"type":"image_generation","model":"a"}]', ["tools[0].model: a"]],
  ['"tools":[{"type":"x:agent","parameters":{"model":"a"}}]', ["tools[0].parameters.model: a"]],
  ['"tools":[{"type":"function","type":"x:agent","parameters":{"model":"a"}}]', [
    "tools[0].parameters.model: a",
  ]],
  // None of these is asked.
  ['"provider":{"allow_fallbacks":true},"route":"fallback"', []],
  ['"tools":[{"type":"function","function":{"parameters":{"default":{"model":"a"}}}}]', []],
  ['"tools":[{"name":"t","input_schema":{"default":{"model":"a"}}}]', []],
  ['"response_format":{"json_schema":{"default":{"model":"a"}}},"metadata":{"model":"a"}', []],
  ['"messages":[{"content":"\\"model\\":\\"x\\"","model":"a"}]', []],
];

function modelNamed(asked: Parameters<typeof modelsNamed>[0]): string {
  return modelsNamed(asked)[0]!.model;
}

function ask(
  body: Uint8Array<ArrayBuffer>,
  fields: Record<string, string> = {},
  path = "/chat/completions",
) {
  return {
    model: () => "not asked",
    turn: () => {
      throw new Error("not asked");
    },
    wire: {
      dialect: "openai_chat" as const,
      method: "POST",
      path,
      fields: Fields.of(Object.entries(fields)),
      body,
    },
  };
}

const bytes = (text: string) => new TextEncoder().encode(text);

describe("modelsNamed()", () => {
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
    expect(() => modelNamed(ask(utf16))).toThrow("its body is no UTF-8");
  });

  for (const [fields, others] of OTHERS) {
    test(`finds ${others.join(" ") || "no other"} in ${fields}`, () => {
      const found = modelsNamed(ask(bytes(`{"model":"m",${fields}}`)));
      expect(found.map(({ place, model }) => `${place}: ${model}`)).toEqual([
        "model: m",
        ...others,
      ]);
    });
  }

  test("of another charset, of no UTF-8, of a form and of a query is untold", () => {
    const typed = (type: string, body = '{"model":"m","x":"&model=x"}') =>
      modelNamed(ask(bytes(body), { "content-type": type }));
    for (const type of ["application/json; charset=UTF-8", 'a/json;charset="utf8"', "a/json"]) {
      expect([type, typed(type)]).toEqual([type, "m"]);
    }
    for (const type of ["a/json; charset=utf-7", "a/json;charset=utf-8;charset=utf-7"]) {
      expect(() => typed(type)).toThrow("another charset than utf-8");
    }
    const form = "application/x-www-form-urlencoded";
    expect(typed(form, '{"model":"m"}')).toBe("m"); // curl's
    expect(() => typed(form)).toThrow("send application/json");
    const broken = new Uint8Array(Buffer.from('{"model":"m","mod\xffel":"x"}', "latin1"));
    expect(() => modelNamed(ask(broken))).toThrow("no UTF-8");
    expect(() => modelNamed(ask(bytes('{"model":"m"}'), {}, "/x?a=1&Model=x"))).toThrow(
      "its query",
    );
  });

  test("of a turn is the turn's", () => {
    expect(modelNamed({ model: () => "m", turn: () => ({}) as never })).toBe("m");
  });
});

test("isForLater() reads it as any server would", () => {
  const cases = [
    ['{"background":true}', true],
    ['{"Background":true}', true],
    ['\ufeff{"bac\u212aground":true}', true],
    ['{"\\u0062ackground":true}', true],
    ['{"background":true,"background":false}', true],
    ['{"background":false}', false],
    ['{"input":"\\"background\\":true"}', false],
    ['{"x":{"background":true}}', false],
  ] as const;
  for (const [body, isLater] of cases) {
    expect([body, isForLater(ask(bytes(body)))]).toEqual([body, isLater]);
  }
});
