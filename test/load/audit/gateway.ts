/**
 * A gateway for tests of the audit: honest, or with one fault that was planted. `relay` is none of
 * HTTP's: it passes bytes.
 *
 * A client's connection has one to the upstream, which ends when it does. Requests lose what ends at
 * a hop; answers are read and put into chunks anew, at the pace of whoever is slower.
 *
 * Run as a program it listens on a port of its own and prints it: `bun gateway.ts FAULT UPSTREAM-PORT`.
 *
 * @module
 */

import { ResponseParser } from "../../../src/lib/http1/parser.ts";
import { headFields } from "../../../src/load/audit/head_fields.ts";

/** What can be planted. `none`: an honest gateway. */
export const PLANTED = [
  "none",
  "relay",
  "first-chunk-hold",
  "merge",
  "lost-byte",
  "renumber",
  "no-cancel",
  "three-retries",
  "done-after-cut",
  "leaked-header",
  "no-comments",
  "unbounded",
  "buffer",
  "renamed-model",
  "stores",
  "slow-up",
  "gzip",
  "key-in-error",
  "key-in-base64",
  "key-in-answers",
  "key-up",
  "keeps-credentials",
  "keeps-cookies",
  "named-case",
  "closes-clients",
  "via",
  "hangs-up",
  "rotating",
  "queue",
  "renumber-json",
  "gzip-asked",
  "html-type",
  "latin1-type",
  "no-type",
  "cached",
  "alias",
  "no-query",
  "decoded-query",
  "lost-piece",
  "one-of-equals",
  "trimmed",
  "composed",
  "unjoined",
  "one-finish",
  "one-choice",
  "no-role",
  "no-logprobs",
  "no-fingerprint",
  "mixes",
  "twice",
  "endless",
  "busy-429",
  "busy-503",
  "half-sent",
  "swallows-first",
  "swallows-second",
  "errors-as-200",
  "errors-as-500",
  "503-as-502",
  "error-body",
  "error-prefix",
  "error-envelope",
  "error-respelt",
  "error-fields",
  "retries-500",
  "gives-up",
  "one-comment",
  "own-comments",
  "hinted-leak",
  "slow-worker",
  "late-done",
  "late-end",
  "late-json",
  "no-cancel-json",
  "composed-request",
  "trimmed-request",
  "no-nul",
  "by-pieces",
  "parsed-request",
] as const;

/** What becomes of a text of whole lines, in Latin-1, where that is all that is planted. */
const TEXTS: Readonly<Partial<Record<Planted, (text: string) => string>>> = {
  "no-comments": (text) => text.replace(/^:.*\n\n?/gm, ""),
  renumber: (text) =>
    text.replace(
      /^data: (\{.*\})$/gm,
      (_, json: string) => `data: ${latin1(JSON.stringify(JSON.parse(utf8(json))))}`,
    ),
  alias: (text) => text.replace(/"model":\s*"[^"]*"/g, '"model":"my-alias"'),
  "lost-piece": (text) => text.replace(/^(?:event: .*\n)?data: .*" York".*\n\n/gm, ""),
  "one-of-equals": (text) => text.replace(/^((?:event: .*\n)?data: .*\n\n)\1/gm, "$1"),
  trimmed: (text) => text.replace(/"content":"\s+/g, '"content":"'),
  composed: (text) => latin1(utf8(text).normalize("NFC")),
  unjoined: (text) => latin1(utf8(text).replaceAll("\u200d", "")),
  "one-finish": (text) => text.replace(/"finish_reason":"\w+"/g, '"finish_reason":"stop"'),
  "one-choice": (text) => text.replace(/^data: .*"index":1,"delta".*\n\n/gm, ""),
  "no-role": (text) => text.replace(/^data: ?.*"content":"".*(?:\r\n\r\n|\n\n|\r\r)/gm, ""),
  "no-logprobs": (text) => text.replace(/,"logprobs":\{.*?"refusal":null\}/g, ""),
  "no-fingerprint": (text) => text.replace(/,"system_fingerprint":"\w*"/g, ""),
  "error-body": (text) => text.replace(ERROR, '{"error":{"message":"upstream error"}}'),
  "error-prefix": (text) =>
    text.replace(ERROR, (json) => json.replace('"message":"', '"message":"openai error: ')),
  "error-envelope": (text) => text.replace(ERROR, '{"detail":[$&]}'),
  "error-respelt": (text) =>
    text.replace(ERROR, (json) => latin1(JSON.stringify(JSON.parse(utf8(json)), null, 1))),
  "own-comments": (text) => text.replace(/^:.*\n\n?/gm, ""),
};
/** The body of an error, whole. */
const ERROR = /^\{"error":.*\}$/;

/** What becomes of a status. */
const STATUSES: Readonly<Partial<Record<Planted, (status: number) => number>>> = {
  "errors-as-200": (status) => status === 429 ? status : 200,
  "errors-as-500": (status) => status < 400 ? status : 500,
  "503-as-502": (status) => status === 503 ? 502 : status,
};

/** What becomes of the fields of a stream's head. */
const TYPES: Readonly<Partial<Record<Planted, readonly (readonly [string, string])[]>>> = {
  "html-type": [["content-type", "text/html"]],
  "latin1-type": [["content-type", "text/event-stream; charset=iso-8859-1"]],
  "no-type": [],
  cached: [["content-type", "text/event-stream"], ["cache-control", "public, max-age=3600"]],
};

function utf8(text: string): string {
  return Buffer.from(text, "latin1").toString();
}

function latin1(text: string): string {
  return Buffer.from(text).toString("latin1");
}

export type Planted = typeof PLANTED[number];

/** A gateway that runs. */
export interface Gateway {
  readonly port: number;
  stop(): void;
}

const HOP = /^(?:connection|keep-alive|proxy-\S+|te|trailer|upgrade|host)$/;
const LAST_CHUNK = Buffer.from("0\r\n\r\n");
const HINTS = Buffer.from("HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n");
/** Of `merge`. */
const MERGE_MS = 45;
/** Of `buffer`: what it passes on at once. */
export const BUFFER_BYTES = 4096;
/** Of `first-chunk-hold`. */
const HOLD_MS = 25;
/** Of `slow-up`. */
const UP_MS = 30;
/** Of `slow-worker`: every so many connections belong to the one that is slow on the way up. */
const WORKERS = 4;
/** Of `late-…`: by how much the last chunk of an answer is. */
const LATE_END_MS: Readonly<Partial<Record<Planted, number>>> = {
  "late-end": 500,
  "late-json": 30,
};
/** Of `rotating`: connections to the upstream, used in turn. */
const POOL = 6;
/** Of `queue`: one request at a time, so long each, and nobody is refused. */
const TURN_MS = 5;
/** Of `mixes`: every so many pieces of bodies are another client's, where there is one. */
const MIXED_EVERY = 4;
/** Of `twice`: every so many requests are sent again beside it. */
const TWICE_EVERY = 3;
/** Of `busy-…`: two in a row of so many requests are refused, the first of them this one. */
const BUSY_EVERY = 8;
const BUSY_FROM = 4;
/** Of `gives-up`: without a head until then it answers by itself. */
const PATIENCE_MS = 500;
/** Of `own-comments`. */
const BEAT_MS = 2000;
/** The number of the request that gets no answer is the place here. */
const SWALLOWED: readonly Planted[] = ["swallows-first", "swallows-second"];
/** Of `key-up`: every so many requests have the client's key. */
const KEY_UP_EVERY = 3;
/** Headers of clients that `keeps-credentials` remembers. */
const CREDENTIALS: readonly string[] = ["authorization", "cookie"];
/** Of `by-pieces`: what is decoded at a time. */
const PIECE_BYTES = 16 * 1024;
/** Of those that have a key of their own. */
export const OWN_KEY = "sk-own-key-of-the-gateway";

/** Starts it on a free port. Behind `clientsMax` connections it listens no more. */
export function startGateway(
  planted: Planted,
  upstreamPort: number,
  clientsMax = Infinity,
): Gateway {
  let clients = 0;
  counter = 0;
  remembered.clear();
  const pool = new Pool(upstreamPort, planted === "closes-clients");
  const listener = Bun.listen<Link>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => {
        if (++clients === clientsMax) listener.stop();
        socket.data = planted === "relay"
          ? new Relay(socket, upstreamPort)
          : planted === "rotating" || planted === "closes-clients"
          ? new Rotating(socket, pool)
          : planted === "slow-worker"
          ? new HttpLink(socket, upstreamPort, clients % WORKERS === 0 ? "slow-up" : "none")
          : new HttpLink(socket, upstreamPort, planted);
      },
      data: (socket, bytes) => socket.data.fromClient(bytes),
      drain: (socket) => socket.data.clientDrained(),
      close: (socket) => socket.data.clientLeft(),
      error: (socket) => socket.data.clientLeft(),
    },
  });
  return {
    port: listener.port,
    stop() {
      listener.stop(true);
      pool.close();
    },
  };
}

interface Link {
  fromClient(bytes: Buffer): void;
  clientDrained(): void;
  clientLeft(): void;
}

/** Writes what a socket takes, and keeps the rest. */
class Outgoing {
  readonly #socket: Bun.Socket<Link> | Bun.Socket<undefined>;
  #held: Buffer[] = [];

  constructor(socket: Bun.Socket<Link> | Bun.Socket<undefined>) {
    this.#socket = socket;
  }

  /** True when all has been taken. */
  write(bytes: Buffer): boolean {
    this.#held.push(bytes);
    return this.drain();
  }

  drain(): boolean {
    for (let piece = this.#held[0]; piece !== undefined; piece = this.#held[0]) {
      const sent = this.#socket.write(piece, 0, piece.length);
      if (sent < piece.length) {
        this.#held[0] = piece.subarray(Math.max(0, sent));
        return false;
      }
      this.#held.shift();
    }
    return true;
  }
}

/** Bytes one way and the other. */
class Relay implements Link {
  readonly #client: Bun.Socket<Link>;
  readonly #down: Outgoing;
  #upstream: Bun.Socket<undefined> | undefined;
  #up: Outgoing | undefined;
  #early: Buffer[] = [];
  #hasLeft = false;

  constructor(client: Bun.Socket<Link>, port: number) {
    this.#client = client;
    this.#down = new Outgoing(client);
    void Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (socket) => {
          this.#upstream = socket;
          if (this.#hasLeft) return void socket.terminate();
          this.#up = new Outgoing(socket);
          for (const bytes of this.#early) this.#up.write(bytes);
        },
        data: (socket, bytes) => {
          if (!this.#down.write(bytes)) socket.pause();
        },
        drain: () => {
          if (this.#up?.drain()) this.#client.resume();
        },
        close: (_, error) => {
          if (error !== undefined) this.#client.terminate();
          else if (this.#down.drain()) this.#client.end();
        },
        error: () => this.#client.terminate(),
      },
    }).catch(() => this.#client.terminate());
  }

  fromClient(bytes: Buffer): void {
    if (this.#up === undefined) this.#early.push(bytes);
    else if (!this.#up.write(bytes)) this.#client.pause();
  }

  clientDrained(): void {
    if (this.#down.drain()) this.#upstream?.resume();
  }

  clientLeft(): void {
    this.#hasLeft = true;
    this.#upstream?.terminate();
  }
}

/** Connections to the upstream that are opened once, and belong to whoever asked last. */
class Pool {
  readonly #port: number;
  readonly #isClosing: boolean;
  readonly #sockets: Promise<Bun.Socket<undefined>>[] = [];
  readonly #users: (Bun.Socket<Link> | undefined)[] = [];
  #next = 0;

  /** `isClosing`: each answer says that its client's connection ends. */
  constructor(port: number, isClosing: boolean) {
    this.#port = port;
    this.#isClosing = isClosing;
  }

  async ask(client: Bun.Socket<Link>, bytes: Buffer): Promise<void> {
    const at = this.#next++ % POOL;
    this.#users[at] = client;
    this.#sockets[at] ??= Bun.connect({
      hostname: "127.0.0.1",
      port: this.#port,
      socket: {
        data: (_, answer) => void this.#users[at]?.write(this.#told(answer)),
        close: () => {
          delete this.#sockets[at];
          this.#users[at]?.end();
        },
      },
    });
    (await this.#sockets[at]).write(bytes);
  }

  #told(answer: Buffer): Buffer {
    const text = answer.toString("latin1");
    if (!this.#isClosing || !text.startsWith("HTTP/1.1 ")) return answer;
    return Buffer.from(text.replace("\r\n", "\r\nconnection: close\r\n"), "latin1");
  }

  close(): void {
    for (const socket of this.#sockets) void socket?.then((open) => open.terminate());
  }
}

/** Short requests, each on the pool's next connection. */
class Rotating implements Link {
  readonly #client: Bun.Socket<Link>;
  readonly #pool: Pool;

  constructor(client: Bun.Socket<Link>, pool: Pool) {
    this.#client = client;
    this.#pool = pool;
  }

  fromClient(bytes: Buffer): void {
    void this.#pool.ask(this.#client, Buffer.from(bytes));
  }

  clientDrained(): void {}
  clientLeft(): void {}
}

/** Whose turn it is in a `queue`. */
let turn = Promise.resolve();

/** Of `mixes`: the last piece of each body under way; and what is counted of that, and of requests. */
const underWay = new Map<Link, Buffer>();
let counter = 0;
/** Of those that keep what is one client's: the last value of each header. */
const remembered = new Map<string, string>();

/** Requests and answers, one after the other. */
class HttpLink implements Link {
  readonly #client: Bun.Socket<Link>;
  readonly #down: Outgoing;
  readonly #port: number;
  readonly #planted: Planted;
  readonly #parser: ResponseParser;
  #upstream: Bun.Socket<undefined> | undefined;
  #up: Outgoing | undefined;
  #came = Buffer.alloc(0);
  #request = Buffer.alloc(0);
  #attempts = 0;
  #isAnswering = false;
  #hasHead = false;
  #isHeld = false;
  #hasLeft = false;
  #isSse = false;
  #isZipped = false;
  /** Of `hangs-up`: the upstream has closed the idle connection. */
  #isDead = false;
  /** What waits for more, and what waits for its time. */
  #merged: Buffer[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Of `own-comments`. */
  #beat: ReturnType<typeof setInterval> | undefined;
  #comments = 0;
  #body = "";

  constructor(client: Bun.Socket<Link>, port: number, planted: Planted) {
    this.#client = client;
    this.#down = new Outgoing(client);
    this.#port = port;
    this.#planted = planted;
    this.#parser = new ResponseParser({
      onHead: (head) => {
        if (this.#isRetried(head.status)) return this.#retry();
        this.#hasHead = true;
        clearTimeout(this.#timer);
        this.#isSse = /event-stream/.test(
          [...head.fields].find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? "",
        );
        const fields = [...head.fields].filter(([name]) =>
          !/^(?:transfer-encoding|content-length)$/i.test(name) &&
          (this.#leaks || this.#planted === "via" ||
            !HOP.test(name.toLowerCase()) && !/hop/i.test(name))
        );
        const isBare = this.#planted === "error-fields" && head.status >= 400;
        const typed = this.#isSse
          ? TYPES[this.#planted]
          : isBare
          ? [["content-type", "application/json"]] as const
          : undefined;
        if (this.#planted === "keeps-cookies") keep(fields, ["set-cookie"]);
        if (this.#planted === "key-in-answers") fields.push(["x-debug", `Bearer ${OWN_KEY}`]);
        const told = typed === undefined ? fields : [
          ...fields.filter(([name]) => !isBare && !/^(?:content-type|cache-control)$/i.test(name)),
          ...typed,
        ];
        const status = STATUSES[this.#planted]?.(head.status) ?? head.status;
        if (this.#planted === "own-comments" && this.#isSse) {
          this.#beat = setInterval(() => this.#chunk(Buffer.from(": beat\n\n")), BEAT_MS);
        }
        if (this.#planted === "hinted-leak") this.#send(HINTS);
        this.#send(Buffer.from(
          `HTTP/1.1 ${status} ${head.statusText}\r\n` +
            told.map(([name, value]) => `${name}: ${value}\r\n`).join("") +
            (this.#isZipped ? "content-encoding: gzip\r\n" : "") +
            "transfer-encoding: chunked\r\n\r\n",
          "latin1",
        ));
      },
      onBody: (bytes) => this.#fromBody(Buffer.from(bytes)),
    });
  }

  fromClient(bytes: Buffer): void {
    this.#came = Buffer.concat([this.#came, bytes]);
    const end = this.#came.indexOf("\r\n\r\n");
    if (end < 0 || this.#isAnswering) return;
    const head = this.#came.toString("latin1", 0, end);
    const fields = headFields(head);
    const length = Number(fields.find(([name]) => name === "content-length")?.[1] ?? 0);
    if (this.#came.length < end + 4 + length) return;
    if (this.#isDead) return void this.#client.end();
    const named = fields.filter(([name]) => name === "connection").flatMap(([, value]) =>
      (this.#planted === "named-case" ? value : value.toLowerCase()).split(/\s*,\s*/)
    );
    const kept = fields.filter(([name]) =>
      name !== "host" && name !== "content-length" &&
      (this.#leaks || !HOP.test(name) && !named.includes(name)) &&
      !(this.#hasKey && name === "authorization")
    );
    if (this.#planted === "keeps-credentials") keep(kept, CREDENTIALS);
    if (this.#planted === "key-up" && counter++ % KEY_UP_EVERY === 0) {
      kept.push(["x-trace-key", fields.find(([name]) => name === "authorization")?.[1] ?? ""]);
    }
    const body = changedBody(this.#planted, this.#came.subarray(end + 4, end + 4 + length));
    const lines = this.#planted === "via"
      ? `${head}\r\nvia: 1.1 sloppy\r\n\r\n`
      : `${
        asked(this.#planted, head.split("\r\n")[0]!)
      }\r\nhost: upstream\r\ncontent-length: ${body.length}\r\n${
        kept.map(([name, value]) => `${name}: ${value}\r\n`).join("")
      }${this.#hasKey ? `authorization: Bearer ${OWN_KEY}\r\n` : ""}\r\n`;
    this.#isZipped = this.#planted === "gzip" || this.#planted === "gzip-asked" &&
        fields.some(([name, value]) => name === "accept-encoding" && value.includes("gzip"));
    this.#request = Buffer.concat([Buffer.from(lines, "latin1"), body]);
    this.#came = this.#came.subarray(end + 4 + length);
    this.#attempts = 0;
    if (/^busy/.test(this.#planted) && [0, 1].includes(counter++ % BUSY_EVERY - BUSY_FROM)) {
      return this.#refuse(this.#planted.slice(-3));
    }
    const swallowed = SWALLOWED.indexOf(this.#planted);
    if (swallowed >= 0 && counter++ === swallowed) return;
    // Its body is never sent.
    if (this.#planted === "half-sent") this.#request = Buffer.from(lines, "latin1");
    this.#isAnswering = true;
    if (this.#planted === "slow-up") setTimeout(() => this.#ask(), UP_MS);
    else if (this.#planted === "queue") turn = turn.then(() => this.#takeTurn());
    else this.#ask();
  }

  /** The upstream is not waited for any longer. */
  #giveUp(): void {
    this.#send(Buffer.from("HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 0\r\n\r\n"));
    this.#isAnswering = false;
    this.#upstream?.terminate();
  }

  #refuse(status: string): void {
    const text = '{"error":{"message":"slow down","type":"rate_limit"}}';
    this.#send(Buffer.from(
      `HTTP/1.1 ${status} Busy\r\nretry-after: 1\r\ncontent-type: application/json\r\n` +
        `content-length: ${text.length}\r\n\r\n${text}`,
    ));
  }

  async #takeTurn(): Promise<void> {
    if (this.#hasLeft) return;
    await Bun.sleep(TURN_MS);
    this.#ask();
  }

  clientDrained(): void {
    if (this.#down.drain() && !this.#isHeld) this.#upstream?.resume();
  }

  clientLeft(): void {
    this.#hasLeft = true;
    underWay.delete(this);
    clearTimeout(this.#timer);
    clearInterval(this.#beat);
    if (!this.#goesOn) this.#upstream?.terminate();
  }

  #ask(): void {
    this.#attempts++;
    this.#hasHead = false;
    this.#body = "";
    this.#comments = 0;
    this.#parser.reset(false);
    if (this.#planted === "gives-up") this.#timer = setTimeout(() => this.#giveUp(), PATIENCE_MS);
    if (this.#planted === "twice" && ++counter % TWICE_EVERY === 0) this.#askBeside();
    if (this.#upstream !== undefined) {
      this.#up!.write(this.#request);
      return;
    }
    void Bun.connect({
      hostname: "127.0.0.1",
      port: this.#port,
      socket: {
        open: (socket) => {
          this.#upstream = socket;
          this.#up = new Outgoing(socket);
          if (this.#hasLeft && !this.#goesOn) socket.terminate();
          else this.#up.write(this.#request);
        },
        data: (socket, bytes) => this.#fromUpstream(socket, bytes),
        drain: () => void this.#up?.drain(),
        close: (socket) => this.#upstreamLeft(socket),
        error: (socket) => this.#upstreamLeft(socket),
      },
    }).catch(() => this.#noAnswer());
  }

  /** Headers that end at a hop are passed on. */
  get #leaks(): boolean {
    return this.#planted === "leaked-header" || this.#planted === "hinted-leak";
  }

  /** The upstream is not told that the client has left. */
  get #goesOn(): boolean {
    return this.#planted === "no-cancel" ||
      this.#planted === "no-cancel-json" && this.#request.includes('"stream":false');
  }

  /** The gateway has a key of its own for the upstream. */
  get #hasKey(): boolean {
    return this.#planted.startsWith("key-");
  }

  /** The same on a connection of its own, whose answer nobody reads. */
  #askBeside(): void {
    void Bun.connect({
      hostname: "127.0.0.1",
      port: this.#port,
      socket: {
        open: (socket) => void socket.write(this.#request),
        data: (socket) => void socket.end(),
      },
    });
  }

  /** The upstream has said nothing. */
  #noAnswer(): void {
    if (!/^key-in-(?:error|base64)$/.test(this.#planted)) return void this.#client.end();
    const key = this.#planted === "key-in-error"
      ? OWN_KEY
      : Buffer.from(`Bearer ${OWN_KEY}`).toString("base64");
    const text = `{"error":{"message":"No answer for ${key}"}}`;
    this.#send(
      Buffer.from(`HTTP/1.1 502 Bad Gateway\r\ncontent-length: ${text.length}\r\n\r\n${text}`),
    );
    this.#isAnswering = false;
  }

  #fromUpstream(socket: Bun.Socket<undefined>, bytes: Buffer): void {
    if (this.#planted === "first-chunk-hold" && !this.#hasHead) {
      this.#isHeld = true;
      socket.pause();
      setTimeout(() => {
        this.#isHeld = false;
        this.#read(bytes);
        socket.resume();
      }, HOLD_MS);
    } else this.#read(bytes);
  }

  #read(bytes: Buffer): void {
    if (!this.#isAnswering) return;
    this.#parser.push(bytes);
    if (this.#parser.isDone && this.#hasHead) this.#end();
  }

  #upstreamLeft(socket: Bun.Socket<undefined>): void {
    if (socket !== this.#upstream) return;
    this.#upstream = undefined;
    if (this.#hasLeft) return;
    if (!this.#isAnswering && this.#planted === "hangs-up") return void (this.#isDead = true);
    if (!this.#isAnswering) return void this.#client.end();
    if (!this.#hasHead && this.#planted === "three-retries" && this.#attempts < 4) {
      return this.#ask();
    }
    if (this.#planted === "done-after-cut" && this.#hasHead) {
      this.#chunk(Buffer.from("data: [DONE]\n\n"));
      return this.#end();
    }
    if (!this.#hasHead) return this.#noAnswer();
    this.#flush();
    // What is written goes before the end, which is no end of the body.
    this.#client.end();
  }

  #isRetried(status: number): boolean {
    const statuses = this.#planted === "three-retries"
      ? [429, 503]
      : this.#planted === "retries-500"
      ? [500]
      : [];
    return statuses.includes(status) && this.#attempts < 4;
  }

  #retry(): void {
    this.#parser.stop();
    const socket = this.#upstream;
    this.#upstream = undefined;
    socket?.terminate();
    setTimeout(() => this.#ask(), 20);
  }

  #fromBody(bytes: Buffer): void {
    if (this.#isZipped) return this.#chunk(Buffer.from(Bun.gzipSync(new Uint8Array(bytes))));
    const change = TEXTS[this.#planted];
    if (change !== undefined) return this.#fromText(bytes.toString("latin1"), change);
    switch (this.#planted) {
      case "renumber-json":
        if (this.#isSse) return this.#chunk(bytes);
        this.#body += bytes.toString("latin1");
        return;
      case "mixes": {
        underWay.set(this, bytes);
        const other = [...underWay].find(([link]) => link !== this)?.[1];
        const isMixed = other !== undefined && ++counter % MIXED_EVERY === 0;
        return this.#chunk(isMixed ? other : bytes);
      }
      case "one-comment":
        if (bytes[0] === ":".charCodeAt(0) && ++this.#comments > 1) return;
        return this.#chunk(bytes);
      case "late-done":
        // Until the end of the body.
        if (bytes.includes("data: [DONE]")) this.#merged.push(bytes);
        else this.#chunk(bytes);
        return;
      case "lost-byte":
        return this.#chunk(withoutOne(bytes));
      case "merge":
        this.#merged.push(bytes);
        this.#timer ??= setTimeout(() => this.#flush(), MERGE_MS);
        return;
      case "buffer":
        this.#merged.push(bytes);
        if (this.#merged.reduce((sum, { length }) => sum + length, 0) >= BUFFER_BYTES) {
          this.#flush();
        }
        return;
      default:
        this.#chunk(bytes);
    }
  }

  /** Whole events, changed. */
  #fromText(text: string, change: (text: string) => string): void {
    this.#body += text;
    const last = this.#body.lastIndexOf("\n\n");
    const end = last < 0 ? 0 : last + 2;
    const changed = change(this.#body.slice(0, end));
    this.#body = this.#body.slice(end);
    if (changed !== "") this.#chunk(Buffer.from(changed, "latin1"));
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const merged = Buffer.concat(this.#merged.splice(0));
    if (merged.length > 0) this.#chunk(merged);
  }

  #end(): void {
    this.#flush();
    clearInterval(this.#beat);
    // Into doubles and back, as "renumber-json" does with whole answers.
    const rest = this.#planted === "renumber-json" && this.#body !== ""
      ? Buffer.from(JSON.stringify(JSON.parse(utf8(this.#body))))
      : Buffer.from(TEXTS[this.#planted]?.(this.#body) ?? this.#body, "latin1");
    if (rest.length > 0) this.#chunk(rest);
    underWay.delete(this);
    if (this.#planted === "endless") return;
    const lateMs = LATE_END_MS[this.#planted];
    if (lateMs === undefined || this.#planted === "late-json" && this.#isSse) this.#over();
    else this.#timer = setTimeout(() => this.#over(), lateMs);
  }

  #over(): void {
    this.#send(LAST_CHUNK);
    this.#isAnswering = false;
    if (this.#came.length > 0) this.fromClient(Buffer.alloc(0));
  }

  #chunk(bytes: Buffer): void {
    const size = Buffer.from(`${bytes.length.toString(16)}\r\n`);
    this.#send(Buffer.concat([size, bytes, Buffer.from("\r\n")]));
  }

  #send(bytes: Buffer): void {
    if (this.#hasLeft) return;
    const isTaken = this.#down.write(bytes);
    if (!isTaken && this.#planted !== "unbounded") this.#upstream?.pause();
  }
}

/** Remembers the headers of these names, and adds those that are not there from before. */
function keep(fields: (readonly [string, string])[], names: readonly string[]): void {
  for (const name of names) {
    const own = fields.find(([key]) => key.toLowerCase() === name)?.[1];
    const kept = own ?? remembered.get(name);
    if (kept === undefined) continue;
    remembered.set(name, kept);
    if (own === undefined) fields.push([name, kept]);
  }
}

/** A request's first line as it is sent on. */
function asked(planted: Planted, line: string): string {
  if (planted === "no-query") return line.replace(/\?\S*/, "");
  return planted === "decoded-query" ? line.replaceAll("%2B", "+") : line;
}

/** What becomes of a request's body, where that is what is planted. */
const BODIES: Readonly<Partial<Record<Planted, (text: string, body: Buffer) => string>>> = {
  "renamed-model": (text) => text.replace('"gpt-4o"', '"gpt-4o-mini"'),
  stores: (text) => text.replace("{", '{"store":true,'),
  "composed-request": (text) => text.normalize("NFC"),
  "trimmed-request": (text) =>
    JSON.stringify(
      JSON.parse(text),
      (key, value: unknown) => key === "content" ? String(value).trim() : value,
    ),
  "no-nul": (text) => text.replaceAll("\\u0000", ""),
  "by-pieces": (_, body) =>
    Array.from(
      { length: Math.ceil(body.length / PIECE_BYTES) },
      (_, i) => body.toString("utf8", i * PIECE_BYTES, (i + 1) * PIECE_BYTES),
    ).join(""),
  "parsed-request": (text) => JSON.stringify(JSON.parse(text)),
};

/** A request's body as it is sent on. */
function changedBody(planted: Planted, body: Buffer): Buffer {
  const change = BODIES[planted];
  return change === undefined ? body : Buffer.from(change(body.toString(), body));
}

/** `bytes` without a byte of their text, once in a while. */
function withoutOne(bytes: Buffer): Buffer {
  const at = bytes.indexOf(".3 ");
  return at < 0 ? bytes : Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
}

if (import.meta.main) {
  const [planted, port] = process.argv.slice(2) as [Planted, string];
  process.stdout.write(`${startGateway(planted, Number(port)).port}\n`);
}
