/**
 * A client that sends any bytes, sees each packet that comes, and tells a connection that ends from
 * one that is reset. It closes when the test closes it, and not when the server does.
 *
 * @module
 */

import { waitFor } from "../../server/launch.ts";

/** One connection. */
export class RawSocket {
  /** What came, piece by piece. */
  readonly pieces: Buffer[] = [];
  /** True once the server has said that it sends nothing more. */
  hasFin = false;
  isClosed = false;
  /** True once the server has reset it. */
  isReset = false;
  /** Bytes that the kernel has not taken. */
  unsent: Buffer = Buffer.alloc(0);
  /** How many more bytes are read before it pauses. */
  #bytesLeft: number;
  #hasFinished = false;
  #socket!: Bun.Socket<undefined>;

  private constructor(bytesMax: number) {
    this.#bytesLeft = bytesMax;
  }

  /** Connects to `target` and reads `bytesMax` bytes at the least, and no more than it has to. */
  static async open(
    target: number | { readonly unix: string },
    bytesMax: number = Infinity,
  ): Promise<RawSocket> {
    const raw = new RawSocket(bytesMax);
    const options = {
      allowHalfOpen: true,
      socket: {
        open(socket) {
          if (bytesMax === 0) socket.pause();
        },
        data(socket, bytes) {
          raw.pieces.push(Buffer.from(bytes));
          raw.#bytesLeft -= bytes.length;
          if (raw.#bytesLeft <= 0) socket.pause();
        },
        drain: () => raw.#flush(),
        end: () => {
          raw.hasFin = true;
        },
        close(_socket, error) {
          raw.isClosed = true;
          raw.isReset = error !== undefined;
        },
        error() {}, // a reset: `close` follows
      } satisfies Bun.SocketHandler<undefined>,
    };
    raw.#socket =
      await (typeof target === "number"
        ? Bun.connect<undefined>({ ...options, hostname: "127.0.0.1", port: target })
        : Bun.connect<undefined>({ ...options, ...target }));
    return raw;
  }

  /** Everything that came, one character per byte. */
  get text(): string {
    if (this.pieces.length > 1) this.pieces.splice(0, Infinity, Buffer.concat(this.pieces));
    return this.pieces[0]?.toString("latin1") ?? "";
  }

  /** Bytes that came. */
  get length(): number {
    return this.pieces.reduce((sum, { length }) => sum + length, 0);
  }

  send(bytes: string | Uint8Array): void {
    const more = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes);
    this.unsent = this.unsent.length === 0 ? more : Buffer.concat([this.unsent, more]);
    this.#flush();
  }

  /** Says that nothing more is sent (FIN), behind what is not sent yet, and goes on reading. */
  finish(): void {
    this.#hasFinished = true;
    this.#flush();
  }

  /** Leaves with a reset. */
  reset(): void {
    this.#socket.terminate();
  }

  /** Reads `bytes` more, and then no more than it has to. */
  read(bytes: number = Infinity): void {
    this.#bytesLeft = bytes;
    this.#socket.resume();
  }

  /** Waits until `part` has come, and gives everything so far. */
  async until(part: string): Promise<string> {
    await waitFor(
      () => this.text.includes(part) || this.hasFin || this.isClosed,
      `${JSON.stringify(part)} in ${JSON.stringify(this.text.slice(-500))}`,
    );
    if (!this.text.includes(part)) throw new Error(`It ended before ${part}: ${this.text}`);
    return this.text;
  }

  /** Waits until the server sends nothing more, and gives everything. Throws when it is a reset. */
  async untilFin(): Promise<string> {
    await this.untilOver();
    if (this.isReset) throw new Error(`It was reset behind ${this.text.slice(-500)}`);
    return this.text;
  }

  /** Waits until the server sends nothing more, however it ends. */
  async untilOver(): Promise<void> {
    await waitFor(() => this.hasFin || this.isClosed, "the end of the connection");
  }

  /** Waits until the connection is gone. */
  async untilClosed(): Promise<void> {
    await waitFor(() => this.isClosed, "the connection to be gone");
  }

  #flush(): void {
    if (this.isClosed) return;
    if (this.unsent.length > 0) {
      this.unsent = this.unsent.subarray(Math.max(0, this.#socket.write(this.unsent)));
    }
    if (!this.#hasFinished || this.unsent.length > 0) return;
    this.#hasFinished = false;
    this.#socket.shutdown();
  }
}
