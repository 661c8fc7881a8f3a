/** Clients that read slowly, and clients that leave: what the server sees of them on its socket. */

import { afterEach, describe, expect, test } from "bun:test";
import { LoadRun, type PreparedRequest } from "../../src/load/run.ts";
import { waitFor } from "../server/launch.ts";
import { chatEvent, chatEvents, chunkOf, LAST_CHUNK, STREAM_HEAD } from "./stub_server.ts";

interface Sending {
  rest: Uint8Array;
}

/** A server that says `answer` to whoever asks, as fast as it is taken. */
function pushingServer(answer: Uint8Array, afterwards: "keep" | "close" = "keep") {
  const seen = { taken: 0, refusals: 0, requests: 0, closed: 0 };
  const push = (socket: Bun.Socket<Sending>) => {
    while (socket.data.rest.length > 0) {
      const taken = socket.write(socket.data.rest);
      if (taken < socket.data.rest.length) seen.refusals++;
      if (taken <= 0) return;
      seen.taken += taken;
      socket.data.rest = socket.data.rest.subarray(taken);
    }
    if (afterwards === "close") socket.end();
  };
  const server = Bun.listen<Sending>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => void (socket.data = { rest: new Uint8Array(0) }),
      data(socket) {
        seen.requests++;
        socket.data.rest = answer;
        push(socket);
      },
      drain: push,
      close: () => void seen.closed++,
    },
  });
  return { port: server.port, seen, stop: () => server.stop(true) };
}

let server: ReturnType<typeof pushingServer> | undefined;
afterEach(() => server?.stop());

/** What is kept of a record. */
interface Kept {
  readonly outcome: string;
  readonly failure: string | undefined;
  readonly events: number;
  readonly bodyBytes: number;
  readonly sentMs: number;
  /** When, and how many bytes. */
  readonly reads: readonly (readonly [number, number])[];
}

/** Asks `requests` times, one after the other. */
function asking(
  { port }: { readonly port: number },
  client: Partial<PreparedRequest>,
  requests = 1,
): { readonly run: LoadRun; readonly records: Kept[] } {
  const records: Kept[] = [];
  const run = new LoadRun({
    targets: [{ hostname: "127.0.0.1", port }],
    maker: {
      next: () => ({
        bytes: Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        wantsEvents: true,
        leaveTokens: Infinity,
        readBytesPerSecond: Infinity,
        session: 0,
        turn: 0,
        promptTokens: NaN,
        tokensMax: NaN,
        ...client,
      }),
      over: () => undefined,
    },
    load: { kind: "closed", concurrency: 1, rampMs: 0 },
    durationMs: Infinity,
    requestsMax: requests,
    warmupMs: 0,
    warmupRequests: 0,
    graceMs: 0,
    timeoutMs: 600_000,
    connectMs: 60_000,
    keepsConnections: true,
    countTokens: () => 1,
    observe(record) {
      const { outcome, failure, events, bodyBytes, sentMs, reads, readMs, readBytes } = record;
      records.push({
        outcome,
        failure: failure?.text,
        events,
        bodyBytes,
        sentMs,
        reads: Array.from({ length: reads }, (_, i) => [readMs[i]!, readBytes[i]!]),
      });
    },
  });
  return { run, records };
}

/** A stream of some `bytes`. */
function answerOf(bytes: number, framing: "chunked" | "close" = "chunked"): Uint8Array {
  const words = Array<string>(Math.ceil(bytes / 10_000)).fill("x".repeat(9900));
  const events = chatEvents(words);
  return Buffer.from(
    framing === "chunked"
      ? [STREAM_HEAD, ...events.map(chunkOf), LAST_CHUNK].join("")
      : ["HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", ...events].join(""),
  );
}

/** More than the system keeps for two sockets: 6 MB to be read and 4 MB to be sent at most. */
const TOO_MUCH = 32_000_000;

describe("a client that reads slowly", () => {
  test("makes the server keep what it has to say", async () => {
    const answer = answerOf(TOO_MUCH);
    server = pushingServer(answer);
    const { run, records } = asking(server, { readBytesPerSecond: 1 });
    const measured = run.measure();
    const { seen } = server;
    await waitFor(() => seen.refusals > 0);
    // Nothing is read any more for days: however long it is waited, this is all.
    await Bun.sleep(200);
    expect(seen.taken).toBeLessThan(answer.length / 2);
    run.end();
    await measured;
    expect(records[0]!.outcome).toBe("unfinished");
    // What lay ready at once is one read, and it did not come back for more.
    expect(records[0]!.reads.length).toBeLessThanOrEqual(1);
  });

  test("and one that does not, takes it all", async () => {
    const answer = answerOf(TOO_MUCH);
    server = pushingServer(answer);
    const { run, records } = asking(server, {});
    await run.measure();
    expect(server.seen.taken).toBe(answer.length);
    expect(records[0]).toMatchObject({ outcome: "completed", failure: undefined });
  });

  for (const framing of ["chunked", "close"] as const) {
    test(`reads no more than its pace and one read, to the end (${framing})`, async () => {
      const answer = answerOf(6_000_000, framing);
      server = pushingServer(answer, framing === "close" ? "close" : "keep");
      const bytesPerSecond = 8_000_000;
      const { run, records } = asking(server, { readBytesPerSecond: bytesPerSecond });
      await run.measure();
      const [record] = records as [Kept];
      expect(record).toMatchObject({ outcome: "completed", failure: undefined });
      expect(record.reads.length).toBeGreaterThan(3);
      // However slow the machine is: never sooner than what came before takes, a late timer apart.
      let before = 0;
      for (const [ms, bytes] of record.reads) {
        const paceMs = (1000 * before) / bytesPerSecond;
        expect(ms - record.sentMs).toBeGreaterThanOrEqual(paceMs - 12);
        before += bytes;
      }
      expect(before).toBe(record.bodyBytes);
    });
  }

  test("and whole answers one after the other, on one connection", async () => {
    server = pushingServer(answerOf(30_000));
    const { run, records } = asking(server, { readBytesPerSecond: 2_000_000 }, 5);
    const facts = await run.measure();
    expect(records.map(({ outcome }) => outcome)).toEqual(Array(5).fill("completed"));
    expect(facts.connectionsOpened).toBe(1);
  });
});

describe("a client that leaves", () => {
  test("closes its connection, has not failed, and comes again on another one", async () => {
    // It never ends by itself.
    const events = [
      chatEvent({ role: "assistant" }),
      ...Array(5).fill(chatEvent({ content: "a" })),
    ];
    server = pushingServer(Buffer.from([STREAM_HEAD, ...events.map(chunkOf)].join("")));
    const { run, records } = asking(server, { leaveTokens: 3 }, 4);
    const facts = await run.measure();
    expect(records.map(({ outcome, failure }) => [outcome, failure])).toEqual(
      Array(4).fill(["left", undefined]),
    );
    expect(facts).toMatchObject({ connectionsOpened: 4, requestsOnKept: 0 });
    const { seen } = server;
    await waitFor(() => seen.closed === 4);
    expect(seen.requests).toBe(4);
  });

  test("one that would leave later than the end stays to the end", async () => {
    const answer = [STREAM_HEAD, ...chatEvents(["a", "b"]).map(chunkOf), LAST_CHUNK];
    server = pushingServer(Buffer.from(answer.join("")));
    const { run, records } = asking(server, { leaveTokens: 3 }, 2);
    const facts = await run.measure();
    expect(records.map(({ outcome }) => outcome)).toEqual(["completed", "completed"]);
    expect(facts.connectionsOpened).toBe(1);
  });

  test("a slow reader who leaves closes as well", async () => {
    server = pushingServer(answerOf(TOO_MUCH));
    const { run, records } = asking(server, { leaveTokens: 2, readBytesPerSecond: 1000 });
    await run.measure();
    expect(records[0]).toMatchObject({ outcome: "left", failure: undefined });
    const { seen } = server;
    await waitFor(() => seen.closed === 1);
    expect(seen.taken).toBeLessThan(TOO_MUCH / 2);
  });
});
