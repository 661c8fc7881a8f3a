/**
 * The store as people read it: who looks into another one than weir's own finds nothing there, and no
 * reason why.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Config } from "../config/config.ts";
import { maskUrl } from "../config/describe.ts";
import { AppError } from "../core/errors.ts";
import { sqlitePath } from "../lib/sqlite_file.ts";
import { storeUrl } from "../store/open.ts";
import { Failure } from "./terminal.ts";

/** "the store sqlite://weir.db", without what is secret in its URL. */
export function shownStore(config: Config): string {
  return `the store ${maskUrl(storeUrl(config))}`;
}

/** That there is no store yet, and where it would be: "" = there is one, or a server may have it. */
export function missingStore(config: Config, folder: string): string {
  const url = storeUrl(config);
  if (!url.startsWith("sqlite://")) return "";
  const path = sqlitePath(url, resolve(folder));
  if (existsSync(path)) return "";
  return path === ":memory:"
    ? "the store is in the memory of a weir that runs, where nobody else can look"
    : `there is no store yet: it would be ${path} (store.url says where, with the config and in the folder ` +
      "of the weir that is meant)";
}

/** `error` of the store of `config`, for people; any other one as it is. */
export function storeFailure(error: unknown, config: Config): unknown {
  if (!(error instanceof AppError)) return error;
  const place = error.code === "store_failed" ? ` (${shownStore(config)})` : "";
  return new Failure(error.message + place);
}
