import { describe, expect, test } from "bun:test";
import { Redactor, starred, StuckSecret } from "../../../src/sources/tape/redactor.ts";

const KEY = 'sk-se/cr"ét';
const redactor = Redactor.of([KEY, "abc"], ["ticket-[0-9]+"]);

async function clean(text: string, one = redactor): Promise<string> {
  const bytes = Buffer.from(text);
  const places = await one.find(bytes);
  expect(one.findNow(bytes)).toEqual(places);
  return starred(bytes, places).toString();
}

describe("Redactor.find()", () => {
  const KEYS: readonly (readonly [what: string, text: string])[] = [
    ["as it is", KEY],
    ["as JSON writes it", JSON.stringify(KEY).slice(1, -1)],
    ["with escaped slashes", KEY.replace("/", "\\/")],
    [
      "with escapes of JSON",
      [...KEY].map((one) => `\\u00${one.charCodeAt(0).toString(16).padStart(2, "0")}`).join(""),
    ],
    ["in a URL", encodeURIComponent(KEY)],
    ["in a URL, in small letters", encodeURIComponent(KEY).toLowerCase()],
  ];
  for (const [what, text] of KEYS) {
    test(`finds a key ${what}, and takes as many bytes`, async () => {
      expect(await clean(`a ${text} b`)).toBe(`a ${"*".repeat(Buffer.byteLength(text))} b`);
    });
  }

  const SPELLED: readonly (readonly [what: string, text: string, clean: string])[] = [
    [
      "with escapes of JSON",
      '{"a":"t\\u00fcr-12 pw\\/geheim"}',
      `{"a":"${"*".repeat(11)} *${"*".repeat(9)}"}`,
    ],
    ["with quotes", '{"a":"say \\"sesam\\"."}', `{"a":"${"*".repeat(13)}."}`],
    ["as a pair of escapes", '["\\ud83c\\udf0a-7"]', `["${"*".repeat(14)}"]`],
    [
      "in JSON in JSON",
      '{"a":"{\\"b\\":\\"t\\\\u00fcr-12\\"}"}',
      `{"a":"{\\"b\\":\\"${"*".repeat(12)}\\"}"}`,
    ],
    ["in a URL", "https://a.b/?q=t%C3%BCr-12&r=1", `https://a.b/?q=${"*".repeat(11)}&r=1`],
    ["in a form", "a=say+%22sesam%22&b=1", `a=${"*".repeat(15)}&b=1`],
    ["where half of an escape would be left", '{"a":"\\nabc-5"}', `{"a":"${"*".repeat(7)}"}`],
  ];
  const spelled = Redactor.of([], [
    ...["tür-[0-9]+", "pw/[a-z]+", 'say "[a-z]+"', "🌊-7", "nabc-[0-9]"],
  ]);
  for (const [what, text, expected] of SPELLED) {
    test(`finds what a pattern stands for ${what}`, async () => {
      expect(await clean(text, spelled)).toBe(expected);
    });
  }

  test("leaves what is no key: a short one stays", async () => {
    expect(await clean('abc sk-se 水 {"a":"sk-"}')).toBe('abc sk-se 水 {"a":"sk-"}');
  });

  test("finds patterns in bytes that are no UTF-8", async () => {
    const bytes = Buffer.from([0xff, 0xc3, ...Buffer.from("ticket-7"), 0xe6, 0xb0]);
    expect(await redactor.find(bytes)).toEqual([{ at: 2, bytes: 8, by: "pattern" }]);
  });

  test("finds patterns wherever a window ends, and long ones", async () => {
    const bytes = Buffer.alloc(400_000, "水 ");
    const places = [65_536 - 4, 131_072 - 16_384 + 3, 200_000].map((at) => {
      bytes.write("ticket-123", at);
      return { at, bytes: 10, by: "pattern" as const };
    });
    const long = `ticket-${"4".repeat(70_000)}`;
    bytes.write(long, 250_000);
    places.push({ at: 250_000, bytes: long.length, by: "pattern" });
    bytes.write(" ", 250_000 + long.length);
    expect(await redactor.find(bytes)).toEqual(places);
  });

  test("tells places that overlap as one", async () => {
    const both = Redactor.of(["ticket-77x"], ["ticket-[0-9]+"]);
    expect(await clean("a ticket-77x b", both)).toBe("a ********** b");
    expect(await both.find(Buffer.from("ticket-77x"))).toHaveLength(1);
  });
});

/** Events of chat, each with its choice as `write` writes it. */
function events(texts: readonly string[], write: (text: string) => object): string {
  const all = texts.map((text) => ({ id: "chatcmpl-1", choices: [write(text)] }));
  return all.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("") + "data: [DONE]\n\n";
}

describe("Redactor.find() in what is said piece by piece", () => {
  const own = Redactor.of(["sk-a-long-key"], ["ticket-[0-9]+", "tür-[0-9]+"]);
  const PIECES = ["a sk", "-a-lo", "ng", "-key, ti", "cket-", "987 t", "ür", "-1"];
  const CLEAN = ["a **", "*****", "**", "****, **", "*****", "*** *", "***", "**"];

  const WAYS: readonly (readonly [what: string, body: (texts: readonly string[]) => string])[] = [
    ["chat", (texts) => events(texts, (content) => ({ index: 0, delta: { content } }))],
    [
      "chat whose index comes last",
      (texts) => events(texts, (content) => ({ delta: { content }, index: 0 })),
    ],
    ["arguments of a tool", (texts) =>
      events(texts, (text) => ({
        index: 0,
        delta: { tool_calls: [{ index: 1, function: { arguments: text } }] },
      }))],
    [
      "Responses",
      (texts) =>
        texts.map((delta) =>
          `event: response.output_text.delta\ndata: ${
            JSON.stringify({ type: "response.output_text.delta", output_index: 0, delta })
          }\n\n`
        ).join(""),
    ],
    [
      "Messages",
      (texts) =>
        texts.map((text) =>
          `data: ${JSON.stringify({ index: 0, delta: { type: "text_delta", text } })}\r\n\r\n`
        ).join(""),
    ],
    [
      "JSON lines",
      (texts) => texts.map((response) => `${JSON.stringify({ response })}\n`).join(""),
    ],
    [
      "patches",
      (texts) =>
        texts.map((v, i) =>
          `data: ${JSON.stringify(i % 2 === 0 ? { p: "/a", o: "append", v } : { v: [{ v }] })}\n\n`
        ).join(""),
    ],
    [
      "data of several lines",
      (texts) => texts.map((text) => `data: {"a":\ndata: ${JSON.stringify(text)}}\n\n`).join(""),
    ],
    ["probabilities of a whole answer", (texts) =>
      JSON.stringify({
        choices: [{ logprobs: { content: texts.map((token) => ({ token, top_logprobs: [] })) } }],
      })],
    [
      "probabilities of the older form",
      (texts) =>
        JSON.stringify({ choices: [{ logprobs: { tokens: texts, token_logprobs: [-1] } }] }),
    ],
  ];
  for (const [what, body] of WAYS) {
    test(`finds it in ${what}, and takes as many bytes`, async () => {
      expect(await clean(body(PIECES), own)).toBe(body(CLEAN));
    });
  }

  test("finds it with escapes, in a stream that broke off", async () => {
    const body = String.raw`data: {"a":"t\u00f"}` + "\n\n" + String.raw`data: {"a":"t\u00fc"}` +
      "\n\n" + String.raw`data: {"a":"r-7`;
    expect(await clean(body, own)).toBe(
      String.raw`data: {"a":"t\u00f"}` + '\n\ndata: {"a":"*******"}\n\ndata: {"a":"***',
    );
  });

  test("reads each answer of several as its own text", async () => {
    const body = (texts: readonly string[]) =>
      texts.map((content, i) =>
        `data: ${JSON.stringify({ choices: [{ index: i % 2, delta: { content } }] })}\n\n`
      ).join("");
    expect(await clean(body(["tick", "sk-a", "et-", "-long-", "42", "key"]), own))
      .toBe(body(["****", "****", "***", "******", "**", "***"]));
  });

  test("refuses what stands in lists of bytes", async () => {
    const body = JSON.stringify({
      choices: [{
        logprobs: {
          content: ["tick", "et-1"].map((token) => ({ bytes: [...Buffer.from(token)] })),
        },
      }],
    });
    await expect(own.find(Buffer.from(body))).rejects.toThrow(StuckSecret);
    expect(own.findNow(Buffer.from(body))).toEqual([]);
  });
});

describe("Redactor.withFields()", () => {
  test("finds what a client shows in a field", async () => {
    const own = redactor.withFields([
      ["Authorization", "Bearer sk-of-a-client"],
      ["cookie", "theme=dark; sid=0123456789"],
      ["x-api-key", "another-key"],
    ]);
    expect(await clean("dark sk-of-a-client, 0123456789 another-key", own))
      .toBe(`dark ${"*".repeat(14)}, ${"*".repeat(10)} ${"*".repeat(11)}`);
  });
});

describe("Redactor.fields()", () => {
  test("takes away what opens doors or tells of the account, and keys in the others", () => {
    const { fields, redactions } = redactor.fields([
      ["Authorization", "Bearer sk-of-a-client"],
      ["x-api-key", "k1"],
      ["Cookie", "a=b"],
      ["X-Team", "blue ticket-12"],
      ["X-Team", `of ticket-3`],
      ["x-ratelimit-limit-tokens", "5000"],
    ], "request.field");
    expect(fields).toEqual([
      ["Authorization", "Bearer **************"],
      ["x-api-key", "**"],
      ["Cookie", "***"],
      ["X-Team", "blue *********"],
      ["X-Team", "of ********"],
      ["x-ratelimit-limit-tokens", "5000"],
    ]);
    expect(redactions).toEqual([
      { where: "request.field", name: "authorization", at: 7, bytes: 14, by: "name" },
      { where: "request.field", name: "x-api-key", at: 0, bytes: 2, by: "name" },
      { where: "request.field", name: "cookie", at: 0, bytes: 3, by: "name" },
      { where: "request.field", name: "x-team", at: 5, bytes: 9, by: "pattern" },
      { where: "request.field", name: "x-team", index: 1, at: 3, bytes: 8, by: "pattern" },
    ]);
    const answer = redactor.fields([
      ["set-cookie", "sid=1"],
      ["openai-organization", "user-x"],
      ["openai-project", "proj_1"],
      ["x-ratelimit-remaining-tokens", "7"],
      ["x-request-id", "req_1"],
    ], "response.field");
    expect(answer.fields.map(([, value]) => value)).toEqual([
      "*****",
      "******",
      "******",
      "7",
      "req_1",
    ]);
  });
});

describe("Redactor.path()", () => {
  test("takes away keys and the values of options that are called so", () => {
    expect(redactor.path("/a?api-version=1&key=k1&x=ticket-9&sig=").path)
      .toBe("/a?api-version=1&key=**&x=********&sig=");
    expect(redactor.path("/a?api%5Fkey=k1&q=t%69cket-9").path).toBe("/a?api%5Fkey=**&q=**********");
    expect(redactor.path("/models").redactions).toEqual([]);
  });
});
