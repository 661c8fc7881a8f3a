/**
 * The bearer tokens that open the door, those in files read.
 *
 * @module
 */

import { isAbsolute, join } from "node:path";
import type { ConfiguredKey } from "../accounts.ts";
import type { BearerToken } from "../ops/auth.ts";
import { digestOf } from "../ops/key_ring.ts";
import { secretPath } from "./credentials.ts";
import { readText, type Settings } from "./settings.ts";
import { Failure } from "./terminal.ts";

/** What logs call the one token of `auth.token` or `auth.token_file`. */
const ONLY_NAME = "default";

/** A token fits into a header. */
const TOKEN = /^[\x20-\x7e]+$/;

/**
 * Every token of the `auth` section; none = the door is open.
 *
 * @throws {Failure} when a file cannot be read, or holds no token.
 */
export function readTokens(
  settings: Pick<Settings, "config" | "folder" | "credentials">,
): readonly BearerToken[] {
  const { token, tokens } = settings.config.auth; // what auth.token_file holds is in auth.token by now
  const all = [{ name: ONLY_NAME, token, token_file: "" }, ...tokens];
  return all.filter((one) => one.token !== "" || one.token_file !== "").map((one) => ({
    name: one.name,
    token: one.token !== "" ? one.token : readToken(secretPath(one.token_file, settings)),
  }));
}

/**
 * Every key of the `keys` section.
 *
 * @throws {Failure} when a file cannot be read or holds none, or two keys have one text.
 */
export function readKeys(settings: Settings): readonly ConfiguredKey[] {
  const keys = settings.config.keys.map((entry) => {
    const { name, token_file, token_sha256, expires, token: _, ...rules } = entry;
    const token = token_file === "" ? entry.token : readToken(secretPath(token_file, settings));
    const digest = token === "" ? token_sha256.toLowerCase() : digestOf(token);
    return { name, digest, token, endsMs: endOf(expires), rules };
  });
  const names = new Map<string, string>();
  for (const { name, token } of readTokens(settings)) names.set(digestOf(token), name);
  for (const { name, digest } of keys) {
    const other = names.get(digest);
    if (other !== undefined) {
      throw new Failure(`The keys ${other} and ${name} have the same text: whose would it be?`);
    }
    names.set(digest, name);
  }
  return keys;
}

/** When a key ends that `expires` so: milliseconds since 1970; Infinity = never. */
export function endOf(expires: string): number {
  return expires === "" ? Infinity : Date.parse(expires);
}

/** `path` as it counts from `folder`. */
export function pathIn(folder: string, path: string): string {
  return isAbsolute(path) ? path : join(folder, path);
}

function readToken(path: string): string {
  const token = readText(path, "the token file").trim();
  if (!TOKEN.test(token)) {
    throw new Failure(
      `Cannot use the token file ${path}: it must hold one line of printable ASCII`,
    );
  }
  return token;
}
