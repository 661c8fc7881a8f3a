import { describe, expect, test } from "bun:test";
import {
  type Field,
  headersDown,
  type HeaderSource,
  HeadersUp,
  isPlainEventStream,
} from "../../src/sources/upstream_headers.ts";

const NO_KEY = { apiKey: "", passesClientKey: false };

function up(
  client: Record<string, string>,
  credentials = NO_KEY,
  added: Record<string, string> = {},
): Record<string, string> {
  const fields = new HeadersUp(credentials, added).of(new Headers(client));
  const names = fields.map(([name]) => name.toLowerCase());
  expect(new Set(names).size, "no name twice").toBe(names.length);
  return Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), value]));
}

function source(fields: readonly Field[]): HeaderSource {
  const headers = new Headers(fields.map(([name, value]): [string, string] => [name, value]));
  return { fields, header: (name) => headers.get(name) };
}

const ALWAYS = { "accept-encoding": "identity", via: "1.1 weir" };

describe("headersUp()", () => {
  const CASES: readonly [string, Parameters<typeof up>, Record<string, string>][] = [
    ["adds what every request carries", [{}], ALWAYS],
    ["passes the client's own", [{ "X-Trace": "1", "user-agent": "me" }], {
      ...ALWAYS,
      "x-trace": "1",
      "user-agent": "me",
    }],
    [
      "drops what belongs to the client's connection",
      [{
        "connection": "keep-alive, X-Hop",
        "x-hop": "1",
        "keep-alive": "timeout=5",
        "te": "trailers",
        "transfer-encoding": "chunked",
        "upgrade": "h2c",
        "proxy-authorization": "secret",
        "content-length": "5",
        "host": "weir",
        "expect": "100-continue",
      }],
      ALWAYS,
    ],
    ["keeps the client's encodings and lengthens its Via", [{
      "accept-encoding": "gzip",
      "via": "1.1 nginx",
    }], { "accept-encoding": "gzip", via: "1.1 nginx, 1.1 weir" }],
    ["keeps the client's key to itself", [{ authorization: "Bearer c" }], ALWAYS],
    ["passes the client's key where it may", [{ authorization: "Bearer c" }, {
      apiKey: "",
      passesClientKey: true,
    }], { ...ALWAYS, authorization: "Bearer c" }],
    ["puts its own key in place of the client's", [{ authorization: "Bearer c" }, {
      apiKey: "sk",
      passesClientKey: true,
    }], { ...ALWAYS, authorization: "Bearer sk" }],
    ["lets llm.headers replace anything, in any case", [
      { "x-a": "client", "authorization": "Bearer c", "accept-encoding": "gzip" },
      { apiKey: "sk", passesClientKey: false },
      { "X-A": "config", "Authorization": "Basic x", "Accept-Encoding": "br", "X-B": "2" },
    ], {
      via: "1.1 weir",
      "x-a": "config",
      "x-b": "2",
      authorization: "Basic x",
      "accept-encoding": "br",
    }],
  ];
  for (const [name, given, wanted] of CASES) {
    test(name, () => expect(up(...given)).toEqual(wanted));
  }
});

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
