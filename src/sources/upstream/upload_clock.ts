/**
 * The clock of an upload: an upstream that takes a large request has its time for the headers from
 * the last piece that it took, and all of it behind the last one. While the client lets it wait no
 * clock runs here: that client has a limit of its own.
 *
 * @module
 */

import type { Http1Upload, UploadListener } from "../../lib/http1/upload.ts";
import type { Deadline } from "./deadline.ts";

/** `upload`, with a clock. */
export class ClockedUpload implements Http1Upload {
  readonly #upload: Http1Upload;
  readonly #deadline: Deadline;
  readonly #limitMs: number;
  #isAnswered = false;

  constructor(upload: Http1Upload, deadline: Deadline, limitMs: number) {
    this.#upload = upload;
    this.#deadline = deadline;
    this.#limitMs = limitMs;
  }

  get lengthBytes(): number | undefined {
    return this.#upload.lengthBytes;
  }

  get canStart(): boolean {
    return this.#upload.canStart;
  }

  /** The headers are here: from now on the clock is somebody else's. */
  onAnswered(): void {
    this.#isAnswered = true;
  }

  start(listener: UploadListener): void {
    this.#upload.start(listener);
  }

  next(): Uint8Array | null | undefined {
    const piece = this.#upload.next();
    if (this.#isAnswered) return piece;
    if (piece === undefined) this.#deadline.stop();
    else this.#deadline.start("headers", this.#limitMs);
    return piece;
  }

  stop(): void {
    this.#upload.stop();
  }
}
