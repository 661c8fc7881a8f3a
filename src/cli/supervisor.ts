/**
 * `weir serve` with several workers: starts them on one port, and hands signals on to them.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import { countersOf, mergeSnapshots, type MetricsSnapshot } from "../ops/metrics_snapshot.ts";
import { openNotifier } from "../ops/notify.ts";
import { FILES_CHANGED } from "../surfaces/admin/desk.ts";
import { type Hello, SHARED_VARIABLE } from "./channel.ts";
import { Crew } from "./crew.ts";
import { SharedFolder } from "./desk.ts";
import { FixtureFiles, fixturePlaces } from "./fixture_watch.ts";
import { withFetchCap } from "./fetch_cap.ts";
import { oddities } from "./introduction.ts";
import { restartNotes } from "./restart_notes.ts";
import { ownWords, selfCommand } from "./self.ts";
import { checkPort, listenFailure } from "./listen.ts";
import { FLUSH_MS } from "./server.ts";
import type { ServeOptions } from "./serve_options.ts";
import { type Settings, warn } from "./settings.ts";
import { watchSignals } from "./signals.ts";
import { Failure, type Terminal } from "./terminal.ts";
import { readyTapes } from "./tape_ready.ts";
import { readTls } from "./tls_files.ts";

/** Between a drain's end and the end of its process: writing what is still to be written. */
const CLOSE_MS_MAX = 5000;

/** How often systemd is told how many streams are open. */
const STATUS_MS = 5000;

/** Leads `count` workers until a signal ends them all. */
export async function supervise(
  settings: Settings,
  terminal: Terminal,
  { read, stopped }: ServeOptions,
): Promise<number> {
  let { config } = settings;
  warn([...settings.warnings, ...oddities(config), ...readyTapes(settings, true)], terminal);
  const notifier = await openNotifier(process.env, process.pid);
  const { promise: ended, resolve: exit } = Promise.withResolvers<number>();
  const place = holdPort(config);
  const shared = SharedFolder.make();
  const limiter = shared.limiter(0);
  const files = new FixtureFiles({
    terminal,
    onChange(state) {
      shared.state = state;
      void crew.tell(FILES_CHANGED);
    },
  });
  const crew = new Crew({
    command: selfCommand(ownWords()),
    host: config.server.host,
    port: place.port,
    env: { ...withFetchCap(process.env), [SHARED_VARIABLE]: shared.path },
    terminal,
    random: Math.random,
    keep: (kept, last) =>
      mergeSnapshots([
        ...(kept === undefined ? [] : [kept as MetricsSnapshot]),
        countersOf(
          last as MetricsSnapshot,
        ),
      ]),
    onGone: (number) => limiter.release(number),
    onGivingUp: (reason) => {
      terminal.complain(`weir: ${reason}`);
      void finish(1);
    },
  });
  let isRolling = false;
  let waiting: string | undefined;
  let isEnding = false;
  let isForced = false;
  /** Why the last reload or upgrade was refused; "" = it was not. */
  let refusal = "";

  function status(): string {
    const { serving, draining, streams } = crew.state;
    const old = draining === 0 ? "" : `, ${draining} old ones finishing`;
    const silence = crew.isAnswering ? "" : "; no worker answers";
    const refused = refusal === "" ? "" : `; ${refusal}`;
    return `${serving} workers on port ${place.port}${old}; ${streams} streams open${silence}${refused}`;
  }

  async function finish(code: number): Promise<void> {
    isEnding = true;
    const { drain_ms } = config.server;
    const limitMs = drain_ms + FLUSH_MS + CLOSE_MS_MAX;
    const { streams } = await crew.look();
    notifier.stopping(`finishes ${streams} streams`, limitMs);
    if (streams > 0) {
      terminal.complain(`weir: ${streams} open streams have ${drain_ms} ms to finish`);
    }
    const tooLong = setTimeout(() => {
      terminal.complain(`weir: workers are still there after ${limitMs} ms: they are ended`);
      void crew.end();
    }, limitMs);
    const isInOrder = await crew.drain(drain_ms);
    clearTimeout(tooLong);
    exit(isForced || !isInOrder ? 1 : code);
  }

  /** New workers take over; the streams of the old ones go on where they are. */
  async function roll(why: string): Promise<void> {
    notifier.reloading(why);
    try {
      const settings = read();
      const { config: next, warnings } = settings;
      readTls(settings); // better refused here, in words, than by workers that do not come
      files.reload(fixturePlaces(settings));
      warn([...warnings, ...restartNotes(config, next)], terminal);
      const count = workerCount(next);
      const { version } = await crew.roll(count, next.server.retire_ms);
      config = next;
      refusal = "";
      terminal.complain(`weir: ${why}: ${count} new workers, weir ${version}, have taken over`);
    } catch (error) {
      if (isEnding) return;
      // What is no failure is a bug: it must not keep the next one from being tried.
      const reason = error instanceof Failure ? error.message : (error as Error).stack;
      refusal = `the last ${why} was refused: ${reason}`;
      terminal.complain(`weir: ${why}: refused, everything stays as it was. ${reason}`);
    } finally {
      if (!isEnding) notifier.ready(status());
    }
  }

  /** One roll after the other; of those that are asked for during one, the last. */
  async function rollInTurn(why: string): Promise<void> {
    waiting = why;
    if (isRolling) return;
    isRolling = true;
    try {
      while (waiting !== undefined && !isEnding) {
        const next = waiting;
        waiting = undefined;
        await roll(next);
      }
    } finally {
      isRolling = false;
    }
  }

  function close(): void {
    files.close();
    shared.remove();
  }

  let hello: Hello;
  const interrupted = watchSignals({
    end: () => void finish(0),
    endNow() {
      isForced = true;
      void crew.end().then(() => exit(1));
    },
    reload: () => void rollInTurn("reload"),
    upgrade: () => void rollInTurn("upgrade"),
  });
  void stopped?.().then(interrupted);
  try {
    shared.state = files.open(fixturePlaces(settings));
    hello = await crew.start(workerCount(config));
  } catch (error) {
    if (isEnding) return await ended.finally(close);
    close();
    throw error;
  } finally {
    await place.release();
  }
  for (const line of hello.introduction) terminal.print(line);
  terminal.print(`workers: ${crew.state.serving}`);
  notifier.ready(status());
  // A weir without a worker that answers is dead, however well its supervisor is.
  const alive = () => (isEnding || crew.isAnswering) && notifier.alive();
  if (notifier.aliveEveryMs > 0) setInterval(alive, notifier.aliveEveryMs);
  if (notifier.isOn) {
    setInterval(() => isEnding || isRolling || notifier.status(status()), STATUS_MS);
  }
  return await ended.finally(close);
}

/** How many processes `config` asks for, on this machine. */
export function workerCount({ server: { workers } }: Config): number {
  // Elsewhere the kernel does not share a port out among processes (docs/facts/runtime.md "Sharing a port").
  if (process.platform !== "linux") return 1;
  return workers === "auto" ? navigator.hardwareConcurrency : workers;
}

/**
 * The port that the workers will share: free, and nobody else's until `release`. Sharing would go
 * unnoticed otherwise: two weirs of one user could both have the same port.
 *
 * @throws {Failure} when it is taken.
 */
function holdPort({ server: { host, port } }: Config) {
  checkPort({ host, port });
  if (port !== 0) return { port, release: () => Promise.resolve() };
  const fetch = () => new Response(null, { status: 503 });
  try {
    const held = Bun.serve({ hostname: host, port: 0, reusePort: true, fetch });
    return { port: held.port!, release: () => held.stop(true) };
  } catch (error) {
    throw listenFailure(error, host, port);
  }
}
