import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type ManagerSocket, openManagerSocket } from "../ops/manager_socket.ts";
import { launch, makeFolder, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { CHAT } from "./proxied.ts";
import { connect, rawChat } from "./raw_client.ts";

const running: { readonly stop: () => unknown }[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
});

/** A weir that a manager watches, and everything the manager has heard. */
async function watched(count: number): Promise<{ weir: Weir; heard: () => string }> {
  const socket: ManagerSocket = openManagerSocket(join(makeFolder(), "notify"));
  running.push({ stop: socket.close });
  let all = "";
  const weir = await launch({
    set: { "server.workers": count, "mock.delay_ms": 60_000, "server.drain_ms": 100 },
    files: { "config.yaml": "" },
    env: { NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: "400000" },
  });
  running.push(weir);
  return {
    weir,
    heard() {
      for (const message of socket.take()) all += `${message}\n--\n`;
      return all;
    },
  };
}

for (const count of [1, 2]) {
  describe(`systemd hears of ${count} process(es)`, () => {
    test("that they are ready, alive, reloading, and stopping with so many streams", async () => {
      const { weir, heard } = await watched(count);
      await waitFor(() => heard().includes("READY=1\nSTATUS="), "READY=1");
      expect(heard()).toContain(`port ${weir.port}`);
      await waitFor(() => heard().split("WATCHDOG=1").length > 3, "signs of life");
      const client = await connect(weir.port, rawChat(CHAT));
      await client.until('"content":"powered"');
      weir.kill("SIGHUP");
      await waitFor(() => heard().includes("RELOADING=1\nMONOTONIC_USEC="), "RELOADING=1");
      await waitFor(() => heard().split("READY=1").length === 3, "READY=1 after the reload");
      await waitFor(() => heard().includes("; 1 streams open"), "the open stream");
      weir.kill("SIGTERM");
      expect(await weir.exited).toBe(0);
      expect(heard()).toMatch(/STOPPING=1\nEXTEND_TIMEOUT_USEC=\d+\nSTATUS=finishes 1 streams/);
      expect(heard().lastIndexOf("READY=1")).toBeLessThan(heard().indexOf("STOPPING=1"));
    }, TEST_MS_MAX);
  });
}
