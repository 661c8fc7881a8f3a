/**
 * The user and the password that stand in a URL: "http://user:password@host".
 *
 * @module
 */

/**
 * The `Authorization` that they stand for (RFC 7617), percent-decoded and in UTF-8; "" = `url` has
 * none, or is none.
 */
export function basicOf(url: string): string {
  if (!URL.canParse(url)) return "";
  const { username, password } = new URL(url);
  if (username === "" && password === "") return "";
  return `Basic ${Buffer.from(`${decoded(username)}:${decoded(password)}`).toString("base64")}`;
}

/** `url` without them, as it may be shown. */
export function withoutUserinfo(url: string): string {
  return url.replace(/^([a-z][a-z\d+.-]*:\/\/)[^/?#]*@/i, "$1");
}

/**
 * A URL as anybody may see it, without user, password, fragment and the values of its query, which may be
 * keys. What was meant as one loses all before its last "@": where its password ends, nobody knows.
 */
export function shownUrl(text: string): string {
  const shown = text.includes("://") && URL.canParse(text)
    ? withoutUserinfo(text)
    : text.replace(/^([a-z][a-z\d+.-]*:\/\/)?.*@/is, (_, scheme = "") => scheme);
  return shown.replace(/(:\/\/[^?#]*)#.*$/s, "$1").replace(/\?.+$/s, "?…");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent that escapes nothing is one
  }
}
