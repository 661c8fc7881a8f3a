import { describe, expect, test } from "bun:test";
import {
  chatBody,
  CREATED_MASK,
  dueMsOfPaced,
  expectedOfPaced,
  ID_MASK,
  IDLE_CASES,
  PACED_CASES,
  quickPaced,
  SDK_HEADERS,
  START_CASE,
  SWEEP_CASES,
  WHOLE_CASES,
} from "../../bench/cases.ts";
import { eventEnds, maskVarying, requestBytes } from "../../src/load/stream_probe.ts";
import { launch } from "../server/launch.ts";

const encoder = new TextEncoder();

describe("the cases", () => {
  const names = [...WHOLE_CASES, ...PACED_CASES, ...SWEEP_CASES, ...IDLE_CASES, START_CASE].map(
    ({ name }) => name,
  );
  test("have names of their own", () => expect(new Set(names).size).toBe(names.length));

  const streams = WHOLE_CASES.filter(({ expected }) => typeof expected === "string");
  for (const { name, expected, words } of streams) {
    test(`${name} expects every word, each in its event, and the end`, () => {
      const text = expected as string;
      const said = [...text.matchAll(/"content":"([^"]+)"/g)].map(([, word]) => word!);
      expect(said).toEqual([...words]);
      expect(eventEnds(encoder.encode(text)).length).toBe(text.split("\n\n").length - 1);
      expect(text).toEndWith("data: [DONE]\n\n");
    });
  }

  for (const { name, body } of WHOLE_CASES.filter(({ body }) => body !== undefined)) {
    test(`${name} asks with JSON`, () => expect(() => JSON.parse(body!)).not.toThrow());
  }

  const chats = WHOLE_CASES.filter(({ name }) => name.startsWith("stream-"));
  test.each(chats.map((work) => [work.name, work] as const))(
    "a real weir gives what %s expects",
    async (_, work) => {
      const { body, expected, path, settings } = work;
      const weir = await launch({ set: settings });
      try {
        const headers = { "content-type": "application/json" };
        const response = await fetch(weir.url + path, { method: "POST", body: body!, headers });
        const masked = maskVarying(await response.bytes());
        const found = masked.replace(/"obfuscation":"[^"]*"/g, `"obfuscation":""`);
        expect(found).toBe(expected as string);
      } finally {
        await weir.stop();
      }
    },
  );

  test("masks are as wide as what they stand for", () => {
    const body = `{"id":"chatcmpl-${"a".repeat(29)}","created":1234567890}`;
    expect(maskVarying(encoder.encode(body))).toBe(`{"id":"${ID_MASK}","created":${CREATED_MASK}}`);
  });

  test("the head of an official client has some 600 bytes", () => {
    const url = "http://127.0.0.1:8080/v1/chat/completions";
    const request = Buffer.from(requestBytes(url, chatBody(true), SDK_HEADERS)).toString();
    const head = request.slice(0, request.indexOf("\r\n\r\n"));
    expect(head.length).toBeGreaterThan(570);
    expect(head.length).toBeLessThan(650);
  });

  test("chatBody() asks for a stream, or does not", () => {
    expect(JSON.parse(chatBody(true)).stream).toBe(true);
    expect(JSON.parse(chatBody(false)).stream).toBeUndefined();
  });
});

describe("the paced cases", () => {
  for (const work of [...PACED_CASES, ...SWEEP_CASES, quickPaced(PACED_CASES[0]!)]) {
    const dueMs = dueMsOfPaced(work);
    test(`${work.name}, ${work.words.length} words: an event for every due time, in order`, () => {
      expect(eventEnds(encoder.encode(expectedOfPaced(work))).length).toBe(dueMs.length);
      expect([...dueMs]).toEqual(dueMs.toSorted((one, other) => one - other));
    });

    test(`${work.name}, ${work.words.length} words: no word twice, all of one length`, () => {
      expect(new Set(work.words).size).toBe(work.words.length);
      expect(new Set(work.words.map(({ length }) => length)).size).toBe(1);
    });

    test(`${work.name}, ${work.words.length} words: all streams are open together for a second`, () => {
      expect(dueMs.at(-1)! - work.rampMs).toBeGreaterThanOrEqual(1000);
    });
  }
});
