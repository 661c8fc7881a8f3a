/**
 * `weir serve`: one process, or a supervisor with its workers, until a signal ends it.
 *
 * @module
 */

import { resolve } from "node:path";
import { defineCommand } from "./command.ts";
import { SETTING_EXITS, SETTING_FLAGS, settingOptions } from "./command_line.ts";
import { openNotifier } from "../ops/notify.ts";
import { openSteering, type Steering } from "../ops/port_steering.ts";
import { openDesk, processWheel, SharedFolder } from "./desk.ts";
import { FixtureFiles, fixturePlaces } from "./fixture_watch.ts";
import { asText, listFlag, switchFlag } from "./flags.ts";
import { raiseFetchCap } from "./fetch_cap.ts";
import { introduction, oddities } from "./introduction.ts";
import { removeStaleSocket } from "./listen.ts";
import { latenessText } from "./process_facts.ts";
import { restartNotes } from "./restart_notes.ts";
import { FLUSH_MS, Server } from "./server.ts";
import type { ServeOptions } from "./serve_options.ts";
import { readServed, readText, type Settings, warn } from "./settings.ts";
import { watchSignals } from "./signals.ts";
import { supervise, workerCount } from "./supervisor.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";
import { VERSION } from "./version.ts";
import { readyTapes } from "./tape_ready.ts";
import { type WorkerLink, workerLink } from "./worker_link.ts";

/** How often systemd is told how many streams are open. */
const STATUS_MS = 5000;

/** What the exit codes mean of every command that serves. */
export const SERVE_EXITS = {
  ...SETTING_EXITS,
  [EXIT.done]: "a signal ended it, and open streams could finish, or had server.drain_ms for it",
  [EXIT.failed]:
    "the config is wrong, the port is taken, a second signal came before open streams were over, or a " +
    "worker was killed before that",
} as const;

/** Serves until a signal ends it. */
export const serve = defineCommand({
  name: "serve",
  summary: "start the server (what weir does without a command)",
  details:
    "SIGTERM and Ctrl-C let open streams finish; SIGHUP reads the config again while streams go on.",
  operands: {},
  flags: {
    ...SETTING_FLAGS,
    fixtures: listFlag({
      value: "PATH",
      text: "a file, folder or pattern of fixtures, besides those of mock.fixtures",
      completes: "files",
      read: asText,
    }),
    untilStdinEnds: switchFlag({
      text:
        "stop as soon as standard input ends: with whoever holds its other end, however that one goes",
    }),
  },
  examples: [
    { line: "weir", text: "a mock that needs no config" },
    { line: "weir serve --fixtures fixtures/", text: "a mock that answers what the files say" },
    { line: "weir serve --port 0 --set mock.delay_ms=0", text: "any free port, answers at once" },
    {
      line: "OPENAI_API_KEY=sk-1 weir serve --set llm.base_url=https://api.openai.com/v1",
      text: "a proxy: an upstream answers",
    },
  ],
  exits: SERVE_EXITS,
  async run({ flags }, terminal) {
    const { fixtures } = flags;
    const read = () => withFixtures(readServed(settingOptions(flags), terminal), fixtures);
    return await serveSettings(read(), terminal, {
      read,
      ...(flags.untilStdinEnds ? { stopped: stdinEnds } : {}),
    });
  },
});

/** `settings`, with what the command line names besides: its paths count from the current folder. */
function withFixtures(settings: Settings, paths: readonly string[]): Settings {
  if (paths.length === 0) return settings;
  const { mock } = settings.config;
  const fixtures = [...mock.fixtures, ...paths.map((path) => resolve(path))];
  return { ...settings, config: { ...settings.config, mock: { ...mock, fixtures } } };
}

/** Resolves when nothing more can come from standard input. */
async function stdinEnds(): Promise<void> {
  for await (const _ of Bun.stdin.stream()) {
    // What comes before the end is nobody's business.
  }
}

/** Serves what `settings` say, until a signal or `options.stopped` ends it. */
export async function serveSettings(
  settings: Settings,
  terminal: Terminal,
  options: ServeOptions,
): Promise<number> {
  const careful = { ...options, read: unlessEmptied(options.read, settings) };
  const link = workerLink(process.env);
  if (link !== undefined) return await work(settings, link, careful);
  if (workerCount(settings.config) > 1) return await supervise(settings, terminal, careful);
  return await serveAlone(settings, terminal, careful);
}

/**
 * `read`, but for a config that has lost its text since `first`: an editor may be about to write it,
 * and without it the door would be open.
 */
function unlessEmptied(read: () => Settings, first: Settings): () => Settings {
  const isEmpty = ({ file }: Settings) =>
    file !== undefined && readText(file, "the config").trim() === "";
  if (isEmpty(first)) return read;
  return () => {
    const next = read();
    if (!isEmpty(next)) return next;
    throw new Failure(`${next.file} is empty. To go on with the defaults, restart weir`);
  };
}

/** Serves as one of several workers, until the supervisor says otherwise or is gone. */
async function work(
  settings: Settings,
  link: WorkerLink,
  { read, noteRun }: ServeOptions,
): Promise<number> {
  const { config } = settings;
  const { promise: drained, resolve: end } = Promise.withResolvers<void>();
  const shared = new SharedFolder(link.shared);
  let listening: Server | undefined;
  function drain(limitMs: number): void {
    if (listening === undefined) process.exit(0); // no client has begun anything
    void listening.drain(limitMs).then(end);
  }
  // Before it listens: from then on a signal may not end what clients have begun. A terminal's Ctrl-C
  // reaches every process: the supervisor decides what it means.
  for (const signal of ["SIGINT", "SIGHUP", "SIGUSR2"]) process.on(signal, () => {});
  for (const signal of ["SIGTERM", "disconnect"]) {
    process.on(signal, () => drain(config.server.drain_ms));
  }
  process.once("disconnect", () => shared.remove()); // a supervisor that was killed has not done it
  const desk = openDesk(config, { wheel: processWheel(), peers: link.peers, shared });
  link.join((question) => desk.answerPeer(question));
  await desk.catchUp();
  const server = listening = new Server(settings, {
    place: link,
    isShared: true,
    gather: link.gather,
    peers: link.peers,
    desk,
    ...(noteRun === undefined ? {} : { noteRun }),
  });
  let steering: Steering | undefined;
  link.open({
    version: VERSION,
    introduction: introduction(server.app, settings, link.port, server.pagePort),
  }, {
    report(what) {
      if (what === "streams") return server.streamCount;
      return what === "listening" ? server.isListening : server.report(what);
    },
    answerPeer: (question) => server.answerPeer(question),
    retire: () => server.retire(),
    renew: () => server.renew(read),
    drain,
    async steer(first, count) {
      steering ??= await openSteering(link.port);
      if (count > 0) return steering?.steer(first, count) ?? false;
      steering?.release();
      return true;
    },
  });
  await drained;
  await link.close(server.report("metrics"));
  return 0;
}

/** Serves as the only process. */
async function serveAlone(
  settings: Settings,
  terminal: Terminal,
  { read, stopped, noteRun }: ServeOptions,
): Promise<number> {
  let { config } = settings;
  if (callsOut(settings)) raiseFetchCap(terminal);
  warn([...settings.warnings, ...oddities(config), ...readyTapes(settings, true)], terminal);
  const notifier = await openNotifier(process.env, process.pid);
  const { promise: ended, resolve: exit } = Promise.withResolvers<number>();
  let isEnding = false;

  function status(): string {
    const { unix } = config.server;
    const place = unix === "" ? `port ${server.port}` : unix;
    return `${place}; ${server.streamCount} streams open`;
  }

  async function finish(): Promise<void> {
    isEnding = true;
    const { drain_ms } = config.server;
    notifier.stopping(`finishes ${server.streamCount} streams`, drain_ms + FLUSH_MS);
    if (server.streamCount > 0) {
      terminal.complain(`weir: ${server.streamCount} open streams have ${drain_ms} ms to finish`);
    }
    files.close();
    await server.drain(drain_ms);
    const lateness = latenessText(server.app.observer.metrics.latenessMs);
    if (lateness !== "") terminal.complain(`weir: ${lateness}`);
    exit(0);
  }

  async function reload(): Promise<void> {
    notifier.reloading("reload");
    try {
      const next = read();
      warn([...next.warnings, ...restartNotes(config, next.config)], terminal);
      if (workerCount(next.config) > 1) {
        warn(["server.workers stays 1 until weir is restarted"], terminal);
      }
      warn(await server.reload(next), terminal);
      config = next.config;
      files.reload(fixturePlaces(next));
      terminal.complain("weir: reload: new requests are answered as the config says now");
    } catch (error) {
      // What is no failure is a bug: it must not keep the next one from being tried.
      const reason = error instanceof Failure ? error.message : (error as Error).stack;
      terminal.complain(`weir: reload: refused, everything stays as it was. ${reason}`);
    } finally {
      if (!isEnding) notifier.ready(status());
    }
  }

  let reloaded = Promise.resolve();
  const interrupt = watchSignals({
    end: () => void finish(),
    endNow: () => exit(1),
    reload: () => void (reloaded = reloaded.then(reload)),
    upgrade: () =>
      terminal.complain(
        "weir: SIGUSR2 needs server.workers: 2 or more: one process cannot replace itself",
      ),
  });
  void stopped?.().then(interrupt);
  await removeStaleSocket(settings);
  // Before anybody is told that it runs: from then on, a signal closes it in good order.
  const desk = openDesk(config, { wheel: processWheel() });
  const files = new FixtureFiles({
    terminal,
    onChange: (state) => desk.takeFiles(state),
  });
  desk.takeFiles(files.open(fixturePlaces(settings)));
  const server = new Server(settings, {
    isShared: false,
    desk,
    ...(noteRun === undefined ? {} : { noteRun }),
  });
  for (const line of introduction(server.app, settings, server.port, server.pagePort)) {
    terminal.print(line);
  }
  warn(server.warnings, terminal);
  if (!isEnding) notifier.ready(status());
  if (notifier.aliveEveryMs > 0) setInterval(notifier.alive, notifier.aliveEveryMs);
  if (notifier.isOn) setInterval(() => isEnding || notifier.status(status()), STATUS_MS);
  return await ended;
}

/** Do `settings` make weir ask others, whom it may ask 256 times at once and no more? */
function callsOut({ config: { chat, conv, llm, memory }, workflowFiles }: Settings): boolean {
  return llm.base_url !== "" || workflowFiles.length > 0 || llm.api_key !== "" ||
    memory.url.startsWith("http") || chat.api_proxy !== "" || conv.unofficial_proxy !== "";
}
