/**
 * Who is at the other end: the peer's address, or what a trusted proxy says of it.
 *
 * @module
 */

import { BlockList, isIP } from "node:net";
import { isLoopback } from "../lib/host.ts";
import type { Fields } from "../lib/http1/fields.ts";

/** Tells the address of a request's client; "" = unknown: its proxy names none on a socket file. */
export type AddressOf = (peer: string | undefined, fields: Pick<Fields, "get">) => string;

/**
 * `peer` is the address at the other end of the connection, undefined on a socket file, whose
 * permissions say who may be there. `X-Forwarded-For` counts only from a peer in `trusted` or on a
 * socket file; then the client is the last address in it that is not trusted itself, since whatever
 * stands before that one was written by a stranger.
 */
export function clientAddress(trusted: readonly string[]): AddressOf {
  const networks = new BlockList();
  for (const network of trusted) {
    const [address = "", bits] = network.split("/");
    const family = isIP(address) === 4 ? "ipv4" : "ipv6";
    networks.addSubnet(
      address,
      bits === undefined ? (family === "ipv4" ? 32 : 128) : Number(bits),
      family,
    );
  }
  const isTrusted = (address: string) =>
    networks.check(address, isIP(address) === 4 ? "ipv4" : "ipv6");

  return (peer, fields) => {
    let client = peer === undefined ? "" : plain(peer);
    if (peer !== undefined && (trusted.length === 0 || !isTrusted(client))) return client;
    for (const hop of fields.get("x-forwarded-for")?.split(",").reverse() ?? []) {
      const address = plain(hop.trim());
      if (isIP(address) === 0) break; // "unknown", or nonsense: the hop before it is all we know
      client = address;
      if (!isTrusted(client)) break;
    }
    return client;
  };
}

/** What proxies say of those that they ask for. */
const FORWARDED = [
  "forwarded",
  "via",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-forwarded-server",
  "x-real-ip",
  "x-original-forwarded-for",
  "x-client-ip",
  "true-client-ip",
  "cf-connecting-ip",
  "fastly-client-ip",
];

/**
 * Is the client a program of this machine? A socket file is: its permissions say who may be there. A
 * request that a proxy has passed on is not, wherever that proxy runs.
 */
export function isFromHere(
  { peer, head }: {
    readonly peer: string | undefined;
    readonly head: { readonly fields: Pick<Fields, "has"> };
  },
): boolean {
  if (peer !== undefined && !isLoopback(plain(peer))) return false;
  return !FORWARDED.some((name) => head.fields.has(name));
}

/** Who shares a limit with `address`: the /64 of an IPv6 address, since one customer has that many. */
export function customerOf(address: string): string {
  return isIP(address) === 6 ? network64(address) : address;
}

/** Without brackets, port, zone and the IPv6 spelling of an IPv4 address. */
function plain(address: string): string {
  if (!address.includes(":")) return address; // IPv4, as nearly every one is
  const bare = /^\[([^\]]*)\](?::\d+)?$/.exec(address)?.[1] ??
    (/^[\d.]+:\d+$/.test(address) ? address.slice(0, address.indexOf(":")) : address);
  return bare.replace(/%.*$/, "").replace(/^::ffff:(?=[\d.]+$)/i, "");
}

/** The first 64 bits: "2001:db8::1" → "2001:db8:0:0::/64". */
function network64(address: string): string {
  const [head = "", tail] = address.toLowerCase().split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const rest = tail === "" ? 0 : tail.split(":").length + (tail.includes(".") ? 1 : 0);
    while (groups.length + rest < 8) groups.push("0");
  }
  while (groups.length < 4) groups.push(...(tail ?? "").split(":").slice(0, 4 - groups.length));
  return `${groups.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, "")).join(":")}::/64`;
}
