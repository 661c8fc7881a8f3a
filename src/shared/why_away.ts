/**
 * Why a Redis cannot be had. Bun's client says of most failures that the connection was closed, so the
 * server is asked once more in plain words.
 *
 * @module
 */

import { masker } from "../lib/mask.ts";

const WORDS_MAX = 200;
const HEARD_MAX = 1000;
/** What ends the question, and the answer. */
const LAST_WORD = "*1\r\n$4\r\nPING\r\n";
const LAST_ANSWER = "+PONG\r\n";

/** What errors mean, by how they begin. */
const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [/^-WRONGPASS/, "it refuses the user and the password"],
  [/^-NOAUTH/, "it wants a password"],
  [/^-ERR AUTH .*without any password/, "it has no password, and was given one"],
  [/^-LOADING/, "it is still reading its data"],
  [/^-DENIED/, "it takes clients of its own machine only"],
];

/** Where in weir's own scripts something is refused: nobody can look it up. */
const SCRIPT = /,? script: [\da-f]{40}.*$/s;

/** What Bun's client says whatever has happened. */
export const CLOSED = "Connection closed";

/** The reason, without a secret. `told` is what the client said. */
export async function whyAway(
  { url, ca }: { readonly url: string; readonly ca: string },
  told: string,
  limitMs: number,
): Promise<string> {
  const { protocol, hostname, port, username, password, pathname } = new URL(url);
  const [user, secret] = [decoded(username), decoded(password)];
  const clean = cleaner(url);
  if (told !== CLOSED) return clean(told);
  const isTls = protocol === "rediss:";
  const database = pathname.slice(1) || "0";
  const question =
    (secret === "" ? "" : command(["AUTH", ...(user === "" ? [] : [user]), secret])) +
    command(["SELECT", database]) + LAST_WORD;
  const { promise, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(() => resolve(`no answer within ${limitMs} ms`), limitMs);
  let heard = "";
  const socket = Bun.connect({
    hostname: hostname.replace(/[[\]]/g, ""),
    port: Number(port || "6379"),
    ...(isTls ? { tls: ca === "" ? true : { ca } } : {}),
    socket: {
      open: (socket) => void (isTls || socket.write(question)),
      data: (_socket, bytes) => {
        heard = (heard + bytes.toString("utf8")).slice(0, HEARD_MAX);
        const error = /^-.*(?=\r\n)/m.exec(heard)?.[0];
        if (error !== undefined) resolve(meaningOf(error));
        else if (heard.includes(LAST_ANSWER)) resolve("the connection has ended, and it answers");
        else if (heard.length === HEARD_MAX) resolve("it does not answer as Redis does");
      },
      close: () => resolve("the connection is closed at once"),
      handshake: (socket, _isDone, error) => {
        if (error === null) socket.write(question);
        else resolve(`its certificate is not trusted: ${error.message}`);
      },
      error: (_socket, error) => resolve(error.message),
      connectError: (_socket, error) => resolve(unreachable(error)),
    },
  });
  socket.catch((error) => resolve(unreachable(error)));
  const why = await promise;
  clearTimeout(timer);
  socket.then((socket) => socket.end(), () => {});
  return clean(why);
}

/** Takes the password of `url` out of texts, as it is written there and as it is, and shortens them. */
export function cleaner(url: string): (text: string) => string {
  const { password } = new URL(url);
  const mask = masker([password, decoded(password)]);
  return (text) => mask(text.replace(SCRIPT, "")).slice(0, WORDS_MAX);
}

function unreachable({ code, message }: Error & { readonly code?: string }): string {
  return code === "ECONNREFUSED" ? "nobody listens at its address" : message;
}

function meaningOf(error: string): string {
  return MEANINGS.find(([pattern]) => pattern.test(error))?.[1] ?? error.slice(1);
}

/** Words as Redis reads them. */
function command(words: readonly string[]): string {
  const each = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${each.join("")}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
