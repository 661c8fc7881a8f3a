/**
 * The upstream of the gateway's cases: a raw socket that answers what the body of each request says.
 *
 *   bun bench/peers/told_upstream.ts PORT
 *
 * `"max_tokens":N` = N words, one event each; `"user":"paced"` = one event every 5 ms, else all in one
 * write; `"include_usage":true` = the usage in an event of its own before the end.
 *
 * @module
 */

const [, , port] = process.argv;

/** The pace of those that have one. One timer for all: what it costs is the client's core's. */
const TICK_MS = 5;

const HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n" +
  "Cache-Control: no-cache\r\nx-request-id: req_0123456789abcdef0123456789abcdef\r\n" +
  "openai-processing-ms: 212\r\nx-ratelimit-limit-requests: 10000\r\n" +
  "x-ratelimit-remaining-requests: 9999\r\nTransfer-Encoding: chunked\r\n\r\n";

const encoder = new TextEncoder();
const known = new Map<string, readonly Uint8Array[]>();

/** An answer: the first write has the head. */
function writesOf(words: number, isPaced: boolean, tells: boolean): readonly Uint8Array[] {
  const key = `${words} ${isPaced} ${tells}`;
  const made = known.get(key);
  if (made !== undefined) return made;
  const event = (rest: string) =>
    `data: {"id":"chatcmpl-0123456789abcdefghijABCDEFGHI","object":"chat.completion.chunk",` +
    `"created":1700000000,"model":"gpt-4o-2024-08-06","service_tier":"default",` +
    `"system_fingerprint":"fp_0123456789",${rest}}\n\n`;
  const usage = tells ? `,"usage":null` : "";
  const delta = (text: string, reason: string) =>
    event(
      `"choices":[{"index":0,"delta":${text},"logprobs":null,"finish_reason":${reason}}]${usage}`,
    );
  const events = [
    delta(`{"role":"assistant","content":"","refusal":null}`, "null"),
    ...Array.from({ length: words }, (_, i) => delta(`{"content":" ${WORDS[i % 8]!}"}`, "null")),
    delta("{}", `"stop"`),
    ...(tells
      ? [event(
        `"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":${words},` +
          `"total_tokens":${words + 12},"prompt_tokens_details":{"cached_tokens":0},` +
          `"completion_tokens_details":{"reasoning_tokens":0}}`,
      )]
      : []),
    "data: [DONE]\n\n",
  ];
  const chunks = events.map((text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
  const writes = isPaced
    ? [HEAD + chunks[0]!, ...chunks.slice(1, -1), `${chunks.at(-1)!}0\r\n\r\n`]
    : [`${HEAD}${chunks.join("")}0\r\n\r\n`];
  const bytes = writes.map((text) => encoder.encode(text));
  known.set(key, bytes);
  return bytes;
}

const WORDS = ["the", "river", "stands", "behind", "a", "wall", "and", "waits"];

/** What a connection has got of its request, and still owes of its answer. */
interface Connection {
  text: string;
  owed: readonly Uint8Array[];
  next: number;
}

const paced = new Set<Bun.Socket<Connection>>();

setInterval(() => {
  for (const socket of paced) {
    const { owed, next } = socket.data;
    socket.data.next++;
    socket.write(owed[next]!);
    if (next === owed.length - 1) paced.delete(socket);
  }
}, TICK_MS);

Bun.listen<Connection>({
  hostname: "127.0.0.1",
  port: Number(port),
  socket: {
    open(socket) {
      socket.data = { text: "", owed: [], next: 0 };
    },
    data(socket, bytes) {
      const { data } = socket;
      data.text += bytes.toString("latin1");
      const end = data.text.indexOf("\r\n\r\n");
      if (end < 0) return;
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(data.text.slice(0, end))?.[1] ?? 0);
      if (data.text.length < end + 4 + length) return;
      const words = Number(/"max_tokens":(\d+)/.exec(data.text)?.[1] ?? 1);
      const isPaced = data.text.includes('"user":"paced"');
      data.owed = writesOf(words, isPaced, data.text.includes('"include_usage":true'));
      data.text = "";
      data.next = 1;
      socket.write(data.owed[0]!);
      if (data.owed.length > 1) paced.add(socket);
    },
    close(socket) {
      paced.delete(socket);
    },
  },
});
