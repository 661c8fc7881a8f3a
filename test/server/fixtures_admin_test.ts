import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import {
  launch,
  type LaunchOptions,
  makeFolder,
  TEST_MS_MAX,
  waitFor,
  type Weir,
} from "./launch.ts";
import { childrenOf, isRunning } from "./processes.ts";

setDefaultTimeout(TEST_MS_MAX);

const running: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0)) await stop();
});

/** A weir with `workers` processes, and a place for temporary files of its own: `tmp`. */
async function start(
  workers: number,
  options: LaunchOptions = {},
): Promise<Weir & { readonly tmp: string }> {
  const tmp = makeFolder();
  const weir = await launch({
    ...options,
    set: { "server.workers": workers, ...options.set },
    env: { TMPDIR: tmp },
  });
  running.push(async () => {
    const children = childrenOf(weir.pid);
    await weir.stop();
    for (const pid of children) if (isRunning(pid)) process.kill(pid, "SIGKILL");
    rmSync(tmp, { recursive: true, force: true });
  });
  await waitFor(() => workers === 1 || weir.output().includes(`workers: ${workers}`));
  return { ...weir, tmp };
}

interface Asked {
  readonly method?: string;
  readonly body?: unknown;
  readonly session?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Each on a connection of its own, so that any worker may get it. */
async function call(weir: Weir, path: string, { method, body, session, headers }: Asked = {}) {
  const response = await fetch(`${weir.url}${path}`, {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers: {
      connection: "close",
      ...(session === undefined ? {} : { "x-weir-session": session }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  // deno-lint-ignore no-explicit-any
  const json = text.startsWith("{") ? JSON.parse(text) as any : undefined;
  return { status: response.status, json, text };
}

/** What weir answers to `text`. */
async function said(weir: Weir, text: string, asked: Asked = {}): Promise<string> {
  const body = { model: "gpt-4o", messages: [{ role: "user", content: text }] };
  const { json } = await call(weir, "/v1/chat/completions", { ...asked, body });
  return json.choices?.[0].message.content ?? json.error.message;
}

const fixture = (content: string, userMessage = "hi") => ({
  match: { userMessage },
  response: { content },
});

function times<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

for (const count of [1, 2]) {
  describe(`server.workers: ${count}`, () => {
    test("sessions have fixtures, counters and requests of their own, side by side", async () => {
      const weir = await start(count);
      const sessions = times(6, (i) => `s${i}`);
      const answers = await Promise.all(sessions.map(async (session) => {
        const sequence = times(30, (i) => ({ content: `${session} says ${i}` }));
        const fixtures = [{ match: { userMessage: "hi" }, sequence }];
        const added = await call(weir, "/__weir/fixtures", { body: { fixtures }, session });
        expect(added.status).toBe(201);
        return await Promise.all(times(30, () => said(weir, "hi", { session })));
      }));
      for (const [i, session] of sessions.entries()) {
        const wanted = times(30, (n) => `${session} says ${n}`);
        expect(answers[i]!.toSorted()).toEqual(wanted.toSorted());
        const body = { times: 30, fixture: undefined };
        expect((await call(weir, "/__weir/verify", { body, session })).json).toMatchObject({
          verified: true,
          count: 30,
        });
        const { json } = await call(weir, "/__weir/requests?limit=1000", { session });
        expect(json.count).toBe(30);
        const workers = new Set(json.requests.map(({ id }: { id: string }) => id.split("-")[0]));
        expect(workers.size).toBe(count);
      }
      expect(await said(weir, "hi")).not.toContain("says");
    });

    test("what is given once is given exactly once, whoever is asked", async () => {
      const weir = await start(count);
      await Promise.all(
        times(
          40,
          (i) => call(weir, "/__weir/next", { body: { response: { content: `once ${i}` } } }),
        ),
      );
      const answers = await Promise.all(times(80, () => said(weir, "hi")));
      const once = answers.filter((answer) => answer.startsWith("once"));
      expect(once.toSorted()).toEqual(times(40, (i) => `once ${i}`).toSorted());
      await waitFor(async () => (await call(weir, "/__weir/fixtures")).json.fixtures.length === 0);
    });

    test("a write holds for all who ask after it is answered", async () => {
      const weir = await start(count);
      const all = async (wanted: string) => {
        const answers = await Promise.all(times(12, () => said(weir, "hi")));
        expect(new Set(answers)).toEqual(new Set([wanted]));
      };
      const usual = await said(weir, "hi");
      const add = (content: string, position: string) =>
        call(weir, "/__weir/fixtures", { body: { fixtures: [fixture(content)], position } });
      const { json: { ids: [first] } } = await add("a", "last");
      await all("a");
      const { json: { ids: [second] } } = await add("b", "first");
      await all("b");
      await call(weir, `/__weir/fixtures/${second}`, { method: "PUT", body: fixture("c") });
      await all("c");
      await call(weir, `/__weir/fixtures/${second}`, { method: "DELETE" });
      await all("a");
      const { json: { fixtures } } = await call(weir, "/__weir/fixtures");
      expect(fixtures).toMatchObject([{ id: first, from: "added", count: 24 }]);
      await call(weir, "/__weir/reset", { body: {} });
      await all(usual);
      expect((await call(weir, "/__weir/requests")).json.count).toBe(12);
    });

    test("shows all requests page by page, each once and in their order", async () => {
      const weir = await start(count);
      const bodies = times(23, (i) => `request ${i}`);
      for (const body of bodies) await said(weir, body, { headers: { connection: "close" } });
      const all = (await call(weir, "/__weir/requests")).json;
      expect([all.requests.length, all.next]).toEqual([23, null]);
      const ids: string[] = [];
      let before = "";
      for (let page = 0; page < 5; page++) {
        const { json } = await call(weir, `/__weir/requests?limit=5${before}`);
        expect(json.count).toBe(23);
        expect(json.requests.length).toBe(page < 4 ? 5 : 3);
        ids.unshift(...json.requests.map(({ id }: { id: string }) => id));
        expect(json.next === null).toBe(page === 4);
        before = `&before=${json.next}`;
      }
      expect(ids).toEqual(all.requests.map(({ id }: { id: string }) => id));
      for (const path of ["requests?before=yesterday", "verdict?before=1-0-1"]) {
        expect((await call(weir, `/__weir/${path}`)).status).toBe(path.startsWith("r") ? 400 : 409);
      }
    });

    test("waits for the n-th request that fits, and no longer than it may", async () => {
      const weir = await start(count);
      const waiting = call(weir, "/__weir/requests?model=gpt-4o&wait=5&timeout_ms=60000");
      for (let i = 0; i < 5; i++) await said(weir, "hi");
      expect((await waiting).json).toMatchObject({ count: 5, timed_out: false });
      const { json } = await call(weir, "/__weir/requests?wait=6&timeout_ms=50");
      expect(json).toMatchObject({ count: 5, timed_out: true });
      const removed = await call(weir, "/__weir/requests", { method: "DELETE" });
      expect(removed.json).toEqual({ removed: 5 });
      expect((await call(weir, "/__weir/requests")).json.count).toBe(0);
    });

    test("files are read again whole or not at all, and health tells of broken ones", async () => {
      const text = (content: string) => JSON.stringify({ fixtures: [fixture(content)] });
      const weir = await start(count, {
        files: { "a.json": text("first"), "config.yaml": "mock: { fixtures: [a.json] }" },
      });
      const write = (text: string) => {
        writeFileSync(join(weir.folder, "new"), text);
        renameSync(join(weir.folder, "new"), join(weir.folder, "a.json"));
      };
      const answers = async () => new Set(await Promise.all(times(8, () => said(weir, "hi"))));
      expect(await answers()).toEqual(new Set(["first"]));
      write(text("second"));
      await waitFor(() => weir.errors().includes("read again"));
      await waitFor(async () => (await answers()).has("second"));
      expect(await answers()).toEqual(new Set(["second"]));
      write('{"fixtures":[{"match":{"userMesage":"hi"},"response":{"content":"third"}}]}');
      const health = await waitFor(async () => {
        const health = await weir.health();
        return health["status"] === "degraded" && health;
      });
      expect(health["fixtures"]).toMatch(/^the old ones stay: a\.json:1:\d+ .*userMesage/);
      expect(weir.errors()).toMatch(/fixtures: the old ones stay.*1 problem:\n {2}a\.json:1:/);
      expect(await answers()).toEqual(new Set(["second"]));
      weir.kill("SIGHUP");
      await waitFor(() => /have taken over|as the config says now/.test(weir.errors()));
      expect(await answers()).toEqual(new Set(["second"]));
      expect((await weir.health())["status"]).toBe("degraded");
      // Files of others in the same folder change nothing.
      writeFileSync(join(weir.folder, "some.log"), "not a fixture");
      write(text("fourth"));
      await waitFor(async () => (await weir.health())["status"] === "ok");
      expect(await answers()).toEqual(new Set(["fourth"]));
    });
  });
}

describe("workers that come later", () => {
  test("have what the others have, and count on", async () => {
    const weir = await start(2);
    const sequence = times(100, (i) => ({ content: `n ${i}` }));
    await call(weir, "/__weir/fixtures", {
      body: { fixtures: [{ match: { userMessage: "hi" }, sequence }] },
    });
    const answers = await Promise.all(times(10, () => said(weir, "hi")));
    const [victim] = childrenOf(weir.pid);
    process.kill(victim!, "SIGKILL");
    // The one that is killed may have this question.
    const workers = async () => (await weir.health().catch(() => ({ workers: 0 })))["workers"];
    await waitFor(async () => !isRunning(victim!) && await workers() === 2);
    answers.push(...await Promise.all(times(20, () => said(weir, "hi"))));
    weir.kill("SIGHUP");
    await waitFor(() => weir.errors().includes("have taken over"), "the reload");
    answers.push(...await Promise.all(times(20, () => said(weir, "hi"))));
    expect(answers.toSorted()).toEqual(times(50, (i) => `n ${i}`).toSorted());
  });

  test("what they share is theirs alone, and goes with them", async () => {
    const folders = (tmp: string) =>
      readdirSync(tmp).filter((name) => name.startsWith("weir-shared-"))
        .map((name) => join(tmp, name));
    const weir = await start(2);
    const [mine, ...others] = folders(weir.tmp);
    expect([others, statSync(mine!).mode & 0o777]).toEqual([[], 0o700]);
    for (const file of readdirSync(mine!)) {
      expect(statSync(join(mine!, file)).mode & 0o777).toBe(0o600);
    }
    weir.kill("SIGTERM");
    expect(await weir.exited).toBe(0);
    expect(folders(weir.tmp)).toEqual([]);
    const other = await start(2);
    expect(folders(other.tmp).length).toBe(1);
    other.kill("SIGKILL");
    await waitFor(() => folders(other.tmp).length === 0, "the workers to remove it");
  });
});

describe("who may come in", () => {
  const PATHS: readonly (readonly [method: string, path: string])[] = [
    ["GET", "/__weir/fixtures"],
    ["POST", "/__weir/fixtures"],
    ["PUT", "/__weir/fixtures/a"],
    ["DELETE", "/__weir/fixtures/a"],
    ["POST", "/__weir/reset"],
    ["POST", "/__weir/next"],
    ["GET", "/__weir/requests"],
    ["DELETE", "/__weir/requests"],
    ["POST", "/__weir/verify"],
  ];
  /** The statuses of all paths. */
  const statuses = (weir: Weir, headers: Readonly<Record<string, string>>, url = weir.url) =>
    Promise.all(PATHS.map(async ([method, path]) => {
      const response = await fetch(`${url}${path}`, {
        method,
        headers,
        ...(method === "GET" ? {} : { body: "{}" }),
      });
      await response.text();
      return response.status;
    }));
  const all = (status: number) => PATHS.map(() => status);

  test("without a token: programs of this machine, no page of another site, nobody behind a proxy", async () => {
    const weir = await start(1, { set: { "server.host": "0.0.0.0" } });
    const url = `http://127.0.0.1:${weir.port}`;
    expect(await statuses(weir, {}, url)).not.toContain(403);
    for (
      const headers of [
        { origin: "http://evil.example" },
        { host: "evil.example" },
        { "x-forwarded-for": "127.0.0.1" },
        { forwarded: "for=127.0.0.1" },
        { via: "1.1 proxy" },
        { "x-real-ip": "127.0.0.1" },
      ]
    ) {
      expect([headers, await statuses(weir, headers, url)]).toEqual([headers, all(403)]);
    }
    const outside = Object.values(networkInterfaces()).flat()
      .find((one) => one?.family === "IPv4" && !one.internal);
    if (outside !== undefined) {
      expect(await statuses(weir, {}, `http://${outside.address}:${weir.port}`)).toEqual(all(403));
    }
  });

  test("with a token: whoever shows it", async () => {
    const weir = await start(1, { set: { "auth.token": "a-t0ken" } });
    expect(await statuses(weir, {})).toEqual(all(401));
    expect(await statuses(weir, { authorization: "Bearer wrong" })).toEqual(all(401));
    const right = { authorization: "Bearer a-t0ken", "x-forwarded-for": "1.2.3.4" };
    for (const status of await statuses(weir, right)) {
      expect([200, 400, 404, 417]).toContain(status);
    }
  });

  test("mock.admin: off: nobody", async () => {
    const weir = await start(1, { set: { "mock.admin": "off" } });
    expect(await statuses(weir, {})).toEqual(all(404));
  });
});

describe("ops.journal", () => {
  const verify = (weir: Weir, body: unknown) => call(weir, "/__weir/verify", { body });
  const BODY_MATCH = { match: { userMessage: "hello" }, times: 1 };

  test("off keeps nothing, and says so", async () => {
    const weir = await start(1, { set: { "ops.journal": "off" } });
    for (const { status, text } of [await call(weir, "/__weir/requests"), await verify(weir, {})]) {
      expect([status, text]).toEqual([409, expect.stringContaining("ops.journal")]);
    }
  });

  test("heads knows of heads, and asks for bodies where it does not", async () => {
    const weir = await start(1);
    await said(weir, "hello", { headers: { "x-test": "a" } });
    for (
      const { status, text } of [
        await verify(weir, BODY_MATCH),
        await verify(weir, { match: { not: { anyOf: [{ model: "a" }, { toolName: "t" }] } } }),
        await call(weir, `/__weir/requests?match=${encodeURIComponent('{"userMessage":"a"}')}`),
        await call(weir, `/__weir/requests?wait=1&match={"toolName":"t"}`),
      ]
    ) expect([status, text]).toEqual([409, expect.stringContaining("ops.journal: bodies")]);
    const match = { model: "gpt-4*", header: { "x-test": "a" } };
    expect((await verify(weir, { match, times: { max: 1 } })).status).toBe(200);
    const { status, json } = await verify(weir, { match: { ...match, model: "gpt-5" } });
    expect([status, json.nearest.length, json.nearest[0].reasons.length]).toEqual([417, 1, 1]);
  });

  test("verify says what it cannot know, and what means nothing", async () => {
    const weir = await start(1, { set: { "ops.journal_max": 2 } });
    for (const content of ["a", "b", "c"]) await said(weir, content);
    await call(weir, "/__weir/nothing");
    await call(weir, "/__weir/fixtures/x");
    const statuses: Record<string, number> = {};
    for (
      const times of [0, 1, 2, 3, 4, { min: 1 }, { min: 2, max: 9 }, { max: 2 }, { min: 3, max: 2 }]
    ) {
      statuses[JSON.stringify(times)] = (await verify(weir, { times })).status;
    }
    // Two are known, and one more may have been anything.
    expect(statuses).toEqual({
      "0": 417,
      "1": 417,
      "2": 409,
      "3": 409,
      "4": 417,
      '{"min":1}': 200,
      '{"min":2,"max":9}': 200,
      '{"max":2}': 409,
      '{"min":3,"max":2}': 400,
    });
    expect((await verify(weir, { times: 2 })).text).toContain("ops.journal_max");
    expect((await verify(weir, { match: { sequenceIndex: 0 } })).status).toBe(400);
    await call(weir, "/__weir/requests", { method: "DELETE" });
    expect((await verify(weir, { times: 0 })).status).toBe(200);
  });

  test("heads keeps nothing of bodies and keys, not even why a fixture was not given", async () => {
    const weir = await start(1);
    const [secret, prompt] = ["hidden-5ecret", "hidden pr0mpt"];
    const match = { userMessage: "b", header: { authorization: "Bearer other", "x-api-key": "k" } };
    await call(weir, "/__weir/fixtures", {
      body: { fixtures: [{ match, response: { content: "c" } }] },
    });
    const { status, text } = await call(weir, "/v1/chat/completions", {
      body: { model: "gpt-4o", messages: [{ role: "user", content: prompt }] },
      headers: { authorization: `Bearer ${secret}`, "x-api-key": secret, "x-weir-strict": "true" },
    });
    expect([status, text]).toEqual([404, expect.stringContaining(prompt)]);
    expect(text).not.toContain(secret);
    expect((await call(weir, "/__weir/requests")).text).not.toMatch(/hidden/);
  });

  test("bodies looks into them, and no secret is anywhere", async () => {
    const weir = await start(2, { set: { "ops.journal": "bodies" } });
    const secret = "hidden-5ecret";
    const headers = { authorization: `Bearer ${secret}`, "x-api-key": secret, cookie: secret };
    await said(weir, "hello there", { headers });
    await said(weir, "bye", { headers });
    await call(weir, "/v1/embeddings", { body: { model: "e", input: "hello vectors" } });
    await call(weir, "/v1/chat/completions", { body: { model: 1 } });
    expect((await verify(weir, BODY_MATCH)).json).toMatchObject({ verified: true, count: 1 });
    const vectors = { match: { inputText: "vectors", endpoint: "embedding" }, times: 1 };
    expect((await verify(weir, vectors)).json).toMatchObject({ verified: true });
    const match = encodeURIComponent('{"userMessage":"bye"}');
    const { json } = await call(weir, `/__weir/requests?match=${match}`);
    expect(json.requests.map(({ body }: { body: unknown }) => body)).toMatchObject([
      { messages: [{ content: "bye" }] },
    ]);
    const { text, json: { requests } } = await call(weir, "/__weir/requests");
    expect(text).not.toContain(secret);
    expect(requests.map(({ status }: { status: number }) => status)).toEqual([200, 200, 200, 400]);
  });

  test("tells what has matched, what was answered, and when each frame left", async () => {
    const weir = await start(1, { set: { "mock.delay_ms": 300 } });
    await call(weir, "/__weir/fixtures", {
      body: {
        fixtures: [
          { id: "two", ...fixture("one two three four") },
          { match: { userMessage: "no" }, response: { error: { message: "No" }, status: 429 } },
        ],
      },
    });
    const ask = (content: string) => ({
      model: "gpt-4o",
      stream: true,
      messages: [{ role: "user", content }],
    });
    const { text } = await call(weir, "/v1/chat/completions", { body: ask("hi") });
    await call(weir, "/v1/chat/completions", { body: ask("no") });
    await call(weir, "/v1/chat/completions", {
      body: ask("else"),
      headers: { "x-weir-strict": "true" },
    });
    await call(weir, "/nothing");
    const { json: { requests } } = await call(weir, "/__weir/requests");
    expect(requests).toMatchObject([
      { fixture: "two", status: 200, stream: true, outcome: "completed", error: null },
      { status: 429, outcome: "refused" },
      { fixture: null, status: 404 },
      { fixture: null, status: 404, path: "/nothing", outcome: "refused" },
    ]);
    const [{ frames, duration_ms }] = requests;
    // The last event leaves with the end mark.
    const count = text.match(/^data: /gm)!.length - 1;
    expect(frames.reduce((sum: number, [, count]: number[]) => sum + count!, 0)).toBe(count);
    const atMs = frames.map(([ms]: number[]) => ms);
    expect(atMs).toEqual(atMs.toSorted((a: number, b: number) => a - b));
    expect(atMs.at(-1)).toBeLessThanOrEqual(duration_ms);
    expect(frames.length).toBeGreaterThan(1);
  });
});

describe("wrong questions", () => {
  test("get an answer that says what is wrong", async () => {
    const weir = await start(1);
    const asked: readonly (readonly [path: string, asked: Asked, status: number, says: RegExp])[] =
      [
        ["/__weir/fixtures", { body: { fixtures: 1 } }, 400, /fixtures must be a list/],
        [
          "/__weir/fixtures",
          { body: { fixtures: [1] } },
          400,
          /fixtures must be a list of objects/,
        ],
        ["/__weir/fixtures", { body: { fixture: [] } }, 400, /is fixtures meant\?/],
        ["/__weir/fixtures", { body: { fixtures: [], position: "top" } }, 400, /first or last/],
        [
          "/__weir/fixtures",
          { body: { fixtures: [{ match: {}, response: { contnt: "a" } }] } },
          400,
          /contnt/,
        ],
        ["/__weir/fixtures/a", { method: "PUT", body: fixture("a") }, 404, /no fixture .*a/],
        ["/__weir/fixtures/a", { method: "DELETE" }, 404, /no fixture/],
        ["/__weir/next", { body: { match: {}, response: { content: "a" } } }, 400, /match/],
        ["/__weir/next", { body: {} }, 400, /response/],
        ["/__weir/reset", { body: { fixture: true } }, 400, /is fixtures meant\?/],
        ["/__weir/reset", { body: { fixtures: 1 } }, 400, /true or false/],
        ["/__weir/verify", { body: { times: -1 } }, 400, /times must be a whole number/],
        ["/__weir/verify", { body: { times: { least: 1 } } }, 400, /least/],
        ["/__weir/verify", { body: { match: { modl: "a" } } }, 400, /modl/],
        ["/__weir/requests?limit=0", {}, 400, /limit/],
        ["/__weir/requests?wait=x", {}, 400, /wait/],
        ["/__weir/requests?wait=1&timeout_ms=600000", {}, 400, /timeout_ms/],
        ["/__weir/requests?statuss=200", {}, 400, /is status meant\?/],
        ["/__weir/requests?since=yesterday", {}, 400, /since/],
        ["/__weir/requests?since=2026-02-30", {}, 400, /since/],
        ["/__weir/requests", { session: "a/b" }, 400, /x-weir-session/],
      ];
    for (const [path, how, status, says] of asked) {
      const answer = await call(weir, path, how);
      expect([path, how, answer.status, answer.text]).toEqual([
        path,
        how,
        status,
        expect.stringMatching(says),
      ]);
    }
    expect((await call(weir, "/__weir/fixtures")).json.fixtures).toEqual([]);
  });
});
