/**
 * An upstream that says what a test tells it to say, when it tells it to: so that a test can watch a
 * page while an answer is under way.
 *
 * @module
 */

import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { parseExactJson } from "../../src/lib/exact_json.ts";
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
  /** True once the connection is over. */
  readonly isLeft: () => boolean;
}

/** The upstream and what came to it. */
export interface TestUpstream {
  readonly url: string;
  /** Waits for the next streamed request that no `nextCall` has given yet. */
  readonly nextCall: () => Promise<Call>;
  /** The bodies of requests to /echo, which are answered with themselves. */
  readonly echoed: unknown[];
  readonly stop: () => void;
}

/** A picture of one pixel. */
const PIXEL = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
  "base64",
);

/** Starts it on a free port. /echo, /refuse and /picture answer at once, everything else streams. */
export async function startUpstream(): Promise<TestUpstream> {
  const calls: Call[] = [];
  const echoed: unknown[] = [];
  let given = 0;
  // Node's server, since only there a test can drop a connection without Bun printing the reason.
  const server = createServer(async (request, response) => {
    const path = request.url!;
    const text = await new Response(Readable.toWeb(request) as ReadableStream).text();
    if (path === "/v1/models") {
      const data = [{ id: "river-1" }, { id: "river-2" }];
      answer(response, 200, { object: "list", data });
    } else if (path === "/echo") {
      echoed.push(parseExactJson(text));
      answer(response, 200, parseExactJson(text));
    } else if (path === "/refuse") {
      answer(response, 418, { error: { message: "Too hot <b>here</b>" } });
    } else if (path === "/picture") {
      response.writeHead(200, { "content-type": "image/png" });
      response.end(PIXEL);
    } else calls.push(openCall(path, JSON.parse(text), response));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    nextCall: async () => {
      const call = await waitFor(() => calls[given], "a request to the upstream");
      given++;
      return call;
    },
    echoed,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

function openCall(path: string, body: unknown, response: ServerResponse): Call {
  let isLeft = false;
  const write = (text: string) => response.write(`data: ${text}\n\n`);
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.flushHeaders();
  response.on("close", () => isLeft = true);
  return {
    path,
    body,
    send: (data) => void write(JSON.stringify(data)),
    finish(mark) {
      if (mark !== undefined) write(mark);
      response.end();
    },
    breakOff: () => void response.destroy(),
    isLeft: () => isLeft,
  };
}
