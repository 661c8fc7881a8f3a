import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { rawPost, TEST_MS_MAX, waitFor } from "./launch.ts";
import { CAN_MEASURE, processSize } from "./process_size.ts";
import { type Proxied, proxied } from "./proxied.ts";
import { exchange } from "./raw_client.ts";
import { type Act, act, chunk, sseHead } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const MIB = 1024 * 1024;
const running: Proxied[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
});

const line = act.send(chunk("x".repeat(MIB)));
const bomb = gzipSync(Buffer.alloc(400 * MIB, "x"));

/** What an upstream sends: 150 MB of a line, and 400 of one that are small outside. */
const ANSWERS: Readonly<Record<string, readonly Act[]>> = {
  "a line without end": [
    act.send(sseHead()),
    act.send(chunk("data: ")),
    ...Array.from({ length: 150 }, () => line),
    act.stall,
  ],
  "a compressed line without end": [
    act.send(sseHead({ "content-encoding": "gzip" })),
    act.send(chunk(bomb)),
    act.stall,
  ],
};

/** Every surface that says an upstream's answer again, and how it says that there is none. */
const SURFACES: readonly (readonly [path: string, body: unknown, beginning: string])[] = [
  ["/v1/response", { query: "hi", user_id: "u" }, 'data: {"code":-1,"msg":"流式响应错误: '],
  ["/v1/response", { query: "hi", stream: false }, '{"code":-1,"msg":"OpenAI调用失败: '],
  ["/api/chat", { messages: [{ role: "user", content: "hi" }] }, 'data: {"error":"'],
  ["/conv", { content: "hi" }, '{"detail":"'],
  ["/api/workflows/runs", { input: { prompt: "hi" } }, '{"task_id":'],
];

describe("an upstream whose answer does not end", () => {
  for (const [what, acts] of Object.entries(ANSWERS)) {
    test(`${what} is an error in the dialect of each surface, and is not held`, async () => {
      const proxy = await proxied({});
      running.push(proxy);
      proxy.play(() => acts);
      for (const [path, body, beginning] of SURFACES) {
        const { aborted } = proxy.upstream;
        const request = rawPost(path, body, ["Chat-Type: conversation"]);
        const answer = (await exchange(proxy.weir.port, request)).body.toString();
        expect(answer).toStartWith(beginning);
        expect(answer).toContain("more than 16777216 bytes (llm.event_max_bytes)");
        await waitFor(() => proxy.upstream.aborted > aborted, "the upstream to be stopped");
      }
      if (!CAN_MEASURE) return;
      expect(processSize(proxy.weir.pid).residentBytes).toBeLessThan(500 * MIB);
    });
  }
});
