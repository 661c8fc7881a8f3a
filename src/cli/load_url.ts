/**
 * The servers of a load: their URLs as they are typed, what of them may be shown, and the headers that
 * go with each.
 *
 * @module
 */

import { basicOf, shownUrl } from "../lib/userinfo.ts";
import { type Api, apiOfPath, HEADERS, PATHS } from "../load/requests/bodies.ts";
import type { Endpoint } from "../load/requests/makers.ts";
import { EXIT, Failure } from "./terminal.ts";

/** A parsed URL. */
export type Url = InstanceType<typeof URL>;

/**
 * The URL that a command measures. Without a path, and where it ends with the version of an API, as
 * SDKs have it ("http://h/v1"), it is completed.
 *
 * @throws {Failure} with exit code 2 when it is none.
 */
export function urlOf(name: string, text: string, api: Api | undefined): Url {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new Failure(
      `${name} needs an http:// or https:// URL, not "${shownUrl(text)}"`,
      EXIT.usage,
    );
  }
  const path = PATHS[api ?? "chat"];
  if (url.pathname === "/") url.pathname = path;
  else if (api !== "raw" && /\/v1\/?$/.test(url.pathname)) {
    url.pathname = url.pathname.replace(/\/v1\/?$/, path);
  }
  return url;
}

/**
 * The API that all of `urls` speak. "raw" stands beside every path: it says how an answer is judged.
 *
 * @throws {Failure} with exit code 2 when they speak several, or another one than `given`: one load asks
 * one thing.
 */
export function apiOf(urls: readonly Url[], given: Api | undefined): Api {
  const [first, ...others] = urls.map(({ pathname }) => apiOfPath(pathname));
  const other = urls.find(({ pathname }) => !["raw", given].includes(apiOfPath(pathname)));
  if (given !== undefined && given !== "raw" && other !== undefined) {
    throw new Failure(
      `--api ${given} contradicts ${shownUrl(other.href)}, whose path is of ` +
        `${apiOfPath(other.pathname)}: name the path of ${given}, or leave out one of the two`,
      EXIT.usage,
    );
  }
  const odd = others.findIndex((api) => api !== first);
  if (given !== undefined || odd < 0) return given ?? first!;
  throw new Failure(
    `--endpoint ${shownUrl(urls[odd + 1]!.href)} speaks ${others[odd]!} by its path, and the URL ` +
      `${first!}: one load asks all in one API (--api)`,
    EXIT.usage,
  );
}

/**
 * Where requests go: a user and a password in the URL are sent as Basic, and what `api` wants with them,
 * unless a header says else.
 */
export function endpointOf(
  { href }: Url,
  api: Api,
  headers: readonly (readonly [name: string, value: string])[],
): Endpoint {
  const basic = basicOf(href);
  const all = [
    ...(HEADERS[api] ?? []),
    ...(basic === "" ? [] : [["Authorization", basic] as const]),
    ...headers,
  ];
  // The last one of a name counts, however it is written.
  const byName = new Map(all.map((header) => [header[0].toLowerCase(), header]));
  return { url: href, headers: Object.fromEntries(byName.values()) };
}
