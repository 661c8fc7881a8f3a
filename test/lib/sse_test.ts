import { describe, expect, test } from "bun:test";
import { type SseEvent, SseParser, SseTooLarge, textEvent } from "../../src/lib/sse.ts";
import { seeded } from "../seeded.ts";

const encoder = new TextEncoder();

function parse(pieces: readonly Uint8Array[], eventBytesMax = 1 << 20): SseEvent[] {
  const parser = new SseParser(eventBytesMax);
  return pieces.flatMap((piece) => parser.feed(piece));
}

/** name → stream → the data of its events. */
const CASES: readonly (readonly [string, string, readonly string[]])[] = [
  ["two events", "data: a\n\ndata: b\n\n", ["a", "b"]],
  ["CRLF", "data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", ["a\nb", "c"]],
  ["CR alone", "data: a\rdata: b\r\rdata: c\r\r", ["a\nb", "c"]],
  ["line ends mixed", "data: a\r\n\ndata: b\n\r\ndata: c\r\r\n", ["a", "b", "c"]],
  ["CRLF, then LF", "data: a\r\ndata: b\n\ndata: c\n\n", ["a\nb", "c"]],
  ["no blank behind the colon", "data:a\n\n", ["a"]],
  ["only one blank goes", "data:  a\n\n", [" a"]],
  ["an empty data line is an event", "data\n\ndata:\n\n", ["", ""]],
  ["comments", ": hi\n\n:\ndata: a\n: in between\ndata: b\n\n", ["a\nb"]],
  ["other fields", "event: x\nid: 1\nretry: 5\nfoo: bar\ndata: a\n\n", ["a"]],
  ["an event without data is none", "event: x\n\nid: 2\n\ndata: a\n\n", ["a"]],
  ["a byte order mark", "\ufeffdata: a\n\n", ["a"]],
  ["a byte order mark later is text", "data: a\n\n\ufeffdata: b\n\n", ["a"]],
  ["characters of 2, 3 and 4 bytes", "data: é你好😀\n\ndata: 值\n\n", ["é你好😀", "值"]],
  ["an unfinished event is none", "data: a\n\ndata: b\n", ["a"]],
  ["an unfinished line is none", "data: a\n\ndata: b", ["a"]],
  ["JSON with colons", 'data: {"a":"b: c"}\n\ndata: [DONE]\n\n', ['{"a":"b: c"}', "[DONE]"]],
  ["blank lines before the first event", "\n\n\r\n\rdata: a\n\n", ["a"]],
];

describe("SseParser", () => {
  for (const [name, stream, expected] of CASES) {
    const bytes = encoder.encode(stream);
    test(`reads ${name}`, () => {
      expect(parse([bytes]).map(({ data }) => data)).toEqual([...expected]);
    });
    test(`reads ${name}, cut at every byte and byte by byte`, () => {
      for (let cut = 0; cut <= bytes.length; cut++) {
        const pieces = [bytes.subarray(0, cut), bytes.subarray(cut)];
        expect(parse(pieces).map(({ data }) => data), `cut at ${cut}`).toEqual([...expected]);
      }
      const single = Array.from(bytes, (byte) => Uint8Array.of(byte));
      expect(parse(single).map(({ data }) => data)).toEqual([...expected]);
    });
  }

  test("names the event and keeps the last id", () => {
    expect(parse([encoder.encode("id: 7\nevent: x\ndata: a\n\ndata: b\n\nid: 8\0\ndata: c\n\n")]))
      .toEqual([
        { event: "x", data: "a", id: "7" },
        { event: "", data: "b", id: "7" },
        { event: "", data: "c", id: "7" },
      ]);
  });

  test("keeps its own copy of an unfinished line", () => {
    const parser = new SseParser(100);
    const buffer = encoder.encode("data: ab");
    parser.feed(buffer);
    buffer.fill(0x78);
    expect(parser.feed(encoder.encode("\n\n"))[0]!.data).toBe("ab");
  });

  test("reads garbage without throwing anything but SseTooLarge", () => {
    let seed = 7;
    const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
    const alphabet = encoder.encode("data: event:id\r\n\r\n\0\ufeff你{}");
    for (let round = 0; round < 500; round++) {
      const bytes = Uint8Array.from(
        { length: Math.floor(random() * 200) },
        () => random() < 0.1 ? random() * 256 : alphabet[Math.floor(random() * alphabet.length)]!,
      );
      const whole = parse([bytes]);
      const cut = Math.floor(random() * bytes.length);
      expect(parse([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(whole);
    }
  });

  /** What `pieces` give one after the other, and whether they were too large. */
  function outcome(pieces: readonly Uint8Array[], eventBytesMax: number) {
    const parser = new SseParser(eventBytesMax);
    const events: SseEvent[] = [];
    try {
      for (const piece of pieces) events.push(...parser.feed(piece.slice()));
    } catch (error) {
      if (!(error instanceof SseTooLarge)) throw error;
      return { events, isTooLarge: true };
    }
    return { events, isTooLarge: false };
  }

  const LINES = [
    "data: a",
    "data:",
    "data",
    'data: {"x":"水 🌊"}',
    ": comment",
    "event: x",
    "id: 7",
    "id: \0",
    "retry: 1",
    "\ufeffdata: b",
    "",
    "",
    "",
  ];

  for (let seed = 1; seed <= 20; seed++) {
    test(`whole events in one go are what they are byte by byte, seed ${seed}`, () => {
      const random = seeded(seed);
      const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
      for (let round = 0; round < 60; round++) {
        const ends = pick([["\n"], ["\n"], ["\n"], ["\r\n"], ["\r"], ["\n", "\n", "\r", "\r\n"]]);
        let text = random() < 0.2 ? "\ufeff" : "";
        for (let i = 0; i < 40; i++) text += pick(LINES) + pick(ends);
        const bytes = encoder.encode(text);
        // Bytes that are no UTF-8: both paths must make the same of them.
        for (let i = random() < 0.3 ? 5 : 0; i > 0; i--) {
          bytes[Math.floor(random() * bytes.length)] = 0x80 + random() * 0x80;
        }
        const eventBytesMax = pick([1 << 20, 1 << 20, 60]);
        const single = outcome(Array.from(bytes, (byte) => Uint8Array.of(byte)), eventBytesMax);
        const pieces: Uint8Array[] = [];
        const size = pick([8, 40, 200, 1000]);
        for (let at = 0; at < bytes.length;) {
          const end = at + 1 + Math.floor(random() * size);
          // Mostly where an event ends, as servers send them.
          const blank = random() < 0.7 ? Buffer.from(bytes).indexOf("\n\n", end - 1) : -1;
          const cut = blank < 0 ? end : blank + 2;
          pieces.push(bytes.subarray(at, cut));
          at = cut;
        }
        const { events, isTooLarge } = outcome(pieces, eventBytesMax);
        expect(isTooLarge).toBe(single.isTooLarge);
        // A piece that is too large gives nothing of what it completes before.
        expect(events).toEqual(isTooLarge ? single.events.slice(0, events.length) : single.events);
      }
    });
  }

  for (
    const [name, piece, count] of [
      ["one endless line", "data: " + "x".repeat(60), 20],
      ["endless data lines", "data: xxxxxxxxxxxxxxx\n", 100],
      ["endless comments", ":xxxxxxxxxxxxxxxxxxxx\n", 100],
    ] as const
  ) {
    test(`refuses ${name}`, () => {
      const pieces = Array.from({ length: count }, () => encoder.encode(piece));
      expect(() => parse(pieces, 1000)).toThrow(SseTooLarge);
    });
  }

  test("takes any number of events below the limit", () => {
    const pieces = Array.from({ length: 1000 }, () => encoder.encode("data: 12345678\n\n"));
    expect(parse(pieces, 20)).toHaveLength(1000);
  });
});

describe("textEvent", () => {
  for (
    const [text, event] of [
      ["Hello", "data: Hello\n\n"],
      [" world", "data:  world\n\n"],
      ["", "data: \n\n"],
      ["a\nb", "data: a\ndata: b\n\n"],
      ["\n", "data: \ndata: \n\n"],
      ["a\r\nb\rc", "data: a\ndata: b\ndata: c\n\n"],
      ["你好😀", "data: 你好😀\n\n"],
    ] as const
  ) {
    test(`writes ${JSON.stringify(text)}, and the parser reads it back`, () => {
      expect(textEvent(text)).toBe(event);
      const [read] = parse([encoder.encode(event)]);
      expect(read!.data).toBe(text.replaceAll(/\r\n?/g, "\n"));
    });
  }
});
