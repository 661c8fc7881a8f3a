/**
 * The kinds of settings that say whose pages may ask, and which header names count. Every message of
 * a rule is the end of the sentence "must be …".
 *
 * @module
 */

import { z } from "zod";
import { hostName } from "../lib/host.ts";
import { isPrivateHeader } from "./private_headers.ts";
import { type Kind, kind } from "./rules.ts";

/** Each is compared with a request's: a limit against accidents only. */
const NAMES_MAX = 1000;
/** More names than a head has fields. */
const HEADERS_MAX = 256;

/** A host name without a port, or all names below one. */
const HOST_NAME = /^(?:\*|(?:\*\.)?[\w-]+(?:\.[\w-]+)*\.?)$/;
/** `Origin: scheme://host[:port]` (RFC 6454 section 7). */
const ORIGIN = /^(?:\*|null|[a-z][a-z0-9+.-]*:\/\/[^\s/?#@\\,]+)$/i;
/** A header name (RFC 9110, token). */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Host names; "*.a.example" = every name below it, "*" = every name. In lower case. */
export const hostNames: Kind<readonly string[]> = kind(
  listOf(
    HOST_NAME,
    `a list of at most ${NAMES_MAX} host names, such as [weir.example.com, "*.example.com"]`,
    "a host name without a port, such as weir.example.com",
    hostName,
  ),
  [],
);

/** Origins of pages as browsers send them; "null" and "*" are two as well. In lower case. */
export const pageOrigins: Kind<readonly string[]> = kind(
  listOf(
    ORIGIN,
    `a list of at most ${NAMES_MAX} origins, such as [https://app.example.com]`,
    "an origin without a path, such as https://app.example.com",
    originText,
  ),
  [],
);

/** Names of a client's header fields that may go up, in lower case. */
export const headersUp: Kind<readonly string[]> = kind(headersUpRule(), []);

function headersUpRule(): z.ZodType<readonly string[]> {
  const must = `a list of at most ${HEADERS_MAX} header names, such as [user-agent]`;
  const mustItem = "a header name";
  const name = z.string(mustItem).regex(HEADER_NAME, mustItem).toLowerCase()
    .refine((name) => !isPrivateHeader(name), "another name: this one never goes up");
  return z.array(name, must).max(HEADERS_MAX, must);
}

function listOf(
  form: RegExp,
  must: string,
  mustItem: string,
  normal: (text: string) => string,
): z.ZodType<readonly string[]> {
  const item = z.string(mustItem).regex(form, mustItem).transform(normal);
  return z.array(item, must).max(NAMES_MAX, must);
}

/** As a browser spells it, which leaves the port out that its scheme stands for. */
function originText(text: string): string {
  const origin = URL.canParse(text) ? new URL(text).origin : "null";
  return origin === "null" ? text.toLowerCase() : origin;
}
