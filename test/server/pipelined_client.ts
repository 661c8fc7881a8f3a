/**
 * A client that pipelines as RFC 9112 section 9.3.2 says: it sends several requests without waiting,
 * and when the connection ends it sends those again that were not answered. Requests are numbered, so
 * that one that is lost, doubled or answered out of its turn shows.
 *
 * @module
 */

/** A request, and how to know its answer. */
interface Numbered {
  readonly bytes: Buffer;
  /** What the memory will hold; undefined = it is no turn. */
  readonly query: string | undefined;
  /** Throws unless `body` is the whole answer of this request and of no other. */
  readonly check: (body: string) => void;
  /** True when nothing was under way on the connection as it was sent. */
  wasIdle: boolean;
}

/** How a client sends: a steady number under way; all at once, then none; or cut in odd places. */
export type Style = "steady" | "bursts" | "pieces";

/** How a client behaves. */
export interface ClientOptions {
  /** Its session in the memory. No other client has it. */
  readonly session: string;
  readonly style: Style;
  /** Where the server listens, whenever it connects. */
  readonly port: () => Promise<number> | number;
  /**
   * What comes again of a connection that ended without a word: the same request, which a server that
   * ends in good order has not touched; or a new one, as nobody knows what a killed one had done.
   */
  readonly resends: "same" | "anew";
}

/** A connection that ended in another way than by an answer that says so. */
export interface Ending {
  /** The client's port. */
  readonly localPort: number;
  readonly isReset: boolean;
  /** True when an answer broke off in the middle. */
  readonly isTorn: boolean;
  /** True when any bytes had come. */
  readonly hasBytes: boolean;
  /** Requests that had been sent behind others under way, and were not answered. */
  readonly unansweredBehind: number;
  /** Requests that had been sent while the connection was silent, and were not answered. */
  readonly unansweredIdle: number;
}

/** Requests under way. */
const DEPTH = 5;
const DONE = "data: [DONE]\n\n";

/** One client: asks without a pause until `finish`, on one connection at a time. */
export class PipelinedClient {
  readonly session: string;
  /** Answers that were whole and right. */
  answered = 0;
  connections = 0;
  /** Connections that ended as their last answer had said. */
  announced = 0;
  /** The other connections that the server ended. */
  readonly endings: Ending[] = [];
  /** Queries that were answered, in their order. */
  readonly turns: string[] = [];
  /** Queries whose answers were cut off by a kill: they may be remembered or not. */
  readonly doubtful = new Set<string>();
  /** Settles when everything that was asked is answered; rejects at the first wrong answer. */
  readonly finished: Promise<void>;
  readonly #options: ClientOptions;
  /** What is not answered yet; the first `#sent` of them are on their way. */
  #line: Numbered[] = [];
  #sent = 0;
  #next = 0;
  #isFinishing = false;
  #hasLeft = false;
  #connection: Connection | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.session = options.session;
    this.finished = this.#run();
    this.finished.catch(() => {}); // whoever waits for it sees it
  }

  /** Asks nothing new. */
  finish(): void {
    this.#isFinishing = true;
    if (this.#line.length === 0) this.#connection?.leave();
  }

  /** Ends at once, whatever is not answered. */
  leave(): void {
    this.#hasLeft = true;
    this.#connection?.leave();
  }

  async #run(): Promise<void> {
    while (!this.#hasLeft && (!this.#isFinishing || this.#line.length > 0)) {
      const connection = await this.#connect();
      if (connection === undefined) continue;
      this.connections++;
      this.#connection = connection;
      this.#send(connection);
      await connection.ended;
      this.#connection = undefined;
      if (connection.error !== undefined) throw connection.error;
      this.#end(connection);
    }
  }

  async #connect(): Promise<Connection | undefined> {
    const port = await this.#options.port();
    const take = (answer: Answer, connection: Connection) => this.#take(answer, connection);
    try {
      return await Connection.open(port, take);
    } catch (error) {
      if (this.#options.resends === "same") throw error;
      await Bun.sleep(1); // the process that would have taken it has just been killed
      return undefined;
    }
  }

  #take(answer: Answer, connection: Connection): void {
    const item = this.#line.shift();
    if (item === undefined || this.#sent === 0) throw new Error("An answer that nobody asked for");
    if (answer.status !== 200) throw new Error(`Status ${answer.status}: ${answer.body}`);
    this.#sent--;
    item.check(answer.body);
    this.#count(item);
    if (answer.saysClose) return;
    if (this.#isFinishing && this.#line.length === 0) connection.leave();
    else this.#send(connection);
  }

  #count({ query }: Numbered): void {
    this.answered++;
    if (query !== undefined) this.turns.push(query);
  }

  /** Sends what is to be sent now. */
  #send(connection: Connection): void {
    const { style } = this.#options;
    if (!this.#isFinishing && (style === "steady" || this.#line.length === 0)) {
      while (this.#line.length < DEPTH) this.#line.push(this.#number());
    }
    const wasIdle = this.#sent === 0;
    const items = this.#line.slice(this.#sent);
    if (items.length === 0) return;
    for (const item of items) item.wasIdle = wasIdle;
    this.#sent = this.#line.length;
    const bytes = Buffer.concat(items.map((item) => item.bytes));
    if (style !== "pieces") return connection.send(bytes);
    // Within the last request, so that half of it comes along with those before.
    const cut = bytes.length - 1 - this.#next * 7 % (items.at(-1)!.bytes.length - 1);
    connection.send(bytes.subarray(0, cut));
    setImmediate(() => connection.send(bytes.subarray(cut)));
  }

  #end(connection: Connection): void {
    const unanswered = this.#line.slice(0, this.#sent);
    this.#sent = 0;
    if (connection.hasLeft) return;
    if (connection.saidClose) {
      this.announced++;
      return;
    }
    const { localPort, isReset, torn, hasBytes } = connection;
    const behind = unanswered.filter(({ wasIdle }) => !wasIdle).length;
    this.endings.push({
      localPort,
      isReset,
      isTorn: torn !== "",
      hasBytes,
      unansweredBehind: behind,
      unansweredIdle: unanswered.length - behind,
    });
    if (this.#options.resends === "same") return;
    const rest = this.#line.slice(unanswered.length);
    // Its end mark has been seen, though not the end of its last chunk: it is done.
    if (torn.includes(DONE) && unanswered.length > 0) this.#count(unanswered.shift()!);
    for (const { query } of unanswered) if (query !== undefined) this.doubtful.add(query);
    this.#line = [...unanswered.map(() => this.#number()), ...rest];
  }

  /** The next request: turns and chats in turn, streamed and whole. */
  #number(): Numbered {
    const number = this.#next++;
    const stream = number % 4 < 2;
    if (number % 2 === 0) {
      const query = `${this.session} ${number}`;
      const end = stream ? DONE : '"content":"one two three","session_id"';
      return {
        bytes: post("/v1/response", { session_id: this.session, query, stream }),
        query,
        check: (body) => expectPart(body, end),
        wasIdle: false,
      };
    }
    const model = `${this.session}-${number}`;
    const messages = [{ role: "user", content: "hi" }];
    return {
      bytes: post("/v1/chat/completions", { model, stream, messages }),
      query: undefined,
      check(body) {
        expectPart(body.replaceAll(/"model": ?/g, '"model":'), `"model":"${model}"`);
        if (stream) expectPart(body, DONE);
      },
      wasIdle: false,
    };
  }
}

function expectPart(text: string, part: string): void {
  if (!text.includes(part)) throw new Error(`Not answered with ${part}: ${text}`);
}

function post(path: string, body: unknown): Buffer {
  const text = JSON.stringify(body);
  const length = Buffer.byteLength(text);
  return Buffer.from(
    `POST ${path} HTTP/1.1\r\nHost: weir\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${length}\r\n\r\n${text}`,
  );
}

/** One answer, whole. */
interface Answer {
  readonly status: number;
  readonly saysClose: boolean;
  readonly body: string;
}

/** One connection, read answer by answer. */
class Connection {
  /** Settles when the server sends nothing more, or this side has left. */
  readonly ended: Promise<void>;
  localPort = 0;
  isReset = false;
  hasBytes = false;
  hasLeft = false;
  /** True once an answer has said that it is the last. */
  saidClose = false;
  /** What is wrong with what came. */
  error: Error | undefined;
  #rest: Buffer = Buffer.alloc(0);
  #unsent: Buffer = Buffer.alloc(0);
  #isOver = false;
  readonly #end: () => void;
  readonly #take: (answer: Answer, connection: Connection) => void;
  #socket!: Bun.Socket<undefined>;

  private constructor(take: (answer: Answer, connection: Connection) => void) {
    this.#take = take;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#end = () => {
      this.#isOver = true;
      resolve();
    };
  }

  static async open(
    port: number,
    take: (answer: Answer, connection: Connection) => void,
  ): Promise<Connection> {
    const connection = new Connection(take);
    connection.#socket = await Bun.connect<undefined>({
      hostname: "127.0.0.1",
      port,
      allowHalfOpen: true,
      socket: {
        data: (_socket, bytes) => connection.#read(bytes),
        drain: () => connection.#flush(),
        end(socket) {
          connection.#end();
          socket.end();
        },
        close(_socket, error) {
          if (!connection.#isOver) connection.isReset = error !== undefined;
          connection.#end();
        },
        error() {}, // a reset: `close` follows
      },
    });
    connection.localPort = connection.#socket.localPort;
    return connection;
  }

  /** The beginning of an answer whose end did not come. */
  get torn(): string {
    return this.#rest.toString("latin1");
  }

  send(bytes: Buffer): void {
    this.#unsent = Buffer.concat([this.#unsent, bytes]);
    this.#flush();
  }

  /** Says that nothing more is sent, and expects nothing more. */
  leave(): void {
    this.hasLeft = true;
    this.#end();
    this.#socket.end();
  }

  #flush(): void {
    if (this.#isOver || this.#unsent.length === 0) return;
    this.#unsent = this.#unsent.subarray(Math.max(0, this.#socket.write(this.#unsent)));
  }

  #read(bytes: Buffer): void {
    if (this.#isOver) return;
    this.hasBytes = true;
    this.#rest = Buffer.concat([this.#rest, bytes]);
    try {
      while (!this.#isOver && this.#rest.length > 0) {
        if (this.saidClose) throw new Error(`Bytes behind the last answer: ${this.torn}`);
        const found = takeAnswer(this.#rest);
        if (found === undefined) return;
        this.#rest = this.#rest.subarray(found.end);
        this.saidClose = found.answer.saysClose;
        this.#take(found.answer, this);
      }
    } catch (error) {
      this.error = error as Error;
      this.leave();
    }
  }
}

/** The first answer in `bytes`; undefined = it is not whole yet. */
function takeAnswer(bytes: Buffer): { readonly answer: Answer; readonly end: number } | undefined {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const head = bytes.toString("latin1", 0, headEnd).toLowerCase();
  const status = Number(/^http\/1\.1 (\d{3})/.exec(head)?.[1]);
  const saysClose = /\r\nconnection: close(\r|$)/.test(head);
  const at = headEnd + 4;
  const length = /\r\ncontent-length: (\d+)/.exec(head)?.[1];
  if (length !== undefined) {
    const end = at + Number(length);
    if (bytes.length < end) return undefined;
    return { answer: { status, saysClose, body: bytes.toString("utf8", at, end) }, end };
  }
  if (!head.includes("\r\ntransfer-encoding: chunked")) {
    throw new Error(`An answer without a length: ${head}`);
  }
  const chunks: Buffer[] = [];
  for (let from = at;;) {
    const lineEnd = bytes.indexOf("\r\n", from);
    if (lineEnd < 0) return undefined;
    const line = bytes.toString("latin1", from, lineEnd);
    if (!/^[0-9a-f]{1,8}$/i.test(line)) throw new Error(`Not the size of a chunk: ${line}`);
    const size = parseInt(line, 16);
    const end = lineEnd + 4 + size;
    if (bytes.length < end) return undefined;
    if (size === 0) {
      return { answer: { status, saysClose, body: Buffer.concat(chunks).toString() }, end };
    }
    chunks.push(bytes.subarray(lineEnd + 2, end - 2));
    from = end;
  }
}
