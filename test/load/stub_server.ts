/**
 * A server on a raw socket for tests of the load: it says what a script says, byte for byte.
 *
 * @module
 */

/** What one connection is told for each of its requests, in their order; undefined = it hangs. */
export type Script = (request: string, number: number) => Reply | undefined;

/** An answer. */
export interface Reply {
  /** Pieces as they are written, each in a turn of the event loop of its own. */
  readonly pieces: readonly string[];
  /** What happens behind them. */
  readonly ending?: "keep" | "close" | "reset";
}

/** A running server. */
export interface StubServer {
  readonly port: number;
  /** Requests and connections so far. */
  readonly seen: { requests: number; connections: number; closed: number };
  stop(): void;
}

interface Heard {
  text: string;
}

/** Starts one on a free port. It reads requests with a `content-length`, or none. */
export function stubServer(script: Script): StubServer {
  const seen = { requests: 0, connections: 0, closed: 0 };
  const answer = async (socket: Bun.Socket<Heard>, reply: Reply | undefined) => {
    if (reply === undefined) return;
    for (const piece of reply.pieces) {
      socket.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (reply.ending === "close") socket.end();
    if (reply.ending === "reset") socket.terminate();
  };
  const server = Bun.listen<Heard>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { text: "" };
        seen.connections++;
      },
      data(socket, bytes) {
        const heard = socket.data;
        heard.text += bytes.toString("latin1");
        const head = heard.text.indexOf("\r\n\r\n");
        if (head < 0) return;
        const length = Number(/content-length: (\d+)/i.exec(heard.text)?.[1] ?? 0);
        const end = head + 4 + length;
        if (heard.text.length < end) return;
        const request = heard.text.slice(0, end);
        heard.text = heard.text.slice(end);
        void answer(socket, script(request, seen.requests++));
      },
      close() {
        seen.closed++;
      },
    },
  });
  return { port: server.port, seen, stop: () => server.stop(true) };
}

/** The head of an event stream in chunks. */
export const STREAM_HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/** `text` as one chunk. */
export function chunkOf(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

/** The end of a body in chunks. */
export const LAST_CHUNK = "0\r\n\r\n";

/** One chat chunk as an event. */
export function chatEvent(delta: object, rest: object = {}): string {
  const choices = [{ index: 0, delta, ...rest }];
  return `data: ${JSON.stringify({ id: "chatcmpl-1", created: 1, choices })}\n\n`;
}

/** The events of a whole chat answer that says `words`. */
export function chatEvents(words: readonly string[]): readonly string[] {
  return [
    chatEvent({ role: "assistant", content: "" }),
    ...words.map((content) => chatEvent({ content })),
    chatEvent({}, { finish_reason: "stop" }),
    'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":' +
    `${words.length}}}\n\n`,
    "data: [DONE]\n\n",
  ];
}

/** The same as pieces of one response. */
export function chatPieces(words: readonly string[]): readonly string[] {
  return [STREAM_HEAD, ...chatEvents(words).map(chunkOf), LAST_CHUNK];
}
