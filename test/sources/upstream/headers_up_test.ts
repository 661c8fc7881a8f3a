import { describe, expect, test } from "bun:test";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { hasPassedWeir, HeadersUp } from "../../../src/sources/upstream/headers_up.ts";

const NO_KEY = { apiKey: "", passesClientKey: false, passesClient: false };

function up(
  client: Record<string, string>,
  credentials = NO_KEY,
  added: Record<string, string> = {},
): Record<string, string> {
  const fields = [...new HeadersUp(credentials, added).of(Fields.of(Object.entries(client)))];
  const names = fields.map(([name]) => name.toLowerCase());
  expect(new Set(names).size, "no name twice").toBe(names.length);
  return Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), value]));
}

const ALWAYS = { "accept-encoding": "identity", via: "1.1 weir" };

describe("HeadersUp", () => {
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
        "http2-settings": "AAMAAABk",
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
      passesClient: false,
    }], { ...ALWAYS, authorization: "Bearer c" }],
    ["puts its own key in place of the client's", [{ authorization: "Bearer c" }, {
      apiKey: "sk",
      passesClientKey: true,
      passesClient: false,
    }], { ...ALWAYS, authorization: "Bearer sk" }],
    ["keeps what tells of the client and of its page to itself", [{
      "cookie": "a=1",
      "forwarded": "for=10.0.0.1",
      "x-forwarded-for": "10.0.0.1",
      "x-forwarded-proto": "https",
      "x-real-ip": "10.0.0.1",
      "origin": "https://page.example",
      "referer": "https://page.example/a",
      "sec-fetch-site": "same-origin",
      "sec-ch-ua": "x",
      "proxy-status": "x",
      "x-weir-seed": "1",
      "x-request-id": "kept",
    }], { ...ALWAYS, "x-request-id": "kept" }],
    ["passes it on where go-gpt-server does", [
      { "cookie": "a=1", "x-forwarded-for": "10.0.0.1", "origin": "https://page.example" },
      { apiKey: "", passesClientKey: false, passesClient: true },
    ], {
      ...ALWAYS,
      "cookie": "a=1",
      "x-forwarded-for": "10.0.0.1",
      "origin": "https://page.example",
    }],
    ["keeps the client's keys of other kinds to itself", [
      { "api-key": "a", "x-api-key": "b" },
      { apiKey: "sk", passesClientKey: true, passesClient: false },
    ], { ...ALWAYS, authorization: "Bearer sk" }],
    ["lets llm.headers replace anything, in any case", [
      { "x-a": "client", "authorization": "Bearer c", "accept-encoding": "gzip" },
      { apiKey: "sk", passesClientKey: false, passesClient: false },
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

  test("says nothing of the connection that the config says", () => {
    const own = [
      ...["Connection", "Keep-Alive", "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Expect"],
      ...["Host", "Content-Length", "Proxy-Connection", "Proxy-Authorization", "HTTP2-Settings"],
    ];
    expect(up({}, NO_KEY, Object.fromEntries(own.map((name) => [name, "x"])))).toEqual(ALWAYS);
  });

  test("passes each line of a field that came in several", () => {
    const up = new HeadersUp(NO_KEY, {});
    expect([...up.of(Fields.of([["X-A", "1"], ["x-a", "2"], ["Via", "1.0 a"], ["via", "1.1 b"]]))])
      .toEqual([
        ["X-A", "1"],
        ["x-a", "2"],
        ["accept-encoding", "identity"],
        ["via", "1.0 a, 1.1 b, 1.1 weir"],
      ]);
  });

  test("gives each client its own, whatever the one before has sent", () => {
    const clients = CASES.filter(([, given]) => given.length === 1).map(([, [client]]) => client);
    for (const before of clients) {
      for (const client of clients) {
        const up = new HeadersUp(NO_KEY, {});
        up.of(Fields.of(Object.entries(before)));
        const fields = [...up.of(Fields.of(Object.entries(client)))];
        const alone = new HeadersUp(NO_KEY, {}).of(Fields.of(Object.entries(client)));
        expect(fields).toEqual([...alone]);
      }
    }
  });
});

describe("hasPassedWeir()", () => {
  const CASES: readonly (readonly [string | undefined, boolean])[] = [
    [undefined, false],
    ["1.1 nginx", false],
    ["1.1 weir", true],
    ["1.1 nginx, 1.1 weir", true],
    ["1.0 Weir (a comment)", true],
    ["1.1 weird", false],
    ["1.1 not-weir", false],
  ];
  for (const [via, wanted] of CASES) {
    test(`Via: ${via}: ${wanted}`, () => {
      expect(hasPassedWeir(Fields.of(via === undefined ? [] : [["via", via]]))).toBe(wanted);
    });
  }
});
