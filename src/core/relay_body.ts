/**
 * Relay bodies: one that is known beforehand, and one that is read to its end.
 *
 * @module
 */

import type { AbortLike } from "../lib/abort.ts";
import { Ticket, type Wheel } from "../lib/wheel.ts";
import type { Ending, PieceSink, Relay, RelayBody } from "./answer.ts";
import { AppError } from "./errors.ts";

/** What came of a body, and why it is not all of it; undefined = it is. */
export interface Gathered {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly error: AppError | undefined;
}

/**
 * Reads `body` to its end, or until it has more than `bytesMax` bytes. Rejects with the signal's
 * reason when that aborts.
 */
export function gatherBody(
  body: RelayBody,
  signal: AbortLike,
  bytesMax: number,
): Promise<Gathered> {
  return new Promise((resolve, reject) => {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    const abort = {
      handleEvent() {
        body.cancel();
        reject(signal.reason);
      },
    };
    const settle = (error: AppError | undefined) => {
      signal.removeEventListener("abort", abort);
      resolve({ bytes: new Uint8Array(Buffer.concat(pieces)).subarray(0, bytesMax), error });
    };
    const take = (piece: Uint8Array): boolean => {
      pieces.push(piece);
      bytes += piece.length;
      return bytes <= bytesMax;
    };
    const tooLarge = () =>
      new AppError("upstream_broken", `The upstream sent over ${bytesMax} bytes`);
    if (signal.aborted) return abort.handleEvent();
    const whole = body.whole();
    if (whole !== undefined) return settle(take(whole) ? undefined : tooLarge());
    signal.addEventListener("abort", abort);
    body.flow({
      onPiece(piece) {
        if (take(piece.slice())) return;
        body.cancel();
        settle(tooLarge());
      },
      onEnd: (ending, error) =>
        settle(
          error ??
            (ending === "end"
              ? undefined
              : new AppError("upstream_broken", "The upstream broke its answer off")),
        ),
    });
  });
}

/** `relay` with another head or body. Its methods keep their object. */
export function relayWith(
  relay: Relay,
  { fields = relay.fields, body = relay.body }: Partial<Pick<Relay, "fields" | "body">>,
): Relay {
  const { kind, status, isUntilClose = false, dialect } = relay;
  // Not spread: that costs more than all else here, and most answers come this way several times.
  const made: { -readonly [Key in keyof Relay]: Relay[Key] } = {
    kind,
    status,
    fields,
    isUntilClose,
    body,
  };
  if (dialect !== undefined) made.dialect = dialect;
  if (relay.tail !== undefined) made.tail = (end) => relay.tail!(end);
  return made;
}

/**
 * A piece that is known beforehand. `atUs`: when it is due, in microseconds after the flow began.
 */
export interface TimedPiece {
  readonly bytes: Uint8Array;
  readonly atUs: number;
}

/** A body of this process: `run` tells its pieces, as far as the sink wants them. */
export abstract class OwnBody extends Ticket implements RelayBody {
  protected readonly wheel: Wheel;
  /** undefined = nobody wants any, or any more. */
  protected sink: PieceSink | undefined = undefined;
  protected beganMs = 0;
  protected isPaused = false;

  constructor(wheel: Wheel) {
    super();
    this.wheel = wheel;
  }

  abstract whole(): Uint8Array | undefined;
  abstract resume(): void;

  flow(sink: PieceSink): void {
    this.sink = sink;
    this.beganMs = this.wheel.nowMs;
    this.run(this.beganMs);
  }

  pause(): void {
    this.isPaused = true;
    this.wheel.cancel(this);
  }

  cancel(): void {
    this.sink = undefined;
    this.wheel.cancel(this);
  }
}

/** A body that is known beforehand, told at its own pace. */
export class KnownBody extends OwnBody {
  readonly #pieces: readonly TimedPiece[];
  readonly #ending: Ending;
  #next = 0;

  /** The times of `pieces` never decrease. With the ending "hold" it never ends. */
  constructor(pieces: readonly TimedPiece[], ending: Ending, wheel: Wheel) {
    super(wheel);
    this.#pieces = pieces;
    this.#ending = ending;
  }

  whole(): Uint8Array | undefined {
    const last = this.#pieces.at(-1);
    if (this.#ending !== "end" || (last?.atUs ?? 0) > 0) return undefined;
    return Buffer.concat(this.#pieces.map(({ bytes }) => bytes));
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.run(this.wheel.nowMs);
  }

  override run(nowMs: number): void {
    for (;;) {
      const sink = this.sink;
      if (sink === undefined || this.isPaused) return;
      const piece = this.#pieces[this.#next];
      if (piece === undefined) {
        this.sink = undefined;
        if (this.#ending !== "hold") sink.onEnd(this.#ending);
        return;
      }
      const dueMs = this.beganMs + piece.atUs / 1000;
      if (dueMs > nowMs) return this.wheel.set(this, dueMs);
      this.#next++;
      sink.onPiece(piece.bytes, piece.atUs);
    }
  }
}
