/**
 * The peers that weir is measured beside: each is a server of its own that does the same work.
 *
 * @module
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Certificate } from "../certificate.ts";
import { ONE_CORE_EACH, programPath } from "../machine.ts";
import { UPSTREAM_ITSELF } from "../results.ts";
import {
  freePort,
  type RunningServer,
  type ServerCommand,
  startServer,
} from "../server_process.ts";
import { nginxCommand, nginxLuaAbsent, nginxLuaConfig, nginxProxyConfig } from "./nginx.ts";

/** What a peer is to do. */
export interface PeerWork {
  /** The body of weir's answer: what a peer without an opinion of its own sends. */
  readonly answer: Uint8Array;
  readonly contentType: string;
  /** The words of the reply, and the pause after each. */
  readonly words: readonly string[];
  readonly delayMs: number;
  /** The events of the answer and when each is due, for the bare wheel. */
  readonly events: readonly string[];
  readonly dueMs: readonly number[];
  /** Where a proxy sends what it gets. */
  readonly upstreamOrigin: string;
  /** Whether the upstream of a proxy writes twice. */
  readonly isInTwo: boolean;
  /** The certificate of a server that speaks TLS. */
  readonly certificate: Pick<Certificate, "certFile" | "keyFile"> | undefined;
}

/** Work with nothing in it, to be filled in. */
export const NO_WORK: PeerWork = {
  answer: new Uint8Array(),
  contentType: "text/event-stream",
  words: [],
  delayMs: 0,
  events: [],
  dueMs: [],
  upstreamOrigin: "",
  isInTwo: false,
  certificate: undefined,
};

/** A server that weir is compared with. */
export interface Peer {
  readonly name: string;
  /** True when it sends exactly the bytes of weir's answer. */
  readonly isSameBytes: boolean;
  /** Why it cannot be started here; undefined when it can. */
  absent(): string | undefined;
  command(work: PeerWork, folder: string, port: number): ServerCommand;
}

const BUN = [process.execPath, "--no-env-file"];

function script(name: string): string {
  return join(import.meta.dir, name);
}

function file(folder: string, name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** A `Bun.serve` that reads the JSON and answers a constant: the ceiling on this runtime. */
export const bareBun: Peer = {
  name: "bare Bun.serve",
  isSameBytes: true,
  absent: () => undefined,
  command: ({ answer, contentType, certificate }, folder, port) => ({
    name: "bare Bun.serve",
    command: [
      ...BUN,
      script("bare_bun.ts"),
      String(port),
      file(folder, "answer", answer),
      contentType,
      ...(certificate === undefined ? [] : [certificate.certFile, certificate.keyFile]),
    ],
    port,
    readyPath: "/",
    isTls: certificate !== undefined,
  }),
};

/** The upstream of the proxy cases: one chunk per event, from a raw socket, in one write or two. */
export const rawUpstream: Peer = {
  name: UPSTREAM_ITSELF,
  isSameBytes: true,
  absent: () => undefined,
  command: ({ events, isInTwo }, folder, port) => ({
    name: UPSTREAM_ITSELF,
    command: [
      ...BUN,
      script("upstream.ts"),
      String(port),
      file(folder, "events.json", JSON.stringify(events)),
      isInTwo ? "2" : "1",
    ],
    port,
    readyPath: "/",
  }),
};

/** The wheel and constant events: the least a paced stream costs on this runtime. */
export const bareWheel: Peer = {
  name: "bare wheel",
  isSameBytes: true,
  absent: () => undefined,
  command: ({ events, dueMs }, folder, port) => ({
    name: "bare wheel",
    command: [
      ...BUN,
      script("bare_wheel.ts"),
      String(port),
      file(folder, "script.json", JSON.stringify({ events, dueMs })),
    ],
    port,
    readyPath: "/",
  }),
};

/** The OpenResty mock, made anew: nginx, Lua and cjson, every chunk flushed. */
export const nginxLuaFlushed = nginxLua("nginx + Lua, flushed per chunk", "flushed");
/** The same with its answer in one write. */
export const nginxLuaWhole = nginxLua("nginx + Lua, one write", "whole");
/** The same as it was: flushed, and asleep after each word. */
export const nginxLuaPaced = nginxLua("nginx + Lua, with its sleep", "paced");

function nginxLua(name: string, way: "flushed" | "whole" | "paced"): Peer {
  return {
    name,
    isSameBytes: false, // cjson orders keys as it likes; their number and length are the same
    absent: nginxLuaAbsent,
    command: ({ words, delayMs }, folder, port) => {
      const sleepS = way === "paced" ? delayMs / 1000 : 0;
      const config = nginxLuaConfig(folder, port, words, way, sleepS);
      return { name, ...nginxCommand(folder, file(folder, "nginx.conf", config)), port };
    },
  };
}

/** nginx in front of the upstream, without buffering: what a proxy costs at the least. */
export const nginxProxy: Peer = {
  name: "nginx proxy_pass",
  isSameBytes: true,
  absent: () => programPath("nginx") === undefined ? "nginx is not installed" : undefined,
  command: ({ upstreamOrigin }, folder, port) => ({
    name: "nginx proxy_pass",
    ...nginxCommand(
      folder,
      file(folder, "nginx.conf", nginxProxyConfig(folder, port, upstreamOrigin)),
    ),
    port,
  }),
};

/** aimock, a mock server from npm, with its delay between chunks set to the pace of the case. */
export const aimock: Peer = {
  name: "aimock",
  isSameBytes: false,
  absent: () => {
    if (programPath("node") === undefined) return "node is not installed";
    return aimockFolder() === undefined ? "@copilotkit/aimock is not installed" : undefined;
  },
  command: ({ words, delayMs }, folder, port) => {
    // aimock cuts a reply every so many characters: with words of one length, at the words.
    const content = words.join("");
    const fixture = { fixtures: [{ match: {}, response: { content } }] };
    return {
      name: "aimock",
      command: [
        programPath("node")!,
        join(aimockFolder()!, "dist", "cli.js"),
        "-p",
        String(port),
        "-f",
        file(folder, "fixtures.json", JSON.stringify(fixture)),
        "-c",
        String(Math.max(...words.map(({ length }) => length))),
        "-l",
        String(delayMs),
        "--log-level",
        "silent",
        "--journal-max",
        "1",
      ],
      port,
      readyPath: "/health",
    };
  },
};

function aimockFolder(): string | undefined {
  try {
    const entry = createRequire(import.meta.url).resolve("@copilotkit/aimock");
    return dirname(dirname(entry));
  } catch {
    return undefined;
  }
}

/** Starts a peer in a folder of its own, which goes with it. */
export async function startPeer(
  peer: Peer,
  work: PeerWork,
  cores = ONE_CORE_EACH.server,
): Promise<RunningServer> {
  const folder = mkdtempSync(join(tmpdir(), "weir-peer-"));
  const server = await startServer({ ...peer.command(work, folder, freePort()), cores });
  return {
    ...server,
    stop: async () => {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
