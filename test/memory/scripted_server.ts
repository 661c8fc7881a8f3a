/**
 * A memory server that does what a test tells it to: refuse, answer late, break off, say nothing.
 * It speaks raw HTTP, so that it can also break it.
 *
 * @module
 */

import { createServer, type Socket } from "node:net";
import { sleep } from "./stores.ts";

/** A request as it came. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
  /** The body's very text. */
  readonly text: string;
}

/** How a call is answered. */
export type Action =
  | { readonly kind: "json"; readonly body: unknown; readonly status?: number }
  | { readonly kind: "text"; readonly body: string; readonly status?: number }
  /** The head and the first half of the body, then the connection ends. */
  | { readonly kind: "half"; readonly body: unknown }
  /** The connection ends without a byte. */
  | { readonly kind: "cut" }
  /** Nothing ever comes. */
  | { readonly kind: "silence" }
  | { readonly kind: "late"; readonly afterMs: number; readonly body: unknown };

/** A running server. */
export interface ScriptedServer {
  readonly url: string;
  readonly calls: Call[];
  /** Answers the calls from now on. */
  answer: (call: Call) => Action;
  readonly stop: () => Promise<void>;
}

/** The answer of a server that took a turn. */
export const TAKEN = { code: 0, msg: "消息已入队，任务ID：1", data: { task_id: "1" } };

/** Starts one on a free port. */
export async function scriptedServer(
  answer: (call: Call) => Action,
): Promise<ScriptedServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    let buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer<ArrayBuffer>) => {
      buffer = Buffer.concat([buffer, chunk]);
      for (let call = takeCall(); call !== undefined; call = takeCall()) void act(socket, call);
    });

    function takeCall(): Call | undefined {
      const end = buffer.indexOf("\r\n\r\n");
      if (end < 0) return undefined;
      const [first, ...lines] = buffer.subarray(0, end).toString().split("\r\n");
      const headers = Object.fromEntries(lines.map((line) => {
        const at = line.indexOf(":");
        return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
      }));
      const length = Number(headers["content-length"] ?? 0);
      if (buffer.length < end + 4 + length) return undefined;
      const text = buffer.subarray(end + 4, end + 4 + length).toString();
      buffer = buffer.subarray(end + 4 + length);
      const [method = "", path = ""] = first!.split(" ");
      return { method, path, headers, text, body: JSON.parse(text) };
    }
  });
  const scripted = {
    url: "",
    calls: [] as Call[],
    answer,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  async function act(socket: Socket, call: Call): Promise<void> {
    scripted.calls.push(call);
    const action = scripted.answer(call);
    switch (action.kind) {
      case "json":
        return void socket.write(response(JSON.stringify(action.body), action.status));
      case "text":
        return void socket.write(response(action.body, action.status));
      case "half": {
        const whole = response(JSON.stringify(action.body));
        socket.end(whole.slice(0, whole.length - 20));
        return;
      }
      case "cut":
        return void socket.destroy();
      case "silence":
        return;
      case "late":
        await sleep(action.afterMs);
        return void socket.write(response(JSON.stringify(action.body)));
    }
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  scripted.url = `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
  return scripted;
}

function response(body: string, status = 200): string {
  return `HTTP/1.1 ${status} X\r\ncontent-type: application/json\r\n` +
    `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}
