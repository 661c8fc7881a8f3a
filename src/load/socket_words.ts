/**
 * Errors of sockets, in words of a report. The runtime says "Failed to connect" of most of them.
 *
 * @module
 */

/** What the system means by its names. */
const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  EHOSTUNREACH: "no way to the host",
  ENETUNREACH: "no way to the network",
  ETIMEDOUT: "no answer",
};

/** Its name and what it means; "reset" needs no more. */
export function errorWords(error: Error): string {
  const code = codeOf(error);
  if (code === "ECONNRESET") return "reset";
  return code === "" || error.message.includes(code)
    ? error.message
    : `${code}: ${WORDS[code] ?? error.message}`;
}

/** The system's name of an error, or the resolver's; "" = it has none. */
export function codeOf(error: Error): string {
  const { code } = error as { readonly code?: unknown };
  return typeof code === "string" ? code : "";
}
