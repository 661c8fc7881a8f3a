/**
 * The upstream of the proxy cases: a raw socket that answers every request with one chunk per
 * event. As cheap as a server can be, since it shares the client's core.
 *
 *   bun bench/peers/upstream.ts PORT FILE WRITES
 *
 * FILE holds the events as a JSON array of texts. WRITES is 1 for all of them in one write, and 2 for
 * the head and the first event now, and the rest in the next turn of the loop: two writes in one turn
 * would mostly be read as one.
 *
 * @module
 */

const [, , port, file, writes] = process.argv;
const events = await Bun.file(file!).json() as readonly string[];
const HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n" +
  "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
const chunks = events.map((text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
const cut = writes === "2" ? 1 : chunks.length;
const encoder = new TextEncoder();
const rest = encoder.encode(cut < chunks.length ? `${chunks.slice(cut).join("")}0\r\n\r\n` : "");
const answer = encoder.encode(
  `${HEAD}${chunks.slice(0, cut).join("")}${rest.length > 0 ? "" : "0\r\n\r\n"}`,
);

/** What a connection still owes: bytes of a request that are not there yet. */
interface Pending {
  text: string;
}

/** The connections that get the rest of their answer when the others have been served. */
let owed: Bun.Socket<Pending>[] = [];

/** One timer for all of them: what a request costs here is the client's time as well. */
function payOwed(): void {
  const sockets = owed;
  owed = [];
  for (const socket of sockets) socket.write(rest);
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
        if (rest.length > 0 && owed.push(socket) === 1) setImmediate(payOwed);
      }
    },
  },
});
