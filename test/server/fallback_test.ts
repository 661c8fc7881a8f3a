import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { CHAT, DONE, EVENT, gate, whole } from "./proxied.ts";
import { connect, parseRaw, rawChat, type RawResponse } from "./raw_client.ts";
import {
  type Act,
  act,
  chunk,
  headText,
  LAST_CHUNK,
  response,
  type Script,
  scriptedUpstream,
  sseHead,
} from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const JSON_HEAD = headText("200 OK", {
  "content-type": "application/json",
  "transfer-encoding": "chunked",
});
const LAST_EVENT = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n';
const REFUSAL = '{"error":{"message":"no","type":"x","param":null,"code":null}}';

let first: Script = () => whole(EVENT, DONE);
let second: Script = () => whole(EVENT, DONE);
const one = scriptedUpstream((request) => first(request));
const two = scriptedUpstream((request) => second(request));
let weir: Weir;
/** Requests that each had before a test. */
let before = [0, 0];

/** Requests since the test began: of the first upstream, and of the second. */
function asked(): readonly number[] {
  return [one.requests.length - before[0]!, two.requests.length - before[1]!];
}

async function chat(body = CHAT, path = "/v1/chat/completions"): Promise<RawResponse> {
  const request = rawChat(body, ["Connection: close"]).toString()
    .replace("/v1/chat/completions", path);
  const client = await connect(weir.port, Buffer.from(request));
  return parseRaw(await client.closed);
}

beforeAll(async () => {
  const upstream = (name: string, url: string, retries: number) =>
    `  - {name: ${name}, base_url: "${url}/v1", retries: ${retries}, speaks: [openai_chat],
     breaker_share: 0, resend: ${
      retries === 0 ? "never" : "auto"
    }, headers_timeout_ms: 2000, first_token_timeout_ms: 2000, idle_timeout_ms: 2000}\n`;
  weir = await launch({
    files: {
      "config.yaml": `server: {keepalive_ms: 0}
upstreams:
${upstream("one", one.url, 0)}${upstream("again", one.url, 1)}${upstream("two", two.url, 0)}
  - {name: silent, base_url: "${one.url}/v1", retries: 0, breaker_share: 0, first_token_timeout_ms: 500}
  - {name: calm, base_url: "${one.url}/v1", retries: 0, speaks: [openai_chat], breaker_share: 0}
  - {name: serene, base_url: "${two.url}/v1", retries: 0, speaks: [openai_chat], breaker_share: 0}
  - {name: away, base_url: "http://127.0.0.1:1/v1", retries: 0}
routes:
  - {match: {model: hedged}, to: [calm, serene], hedge_ms: 100}
  - {match: {model: calm}, to: [calm, serene]}
  - {match: {model: early}, to: [one, two], hedge_ms: 60000}
  - {match: {model: threefold}, to: [one, silent, two], hedge_ms: 100}
  - {name: patient, match: {model: retried}, to: [again, two]}
  - {match: {model: away}, to: [away, two]}
  - {match: {model: three}, to: [away, one, two]}
  - {match: {model: mocked}, to: [one, mock]}
  - {to: [one, two]}
`,
    },
  });
});
afterEach(() => {
  first = second = () => whole(EVENT, DONE);
});
afterAll(async () => {
  await weir.stop();
  one.close();
  two.close();
});

/** A test of what is answered, and how often each upstream was asked. */
function each(name: string, work: () => Promise<void>): void {
  test(name, () => {
    before = [one.requests.length, two.requests.length];
    return work();
  });
}

const REFUSED = ["408", "409", "425", "429", "500", "502", "503", "504", "529"];

const RESET: readonly Act[] = [act.reset];
const CLOSED: readonly Act[] = [act.end];

/** Everything that can go wrong before the first byte, and what is asked once more after it. */
const EARLY: readonly (readonly [string, readonly Act[], boolean])[] = [
  ["a connection that is reset", RESET, true],
  ["a connection that closes", CLOSED, true],
  ["half a head", [act.send("HTTP/1.1 200 OK\r\nA:"), act.reset], false],
  ["no head", [act.stall], false],
  ["no first event", [act.send(sseHead()), act.stall], false],
  ["comments only", [act.send(sseHead()), act.send(chunk(": wait\n\n")), act.stall], false],
  ["no JSON", [act.send(JSON_HEAD), act.stall], false],
  ["a stream that is reset at once", [act.send(sseHead()), act.reset], false],
  ["a stream that closes behind half an event", [
    act.send(sseHead()),
    act.send(chunk(EVENT.slice(0, 20))),
    act.end,
  ], false],
  ["an event that is an error", whole('data: {"error":{"message":"busy"}}\n\n'), false],
  ["the same in a body with a length", [
    act.send(response('data: {"error":{"message":"busy"}}\n\n', {
      "content-type": "text/event-stream",
    })),
  ], false],
  ["the same behind a comment, in pieces", [
    act.send(sseHead()),
    act.send(chunk(": hi\n\nda")),
    act.send(chunk('ta: {"error":')),
    act.send(chunk('"no"}\r\n\r\n')),
    act.stall,
  ], false],
  ...REFUSED.map((status) =>
    [
      `the status ${status}`,
      [act.send(response(REFUSAL, {}, `${status} No`))],
      status !== "425",
    ] as const
  ),
];

describe("what fails before its first byte is asked for elsewhere", () => {
  for (const [name, acts, isRetried] of EARLY) {
    for (const isStream of [true, false]) {
      each(`${name}, ${isStream ? "a stream" : "a whole answer"} wanted`, async () => {
        first = () => acts;
        const body = CHAT.replace("true", String(isStream));
        const { status, body: said, isWhole } = await chat(body);
        expect([status, said.toString(), isWhole]).toEqual([200, EVENT + DONE, true]);
        expect(asked()).toEqual([1, 1]);
        expect(two.requests.at(-1)!.body.toString()).toBe(body);
      });
    }

    each(`${name}: the first one is asked again before that, where it may be`, async () => {
      first = () => acts;
      const { status, body } = await chat(CHAT.replace("gpt-4o", "retried"));
      expect([status, body.toString()]).toEqual([200, EVENT + DONE]);
      const [times, later] = asked();
      expect(later).toBe(1);
      // One more where a kept connection turned out to be closed.
      expect(times).toBeOneOf(acts === RESET || acts === CLOSED ? [2, 3] : [isRetried ? 2 : 1]);
    });

    each(`${name}, said in another dialect`, async () => {
      first = () => acts;
      second = () => whole(EVENT, LAST_EVENT, DONE);
      const turn =
        '{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],"stream":true}';
      const { status, body } = await chat(turn, "/v1/messages");
      expect([status, body.toString().includes("水 🌊")]).toEqual([200, true]);
      expect(body.toString()).not.toContain("error");
      expect(asked()).toEqual([1, 1]);
    });
  }

  each("a refusal that does not end: its upstream is left", async () => {
    const { aborted } = one;
    const head = headText("503 No", { "content-length": "99" });
    first = () => [act.send(head), act.send("12345"), act.stall];
    expect((await chat(CHAT.replace("gpt-4o", "calm"))).body.toString()).toBe(EVENT + DONE);
    await waitFor(() => one.aborted > aborted, "it to be left");
    first = () => whole(EVENT, DONE);
    expect((await chat()).body.toString()).toBe(EVENT + DONE);
  });

  each("an upstream that is not there", async () => {
    expect((await chat(CHAT.replace("gpt-4o", "away"))).body.toString()).toBe(EVENT + DONE);
    expect(asked()).toEqual([0, 1]);
  });

  each("two of three", async () => {
    first = () => [act.send(response(REFUSAL, {}, "503 No"))];
    expect((await chat(CHAT.replace("gpt-4o", "three"))).body.toString()).toBe(EVENT + DONE);
    expect(asked()).toEqual([1, 1]);
  });

  each("the mock may be the last", async () => {
    first = () => [act.reset];
    const { status, body } = await chat(CHAT.replace("gpt-4o", "mocked"));
    expect([status, body.toString().includes("powered")]).toEqual([200, true]);
    expect(asked()).toEqual([1, 0]);
  });

  each("other paths, for a request that names a model", async () => {
    first = () => [act.send(response(REFUSAL, {}, "503 No"))];
    second = () => [act.send(response("{}", { "content-type": "application/json" }))];
    const { status, body } = await chat('{"model":"m","input":"x"}', "/v1/embeddings");
    expect([status, body.toString()]).toEqual([200, "{}"]);
    expect(asked()).toEqual([1, 1]);
  });
});

describe("an answer tells the way it took", () => {
  const TOLD = /^x-weir-(upstream|attempts|route): (.*)\r$/gm;
  const told = ({ head }: RawResponse) =>
    Object.fromEntries([...head.matchAll(TOLD)].map(([, name, value]) => [name, value]));
  const overheadOf = ({ head }: RawResponse) => /^x-weir-overhead-us: (\d+)\r$/m.exec(head)?.[1];

  each("of the first upstream", async () => {
    const answer = await chat();
    expect(told(answer)).toEqual({ upstream: "one", attempts: "1" });
    expect(overheadOf(answer)).toBeDefined();
  });

  each("of the second, after tries of the first", async () => {
    first = () => [act.send(response(REFUSAL, {}, "503 No"))];
    const answer = await chat(CHAT.replace("gpt-4o", "retried"));
    expect(told(answer)).toEqual({ upstream: "two", attempts: "3", route: "patient" });
  });

  each("without the time that an upstream took", async () => {
    const { opened, open } = gate();
    second =
      () => [act.send(sseHead()), act.wait(opened), act.send(chunk(EVENT)), act.send(LAST_CHUNK)];
    first = () => [act.send(response(REFUSAL, {}, "503 No"))];
    const answering = chat();
    setTimeout(open, 1500);
    const answer = await answering;
    expect(told(answer)).toEqual({ upstream: "two", attempts: "2" });
    expect(Number(overheadOf(answer))).toBeLessThan(1_500_000);
  });

  each("said in another dialect, in one piece, and as an error", async () => {
    second = () => whole(EVENT, LAST_EVENT, DONE);
    const turn = '{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}';
    expect(told(await chat(turn, "/v1/messages"))).toEqual({ upstream: "one", attempts: "1" });
    first = second = () => [act.send(response(REFUSAL, {}, "503 No"))];
    const refused = await chat(turn, "/v1/messages");
    expect([refused.status, told(refused)]).toEqual([503, { upstream: "two", attempts: "2" }]);
  });

  each("of the mock, which no upstream was asked before", async () => {
    first = () => [act.reset];
    expect(told(await chat(CHAT.replace("gpt-4o", "mocked")))).toEqual({
      upstream: "mock",
      attempts: "1",
    });
  });

  each("on the other paths", async () => {
    first = () => [act.send(response("{}", { "content-type": "application/json" }))];
    expect(told(await chat('{"model":"m","input":"x"}', "/v1/embeddings"))).toEqual({
      upstream: "one",
      attempts: "1",
    });
  });
});

test("a weir without routes, or one that is told not to, tells nothing of them", async () => {
  const { url } = two;
  for (
    const config of [
      `llm: {base_url: "${url}/v1"}\n`,
      `ops: {route_headers: false}\nllm: {base_url: "${url}/v1"}\nroutes: [{to: [llm]}]\n`,
    ]
  ) {
    const other = await launch({ files: { "config.yaml": config } });
    try {
      const client = await connect(other.port, rawChat(CHAT, ["Connection: close"]));
      const { status, head } = parseRaw(await client.closed);
      expect([status, head.includes("x-weir-")]).toEqual([200, false]);
    } finally {
      await other.stop();
    }
  }
});

describe("what is asked for nowhere else", () => {
  for (const status of ["400", "401", "403", "404", "413", "422"]) {
    each(`the status ${status}`, async () => {
      first = () => [act.send(response(REFUSAL, {}, `${status} No`))];
      const answer = await chat();
      expect([answer.status, answer.body.toString()]).toEqual([Number(status), REFUSAL]);
      expect(asked()).toEqual([1, 0]);
    });
  }

  each("a stream that breaks behind its first event", async () => {
    first = () => [act.send(sseHead()), act.send(chunk(EVENT)), act.reset];
    const { body } = await chat();
    expect(body.toString()).toStartWith(`${EVENT}data: {"error":`);
    expect(body.toString()).not.toContain("[DONE]");
    expect(asked()).toEqual([1, 0]);
  });

  each("an error behind the first event", async () => {
    const bytes = `${EVENT}data: {"error":{"message":"busy"}}\n\n`;
    first = () => whole(bytes);
    expect((await chat()).body.toString()).toBe(bytes);
    expect(asked()).toEqual([1, 0]);
  });

  each("a null error in a chunk", async () => {
    const bytes = EVENT.replace("{", '{"error":null,') + DONE;
    first = () => whole(bytes);
    expect((await chat()).body.toString()).toBe(bytes);
    expect(asked()).toEqual([1, 0]);
  });

  each("what the last one says, whatever it is", async () => {
    first = () => [act.reset];
    second = () => [act.send(response(REFUSAL, { "retry-after": "90" }, "429 No"))];
    const { status, head, body } = await chat();
    expect([status, body.toString()]).toEqual([429, REFUSAL]);
    expect(head).toContain("retry-after: 90");
    expect(asked()).toEqual([1, 1]);
  });

  const windows: readonly (readonly [string, readonly Act[]])[] = [
    ["before the head", []],
    ["before the first event", [act.send(sseHead())]],
    ["in the first event", [act.send(sseHead()), act.send(chunk(EVENT.slice(0, 9)))]],
  ];
  for (const [window, acts] of windows) {
    each(`what its client left ${window}`, async () => {
      const { opened, open } = gate();
      first = () => [...acts, act.wait(opened), act.stall];
      const { aborted } = one;
      const client = await connect(weir.port, rawChat(CHAT));
      await waitFor(() => asked()[0] === 1, "the upstream to be asked");
      client.leave();
      open();
      await waitFor(() => one.aborted > aborted, "the upstream to be left");
      first = () => whole(EVENT, DONE);
      await chat(); // whatever else would have been asked, would have been before this
      expect(asked()).toEqual([2, 0]);
    });
  }
});

test("where an answer is finished for a client that has left, nobody else is asked for it", async () => {
  const drained = scriptedUpstream(
    () => [act.wait(failing.opened), act.send(response(REFUSAL, {}, "503 No"))],
  );
  const failing = gate();
  const spare = scriptedUpstream(() => whole(EVENT, DONE));
  const other = await launch({
    set: { "chat.on_disconnect": "drain" },
    files: {
      "config.yaml": `upstreams:
  - {name: drained, base_url: "${drained.url}/v1", retries: 0}
  - {name: spare, base_url: "${spare.url}/v1", retries: 0}
routes: [{to: [drained, spare]}]
`,
    },
  });
  try {
    const client = await connect(other.port, rawChat(CHAT));
    await waitFor(() => drained.requests.length === 1, "the request");
    client.leave();
    await client.closed;
    await other.health(); // weir has seen it leave when a later connection is answered
    failing.open();
    await waitFor(async () => (await other.health())["streams_open"] === 0, "no open stream");
    expect([drained.requests.length, spare.requests.length]).toEqual([1, 0]);
  } finally {
    await other.stop();
    drained.close();
    spare.close();
  }
});

describe("nobody is asked any more for a client that has left", () => {
  const MESSAGES =
    '{"model":"gpt-4o","max_tokens":9,"messages":[{"role":"user","content":"x"}],"stream":true}';
  const REFUSES = [act.send(response(REFUSAL, {}, "503 No"))];
  const SOON = [act.send(response(REFUSAL, { "retry-after-ms": "450" }, "503 No"))];
  const COMMENT = [act.send(sseHead()), act.send(chunk(": hi\n\n")), act.stall];
  /** What each upstream does, and how often each is asked in the end. */
  const rows: readonly (readonly [
    name: string,
    body: string,
    path: string,
    first: readonly Act[],
    second: readonly Act[],
    asked: readonly [number, number],
  ])[] = [
    ["the second has no head yet", CHAT, "", REFUSES, [act.stall], [1, 1]],
    ["the second has said nothing", CHAT, "", REFUSES, COMMENT, [1, 1]],
    ["the first has, in another dialect", MESSAGES, "/v1/messages", [act.stall], [], [1, 0]],
    ["and behind its head", MESSAGES, "/v1/messages", COMMENT, [], [1, 0]],
    ["and the second", MESSAGES, "/v1/messages", REFUSES, COMMENT, [1, 1]],
    ["the first is to be asked again", CHAT.replace("gpt-4o", "retried"), "", SOON, [], [1, 0]],
    ["the middle one of three", CHAT.replace("gpt-4o", "three"), "", COMMENT, [], [1, 0]],
  ];
  for (const [name, body, path, ofFirst, ofSecond, wanted] of rows) {
    each(name, async () => {
      first = () => ofFirst;
      second = () => ofSecond;
      const request = rawChat(body).toString()
        .replace("/v1/chat/completions", path || "/v1/chat/completions");
      const client = await connect(weir.port, request);
      await waitFor(() => asked().join() === wanted.join(), "all to be asked");
      const open = one.playing + two.playing;
      client.leave();
      await waitFor(() => one.playing + two.playing === 0, "the upstreams to be left");
      expect(open).toBe(ofFirst === SOON ? 0 : 1);
      await waitFor(async () => (await weir.health())["streams_open"] === 0, "no open stream");
      first = second = () => whole(EVENT, DONE);
      // Another one would have been asked before this: its wait would have been at its end.
      await Bun.sleep(ofFirst === SOON ? 600 : 0);
      await chat();
      expect(asked()).toEqual([wanted[0] + 1, wanted[1]]);
    });
  }
});

describe("a second one is asked while the first is silent", () => {
  const hedged = (model = "hedged") => chat(CHAT.replace("gpt-4o", model));
  const told = ({ head }: RawResponse) =>
    [/^x-weir-upstream: (.*)\r$/m, /^x-weir-attempts: (.*)\r$/m].map((it) => it.exec(head)?.[1]);

  for (const acts of [[act.stall], [act.send(sseHead()), act.stall]]) {
    each(
      `${acts.length === 1 ? "before" : "behind"} its head: the second answers, the first is left`,
      async () => {
        const { aborted } = one;
        first = () => acts;
        const answer = await hedged();
        expect([answer.body.toString(), told(answer)]).toEqual([EVENT + DONE, ["serene", "2"]]);
        expect(asked()).toEqual([1, 1]);
        await waitFor(() => one.aborted > aborted, "the first to be left");
      },
    );
  }

  each("the first may still be the faster, and the second is left", async () => {
    const { opened, open } = gate();
    const { aborted } = two;
    first = () => [
      act.send(sseHead()),
      act.wait(opened),
      act.send(chunk(EVENT + DONE)),
      act.send(LAST_CHUNK),
    ];
    second = () => [act.stall];
    const answering = hedged();
    await waitFor(() => asked()[1] === 1, "the second to be asked");
    open();
    const answer = await answering;
    expect([answer.body.toString(), told(answer)]).toEqual([EVENT + DONE, ["calm", "2"]]);
    await waitFor(() => two.aborted > aborted, "the second to be left");
  });

  each("not where the first speaks in time", async () => {
    expect((await hedged("early")).body.toString()).toBe(EVENT + DONE);
    expect(asked()).toEqual([1, 0]);
  });

  each("where the first fails in time, the second is asked as ever", async () => {
    first = () => [act.reset];
    const answer = await hedged("early");
    expect([answer.body.toString(), told(answer)]).toEqual([EVENT + DONE, ["two", "2"]]);
    expect(asked()).toEqual([1, 1]);
  });

  for (const failing of ["first", "second"] as const) {
    each(`where the ${failing} then fails, the other one answers`, async () => {
      const { opened, open } = gate();
      const fails: Script = () => [act.wait(opened), act.send(response(REFUSAL, {}, "503 No"))];
      const late = gate();
      const answers: Script = () => [act.wait(late.opened), ...whole(EVENT, DONE)];
      [first, second] = failing === "first" ? [fails, answers] : [answers, fails];
      const answering = hedged();
      await waitFor(() => asked()[1] === 1, "the second to be asked");
      open();
      setTimeout(late.open, 200);
      expect((await answering).body.toString()).toBe(EVENT + DONE);
      expect(asked()).toEqual([1, 1]);
    });
  }

  each("where both fail, the second's refusal is the answer", async () => {
    const { opened, open } = gate();
    first = () => [act.wait(opened), act.reset];
    second = () => [act.wait(opened), act.send(response(REFUSAL, {}, "429 No"))];
    const answering = hedged();
    await waitFor(() => asked()[1] === 1, "the second to be asked");
    open();
    const { status, body } = await answering;
    expect([status, body.toString()]).toEqual([429, REFUSAL]);
    expect(asked()).toEqual([1, 1]);
  });

  each("where both of three fail, the third is asked", async () => {
    first = () => [act.send(sseHead()), act.stall];
    const answer = await hedged("threefold");
    expect(answer.body.toString()).toBe(EVENT + DONE);
    expect([told(answer), asked()]).toEqual([["two", "3"], [2, 1]]);
  });

  each("a refusal that others would give as well is the answer, whoever gives it", async () => {
    first = () => [act.stall];
    second = () => [act.send(response(REFUSAL, {}, "400 No"))];
    const { status, body } = await hedged();
    expect([status, body.toString()]).toEqual([400, REFUSAL]);
  });

  each("both are left when their client leaves", async () => {
    const aborted = one.aborted + two.aborted;
    first = second = () => [act.send(sseHead()), act.stall];
    const client = await connect(weir.port, rawChat(CHAT.replace("gpt-4o", "hedged")));
    await waitFor(() => asked()[1] === 1, "the second to be asked");
    client.leave();
    await waitFor(() => one.aborted + two.aborted === aborted + 2, "both to be left");
  });

  each("said in another dialect", async () => {
    first = () => [act.send(sseHead()), act.stall];
    second = () => whole(EVENT, LAST_EVENT, DONE);
    const turn =
      '{"model":"hedged","max_tokens":9,"messages":[{"role":"user","content":"x"}],"stream":true}';
    const answer = await chat(turn, "/v1/messages");
    expect(answer.body.toString()).toContain("水 🌊");
    expect([told(answer), asked()]).toEqual([["serene", "2"], [1, 1]]);
  });
});

each(
  "an upstream that dies under 500 streams: what had no byte yet is answered by the other",
  async () => {
    const { opened, open } = gate();
    first = ({ index }) =>
      index % 2 === 0
        ? [act.send(sseHead()), act.send(chunk(EVENT)), act.wait(opened), act.reset]
        : [...(index % 4 === 1 ? [act.send(sseHead())] : []), act.wait(opened), act.reset];
    const answers = Array.from({ length: 500 }, () => chat());
    await waitFor(() => asked()[0] === 500, "all to be asked");
    open();
    const texts = (await Promise.all(answers)).map(({ body }) => body.toString());
    const answered = texts.filter((text) => text === EVENT + DONE);
    const broken = texts.filter((text) => text.startsWith(`${EVENT}data: {"error":`));
    expect([answered.length, broken.length]).toEqual([250, 250]);
    expect(broken.filter((text) => text.includes("[DONE]"))).toEqual([]);
    expect(asked()).toEqual([500, 250]);
  },
);

test("bytes pass untouched whichever pieces they come in", async () => {
  const bytes = Buffer.from(`\ufeff: hi\r\n\r\n${EVENT}${EVENT}${DONE}`);
  for (const length of [1, 2, 3, 7, 50, 500]) {
    const pieces: Act[] = [];
    for (let at = 0; at < bytes.length; at += length) {
      pieces.push(act.send(chunk(bytes.subarray(at, at + length))));
    }
    first = () => [act.send(sseHead()), ...pieces, act.send(LAST_CHUNK)];
    const { body, isWhole } = await chat();
    expect([length, body.equals(bytes), isWhole]).toEqual([length, true, true]);
  }
});
