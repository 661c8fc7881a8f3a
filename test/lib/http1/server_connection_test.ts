import { describe, expect, test } from "bun:test";
import { RequestHeadReader } from "../../../src/lib/http1/request_head.ts";
import {
  type ConnectionHost,
  ServerConnection,
  type ServerSocket,
} from "../../../src/lib/http1/server_connection.ts";
import { WaitingLine } from "../../../src/lib/waiting_line.ts";
import { Wheel } from "../../../src/lib/wheel.ts";

const LIMIT_MS = 1000;
/** Longest wait in a line: up to a quarter more than its limit, and a step to notice. */
const OVER_MS = 2 * LIMIT_MS;
const BODY = "x".repeat(100_000);

/** A connection that answers with `BODY`, whose kernel takes as many bytes as the test says. */
function slow() {
  let nowMs = 0;
  const wheel = new Wheel(() => nowMs, () => {});
  const line = () => new WaitingLine(wheel, LIMIT_MS);
  const host: ConnectionHost = {
    handler: {
      onRequest: (exchange) => exchange.whole(200, {}, BODY),
      onBadRequest: (exchange) => exchange.whole(400, {}, null),
    },
    lines: {
      head: line(),
      idle: line(),
      write: line(),
      linger: line(),
      closing: line(),
    },
    reader: new RequestHeadReader({ headBytesMax: 1000, targetBytesMax: 100 }),
    headBytesMax: 1000,
    isClosing: false,
    second: 0,
    requestsOpen: 0,
    onClosed() {},
  };
  const kernel = { room: 0, taken: 0, isReset: false };
  const socket = {
    write(_bytes: Uint8Array, _from: number, length: number) {
      const taken = Math.min(length, kernel.room);
      kernel.room -= taken;
      kernel.taken += taken;
      return taken;
    },
    terminate() {
      kernel.isReset = true;
    },
    pause() {},
    resume() {},
    end() {},
    shutdown() {},
  };
  const connection = new ServerConnection(host, socket as unknown as ServerSocket);
  connection.onData(Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  const pass = (ms: number) => {
    for (const end = nowMs + ms; nowMs < end;) {
      nowMs++;
      wheel.turn();
    }
  };
  return { kernel, pass };
}

describe("a whole answer whose client is slow", () => {
  test("is cut when the client takes nothing for the limit", () => {
    const { kernel, pass } = slow();
    pass(LIMIT_MS);
    expect(kernel.isReset).toBe(false);
    pass(OVER_MS - LIMIT_MS);
    expect(kernel.isReset).toBe(true);
  });

  test("goes on while it takes a little within each limit, though the kernel does not tell", () => {
    const { kernel, pass } = slow();
    for (let i = 0; i < 20; i++) {
      kernel.room = 100;
      pass(LIMIT_MS);
      expect(kernel.isReset).toBe(false);
    }
    expect(kernel.taken).toBeGreaterThan(1000);
    pass(OVER_MS);
    expect(kernel.isReset).toBe(true);
  });

  test("is over when the client takes the rest at once", () => {
    const { kernel, pass } = slow();
    kernel.room = Infinity;
    pass(OVER_MS);
    expect(kernel.taken).toBeGreaterThan(BODY.length);
    expect(kernel.isReset).toBe(false);
  });
});
