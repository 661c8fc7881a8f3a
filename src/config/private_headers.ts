/**
 * Header names by what they carry: what is the client's own, and what opens doors.
 *
 * @module
 */

/** What tells of the client itself, and of the page or proxy it comes through. */
const PRIVATE = new Set(["cookie", "cookie2", "forwarded", "origin", "referer", "x-real-ip"]);
const PRIVATE_PREFIX = /^(?:x-(?:original-)?forwarded(?:-|$)|x-weir-|sec-|proxy-)/;
/** How load balancers of all kinds tell the client's address: True-Client-IP, CF-Connecting-IP, … */
const ADDRESS =
  /(?:^|-)(?:client|connecting|user|remote)-?(?:ip(?:v6)?|addr(?:ess)?)$|-external-address$/;
/** Where clients put their keys, and what similar names hold. */
const KEY = /(?:^|-)auth(?:orization)?$|^cookie2?$|api-?key|-key$|token|secret|passw/;

/** Is a field of a client's head no upstream's business? `name` is in lower case. */
export function isPrivateHeader(name: string): boolean {
  return PRIVATE.has(name) || PRIVATE_PREFIX.test(name) || ADDRESS.test(name);
}

/** Does a field that the config adds open a door, by its name? */
export function isKeyHeader(name: string): boolean {
  return KEY.test(name.toLowerCase());
}
