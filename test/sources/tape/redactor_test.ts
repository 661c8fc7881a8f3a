import { describe, expect, test } from "bun:test";
import { Redactor, starred } from "../../../src/sources/tape/redactor.ts";

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
      [...Buffer.from(KEY)].map((b) => `\\u00${b.toString(16).padStart(2, "0")}`).join(""),
    ],
    ["in a URL", encodeURIComponent(KEY)],
    ["in a URL, in small letters", encodeURIComponent(KEY).toLowerCase()],
  ];
  for (const [what, text] of KEYS) {
    test(`finds a key ${what}, and takes as many bytes`, async () => {
      expect(await clean(`a ${text} b`)).toBe(`a ${"*".repeat(Buffer.byteLength(text))} b`);
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
    expect(redactor.path("/models").redactions).toEqual([]);
  });
});
