/**
 * Compiles the client before it measures: code that runs for the first time is slower by far, and the
 * first answers of a run would seem to be. Of 64 streams that began at once, the bound of the times to
 * the first token (p99) fell from some 15 ms to some 6.
 *
 * @module
 */

import { LoadRun } from "./run.ts";
import { Tally } from "./tally.ts";

/** Answers that are read, within some 100 ms. */
const ANSWERS = 600;
const AT_ONCE = 16;

const event = (delta: object, finish: string | null) => {
  const choices = [{ index: 0, delta, finish_reason: finish }];
  return `data: ${JSON.stringify({ id: "chatcmpl-1", created: 1, model: "m", choices })}\n\n`;
};
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
const HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const EVENTS = Array.from({ length: 8 }, (_, i) => chunk(event({ content: `a${i}` }, null))).join(
  "",
);
const END = `${chunk(event({}, "stop"))}${chunk("data: [DONE]\n\n")}0\r\n\r\n`;
const REQUEST = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

/**
 * Puts a small load on a server of its own, in this process, and throws away what it measures. Gives
 * how the requests ended.
 */
export async function warmUp(): Promise<Tally["outcomes"]> {
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket) {
        socket.write(HEAD + EVENTS);
        setImmediate(() => void socket.write(EVENTS));
        setImmediate(() => setImmediate(() => void socket.write(END)));
      },
    },
  });
  const tally = new Tally({ slo: undefined, countTokens: undefined });
  const request = {
    bytes: Buffer.from(REQUEST),
    wantsEvents: true,
    leaveTokens: Infinity,
    readBytesPerSecond: Infinity,
    session: 0,
    turn: 0,
    promptTokens: NaN,
    tokensMax: NaN,
  };
  try {
    await new LoadRun({
      targets: [{ hostname: "127.0.0.1", port: server.port }],
      maker: { next: () => request, over: () => undefined },
      load: { kind: "closed", concurrency: AT_ONCE, rampMs: 0 },
      durationMs: 1000,
      requestsMax: ANSWERS,
      warmupMs: 0,
      warmupRequests: 0,
      graceMs: 100,
      timeoutMs: 1000,
      connectMs: 1000,
      keepsConnections: true,
      countTokens: () => 0,
      observe: (record) => tally.observe(record),
    }).measure();
    return tally.outcomes;
  } finally {
    server.stop(true);
  }
}
