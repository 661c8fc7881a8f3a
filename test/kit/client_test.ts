import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { VerifyError, WeirClient, WeirError, WeirSession } from "../../kit/client.ts";

/** What was asked, as one line each; and what is answered next. */
const asked: string[] = [];
let next: { readonly status?: number; readonly body: unknown } = { body: {} };

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request) {
    const { pathname, search } = new URL(request.url);
    const shown = ["authorization", "x-weir-session"].flatMap((name) =>
      request.headers.has(name) ? [`${name}: ${request.headers.get(name)}`] : []
    );
    const body = await request.text();
    asked.push([request.method, pathname + decodeURIComponent(search), body, ...shown].join(" "));
    return Response.json(next.body, { status: next.status ?? 200 });
  },
});
afterAll(() => server.stop(true));
beforeEach(() => {
  asked.length = 0;
  next = { body: {} };
});

const url = `http://127.0.0.1:${server.port}`;
const weir = new WeirClient(`${url}/`);
const FIXTURE = { match: { userMessage: "Hi" }, response: { content: "Hello" } } as const;
const JSON_FIXTURE = JSON.stringify(FIXTURE);

describe("a client", () => {
  test("knows where clients of models are pointed to", () => {
    expect([weir.url, weir.baseURL, weir.headers]).toEqual([url, `${url}/v1`, {}]);
  });

  test("adds one fixture or several, and gives their ids", async () => {
    next = { body: { ids: ["fx_1"] }, status: 201 };
    expect(await weir.fixtures.add(FIXTURE)).toEqual(["fx_1"]);
    await weir.fixtures.add([FIXTURE, FIXTURE], { position: "first" });
    expect(asked).toEqual([
      `POST /__weir/fixtures {"fixtures":[${JSON_FIXTURE}],"position":"last"}`,
      `POST /__weir/fixtures {"fixtures":[${JSON_FIXTURE},${JSON_FIXTURE}],"position":"first"}`,
    ]);
  });

  test("lists, replaces and removes fixtures", async () => {
    const listed = [{ id: "fx_1", from: "added", fixture: FIXTURE }];
    next = { body: { fixtures: listed } };
    expect(await weir.fixtures.list()).toEqual(listed as never);
    await weir.fixtures.replace("a/b", FIXTURE);
    await weir.fixtures.remove("a/b");
    expect(asked).toEqual([
      "GET /__weir/fixtures ",
      `PUT /__weir/fixtures/a%2Fb ${JSON_FIXTURE}`,
      "DELETE /__weir/fixtures/a%2Fb ",
    ]);
  });

  test("gives the next request an answer, and forgets all", async () => {
    await weir.next({ content: "Once" }, { latency: 5 });
    await weir.reset();
    expect(asked).toEqual([
      'POST /__weir/next {"latency":5,"response":{"content":"Once"}}',
      "POST /__weir/reset {}",
    ]);
  });

  test("asks for requests by what is known of them", async () => {
    next = { body: { requests: [{ id: "0-1" }], count: 1 } };
    const filter = { match: { model: "a&b" }, matched: true, limit: 2 };
    expect(await weir.requests(filter)).toEqual([{ id: "0-1" }] as never);
    await weir.waitFor({ path: "/v1/models" }, { count: 2, timeoutMs: 50 });
    expect(asked).toEqual([
      'GET /__weir/requests?match={"model":"a&b"}&matched=true&limit=2 ',
      "GET /__weir/requests?path=/v1/models&wait=2&timeout_ms=50 ",
    ]);
  });

  test("asks for all requests page by page", async () => {
    const pages = [
      { requests: [{ id: "0-2" }, { id: "0-3" }], next: "7-0-2" },
      { requests: [{ id: "0-1" }], next: null },
    ];
    next = {
      get body() {
        return pages.shift();
      },
    };
    expect((await weir.allRequests({ model: "m" })).map(({ id }) => id))
      .toEqual(["0-1", "0-2", "0-3"]);
    expect(asked).toEqual([
      "GET /__weir/requests?model=m&limit=1000 ",
      "GET /__weir/requests?model=m&limit=1000&before=7-0-2 ",
    ]);
  });

  test("fails when what it waits for does not come", async () => {
    next = { body: { requests: [], count: 1, timed_out: true } };
    const waiting = weir.waitFor({ model: "gpt-4o" }, { count: 2, timeoutMs: 50 });
    await expect(waiting).rejects.toEqual(
      new WeirError('1 of 2 requests came within 50 ms that fit {"model":"gpt-4o"}', 408),
    );
  });

  test("verifies, and says what came instead", async () => {
    await weir.verify({ model: "gpt-4o" });
    await weir.verify({ model: "gpt-4o" }, { min: 0, max: 2 });
    expect(asked).toEqual([
      'POST /__weir/verify {"model":"gpt-4o"}',
      'POST /__weir/verify {"model":"gpt-4o","times":{"min":0,"max":2}}',
    ]);
    const request = { method: "POST", path: "/v1/responses", model: "gpt-5" };
    next = {
      status: 417,
      body: { count: 0, times: { min: 1, max: 1 }, nearest: [{ request, reasons: ["no model"] }] },
    };
    const failed = await weir.verify({ model: "gpt-4o" }, 1).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(VerifyError);
    expect((failed as VerifyError).message).toBe(
      '0 requests fit {"model":"gpt-4o"}, and 1 were expected. The nearest others:\n' +
        "  POST /v1/responses gpt-5: no model",
    );
  });

  test("says why weir has refused", async () => {
    next = { status: 400, body: { error: { message: "fixtures[0].mach: is match meant?" } } };
    await expect(weir.fixtures.add(FIXTURE)).rejects.toEqual(
      new WeirError("fixtures[0].mach: is match meant?", 400),
    );
    next = { status: 502, body: "?" };
    await expect(weir.reset()).rejects.toEqual(new WeirError("weir answered 502", 502));
  });
});

describe("a session", () => {
  const session = new WeirSession(url, "one", "sk-1");

  test("has a header of its own, and the token where weir itself is asked", async () => {
    expect(session.headers).toEqual({ "x-weir-session": "one" });
    await session.reset();
    expect(asked).toEqual(["POST /__weir/reset {} authorization: Bearer sk-1 x-weir-session: one"]);
  });

  test("has a fetch that says whose request it is", async () => {
    await session.fetch("/v1/models");
    await session.fetch(`${url}/v1/models`, { headers: { authorization: "Bearer sk-2" } });
    await session.fetch(new Request(url, { method: "POST", body: "x" }));
    await session.fetch(new URL(`${url}/health`));
    expect(asked).toEqual([
      "GET /v1/models  x-weir-session: one",
      "GET /v1/models  authorization: Bearer sk-2 x-weir-session: one",
      "POST / x x-weir-session: one",
      "GET /health  x-weir-session: one",
    ]);
  });
});
