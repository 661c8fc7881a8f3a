/**
 * Names of machines, as URLs and `Host` fields write them.
 *
 * @module
 */

import { isIP } from "node:net";

/** The name in "NAME:PORT" or "[ADDRESS]:PORT", in lower case, without brackets and a last dot. */
export function hostName(authority: string): string {
  const bare = /^\[([^\]]*)\]/.exec(authority)?.[1] ?? authority.replace(/:\d*$/, "");
  return bare.toLowerCase().replace(/\.$/, "");
}

/** Is `name` an address, and no name that somebody's DNS makes one of? */
export function isAddress(name: string): boolean {
  return isIP(name) !== 0;
}

/** Does `name` stand for the machine that says it? */
export function isLoopback(name: string): boolean {
  return /^(?:.+\.)?localhost$/.test(name) ||
    isIP(name) !== 0 && /^(?:(?:::ffff:)?127\.[\d.]+|::1)$/i.test(name);
}
