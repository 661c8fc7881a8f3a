/** What becomes of weir when the system does not start its workers. */

import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, copyFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openManagerSocket } from "../ops/manager_socket.ts";
import { launch, makeFolder, TEST_MS_MAX, waitFor, type Weir, weirCommand } from "./launch.ts";
import { describeWith } from "./needs.ts";
import { childrenOf, isRunning } from "./processes.ts";

setDefaultTimeout(TEST_MS_MAX);

const running: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop();
});

/** Two workers of a program whose file can be taken away, and all that a manager has heard of them. */
async function replaceable() {
  const folder = makeFolder();
  const program = join(folder, "weir");
  const kept = join(folder, "kept");
  const [original, ...words] = weirCommand();
  copyFileSync(original!, program);
  chmodSync(program, 0o755);
  const manager = openManagerSocket(join(folder, "notify"));
  running.push(() => rmSync(folder, { recursive: true, force: true }), manager.close);
  const weir = await launch({
    command: [program, ...words],
    set: { "server.workers": 2 },
    files: { "config.yaml": "" },
    env: { NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: "200000" },
  });
  running.push(async () => {
    const children = childrenOf(weir.pid);
    await weir.stop();
    for (const pid of children) if (isRunning(pid)) process.kill(pid, "SIGKILL");
  });
  await waitFor(() => weir.output().includes("workers: 2"), "the workers");
  let heard = "";
  const hear = () => heard += manager.take().map((message) => `${message}\n--\n`).join("");
  // The kernel holds a few messages only.
  const hearing = setInterval(hear, 10);
  running.push(() => clearInterval(hearing));
  return {
    weir,
    /** In the place of the program is a file with `text`; undefined = none. */
    take(text: string | undefined) {
      renameSync(program, kept);
      if (text === undefined) return;
      writeFileSync(program, text);
      chmodSync(program, 0o755);
    },
    giveBack: () => renameSync(kept, program),
    /** All that was sent until now: what weir does behind a message is never seen before it. */
    heard: hear,
  };
}

/** How often `part` stands in `text`. */
const countOf = (text: string, part: string) => text.split(part).length - 1;

async function expectServing(weir: Weir, workers: number): Promise<void> {
  const health = () => weir.health().catch(() => ({})); // nobody may be there yet
  await waitFor(async () => {
    const { status, workers: count = 1 } = await health() as Record<string, unknown>;
    return status === "ok" && count === workers;
  }, `${workers} workers`);
}

interface BadFile {
  readonly what: string;
  readonly text: string | undefined;
  readonly reason: RegExp;
  /** What comes once the good file is back. */
  readonly then: "SIGUSR2" | "SIGHUP";
}

const BAD_FILES: readonly BadFile[] = [
  {
    what: "a file that is no program",
    text: "no program\n",
    reason: /worker \d+ cannot be started \(.*\/weir\): ENOEXEC/,
    then: "SIGUSR2",
  },
  {
    what: "no file",
    text: undefined,
    reason: /worker \d+ cannot be started \(.*\/weir\): ENOENT/,
    then: "SIGHUP",
  },
  {
    what: "a program that ends",
    text: "#!/bin/sh\nexit 7\n",
    reason: /worker \d+ \(process \d+\) ended with code 7 before it listened/,
    then: "SIGUSR2",
  },
];

/** The last word on how two workers are is good. */
const GOOD_STATUS =
  /READY=1\nSTATUS=2 workers on port \d+[^;]*; 0 streams open\n--\n(WATCHDOG=1\n--\n)*$/;

describe("an upgrade onto", () => {
  for (const { what, text, reason, then } of BAD_FILES) {
    test(`${what} is refused, and a ${then} with a good file is not`, async () => {
      const { weir, take, giveBack, heard } = await replaceable();
      const before = childrenOf(weir.pid);
      take(text);
      weir.kill("SIGUSR2");
      await waitFor(() => weir.errors().includes("upgrade: refused"), "the refusal");
      expect(weir.errors()).toMatch(reason);
      await waitFor(
        () => heard().includes("; the last upgrade was refused: worker "),
        "the status",
      );
      await waitFor(() => `${childrenOf(weir.pid)}` === `${before}`, "the old workers alone");
      await expectServing(weir, 2);
      giveBack();
      weir.kill(then);
      await waitFor(() => weir.errors().includes(": 2 new workers"), `the ${then}`);
      await waitFor(() => GOOD_STATUS.test(heard()), "a good status");
      await expectServing(weir, 2);
      weir.kill("SIGTERM");
      expect(await weir.exited).toBe(0);
    });
  }
});

describe("a worker that dies", () => {
  test("while the program is away is replaced once it is back", async () => {
    const { weir, take, giveBack } = await replaceable();
    take(undefined);
    process.kill(childrenOf(weir.pid)[0]!, "SIGKILL");
    // Each time with a longer pause.
    await waitFor(() => countOf(weir.errors(), "ENOENT: a new one starts in") >= 2, "two tries");
    await expectServing(weir, 1);
    giveBack();
    await expectServing(weir, 2);
  });

  test("together with all others, and the program: the watchdog is not fed until they are back", async () => {
    const { weir, take, giveBack, heard } = await replaceable();
    take("no program\n");
    weir.kill("SIGUSR2");
    await waitFor(() => weir.errors().includes("upgrade: refused"), "the refusal");
    for (const pid of childrenOf(weir.pid)) process.kill(pid, "SIGKILL");
    await waitFor(() => countOf(weir.errors(), "ended with signal SIGKILL") === 2, "the deaths");
    const fed = countOf(heard(), "WATCHDOG=1");
    const tries = () => countOf(weir.errors(), "ENOEXEC: a new one starts in");
    const triesBefore = tries(); // those of the upgrade
    await waitFor(() => tries() >= triesBefore + 4, "their tries");
    expect(countOf(heard(), "WATCHDOG=1")).toBe(fed);
    await waitFor(() => heard().includes("; no worker answers"), "the status");
    giveBack();
    await expectServing(weir, 2);
    await waitFor(() => countOf(heard(), "WATCHDOG=1") > fed, "signs of life");
  });
});

describeWith(Bun.which("prlimit") !== null, "prlimit", "without descriptors", () => {
  test("a worker that dies is replaced once there are some", async () => {
    const weir = await launch({ set: { "server.workers": 2 } });
    running.push(weir.stop);
    await waitFor(() => weir.output().includes("workers: 2"), "the workers");
    const limit = (count: number) =>
      expect(Bun.spawnSync(["prlimit", `--pid=${weir.pid}`, `--nofile=${count}:`]).exitCode)
        .toBe(0);
    limit(readdirSync(`/proc/${weir.pid}/fd`).length - 2);
    process.kill(childrenOf(weir.pid)[0]!, "SIGKILL");
    await waitFor(() => /cannot be started .*EMFILE: a new one/.test(weir.errors()), "a try");
    limit(1024);
    await expectServing(weir, 2);
  });
});
