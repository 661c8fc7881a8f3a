/**
 * Redirects of upstreams. None is followed: what goes up are a key and a conversation, which are
 * for the host that the config names.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import type { Fields } from "../../lib/http1/fields.ts";

/** An upstream's answer, as far as it says where it leads. */
interface Head {
  readonly status: number;
  readonly fields: Pick<Fields, "get">;
}

/** Statuses whose `location` a client would follow (RFC 9110 §15.4). */
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * The error for an answer that leads elsewhere; undefined when it does not. Names the origin it
 * leads to and nothing else of the URL, and `urlKey`, the setting where `baseUrl` stands.
 */
export function redirectError(
  { status, fields }: Head,
  baseUrl: string,
  urlKey: string,
): AppError | undefined {
  const location = REDIRECTS.has(status) ? fields.get("location") : null;
  if (location === null) return undefined;
  const target = URL.canParse(location, baseUrl) ? new URL(location, baseUrl) : undefined;
  const where = target === undefined || target.host === ""
    ? "an address that is none"
    : target.origin === new URL(baseUrl).origin
    ? `another path of ${target.origin}`
    : `${target.protocol}//${target.host}`;
  return new AppError(
    "upstream_broken",
    `The upstream answered with the status ${status}, a redirect to ${where}, which weir does not ` +
      `follow. Check ${urlKey}: it has to say where the API is itself.`,
  );
}
