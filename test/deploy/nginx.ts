/**
 * The real nginx as its own processes, in a folder and on a port of its own, with a site of weir's;
 * and a counter of the connections it opens.
 *
 * @module
 */

import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type SiteFacts, siteText } from "../../src/deploy/site.ts";
import { freePort } from "../server/free_port.ts";
import { makeFolder, waitFor } from "../server/launch.ts";
import { childrenOf } from "../server/processes.ts";

/** A running nginx. */
export interface Nginx {
  readonly port: number;
  /** Starts new worker processes with the config as it is; the old ones finish their requests. */
  readonly reload: () => Promise<void>;
  readonly errors: () => string;
  readonly stop: () => Promise<void>;
}

/** Starts nginx in front of a weir on `weirPort`. */
export function startNginx(
  weirPort: number,
  facts: Partial<Pick<SiteFacts, "tls" | "bodyBytesMax">> = {},
): Promise<Nginx> {
  return startSite((port) =>
    siteText({
      upstream: `127.0.0.1:${weirPort}`,
      bodyBytesMax: 33_554_432,
      listen: `127.0.0.1:${port}`,
      serverName: "_",
      ...facts,
    })
  );
}

/** Starts nginx with the site that `siteOf` gives for its port. */
export async function startSite(siteOf: (port: number) => string): Promise<Nginx> {
  const folder = makeFolder();
  chmodSync(folder, 0o755);
  for (const name of ["body", "proxy", "fastcgi", "uwsgi", "scgi"]) {
    mkdirSync(join(folder, "temp", name), { recursive: true });
  }
  const port = freePort();
  writeFileSync(join(folder, "site.conf"), siteOf(port));
  writeFileSync(join(folder, "nginx.conf"), mainConfig());
  const child = Bun.spawn(["nginx", "-p", folder, "-c", "nginx.conf", "-e", "error.log"], {
    env: { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` },
    stdout: "inherit",
    stderr: "pipe",
  });
  const errors = () => readFileSync(join(folder, "error.log"), "utf8");
  await waitFor(async () => {
    if (child.exitCode !== null) throw new Error(await new Response(child.stderr).text());
    return await canConnect(port);
  }, "nginx to listen");
  return {
    port,
    errors,
    async reload() {
      const before = childrenOf(child.pid);
      child.kill("SIGHUP");
      await waitFor(
        () => childrenOf(child.pid).filter((pid) => !before.includes(pid)).length === WORKERS,
        "nginx to reload",
      );
    },
    async stop() {
      child.kill("SIGTERM");
      await child.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const WORKERS = 2;

/** What Debian's nginx.conf is to the site, without anything of the machine's. */
function mainConfig(): string {
  return `
    ${process.getuid?.() === 0 ? "user root;" : ""}
    worker_processes ${WORKERS};
    worker_rlimit_nofile 8192;
    daemon off;
    pid nginx.pid;
    events { worker_connections 4096; }
    http {
      access_log off;
      client_body_temp_path temp/body;
      proxy_temp_path temp/proxy;
      fastcgi_temp_path temp/fastcgi;
      uwsgi_temp_path temp/uwsgi;
      scgi_temp_path temp/scgi;
      include site.conf;
    }`;
}

async function canConnect(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}

/** A port that hands every byte on to another one, and counts. */
export interface Relay {
  readonly port: number;
  /** Connections that were ever opened to it. */
  readonly opened: number;
  readonly stop: () => void;
}

interface Half {
  other: Bun.Socket<Half> | undefined;
  /** What came before the other half was there. Requests of this test are small. */
  early: Buffer[];
}

/** Starts one in front of `targetPort`. */
export function startRelay(targetPort: number): Relay {
  let opened = 0;
  const listener = Bun.listen<Half>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      async open(client) {
        opened++;
        client.data = { other: undefined, early: [] };
        const target = await Bun.connect<Half>({
          hostname: "127.0.0.1",
          port: targetPort,
          data: { other: client, early: [] },
          socket: {
            data: (_target, bytes) => void client.write(bytes),
            close: () => void client.end(),
          },
        });
        client.data.other = target;
        for (const bytes of client.data.early) target.write(bytes);
      },
      data(client, bytes) {
        if (client.data.other === undefined) client.data.early.push(Buffer.from(bytes));
        else client.data.other.write(bytes);
      },
      close: (client) => void client.data.other?.end(),
    },
  });
  return {
    port: listener.port,
    get opened() {
      return opened;
    },
    stop: () => listener.stop(true),
  };
}
