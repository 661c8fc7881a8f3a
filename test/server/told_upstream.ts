/**
 * An OpenAI upstream that says what a test tells it, when the test tells it.
 *
 * @module
 */

import { waitFor } from "./launch.ts";

/** Bun's own kind of response body: a controller that writes to the socket. */
interface DirectController {
  write(chunk: string): unknown;
  flush(): unknown;
  /** Resets the connection. */
  close(error: Error): void;
  end(): void;
}

/** What such a stream is made of, as the DOM's types take it. */
type DirectSource = ConstructorParameters<typeof ReadableStream<Uint8Array>>[0];

/** A request as it came. */
export interface SeenRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Headers;
  readonly body: string;
}

/** One answer that is being told. */
export interface Told {
  /** Says one piece as a chunk. */
  readonly say: (text: string) => void;
  /** Says these bytes. */
  readonly raw: (text: string) => void;
  /** The last chunks, and the end. */
  readonly finish: () => void;
  /** Breaks the connection off. */
  readonly break: () => void;
  /** True once the reader has left. */
  readonly isLeft: () => boolean;
}

/** A running upstream. */
export interface ToldUpstream {
  /** Without a path. */
  readonly url: string;
  readonly requests: readonly SeenRequest[];
  /** Waits for request `index`, and gives its answer. */
  readonly told: (index: number) => Promise<Told>;
  readonly stop: () => void;
}

/** Asks `url`, which has no path, what was asked. */
export function passOn(
  url: string,
  { method, path, headers, body }: SeenRequest,
): Promise<Response> {
  return fetch(url + path, { method, headers, ...(body === "" ? {} : { body }) });
}

/** Starts it. `answer` may answer a request by itself; undefined = the test tells. */
export function tellUpstream(
  answer: (request: SeenRequest) => Response | Promise<Response> | undefined = () => undefined,
): ToldUpstream {
  const requests: SeenRequest[] = [];
  const answers: (Told | undefined)[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const seen = {
        method: request.method,
        path: pathname + search,
        headers: request.headers,
        body: await request.text(),
      };
      const index = requests.push(seen) - 1;
      const ready = answer(seen);
      if (ready !== undefined) return await ready;
      return new Response(stream((told) => answers[index] = told), {
        headers: { "content-type": "text/event-stream" },
      });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    requests,
    told: (index) => waitFor(() => answers[index], `request ${index} at the upstream`),
    stop: () => void server.stop(true),
  };
}

function stream(onStart: (told: Told) => void): ReadableStream<Uint8Array> {
  let isLeft = false;
  const pull = (controller: DirectController) => {
    const raw = (text: string) => {
      controller.write(text);
      controller.flush();
    };
    raw(chunk({ role: "assistant", content: "" }, null));
    onStart({
      raw,
      say: (text) => raw(chunk({ content: text }, null)),
      finish() {
        raw(chunk({}, "stop") + "data: [DONE]\n\n");
        controller.end();
      },
      break: () => controller.close(new Error("broken off, as the test wants it")),
      isLeft: () => isLeft,
    });
  };
  const cancel = () => {
    isLeft = true;
  };
  return new ReadableStream<Uint8Array>(
    { type: "direct", pull, cancel } as unknown as DirectSource,
  );
}

function chunk(delta: object, reason: string | null): string {
  return `data: ${
    JSON.stringify({
      id: "chatcmpl-told",
      object: "chat.completion.chunk",
      created: 1_700_000_000,
      model: "told",
      choices: [{ index: 0, delta, finish_reason: reason }],
    })
  }\n\n`;
}
