/**
 * What a client is shown with `[DONE]` under an `Idempotency-Key` is what is kept, whichever process
 * answers, and whatever is killed.
 *
 * @module
 */

import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import {
  type Cleanups,
  countingUpstream,
  SHARINGS,
  startBefore,
  startShared,
  stopPostgres,
} from "./shared_memory.ts";

const DONE = "data: [DONE]\n\n";

const cleanups: Cleanups = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

afterAll(stopPostgres);

function request(query: string, more: object = {}, signal?: AbortSignal): RequestInit {
  return {
    method: "POST",
    headers: { "idempotency-key": "k" },
    body: JSON.stringify({ query, session_id: "s", ...more }),
    // A connection of its own: each may reach another worker.
    keepalive: false,
    ...(signal === undefined ? {} : { signal }),
  };
}

async function ask(weir: Weir, query = "q", more: object = {}): Promise<string> {
  return await (await fetch(`${weir.url}/v1/response`, request(query, more))).text();
}

/** Asks, and leaves once `word` has come. */
async function leaveAfter(weir: Weir, word: string): Promise<void> {
  const leaving = new AbortController();
  const response = await fetch(`${weir.url}/v1/response`, request("q", {}, leaving.signal));
  const decoder = new TextDecoder();
  let seen = "";
  for await (const chunk of response.body!) {
    seen += decoder.decode(chunk, { stream: true });
    if (seen.includes(word)) break;
  }
  leaving.abort();
}

/** The text of a stream or of a JSON answer; it must be whole. */
function shown(text: string): string {
  if (text.startsWith("{")) return (JSON.parse(text) as { data: { content: string } }).data.content;
  expect(text).toEndWith(DONE);
  return [...text.matchAll(/"content":"([^"]*)"/g)].map(([, content]) => content).join("");
}

async function kept(weir: Weir): Promise<string[]> {
  const response = await fetch(`${weir.url}/memory/messages`, {
    method: "POST",
    body: JSON.stringify({ session_id: "s" }),
  });
  const { data } = await response.json() as { data: { messages: { content: string }[] } };
  return data.messages.map(({ content }) => content);
}

for (const sharing of SHARINGS) {
  describe(`the same Idempotency-Key at ${sharing.name}`, () => {
    async function setUp() {
      const upstream = countingUpstream(cleanups);
      return { upstream, ...await startShared(sharing, upstream, cleanups) };
    }

    test("is one answer for whoever asks while it is given", async () => {
      const { upstream, first, last } = await setUp();
      upstream.say(1);
      await leaveAfter(first, "answer ");
      const asked = Array.from(
        { length: 8 },
        (_, i) => ask(i % 2 === 0 ? last : first, "q", i % 3 === 0 ? { stream: false } : {}),
      );
      // None of them may be answered before the first answer is whole.
      expect(await Promise.race([...asked, Bun.sleep(300)])).toBeUndefined();
      upstream.say(3);
      for (const text of await Promise.all(asked)) expect(shown(text)).toBe("answer 1 水👋");
      expect(upstream.count).toBe(1);
      await waitFor(async () => (await kept(last)).length === 2);
      expect(await kept(last)).toEqual(["q", "answer 1 水👋"]);
    }, TEST_MS_MAX);

    test("is refused for another query", async () => {
      const { upstream, first, last } = await setUp();
      await ask(first);
      expect(await ask(last, "another")).toContain("was used with another query");
      expect(upstream.count).toBe(1);
    }, TEST_MS_MAX);

    if (!sharing.areTwo) return;
    test("goes on when the one who answered was killed", async () => {
      const { upstream, first, last } = await setUp();
      upstream.say(1);
      await leaveAfter(first, "answer ");
      const asked = ask(last);
      first.kill("SIGKILL");
      await first.exited;
      upstream.say(3);
      // The claim of the dead one runs out by itself.
      expect(shown(await asked)).toBe("answer 2 水👋");
      await waitFor(async () => (await kept(last)).length === 2);
      expect(await kept(last)).toEqual(["q", "answer 2 水👋"]);
    }, TEST_MS_MAX);
  });
}

describe("an answer that is kept in part, with on_disconnect: cancel,", () => {
  for (const more of [{}, { stream: false }]) {
    for (const workers of [1, 2]) {
      test(
        `is asked again and replaced (${JSON.stringify(more)}, ${workers} workers)`,
        async () => {
          const upstream = countingUpstream(cleanups);
          const set = { "response.on_disconnect": "cancel", "server.workers": workers };
          const weir = await startBefore(upstream, set, cleanups);
          upstream.say(1);
          await leaveAfter(weir, "answer ");
          await waitFor(async () => (await kept(weir)).length === 2);
          expect(await kept(weir)).toEqual(["q", "answer "]);
          upstream.say(3);
          for (let i = 0; i < 4; i++) {
            expect(shown(await ask(weir, "q", more))).toBe("answer 2 水👋");
            expect(await kept(weir)).toEqual(["q", "answer 2 水👋"]);
          }
          expect(upstream.count).toBe(2);
        },
        TEST_MS_MAX,
      );
    }
  }
});
