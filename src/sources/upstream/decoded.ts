/**
 * Undoes the content encoding of a relay's body (RFC 9110, 8.4). weir asks for none where it reads
 * an answer itself, and some upstreams compress all the same.
 *
 * @module
 */

import type { Transform } from "node:stream";
import { createBrotliDecompress, createUnzip, createZstdDecompress } from "node:zlib";
import type { Ending, PieceSink, Relay, RelayBody } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";

/** How each content encoding that weir knows is undone. */
export const DECODERS: Readonly<Record<string, () => Transform>> = {
  "gzip": createUnzip,
  "x-gzip": createUnzip,
  "deflate": createUnzip,
  "br": createBrotliDecompress,
  "zstd": createZstdDecompress,
};

/**
 * `relay` with a body that can be read.
 *
 * @throws {AppError} `upstream_broken` when its encoding is not known.
 */
export function decoded(relay: Relay): Relay {
  const encoding = (relay.fields.get("content-encoding") ?? "").trim().toLowerCase();
  if (encoding === "" || encoding === "identity") return relay;
  const make = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
  if (make === undefined) {
    relay.body.cancel();
    const known = Object.keys(DECODERS).join(", ");
    throw new AppError(
      "upstream_broken",
      `The upstream encoded its answer as ${JSON.stringify(encoding)}; weir can read ${known}`,
    );
  }
  return {
    kind: "relay",
    status: relay.status,
    fields: relay.fields,
    body: new DecodedBody(relay.body, make()),
  };
}

/** A body whose bytes go through a decoder. */
class DecodedBody implements RelayBody, PieceSink {
  readonly #body: RelayBody;
  readonly #decoder: Transform;
  #sink: PieceSink | undefined = undefined;
  #isPaused = false;
  #atUs = 0;
  /** How the encoded body ended. */
  #ending: Exclude<Ending, "hold"> = "end";
  #error: AppError | undefined = undefined;

  constructor(body: RelayBody, decoder: Transform) {
    this.#body = body;
    this.#decoder = decoder;
  }

  whole(): undefined {
    return undefined;
  }

  flow(sink: PieceSink): void {
    this.#sink = sink;
    this.#decoder.on("data", (piece: Uint8Array) => void this.#sink?.onPiece(piece, this.#atUs));
    this.#decoder.on("drain", () => {
      if (!this.#isPaused) this.#body.resume();
    });
    this.#decoder.on("end", () => this.#end());
    this.#decoder.on("error", (cause) => {
      this.#body.cancel();
      this.#error ??= new AppError(
        "upstream_broken",
        "The upstream sent an answer whose content encoding cannot be undone",
        { cause },
      );
      this.#ending = "fin";
      this.#end();
    });
    this.#body.flow(this);
  }

  pause(): void {
    this.#isPaused = true;
    this.#decoder.pause();
    this.#body.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#decoder.resume();
    this.#body.resume();
  }

  cancel(): void {
    this.#sink = undefined;
    this.#body.cancel();
    this.#decoder.destroy();
  }

  /** Of the encoded body. */
  onPiece(bytes: Uint8Array, atUs: number): void {
    this.#atUs = atUs;
    // A copy: the decoder works on it later, when the buffer may hold something else.
    if (!this.#decoder.write(bytes.slice())) this.#body.pause();
  }

  /** Of the encoded body. */
  onEnd(ending: Exclude<Ending, "hold">, error?: AppError): void {
    this.#ending = ending;
    this.#error = error;
    this.#decoder.end();
  }

  #end(): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.onEnd(this.#ending, this.#error);
  }
}
