/**
 * Asks a weir that runs: the one that the config is of, or the one at `--url`.
 *
 * @module
 */

import { textFlag } from "./flags.ts";
import type { Settings } from "./settings.ts";
import { EXIT, Failure } from "./terminal.ts";
import { readTls } from "./tls_files.ts";
import { readKeys, readTokens } from "./token_files.ts";

/** The flag of every command that asks a weir that runs. */
export const URL_FLAG = {
  url: textFlag({
    value: "URL",
    text: "where weir runs",
    notes: ["default what server.host and server.port say"],
  }),
} as const;

/** Addresses that stand for all of a machine's, and one that reaches it there. */
const ANY: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

/** A weir that runs. */
export interface Running {
  /**
   * The JSON of `path`.
   *
   * @throws {Failure} when it cannot be had (the promise rejects).
   */
  get(path: string): Promise<unknown>;
}

/** The weir of `settings`, with its token or an admin's key; `url`: another one, which gets that, too. */
export function runningWeir(settings: Settings, url: string | undefined): Running {
  const { server } = settings.config;
  const tls = url === undefined ? readTls(settings) : undefined;
  const name = ANY[server.host] ?? server.host;
  const host = name.includes(":") ? `[${name}]` : name;
  const base = url ?? `${tls === undefined ? "http" : "https"}://${host}:${server.port}`;
  if (URL.parse(base) === null || !/^https?:/.test(base)) {
    throw new Failure(`--url needs an http:// or https:// URL, not "${base}"`, EXIT.usage);
  }
  const keys = readKeys(settings).filter(({ rules, token, endsMs }) =>
    rules.admin && token !== "" && endsMs > Date.now()
  );
  const [admin] = [...readTokens(settings), ...keys];
  const init = {
    headers: admin === undefined ? {} : { authorization: `Bearer ${admin.token}` },
    // Its own certificate, whatever names are in it: this is a way from this machine to itself.
    ...(tls === undefined ? {} : { tls: { ca: tls.cert, checkServerIdentity: () => undefined } }),
    ...(url === undefined && server.unix !== "" ? { unix: server.unix } : {}),
  } as RequestInit;
  return {
    async get(path) {
      let response: Response;
      try {
        response = await fetch(base.replace(/\/+$/, "") + path, init);
      } catch (error) {
        const { code, message } = error as { readonly code?: string; readonly message: string };
        throw new Failure(`No weir answers at ${base}: ${code ?? message}`);
      }
      const text = await response.text();
      if (response.ok) return JSON.parse(text);
      if (response.status === 401 && admin === undefined) {
        throw new Failure(
          `weir at ${base} answers 401: set auth.token, or keys with admin: true, as it has them`,
        );
      }
      throw new Failure(`weir at ${base} answers ${response.status}: ${messageOf(text)}`);
    },
  };
}

/** The sentence of an error. */
function messageOf(text: string): string {
  try {
    return String(JSON.parse(text).error.message);
  } catch {
    return text.slice(0, 200);
  }
}
