/**
 * Who a client is, for rules that are about some clients only.
 *
 * @module
 */

import type { Call } from "../core/exchange.ts";

/** What a request shows as its key: `x-api-key`, or else `authorization`; "" = nothing. */
export function shownKey({ request }: Pick<Call, "request">): string {
  const fields = request?.head.fields;
  return fields?.get("x-api-key") ?? fields?.get("authorization") ?? "";
}

/** The name of a key that was shown, which patterns are compared with: without "Bearer". */
export function nameOfShown(shown: string): string {
  return shown.replace(/^Bearer +/i, "");
}

/** Whose request it is: the name of the token that opened the door, else the key that was shown. */
export function keyName(call: Pick<Call, "tokenName" | "request">): string {
  return call.tokenName || nameOfShown(shownKey(call));
}
