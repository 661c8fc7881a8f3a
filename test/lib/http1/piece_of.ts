/**
 * Reads a body piece by piece, with a promise where it has to be waited for.
 *
 * @module
 */

import type { BodyReader } from "../../../src/lib/http1/body.ts";

/** The next piece of `body`, or null behind the last. Rejects with what ended it early. */
export async function pieceOf(
  body: { next(reader: BodyReader): Uint8Array | null | undefined },
): Promise<Uint8Array | null> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | null>();
  const piece = body.next({ onPiece: resolve, onBroken: reject });
  return piece === undefined ? await promise : piece;
}
