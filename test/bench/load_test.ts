import { afterAll, expect, test } from "bun:test";
import { type Load, runLoad, type Tool } from "../../bench/load.ts";
import { ONE_CORE_EACH, programPath } from "../../bench/machine.ts";
import { describeWith } from "../server/needs.ts";

/** Paths of a server that is right, and of several that are wrong. */
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/500") return new Response("x".repeat(100), { status: 500 });
    if (pathname === "/short") return new Response("x".repeat(20));
    return new Response("x".repeat(100));
  },
});
afterAll(() => server.stop(true));

/** Of this server: the head that Bun writes, and 100 bytes. */
async function answerBytes(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  let bytes = 0;
  await Bun.connect({
    hostname: "127.0.0.1",
    port: server.port!,
    socket: {
      open: (socket) => void socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
      data(socket, data) {
        bytes += data.length;
        if (data.includes("x".repeat(100))) {
          resolve(bytes);
          socket.end();
        }
      },
    },
  });
  return await promise;
}

async function load(path: string): Promise<Load> {
  return {
    url: `http://127.0.0.1:${server.port}${path}`,
    body: undefined,
    headers: {},
    connections: 4,
    seconds: 1,
    answerBytes: await answerBytes(),
    framingBytes: 0,
    cores: ONE_CORE_EACH.client,
  };
}

/** autocannon comes with the packages. */
const TOOLS: readonly (readonly [tool: Tool, isThere: boolean])[] = [
  ["wrk", programPath("wrk") !== undefined],
  ["autocannon", true],
];

for (const [tool, isThere] of TOOLS) {
  describeWith(isThere, tool, `runLoad() with ${tool}`, () => {
    test("gives the speed of a server that answers rightly", async () => {
      const found = await runLoad(tool, await load("/"));
      expect(found.tool).toBe(tool);
      expect(found.requests).toBeGreaterThan(0);
      expect(found.requestsPerSecond).toBeGreaterThan(0);
      expect(found.clientCpuUs).toBeGreaterThan(0);
    });

    test("refuses another status, however fast", async () => {
      await expect(runLoad(tool, await load("/500"))).rejects.toThrow(/status/);
    });

    test("refuses answers that are too short, however fast", async () => {
      await expect(runLoad(tool, await load("/short"))).rejects.toThrow(
        /bytes on average, and not/,
      );
    });

    test("takes answers that are longer by no more than their framing", async () => {
      const shorter = { ...await load("/"), answerBytes: await answerBytes() - 50 };
      await expect(runLoad(tool, shorter)).rejects.toThrow(/bytes on average/);
      const found = await runLoad(tool, { ...shorter, framingBytes: 50 });
      expect(found.requests).toBeGreaterThan(0);
    });

    test("refuses a server that is not there", async () => {
      const nobody = { ...await load("/"), url: "http://127.0.0.1:1/" };
      await expect(runLoad(tool, nobody)).rejects.toThrow();
    });
  });
}
