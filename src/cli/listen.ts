/**
 * Opens a port.
 *
 * @module
 */

import { type App, IDLE_TIMEOUT_S } from "../app.ts";
import type { Config } from "../core/config.ts";
import { Failure } from "./terminal.ts";

/**
 * Bun's own limit on bodies lies this far above weir's, so that weir's 413 is the one that answers.
 * What Bun refuses itself, it refuses without a word.
 */
const BODY_SLACK_BYTES = 64 * 1024 * 1024;

/** Where to listen. */
export interface Place {
  readonly host: string;
  readonly port: number;
  readonly isShared: boolean;
  /** What to do when the port is taken. */
  readonly advice?: string;
}

/**
 * Answers the requests to `place` with `fetch`.
 *
 * @throws {Failure} when that cannot be.
 */
export function listen(fetch: App["fetch"], { server: { body_max_bytes } }: Config, place: Place) {
  const { host, port, isShared } = place;
  try {
    return Bun.serve({
      hostname: host,
      port,
      development: false,
      // Bun shares ports unless in development: two weirs would take turns on one, unnoticed.
      reusePort: isShared,
      idleTimeout: IDLE_TIMEOUT_S,
      maxRequestBodySize: body_max_bytes + BODY_SLACK_BYTES,
      fetch,
    });
  } catch (error) {
    throw listenFailure(error, host, port, place.advice);
  }
}

/** Why `host:port` cannot be listened on. */
export function listenFailure(
  error: unknown,
  host: string,
  port: number,
  advice = `Choose another: weir --port ${port + 1}`,
): Failure {
  const { code, message } = error as { readonly code?: string; readonly message: string };
  if (code === "EADDRINUSE") {
    return new Failure(
      `Cannot listen on ${host}:${port}: the port is taken. ${advice}`,
    );
  }
  if (code === "EACCES") {
    return new Failure(`Cannot listen on ${host}:${port}: this user may not use that port`);
  }
  return new Failure(`Cannot listen on ${host}:${port}: ${message}`);
}
