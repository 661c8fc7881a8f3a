/**
 * A Postgres of our own: Debian's programs, a private port, a temporary folder, and an unprivileged
 * user, since Postgres refuses root.
 *
 * @module
 */

import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../server/free_port.ts";

/** A running Postgres. */
export interface PostgresServer {
  /** A URL of a new, empty database. */
  readonly makeDatabase: () => Promise<string>;
  /** Ends its processes at once, as a crash would. */
  readonly crash: () => Promise<void>;
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** Where Debian puts each version's programs. */
const DEBIAN = "/usr/lib/postgresql";

/** The folder of the newest version's programs; undefined = Postgres is not installed. */
export function postgresPrograms(): string | undefined {
  if (!existsSync(DEBIAN)) return undefined;
  return readdirSync(DEBIAN)
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(DEBIAN, version, "bin"))
    .find((folder) => existsSync(join(folder, "initdb")));
}

/** The user that Debian's package makes for Postgres. */
const USER = "postgres";

/** Starts a Postgres that nobody else uses. */
export async function startPostgres(programs: string): Promise<PostgresServer> {
  const folder = mkdtempSync(join(tmpdir(), "weir-postgres-"));
  const isRoot = process.getuid?.() === 0;
  if (isRoot) chownSync(folder, ...idsOf(USER));
  const data = join(folder, "data");
  const port = freePort();
  const run = (program: string, ...args: string[]) =>
    Bun.spawn([
      ...(isRoot ? ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups"] : []),
      join(programs, program),
      ...args,
    ], {
      cwd: folder,
      stdout: "ignore",
      stderr: "pipe",
      env: { PATH: "/usr/bin:/bin", LC_ALL: "C" },
    });

  const init = run("initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync");
  if (await init.exited !== 0) throw new Error(await new Response(init.stderr).text());

  let server: ReturnType<typeof run> | undefined;
  const url = (database: string) => `postgres://${USER}:x@127.0.0.1:${port}/${database}`;

  async function start(): Promise<void> {
    server = run(
      "postgres",
      ...["-D", data, "-p", String(port), "-k", folder, "-h", "127.0.0.1"],
      ...["-c", "fsync=off", "-c", "max_connections=100"],
    );
    const endMs = performance.now() + 30_000;
    for (;;) {
      const sql = new Bun.SQL(url("postgres"), { max: 1, connectionTimeout: 5 });
      try {
        await sql`SELECT 1`;
        return;
      } catch (error) {
        if (performance.now() > endMs || server.exitCode !== null) throw error;
        await Bun.sleep(50);
      } finally {
        await sql.close();
      }
    }
  }

  /** SIGQUIT is Postgres's own word for "drop everything": its children go too. */
  async function crash(): Promise<void> {
    server?.kill("SIGQUIT");
    await server?.exited;
  }

  let count = 0;
  await start();
  return {
    async makeDatabase() {
      const name = `weir_${++count}`;
      const sql = new Bun.SQL(url("postgres"), { max: 1 });
      await sql.unsafe(`CREATE DATABASE ${name}`);
      await sql.close();
      return url(name);
    },
    crash,
    start,
    async stop() {
      await crash();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function idsOf(user: string): [number, number] {
  const line = readFileSync("/etc/passwd", "utf8").split("\n").find((row) =>
    row.startsWith(`${user}:`)
  );
  const [, , uid, gid] = line?.split(":") ?? [];
  return [Number(uid), Number(gid)];
}
