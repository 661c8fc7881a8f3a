/**
 * A weir on each thing that it can listen on, and what stands behind it.
 *
 * @module
 */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { connect as connectNet, createServer, type Socket } from "node:net";
import { makeCertificate } from "./certificate.ts";
import { parseRequests } from "./http1_messages.ts";
import {
  cleanEnv,
  launch,
  type LaunchOptions,
  makeFolder,
  waitFor,
  weirCommand,
} from "./launch.ts";
import { proxied } from "./proxied.ts";
import type { RawClient, Target } from "./raw_client.ts";
import type { SeenRequest } from "./scripted_upstream.ts";

/** Settings of one weir. */
export type Settings = NonNullable<LaunchOptions["set"]>;

type Files = NonNullable<LaunchOptions["files"]>;

/** A weir to connect to. */
export interface Rig {
  readonly target: Target;
  readonly pid: number;
  /** What its upstream got; always empty for a mock. */
  readonly requests: readonly SeenRequest[];
  readonly stop: () => unknown;
}

/** What a weir listens on, and what it is. */
export type Kind = "plain" | "TLS" | "unix" | "proxy" | "proxy with TLS";

/** Starts a weir of that kind, with a `config.yaml`; all but the proxies are mocks. */
export async function startRig(kind: Kind, set: Settings = {}, config = ""): Promise<Rig> {
  const files = config === "" ? {} : { "config.yaml": config };
  if (kind === "unix") return await startOnFile(set, files);
  const isSecure = kind.endsWith("TLS");
  const options = isSecure ? secured(set, files) : { set, files };
  const { weir, requests, stop } = kind.startsWith("proxy")
    ? await startProxy(options)
    : await startMock(options);
  return { target: isSecure ? { tlsPort: weir.port } : weir.port, pid: weir.pid, requests, stop };
}

async function startMock(options: LaunchOptions) {
  const weir = await launch(options);
  return { weir, requests: [], stop: weir.stop };
}

async function startProxy(options: LaunchOptions) {
  const { weir, upstream: { requests }, stop } = await proxied(options);
  return { weir, requests, stop };
}

function secured(set: Settings, files: Files): LaunchOptions {
  const { cert, key } = makeCertificate(["DNS:localhost", "IP:127.0.0.1"]);
  return {
    set: { "server.tls_cert_file": "cert.pem", "server.tls_key_file": "key.pem", ...set },
    files: { ...files, "cert.pem": cert, "key.pem": key },
    ca: cert,
  };
}

async function startOnFile(set: Settings, files: Files): Promise<Rig> {
  const folder = makeFolder(files);
  const unix = join(folder, "weir.sock");
  const settings = Object.entries({ "mock.delay_ms": 0, ...set, "server.unix": unix });
  const child = Bun.spawn([
    ...weirCommand(),
    "serve",
    ...settings.flatMap(([key, value]) => ["--set", `${key}=${value}`]),
  ], { cwd: folder, env: cleanEnv(), stdout: "ignore", stderr: "ignore" });
  await waitFor(async () => {
    if (child.exitCode !== null) throw new Error("weir did not start on a socket file");
    try {
      return (await fetch("http://localhost/health", { unix } as RequestInit)).ok;
    } catch {
      return false;
    }
  }, "weir to listen on its socket file");
  return {
    target: { unix },
    pid: child.pid,
    requests: [],
    async stop() {
      child.kill("SIGKILL");
      await child.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Waits for the end of `client`'s connection; fails loudly when it stays open. */
export async function untilClosed(client: RawClient): Promise<Buffer> {
  let received: Buffer | undefined;
  void client.closed.then((bytes) => received = bytes);
  try {
    return await waitFor(() => received, "the connection to be closed");
  } catch (error) {
    const text = client.text();
    client.leave();
    throw new Error(`The connection stays open, with ${JSON.stringify(text.slice(-2000))}`, {
      cause: error,
    });
  }
}

/** Fields that are one connection's own: none of them is passed on. */
const HOP_BY_HOP = [
  "transfer-encoding",
  "keep-alive",
  "te",
  "trailer",
  "upgrade",
  "http2-settings",
  "expect",
  "proxy-connection",
];

/**
 * The body of a request that weir passed on.
 *
 * @throws {Error} when it is not what a careful client would have written.
 */
export function passedOn({ head, body }: SeenRequest): string {
  const [request, ...others] = parseRequests(
    Buffer.concat([Buffer.from(`${head}\r\n\r\n`, "latin1"), body]),
  );
  if (request === undefined || others.length > 0) throw new Error(`Not one request: ${head}`);
  const { method, target, fields } = request;
  if (`${method} ${target}` !== "POST /v1/chat/completions") throw new Error(`Not asked: ${head}`);
  for (const name of HOP_BY_HOP) {
    if (fields.has(name)) throw new Error(`Passed on ${name}: ${head}`);
  }
  for (const name of ["host", "content-length", "content-type"]) {
    if (fields.get(name)?.length !== 1) throw new Error(`Not one ${name}: ${head}`);
  }
  return request.body.toString("latin1");
}

/** Both directions of one connection, as they came. */
export interface Recorded {
  readonly asked: Buffer[];
  readonly answered: Buffer[];
}

/** A port that hands every byte on to another one, and keeps a copy. */
export interface Recorder {
  readonly port: number;
  readonly connections: readonly Recorded[];
  /** Drops what came so far. The connections stay. */
  readonly forget: () => void;
  readonly stop: () => void;
}

/** Starts one in front of `targetPort`. */
export async function startRecorder(targetPort: number): Promise<Recorder> {
  const connections: Recorded[] = [];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {}); // a reset of one side becomes the end of the other
  };
  const server = createServer((client) => {
    const target = connectNet(targetPort, "127.0.0.1");
    const recorded: Recorded = { asked: [], answered: [] };
    connections.push(recorded);
    keep(client);
    keep(target);
    client.on("data", (bytes) => recorded.asked.push(Buffer.from(bytes)));
    target.on("data", (bytes) => recorded.answered.push(Buffer.from(bytes)));
    client.pipe(target);
    target.pipe(client);
    client.on("close", () => target.destroy());
    target.on("close", () => client.destroySoon());
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("Cannot listen on a port");
  return {
    port: address.port,
    connections,
    forget() {
      for (const { asked, answered } of connections) {
        asked.length = 0;
        answered.length = 0;
      }
    },
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
