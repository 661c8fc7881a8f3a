import { describe, expect, test } from "bun:test";
import { RequestHeadReader } from "../../../src/lib/http1/request_head.ts";
import {
  type ConnectionHost,
  ServerConnection,
  type ServerSocket,
} from "../../../src/lib/http1/server_connection.ts";
import type { CutReason } from "../../../src/lib/http1/server_exchange.ts";
import { Unread } from "../../../src/lib/http1/unread.ts";
import { WaitingLine } from "../../../src/lib/waiting_line.ts";
import { Wheel } from "../../../src/lib/wheel.ts";

const LIMIT_MS = 1000;
/** Longest wait in a line: up to a quarter more than its limit, and a step to notice. */
const OVER_MS = 2 * LIMIT_MS;
const BODY = "x".repeat(100_000);

/** A connection that answers with `BODY`, whose kernel takes as many bytes as the test says. */
function slow(unread = new Unread(Infinity)) {
  let nowMs = 0;
  const told: (string | undefined)[] = [];
  const wheel = new Wheel(() => nowMs, () => {});
  const line = () => new WaitingLine(wheel, LIMIT_MS);
  const host: ConnectionHost = {
    handler: {
      onRequest(exchange) {
        exchange.whole(200, {}, BODY)?.listenTaken({
          onDrain: () => void told.push("taken"),
          onLeave: (reason?: CutReason) => void told.push(reason ?? "left"),
        });
      },
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
    unread,
    isClosing: false,
    second: 0,
    requestsOpen: 0,
    onClosed() {},
  };
  const kernel = { room: 0, taken: 0, isReset: false, last: new Uint8Array() };
  const socket = {
    write(bytes: Uint8Array<ArrayBuffer>, _from: number, length: number) {
      kernel.last = bytes;
      const taken = Math.min(length, kernel.room);
      kernel.room -= taken;
      kernel.taken += taken;
      return taken;
    },
    terminate() {
      kernel.isReset = true;
      connection.onClose();
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
  return { kernel, pass, told, connection };
}

describe("a whole answer whose client is slow", () => {
  test("is cut when the client takes nothing for the limit", () => {
    const { kernel, pass, told } = slow();
    pass(LIMIT_MS);
    expect([kernel.isReset, told]).toEqual([false, []]);
    pass(OVER_MS - LIMIT_MS);
    expect([kernel.isReset, told]).toEqual([true, ["reader_slow"]]);
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
    const { kernel, pass, told } = slow();
    kernel.room = Infinity;
    pass(OVER_MS);
    expect(kernel.taken).toBeGreaterThan(BODY.length);
    expect([kernel.isReset, told]).toEqual([false, ["taken"]]);
  });

  test("gives back the memory of what waits at once, when it is taken or its client has left", () => {
    for (const end of ["taken", "left"] as const) {
      const { kernel, connection, told } = slow();
      kernel.room = 1000;
      connection.onDrain(); // the head, and some of the body
      const copy = kernel.last;
      expect(copy.buffer.byteLength).toBe(BODY.length);
      if (end === "left") connection.onClose();
      else {
        kernel.room = Infinity;
        connection.onDrain();
      }
      expect(told).toEqual([end]);
      expect(copy.buffer.byteLength).toBe(0);
    }
  });

  test("tells that its client has left", () => {
    const { connection, told } = slow();
    connection.onClose();
    expect(told).toEqual(["left"]);
  });

  test("is cut when too much waits, who has taken nothing for longest first", async () => {
    const unread = new Unread(2.5 * BODY.length);
    const [first, second] = [slow(unread), slow(unread)];
    first.kernel.room = 1000;
    first.connection.onDrain(); // so that the second one waits for longest
    const third = slow(unread);
    await Promise.resolve();
    expect([first, second, third].map(({ told }) => told)).toEqual([[], ["unread_full"], []]);
    expect(unread.bytes).toBeLessThan(2 * BODY.length + 1000);
    for (const { connection } of [first, third]) connection.onClose();
    expect(unread.bytes).toBe(0);
  });
});
