/**
 * weir is killed (SIGKILL) while it records: what is not whole is never replayed, is told as such,
 * and can be removed; what is called whole is.
 *
 * WEIR_KILL_SEED repeats the moments of a run.
 */

import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readTape } from "../../src/sources/tape/format.ts";
import { seeded } from "../seeded.ts";
import { launch, makeFolder, run, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { connect, exchange, rawChat } from "./raw_client.ts";
import { act, chunk, LAST_CHUNK, scriptedUpstream, sseHead } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const SEED = Number(process.env["WEIR_KILL_SEED"] ?? Date.now() % 1_000_000);
const ROUNDS = 6;
/** Each round is a launch and a kill of its own, as a whole test is elsewhere. */
const ROUNDS_MS_MAX = ROUNDS * TEST_MS_MAX;
const CLIENTS = 60;
/** The kill comes within this time after the first request. */
const KILL_WITHIN_MS = 250;
const EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"你好 🌊"}}]}\n\n';
const DONE = "data: [DONE]\n\n";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function start(set: Readonly<Record<string, string | number>>): Promise<Weir> {
  const weir = await launch({ set: { "ops.log": "off", "llm.retries": 0, ...set } });
  open.push(() => weir.stop());
  return weir;
}

function question(content: string): Buffer {
  const body = { model: "gpt-4o", stream: true, messages: [{ role: "user", content }] };
  return rawChat(JSON.stringify(body), ["Connection: close"]);
}

const named = (folder: string, ending: string) =>
  readdirSync(folder).filter((name) => name.endsWith(ending)).sort();

test("half a tape is told, never replayed, and removed", async () => {
  const folder = makeFolder();
  const never = Promise.withResolvers<void>();
  const upstream = scriptedUpstream(({ body }) =>
    body.includes("whole")
      ? [act.send(sseHead() + chunk(EVENT + DONE) + LAST_CHUNK)]
      : [act.send(sseHead() + chunk(EVENT)), act.wait(never.promise)]
  );
  open.push(() => upstream.close());
  const tapes = { "tape.folder": folder, "tape.mode": "record" };
  const weir = await start({ ...tapes, "llm.base_url": `${upstream.url}/v1` });
  const whole = await exchange(weir.port, question("whole"));
  await waitFor(() => named(folder, ".tape.jsonl").length === 1);
  const half = await connect(weir.port, question("half"));
  await half.until("你好");
  await waitFor(() => named(folder, ".partial").length === 1);
  weir.kill("SIGKILL");
  await weir.exited;
  expect(readdirSync(folder)).toHaveLength(2);

  const listed = await run(["tape", "list", folder]);
  expect(listed.code).toBe(0);
  expect(listed.output.trimEnd().split("\n").map((line) => line.split(/ {2,}/).at(-1))).toEqual([
    "whole",
    "partial",
  ]);
  expect(await run(["tape", "check", folder])).toMatchObject({ code: 0 });

  const player = await start({ ...tapes, "tape.mode": "strict", "tape.speed": 0 });
  expect((await exchange(player.port, question("whole"))).body).toEqual(whole.body);
  const missed = await exchange(player.port, question("half"));
  expect(missed.status).toBeGreaterThanOrEqual(400);
  expect(missed.body.toString()).not.toContain("你好");
  await waitFor(() => readdirSync(folder).includes(".replayed"));
  await player.stop();

  const [partial] = named(folder, ".partial");
  expect(await run(["tape", "prune", folder, "--partial"])).toMatchObject({
    code: 0,
    output: expect.stringContaining(`removed ${join(folder, partial!)}\nremoved 1 file of 2, `),
  });
  expect(named(folder, ".partial")).toEqual([]);
  expect(await run(["tape", "prune", folder, "--unused"])).toMatchObject({
    code: 0,
    output: "removed 0 files of 1, 0 B\n",
  });
  expect(named(folder, ".tape.jsonl")).toHaveLength(1);
  never.resolve();
});

test(`whatever the moment, each tape is whole or partial (WEIR_KILL_SEED=${SEED})`, async () => {
  const random = seeded(SEED);
  const folder = makeFolder();
  const upstream = await start({ "mock.reply": "一 two 👋", "mock.delay_ms": 15 });
  const tapes = { "tape.folder": folder, "llm.base_url": `${upstream.url}/v1` };
  let before = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const weir = await start({ ...tapes, "tape.mode": "record" });
    let isOver = false;
    const asking = Array.from({ length: CLIENTS }, async (_, client) => {
      for (let i = 0; !isOver; i++) {
        const one = await connect(weir.port, question(`${round}-${client}-${i}`)).catch(() => null);
        if (one === null) return;
        await one.closed;
      }
    });
    await waitFor(() => readdirSync(folder).length > before);
    await Bun.sleep(random() * KILL_WITHIN_MS); // any moment will do
    weir.kill("SIGKILL");
    await weir.exited;
    isOver = true;
    await Promise.all(asking);
    await weir.stop();
    before = readdirSync(folder).length;
  }
  const whole = named(folder, ".tape.jsonl");
  const partial = named(folder, ".partial");
  expect(whole.length + partial.length).toBe(before);
  for (const name of whole) {
    const { ending, reads } = readTape(readFileSync(join(folder, name)));
    const said = Buffer.concat(reads.map(({ bytes }) => bytes)).toString();
    expect(said.endsWith(DONE)).toBe(ending.how === "whole");
  }
  // None of what is left is played: every answer of a player is one that was recorded as a whole.
  const player = await start({ "tape.folder": folder, "tape.mode": "strict", "tape.speed": 0 });
  const wholeBodies = new Set(
    whole.map((name) =>
      Buffer.from(readTape(readFileSync(join(folder, name))).request.body).toString()
    ),
  );
  for (let client = 0; client < CLIENTS; client++) {
    const asked = question(`${ROUNDS - 1}-${client}-0`);
    const body = asked.subarray(asked.indexOf("\r\n\r\n") + 4);
    const { status } = await exchange(player.port, asked);
    expect(status === 200).toBe(wholeBodies.has(body.toString()));
  }
}, ROUNDS_MS_MAX);
