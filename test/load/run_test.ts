import { afterEach, describe, expect, test } from "bun:test";
import type { AnswerForm } from "../../src/load/event_meaning.ts";
import { REMARK } from "../../src/load/remarks.ts";
import { textOf, TOKENS } from "../../src/load/record.ts";
import { type LoadPlan, LoadRun, type PreparedRequest, type RunFacts } from "../../src/load/run.ts";
import {
  chatEvent,
  chatEvents,
  chatPieces,
  chunkOf,
  LAST_CHUNK,
  type Script,
  STREAM_HEAD,
  type StubServer,
  stubServer,
} from "./stub_server.ts";

const REQUEST: PreparedRequest = {
  bytes: Buffer.from("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"),
  wantsEvents: true,
  form: "choices",
  leaveTokens: Infinity,
  readBytesPerSecond: Infinity,
  session: 0,
  turn: 0,
  promptTokens: NaN,
  tokensMax: NaN,
};

/** What is kept of a record: a run uses it again. */
interface Kept {
  readonly outcome: string;
  /** "phase status: text"; "" = it did not fail. */
  readonly failure: string;
  readonly said: string;
  readonly events: number;
  readonly isKept: boolean;
  readonly isWarmup: boolean;
  readonly times: readonly number[];
}

let server: StubServer | undefined;
afterEach(() => server?.stop());

async function load(
  script: Script | { readonly port: number },
  plan: Partial<LoadPlan> = {},
  request: Partial<PreparedRequest> = {},
): Promise<{ readonly records: readonly Kept[]; readonly facts: RunFacts }> {
  const records: Kept[] = [];
  if (typeof script === "function") server = stubServer(script);
  const port = typeof script === "function" ? server!.port : script.port;
  const run = new LoadRun({
    targets: [{ hostname: "127.0.0.1", port }],
    maker: { next: () => ({ ...REQUEST, ...request }), over: () => undefined },
    load: { kind: "closed", concurrency: 1, rampMs: 0 },
    durationMs: Infinity,
    requestsMax: 1,
    warmupMs: 0,
    warmupRequests: 0,
    graceMs: 10_000,
    timeoutMs: 20_000,
    connectMs: 10_000,
    keepsConnections: true,
    countTokens: (text) => text.length,
    clean: (text) => text.replaceAll("own-secret", "***"),
    observe(record) {
      const { failure, dueMs, sentMs, connectedMs, writtenMs, headMs, endMs } = record;
      records.push({
        outcome: record.outcome,
        failure: failure === undefined
          ? ""
          : `${failure.phase} ${failure.status ?? "-"}: ${failure.text}`,
        said: textOf(record, TOKENS),
        events: record.events,
        isKept: Number.isNaN(connectedMs),
        isWarmup: record.isWarmup,
        times: [
          dueMs,
          sentMs,
          connectedMs,
          writtenMs,
          headMs,
          ...record.readMs.subarray(
            0,
            record.reads,
          ),
          endMs,
        ].filter((ms) => !Number.isNaN(ms)),
      });
    },
    ...plan,
  });
  return { facts: await run.measure(), records };
}

const WORDS = ["Hi", " you", " 🌊"];
const json = (status: string, body: unknown, head = "") => {
  const text = JSON.stringify(body);
  return {
    pieces: [
      `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\n${head}` +
      `content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    ],
  };
};
const stream = (...events: readonly string[]) => ({
  pieces: [STREAM_HEAD, ...events.map(chunkOf), LAST_CHUNK],
});

/** Pieces of 1 MiB, of which no event has more than sixteen. */
const ENDLESS = Array.from({ length: 18 }, () => "a".repeat(1024 * 1024));

/** What a server does → how the request failed. */
const FAILURES: readonly (readonly [name: string, script: Script, failure: string])[] = [
  [
    "a line without an end",
    () => ({ pieces: [STREAM_HEAD, chunkOf("data: "), ...ENDLESS.map(chunkOf)] }),
    "body 200: an event is over 16 MiB",
  ],
  [
    "an error page without an end",
    () => ({ pieces: ["HTTP/1.1 500 No\r\n\r\n", ...ENDLESS] }),
    `head 500: ${"a".repeat(160)}…`,
  ],
  ["a status", () => json("503 No", { error: { message: "full" } }), "head 503: full"],
  ["no key", () => json("401 No", { error: { message: "who?" } }), "head 401: who?"],
  [
    "a redirect",
    () => json("302 Found", {}, "location: /there\r\n"),
    "head 302: redirects to /there",
  ],
  [
    "an error event",
    () => stream(chatEvent({ content: "a" }), 'data: {"error":{"message":"no"}}\n\n'),
    "body 200: no",
  ],
  [
    "an error event, and an end mark behind it",
    () => stream('data: {"error":"no"}\n\n', ...chatEvents(WORDS)),
    "body 200: no",
  ],
  ["no end mark", () => stream(...chatEvents(WORDS).slice(0, -1)), "end 200: no end mark"],
  [
    "no reason",
    () => stream(chatEvent({ content: "a" }), "data: [DONE]\n\n"),
    "end 200: no reason why it ended",
  ],
  ["an empty answer", () => stream(...chatEvents([])), "end 200: empty answer"],
  ["an empty stream", () => stream(), "end 200: empty answer"],
  [
    "a stream that breaks off",
    () => ({ pieces: chatPieces(WORDS).slice(0, 3), ending: "close" }),
    "body 200: broke off",
  ],
  ["nothing", () => ({ pieces: [], ending: "close" }), "head -: closed without an answer"],
  ["no HTTP", () => ({ pieces: ["SSH-2.0-OpenSSH\r\n"] }), "head -: the answer is no HTTP"],
  [
    "a whole answer",
    () => json("200 OK", {}),
    "head 200: the answer is no event stream: application/json",
  ],
  [
    "a page",
    () => ({
      pieces: ["HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 1\r\n\r\nx"],
    }),
    "head 200: the answer is no event stream: text/html",
  ],
  [
    "a choice that does not end",
    () =>
      stream(
        chatEvent({ content: "a" }, { index: 1 }),
        chatEvent({}, { finish_reason: "stop" }),
        "data: [DONE]\n\n",
      ),
    "end 200: no reason why choice 1 ended",
  ],
  [
    "a compressed answer",
    () => ({
      pieces: [STREAM_HEAD.replace("\r\n\r\n", "\r\ncontent-encoding: br\r\n\r\n0\r\n\r\n")],
    }),
    "head 200: compressed answers are not read: br",
  ],
  [
    "a stream of another API",
    () => stream('data: {"detail":"Not Found"}\n\n'),
    "body 200: no event is one of the API that was asked",
  ],
  [
    "an error that would colour the terminal, or turn the line around",
    () => json("500 No", { error: { message: "\x1b[31m红 👩‍💻\x07\u202e\n two" } }),
    "head 500: \\x1b[31m红 👩‍💻\\x07\\u202e two",
  ],
  [
    "a key that is said again",
    () => json("401 No", { error: { message: `${"x".repeat(150)} own-secret!` } }),
    `head 401: ${"x".repeat(150)} ***!`,
  ],
];

const NO_REASON = "end 200: no reason why it ended";
const SAID_IT = "body 200: it ended as ";

/** The word for how or why an answer ended → how its request failed; "" = it did not. */
const REASONS: readonly (readonly [unknown, string])[] = [
  ...["stop", "length", "content_filter", "eos_token", "end_turn", "refusal"].map((word) =>
    [word, ""] as const
  ),
  ...["abort", "error", "cancelled", "insufficient_system_resource", "network_error"].map((word) =>
    [word, `${SAID_IT}"${word}"`] as const
  ),
  [null, NO_REASON],
  ["", NO_REASON],
  [undefined, NO_REASON],
];
/** The status of a response → the same. */
const STATUSES: readonly (readonly [unknown, string])[] = [
  [undefined, ""],
  ["completed", ""],
  ["incomplete", ""],
  ["failed", `${SAID_IT}"failed"`],
  ["cancelled", `${SAID_IT}"cancelled"`],
  ["in_progress", NO_REASON],
  ["queued", NO_REASON],
];

const ev = (...events: readonly object[]) =>
  events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("");
const OUTPUT = [{ type: "message", content: [{ type: "output_text", text: "a" }] }];
const CONTENT = [{ type: "text", text: "a" }];

/** An answer of an API, whole or as a stream, by the word for its end. */
const ENDINGS: readonly (readonly [
  name: string,
  form: AnswerForm,
  words: typeof REASONS,
  answer: (word: unknown) => object | string,
])[] = [
  ["a whole chat", "choices", REASONS, (finish_reason) => ({
    choices: [{ message: { content: "a" }, finish_reason }],
  })],
  [
    "a chat",
    "choices",
    REASONS,
    (finish_reason) =>
      ev({ choices: [{ delta: { content: "a" }, finish_reason }] }) + "data: [DONE]\n\n",
  ],
  ["a whole completion", "choices", REASONS, (finish_reason) => ({
    choices: [{ text: "a", finish_reason }],
  })],
  ["a whole message", "message", REASONS, (stop_reason) => ({
    type: "message",
    content: CONTENT,
    stop_reason,
  })],
  ["a message", "message", REASONS, (stop_reason) =>
    ev(
      { type: "content_block_start", content_block: CONTENT[0] },
      { type: "message_delta", delta: { stop_reason }, usage: { output_tokens: 1 } },
      { type: "message_stop" },
    )],
  ["a whole response", "response", STATUSES, (status) => ({
    object: "response",
    status,
    output: OUTPUT,
  })],
  ...["completed", "incomplete"].map((event): (typeof ENDINGS)[number] => [
    `response.${event}`,
    "response",
    STATUSES,
    (status) =>
      ev({ type: "response.output_text.delta", delta: "a" }, {
        type: `response.${event}`,
        response: { status },
      }),
  ]),
  [
    "an error of a response",
    "response",
    [["died", "body 200: died"]],
    (message) =>
      ev({ type: "response.completed", response: { status: "failed", error: { message } } }),
  ],
  [
    "a response.cancelled",
    "response",
    [["", "body 200: response.cancelled"]],
    () => ev({ type: "response.cancelled", response: { error: null } }),
  ],
];

/** What a whole answer must be, the answer → how the request failed; "" = it did not. */
const FORMS = [
  ["choices", "text/html", "<p>", "head 200: the answer is no JSON: text/html"],
  ["choices", "application/json", '{"detail":"no"}', "body 200: the answer has no choices"],
  [
    "choices",
    "application/json",
    '{"choices":[{"finish_reason":"stop","message":{"content":" \\n"}}]}',
    "",
  ],
  ["any", "application/json", '{"choices":[{"message":{"content":"a"}}]}', ""],
  [
    "list",
    "application/json",
    '{"choices":[{"message":{"content":"a"}}]}',
    "body 200: the answer has no data",
  ],
  ["list", "application/json", '{"data":[{"embedding":[1]}]}', ""],
  ["list", "application/json", '{"data":[{"embedding":"AACAPw=="}]}', ""],
  ...[
    "",
    '{"embedding":[]}',
    '{"embedding":""}',
    '{"embedding":null}',
    '{"embedding":[1]},{"embedding":[]}',
  ].map((data) =>
    ["list", "application/json", `{"data":[${data}]}`, "end 200: empty answer"] as const
  ),
  [
    "choices",
    "text/event-stream",
    'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    "head 200: the answer is an event stream, and a whole one was asked for",
  ],
  ["data", "text/plain", "a", "head 200: the answer is no JSON: text/plain"],
  ["data", "application/json", '{"detail":"no"}', ""],
  ["data", "audio/mpeg", "a", ""],
  ["any", "text/html", "<p>", ""],
] as const;

const { oddUsage, farUsage } = REMARK;
const LONG = "a b ".repeat(2000);

/** The server's count of the answer's tokens, and of reasoning → what is used, and what is told. */
const COUNTS: readonly (readonly [unknown, string, number, number, number?])[] = [
  [3, "a", 3, 0],
  [0, "a", NaN, oddUsage],
  [-3, "a", NaN, oddUsage],
  [1.5, "a", NaN, oddUsage],
  ["x", "a", NaN, oddUsage],
  [1e15, "a", NaN, oddUsage],
  // However long it took: less than the quarter of an hour that so many tokens would take.
  [900_000_000, "a", NaN, oddUsage],
  [40, "a", 40, 0],
  [5000, "a", 5000, farUsage],
  [5000, "a", 5000, 0, 4990],
  [4000, LONG, 4000, 0],
  [8000, LONG, 8000, 0],
  [9000, LONG, 9000, farUsage],
  [70, LONG, 70, farUsage],
];

describe("LoadRun", () => {
  test("writes down one answer", async () => {
    const { records: [record], facts } = await load(() => ({ pieces: chatPieces(WORDS) }));
    expect(record).toMatchObject({
      outcome: "completed",
      failure: "",
      said: "Hi you 🌊",
      events: 7,
      isKept: false,
    });
    const { times } = record!;
    expect([...times].sort((a, b) => a - b)).toEqual([...times]);
    expect(facts).toMatchObject({ connectionsOpened: 1, requestsOnKept: 0, activeMax: 1 });
  });

  for (const [name, script, failure] of FAILURES) {
    test(`${name} is a failure`, async () => {
      const { records } = await load(script);
      expect(records.map((record) => record.failure)).toEqual([failure]);
      expect(records[0]!.outcome).toBe("failed");
    });
  }

  for (const [form, type, body, failure] of FORMS) {
    test(`${body} as ${type}, where ${form} was asked for`, async () => {
      const head = `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}`;
      const script: Script = () => ({ pieces: [`${head}\r\n\r\n${body}`] });
      const { records } = await load(script, {}, { wantsEvents: false, form });
      expect(records.map((record) => record.failure)).toEqual([failure]);
    });
  }

  for (const [name, form, words, answer] of ENDINGS) {
    for (const [word, failure] of words) {
      test(`${name} that ended as ${JSON.stringify(word)}`, async () => {
        const said = answer(word);
        const wantsEvents = typeof said === "string";
        const script = () => wantsEvents ? stream(said) : json("200 OK", said);
        const { records } = await load(script, {}, { wantsEvents, form });
        expect(records.map((record) => record.failure)).toEqual([failure]);
      });
    }
  }

  for (const [count, content, used, told, reasoning_tokens] of COUNTS) {
    const name = `of ${count} tokens for ${content.length} characters`;
    test(`${name} and ${reasoning_tokens ?? "no"} of reasoning ${used} are used`, async () => {
      const usage = {
        prompt_tokens: 5,
        completion_tokens: count,
        completion_tokens_details: { reasoning_tokens },
      };
      const body = { choices: [{ message: { content }, finish_reason: "stop" }], usage };
      const found: unknown[] = [];
      await load(() => json("200 OK", body), {
        observe: ({ usage, remarks }) => found.push(usage?.completionTokens, remarks),
      }, { wantsEvents: false });
      expect(found).toEqual([used, told]);
    });
  }

  /** How a kept connection goes, and for how often → the failures, and which were sent again */
  const GOING = [
    ["close", 1, ["", "", ""], [0, REMARK.resent, 0]],
    ["reset", 1, ["", "", ""], [0, REMARK.resent, 0]],
    ["close", 2, ["", "head -: closed without an answer", ""], [0, REMARK.resent, 0]],
  ] as const;
  for (const [ending, times, failures, remarks] of GOING) {
    test(`a kept connection that goes by ${ending} ${times} times`, async () => {
      const found: number[] = [];
      const records: string[] = [];
      const { facts } = await load(
        (_, number) =>
          number >= 1 && number <= times ? { pieces: [], ending } : { pieces: chatPieces(WORDS) },
        {
          requestsMax: 3,
          observe: ({ failure, remarks }) => {
            found.push(remarks);
            records.push(
              failure === undefined
                ? ""
                : `${failure.phase} ${failure.status ?? "-"}: ${failure.text}`,
            );
          },
        },
      );
      expect(records).toEqual([...failures]);
      expect(found).toEqual([...remarks]);
      expect(facts.connectionsOpened + facts.requestsOnKept).toBe(3);
    });
  }

  test("a server that is not there", async () => {
    const stub = stubServer(() => undefined);
    stub.stop();
    const { records: [record], facts } = await load({ port: stub.port });
    expect(record!.failure).toBe(
      `connect -: ECONNREFUSED: connection refused (127.0.0.1:${stub.port})`,
    );
    expect(facts.connectionsOpened).toBe(0);
  });

  test("a server that speaks no TLS", async () => {
    const stub = stubServer(() => ({ pieces: ["HTTP/1.1 400 Bad\r\n\r\n"], ending: "close" }));
    server = stub;
    const { records: [record] } = await load({ port: stub.port }, {
      targets: [{ hostname: "127.0.0.1", port: stub.port, tls: { serverName: "localhost" } }],
      timeoutMs: 500,
    });
    expect(record!.failure).toMatch(/^tls -: /);
  });

  test("one whose connection is never ready is given up, by the flag for it", async () => {
    const stub = stubServer(() => undefined);
    server = stub;
    const { records: [record] } = await load({ port: stub.port }, {
      targets: [{ hostname: "127.0.0.1", port: stub.port, tls: { serverName: "localhost" } }],
      connectMs: 100,
    });
    expect(record!.failure).toBe("tls -: no connection after 0.1 s (--connect-timeout)");
  });

  test("a server that says nothing is given up", async () => {
    const { records: [record] } = await load(() => undefined, { timeoutMs: 100 });
    expect(record!.failure).toBe("head -: timed out");
  });

  test("one that stops in the middle is given up where it is", async () => {
    const script: Script = () => ({ pieces: chatPieces(WORDS).slice(0, 3) });
    const { records: [record] } = await load(script, { timeoutMs: 1000 });
    expect(record!.failure).toBe("body 200: timed out");
  });

  test("connections are kept, and answers told apart", async () => {
    const { records, facts } = await load(
      (_, number) => ({ pieces: chatPieces([`answer ${number}`]) }),
      { requestsMax: 50 },
    );
    expect(records.map(({ said }) => said)).toEqual(records.map((_, i) => `answer ${i}`));
    expect(facts).toMatchObject({ connectionsOpened: 1, requestsOnKept: 49 });
    expect(records.filter(({ isKept }) => isKept).length).toBe(49);
  });

  test("an answer with a length in one piece, again and again", async () => {
    const body = chatEvents(WORDS).join("");
    const head = `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: ${
      Buffer.byteLength(body)
    }\r\n\r\n`;
    const { records } = await load(() => ({ pieces: [head + body] }), { requestsMax: 20 });
    expect(records.filter(({ outcome }) => outcome === "completed").length).toBe(20);
  });

  test("a connection for each request, where that is wanted", async () => {
    const { facts } = await load(() => ({ pieces: chatPieces(WORDS) }), {
      requestsMax: 5,
      keepsConnections: false,
    });
    expect(facts).toMatchObject({ connectionsOpened: 5, requestsOnKept: 0 });
  });

  test("a server that closes behind each answer gets a new connection", async () => {
    const { records } = await load(
      () => ({
        pieces: ["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n"]
          .concat(chatEvents(WORDS)),
        ending: "close",
      }),
      { requestsMax: 3 },
    );
    expect(records.map(({ outcome }) => outcome)).toEqual(["completed", "completed", "completed"]);
  });

  test("many at once in a closed loop", async () => {
    const { records, facts } = await load(() => ({ pieces: chatPieces(WORDS) }), {
      load: { kind: "closed", concurrency: 20, rampMs: 0 },
      requestsMax: 200,
    });
    expect(records.length).toBe(200);
    expect(records.every(({ outcome }) => outcome === "completed")).toBe(true);
    expect(facts.connectionsOpened).toBe(20);
    expect(facts.activeMax).toBe(20);
  });

  test("an open loop sends what is due, and no more", async () => {
    const { records } = await load(() => ({ pieces: chatPieces(WORDS) }), {
      load: { kind: "open", times: [0, 5, 5, 11, 30].values(), concurrencyMax: 100 },
      requestsMax: Infinity,
    });
    expect(records.map(({ times }) => times[0]!).sort((a, b) => a - b)).toEqual([0, 5, 5, 11, 30]);
    for (const { times: [dueMs, sentMs] } of records) {
      expect(sentMs!).toBeGreaterThanOrEqual(dueMs!);
    }
  });

  test("what has no place waits in the client, counted from when it was due", async () => {
    const { records, facts } = await load(() => ({ pieces: chatPieces(WORDS) }), {
      load: { kind: "open", times: [0, 0, 0, 0].values(), concurrencyMax: 1 },
      requestsMax: Infinity,
    });
    expect(records.map(({ times }) => times[0]!)).toEqual([0, 0, 0, 0]);
    expect(facts).toMatchObject({ activeMax: 1, waitingMax: 3, connectionsOpened: 1 });
    const sent = records.map(({ times }) => times[1]!);
    expect(sent[3]!).toBeGreaterThan(sent[0]!);
  });

  /** The client's own loop stands still for so long: nothing is sent, and nothing read. */
  const standStill = (atMs: number, forMs: number, then = () => {}) =>
    setTimeout(() => {
      const untilMs = performance.now() + forMs;
      while (performance.now() < untilMs);
      then();
    }, atMs);
  const every10 = () => Array.from({ length: 1000 }, (_, i) => 10 * (i + 1)).values();

  test("what was due while the client stood still at the end goes out late", async () => {
    standStill(100, 200);
    const { records, facts } = await load(() => ({ pieces: chatPieces(WORDS) }), {
      load: { kind: "open", times: every10(), concurrencyMax: 1000 },
      requestsMax: Infinity,
      durationMs: 200,
    });
    const due = records.map(({ times }) => times[0]!).sort((a, b) => a - b);
    expect(due).toEqual(Array.from({ length: 20 }, (_, i) => 10 * (i + 1)));
    expect(records.every(({ outcome }) => outcome === "completed")).toBe(true);
    // Twenty in 200 ms, and never 20 in the 190 from the first to the last.
    expect(facts.offeredMs).toBe(200);
    expect(facts.measuredMs).toBeGreaterThanOrEqual(200);
  });

  test("so does the next question of a conversation", async () => {
    standStill(50, 200);
    const { records } = await load(() => ({ pieces: chatPieces(WORDS) }), {
      load: { kind: "open", times: [1].values(), concurrencyMax: 1000 },
      maker: {
        next: () => REQUEST,
        over: (_, { turn, dueMs }) => dueMs < 50 && turn === 0 ? 100 : undefined,
      },
      requestsMax: Infinity,
      durationMs: 200,
    });
    expect(records.map(({ outcome }) => outcome)).toEqual(["completed", "completed"]);
  });

  test("one that is ended while it stands still counts what it owed", async () => {
    let sent = 0;
    let due = 0;
    const stub = stubServer(() => ({ pieces: chatPieces(WORDS) }));
    server = stub;
    const abort = new AbortController();
    standStill(100, 200, () => abort.abort());
    const { records } = await load({ port: stub.port }, {
      load: { kind: "open", times: every10(), concurrencyMax: 1000 },
      requestsMax: Infinity,
      signal: abort.signal,
      observe: ({ sentMs }) => void (Number.isNaN(sentMs) ? due++ : sent++),
    });
    expect(records).toEqual([]);
    expect(sent + due).toBeGreaterThanOrEqual(29);
    expect(due).toBeGreaterThanOrEqual(15);
  });

  /** plan → the window that requests were offered in, and how many were measured */
  const WINDOWS: readonly (readonly [string, Partial<LoadPlan>, number, number])[] = [
    ["a time, from its start", { durationMs: 100 }, 100, 10],
    ["a number, to the last that was due", { requestsMax: 7 }, 70, 7],
    ["behind a warm-up", { durationMs: 100, warmupMs: 40, warmupRequests: 4 }, 100, 10],
    ["a number behind one", { requestsMax: 5, warmupMs: 40, warmupRequests: 4 }, 50, 5],
  ];
  for (const [name, plan, offeredMs, measured] of WINDOWS) {
    test(`the window is ${name}`, async () => {
      const { records, facts } = await load(() => ({ pieces: chatPieces(WORDS) }), {
        load: { kind: "open", times: every10(), concurrencyMax: 1000 },
        requestsMax: Infinity,
        ...plan,
      });
      expect(records.filter(({ isWarmup }) => !isWarmup)).toHaveLength(measured);
      expect(facts.offeredMs).toBeCloseTo(offeredMs, 9);
      expect(facts.measuredMs).toBeGreaterThanOrEqual(facts.offeredMs);
    });
  }

  test("requests that warm up are marked", async () => {
    const { records } = await load(() => ({ pieces: chatPieces(WORDS) }), {
      requestsMax: 3,
      warmupRequests: 2,
    });
    expect(records.map(({ isWarmup }) => isWarmup)).toEqual([true, true, false, false, false]);
  });

  test("of arrivals at one moment only so many warm up", async () => {
    const { records } = await load(() => ({ pieces: chatPieces(WORDS) }), {
      load: { kind: "open", times: [5, 5, 5, 5].values(), concurrencyMax: 1 },
      requestsMax: Infinity,
      warmupMs: 5,
      warmupRequests: 3,
    });
    expect(records.map(({ isWarmup }) => isWarmup)).toEqual([true, true, true, false]);
  });

  for (const [index, count] of [[0, 1], [0, 2], [1, 2]] as const) {
    test(`users have their time behind requests that warm up: part ${index + 1} of ${count}`, async () => {
      // The second user's part has none of the one that warms up, and its time begins with its first.
      let firstMs = Infinity;
      let lastMs = 0;
      const { facts, records } = await load(() => ({ pieces: chatPieces(WORDS) }), {
        shard: { index, count },
        load: { kind: "closed", concurrency: 2, rampMs: 0 },
        requestsMax: Infinity,
        durationMs: 100,
        warmupRequests: 1,
        maker: { next: () => REQUEST, over: () => 10 },
        observe({ isWarmup, dueMs }) {
          if (isWarmup) return;
          firstMs = Math.min(firstMs, dueMs);
          lastMs = Math.max(lastMs, dueMs);
        },
      });
      expect(records).toEqual([]);
      expect(facts.offeredMs).toBeCloseTo(100, 9);
      expect(lastMs - firstMs).toBeLessThanOrEqual(facts.measuredMs);
    });
  }

  test("a warm-up of more requests than are sent leaves nothing to measure", async () => {
    const { facts, records } = await load(() => ({ pieces: chatPieces(WORDS) }), {
      load: { kind: "open", times: [0, 5].values(), concurrencyMax: 9 },
      requestsMax: Infinity,
      durationMs: 50,
      warmupMs: 5,
      warmupRequests: 9,
    });
    expect(records.map(({ isWarmup }) => isWarmup)).toEqual([true, true]);
    expect(facts.measuredMs).toBeLessThan(20_000);
  });

  test("what is not sent when the grace is over never is", async () => {
    // Each request is made so slowly that no more than a few can be sent in time.
    let made = 0;
    let notSent = 0;
    const { facts } = await load(() => undefined, {
      load: { kind: "open", times: every10(), concurrencyMax: 1000 },
      requestsMax: Infinity,
      durationMs: 1000,
      graceMs: 100,
      maker: {
        next() {
          made++;
          const untilMs = performance.now() + 50;
          while (performance.now() < untilMs);
          return REQUEST;
        },
        over: () => undefined,
      },
      observe({ sentMs }) {
        if (Number.isNaN(sentMs)) notSent++;
      },
    });
    expect(made + notSent).toBe(100);
    expect(notSent).toBeGreaterThan(0);
    expect(facts.offeredMs).toBe(1000);
  });

  test("a client that leaves after some tokens hangs up, and has not failed", async () => {
    const script: Script = () => ({ pieces: chatPieces(["a", "b", "c"]).slice(0, 4) });
    const { records: [record] } = await load(script, {}, { leaveTokens: 2 });
    expect(record).toMatchObject({ outcome: "left", failure: "", said: "ab" });
  });

  test("a slow reader reads it all", async () => {
    const { records: [record] } = await load(
      () => ({ pieces: chatPieces(WORDS) }),
      {},
      { readBytesPerSecond: 20_000 },
    );
    expect(record).toMatchObject({ outcome: "completed", said: "Hi you 🌊" });
  });

  test("what is under way when the time is over is unfinished, not failed", async () => {
    const { records, facts } = await load(() => undefined, {
      durationMs: 50,
      graceMs: 0,
      requestsMax: Infinity,
    });
    expect(records.map(({ outcome }) => outcome)).toEqual(["unfinished"]);
    expect(facts.isInterrupted).toBe(false);
  });

  test("an interrupted run ends at once, and says so", async () => {
    const abort = new AbortController();
    const { records, facts } = await load(
      () => {
        abort.abort();
        return undefined;
      },
      { signal: abort.signal, requestsMax: Infinity },
    );
    expect(records.map(({ outcome }) => outcome)).toEqual(["unfinished"]);
    expect(facts.isInterrupted).toBe(true);
  });

  test("conversations go on behind the end of the schedule", async () => {
    let turns = 0;
    const { records } = await load(() => ({ pieces: chatPieces(WORDS) }), {
      load: { kind: "open", times: [0].values(), concurrencyMax: 9 },
      requestsMax: Infinity,
      maker: { next: () => ({ ...REQUEST, turn: turns++ }), over: () => turns < 3 ? 1 : undefined },
    });
    expect(records.length).toBe(3);
  });

  test("a question is due so long behind the answer before it, and never sent before that", async () => {
    let turns = 0;
    const { records } = await load(() => ({ pieces: chatPieces(WORDS) }), {
      load: { kind: "open", times: [0].values(), concurrencyMax: 9 },
      requestsMax: Infinity,
      maker: {
        next: () => ({ ...REQUEST, turn: turns++ }),
        over: () => turns < 20 ? 1.7 : undefined,
      },
    });
    expect(records.length).toBe(20);
    for (const [i, { times: [dueMs, sentMs] }] of records.slice(1).entries()) {
      const endMs = records[i]!.times.at(-1)!;
      expect(dueMs!).toBeCloseTo(endMs + 1.7, 6);
      expect(sentMs!).toBeGreaterThanOrEqual(dueMs!);
    }
  });

  /** users (undefined: an open loop), shards, requests, of which so many warm up */
  const SHARED = [[undefined, 3, 10, 4], [5, 3, 17, 2], [2, 3, 5, 1]] as const;
  for (const [users, count, requests, warmup] of SHARED) {
    const name = users === undefined ? "arrivals" : `${users} users`;
    test(`${requests} requests of ${name} over ${count} runs: each once, the first warm up`, async () => {
      const numbers: number[] = [];
      const warm: number[] = [];
      const places: number[] = [];
      for (let index = 0; index < count; index++) {
        const { facts } = await load(() => ({ pieces: chatPieces(WORDS) }), {
          shard: { index, count },
          load: users === undefined
            ? { kind: "open", times: Array<number>(requests).fill(0).values(), concurrencyMax: 30 }
            : { kind: "closed", concurrency: users, rampMs: 0 },
          requestsMax: requests - warmup,
          warmupRequests: warmup,
          maker: { next: () => REQUEST, over: () => undefined },
          observe({ number, isWarmup }) {
            numbers.push(number);
            if (isWarmup) warm.push(number);
          },
        });
        server!.stop();
        places.push(facts.activeMax);
      }
      const upTo = (most: number) => Array.from({ length: most }, (_, i) => i);
      expect(numbers.sort((a, b) => a - b)).toEqual(upTo(requests));
      if (users === undefined) expect(warm.sort((a, b) => a - b)).toEqual(upTo(warmup));
      expect(warm.length).toBe(warmup);
      if (users !== undefined) expect(places.reduce((sum, one) => sum + one)).toBe(users);
    });
  }

  test("what is due in years is waited for, and not sent at once", async () => {
    const warnings: string[] = [];
    const note = ({ name }: Error) => void warnings.push(name);
    process.on("warning", note);
    const abort = new AbortController();
    const { records } = await load(() => ({ pieces: chatPieces(WORDS) }), {
      load: { kind: "open", times: [0, 3e12].values(), concurrencyMax: 1 },
      requestsMax: 2,
      signal: abort.signal,
      // Its record is the first that is over: by then the timer of the second is set.
      maker: { next: () => REQUEST, over: () => void setTimeout(() => abort.abort(), 50) },
    });
    process.off("warning", note);
    expect(records.map(({ outcome }) => outcome)).toEqual(["completed"]);
    expect(warnings).toEqual([]);
  });

  test("a ramp of users is spread over the runs as over one", async () => {
    const starts: number[] = [];
    for (let index = 0; index < 2; index++) {
      await load(() => ({ pieces: chatPieces(WORDS) }), {
        shard: { index, count: 2 },
        load: { kind: "closed", concurrency: 3, rampMs: 30 },
        requestsMax: Infinity,
        durationMs: 60,
        maker: {
          next(slot, dueMs) {
            const place = 2 * slot + index;
            starts[place] = Math.min(starts[place] ?? Infinity, dueMs);
            return REQUEST;
          },
          over: () => 10,
        },
      });
      server!.stop();
    }
    expect(starts.length).toBe(3);
    starts.forEach((ms, place) => expect(ms).toBeGreaterThanOrEqual(10 * place));
  });
});
