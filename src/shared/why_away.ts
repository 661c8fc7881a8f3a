/**
 * Why a Redis cannot be had. Bun's client says of most failures that the connection was closed, so the
 * server is asked once more in plain words.
 *
 * @module
 */

import { masker } from "../lib/mask.ts";

const WORDS_MAX = 200;

/** What the first words of an answer mean. */
const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [/^-WRONGPASS/, "it refuses the user and the password"],
  [/^-NOAUTH/, "it wants a password"],
  [/^-ERR AUTH .*without any password/, "it has no password, and was given one"],
  [/^-LOADING/, "it is still reading its data"],
  [/^-DENIED/, "it takes clients of its own machine only"],
];

/** The reason, without a secret. `told` is what the client said. */
export async function whyAway(
  { url, ca }: { readonly url: string; readonly ca: string },
  told: string,
  limitMs: number,
): Promise<string> {
  const { protocol, hostname, port, username, password } = new URL(url);
  const [user, secret] = [decoded(username), decoded(password)];
  const clean = masker([password, secret]);
  if (!/^Connection closed$/.test(told)) return clean(told).slice(0, WORDS_MAX);
  const question = secret === ""
    ? "PING\r\n"
    : command(["AUTH", ...(user === "" ? [] : [user]), secret]);
  const { promise, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(() => resolve(`no answer within ${limitMs} ms`), limitMs);
  let heard = "";
  const socket = Bun.connect({
    hostname: hostname.replace(/[[\]]/g, ""),
    port: Number(port || "6379"),
    ...(protocol === "rediss:" ? { tls: ca === "" ? true : { ca } } : {}),
    socket: {
      open: (socket) => void socket.write(question),
      data: (_socket, bytes) => {
        heard = (heard + bytes.toString("utf8")).slice(0, WORDS_MAX);
        if (heard.includes("\n") || heard.length === WORDS_MAX) resolve(meaningOf(heard));
      },
      close: () => resolve("the connection is closed at once"),
      error: (_socket, error) => resolve(error.message),
      connectError: (_socket, error) => resolve(error.message),
    },
  });
  socket.catch((error: Error) => resolve(error.message));
  const why = await promise;
  clearTimeout(timer);
  socket.then((socket) => socket.end(), () => {});
  return clean(why).slice(0, WORDS_MAX);
}

function meaningOf(answer: string): string {
  const known = MEANINGS.find(([pattern]) => pattern.test(answer))?.[1];
  if (known !== undefined) return known;
  const [line] = answer.split(/\r?\n/, 1);
  return answer.startsWith("-") ? line!.slice(1) : "the connection is closed, and it answers";
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
