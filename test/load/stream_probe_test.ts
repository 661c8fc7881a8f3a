import { afterAll, describe, expect, test } from "bun:test";
import {
  eventEnds,
  knownAnswer,
  learnSchedule,
  maskVarying,
  type Probe,
  probe,
  requestBytes,
  targetOf,
} from "../../src/load/stream_probe.ts";

const encoder = new TextEncoder();

const ENDS: readonly (readonly [name: string, body: string, events: readonly string[]])[] = [
  ["line feeds", "data: a\n\ndata: b\n\n", ["data: a\n\n", "data: b\n\n"]],
  ["carriage returns", "data: a\r\n\r\ndata: b\r\n\r\n", ["data: a\r\n\r\n", "data: b\r\n\r\n"]],
  ["several lines", "event: x\ndata: a\n\ndata: b\n\n", ["event: x\ndata: a\n\n", "data: b\n\n"]],
  ["a comment goes with what follows", ": hi\n\ndata: a\n\n", [": hi\n\ndata: a\n\n"]],
  ["half an event is none", "data: a\n\ndata: b\n", ["data: a\n\n"]],
  ["JSON is none", `{"error":{}}\n`, []],
];

describe("eventEnds()", () => {
  for (const [name, body, events] of ENDS) {
    test(name, () => {
      const bytes = encoder.encode(body);
      const ends = eventEnds(bytes);
      const found = ends.map((end, i) =>
        new TextDecoder().decode(bytes.subarray(i === 0 ? 0 : ends[i - 1], end))
      );
      expect(found).toEqual([...events]);
    });
  }
});

const BODY = `data: {"id":"chatcmpl-abc","created":1234567890,"x":"id 文"}\n\ndata: [DONE]\n\n`;

/** own headers → the head's lines behind the first */
const HEADS: readonly (readonly [Readonly<Record<string, string>>, readonly string[]])[] = [
  [{}, [
    "Host: h:1",
    "Accept: */*",
    "Accept-Encoding: identity",
    "Content-Type: application/json",
    "Content-Length: 2",
  ]],
  [
    { host: "x", "content-type": "text/plain" },
    [
      "Accept: */*",
      "Accept-Encoding: identity",
      "Content-Length: 2",
      "host: x",
      "content-type: text/plain",
    ],
  ],
];

describe("requestBytes()", () => {
  for (const [headers, lines] of HEADS) {
    test(`an own header stands in place of the usual: ${Object.keys(headers).join(" ")}`, () => {
      const [head = ""] = Buffer.from(requestBytes("http://h:1/p", "{}", headers)).toString()
        .split("\r\n\r\n");
      expect(head.split("\r\n").slice(1)).toEqual([...lines]);
    });
  }
});

describe("knownAnswer()", () => {
  test("leaves ids and times open and nothing else", () => {
    const other = BODY.replace("chatcmpl-abc", "chatcmpl-xyz").replace("1234567890", "1999999999");
    const known = knownAnswer([BODY, other].map((body) => encoder.encode(body)))!;
    const open = [...known.bytes].filter((byte) => byte === -1).length;
    expect(open).toBe("chatcmpl-abc".length + "1234567890".length);
    expect(known.bytes.length).toBe(encoder.encode(BODY).length);
    expect(known.ends.length).toBe(2);
  });

  const NONE: readonly (readonly [name: string, bodies: readonly string[]])[] = [
    ["no answer", []],
    ["answers that differ", [BODY, BODY.replace("文", "字")]],
    ["ids of different width", [BODY, BODY.replace("abc", "abcd")]],
    ["a body that is no event stream", [`{"error":1}`]],
    ["a body that ends within an event", [BODY.slice(0, -1)]],
  ];
  for (const [name, bodies] of NONE) {
    test(`gives none for ${name}`, () => {
      expect(knownAnswer(bodies.map((body) => encoder.encode(body)))).toBeUndefined();
    });
  }
});

test("maskVarying() makes two answers to one request equal", () => {
  expect(maskVarying(encoder.encode(`{"id":"ab","created":12,"created_at":1.5,"said":"ab"}`))).toBe(
    `{"id":"••","created":••,"created_at":•••,"said":"ab"}`,
  );
});

function probedAt(...eventsMs: readonly number[]): Probe {
  const head = {
    status: 200,
    headers: new Map<string, string>(),
    framing: "chunked" as const,
    keepsAlive: true,
    field: () => "",
  };
  return { head, body: new Uint8Array(), wireBytes: 0, eventsMs };
}

describe("learnSchedule()", () => {
  const CASES: readonly (readonly [
    name: string,
    probes: readonly (readonly number[])[],
    dueMs: readonly number[] | undefined,
  ])[] = [
    ["takes the earliest, in whole milliseconds", [[0.9, 50.8, 101.2], [0.4, 52.1, 100.6]], [
      0,
      50,
      100,
    ]],
    ["never goes back", [[3.2, 3.1]], [3, 3]],
    ["gives none when the probes disagree", [[0, 50], [0, 90]], undefined],
    ["gives none when one has more events", [[0, 50], [0, 50, 60]], undefined],
    ["gives none without events", [[]], undefined],
    ["gives none without probes", [], undefined],
  ];
  for (const [name, probes, dueMs] of CASES) {
    test(name, () => {
      const learnt = learnSchedule(probes.map((eventsMs) => probedAt(...eventsMs)));
      expect(learnt === undefined ? undefined : [...learnt]).toEqual(dueMs as number[] | undefined);
    });
  }
});

describe("probe()", () => {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const { pathname, search } = new URL(request.url);
      if (pathname === "/hang") return new Promise<Response>(() => {});
      const seen = [request.method, search, request.headers.get("x-a"), await request.text()];
      return new Response(`data: ${seen.join(" ")}\n\n`);
    },
  });
  afterAll(() => server.stop(true));

  test("sends the request as asked and reads the whole answer", async () => {
    const url = `http://127.0.0.1:${server.port}/p?q=1`;
    const found = await probe(
      targetOf(url, requestBytes(url, `{"a":"时间🌊"}`, { "X-A": "b" })),
      5000,
    );
    expect(new TextDecoder().decode(found.body)).toBe(`data: POST ?q=1 b {"a":"时间🌊"}\n\n`);
    expect(found.head.status).toBe(200);
    expect(found.eventsMs.length).toBe(1);
    expect(found.wireBytes).toBeGreaterThan(found.body.length + 50);
  });

  test("without a body it asks with GET", async () => {
    const url = `http://127.0.0.1:${server.port}/`;
    const found = await probe(targetOf(url, requestBytes(url, undefined)), 5000);
    expect(new TextDecoder().decode(found.body)).toStartWith("data: GET");
  });

  test("gives up after its time", async () => {
    const url = `http://127.0.0.1:${server.port}/hang`;
    const asked = probe(targetOf(url, requestBytes(url, undefined)), 50);
    await expect(asked).rejects.toThrow("There is no whole answer after 50 ms");
  });
});
