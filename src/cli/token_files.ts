/**
 * The bearer tokens that open the door, those in files read.
 *
 * @module
 */

import { isAbsolute, join } from "node:path";
import type { BearerToken } from "../ops/auth.ts";
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
export function readTokens({ config, folder }: Settings): readonly BearerToken[] {
  const { token, tokens } = config.auth; // what auth.token_file holds is in auth.token by now
  const all = [{ name: ONLY_NAME, token, token_file: "" }, ...tokens];
  return all.filter((one) => one.token !== "" || one.token_file !== "").map((one) => ({
    name: one.name,
    token: one.token !== "" ? one.token : readToken(pathIn(folder, one.token_file)),
  }));
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
