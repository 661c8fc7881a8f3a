import { describe, expect, test } from "bun:test";
import { Fields } from "../../../src/lib/http1/fields.ts";
import {
  type Credentials,
  hasPassedWeir,
  HeadersUp,
} from "../../../src/sources/upstream/headers_up.ts";

const NO_KEY: Credentials = {
  apiKey: "",
  passesClientKey: false,
  passesClient: false,
  names: [],
  isAnthropic: false,
};
const PASSES_KEY: Credentials = { ...NO_KEY, passesClientKey: true };

function up(
  client: Record<string, string>,
  credentials: Credentials = NO_KEY,
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
    ["passes the client's key where it may", [{ authorization: "Bearer c" }, PASSES_KEY], {
      ...ALWAYS,
      authorization: "Bearer c",
    }],
    ["puts its own key in place of the client's", [{ authorization: "Bearer c" }, {
      ...PASSES_KEY,
      apiKey: "sk",
    }], { ...ALWAYS, authorization: "Bearer sk" }],
    ["passes the key of Anthropic's clients where it may", [{ "x-api-key": "c" }, {
      ...NO_KEY,
      passesClientKey: true,
    }], { ...ALWAYS, "x-api-key": "c" }],
    ["puts its own key where Anthropic's upstreams look for it", [{ "x-api-key": "c" }, {
      ...NO_KEY,
      apiKey: "sk",
      isAnthropic: true,
    }], { ...ALWAYS, "x-api-key": "sk", "anthropic-version": "2023-06-01" }],
    ["keeps the version that the client says", [{ "anthropic-version": "2024-01-01" }, {
      ...NO_KEY,
      isAnthropic: true,
    }], { ...ALWAYS, "anthropic-version": "2024-01-01" }],
    ["puts its own key in both places where an upstream speaks more than one dialect", [{
      "anthropic-version": "2023-06-01",
    }, { ...NO_KEY, apiKey: "sk" }], {
      ...ALWAYS,
      "anthropic-version": "2023-06-01",
      "x-api-key": "sk",
      authorization: "Bearer sk",
    }],
    ["lets the config's own fields stand", [{}, {
      ...NO_KEY,
      apiKey: "sk",
      isAnthropic: true,
    }, { "X-Api-Key": "own", "Anthropic-Version": "2025-01-01" }], {
      ...ALWAYS,
      "x-api-key": "own",
      "anthropic-version": "2025-01-01",
    }],
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
    ["keeps the client's address to itself, however a load balancer tells it", [{
      "true-client-ip": "10.0.0.1",
      "cf-connecting-ip": "10.0.0.1",
      "cf-connecting-ipv6": "fd00::1",
      "fastly-client-ip": "10.0.0.1",
      "x-client-ip": "10.0.0.1",
      "x-cluster-client-ip": "10.0.0.1",
      "x-azure-clientip": "10.0.0.1",
      "x-appengine-user-ip": "10.0.0.1",
      "x-remote-addr": "10.0.0.1",
      "x-envoy-external-address": "10.0.0.1",
      "x-forwarded": "for=10.0.0.1",
      "x-original-forwarded-for": "10.0.0.1",
      "x-client-name": "kept",
    }], { ...ALWAYS, "x-client-name": "kept" }],
    ["passes it on where go-gpt-server does", [
      { "cookie": "a=1", "x-forwarded-for": "10.0.0.1", "origin": "https://page.example" },
      { ...NO_KEY, passesClient: true },
    ], {
      ...ALWAYS,
      "cookie": "a=1",
      "x-forwarded-for": "10.0.0.1",
      "origin": "https://page.example",
    }],
    ["keeps the client's keys of other kinds to itself", [
      { "api-key": "a", "x-api-key": "b" },
      { ...PASSES_KEY, apiKey: "sk" },
    ], { ...ALWAYS, authorization: "Bearer sk" }],
    ["keeps every key of the client's to itself where the config adds one", [
      { "authorization": "Bearer c", "api-key": "c", "x-api-key": "c", "x-goog-api-key": "c" },
      PASSES_KEY,
      { "Api-Key": "weir's" },
    ], { ...ALWAYS, "api-key": "weir's" }],
    ["passes the client's key beside other headers of the config", [
      { authorization: "Bearer c" },
      PASSES_KEY,
      { "x-team": "blue" },
    ], { ...ALWAYS, authorization: "Bearer c", "x-team": "blue" }],
    ["passes nothing but what is listed, and what says how to read the body", [
      {
        "content-type": "application/json",
        "content-encoding": "gzip",
        "accept": "text/event-stream",
        "accept-encoding": "gzip",
        "user-agent": "me",
        "X-A": "1",
        "x-b": "2",
        "via": "1.1 nginx",
        "authorization": "Bearer c",
      },
      { ...PASSES_KEY, names: ["x-a"] },
      { "x-team": "blue" },
    ], {
      "content-type": "application/json",
      "content-encoding": "gzip",
      "accept": "text/event-stream",
      "accept-encoding": "identity",
      "via": "1.1 nginx, 1.1 weir",
      "x-a": "1",
      "x-team": "blue",
    }],
    ["passes what is listed as far as it may pass at all", [
      { "accept-encoding": "gzip", "authorization": "Bearer c", "te": "trailers", "cookie": "a=1" },
      { ...PASSES_KEY, names: ["accept-encoding", "authorization", "te", "cookie"] },
    ], { via: "1.1 weir", "accept-encoding": "gzip", authorization: "Bearer c" }],
    ["keeps a listed key of the client's to itself where weir has one", [
      { authorization: "Bearer c", "x-api-key": "c" },
      { ...PASSES_KEY, apiKey: "sk", names: ["authorization", "x-api-key"] },
    ], { ...ALWAYS, authorization: "Bearer sk" }],
    ["lets llm.headers replace anything, in any case", [
      { "x-a": "client", "authorization": "Bearer c", "accept-encoding": "gzip" },
      { ...NO_KEY, apiKey: "sk" },
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
