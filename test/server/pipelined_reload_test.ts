/**
 * Nothing lost under pipelined load: reloads, upgrades, ends and kills come while clients have several
 * requests under way. Every request is answered in its turn, and every turn is remembered once.
 */

import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { launch, makeFolder, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import {
  type ClientOptions,
  type Ending,
  PipelinedClient,
  type Style,
} from "./pipelined_client.ts";
import { childrenOf, isRunning } from "./processes.ts";
import { remembered } from "./remembered.ts";

setDefaultTimeout(TEST_MS_MAX);

const STYLES: readonly Style[] = ["steady", "bursts", "pieces"];
const CLIENTS = 9;
/** What each client has had answered before the next thing happens to weir. */
const ANSWERS = 15;

const running: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop();
});

/** A weir that remembers in `folder`, and the clients that ask it. */
class Scene {
  readonly folder = makeFolder();
  readonly clients: PipelinedClient[] = [];
  readonly #set: Readonly<Record<string, string | number>>;
  #weir: Promise<Weir>;

  constructor(workers: number, delayMs: number) {
    running.push(() => rmSync(this.folder, { recursive: true, force: true }));
    this.#set = {
      "memory.url": `sqlite://${join(this.folder, "weir.db")}`,
      "mock.delay_ms": delayMs,
      "mock.reply": "one two three",
      "server.workers": workers,
    };
    this.#weir = this.#launch();
  }

  /** The one that takes connections now. */
  get weir(): Promise<Weir> {
    return this.#weir;
  }

  /** Starts the clients. */
  load(resends: ClientOptions["resends"] = "same"): void {
    for (let i = 0; i < CLIENTS; i++) {
      const port = async () => (await this.#weir).port;
      const style = STYLES[i % STYLES.length]!;
      this.clients.push(new PipelinedClient({ session: `s${i}`, style, port, resends }));
    }
    running.push(() => this.clients.forEach((client) => client.leave()));
  }

  /** Waits until every client has had `ANSWERS` more. */
  async goOn(): Promise<void> {
    const before = this.clients.map(({ answered }) => answered);
    await Promise.race([
      waitFor(
        () => this.clients.every(({ answered }, i) => answered >= before[i]! + ANSWERS),
        "answers for every client",
      ),
      ...this.clients.map(({ finished }) => finished), // only a wrong answer ends one early
    ]);
  }

  /** Ends weir in good order and starts another one, to which the clients go. */
  async restart(): Promise<void> {
    const old = await this.#weir;
    const next = Promise.withResolvers<Weir>();
    this.#weir = next.promise;
    old.kill("SIGTERM");
    expect(await old.exited).toBe(0);
    next.resolve(this.#launch());
    await next.promise;
  }

  /** Has everything answered that was asked, and compares it with what is remembered. */
  async finish(): Promise<readonly Ending[]> {
    for (const client of this.clients) client.finish();
    await Promise.all(this.clients.map(({ finished }) => finished));
    const kept = remembered(join(this.folder, "weir.db"));
    for (const { session, turns, doubtful } of this.clients) {
      const found = kept.get(session) ?? [];
      expect(found.filter((query) => !doubtful.has(query)), session).toEqual(turns);
      expect(new Set(found).size, session).toBe(found.length);
    }
    const endings = this.clients.flatMap((client) => client.endings);
    this.#say(endings);
    return endings;
  }

  #say(endings: readonly Ending[]): void {
    const sum = (of: (client: PipelinedClient) => number) =>
      this.clients.reduce((total, client) => total + of(client), 0);
    process.stderr.write(
      `pipelined: ${sum(({ answered }) => answered)} answers on ${
        sum((client) => client.connections)
      } ` +
        `connections: ${sum(({ announced }) => announced)} ended as announced, ` +
        `${endings.length} without a word, ` +
        `${endings.filter((one) => one.unansweredIdle > 0).length} of them as a request came\n`,
    );
  }

  async #launch(): Promise<Weir> {
    const weir = await launch({ set: this.#set, files: { "config.yaml": "" } });
    running.push(async () => {
      const children = childrenOf(weir.pid);
      await weir.stop();
      for (const pid of children) if (isRunning(pid)) process.kill(pid, "SIGKILL");
    });
    const workers = this.#set["server.workers"];
    await waitFor(
      () => workers === 1 || weir.output().includes(`workers: ${workers}`),
      "the workers",
    );
    return weir;
  }
}

/** No connection was reset or torn, and none ended on requests behind others under way. */
function expectGraceful(endings: readonly Ending[]): void {
  expect(
    endings.filter((one) => one.isReset || one.isTorn || one.unansweredBehind > 0),
  ).toEqual([]);
}

for (const delayMs of [0, 3]) {
  describe(`one process, pipelined clients, ${delayMs} ms a word`, () => {
    test("SIGHUP closes no connection", async () => {
      const scene = new Scene(1, delayMs);
      const weir = await scene.weir;
      scene.load();
      for (let count = 1; count <= 3; count++) {
        await scene.goOn();
        writeFileSync(join(weir.folder, "config.yaml"), `server:\n  drain_ms: ${30_000 + count}\n`);
        weir.kill("SIGHUP");
        await waitFor(() => weir.errors().split("as the config says now").length > count);
      }
      await scene.goOn();
      expect(await scene.finish()).toEqual([]);
      expect(scene.clients.map(({ connections }) => connections)).toEqual(Array(CLIENTS).fill(1));
    });

    test("SIGTERM answers what is under way, and the rest is answered by the next one", async () => {
      const scene = new Scene(1, delayMs);
      await scene.weir;
      scene.load();
      for (let count = 0; count < 2; count++) {
        await scene.goOn();
        await scene.restart();
      }
      await scene.goOn();
      expectGraceful(await scene.finish());
    });
  });
}

describe("two workers, pipelined clients", () => {
  test("SIGHUP and SIGUSR2: new workers take over", async () => {
    const scene = new Scene(2, 3);
    const weir = await scene.weir;
    scene.load();
    for (const [signal, why] of [["SIGHUP", "reload"], ["SIGUSR2", "upgrade"]] as const) {
      await scene.goOn();
      const before = childrenOf(weir.pid);
      weir.kill(signal);
      await waitFor(() => weir.errors().includes(`${why}: 2 new workers`), `the ${why}`);
      await waitFor(() => !before.some(isRunning), "the old workers to end");
    }
    await scene.goOn();
    expectGraceful(await scene.finish());
    expect(Math.min(...scene.clients.map(({ connections }) => connections)))
      .toBeGreaterThanOrEqual(3);
  });

  test("SIGTERM answers what is under way, and the rest is answered by the next ones", async () => {
    const scene = new Scene(2, 3);
    await scene.weir;
    scene.load();
    await scene.goOn();
    await scene.restart();
    await scene.goOn();
    expectGraceful(await scene.finish());
  });

  test("a worker is killed: only its own answers are cut off", async () => {
    const scene = new Scene(2, 3);
    const weir = await scene.weir;
    scene.load("anew");
    const killed = new Set<number>();
    for (let count = 1; count <= 2; count++) {
      await scene.goOn();
      const victim = childrenOf(weir.pid)[0]!;
      process.kill(victim, "SIGSTOP"); // so that its connections stay those that are looked at
      for (const port of await peersOf(victim, weir.port)) killed.add(port);
      process.kill(victim, "SIGKILL");
      await waitFor(() => weir.errors().split("signal SIGKILL").length > count, "the death");
      await waitFor(async () => (await weir.health())["workers"] === 2, "its successor");
    }
    await scene.goOn();
    const endings = await scene.finish();
    // What had no byte yet may have waited in the killed one's queue.
    expect(endings.filter(({ localPort, hasBytes }) => hasBytes && !killed.has(localPort)))
      .toEqual([]);
  });
});

/** The ports of the clients that process `pid`, which is stopped, has accepted on `port`. */
async function peersOf(pid: number, port: number): Promise<number[]> {
  await waitFor(
    () => /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, "utf8")),
    "it to stop",
  );
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  // proc_net_tcp(5): the local and the remote address, and the tenth column is the inode.
  return readFileSync("/proc/net/tcp", "utf8").trim().split("\n").slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = "", , , , , , , , inode]) =>
      parseInt(local.split(":")[1]!, 16) === port && links.includes(`socket:[${inode}]`)
    )
    .map(([, , remote = ""]) => parseInt(remote.split(":")[1]!, 16));
}
