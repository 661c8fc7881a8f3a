/**
 * A server whose answers are known to the millisecond: one of the fixed answers that the dialects of
 * `weir load --as` are held against, on a real clock. Point a load tool at it, then `weir load --as` that
 * tool, and compare.
 *
 *   bun --no-env-file bench/told_stream.ts                    the names of the answers
 *   bun --no-env-file bench/told_stream.ts NAME [PORT]        serves it, at 8199 unless told otherwise
 *
 * Any POST has the answer; `/v1/models` names one model, which many tools ask for first.
 *
 * @module
 */

import { TOLD_STREAMS, type ToldStream } from "../test/load/metrics/told_streams.ts";
import { chunkOf, LAST_CHUNK, STREAM_HEAD } from "../test/load/stub_server.ts";

/** A timer is late by up to so much; the rest is spent looking at the clock. */
const TIMER_MS = 1.5;
const MODELS = JSON.stringify({ object: "list", data: [{ id: "m", root: "m", object: "model" }] });

type Socket = Bun.Socket<{ text: string }>;

async function answer(socket: Socket, request: string, stream: ToldStream): Promise<void> {
  if (!request.startsWith("POST ")) {
    const head = `content-type: application/json\r\ncontent-length: ${MODELS.length}`;
    socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n${MODELS}`);
    return;
  }
  if (stream.status !== undefined) {
    socket.write(`HTTP/1.1 ${stream.status} no\r\ncontent-length: 0\r\n\r\n`);
    return;
  }
  const startMs = performance.now();
  socket.write(STREAM_HEAD);
  for (const [atMs, text] of stream.reads) {
    const waitMs = startMs + atMs - TIMER_MS - performance.now();
    if (waitMs > 0) await Bun.sleep(waitMs);
    while (performance.now() < startMs + atMs);
    socket.write(chunkOf(text));
  }
  if (stream.isCut === true) socket.end();
  else socket.write(LAST_CHUNK);
}

const [name = "", port = "8199"] = process.argv.slice(2);
const stream = TOLD_STREAMS[name];
if (stream === undefined) {
  process.stdout.write(`${Object.keys(TOLD_STREAMS).join("\n")}\n`);
} else {
  Bun.listen<{ text: string }>({
    hostname: "127.0.0.1",
    port: Number(port),
    socket: {
      open(socket) {
        socket.setNoDelay(true);
        socket.data = { text: "" };
      },
      data(socket, bytes) {
        socket.data.text += bytes.toString("latin1");
        const { text } = socket.data;
        const head = text.indexOf("\r\n\r\n");
        const end = head + 4 + Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
        if (head < 0 || text.length < end) return;
        socket.data.text = text.slice(end);
        void answer(socket, text, stream);
      },
    },
  });
  const times = stream.reads.map(([atMs]) => atMs).join(", ");
  const url = `http://127.0.0.1:${port}/v1/chat/completions`;
  process.stdout.write(`${url} answers "${name}": ${times} ms\n`);
}
