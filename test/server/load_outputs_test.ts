/** What `weir load` writes: one file that cannot be written takes no other with it. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cleanEnv, makeFolder, TEST_MS_MAX, waitFor, weirCommand } from "./launch.ts";

/** The client's own loop is never a reason: the machine may be as busy as it likes. */
const CALM = ["--max-loop-ms", "10000"];

// deno-lint-ignore no-explicit-any
type Json = any;

const event = (delta: Json, finish_reason: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
const PIECES = [
  event({ role: "assistant" }),
  event({ content: "one two" }),
  event({ content: " three four five" }),
  event({ content: " six" }),
  event({}, "stop") + "data: [DONE]\n\n",
];

/** Lines of a file of JSON lines. */
const linesOf = (path: string): readonly Json[] =>
  readFileSync(path, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));

describe("what weir load writes", () => {
  /** Counts no tokens, and says nothing while it is held. */
  let server: Bun.Server<undefined>;
  let held = Promise.resolve();
  let waiting = 0;
  beforeAll(() => {
    server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      async fetch() {
        waiting++;
        await held;
        waiting--;
        const pieces = PIECES.values();
        const stream = new ReadableStream({
          async pull(controller) {
            const { value } = pieces.next();
            if (value === undefined) return controller.close();
            await Bun.sleep(2);
            controller.enqueue(value);
          },
        });
        return new Response(stream, { headers: { "content-type": "text/event-stream" } });
      },
    });
  });
  afterAll(() => server.stop(true));

  /** Runs a load to its end in a folder; `limits`: what its shell sets before. */
  async function loadIn(folder: string, words: readonly string[], limits = ":") {
    const command = [...weirCommand(), "load", server.url.origin, ...CALM, ...words];
    const child = Bun.spawn(["bash", "-c", `${limits}; exec "$@"`, "-", ...command], {
      cwd: folder,
      env: cleanEnv(),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { output, errors, code };
  }

  /** What cannot be written → the flag that names it, and how it is limited. */
  const UNWRITABLE: readonly (readonly [string, string, readonly string[], string?])[] = [
    ["raw lines on a full disk", "/dev/full", ["--raw", "/dev/full"]],
    ["raw lines of two processes", "/dev/full", ["--raw", "/dev/full", "--workers", "2"]],
    // Without the trap the kernel would end the process instead of failing the write.
    ["raw lines from some line on", "raw", ["--raw", "raw"], "trap '' XFSZ; ulimit -S -f 64"],
    ["the run", "/dev/full", ["-o", "/dev/full"]],
    ["the page", "/dev/full", ["--html", "/dev/full"]],
  ];
  for (const [what, path, flags, limits] of UNWRITABLE) {
    test.if(existsSync("/dev/full"))(
      `${what}: all else is there, and it is told once`,
      async () => {
        const folder = makeFolder();
        const requests = limits === undefined ? "6" : "150";
        const given = ["--csv", "run.csv", ...(flags.includes("-o") ? [] : ["-o", "run.json"])];
        const asked = ["-c", "2", "--requests", requests, ...given, ...flags];
        const told = await Promise.all([["--json"], []].map(async (form, at) => {
          const own = join(folder, String(at));
          await Bun.$`mkdir ${own}`;
          return { own, ...await loadIn(own, [...asked, ...form], limits) };
        }));
        const sentence = new RegExp(`^weir: Cannot write ${path}: .+$`, "gm");
        for (const { own, errors, code } of told) {
          expect(errors.match(sentence)?.length).toBe(1);
          expect(errors).not.toContain("    at ");
          for (const name of given.filter((word) => word.startsWith("run."))) {
            expect(readFileSync(join(own, name), "utf8").length).toBeGreaterThan(0);
          }
          expect(code).toBe(1);
        }
        expect(JSON.parse(told[0]!.output).requests.completed).toBe(Number(requests));
        expect(told[1]!.output).toContain(`${requests} of ${requests} requests completed`);
        rmSync(folder, { recursive: true });
      },
      TEST_MS_MAX,
    );
  }

  const FILES = ["--raw", "raw", "-o", "run", "--csv", "csv", "--html", "html"];
  /** Descriptors are scarce → flags, and whether requests have failed for want of one. */
  const SCARCE: readonly (readonly [string, readonly string[], boolean])[] = [
    ["a rate takes no more of them than there are", ["--max-loop-ms", "1"], false],
    ["all of them are taken", ["--max-concurrency", "5000"], true],
    ["all of two processes are taken", ["--max-concurrency", "5000", "--workers", "2"], true],
  ];
  for (const [what, flags, isShort] of SCARCE) {
    test(`where ${what}, every file is written`, async () => {
      const folder = makeFolder();
      const { promise, resolve: release } = Promise.withResolvers<void>();
      held = promise;
      const rate = ["-r", "2000", "--arrivals", "constant", "--requests", "400"];
      const ended = loadIn(folder, [...rate, "--json", ...FILES, ...flags], "ulimit -n 100");
      const raw = join(folder, "raw");
      await waitFor(() =>
        isShort ? existsSync(raw) && /"failed"/.test(readFileSync(raw, "utf8")) : waiting === 50
      );
      release();
      const { output, errors } = await ended;
      const { requests, doubt } = JSON.parse(output);
      expect(errors).not.toContain("Cannot");
      expect(readdirSync(folder).sort()).toEqual(["csv", "html", "raw", "run"]);
      expect(requests.sent).toBe(400);
      expect(linesOf(raw).length).toBe(400);
      expect(requests.failed > 0).toBe(isShort);
      if (!isShort) {
        expect(doubt.reasons.join()).toMatch(/waited in the client for one of 50 places \(ulimit/);
      }
      rmSync(folder, { recursive: true });
    }, TEST_MS_MAX);
  }

  test("the figures of answers without usage can be worked out again from raw lines", async () => {
    const folder = makeFolder();
    const asked = ["-c", "2", "--requests", "8", "--warmup", "2", "--raw", "raw", "--json"];
    const { tokens, tpot_ms } = JSON.parse((await loadIn(folder, asked)).output);
    const lines = linesOf(join(folder, "raw"));
    expect(lines.filter(({ warmup }) => warmup).map((line) => line.own_tokens)).toEqual([
      null,
      null,
    ]);
    const measured = lines.filter(({ warmup }) => !warmup);
    expect(tokens).toMatchObject({ told: null, own: 8 * 6, own_answers: 8 });
    expect(measured.map(({ own_tokens, usage }) => [own_tokens, usage])).toEqual(
      Array(8).fill([6, null]),
    );
    const perToken = measured.map(({ events, own_tokens }) => {
      const times = events.filter(([, kinds]: readonly [number, string]) => kinds.includes("text"))
        .map(([ms]: readonly [number]) => ms);
      return (times.at(-1) - times[0]) / (own_tokens - 1);
    });
    const mean = perToken.reduce((sum, ms) => sum + ms, 0) / perToken.length;
    expect(Math.abs(tpot_ms.mean - mean)).toBeLessThan(0.01 * mean);
    rmSync(folder, { recursive: true });
  });
});
