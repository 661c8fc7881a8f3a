/**
 * The C library of the system, for the few calls that Bun has no function for. Loaded only by those
 * who need one.
 *
 * @module
 */

import { dlopen } from "bun:ffi";

type Functions = Parameters<typeof dlopen>[1];

/**
 * `functions` of the C library, glibc or musl.
 *
 * @throws {Error} when there is neither.
 */
export function openLibc<Wanted extends Functions>(functions: Wanted) {
  const arch = process.arch === "arm64" ? "aarch64" : "x86_64";
  try {
    return dlopen("libc.so.6", functions).symbols;
  } catch {
    return dlopen(`libc.musl-${arch}.so.1`, functions).symbols;
  }
}
