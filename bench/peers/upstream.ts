/**
 * The upstream of the proxy cases: a raw socket that answers every request with one chunk per
 * event, all of them in one write. As cheap as a server can be, since it shares the client's core.
 *
 *   bun bench/peers/upstream.ts PORT FILE
 *
 * FILE holds the events as a JSON array of texts.
 *
 * @module
 */

const [, , port, file] = process.argv;
const events = await Bun.file(file!).json() as readonly string[];
const HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n" +
  "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
const chunks = events.map((text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
const answer = new TextEncoder().encode(`${HEAD}${chunks.join("")}0\r\n\r\n`);

/** What a connection still owes: bytes of a request that are not there yet. */
interface Pending {
  text: string;
}

Bun.listen<Pending>({
  hostname: "127.0.0.1",
  port: Number(port),
  socket: {
    open(socket) {
      socket.data = { text: "" };
    },
    data(socket, bytes) {
      const pending = socket.data;
      pending.text += bytes.toString("latin1");
      for (;;) {
        const end = pending.text.indexOf("\r\n\r\n");
        if (end < 0) return;
        const length = Number(
          /\r\ncontent-length: *(\d+)/i.exec(pending.text.slice(0, end))?.[1] ?? 0,
        );
        if (pending.text.length < end + 4 + length) return;
        pending.text = pending.text.slice(end + 4 + length);
        socket.write(answer);
      }
    },
  },
});
