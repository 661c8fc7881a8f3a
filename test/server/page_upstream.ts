/**
 * An upstream that says what a test tells it to say, when it tells it to: so that a test can watch a
 * page while an answer is under way.
 *
 * @module
 */

import { waitFor } from "./launch.ts";

/** One request to the upstream whose answer is in the test's hands. */
export interface Call {
  readonly path: string;
  readonly body: unknown;
  /** Sends one event with `data` as JSON. */
  readonly send: (data: unknown) => void;
  /** Ends the stream in good order; `mark` is its last event, such as "[DONE]". */
  readonly finish: (mark?: string) => void;
  /** Drops the connection. */
  readonly breakOff: () => void;
  /** True once the other side has gone. */
  readonly isLeft: () => boolean;
}

/** The upstream and what came to it. */
export interface TestUpstream {
  readonly url: string;
  /** Waits for the next streamed request that no `nextCall` has given yet. */
  readonly nextCall: () => Promise<Call>;
  /** The bodies of requests to /echo, which are answered with themselves. */
  readonly echoed: unknown[];
  readonly stop: () => Promise<void>;
}

/** Starts it on a free port. /echo and /refuse answer at once, everything else streams. */
export function startUpstream(): TestUpstream {
  const calls: Call[] = [];
  const echoed: unknown[] = [];
  let given = 0;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/v1/models") {
        return Response.json({ object: "list", data: [{ id: "river-1" }, { id: "river-2" }] });
      }
      const body = await request.json();
      if (pathname === "/echo") {
        echoed.push(body);
        return Response.json(body);
      }
      if (pathname === "/refuse") {
        return Response.json({ error: { message: "Too hot <b>here</b>" } }, { status: 418 });
      }
      const { call, response } = openCall(pathname, body);
      calls.push(call);
      return response;
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    nextCall: async () => {
      const call = await waitFor(() => calls[given], "a request to the upstream");
      given++;
      return call;
    },
    echoed,
    stop: () => server.stop(true),
  };
}

function openCall(
  path: string,
  body: unknown,
): { readonly call: Call; readonly response: Response } {
  const encoder = new TextEncoder();
  let controller: ReadableStreamDefaultController<Uint8Array>;
  let isLeft = false;
  const stream = new ReadableStream<Uint8Array>({
    start(made) {
      controller = made;
    },
    cancel() {
      isLeft = true;
    },
  });
  const write = (text: string) => controller.enqueue(encoder.encode(`data: ${text}\n\n`));
  const call: Call = {
    path,
    body,
    send: (data) => write(JSON.stringify(data)),
    finish(mark) {
      if (mark !== undefined) write(mark);
      controller.close();
    },
    breakOff: () => controller.error(new Error("broken off by the test")),
    isLeft: () => isLeft,
  };
  return {
    call,
    response: new Response(stream, { headers: { "content-type": "text/event-stream" } }),
  };
}
