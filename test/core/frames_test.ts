import { describe, expect, test } from "bun:test";
import type { Script } from "../../src/core/answer.ts";
import { dataEvent, type Dialect, DONE_EVENT } from "../../src/core/dialect.ts";
import { encodeScript, FramesCache, layFrames, stampWhole } from "../../src/core/frames.ts";

const decoder = new TextDecoder();

const PLAIN: Dialect = {
  open: () => "",
  text: (text) => (text === "" ? "" : dataEvent({ content: text })),
  end: () => DONE_EVENT,
  error: (error) => dataEvent({ error: error.message }),
};

describe("layFrames()", () => {
  test("lays events one behind the other and finds every slot", () => {
    const frames = layFrames(
      [{ text: "ab你00\n\n", dueMs: 0 }, { text: "cd你00\n\n", dueMs: 5 }, {
        text: "end",
        dueMs: 5,
      }],
      { idAt: 5, createdAt: 6 },
      2,
    );
    expect(decoder.decode(frames.bytes)).toBe("ab你00\n\ncd你00\n\nend");
    expect([...frames.ends]).toEqual([9, 18, 21]);
    expect([...frames.dueMs]).toEqual([0, 5, 5]);
    expect([...frames.idAt]).toEqual([5, 14]);
    expect([...frames.createdAt]).toEqual([6, 15]);
  });

  test("refuses due times that decrease", () => {
    expect(() => layFrames([{ text: "a", dueMs: 5 }, { text: "b", dueMs: 4 }])).toThrow(RangeError);
  });
});

describe("stampWhole()", () => {
  test("writes a new time over the last one, and every id", () => {
    const frames = layFrames(
      [{ text: "[00 000]", dueMs: 0 }, { text: "[00 000]", dueMs: 0 }, { text: "end", dueMs: 0 }],
      { idAt: 1, createdAt: 4 },
      2,
    );
    const bytes = (text: string) => new TextEncoder().encode(text);
    const first = bytes("111");
    const rows: readonly (readonly [id: string, created: Uint8Array, whole: string])[] = [
      ["ab", first, "[ab 111][ab 111]end"],
      ["cd", first, "[cd 111][cd 111]end"],
      ["ef", bytes("222"), "[ef 222][ef 222]end"],
      ["gh", first, "[gh 111][gh 111]end"],
    ];
    for (const [id, created, whole] of rows) {
      stampWhole(frames, bytes(id), created);
      expect(decoder.decode(frames.bytes)).toBe(whole);
    }
  });
});

describe("encodeScript()", () => {
  test("adds waits up to absolute due times, and says nothing for empty texts", () => {
    const script: Script = {
      name: "s",
      steps: [
        { kind: "text", text: "水", afterMs: 10 },
        { kind: "text", text: "", afterMs: 10 },
        { kind: "text", text: "🌊", afterMs: 10 },
        { kind: "end", reason: "stop", afterMs: 10 },
      ],
    };
    const frames = encodeScript(script, PLAIN);
    expect(decoder.decode(frames.bytes)).toBe(
      'data: {"content":"水"}\n\ndata: {"content":"🌊"}\n\ndata: [DONE]\n\n',
    );
    expect([...frames.dueMs]).toEqual([10, 30, 40]);
    expect(frames.idAt).toHaveLength(0);
  });
});

describe("FramesCache", () => {
  test("keeps at most entriesMax, the oldest goes", () => {
    const cache = new FramesCache(2);
    const frames = layFrames([{ text: "x", dueMs: 0 }]);
    for (const key of ["a", "b", "c"]) cache.set(key, frames);
    expect(["a", "b", "c"].map((key) => cache.get(key) === frames)).toEqual([false, true, true]);
  });
});
