/**
 * The store as people read it: who looks into another one than weir's own finds nothing there, and no
 * reason why.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import { maskUrl } from "../config/describe.ts";
import { AppError } from "../core/errors.ts";
import { storeUrl } from "../store/open.ts";
import { Failure } from "./terminal.ts";

/** "the store sqlite://weir.db", without what is secret in its URL. */
export function shownStore(config: Config): string {
  return `the store ${maskUrl(storeUrl(config))}`;
}

/** `error` of the store of `config`, for people; any other one as it is. */
export function storeFailure(error: unknown, config: Config): unknown {
  if (!(error instanceof AppError)) return error;
  const place = error.code === "store_failed" ? ` (${shownStore(config)})` : "";
  return new Failure(error.message + place);
}
