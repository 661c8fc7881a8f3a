import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/core/errors.ts";
import { type Engine, Exchange, type OpenStream } from "../../src/core/exchange.ts";
import type { Client } from "../../src/core/facts.ts";
import { Fields } from "../../src/lib/http1/fields.ts";
import { requestHead } from "../../src/lib/http1/request_head.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import { Admission, type AdmissionOptions } from "../../src/ops/admission.ts";
import { clientAddress } from "../../src/ops/client_address.ts";

const OPTIONS: AdmissionOptions = {
  url_max_bytes: 20,
  streams_max: 3,
  streams_per_client_max: 0,
  requests_waiting_max: 2,
};

/** Admission, and what it looks at. */
function admitting(
  options: Partial<AdmissionOptions> = {},
  { wantsAddresses = false, trusted = [] as readonly string[] } = {},
) {
  const streams = new Set<OpenStream>();
  const admission = new Admission({ ...OPTIONS, ...options }, {
    streams,
    addressOf: clientAddress(trusted),
    wantsAddresses,
  });
  const engine: Engine = {
    wheel: new Wheel(() => 0, () => {}),
    streams,
    watch: admission.watch,
    keepaliveMs: 0,
    writeTimeoutMs: 1000,
  };
  const clientOf = (peer: string | undefined, forwarded?: string) =>
    admission.clientOf({
      head: requestHead({
        fields: forwarded === undefined ? Fields.NONE : [["X-Forwarded-For", forwarded]],
      }),
      peer,
    });
  /** Why a request for `target` may not come in. */
  const check = (target: string, requestsOpen = 1, client?: Client): AppError | undefined =>
    admission.check({ head: requestHead({ target }), peer: "192.0.2.1", requestsOpen }, client);
  return {
    admission,
    clientOf,
    check,
    codeOf: (...given: Parameters<typeof check>) => check(...given)?.code,
    open(count: number) {
      for (; streams.size < count;) streams.add({ fail() {} });
    },
    /** A request of `client` that has come in. */
    ask(client: Client | undefined) {
      admission.count(client);
      const exchange = new Exchange(engine, "test", { method: "GET", client });
      return () => exchange.end("completed");
    },
  };
}

describe("Admission.check()", () => {
  const CASES: readonly (readonly [
    name: string,
    target: string,
    streams: number,
    requestsOpen: number,
    code: AppError["code"] | undefined,
  ])[] = [
    ["a request while nothing is open", "/v1", 0, 1, undefined],
    ["a URL as long as may be", "/".padEnd(20, "x"), 0, 1, undefined],
    ["a URL that is longer", "/".padEnd(21, "x"), 0, 1, "url_too_long"],
    ["the last stream", "/v1", 2, 3, undefined],
    ["a stream too many", "/v1", 3, 4, "streams_full"],
    ["the last request that may wait", "/v1", 0, 2, undefined],
    ["a request too many", "/v1", 0, 3, "requests_full"],
    ["requests that are streams already", "/v1", 2, 4, undefined],
    ["a request too many besides streams", "/v1", 2, 5, "requests_full"],
    ["health at the limit of streams", "/health", 3, 4, undefined],
    ["health at the limit of requests", "/health", 0, 9, undefined],
    ["metrics, with a query", "/metrics?a=1", 3, 9, undefined],
    ["what only begins as health does", "/healthy", 3, 4, "streams_full"],
    ["what lies below metrics", "/metrics/x", 0, 9, "requests_full"],
    ["health that is too long all the same", "/health?".padEnd(21, "x"), 0, 1, "url_too_long"],
  ];
  for (const [name, target, streams, requestsOpen, code] of CASES) {
    test(`${name}: ${code ?? "may come in"}`, () => {
      const { open, codeOf } = admitting();
      open(streams);
      expect(codeOf(target, requestsOpen)).toBe(code);
    });
  }

  for (
    const [name, given, key] of [
      ["too many streams", ["/v1", 9], "server.streams_max"],
      ["too many requests", ["/v1", 9], "server.requests_waiting_max"],
    ] as const
  ) {
    test(`says of ${name} which limit it is, and when to come again`, () => {
      const { open, check } = admitting();
      if (key === "server.streams_max") open(3);
      const error = check(...given);
      expect(error!.message).toContain(`(${key})`);
      expect(error!.headers).toEqual({ "retry-after": "1" });
    });
  }
});

describe("Admission.clientOf()", () => {
  const CASES: readonly (readonly [
    name: string,
    given: Parameters<typeof admitting>,
    client: Parameters<ReturnType<typeof admitting>["clientOf"]>,
    address: string | undefined,
  ])[] = [
    ["nobody's, where nobody wants to know", [], ["192.0.2.1"], undefined],
    [
      "the peer's, where clients are counted",
      [{ streams_per_client_max: 1 }],
      ["192.0.2.1"],
      "192.0.2.1",
    ],
    [
      "the peer's, where the log names it",
      [{}, { wantsAddresses: true }],
      ["192.0.2.1"],
      "192.0.2.1",
    ],
    [
      "what a proxy says that is trusted",
      [{}, { wantsAddresses: true, trusted: ["192.0.2.0/24"] }],
      ["192.0.2.1", "198.51.100.7"],
      "198.51.100.7",
    ],
    [
      "not what a stranger says",
      [{}, { wantsAddresses: true, trusted: ["203.0.113.0/24"] }],
      ["192.0.2.1", "198.51.100.7"],
      "192.0.2.1",
    ],
    ["unknown on a socket file", [{}, { wantsAddresses: true }], [undefined], ""],
  ];
  for (const [name, given, client, address] of CASES) {
    test(`is ${name}`, () => {
      const found = admitting(...given).clientOf(...client);
      expect(found?.address).toBe(address);
      if (found !== undefined) expect(found.isCounted).toBe(false);
    });
  }
});

describe("Admission, with a limit for each client", () => {
  const LIMIT = { streams_per_client_max: 2, streams_max: 100, requests_waiting_max: 100 };

  test("keeps a client out at its limit, and lets it in again when one of its requests ends", () => {
    const { ask, clientOf, codeOf } = admitting(LIMIT);
    const endFirst = ask(clientOf("192.0.2.1"));
    expect(codeOf("/v1", 1, clientOf("192.0.2.1"))).toBeUndefined();
    const endSecond = ask(clientOf("192.0.2.1"));
    expect(codeOf("/v1", 1, clientOf("192.0.2.1"))).toBe("client_streams_full");
    endFirst();
    expect(codeOf("/v1", 1, clientOf("192.0.2.1"))).toBeUndefined();
    endSecond();
    ask(clientOf("192.0.2.1"));
    expect(codeOf("/v1", 1, clientOf("192.0.2.1"))).toBeUndefined();
  });

  test("counts nobody for somebody else, and lets health in", () => {
    const { ask, check, clientOf, codeOf } = admitting(LIMIT);
    for (let i = 0; i < 2; i++) ask(clientOf("192.0.2.1"));
    expect(codeOf("/v1", 1, clientOf("192.0.2.2"))).toBeUndefined();
    expect(codeOf("/health", 1, clientOf("192.0.2.1"))).toBeUndefined();
    const error = check("/v1", 1, clientOf("192.0.2.1"));
    expect(error!.message).toContain("(server.streams_per_client_max)");
    expect(error!.headers).toEqual({ "retry-after": "1" });
  });

  test("counts a network of IPv6 as one client", () => {
    const { ask, clientOf, codeOf } = admitting(LIMIT);
    for (const last of ["1", "2"]) ask(clientOf(`2001:db8:1:2::${last}`));
    expect(codeOf("/v1", 1, clientOf("2001:db8:1:2:ffff::3"))).toBe("client_streams_full");
    expect(codeOf("/v1", 1, clientOf("2001:db8:1:3::1"))).toBeUndefined();
  });

  test("forgets what was counted once only, and nobody who was not", () => {
    const { admission, ask, clientOf, codeOf } = admitting(LIMIT);
    ask(clientOf("192.0.2.1"));
    const end = ask(clientOf("192.0.2.1"));
    // An exchange of a client that was turned away before it was counted.
    const engine = { wheel: new Wheel(() => 0, () => {}), streams: new Set<OpenStream>() };
    const turnedAway = new Exchange(
      { ...engine, watch: admission.watch, keepaliveMs: 0, writeTimeoutMs: 1 },
      "test",
      { method: "GET", client: clientOf("192.0.2.1") },
    );
    turnedAway.end("refused", new AppError("client_streams_full", "No"));
    expect(codeOf("/v1", 1, clientOf("192.0.2.1"))).toBe("client_streams_full");
    end();
    end();
    ask(clientOf("192.0.2.1"));
    expect(codeOf("/v1", 1, clientOf("192.0.2.1"))).toBe("client_streams_full");
  });
});

describe("Admission, without a limit for each client", () => {
  test("counts nobody", () => {
    const { admission, ask, clientOf, codeOf } = admitting({}, { wantsAddresses: true });
    expect(admission.countsClients).toBe(false);
    const client = clientOf("192.0.2.1");
    for (let i = 0; i < 9; i++) ask(client);
    expect(client!.isCounted).toBe(false);
    expect(codeOf("/v1", 1, client)).toBeUndefined();
    ask(undefined)();
  });
});
