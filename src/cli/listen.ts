/**
 * Opens what weir listens on: a port, or a socket file for nginx.
 *
 * @module
 */

import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import type { Config } from "../config/config.ts";
import { Http1Server } from "../lib/http1/server.ts";
import type { Http1Handler } from "../lib/http1/server_connection.ts";
import type { Unread } from "../lib/http1/unread.ts";
import type { Wheel } from "../lib/wheel.ts";
import { connectionsMax } from "./process_facts.ts";
import { Failure } from "./terminal.ts";
import type { Tls } from "./tls_files.ts";
import { pathIn } from "./token_files.ts";

/** Bytes of a target that is read at all: `server.url_max_bytes` may say less. */
const TARGET_BYTES_MAX = 16_384;

/** What is served, and how. */
export interface ListenOptions {
  readonly handler: Http1Handler;
  readonly config: Config;
  /** The folder that paths in the config count from. */
  readonly folder: string;
  /** The certificate to show; undefined = plain HTTP. */
  readonly tls: Tls | undefined;
  readonly wheel: Wheel;
  /** What clients leave unread: one for all that the process listens on. */
  readonly unread: Unread;
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

/**
 * Listens on a port.
 *
 * @throws {Failure} when that cannot be done, with what to do about it.
 */
export function listenOnPort(options: ListenOptions, place: Place): Http1Server {
  const { host, port, isShared, advice } = place;
  try {
    return new Http1Server({
      ...serverOptions(options),
      place: { hostname: host, port, isShared },
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
  try {
    Bun.listen({ hostname: host, port, socket: { data() {} } }).stop(true);
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
export function listenOnSocket(options: ListenOptions): Http1Server {
  const { unix, unix_mode } = options.config.server;
  const path = pathIn(options.folder, unix);
  // Nobody may connect between the making of the file and its chmod.
  const oldMask = process.umask(0o777);
  try {
    const server = new Http1Server({ ...serverOptions(options), place: { unix: path } });
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

/** May a client's request take a connection to an upstream? */
export function asksUpstreams({ llm, upstreams, chat, conv }: Config): boolean {
  return upstreams.length > 0 ||
    [llm.base_url, llm.api_key, chat.api_proxy, conv.unofficial_proxy].some((text) => text !== "");
}

function serverOptions({ handler, config, tls, wheel, unread }: ListenOptions) {
  const { server } = config;
  return {
    handler,
    tls,
    wheel,
    unread,
    wallMs: Date.now,
    targetBytesMax: TARGET_BYTES_MAX,
    headTimeoutMs: server.head_timeout_ms,
    idleTimeoutMs: server.idle_timeout_ms,
    writeTimeoutMs: server.write_timeout_ms,
    connectionsMax: Math.min(
      server.connections_max || Infinity,
      connectionsMax(asksUpstreams(config)),
    ),
    onBug(error: Error) {
      // A bug may not get lost, and must not end the streams of others in silence.
      queueMicrotask(() => {
        throw error;
      });
    },
  } as const;
}
