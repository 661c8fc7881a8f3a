/**
 * The machine a benchmark runs on: its cores, its programs, and what else keeps it busy.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

/** The cores that a server works on, and those of its client and of what it asks in its turn. */
export interface Places {
  readonly server: readonly number[];
  readonly client: readonly number[];
}

/** A core for the server and a core for the client. One for both cannot measure anything. */
export const ONE_CORE_EACH: Places = { server: [0], client: [1] };

/** Two cores for the server. On a machine without others the client has to take its share of them. */
export function twoCoresEach(coreCount: number): Places {
  const server = [0, 1];
  return { server, client: coreCount < 4 ? server : [2, 3] };
}

/** Clock ticks of /proc/stat in a second: USER_HZ, 100 on every Linux that Bun runs on. */
const TICKS_PER_SECOND = 100;

/** The path of a program, or undefined when it is not installed. */
export function programPath(name: string): string | undefined {
  return Bun.which(name, { PATH: `${process.env["PATH"]}:/usr/sbin:/usr/local/sbin` }) ?? undefined;
}

/** What stands at the front of a command to keep it on `cores`; nothing where that is impossible. */
export function pinnedTo(cores: readonly number[]): readonly string[] {
  if (cpus().length < 2 || programPath("taskset") === undefined) return [];
  return ["taskset", "-c", cores.join(",")];
}

/** Milliseconds that `cores` were busy since the machine started, all of them together. */
export function coresBusyMs(cores: readonly number[]): number {
  const lines = readFileSync("/proc/stat", "utf8").split("\n");
  return cores.reduce((sum, core) => {
    const line = lines.find((text) => text.startsWith(`cpu${core} `));
    const [user, nice, system, , , irq, softirq, steal] = line!.split(/\s+/).slice(1).map(Number);
    const ticks = user! + nice! + system! + irq! + softirq! + steal!;
    return sum + (1000 * ticks) / TICKS_PER_SECOND;
  }, 0);
}

/** A run in which others had more than this share of the server's cores is repeated. */
export const STOLEN_SHARE_MAX = 0.1;
/** How often a run is repeated that says nothing: the client was late, or others took the core. */
export const REPEATS_MAX = 2;

/** What a reader needs to compare figures with those of another day. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly isPinned: boolean;
  readonly commit: string;
  readonly date: string;
  /** Name and version of every program that took part. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Reads it once. */
export function readMachine(): Machine {
  const versions: Record<string, string> = { bun: Bun.version };
  const ask: readonly (readonly [name: string, command: readonly string[], pattern: RegExp])[] = [
    ["node", ["node", "--version"], /v([\d.]+)/],
    ["wrk", ["wrk", "--version"], /wrk (?:debian\/)?([\d.]+)/],
    ["nginx", ["nginx", "-v"], /nginx\/([\d.]+)/],
  ];
  for (const [name, [program, ...args], pattern] of ask) {
    const path = programPath(program!);
    if (path === undefined) continue;
    const { stdout, stderr } = Bun.spawnSync([path, ...args]);
    const version = pattern.exec(`${stdout}${stderr}`)?.[1];
    if (version !== undefined) versions[name] = version;
  }
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    isPinned: pinnedTo(ONE_CORE_EACH.server).length > 0,
    commit: commitOf(),
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    versions,
  };
}

function commitOf(): string {
  const { stdout, success } = Bun.spawnSync(["git", "describe", "--always", "--dirty"]);
  return success ? stdout.toString().trim() : "unknown";
}
