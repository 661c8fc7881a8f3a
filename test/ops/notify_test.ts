import { afterEach, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { openNotifier, socketAddress } from "../../src/ops/notify.ts";
import { makeFolder } from "../server/launch.ts";
import { type ManagerSocket, openManagerSocket } from "./manager_socket.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function manager(kind: "file" | "abstract"): ManagerSocket {
  const folder = makeFolder();
  const path = kind === "file"
    ? join(folder, "通知.sock")
    : `@weir-test-${process.pid}-${performance.now()}`;
  const socket = openManagerSocket(path);
  cleanups.push(() => {
    socket.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return socket;
}

describe("openNotifier()", () => {
  for (const kind of ["file", "abstract"] as const) {
    test(`tells a datagram socket with ${kind} name every state`, async () => {
      const socket = manager(kind);
      const notifier = await openNotifier({ NOTIFY_SOCKET: socket.path }, 1);
      expect(notifier.isOn).toBe(true);
      notifier.ready("listens, 0 streams");
      notifier.status("3 streams\nopen 🌊");
      notifier.alive();
      notifier.stopping("drains", 1500.2);
      expect(socket.take()).toEqual([
        "READY=1\nSTATUS=listens, 0 streams",
        "STATUS=3 streams open 🌊",
        "WATCHDOG=1",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=1500200\nSTATUS=drains",
      ]);
    });
  }

  test("says when a reload began on the clock the manager has", async () => {
    const socket = manager("file");
    const notifier = await openNotifier({ NOTIFY_SOCKET: socket.path }, 1);
    const beforeUs = socket.monotonicUs();
    notifier.reloading("reads its config again");
    const afterUs = socket.monotonicUs();
    const [first, second, third] = socket.take()[0]!.split("\n");
    expect([first, third]).toEqual(["RELOADING=1", "STATUS=reads its config again"]);
    const us = BigInt(second!.slice("MONOTONIC_USEC=".length));
    expect(us >= beforeUs && us <= afterUs).toBe(true);
  });

  test("does nothing without NOTIFY_SOCKET", async () => {
    const notifier = await openNotifier({ WATCHDOG_USEC: "1000000" }, 1);
    expect([notifier.isOn, notifier.aliveEveryMs]).toEqual([false, 0]);
    notifier.ready("x");
    notifier.alive();
  });

  test("goes on when nobody listens any more", async () => {
    const socket = manager("file");
    const notifier = await openNotifier({ NOTIFY_SOCKET: socket.path }, 1);
    socket.close();
    notifier.alive();
    notifier.status("still here");
  });

  test("cuts a status that would not fit into a line", async () => {
    const socket = manager("file");
    const notifier = await openNotifier({ NOTIFY_SOCKET: socket.path }, 1);
    notifier.status("流".repeat(100_000));
    expect(socket.take()[0]!.length).toBe("STATUS=".length + 400);
  });

  const WATCHDOGS = [
    [{ WATCHDOG_USEC: "30000000" }, 15_000],
    [{ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "77" }, 15_000],
    [{ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "78" }, 0],
    [{ WATCHDOG_USEC: "no" }, 0],
    [{}, 0],
  ] as const;
  for (const [env, everyMs] of WATCHDOGS) {
    test(`with ${JSON.stringify(env)} process 77 shows life every ${everyMs} ms`, async () => {
      const socket = manager("file");
      const notifier = await openNotifier({ NOTIFY_SOCKET: socket.path, ...env }, 77);
      expect(notifier.aliveEveryMs).toBe(everyMs);
    });
  }
});

describe("socketAddress()", () => {
  const WRONG = [
    ["run/x.sock", "must start with / or @"],
    ["vsock:2:1234", "must start with / or @"],
    [`/${"x".repeat(108)}`, "longer than 107 bytes"],
    [`@${"字".repeat(40)}`, "longer than 107 bytes"],
  ] as const;
  for (const [path, message] of WRONG) {
    test(`refuses ${path.slice(0, 12)}…`, () => {
      expect(() => socketAddress(path)).toThrow(message);
    });
  }
});
