import { describe, expect, test } from "bun:test";
import { SseCutter } from "../../src/lib/sse_cutter.ts";

/** A stream, and its parts: "-" before what is no event. */
const STREAMS: Readonly<Record<string, readonly string[]>> = {
  "data: a\n\ndata: 水\n\n": ["data: a\n\n", "data: 水\n\n"],
  ": hi\n\ndata: a\n\n": ["-: hi\n\n", "data: a\n\n"],
  "event: x\nid: 1\ndata: a\ndata: b\n\n": ["event: x\nid: 1\ndata: a\ndata: b\n\n"],
  "data: a\r\n\r\ndata: b\r\n\r\n": ["data: a\r\n\r\n", "data: b\r\n\r\n"],
  "data: a\r\rdata: b\r\r": ["data: a\r\r", "data: b\r\r"],
  "data\n\ndata:\n\n": ["data\n\n", "data:\n\n"],
  "database: a\n\nretry: 1\n\n": ["-database: a\n\n", "-retry: 1\n\n"],
  "\n\ndata: a\n\n\n": ["-\n", "-\n", "data: a\n\n", "-\n"],
  "data: a\n\ndata: b": ["data: a\n\n", "-data: b"],
  "data: a\n": ["-data: a\n"],
  "": [],
};

describe("SseCutter", () => {
  for (const [text, parts] of Object.entries(STREAMS)) {
    test(JSON.stringify(text), () => {
      const bytes = Buffer.from(text);
      const cutter = new SseCutter();
      const cut = cutter.feed(bytes);
      const rest = cutter.end();
      const found = [...cut, ...(rest === undefined ? [] : [rest])];
      expect(found.map(({ bytes, isEvent }) => `${isEvent ? "" : "-"}${bytes}`)).toEqual([
        ...parts,
      ]);
    });

    test(`${JSON.stringify(text)}, byte by byte`, () => {
      const cutter = new SseCutter();
      const cut = Array.from(Buffer.from(text)).flatMap((byte) => cutter.feed(Buffer.from([byte])));
      const rest = cutter.end();
      const all = [...cut, ...(rest === undefined ? [] : [rest])];
      expect(Buffer.concat(all.map(({ bytes }) => bytes)).toString()).toBe(text);
      const events = (list: readonly { readonly isEvent: boolean }[]) =>
        list.filter(({ isEvent }) => isEvent).length;
      expect(events(all)).toBe(parts.filter((part) => !part.startsWith("-")).length);
    });
  }
});
