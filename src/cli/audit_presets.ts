/**
 * Gateways that `weir audit --preset` starts itself, each as whoever reads its documentation would
 * run it, in a folder of its own that goes away with it.
 *
 * @module
 */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { selfCommand } from "./self.ts";
import { Failure } from "./terminal.ts";

/** The names of all presets. */
export const PRESETS = ["nginx", "nginx-buffered", "portkey", "weir"] as const;

export type PresetName = typeof PRESETS[number];

/** A gateway that was started. */
export interface PresetGateway {
  /** What it is, with its version. */
  readonly title: string;
  readonly url: string;
  readonly pid: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The key that clients show it; undefined = it has none of its own. */
  readonly gatewayKey: string | undefined;
  /** How often it asks again by its own documentation. */
  readonly retriesDeclared: number;
  stop(): Promise<void>;
}

/** How a preset is started. */
interface Preset {
  readonly title: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly port: number;
  readonly headers?: PresetGateway["headers"];
  readonly gatewayKey?: string;
  readonly retriesDeclared: number;
}

/** A gateway that does not listen by then does not start. */
const START_MS_MAX = 30_000;
/** One that has not ended by then is killed. */
const STOP_MS_MAX = 3000;

/** What weir is given as its own key, and as that of its upstream. Neither opens anything. */
const WEIR_KEY = "weir-audit-gateway-key";
const WEIR_UPSTREAM_KEY = "weir-audit-upstream-key";

const MAKERS: Readonly<
  Record<PresetName, (folder: string, port: number, upstreamPort: number) => Preset>
> = {
  nginx: (folder, port, upstreamPort) =>
    nginx(folder, port, upstreamPort, "unbuffered", "    proxy_buffering off;\n"),
  "nginx-buffered": (folder, port, upstreamPort) =>
    nginx(folder, port, upstreamPort, "as it buffers by itself", ""),
  portkey,
  weir,
};

/**
 * Starts a preset in front of an upstream on `upstreamPort`.
 *
 * @throws {Failure} when its program is not installed, or does not start.
 */
export async function startPreset(name: PresetName, upstreamPort: number): Promise<PresetGateway> {
  const folder = mkdtempSync(join(tmpdir(), "weir-audit-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  let preset: Preset;
  try {
    preset = MAKERS[name](folder, freePort(), upstreamPort);
  } catch (error) {
    remove();
    throw error;
  }
  const errors = join(folder, "errors.log");
  const child = Bun.spawn([...preset.command], {
    cwd: folder,
    env: { ...keptEnv(), ...preset.env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: Bun.file(errors),
  });
  // Once it is over, the number may be another process's.
  void child.exited.then(watchOver(child.pid, folder));
  const stop = async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
    await child.exited;
    clearTimeout(timer);
    remove();
  };
  const deadlineMs = performance.now() + START_MS_MAX;
  while (!await listens(preset.port)) {
    if (child.exitCode === null && performance.now() < deadlineMs) {
      await Bun.sleep(50);
      continue;
    }
    const said = existsSync(errors) ? (await Bun.file(errors).text()).trim().slice(-500) : "";
    await stop();
    throw new Failure(`${preset.title} does not start${said === "" ? "" : `: ${said}`}`);
  }
  return {
    title: preset.title,
    url: `http://127.0.0.1:${preset.port}/v1/chat/completions`,
    pid: child.pid,
    headers: preset.headers ?? [],
    gatewayKey: preset.gatewayKey,
    retriesDeclared: preset.retriesDeclared,
    stop,
  };
}

/** Waits for the end of its input, as that comes with the end of whoever holds it, however it went. */
const WATCH = 'trap "" HUP INT TERM; read -r _; kill -KILL "$1"; rm -rf -- "$2"';

/**
 * Ends process `pid`, and removes `folder`, when this process is gone and could not do it. Gives
 * the function that ends the watch. Without a shell there is none.
 */
function watchOver(pid: number, folder: string): () => void {
  const shell = Bun.which("sh");
  if (shell === null) return () => {};
  const child = Bun.spawn([shell, "-c", WATCH, "sh", String(pid), folder], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
  });
  return () => child.kill("SIGKILL");
}

/** nginx with `proxy_pass`, and what its documentation says of connections that are kept. */
function nginx(
  folder: string,
  port: number,
  upstreamPort: number,
  way: string,
  more: string,
): Preset {
  const program = programOf("nginx", "apt-get install nginx");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `  ${kind}_temp_path ${folder}/${kind};\n`).join("");
  writeFileSync(
    join(folder, "nginx.conf"),
    `daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
${temporary}  upstream audited { server 127.0.0.1:${upstreamPort}; keepalive 64; }
  server {
    listen 127.0.0.1:${port};
    client_max_body_size 32m;
    location / {
    proxy_pass http://audited;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
${more}    }
  }
}
`,
  );
  const version = /nginx\/(\S+)/.exec(
    Bun.spawnSync([program, "-v"], { stderr: "pipe" }).stderr.toString(),
  )?.[1] ?? "";
  return {
    title: `nginx ${version}, ${way}`,
    command: [program, "-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"],
    port,
    retriesDeclared: 0,
  };
}

/** Portkey's gateway, told by headers where its provider is. */
function portkey(_: string, port: number, upstreamPort: number): Preset {
  const node = programOf("node", "nodejs.org");
  const start = portkeyFile();
  const manifest = join(dirname(start), "..", "package.json");
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { readonly version: string };
  return {
    title: `Portkey ${version}`,
    command: [node, start, `--port=${port}`, "--headless"],
    // Private addresses are refused otherwise.
    env: { TRUSTED_CUSTOM_HOSTS: "127.0.0.1,localhost", NODE_ENV: "production" },
    port,
    headers: [
      ["x-portkey-provider", "openai"],
      ["x-portkey-custom-host", `http://127.0.0.1:${upstreamPort}/v1`],
    ],
    retriesDeclared: 0,
  };
}

/** Where the package lies: named, in this folder, or where npm puts what is global. */
function portkeyFile(): string {
  const file = "node_modules/@portkey-ai/gateway/build/start-server.js";
  const npm = Bun.which("npm");
  const globally = npm === null
    ? []
    : [join(Bun.spawnSync([npm, "prefix", "-g"]).stdout.toString().trim(), "lib")];
  const named = process.env["WEIR_PORTKEY"];
  const folders = [...(named === undefined ? [] : [named]), process.cwd(), ...globally];
  const found = folders.map((folder) => join(folder, file)).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new Failure(
    "Portkey's gateway is not installed here. Try: npm install @portkey-ai/gateway, or name the folder with WEIR_PORTKEY",
  );
}

/** This program as a proxy, with a key of its own and one of its upstream. */
function weir(_: string, port: number, upstreamPort: number): Preset {
  const settings = {
    "llm.base_url": `http://127.0.0.1:${upstreamPort}/v1`,
    "llm.api_key": WEIR_UPSTREAM_KEY,
    "auth.token": WEIR_KEY,
  };
  return {
    title: "weir",
    command: [
      ...selfCommand(["serve", "--port", String(port)]),
      ...Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`]),
    ],
    port,
    gatewayKey: WEIR_KEY,
    retriesDeclared: 2, // llm.retries
  };
}

function programOf(name: string, hint: string): string {
  const found = Bun.which(name, { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/usr/local/sbin` });
  if (found !== null) return found;
  throw new Failure(`${name} is not installed here. Try: ${hint}`);
}

/** What a program needs to run, and nothing that would configure it. */
function keptEnv(): Record<string, string> {
  const names = ["PATH", "HOME", "TMPDIR"] as const;
  return Object.fromEntries(names.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  }));
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

async function listens(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}
