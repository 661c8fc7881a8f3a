/**
 * The least a paced stream can cost on Bun: weir's wheel and constant events, and nothing else.
 *
 *   bun bench/peers/bare_wheel.ts PORT FILE
 *
 * FILE holds JSON: `{ "events": [text, …], "dueMs": [number, …] }`. Before the wheel is asked for
 * the first stream, GET / answers 200.
 *
 * @module
 */

import { Ticket, timerAlarm, Wheel } from "../../src/lib/wheel.ts";

/** What a `type: "direct"` stream of Bun's writes with. */
interface DirectController {
  write(chunk: Uint8Array): unknown;
  end(): void;
}

/** What such a stream is made of, as the DOM's types take it. */
type DirectSource = ConstructorParameters<typeof ReadableStream<Uint8Array>>[0];

const [, , port, file] = process.argv;
const script = await Bun.file(file!).json() as {
  readonly events: readonly string[];
  readonly dueMs: readonly number[];
};
const events = script.events.map((text) => new TextEncoder().encode(text));
const { dueMs } = script;
const wheel = new Wheel(() => performance.now(), timerAlarm());
const headers = { "content-type": "text/event-stream" };

class BareStream extends Ticket {
  readonly startMs = wheel.nowMs;
  at = 0;
  controller: DirectController | undefined;

  override run(): void {
    const nowMs = wheel.nowMs;
    const controller = this.controller!;
    while (this.at < events.length && this.startMs + dueMs[this.at]! <= nowMs) {
      controller.write(events[this.at++]!);
    }
    if (this.at === events.length) controller.end();
    else wheel.set(this, this.startMs + dueMs[this.at]!);
  }
}

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  development: false,
  idleTimeout: 255,
  async fetch(request) {
    if (request.method === "GET") return new Response("OK\n");
    await request.json();
    const stream = new BareStream();
    const source = {
      type: "direct",
      pull(controller: DirectController) {
        stream.controller = controller;
        stream.run();
      },
      cancel: () => wheel.cancel(stream),
    };
    const body = new ReadableStream<Uint8Array>(source as unknown as DirectSource);
    return new Response(body, { headers });
  },
});
