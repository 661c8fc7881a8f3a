import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { linearExpression } from "../../../src/lib/linear_expression.ts";
import { checkPartial, checkTape } from "../../../src/sources/tape/check.ts";
import { type Tape, tapeText } from "../../../src/sources/tape/format.ts";
import type { Forbidden } from "../../../src/sources/tape/leaks.ts";
import { question } from "../recordings/cassettes.ts";
import { readsOf, toldTape } from "./told_tape.ts";

const OPENAI = "sk-proj-aBcD1234aBcD1234aBcD1234";
const FORBIDDEN: Forbidden = {
  secrets: ['config-"geheim"-1'],
  patterns: [linearExpression("ticket-[0-9]+", "")],
};

async function problems(tape: Tape): Promise<readonly string[]> {
  const found = await checkTape(Buffer.from(tapeText(tape)), FORBIDDEN);
  return found.map(({ line, what }) => `${line}: ${what}`);
}

function asking(text: string): Tape {
  const tape = toldTape(1);
  const body = Uint8Array.from(Buffer.from(JSON.stringify(question(text))));
  return { ...tape, request: { ...tape.request, body } };
}

function sending(name: string, value: string): Tape {
  const tape = toldTape(1);
  const { request } = tape;
  return { ...tape, request: { ...request, fields: [...request.fields, [name, value]] } };
}

function answering(...texts: readonly (string | Uint8Array)[]): Tape {
  return toldTape(1, { reads: readsOf(texts.map((text, at) => [320 + at, text])) });
}

describe("checkTape()", () => {
  test("finds nothing in a tape that was redacted as it should be", async () => {
    expect(await problems(toldTape(1))).toEqual([]);
    const prose = "What is Bearer authentication, how does sk-… look, is sk-learn-compatible-api " +
      "one, and where is a Basic understanding of task-force-2026-planning-group?";
    expect(await problems(asking(prose))).toEqual([]);
  });

  /** A tape, what is told. Lines: head, request, body, response, reads. */
  const CASES: readonly (readonly [name: string, tape: Tape, told: readonly string[]])[] = [
    ["a key in a question", asking(`key ${OPENAI}?`), [
      "3: an OpenAI key stands in the request's body",
    ]],
    ["a key of the config, as JSON writes it", asking('config-"geheim"-1'), [
      "3: a secret of the config stands in the request's body",
    ]],
    ["a key that two pieces share", answering("data: sk-ant-aaaa", "bbbbccccddddeeee"), [
      "5: an Anthropic key stands in the answer's body",
    ]],
    ["the piece that it begins in", answering("data: 你好\n\n", `data: ${OPENAI}\n\n`), [
      "6: an OpenAI key stands in the answer's body",
    ]],
    ["a user and a password", answering(`Basic ${btoa("ann:geheim")}`), [
      "5: an HTTP credential stands in the answer's body",
    ]],
    ["what tape.redact stands for", answering("data: ticket-42"), [
      "5: what ticket-[0-9]+ stands for stands in the answer's body",
    ]],
    ["a header that opens doors", sending("X-Api-Key", "abc"), [
      "2: the value of x-api-key is not redacted",
    ]],
    ["a cookie", sending("cookie", "a=b"), ["2: the value of cookie is not redacted"]],
    ["a second header of the name", sending("authorization", "Bearer abcdefghijklmnop1"), [
      "2: the value of authorization is not redacted",
      "2: a bearer token stands in the header authorization",
    ]],
    ["asterisks that nobody lists", sending("x-a", "*".repeat(8)), [
      "2: the value of x-a is redacted, and not listed",
    ]],
    ["a key in a path", {
      ...toldTape(1),
      request: { ...toldTape(1).request, path: `/a?b=${OPENAI}` },
    }, [
      "2: an OpenAI key stands in the path",
    ]],
    ["a key in the upstream's name", toldTape(1, { host: `${OPENAI}.example.com` }), [
      "1: an OpenAI key stands in the first line",
    ]],
    [
      "a key in the error",
      toldTape(1, { ending: { how: "timed_out", atUs: 400_000, error: OPENAI } }),
      [
        "8: an OpenAI key stands in the error",
      ],
    ],
    [
      "a web token, and a private key",
      answering(
        "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl -----BEGIN RSA PRIVATE KEY-----",
      ),
      [
        "5: a JSON web token stands in the answer's body",
        "5: a private key stands in the answer's body",
      ],
    ],
    [
      "a listed place where something else stands",
      toldTape(1, {
        redactions: [
          ...toldTape(1).redactions,
          { where: "request.body", at: 0, bytes: 3, by: "pattern" },
          { where: "response.body", at: 9999, bytes: 3, by: "pattern" },
          { where: "request.field", name: "x-none", at: 0, bytes: 3, by: "name" },
        ],
      }),
      [
        "7: it lists request.body, byte 0, where something else stands",
        "7: it lists response.body, byte 9999, which is behind the end",
        "7: it lists request.field x-none, byte 0, and there is no such place",
      ],
    ],
  ];
  for (const [name, tape, told] of CASES) {
    test(`tells of ${name}`, async () => expect(await problems(tape)).toEqual([...told]));
  }

  test("looks into encoded answers, and says when it cannot", async () => {
    const encoded = (encoding: string, bytes: Uint8Array) => {
      const tape = answering(bytes);
      const fields = [["content-encoding", encoding]] as const;
      return {
        ...tape,
        response: { ...tape.response!, fields },
        redactions: [tape.redactions[0]!],
      };
    };
    expect(await problems(encoded("gzip", gzipSync(`key ${OPENAI}`)))).toEqual([
      "5: an OpenAI key stands in the answer's body",
    ]);
    expect(await problems(encoded("compress", Uint8Array.of(1, 2)))).toEqual([
      "4: the content encoding of its answer cannot be undone: secrets would not be seen",
    ]);
  });

  test("never shows a secret", async () => {
    for (const [, tape] of CASES) {
      expect((await problems(tape)).join()).not.toMatch(/aBcD1234|geheim|ticket-42|abcdefgh/);
    }
  });

  test("tells where a tape is broken, and of the secrets in what is left", async () => {
    const text = tapeText(asking(OPENAI));
    const lines = text.split("\n");
    const found = await checkTape(Buffer.from(lines.toSpliced(4, 1).join("\n")), FORBIDDEN);
    expect(found).toEqual([
      { line: 5, what: expect.stringContaining("its check sum is wrong") },
      { line: 3, what: "an OpenAI key stands in it" },
    ]);
  });
});

describe("checkPartial()", () => {
  test("finds secrets in what was written, also in half a line", () => {
    const text = tapeText(sending("cookie", `a=${OPENAI}`));
    const cut = text.slice(0, text.indexOf(OPENAI) + OPENAI.length);
    const told = (part: string) =>
      checkPartial(Buffer.from(part), FORBIDDEN).map(({ line, what }) => `${line}: ${what}`);
    expect(told(cut)).toEqual(["2: an OpenAI key stands in it"]);
    expect(told(text.split("\n").slice(0, 2).join("\n"))).toEqual([
      "2: an OpenAI key stands in it",
      "2: the value of cookie stands in it",
    ]);
    expect(told(tapeText(toldTape(1)).slice(0, 700))).toEqual([]);
  });
});
