import { expect, test } from "bun:test";
import { type Engine, Exchange } from "../../src/core/exchange.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import type { Transport, TransportResponse } from "../../src/sources/transport.ts";
import { Upstream } from "../../src/sources/upstream.ts";

const OPTIONS = {
  base_url: "http://127.0.0.1:9/v1",
  api_key: "",
  model_id: "",
  headers_timeout_ms: 1000,
  first_token_timeout_ms: 1000,
  idle_timeout_ms: 1000,
  retries: 0,
  headers: {},
  on_disconnect: "cancel",
  passes_client_key: false,
} as const;

/** An answer that has begun and never ends. */
const ENDLESS: TransportResponse = {
  status: 200,
  fields: [["content-type", "text/event-stream"]],
  header: (name) => name === "content-type" ? "text/event-stream" : null,
  whole: () => undefined,
  read: () => new TextEncoder().encode("data: x\n\n"),
  cancel() {},
};

test("a stream does not hold its question", async () => {
  const engine: Engine = {
    wheel: new Wheel(() => 0, () => {}),
    streams: new Set(),
    watch: () => {},
    keepaliveMs: 0,
    writeTimeoutMs: 1000,
  };
  const transport: Transport = {
    send: (_request, receiver) => receiver.onResponse(ENDLESS),
    close() {},
  };
  const upstream = new Upstream(OPTIONS, {
    transport,
    fetch,
    random: () => 0,
    wallMs: () => 0,
  });

  /** An open stream and a look at its question. */
  async function open(): Promise<{ response: Response; question: WeakRef<Uint8Array> }> {
    const body = new Uint8Array(1024);
    const request = new Request("http://weir/", { method: "POST" });
    const wire = { method: "POST", path: "/chat/completions", headers: new Headers(), body };
    const response = await upstream.pass(wire, new Exchange(engine, "test", request));
    return { response, question: new WeakRef(body) };
  }

  const opened = await Promise.all(Array.from({ length: 50 }, open));
  await new Promise((resolve) => setImmediate(resolve));
  Bun.gc(true);
  const held = opened.filter(({ question }) => question.deref() !== undefined);
  // The collector takes what looks like a pointer on the stack for one.
  expect(held.length).toBeLessThan(10);
  expect(engine.streams.size).toBe(50);
  expect(opened.every(({ response }) => response.status === 200)).toBe(true);
});
