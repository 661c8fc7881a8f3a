/**
 * A session that is deleted while it is answered does not come back with the answer's end.
 *
 * @module
 */

import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import {
  type Cleanups,
  countingUpstream,
  SHARINGS,
  startShared,
  stopPostgres,
} from "./shared_memory.ts";

const cleanups: Cleanups = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
afterAll(stopPostgres);

async function memoryCall(weir: Weir, method: string, name: string): Promise<unknown> {
  const response = await fetch(`${weir.url}/memory/${name}`, {
    method,
    body: JSON.stringify({ session_id: "s" }),
  });
  return await response.json();
}

async function kept(weir: Weir): Promise<string[]> {
  const { data } = await memoryCall(weir, "POST", "messages") as {
    data: { messages: { content: string }[] };
  };
  return data.messages.map(({ content }) => content);
}

/** Begins a stream; gives what reads it to its end. */
async function begin(weir: Weir, more: object = {}, headers: Record<string, string> = {}) {
  const response = await fetch(`${weir.url}/v1/response`, {
    method: "POST",
    headers,
    body: JSON.stringify({ query: "q", session_id: "s", ...more }),
  });
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = decoder.decode((await reader.read()).value, { stream: true });
  return async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text;
      text += decoder.decode(value, { stream: true });
    }
  };
}

for (const sharing of SHARINGS) {
  describe(`a session that is deleted while it is answered, at ${sharing.name},`, () => {
    for (const headers of [{}, { "idempotency-key": "k" }]) {
      test(`stays deleted, and the client is told (${JSON.stringify(headers)})`, async () => {
        const upstream = countingUpstream(cleanups);
        const { first, last } = await startShared(sharing, upstream, cleanups);
        const whole = await begin(first);
        expect(await whole()).toEndWith("data: [DONE]\n\n");
        await waitFor(async () => (await kept(last)).length === 2);
        upstream.say(1);
        const rest = await begin(first, { first_message: "I am 👋" }, headers);
        await memoryCall(last, "DELETE", "delete");
        upstream.say(3);
        const text = await rest();
        // A node with an outbox of its own hears of it when the turn arrives.
        const isTold = !sharing.name.includes("Postgres") || "idempotency-key" in headers;
        if (isTold) {
          expect(text).toMatch(/The session was deleted while this was answered[^\n]*\n\n$/);
          expect(text).not.toContain("[DONE]");
        }
        expect(await kept(last)).toEqual([]);
        const next = await begin(last);
        expect(await next()).toEndWith("data: [DONE]\n\n");
        await waitFor(async () => (await kept(first)).length === 2);
        expect(await kept(first)).toEqual(["q", "answer 3 水👋"]);
      }, TEST_MS_MAX);
    }
  });
}
