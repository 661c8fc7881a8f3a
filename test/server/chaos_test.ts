import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { TEST_MS_MAX, waitFor } from "./launch.ts";
import { CHAT, DONE, EVENT, gate, type Proxied, proxied } from "./proxied.ts";
import { connect, parseRaw, rawChat, type RawClient } from "./raw_client.ts";
import {
  act,
  chunk,
  LAST_CHUNK,
  type Script,
  type ScriptedUpstream,
  scriptedUpstream,
  sseHead,
} from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const STREAMS = 500;
const FIELDS = ["Connection: close"];

let proxy: Proxied;
let reborn: ScriptedUpstream | undefined;
afterEach(async () => {
  await proxy.stop();
  reborn?.close();
  reborn = undefined;
});

function openAll(): Promise<readonly RawClient[]> {
  return Promise.all(
    Array.from({ length: STREAMS }, () => connect(proxy.weir.port, rawChat(CHAT, FIELDS))),
  );
}

/** "whole", "error" when the client is told, or what a client would take for an answer and is none. */
function endOf(bytes: Buffer): string {
  const { status, body, isWhole } = parseRaw(bytes);
  const text = body.toString();
  if (status !== 200) {
    return status >= 500 && text.includes('"error"') && isWhole ? "error" : `status ${status}`;
  }
  if (text.endsWith(DONE) && isWhole) return "whole";
  if (text.includes("[DONE]")) return `something after the end: ${text.slice(-200)}`;
  if (!isWhole || /data: \{"error":\{"message":"[^"]+[^\n]*\n\n$/.test(text)) return "error";
  return `a clean end without an end mark: ${text.slice(-200)}`;
}

function count(ends: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const end of ends) counts[end] = (counts[end] ?? 0) + 1;
  return counts;
}

/** Serves on the port of the upstream that was killed. */
async function rebirth(script: Script): Promise<ScriptedUpstream> {
  const { port } = proxy.upstream;
  return await waitFor(() => {
    try {
      return scriptedUpstream(script, { port });
    } catch {
      return null; // the port is not free yet
    }
  }, "the upstream's port to be free again");
}

const wholeAnswer: Script = () => [
  act.send(sseHead()),
  act.send(chunk(EVENT + EVENT + DONE)),
  act.send(LAST_CHUNK),
];

test(`an upstream killed under ${STREAMS} streams: each client has a whole answer or an error`, async () => {
  proxy = await proxied({ set: { "ops.log": "off" } });
  const end = gate();
  // Every fifth answer is whole already, every fifth is silent so far, and the rest are in the middle.
  proxy.play(({ index }) => {
    if (index % 5 === 0) return wholeAnswer({} as never);
    if (index % 5 === 1) return [act.stall];
    return [
      act.send(sseHead()),
      act.send(chunk(EVENT)),
      act.send(index % 5 === 2 ? `40\r\ndata: {"choices":[{"index"` : chunk(EVENT)),
      act.wait(end.opened),
    ];
  });
  const clients = await openAll();
  await waitFor(() => proxy.upstream.requests.length === STREAMS, "all requests at the upstream");
  await waitFor(
    () =>
      clients.filter((client) => client.text().includes(EVENT.slice(0, 8))).length >=
        STREAMS * 4 / 5,
    "every talking stream to have begun",
  );
  proxy.upstream.close();
  const ends = count((await Promise.all(clients.map((client) => client.closed))).map(endOf));
  expect(ends).toEqual({ whole: STREAMS / 5, error: STREAMS * 4 / 5 });
  await waitFor(async () => (await proxy.weir.health())["streams_open"] === 0);

  reborn = await rebirth(wholeAnswer);
  const again = await openAll();
  const endsAgain = count((await Promise.all(again.map((client) => client.closed))).map(endOf));
  expect(endsAgain).toEqual({ whole: STREAMS });
});

test(`an upstream killed and restarted again and again while ${STREAMS} clients ask`, async () => {
  proxy = await proxied({ set: { "ops.log": "off", "llm.retries": 2 } });
  let killed = 0;
  const script: Script = ({ index }) => [
    act.send(sseHead()),
    act.send(chunk(EVENT)),
    ...(index % 3 === 0 ? [act.reset] : index % 3 === 1 ? [act.end] : []),
    act.send(chunk(DONE)),
    act.send(LAST_CHUNK),
  ];
  proxy.play(script);
  const ends: string[] = [];
  for (let i = 0; i < STREAMS; i += 50) {
    const some = await Promise.all(
      Array.from({ length: 50 }, () => connect(proxy.weir.port, rawChat(CHAT, FIELDS))),
    );
    if (i % 100 === 50) {
      (reborn ?? proxy.upstream).close();
      killed++;
      reborn = await rebirth(script);
    }
    ends.push(...(await Promise.all(some.map((client) => client.closed))).map(endOf));
  }
  const { whole = 0, error = 0, ...others } = count(ends);
  expect(killed).toBe(5);
  expect(others).toEqual({});
  expect([whole > 0, error > 0, whole + error]).toEqual([true, true, STREAMS]);
  await waitFor(async () => (await proxy.weir.health())["streams_open"] === 0);
});
