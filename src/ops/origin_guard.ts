/**
 * Keeps pages of other sites out where no token does: what a browser says of the page that asks
 * (`Origin`, WHATWG Fetch) and of the name that it reached weir by (`Host`, against DNS rebinding).
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import { isText, isWord } from "../lib/http1/bytes.ts";
import { Fields } from "../lib/http1/fields.ts";
import { READERS } from "../lib/http1/header_block.ts";
import { hostName, isAddress, isLoopback } from "../lib/host.ts";

/** Letters of what a client says that an error repeats. */
const QUOTED_LETTERS_MAX = 100;

/** The settings that let more in. */
export interface GuardOptions {
  /** `server.hosts` */
  readonly hosts: readonly string[];
  /** `server.origins` */
  readonly origins: readonly string[];
}

/** What becomes of a request. */
export interface Verdict {
  /** Why it may not be served; undefined = it may. */
  readonly error: AppError | undefined;
  /** Lines of its answer's head that let the page read it that asks, if it may, and no other one. */
  readonly readers: Buffer;
}

/** Looks at requests for what is guarded. */
export class OriginGuard {
  readonly #hosts: ReadonlySet<string>;
  readonly #origins: ReadonlySet<string>;
  /** The `Host` that was let in last: it comes again nearly always. */
  #lastHost = "";
  /** The origin that was let in last, and its verdict. */
  #last: { readonly origin: string; readonly verdict: Verdict } | undefined;

  constructor({ hosts, origins }: GuardOptions) {
    this.#hosts = new Set(hosts);
    this.#origins = new Set(origins);
  }

  /** Judges what a head says. `secret`: the setting that opens the door with a token; "" = none does. */
  judge(asked: Fields, secret: string): Verdict {
    if (this.#isUsual(asked)) return WELCOME;
    const fault = this.#faultOf(asked);
    if (fault !== undefined) {
      return {
        error: new AppError("forbidden", secret === "" ? fault : `${fault}, or set ${secret}`),
        readers: NO_READERS,
      };
    }
    const origin = asked.get("origin");
    if (origin === null) return WELCOME;
    if (origin !== this.#last?.origin) {
      this.#last = { origin, verdict: { error: undefined, readers: readersOf(origin) } };
    }
    return this.#last.verdict;
  }

  #faultOf(asked: Fields): string | undefined {
    const host = asked.get("host") ?? "";
    const name = hostName(host);
    if (!this.#isOwnHost(name)) {
      return `weir does not answer here to the name ${quoted(name)}: list it in server.hosts`;
    }
    this.#lastHost = host;
    const origin = asked.get("origin");
    if (origin === null) {
      // An image or a script of a page: browsers send no origin with those, and say where from.
      const isElsewhere = asked.get("sec-fetch-site") === "cross-site" &&
        asked.get("sec-fetch-mode") !== "navigate";
      if (!isElsewhere || this.#origins.has("*")) return undefined;
      return "Pages of other sites may not embed this: let them fetch it instead";
    }
    if (this.#isOwnOrigin(origin, host)) return undefined;
    return origin === "null"
      ? 'Pages without an origin, such as local files, may not ask this: list "null" in server.origins'
      : `Pages of ${quoted(origin)} may not ask this: list that origin in server.origins`;
  }

  /** Asks a client that is no browser, by the same name as the one before? In one pass, and no string. */
  #isUsual(asked: Fields): boolean {
    const { bytes } = asked;
    const lines = asked.scan();
    const is = (i: number, name: string) => isWord(bytes, lines.nameAt(i), lines.nameEnd(i), name);
    let hasHost = false;
    for (let i = 0; i < lines.count; i++) {
      switch (lines.nameEnd(i) - lines.nameAt(i)) {
        case 4:
          if (!is(i, "host")) break;
          if (!isText(bytes, lines.valueAt(i), lines.valueEnd(i), this.#lastHost)) return false;
          hasHost = true;
          break;
        case 6:
          if (is(i, "origin")) return false;
          break;
        case 14:
          if (is(i, "sec-fetch-site")) return false;
      }
    }
    return hasHost || this.#lastHost === "";
  }

  /** Only whoever owns the name could make it lead here; nobody can for an address or a bare name. */
  #isOwnHost(name: string): boolean {
    if (!name.includes(".") || isAddress(name) || isLoopback(name)) return true;
    if (this.#hosts.has(name) || this.#hosts.has("*")) return true;
    for (let at = name.indexOf("."); at >= 0; at = name.indexOf(".", at + 1)) {
      if (this.#hosts.has(`*${name.slice(at)}`)) return true;
    }
    return false;
  }

  #isOwnOrigin(origin: string, host: string): boolean {
    if (this.#origins.has(origin.toLowerCase()) || this.#origins.has("*")) return true;
    const name = /^https?:\/\/([^/?#@\\]+)$/i.exec(origin)?.[1];
    if (name === undefined) return false;
    const page = hostName(name);
    return isLoopback(page) || page === hostName(host);
  }
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, QUOTED_LETTERS_MAX));
}

/** Lines of a head that let pages of `origin` read the answer; null = those of no other origin. */
function readersOf(origin: string | null): Buffer {
  const allowed = origin === null ? [] : [[READERS, origin] as const];
  return Fields.of([...allowed, ["vary", "origin"]]).bytes;
}

const NO_READERS = readersOf(null);
/** For clients that are no pages. */
const WELCOME: Verdict = { error: undefined, readers: NO_READERS };
