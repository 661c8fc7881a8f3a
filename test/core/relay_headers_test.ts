import { describe, expect, test } from "bun:test";
import type { Field } from "../../src/core/answer.ts";
import {
  HeadersDown,
  headersDown,
  type HeaderSource,
  isPlainEventStream,
  namedHops,
} from "../../src/core/relay_headers.ts";

function source(fields: readonly Field[]): HeaderSource {
  const headers = new Headers(fields.map(([name, value]): [string, string] => [name, value]));
  return { fields, header: (name) => headers.get(name) };
}

describe("headersDown()", () => {
  test("drops what belongs to the upstream's connection and host, and nothing else", () => {
    const headers = headersDown(source([
      ["Connection", "keep-alive, X-Hop"],
      ["X-Hop", "1"],
      ["Keep-Alive", "timeout=5"],
      ["Transfer-Encoding", "chunked"],
      ["Content-Length", "5"],
      ["Set-Cookie", "a=b"],
      ["X-Accel-Redirect", "/secret"],
      ["X-ACCEL-Buffering", "yes"],
      ["Content-Type", "application/json"],
      ["x-request-id", "req_1"],
      ["Link", "<a>"],
      ["Link", "<b>"],
    ]));
    expect(Object.fromEntries(headers)).toEqual({
      "access-control-allow-origin": "*",
      "content-type": "application/json",
      "x-request-id": "req_1",
      "link": "<a>, <b>",
    });
  });

  test("asks nginx not to buffer a stream, and leaves the upstream's CORS alone", () => {
    const headers = headersDown(source([
      ["content-type", "text/event-stream; charset=utf-8"],
      ["access-control-allow-origin", "https://app.example"],
    ]));
    expect(headers.get("x-accel-buffering")).toBe("no");
    expect(headers.get("access-control-allow-origin")).toBe("https://app.example");
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
    ["a plain stream with the same names", [...HEAD, ["Content-Encoding", "identity"]]],
  ];
  for (const [name, fields] of NEXT) {
    test(`gives for ${name} what headersDown() gives, whatever came before`, () => {
      for (const [, before] of NEXT) {
        const down = new HeadersDown();
        down.of(source(before));
        const { headers, isPlainEventStream: isPlain, requestId } = down.of(source(fields));
        expect([...headers]).toEqual([...headersDown(source(fields))]);
        expect(isPlain).toBe(isPlainEventStream(source(fields)));
        expect(requestId).toBe(source(fields).header("x-request-id"));
      }
    });
  }

  test("keeps nothing of an answer whose headers cannot be made", () => {
    const down = new HeadersDown();
    down.of(source([["X-A", "1"], ["X-B", "1"]]));
    const broken: HeaderSource = { fields: [["X-A", "2"], ["X-B", "\0"]], header: () => null };
    expect(() => down.of(broken)).toThrow(TypeError);
    const { headers } = down.of(source([["X-A", "1"], ["X-B", "1"]]));
    expect([headers.get("x-a"), headers.get("x-b")]).toEqual(["1", "1"]);
  });
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
      expect(isPlainEventStream(source(fields))).toBe(wanted);
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
