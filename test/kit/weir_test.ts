/** The kit's client against a real weir. */

import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { startWeir, VerifyError, type Weir, WeirClient, WeirError } from "../../kit/testing.ts";
import { TEST_MS_MAX, weirCommand } from "../server/launch.ts";

setDefaultTimeout(TEST_MS_MAX);

let weir: Weir;
beforeAll(async () => {
  weir = await startWeir({ binary: weirCommand(), strict: true, token: "sk-1" });
});
afterAll(() => weir.stop());
beforeEach(() => weir.reset());

const fixture = (userMessage: string, content: string) => ({
  match: { userMessage },
  response: { content },
});

/** What is answered to `content`: its text, or the status of an error. */
async function asks(content: string, headers: Readonly<Record<string, string>> = {}) {
  const answer = await fetch(`${weir.baseURL}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer sk-1", ...headers },
    body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content }] }),
  });
  const { choices } = await answer.json() as {
    readonly choices?: readonly [{ readonly message: { readonly content: string } }];
  };
  return choices?.[0].message.content ?? answer.status;
}

describe("the kit", () => {
  test("adds, lists, replaces and removes fixtures", async () => {
    const ids = await weir.fixtures.add([fixture("Hi", "A"), fixture("Bye", "B")]);
    const [first] = await weir.fixtures.add(fixture("Hi", "C"), { position: "first" });
    expect(await Promise.all([asks("Hi"), asks("Bye")])).toEqual(["C", "B"]);
    expect(await weir.fixtures.list()).toMatchObject([
      { id: first, from: "added", fixture: fixture("Hi", "C") },
      { id: ids[0], from: "added" },
      { id: ids[1], from: "added" },
    ]);
    await weir.fixtures.replace(first!, fixture("Hi", "D"));
    expect(await asks("Hi")).toBe("D");
    await weir.fixtures.remove(first!);
    expect(await asks("Hi")).toBe("A");
    await weir.reset();
    expect(await asks("Hi")).toBe(404);
  });

  test("says what is wrong with a fixture, and with a token", async () => {
    const wrong = { match: { usrMessage: "Hi" }, response: { content: "A" } };
    await expect(weir.fixtures.add(wrong as never)).rejects.toThrow("userMessage");
    const stranger = new WeirClient(weir.url, { token: "sk-2" });
    const refused = await stranger.requests().catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(WeirError);
    expect((refused as WeirError).status).toBe(401);
  });

  test("gives answers once, in their order", async () => {
    await weir.fixtures.add(fixture("Hi", "always"));
    await weir.next({ content: "once" });
    await weir.next({ error: { message: "Slow down" }, status: 429 });
    expect([await asks("Hi"), await asks("Hi"), await asks("Hi")]).toEqual(["once", 429, "always"]);
  });

  test("tells what came, waits for it, and verifies it", async () => {
    const [id] = await weir.fixtures.add(fixture("Hi", "A"));
    const waiting = weir.waitFor({ match: { userMessage: "Hi" } }, { count: 2, timeoutMs: 60_000 });
    await asks("Hi");
    await asks("Hi there");
    await asks("Bye");
    expect(await waiting).toHaveLength(2);
    const requests = await weir.requests({ fixture: id! });
    expect(requests).toMatchObject([
      { method: "POST", path: "/v1/chat/completions", model: "gpt-4o", status: 200, fixture: id },
      { body: { messages: [{ content: "Hi there" }] } },
    ]);
    expect(JSON.stringify(requests)).not.toContain("sk-1");
    await weir.verify({ match: { userMessage: "Hi" } }, { min: 1, max: 2 });
    await weir.verify({ matched: false }, 1);
    const failed = await weir.verify({ match: { userMessage: "joke" } }).catch((error) => error);
    expect(failed).toBeInstanceOf(VerifyError);
    expect(failed.message).toStartWith(
      '0 requests fit {"match":{"userMessage":"joke"}}, and 1 or more were expected. The nearest',
    );
    await expect(weir.waitFor({ model: "gpt-5" }, { timeoutMs: 0 })).rejects.toThrow(
      '0 of 1 requests came within 0 ms that fit {"model":"gpt-5"}',
    );
  });

  test("has sessions that know nothing of each other", async () => {
    const [one, two] = [weir.session(), weir.session("two")];
    await one.fixtures.add(fixture("Hi", "one"));
    await two.fixtures.add(fixture("Hi", "two"));
    expect([await asks("Hi", one.headers), await asks("Hi", two.headers)]).toEqual(["one", "two"]);
    expect(await asks("Hi")).toBe(404);
    await one.verify({}, 1);
    await two.reset();
    expect([await asks("Hi", one.headers), await asks("Hi", two.headers)]).toEqual(["one", 404]);
  });
});
