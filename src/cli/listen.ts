/**
 * Opens what weir listens on: a port, or a socket file for nginx.
 *
 * @module
 */

import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import { type App, idleTimeoutS } from "../app.ts";
import type { Config } from "../config/config.ts";
import { Failure } from "./terminal.ts";
import type { Tls } from "./tls_files.ts";
import { pathIn } from "./token_files.ts";

/**
 * Bun's own limit on bodies lies this far above weir's, so that weir's 413 is the one that answers.
 * What Bun refuses itself, it refuses without a word.
 */
const BODY_SLACK_BYTES = 64 * 1024 * 1024;

/** What is served, and how. */
export interface ListenOptions {
  readonly fetch: App["fetch"];
  readonly config: Config;
  /** The folder that paths in the config count from. */
  readonly folder: string;
  /** The certificate to show; undefined = plain HTTP. */
  readonly tls: Tls | undefined;
}

/** A port. */
export interface Place {
  readonly host: string;
  readonly port: number;
  /** True when other processes listen on the same port. */
  readonly isShared: boolean;
  /** What to do when the port is taken. */
  readonly advice?: string;
}

type BunServeOptions = Parameters<typeof Bun.serve<undefined>>[0];

/** What listens. */
export type Bound = ReturnType<typeof Bun.serve<undefined>>;

/**
 * Listens on a port.
 *
 * @throws {Failure} when that cannot be done, with what to do about it.
 */
export function listenOnPort(options: ListenOptions, place: Place): Bound {
  const { host, port, isShared, advice } = place;
  try {
    return Bun.serve({
      ...serveOptions(options),
      hostname: host,
      port,
      // Bun shares ports unless in development: two weirs would take turns on one, unnoticed.
      reusePort: isShared,
    });
  } catch (error) {
    throw listenFailure(error, host, port, advice);
  }
}

/**
 * Makes sure that nobody has `port`, before it is listened on in the way that shares it: two weirs
 * of one user could both have it, unnoticed. A port of 0 is always a new one.
 *
 * @throws {Failure} when it is taken.
 */
export function checkPort({ host, port, advice }: Omit<Place, "isShared">): void {
  if (port === 0) return;
  const fetch = () => new Response(null, { status: 503 });
  try {
    void Bun.serve({ hostname: host, port, reusePort: false, fetch }).stop(true);
  } catch (error) {
    throw listenFailure(error, host, port, advice);
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
  const where = `Cannot listen on ${host}:${port}`;
  if (code === "EADDRINUSE") return new Failure(`${where}: the port is taken. ${advice}`);
  if (code === "EACCES") return new Failure(`${where}: this user may not use that port`);
  return new Failure(`${where}: ${message}`);
}

/**
 * Listens on the socket file `server.unix`. Call `removeStaleSocket` first.
 *
 * @throws {Failure} when that cannot be done, with what to do about it.
 */
export function listenOnSocket(options: ListenOptions): Bound {
  const { unix, unix_mode } = options.config.server;
  const path = pathIn(options.folder, unix);
  // Nobody may connect between the making of the file and its chmod.
  const oldMask = process.umask(0o777);
  try {
    // Bun's types refuse idleTimeout here; Bun 1.4.5 obeys it. Of the server, both kinds have what
    // is asked for.
    const socketOptions = {
      ...serveOptions(options),
      unix: path,
    } as unknown as BunServeOptions;
    const server = Bun.serve(socketOptions);
    chmodSync(path, parseInt(unix_mode, 8));
    return server;
  } catch (error) {
    const { code, message } = error as { readonly code?: string; readonly message: string };
    const reason = FILE_REASONS[code ?? ""] ?? message;
    throw new Failure(`Cannot listen on the socket ${path} (server.unix): ${reason}`);
  } finally {
    process.umask(oldMask);
  }
}

const FILE_REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "another process has it",
  ENOENT: "its folder does not exist",
  EACCES: "this user may not write to its folder",
  ENAMETOOLONG: "the path is longer than the 107 bytes that systems allow",
};

/**
 * Removes the socket file `server.unix` when nobody listens on it any more: a killed process leaves
 * one behind. What is no socket stays.
 *
 * @throws {Failure} when somebody does, or something else is in the way.
 */
export async function removeStaleSocket(
  { config, folder }: Pick<ListenOptions, "config" | "folder">,
): Promise<void> {
  if (config.server.unix === "") return;
  const path = pathIn(folder, config.server.unix);
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  const where = `Cannot listen on the socket ${path} (server.unix)`;
  if (!stats.isSocket()) throw new Failure(`${where}: something that is no socket is there`);
  if (await isListening(path)) throw new Failure(`${where}: another process has it`);
  unlinkSync(path);
}

async function isListening(path: string): Promise<boolean> {
  try {
    const socket = await Bun.connect({ unix: path, socket: { data() {}, error() {} } });
    socket.terminate();
    return true;
  } catch (error) {
    // A socket of another user's may be alive: better to stop here than to take it away.
    return (error as { readonly code?: string }).code === "EACCES";
  }
}

function serveOptions({ fetch, config, tls }: ListenOptions) {
  const { body_max_bytes } = config.server;
  return {
    development: false,
    idleTimeout: idleTimeoutS(config),
    maxRequestBodySize: body_max_bytes + BODY_SLACK_BYTES,
    fetch,
    ...(tls === undefined ? {} : { tls: { cert: tls.cert, key: tls.key } }),
  } as const;
}
