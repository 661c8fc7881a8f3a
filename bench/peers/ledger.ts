/**
 * A stream whose times are known: each event says when it was written, and the first one when the
 * request was read as well. That is the text of the event: milliseconds of the clock that all
 * processes of a machine share, each with three digits behind its point and a blank behind it.
 *
 *   bun bench/peers/ledger.ts PORT FIRST_MS GAP_MS EVENTS [STALL_MS PERIOD_MS]
 *
 * POST / is answered with a chat stream. With a stall, nothing is answered in the first STALL_MS of
 * each PERIOD_MS. GET / answers 200.
 *
 * @module
 */

import { Ticket, timerAlarm, Wheel } from "../../src/lib/wheel.ts";

const [port, firstMs, gapMs, count, stallMs = 0, periodMs = 1] = process.argv.slice(2).map(Number);
const wheel = new Wheel(() => performance.now(), timerAlarm());
const HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const event = (delta: object, finish: string | null = null) =>
  chunk(
    `data: ${
      JSON.stringify({
        id: "chatcmpl-0000000000000000000000000000",
        object: "chat.completion.chunk",
        created: 1700000000,
        model: "gpt-4o",
        choices: [{ index: 0, delta, finish_reason: finish }],
      })
    }\n\n`,
  );
const STAMP = "0000000000000.000 ";
const [firstBefore, firstAfter] = event({ content: STAMP + STAMP }).split(STAMP + STAMP);
const [before, after] = event({ content: STAMP }).split(STAMP);
const last = `${event({}, "stop")}${chunk("data: [DONE]\n\n")}0\r\n\r\n`;
const stamp = (ms: number) => `${(performance.timeOrigin + ms).toFixed(3)} `;

class Stream extends Ticket {
  readonly socket: Bun.Socket<Heard>;
  readonly readMs = performance.now();
  at = 0;
  dueMs: number;

  constructor(socket: Bun.Socket<Heard>) {
    super();
    this.socket = socket;
    const phaseMs = Date.now() % periodMs;
    const heldMs = phaseMs < stallMs ? stallMs - phaseMs : 0;
    this.dueMs = this.readMs + heldMs + firstMs!;
    if (this.dueMs <= this.readMs) this.run();
    else wheel.set(this, this.dueMs);
  }

  override run(): void {
    const isFirst = this.at === 0;
    const isLast = ++this.at === count;
    const nowMs = stamp(performance.now());
    const text = isFirst
      ? `${HEAD}${firstBefore}${stamp(this.readMs)}${nowMs}${firstAfter}`
      : `${before}${nowMs}${after}`;
    this.socket.write(isLast ? text + last : text);
    if (isLast) return;
    this.dueMs += gapMs!;
    wheel.set(this, this.dueMs);
  }
}

interface Heard {
  text: string;
}

Bun.listen<Heard>({
  hostname: "127.0.0.1",
  port: port!,
  socket: {
    open(socket) {
      socket.data = { text: "" };
      socket.setNoDelay(true);
    },
    data(socket, bytes) {
      const heard = socket.data;
      heard.text += bytes.toString("latin1");
      const head = heard.text.indexOf("\r\n\r\n");
      if (head < 0) return;
      const length = Number(/content-length: (\d+)/i.exec(heard.text)?.[1] ?? 0);
      if (heard.text.length < head + 4 + length) return;
      const isPost = heard.text.startsWith("POST");
      heard.text = "";
      if (isPost) new Stream(socket);
      else socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    },
  },
});
