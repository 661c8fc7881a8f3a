import { describe, expect, test } from "bun:test";
import {
  type HeadDown,
  HeadersDown,
  isPlainEventStream,
  namedHops,
} from "../../src/core/relay_headers.ts";
import { type Field, Fields } from "../../src/lib/http1/fields.ts";

/** What goes down, in its order. */
function linesOf({ headers: { bytes, length } }: HeadDown): Field[] {
  return [...new Fields(bytes, 0, length)];
}

/** What goes down of `fields`, where nothing came before. */
function down(fields: readonly Field[]): Field[] {
  return linesOf(new HeadersDown().of(Fields.of(fields)));
}

describe("HeadersDown.of()", () => {
  test("drops what belongs to the upstream's connection and host, and nothing else", () => {
    expect(down([
      ["Connection", "keep-alive, X-Hop"],
      ["X-Hop", "1"],
      ["Keep-Alive", "timeout=5"],
      ["Transfer-Encoding", "chunked"],
      ["Content-Length", "5"],
      ["Set-Cookie", "a=b"],
      ["X-Accel-Redirect", "/secret"],
      ["X-ACCEL-Buffering", "yes"],
      ["X-Weir-Upstream", "another"],
      ["x-weir-cache", "hit"],
      ["Content-Type", "application/json"],
      ["x-request-id", "req_1"],
      ["Link", "<a>"],
      ["Link", "<b>"],
    ])).toEqual([
      ["Content-Type", "application/json"],
      ["x-request-id", "req_1"],
      ["Link", "<a>"],
      ["Link", "<b>"],
      ["access-control-allow-origin", "*"],
    ]);
  });

  test("asks nginx not to buffer a stream, and leaves the upstream's CORS alone", () => {
    expect(down([
      ["content-type", "text/event-stream; charset=utf-8"],
      ["access-control-allow-origin", "https://app.example"],
    ])).toEqual([
      ["content-type", "text/event-stream; charset=utf-8"],
      ["x-accel-buffering", "no"],
      ["access-control-allow-origin", "https://app.example"],
    ]);
  });

  test("says of a head that it may be written over, and not what its connection wants", () => {
    const headers = new HeadersDown();
    const first = headers.of(Fields.of([["Connection", "close"], ["X-A", "1"]]));
    expect(first.headers.connection).toBe("");
    const copied = linesOf(first);
    headers.of(Fields.of([["Connection", "close"], ["X-A", "2"]]));
    expect(copied[0]).toEqual(["X-A", "1"]);
  });
});

describe("HeadersDown", () => {
  const HEAD: readonly Field[] = [
    ["Content-Type", "text/event-stream"],
    ["Date", "Sat, 21 Nov 2026 08:00:00 GMT"],
    ["X-Request-Id", "req_1"],
    ["Content-Length", "5"],
    ["Connection", "keep-alive"],
  ];
  /** `HEAD` with other values. */
  const changed = (values: Readonly<Record<string, string>>) =>
    HEAD.map(([name, value]): Field => [name, values[name] ?? value]);

  const NEXT: readonly (readonly [string, readonly Field[]])[] = [
    ["the same", HEAD],
    ["other values", changed({ Date: "Sun", "X-Request-Id": "req_2", "Content-Length": "7" })],
    ["no stream", changed({ "Content-Type": "application/json" })],
    ["a hop that is named", changed({ Connection: "close, Date" })],
    ["another order", HEAD.toReversed()],
    ["one field less", HEAD.slice(1)],
    ["one field more", [...HEAD, ["X-A", "1"]]],
    ["a field twice", [...HEAD, ["Link", "<a>"], ["Link", "<b>"]]],
    ["a field twice, with other values", [...HEAD, ["Link", "<c>"], ["Link", "<d>"]]],
    ["none", []],
    ["a compressed stream", [...HEAD, ["Content-Encoding", "gzip"]]],
    ["Anthropic's name for its id", [...HEAD.slice(0, 1), ["Request-Id", "req_011"]]],
    ["a plain stream with the same names", [...HEAD, ["Content-Encoding", "identity"]]],
  ];
  for (const [name, fields] of NEXT) {
    test(`gives ${name} what it gives it when nothing came before, whatever did`, () => {
      const next = Fields.of(fields);
      for (const [, before] of NEXT) {
        const headers = new HeadersDown();
        headers.of(Fields.of(before));
        const head = headers.of(next);
        const { isPlainEventStream: isPlain, requestId } = head;
        expect(linesOf(head)).toEqual(down(fields));
        expect(head.headers.hasDate).toBe(down(fields).some(([name]) => name === "Date"));
        expect(isPlain).toBe(isPlainEventStream(next));
        expect(requestId).toBe(next.get("x-request-id") ?? next.get("request-id"));
      }
    });
  }
});

describe("isPlainEventStream()", () => {
  const CASES: readonly [readonly Field[], boolean][] = [
    [[["content-type", "text/event-stream"]], true],
    [
      [["Content-Type", "Text/Event-Stream; charset=utf-8"], ["content-encoding", "Identity"]],
      true,
    ],
    [[["content-type", "text/event-stream"], ["content-encoding", "gzip"]], false],
    [[["content-type", "text/event-streams"]], false],
    [[["content-type", "application/json"]], false],
    [[], false],
  ];
  for (const [fields, wanted] of CASES) {
    test(`${JSON.stringify(fields)}: ${wanted}`, () => {
      expect(isPlainEventStream(Fields.of(fields))).toBe(wanted);
    });
  }
});

describe("namedHops()", () => {
  const CASES: readonly (readonly [string | null, readonly string[]])[] = [
    [null, []],
    ["keep-alive", []],
    ["close", []],
    ["Keep-Alive, X-Hop,  TE", ["keep-alive", "x-hop", "te"]],
  ];
  for (const [connection, wanted] of CASES) {
    test(`${connection}: ${wanted.join(" ")}`, () => {
      expect([...namedHops(connection)]).toEqual([...wanted]);
    });
  }
});
