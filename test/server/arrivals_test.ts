/**
 * Nobody is lost whose connection was there before weir was told to end, to reload or to upgrade: counted
 * over many rounds, with clients that connect as fast as they can, streams that are under way, and
 * connections that nobody has accepted yet.
 */

import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { freePort } from "./free_port.ts";
import {
  cleanEnv,
  launch,
  makeFolder,
  REPOSITORY,
  TEST_MS_MAX,
  waitFor,
  type Weir,
  weirCommand,
} from "./launch.ts";
import { childrenOf, isRunning } from "./processes.ts";
import { CHAT } from "./proxied.ts";
import { connect, parseRaw, rawChat } from "./raw_client.ts";

setDefaultTimeout(TEST_MS_MAX);

/** Rounds of each kind: so many side by side, so often one after the other. */
const LANES = 4;
const ROUNDS = 5;
/** Each round is a launch, a load and an end of its own, as a whole test is elsewhere. */
const ROUNDS_MS_MAX = ROUNDS * TEST_MS_MAX;
const CLIENTS = 8;
/** Connections with a request that wait in the queue when the signal comes. */
const QUEUED = 32;
/** A stream of three words takes three times as long. */
const DELAY_MS = 20;

const running: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop();
});

/** What became of connections. */
interface Outcomes {
  answered: number;
  /** They could not connect. */
  refused: number;
  /** Connected, and not answered wholly. */
  lost: number;
}

/** A request as one of a load: every other one is streamed. */
function request(number: number): Buffer {
  const body = number % 2 === 0 ? CHAT : CHAT.replace('"stream":true', '"stream":false');
  return rawChat(body, ["Connection: close"]);
}

/** Connects and sends a request; `over` settles when the connection has ended. */
async function ask(
  port: number,
  outcomes: Outcomes,
  number: number,
): Promise<{ readonly over: Promise<void> }> {
  const client = await connect(port, request(number)).catch(() => undefined);
  if (client === undefined) {
    outcomes.refused++;
    return { over: Promise.resolve() };
  }
  const over = client.closed.then((bytes) => {
    const { status, isWhole } = parseRaw(bytes);
    if (status === 200 && isWhole) outcomes.answered++;
    else outcomes.lost++;
  });
  return { over };
}

/** A weir under load. */
class Scene<Subject extends Pick<Weir, "pid" | "port" | "kill" | "exited" | "stop">> {
  readonly outcomes: Outcomes = { answered: 0, refused: 0, lost: 0 };
  readonly weir: Subject;
  #isOver = false;
  #asking: readonly Promise<void>[] = [];
  #queued: Promise<void>[] = [];

  constructor(weir: Subject) {
    this.weir = weir;
    running.push(async () => {
      this.#isOver = true;
      const children = childrenOf(weir.pid);
      await weir.stop();
      for (const pid of children) if (isRunning(pid)) process.kill(pid, "SIGKILL");
    });
  }

  static async open(workers: number, command: readonly string[] = weirCommand()) {
    const weir = await launch({
      command,
      set: { "server.workers": workers, "mock.delay_ms": DELAY_MS, "ops.log": "off" },
      files: { "config.yaml": "" },
    });
    const scene = new Scene(weir);
    await waitFor(() => workers === 1 || weir.output().includes(`workers: ${workers}`), "workers");
    scene.load();
    return scene;
  }

  /** Clients begin to connect as fast as they can. */
  load(): void {
    this.#asking = Array.from({ length: CLIENTS }, async () => {
      for (let number = 0; !this.#isOver; number++) {
        const { refused } = this.outcomes;
        await (await ask(this.weir.port, this.outcomes, number)).over;
        if (this.outcomes.refused > refused) await Bun.sleep(DELAY_MS);
      }
    });
  }

  /** Waits for so many more answers as there are clients. */
  async goOn(): Promise<void> {
    const enough = this.outcomes.answered + CLIENTS;
    await waitFor(() => this.outcomes.answered >= enough, "answers");
  }

  /** Resolves when more clients have connected, whoever takes them. */
  async connectMore(): Promise<void> {
    for (let number = 0; number < QUEUED; number++) {
      this.#queued.push((await ask(this.weir.port, this.outcomes, number)).over);
    }
  }

  /** Expects it to end in good order, and nobody to be lost. */
  async end(): Promise<void> {
    expect(await this.weir.exited).toBe(0);
    await this.settle();
    expect(this.outcomes).toMatchObject({ lost: 0 });
  }

  /** Waits for the end of all connections. */
  async settle(): Promise<void> {
    this.#isOver = true;
    await Promise.all([...this.#asking, ...this.#queued]);
  }
}

/** `round` as often as it takes. */
async function rounds(round: (lane: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: LANES }, async (_, lane) => {
    for (let i = 0; i < ROUNDS; i++) await round(lane);
  }));
}

describe.skipIf(process.platform !== "linux")("nobody is lost", () => {
  for (const workers of [1, 2]) {
    test(`at SIGTERM, with ${workers} process(es)`, async () => {
      await rounds(async () => {
        const scene = await Scene.open(workers);
        const { weir } = scene;
        await scene.goOn();
        // Nobody accepts until the signal has come.
        const stopped = workers === 1 ? [weir.pid] : childrenOf(weir.pid);
        for (const pid of stopped) process.kill(pid, "SIGSTOP");
        await scene.connectMore();
        weir.kill("SIGTERM");
        for (const pid of stopped) process.kill(pid, "SIGCONT");
        await scene.end();
      });
    }, ROUNDS_MS_MAX);
  }

  test("at SIGTERM, at workers of a reload that have not said yet that they are ready", async () => {
    const { command, hold } = unready("existsSync(held)");
    const scene = await Scene.open(2, command);
    const { weir } = scene;
    await scene.goOn();
    hold();
    const before = childrenOf(weir.pid);
    weir.kill("SIGHUP");
    const next = await waitFor(() => {
      const found = childrenOf(weir.pid).filter((pid) => !before.includes(pid));
      return found.length === 2 && found;
    }, "new workers");
    await waitFor(() => next.every((pid) => listens(pid, weir.port)), "them to listen");
    await scene.connectMore();
    expect(scene.outcomes.refused).toBe(0);
    weir.kill("SIGTERM");
    await scene.end();
  });

  test("at SIGTERM while weir is starting: one worker has said that it is ready", async () => {
    const { command } = unready('process.env.WEIR_INTERNAL_WORKER !== "1"');
    const port = freePort();
    const set = { "server.port": port, "server.workers": 2, "mock.delay_ms": DELAY_MS };
    const child = Bun.spawn([
      ...[...command, "serve"],
      ...Object.entries(set).flatMap(([key, value]) => ["--set", `${key}=${value}`]),
    ], { cwd: dirname(command.at(-1)!), env: cleanEnv(), stdio: ["ignore", "ignore", "ignore"] });
    const { pid, exited } = child;
    const scene = new Scene({
      ...{ pid, port, exited, kill: (signal) => child.kill(signal) },
      async stop() {
        child.kill("SIGKILL");
        await exited;
      },
    });
    await waitFor(() => {
      const workers = childrenOf(pid);
      return workers.length === 2 && workers.every((one) => listens(one, port));
    }, "them to listen");
    scene.load();
    await scene.goOn();
    await scene.connectMore();
    child.kill("SIGTERM");
    await scene.end();
  });

  /** Each of them starts all workers again. */
  const renewals = [["SIGHUP", "reload"], ["SIGUSR2", "upgrade"]] as const;
  test("at reloads and upgrades", async () => {
    await Promise.all(Array.from({ length: LANES }, async () => {
      const scene = await Scene.open(2);
      const { weir } = scene;
      for (const [signal, why] of renewals) {
        await scene.goOn();
        weir.kill(signal);
        await waitFor(() => weir.errors().includes(`${why}: 2 new workers`), `the ${why}`);
      }
      await scene.settle();
      expect(scene.outcomes).toMatchObject({ lost: 0, refused: 0 });
    }));
  }, (1 + renewals.length) * TEST_MS_MAX);
});

/** A weir whose workers do not say that they are ready where `condition` holds. */
function unready(condition: string) {
  const program = join(makeFolder(), "weir.ts");
  const held = `${program}.held`;
  writeFileSync(
    program,
    `const { existsSync } = await import("node:fs");
     const held = ${JSON.stringify(held)};
     const send = process.send?.bind(process);
     if (send !== undefined) {
       process.send = (message, ...rest) =>
         (message.kind === "ready" && ${condition}) || send(message, ...rest);
     }
     const { main } = await import(${JSON.stringify(join(REPOSITORY, "src/cli.ts"))});
     await main();`,
  );
  running.push(() => rmSync(dirname(program), { recursive: true, force: true }));
  return {
    command: [process.execPath, "--no-env-file", program],
    hold: () => writeFileSync(held, ""),
  };
}

/** Does process `pid` listen on `port`? */
function listens(pid: number, port: number): boolean {
  const links = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return []; // it has just been closed
    }
  });
  // proc_net_tcp(5): the local address, the state (0A = LISTEN), and the tenth column is the inode.
  return readFileSync("/proc/net/tcp", "utf8").trim().split("\n").slice(1)
    .map((line) => line.trim().split(/\s+/))
    .some(([, local = "", , state, , , , , , inode]) =>
      state === "0A" && parseInt(local.split(":")[1]!, 16) === port &&
      links.includes(`socket:[${inode}]`)
    );
}
