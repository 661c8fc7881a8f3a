import { afterEach, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { cleanEnv, launch, type LaunchOptions, makeFolder, run, TEST_MS_MAX } from "./launch.ts";
import { REPOSITORY, waitFor, type Weir } from "./launch.ts";
import { childrenOf, isRunning } from "./processes.ts";
import { CHAT, DONE, EVENT, type Gate, gate } from "./proxied.ts";
import { connect, parseRaw, rawChat, type RawClient } from "./raw_client.ts";
import {
  act,
  chunk,
  LAST_CHUNK,
  type ScriptedUpstream,
  scriptedUpstream,
} from "./scripted_upstream.ts";
import { sseHead } from "./scripted_upstream.ts";

const running: { readonly stop: () => unknown }[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
});

/** A weir with `workers` processes. Killed workers go before their supervisor can replace them. */
async function workers(count: number, options: LaunchOptions = {}): Promise<Weir> {
  const weir = await launch({ ...options, set: { "server.workers": count, ...options.set } });
  running.push({
    async stop() {
      const children = childrenOf(weir.pid);
      await weir.stop();
      for (const pid of children) if (isRunning(pid)) process.kill(pid, "SIGKILL");
    },
  });
  await waitFor(() => count === 1 || weir.output().includes(`workers: ${count}`), "the workers");
  return weir;
}

/** An upstream whose answers begin at once and end when `end` opens. `name` is in each. */
function upstreamNamed(name: string, end: Gate): ScriptedUpstream {
  const upstream = scriptedUpstream(() => [
    act.send(sseHead()),
    act.send(chunk(`: ${name}\n\n${EVENT}`)),
    act.wait(end.opened),
    act.send(chunk(DONE)),
    act.send(LAST_CHUNK),
  ]);
  running.push({ stop: () => upstream.close() });
  return upstream;
}

/** Reads one answer's begin, on a new connection, and gives what `: NAME` it came with. */
async function askWho(weir: Weir): Promise<string> {
  const client = await connect(weir.port, rawChat(CHAT, ["Connection: close"]));
  await client.until(EVENT);
  client.leave();
  return /\n: (\w+)\n/.exec(client.text())![1]!;
}

async function openStreams(weir: Weir, count: number): Promise<RawClient[]> {
  const clients = await Promise.all(
    Array.from({ length: count }, () => connect(weir.port, rawChat(CHAT, ["Connection: close"]))),
  );
  for (const client of clients) await client.until(EVENT);
  return clients;
}

async function expectWhole(clients: readonly RawClient[]): Promise<void> {
  for (const client of clients) {
    const { body, isWhole } = parseRaw(await client.closed);
    expect([isWhole, body.toString().endsWith(EVENT + DONE)]).toEqual([true, true]);
  }
}

describe("server.workers: 3", () => {
  test("is three processes on one port, which answer for each other", async () => {
    const end = gate();
    const upstream = upstreamNamed("a", end);
    const weir = await workers(3, { set: { "llm.base_url": `${upstream.url}/v1` } });
    expect(childrenOf(weir.pid).length).toBe(3);
    const clients = await openStreams(weir, 12);
    for (let i = 0; i < 6; i++) {
      expect(await weir.health()).toMatchObject({ status: "ok", workers: 3, streams_open: 12 });
    }
    expect(weir.output().match(/listens on/g)!.length).toBe(1);
    end.open();
    await expectWhole(clients);
    expect(weir.errors()).toBe("");
  }, TEST_MS_MAX);

  test("adds up what all have counted, those that are gone as well", async () => {
    const weir = await workers(2);
    const count = async () => {
      const text = await (await fetch(`${weir.url}/metrics`)).text();
      return [...text.matchAll(/^weir_requests_total{.*surface="v1_chat.*} (\d+)$/gm)]
        .reduce((sum, [, value]) => sum + Number(value), 0);
    };
    for (let i = 0; i < 20; i++) {
      const client = await connect(weir.port, rawChat(CHAT, ["Connection: close"]));
      expect(parseRaw(await client.closed).isWhole).toBe(true);
    }
    expect(await count()).toBe(20);
    const before = childrenOf(weir.pid);
    weir.kill("SIGHUP");
    await waitFor(() => weir.errors().includes("have taken over"), "the reload");
    await waitFor(() => !before.some(isRunning), "the old workers to end");
    expect(await count()).toBe(20);
  }, TEST_MS_MAX);

  test("names a worker that does not answer", async () => {
    const weir = await workers(3);
    const [, second] = childrenOf(weir.pid);
    process.kill(second!, "SIGSTOP");
    try {
      const health = await waitFor(async () => {
        // The kernel may hand the connection to the one that is stopped.
        const signal = AbortSignal.timeout(3000);
        const headers = { connection: "close" };
        const answer = await fetch(`${weir.url}/health`, { signal, headers }).catch(() => null);
        return await answer?.json() as Record<string, unknown> | undefined;
      });
      expect(health).toMatchObject({ status: "ok", workers: 2 });
      expect(health["workers_silent"]).toContain(`process ${second}`);
    } finally {
      process.kill(second!, "SIGCONT");
    }
  }, TEST_MS_MAX);

  test("replaces a worker that dies, and says so", async () => {
    const weir = await workers(3);
    const before = childrenOf(weir.pid);
    process.kill(before[1]!, "SIGKILL");
    await waitFor(() => childrenOf(weir.pid).filter((pid) => !before.includes(pid)).length === 1);
    await waitFor(async () => (await weir.health())["workers"] === 3);
    expect(weir.errors()).toMatch(
      /worker 2 \(process \d+\) ended with signal SIGKILL: a new one starts in \d+ ms/,
    );
  }, TEST_MS_MAX);

  test("gives up when workers keep dying, and says why", async () => {
    const weir = await workers(6);
    for (const pid of childrenOf(weir.pid)) process.kill(pid, "SIGKILL");
    expect(await weir.exited).toBe(1);
    expect(weir.errors()).toContain("which is death 6 within 60 s: weir gives up");
  }, TEST_MS_MAX);

  test("SIGTERM waits for the streams of all, also when workers hear a Ctrl-C", async () => {
    const end = gate();
    const upstream = upstreamNamed("a", end);
    const weir = await workers(3, { set: { "llm.base_url": `${upstream.url}/v1` } });
    const clients = await openStreams(weir, 9);
    const children = childrenOf(weir.pid);
    for (const pid of children) process.kill(pid, "SIGINT"); // as a terminal does, to every process
    weir.kill("SIGINT");
    await waitFor(() => weir.errors().includes("9 open streams have 30000 ms to finish"));
    end.open();
    await expectWhole(clients);
    expect(await weir.exited).toBe(0);
    expect(children.filter(isRunning)).toEqual([]);
  }, TEST_MS_MAX);

  test("a second signal ends all at once", async () => {
    const upstream = upstreamNamed("a", gate());
    const weir = await workers(3, { set: { "llm.base_url": `${upstream.url}/v1` } });
    const clients = await openStreams(weir, 3);
    const children = childrenOf(weir.pid);
    weir.kill("SIGTERM");
    await waitFor(() => weir.errors().includes("3 open streams"));
    weir.kill("SIGTERM");
    expect(await weir.exited).toBe(1);
    for (const client of clients) expect(parseRaw(await client.closed).isWhole).toBe(false);
    await waitFor(() => !children.some(isRunning), "the workers to end");
  }, TEST_MS_MAX);

  test(
    "a worker that is killed while it finishes its streams is told, also by the exit code",
    async () => {
      const end = gate();
      const upstream = upstreamNamed("a", end);
      const weir = await workers(2, { set: { "llm.base_url": `${upstream.url}/v1` } });
      await openStreams(weir, 8);
      const [victim] = childrenOf(weir.pid);
      weir.kill("SIGTERM");
      await waitFor(() => weir.errors().includes("8 open streams"));
      process.kill(victim!, "SIGKILL");
      await waitFor(() => weir.errors().includes("ended with signal SIGKILL as it was finishing"));
      end.open();
      expect(await weir.exited).toBe(1);
    },
    TEST_MS_MAX,
  );

  test("workers whose supervisor is killed finish their streams and end", async () => {
    const end = gate();
    const upstream = upstreamNamed("a", end);
    const weir = await workers(3, { set: { "llm.base_url": `${upstream.url}/v1` } });
    const clients = await openStreams(weir, 3);
    const children = childrenOf(weir.pid);
    weir.kill("SIGKILL");
    await weir.exited;
    await waitFor(async () => {
      const probe = await connect(weir.port, "").catch(() => null);
      probe?.leave();
      return probe === null;
    }, "the port to be free");
    end.open();
    await expectWhole(clients);
    await waitFor(() => !children.some(isRunning), "the workers to end");
  }, TEST_MS_MAX);

  test("a taken port is refused, as with one process", async () => {
    const weir = await workers(2);
    const { code, errors } = await run(
      ["serve", "--port", String(weir.port), "--set", "server.workers=2"],
    );
    expect([code, errors]).toEqual([
      1,
      `weir: Cannot listen on 127.0.0.1:${weir.port}: the port is taken. ` +
      `Choose another: weir --port ${weir.port + 1}\n`,
    ]);
  }, TEST_MS_MAX);
});

describe("SIGHUP", () => {
  for (const count of [1, 2]) {
    const set = { "server.workers": count };

    test(
      `with ${count} worker(s): new requests go by the new config, open streams go on`,
      async () => {
        const end = gate();
        const [old, next] = [upstreamNamed("old", end), upstreamNamed("next", end)];
        const file = (upstream: ScriptedUpstream) => `llm:\n  base_url: ${upstream.url}/v1\n`;
        const weir = await workers(count, { set, files: { "config.yaml": file(old) } });
        const clients = await openStreams(weir, 8);
        writeFileSync(join(weir.folder, "config.yaml"), file(next));
        weir.kill("SIGHUP");
        await waitFor(() => weir.errors().includes("reload: "), "the reload");
        for (let i = 0; i < 4; i++) expect(await askWho(weir)).toBe("next");
        await waitFor(async () => (await weir.health())["streams_open"] === 8);
        end.open();
        await expectWhole(clients);
        expect(await askWho(weir)).toBe("next");
        expect(weir.errors()).not.toContain("refused");
        await waitFor(
          () => childrenOf(weir.pid).length === (count === 1 ? 0 : count),
          "old workers",
        );
        weir.kill("SIGTERM");
        expect(await weir.exited).toBe(0);
      },
      TEST_MS_MAX,
    );

    test(`with ${count} worker(s): a bad config is refused with its errors`, async () => {
      const files = { "config.yaml": "mock:\n  reply: it stays\n" };
      const weir = await workers(count, { set, files });
      const before = childrenOf(weir.pid);
      writeFileSync(join(weir.folder, "config.yaml"), "mock:\n  reply: x\n  dealy_ms: 3\nops: 1\n");
      weir.kill("SIGHUP");
      await waitFor(() => weir.errors().includes("refused, everything stays as it was"));
      expect(weir.errors()).toContain("config.yaml:3:3 mock.dealy_ms: is not a known key");
      expect(weir.errors()).toContain("config.yaml:4:6 ops");
      const client = await connect(weir.port, rawChat(CHAT, ["Connection: close"]));
      expect(parseRaw(await client.closed).body.toString()).toContain("stays");
      expect(childrenOf(weir.pid)).toEqual(before);
    }, TEST_MS_MAX);

    test(`with ${count} worker(s): says what needs a restart`, async () => {
      const weir = await workers(count, { set, files: { "config.yaml": "" } });
      writeFileSync(join(weir.folder, "config.yaml"), "server:\n  host: 127.0.0.2\n");
      weir.kill("SIGHUP");
      await waitFor(() => weir.errors().includes("server.host stays 127.0.0.1 until"));
      await waitFor(() => weir.errors().includes("reload: "), "the reload");
      expect((await weir.health())["status"]).toBe("ok");
    }, TEST_MS_MAX);
  }

  test("loses no new connection while workers take over", async () => {
    const weir = await workers(2);
    let isOver = false;
    let answered = 0;
    const asking = Array.from({ length: 8 }, async () => {
      while (!isOver) {
        const client = await connect(weir.port, rawChat(CHAT, ["Connection: close"]));
        expect(parseRaw(await client.closed).isWhole).toBe(true);
        answered++;
      }
    });
    await waitFor(() => answered > 50);
    weir.kill("SIGHUP");
    await waitFor(() => weir.errors().includes("have taken over"));
    const before = answered;
    await waitFor(() => answered > before + 50);
    isOver = true;
    await Promise.all(asking);
  }, TEST_MS_MAX);
});

describe("SIGUSR2", () => {
  /** Starts weir from a program that can be replaced, two workers, and gives the program's path. */
  async function replaceable(upstream: ScriptedUpstream) {
    const folder = makeFolder();
    const program = join(folder, "weir.ts");
    const write = (name: string) =>
      writeFileSync(
        program,
        `process.env.WEIR_LLM_BASE_URL = "${upstream.url}/${name}/v1";
         const { main } = await import(${JSON.stringify(join(REPOSITORY, "src/cli.ts"))});
         await main();`,
      );
    write("one");
    const child = Bun.spawn(
      [process.execPath, "--no-env-file", program, "--port", "0", "--set", "server.workers=2"],
      { cwd: folder, env: cleanEnv(), stdout: "pipe", stderr: "pipe" },
    );
    running.push({ stop: () => child.kill("SIGTERM") });
    const [output, errors] = [new TextCollector(child.stdout), new TextCollector(child.stderr)];
    await waitFor(() => output.text.includes("workers: 2"), "weir to start");
    const port = Number(/:(\d+)\n/.exec(output.text)![1]);
    return { child, program, write, errors, port };
  }

  test("starts what lies at the program's path now; open streams go on", async () => {
    const end = gate();
    const upstream = upstreamNamed("a", end);
    const { child, write, errors, port } = await replaceable(upstream);
    const open = await connect(port, rawChat(CHAT, ["Connection: close"]));
    await open.until(EVENT);
    write("two");
    child.kill("SIGUSR2");
    await waitFor(() => errors.text.includes("upgrade: 2 new workers"), "the upgrade");
    const paths = () => upstream.requests.map(({ path }) => path);
    // A process that is stalled may be steered late: then the old one takes the first ones as well.
    const fresh = await waitFor(async () => {
      const client = await connect(port, rawChat(CHAT, ["Connection: close"]));
      await client.until(EVENT);
      if (paths().at(-1) === "/two/v1/chat/completions") return client;
      client.leave();
      return undefined;
    }, "an answer of the new program");
    end.open();
    await expectWhole([open, fresh]);
    expect(paths()[0]).toBe("/one/v1/chat/completions");
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  }, TEST_MS_MAX);

  test("keeps the old program when the new one does not start", async () => {
    const upstream = upstreamNamed("a", gate());
    const { child, program, errors, port } = await replaceable(upstream);
    writeFileSync(program, "process.exit(7);");
    child.kill("SIGUSR2");
    await waitFor(() => errors.text.includes("upgrade: refused"), "the refusal");
    expect(errors.text).toMatch(/worker \d \(process \d+\) ended with code 7 before it listened/);
    const client = await connect(port, rawChat(CHAT, ["Connection: close"]));
    await client.until(EVENT);
    client.leave();
  }, TEST_MS_MAX);

  test("with one process is explained and changes nothing", async () => {
    const weir = await workers(1);
    weir.kill("SIGUSR2");
    await waitFor(() => weir.errors().includes("SIGUSR2 needs server.workers: 2 or more"));
    expect((await weir.health())["status"]).toBe("ok");
  }, TEST_MS_MAX);
});

/** Collects what a process prints. */
class TextCollector {
  text = "";

  constructor(stream: ReadableStream<Uint8Array>) {
    void this.#collect(stream);
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) this.text += decoder.decode(bytes, { stream: true });
  }
}
