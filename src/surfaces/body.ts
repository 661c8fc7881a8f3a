/**
 * Reading request bodies, never more than the limit.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";

/** How reading a body can fail. */
export interface BodyErrors {
  /** The body is larger than the limit. */
  readonly tooLarge: () => AppError;
  /** The body is not JSON, or empty. */
  readonly broken: () => AppError;
}

/**
 * The body as JSON. A body that names its length is read natively in one go; one that does not is
 * counted while it is read.
 *
 * @throws {AppError} `errors.tooLarge()` or `errors.broken()`.
 */
export async function readJson(
  request: Request,
  bodyBytesMax: number,
  errors: BodyErrors,
): Promise<unknown> {
  try {
    const length = request.headers.get("content-length");
    if (length !== null && Number(length) <= bodyBytesMax) return await request.json();
    const bytes = await readBytes(request, bodyBytesMax, errors.tooLarge);
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw errors.broken();
  }
}

/**
 * The body's bytes.
 *
 * @throws {AppError} `tooLarge()` above `bodyBytesMax`, as soon as that is known.
 */
export async function readBytes(
  request: Request,
  bodyBytesMax: number,
  tooLarge: () => AppError,
): Promise<Uint8Array<ArrayBuffer>> {
  const length = request.headers.get("content-length");
  if (length !== null) {
    if (Number(length) > bodyBytesMax) throw tooLarge();
    return new Uint8Array(await request.arrayBuffer());
  }
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of request.body ?? []) {
    bytes += piece.length;
    if (bytes > bodyBytesMax) throw tooLarge();
    pieces.push(piece);
  }
  return new Uint8Array(Buffer.concat(pieces));
}

/** The query of a URL with its "?", or "". */
export function queryOf(url: string): string {
  const at = url.indexOf("?");
  return at < 0 ? "" : url.slice(at);
}
