import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { launch, type LaunchOptions, rawPost, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { CAN_MEASURE, processSize } from "./process_size.ts";
import { connect, exchange, rawChat, type RawClient } from "./raw_client.ts";

setDefaultTimeout(TEST_MS_MAX);

const MIB = 1024 * 1024;
const running: Weir[] = [];
const clients: RawClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.leave();
  for (const weir of running.splice(0)) await weir.stop();
});

async function start(options: LaunchOptions): Promise<Weir> {
  const weir = await launch(options);
  running.push(weir);
  return weir;
}

/** Sends `request` on `count` connections that read nothing of the answer. */
async function neglect(weir: Weir, count: number, request: string | Uint8Array): Promise<void> {
  await Promise.all(Array.from({ length: count }, async () => {
    clients.push(await connect(weir.port, request, false));
  }));
}

const open = async (weir: Weir) => Number((await weir.health())["streams_open"]);

/** As long as a config may be, and one word: 3 MB. */
const REPLY = "€".repeat(1_000_000);
const CHAT = '{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}';

describe("answers that nobody reads", () => {
  test("count as open until they are cut, and hold no more than server.unread_max_bytes", async () => {
    const weir = await start({
      set: {
        "server.write_timeout_ms": 5000,
        "server.unread_max_bytes": 48 * MIB,
        "ops.log": "requests",
      },
      files: { "config.yaml": `mock:\n  reply: ${REPLY}\n` },
    });
    const before = CAN_MEASURE ? processSize(weir.pid) : undefined;
    // The kernel takes some megabytes of what nobody reads: one after the other, they are more.
    await neglect(weir, 60, Buffer.concat(Array.from({ length: 8 }, () => rawChat(CHAT))));
    await waitFor(() => open(weir), "an answer that is not taken to count as open");
    await waitFor(
      () => /"server.unread_max_bytes"|unread_full/.test(weir.output() + weir.errors()),
      "some to be cut for want of room",
    );
    await waitFor(async () => await open(weir) === 0, "all of them to be cut");
    if (before === undefined) return;
    await waitFor(() => processSize(weir.pid).fdCount <= before.fdCount, "them to be closed");
  });

  test("of a large session are pages, and health answers meanwhile", async () => {
    const weir = await start({ set: { "ops.log": "off" } });
    const text = "水🌊".repeat(150_000); // 1 MB
    const upload = (messages: unknown) =>
      exchange(weir.port, rawPost("/memory/upload", { session_id: "s", messages }));
    for (let i = 0; i < 6; i++) {
      const messages = Array.from({ length: 10 }, (_, k) => ({
        role: k % 2 === 0 ? "user" : "assistant",
        content: `${i}.${k} ${text}`,
      }));
      expect((await upload(messages)).status).toBe(200);
    }
    await neglect(weir, 40, rawPost("/memory/messages", { session_id: "s" }));
    await waitFor(() => open(weir), "pages that nobody reads");
    expect((await weir.health())["status"]).toBe("ok");
    // 40 pages of 4 MiB, and not 40 sessions of 60: with room for what the collector leaves lying.
    if (CAN_MEASURE) expect(processSize(weir.pid).residentBytes).toBeLessThan(1200 * MIB);

    const seen: string[] = [];
    let before = "";
    do {
      const { body } = await exchange(
        weir.port,
        rawPost("/memory/messages", { session_id: "s", before }),
      );
      expect(body.length).toBeLessThan(5 * MIB);
      const { data } = JSON.parse(body.toString());
      seen.unshift(
        ...data.messages.map(({ content }: { content: string }) => content.slice(0, 3)),
      );
      expect(data.has_more).toBe(data.next !== "");
      before = data.next;
    } while (before !== "");
    expect(seen).toEqual(
      Array.from({ length: 60 }, (_, i) => `${Math.floor(i / 10)}.${i % 10}`),
    );
  });
});

describe("/memory/messages and /memory/query", () => {
  const ROWS: readonly (readonly [field: string, value: unknown, wants: string])[] = [
    ["limit", 0, "limit must be a whole number from 1 to 1000"],
    ["limit", 1001, "limit must be a whole number from 1 to 1000"],
    ["limit", 1.5, "limit must be a whole number from 1 to 1000"],
    ["limit", "5", "limit must be a whole number from 1 to 1000"],
    ["before", "x", "before must be data.next of the page that came last"],
    ["before", "-1", "before must be data.next of the page that came last"],
    ["before", "9".repeat(16), "before must be data.next of the page that came last"],
    ["before", {}, "before must be data.next of the page that came last"],
  ];
  test("refuse what is no page, and show a page of turns", async () => {
    const weir = await start({});
    const ask = async (path: string, fields: Readonly<Record<string, unknown>>) => {
      const request = rawPost(path, { session_id: "s", ...fields });
      return JSON.parse((await exchange(weir.port, request)).body.toString());
    };
    const messages = ["q1", "a1", "q2", "a2"].map((content, i) => ({
      role: i % 2 === 0 ? "user" : "assistant",
      content,
    }));
    await ask("/memory/upload", { messages });
    for (const [path, key] of [["messages", "messages"], ["query", "session_messages"]] as const) {
      for (const [field, value, wants] of ROWS) {
        const { code, msg } = await ask(`/memory/${path}`, { [field]: value });
        expect([code, msg]).toEqual([-1, `参数解析错误: ${wants}`]);
      }
      const texts = (data: Record<string, { content: string }[]>) =>
        data[key]!.map(({ content }) => content);
      const { data: all } = await ask(`/memory/${path}`, {});
      expect([texts(all), all.has_more, all.next]).toEqual([["q1", "a1", "q2", "a2"], false, ""]);
      const { data: newest } = await ask(`/memory/${path}`, { limit: 1 });
      expect([texts(newest), newest.has_more]).toEqual([["q2", "a2"], true]);
      const { data: older } = await ask(`/memory/${path}`, { limit: 1, before: newest.next });
      expect([texts(older), older.has_more]).toEqual([["q1", "a1"], false]);
    }
  });
});
