/**
 * Bytes that several weirs share.
 *
 * @module
 */

/** A store of bytes by key, which may be away at any time. */
export interface SharedBytes {
  /** undefined = there is nothing, or nobody can be asked. Never rejects, and takes a second at most. */
  get(key: string): Promise<Uint8Array | undefined>;
  /** Keeps `bytes` for `ttlMs`, as far as it can. Never throws. */
  put(key: string, bytes: Uint8Array, ttlMs: number): void;
}
