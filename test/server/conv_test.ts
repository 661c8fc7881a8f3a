import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { launch, waitFor, type Weir } from "./launch.ts";
import { tellUpstream, type ToldUpstream } from "./told_upstream.ts";

const SECRET = "s3cret";
/** A page of this machine, which may ask. */
const PAGE = "http://localhost:3000";
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

interface Asked {
  readonly method?: string;
  readonly query?: string;
  readonly body?: unknown;
  readonly authorization?: string;
}

function conv(weir: Weir, type: string | undefined, asked: Asked = {}): Promise<Response> {
  const { method = asked.body === undefined ? "GET" : "POST", query = "", body } = asked;
  return fetch(`${weir.url}/conv${query}`, {
    method,
    headers: {
      "accept": "text/event-stream",
      "origin": PAGE,
      ...(type === undefined ? {} : { "chat-type": type }),
      ...(asked.authorization === undefined ? {} : { authorization: asked.authorization }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
}

interface Event {
  readonly conversation_id: string;
  readonly message: {
    readonly id: string;
    readonly content: { readonly parts: readonly string[] };
    readonly status: string;
  };
}

function eventsOf(stream: string): Event[] {
  return stream.split("\n\n").filter((event) =>
    event.startsWith("data: ") && event !== "data: [DONE]"
  ).map((event) => JSON.parse(event.slice("data: ".length)) as Event);
}

// deno-lint-ignore no-explicit-any -- answers are compared, not used
const json = async (response: Response) => await response.json() as any;

describe("/conv without an upstream", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({ set: { "mock.reply": "一 two 🌊", "memory.url": "sqlite://talks.db" } });
  });
  afterAll(() => weir.stop());

  test("the manual's three steps work on an empty machine, and go on", async () => {
    const list = await json(await conv(weir, "conversations", { query: "?offset=0&limit=1" }));
    expect(list).toMatchObject({
      total: 1,
      limit: 1,
      offset: 0,
      has_missing_conversations: false,
      index: 0,
      multi: false,
    });
    const conversationId = list.items[0].id as string;
    const shown = await json(await conv(weir, `conversation/${conversationId}`));
    expect(Object.keys(shown)).toEqual(["current_node", "title", "update_time"]);
    expect(typeof shown.update_time).toBe("number");

    let parentId = shown.current_node as string;
    for (const content of ['first "question"\nwith a line', "second"]) {
      const response = await conv(weir, "conversation", {
        body: { content, parent_message_id: parentId, conversation_id: conversationId },
      });
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toStartWith("text/event-stream");
      const text = await response.text();
      expect(text).toEndWith("data: [DONE]\n\n");
      const events = eventsOf(text);
      expect(events.map(({ message }) => message.content.parts[0])).toEqual([
        "一 ",
        "一 two ",
        "一 two 🌊",
        "一 two 🌊",
      ]);
      expect(new Set(events.map(({ conversation_id }) => conversation_id)))
        .toEqual(new Set([conversationId]));
      expect(new Set(events.map(({ message }) => message.id)).size).toBe(1);
      expect(events.at(-1)!.message.status).toBe("finished_successfully");
      expect(events[0]!.message.id).toMatch(UUID);
      expect(events[0]!.message.id).not.toBe(parentId);
      parentId = events[0]!.message.id;
      const now = await json(await conv(weir, `conversation/${conversationId}`));
      expect(now).toMatchObject({ current_node: parentId, title: 'first "question"' });
    }
  });

  test("a message without ids begins a conversation, which is then the first of the list", async () => {
    const events = eventsOf(
      await (await conv(weir, "conversation", { body: { content: "x" } })).text(),
    );
    const list = await json(await conv(weir, "conversations"));
    expect(list.items[0].id).toBe(events[0]!.conversation_id);
    expect(list.limit).toBe(5);
  });

  const KNOWN = "00000000-0000-0000-0000-000000000000";
  /** name, Chat-Type, what is asked → status, and the keys of a body that is not empty. */
  const bad: readonly (readonly [string, string | undefined, Asked, number, string?])[] = [
    ["no Chat-Type", undefined, {}, 400],
    ["an empty Chat-Type", "", {}, 400],
    ["a path that climbs", "../secrets", {}, 400],
    ["a path that climbs inside", "conversation/../../x", {}, 400],
    ["a Chat-Type with a query", "conversation/1?x=1", {}, 400],
    ["a whole URL", "http://other.example/", {}, 400],
    ["an unknown Chat-Type", "accounts/check", {}, 404, "detail"],
    ["an unknown conversation", `conversation/${KNOWN}`, {}, 404, "detail"],
    ["PATCH", "conversations", { method: "PATCH", body: {} }, 405, "detail"],
    ["GET of a message", "conversation", {}, 405, "detail"],
    ["a limit of 0", "conversations", { query: "?limit=0" }, 400, "detail"],
    ["a limit of 1e9", "conversations", { query: "?limit=1000000000" }, 400, "detail"],
    ["a limit of words", "conversations", { query: "?limit=ten" }, 400, "detail"],
    ["no JSON", "conversation", { body: "no json" }, 400, "detail"],
    ["no content", "conversation", { body: {} }, 400, "detail"],
    ["empty content", "conversation", { body: { content: "" } }, 400, "detail"],
    ["content of numbers", "conversation", { body: { content: 7 } }, 400, "detail"],
    [
      "content of parts",
      "conversation",
      { body: { content: [{ type: "text", text: "x" }] } },
      400,
      "detail",
    ],
    ["a list", "conversation", { body: [] }, 400, "detail"],
    [
      "an unknown conversation to answer in",
      "conversation",
      { body: { content: "x", conversation_id: KNOWN, parent_message_id: KNOWN } },
      404,
      "detail",
    ],
  ];
  for (const [name, type, asked, status, key] of bad) {
    test(`${name} is ${status}`, async () => {
      const response = await conv(weir, type, asked);
      expect(response.status).toBe(status);
      expect(response.headers.get("access-control-allow-origin")).toBe(PAGE);
      const text = await response.text();
      if (key === undefined) expect(text).toBe("");
      else expect(Object.keys(JSON.parse(text))).toEqual([key]);
    });
  }

  test("a parent of another conversation is not found", async () => {
    const [one] = eventsOf(
      await (await conv(weir, "conversation", { body: { content: "a" } })).text(),
    );
    const [two] = eventsOf(
      await (await conv(weir, "conversation", { body: { content: "b" } })).text(),
    );
    const body = {
      content: "c",
      conversation_id: one!.conversation_id,
      parent_message_id: two!.message.id,
    };
    expect((await conv(weir, "conversation", { body })).status).toBe(404);
  });

  test("conversations are there again after a restart, when the memory is a file", async () => {
    const [event] = eventsOf(
      await (await conv(weir, "conversation", { body: { content: "kept" } })).text(),
    );
    const again = await launch({ set: { "memory.url": `sqlite://${weir.folder}/talks.db` } });
    try {
      const shown = await json(await conv(again, `conversation/${event!.conversation_id}`));
      expect(shown).toMatchObject({ title: "kept", current_node: event!.message.id });
    } finally {
      await again.stop();
    }
  });
});

describe("/conv with tokens", () => {
  test("nobody sees the conversations of somebody else", async () => {
    const weir = await launch({ set: { "auth.secret_key": SECRET } });
    try {
      const tokens = await Promise.all(["1", "2"].map(async (id) => {
        const answer = await fetch(`${weir.url}/token?id=${id}&hour=1&key=${SECRET}`);
        return (await json(answer)).token as string;
      }));
      const [mine, yours] = tokens as [string, string];
      expect((await conv(weir, "conversations")).status).toBe(403);
      const list = await json(await conv(weir, "conversations", { authorization: mine }));
      const { id } = list.items[0];
      expect((await conv(weir, `conversation/${id}`, { authorization: mine })).status).toBe(200);
      expect((await conv(weir, `conversation/${id}`, { authorization: yours })).status).toBe(404);
      const theirs = await json(await conv(weir, "conversations", { authorization: yours }));
      expect(theirs.items[0].id).not.toBe(id);
    } finally {
      await weir.stop();
    }
  });
});

describe("/conv, one answer at a time", () => {
  test("a conversation that is being answered is 409; it is free again afterwards", async () => {
    const weir = await launch({ set: { "mock.delay_ms": 600_000 } });
    try {
      const list = await json(await conv(weir, "conversations"));
      const conversation_id = list.items[0].id as string;
      const shown = await json(await conv(weir, `conversation/${conversation_id}`));
      const body = { content: "x", conversation_id, parent_message_id: shown.current_node };
      const leaving = new AbortController();
      const first = await fetch(`${weir.url}/conv`, {
        method: "POST",
        headers: { "chat-type": "conversation" },
        body: JSON.stringify(body),
        signal: leaving.signal,
      });
      expect(first.status).toBe(200);
      const second = await conv(weir, "conversation", { body });
      expect(second.status).toBe(409);
      expect(await second.text()).toBe("");
      // Another conversation is not in the way.
      const other = await conv(weir, "conversation", { body: { content: "y" } });
      expect(other.status).toBe(200);
      await other.body!.cancel();
      leaving.abort();
      await waitFor(async () => {
        const again = await conv(weir, "conversation", { body });
        await again.body?.cancel();
        return again.status === 200;
      }, "the conversation is free again");
    } finally {
      await weir.stop();
    }
  });
});

describe("/conv without an upstream, answered by the one of llm.*", () => {
  test("the model sees what was said before, and a break keeps what it said", async () => {
    const upstream = tellUpstream();
    const weir = await launch({ set: { "llm.base_url": `${upstream.url}/v1`, "llm.retries": 0 } });
    try {
      const asked = conv(weir, "conversation", { body: { content: "一" } });
      const told = await upstream.told(0);
      told.say("one");
      told.say(" and");
      told.finish();
      const [event] = eventsOf(await (await asked).text());
      const next = conv(weir, "conversation", {
        body: {
          content: "二",
          conversation_id: event!.conversation_id,
          parent_message_id: event!.message.id,
        },
      });
      const toldNext = await upstream.told(1);
      expect(JSON.parse(upstream.requests[1]!.body)).toMatchObject({
        model: "gpt-3.5-turbo",
        messages: [
          { role: "user", content: "一" },
          { role: "assistant", content: "one and" },
          { role: "user", content: "二" },
        ],
      });
      toldNext.say("half");
      const response = await next;
      toldNext.break();
      const text = await response.text();
      expect(text).toContain('"message":null,"error":"');
      expect(text).not.toContain("[DONE]");
      const shown = await json(await conv(weir, `conversation/${event!.conversation_id}`));
      expect(shown.current_node).toBe(eventsOf(text)[0]!.message.id);
    } finally {
      await weir.stop();
      upstream.stop();
    }
  });
});

describe("/conv with an upstream of its own", () => {
  const LIST = { items: [{ id: "c1", title: "t" }], total: 1, limit: 5, offset: 0 };
  const ONE = { current_node: "n1", title: "标题", update_time: 1.5, mapping: { a: 1 } };
  let upstream: ToldUpstream;
  let weir: Weir;
  beforeAll(async () => {
    upstream = tellUpstream(({ method, path }) => {
      if (method === "POST") return undefined;
      if (method === "PATCH") return Response.json({ success: true });
      if (path.startsWith("/api/conversations?")) return Response.json(LIST);
      if (path === "/api/conversation/c1") return Response.json(ONE);
      if (path === "/api/conversation/text") return new Response("no json");
      return Response.json({ detail: "Not Found" }, { status: 404 });
    });
    weir = await launch({
      env: {
        UNOFFICIAL_PROXY: `${upstream.url}/api`,
        ACCESS_TOKEN: "Bearer the-access-token",
        SECRET_KEY: SECRET,
      },
    });
  });
  afterAll(async () => {
    await weir.stop();
    upstream.stop();
  });
  const asOwner = (asked: Asked = {}): Asked => ({ ...asked, authorization: SECRET });
  const lastSeen = () => upstream.requests.at(-1)!;

  test("a list has index and multi, and a limit of 5 when nobody gives one", async () => {
    const list = await json(await conv(weir, "conversations", asOwner({ query: "?offset=0" })));
    expect(list).toEqual({ ...LIST, index: 0, multi: false });
    expect(lastSeen().path).toBe("/api/conversations?offset=0&limit=5");
    expect(lastSeen().headers.get("authorization")).toBe("Bearer the-access-token");
    await conv(weir, "conversations", asOwner({ query: "?limit=1" }));
    expect(lastSeen().path).toBe("/api/conversations?limit=1");
    await conv(weir, "conversations", asOwner());
    expect(lastSeen().path).toBe("/api/conversations?limit=5");
  });

  test("a conversation is reduced to its three facts", async () => {
    const shown = await json(await conv(weir, "conversation/c1", asOwner()));
    expect(shown).toEqual({ current_node: "n1", title: "标题", update_time: 1.5 });
  });

  test("what is no JSON, and what is no 200, comes as it is", async () => {
    expect(await (await conv(weir, "conversation/text", asOwner())).text()).toBe("no json");
    const missing = await conv(weir, "conversation/none", asOwner());
    expect(missing.status).toBe(404);
    expect(await json(missing)).toEqual({ detail: "Not Found" });
  });

  test("other methods pass", async () => {
    const body = { title: "x" };
    const changed = await conv(weir, "conversation/c1", asOwner({ method: "PATCH", body }));
    expect(await json(changed)).toEqual({ success: true });
    expect(lastSeen()).toMatchObject({ method: "PATCH", body: JSON.stringify(body) });
  });

  test("a message becomes real JSON, and the events come back untouched, the first one too", async () => {
    const content = 'a "quoted"\nline \\ and 🌊';
    const index = upstream.requests.length;
    const asked = conv(
      weir,
      "conversation",
      asOwner({
        body: { content, parent_message_id: "n1", conversation_id: "c1" },
      }),
    );
    const told = await upstream.told(index);
    const seen = upstream.requests[index]!;
    expect(seen.path).toBe("/api/conversation");
    const sent = JSON.parse(seen.body);
    expect(sent.messages[0].id).toMatch(UUID);
    delete sent.messages[0].id;
    expect(sent).toEqual({
      action: "next",
      messages: [{
        author: { role: "user" },
        role: "user",
        content: { content_type: "text", parts: [content] },
      }],
      parent_message_id: "n1",
      model: "text-davinci-002-render-sha",
      conversation_id: "c1",
    });
    // While it is on its way, the same conversation is busy.
    const busy = await conv(
      weir,
      "conversation",
      asOwner({
        body: { content: "x", parent_message_id: "n1", conversation_id: "c1" },
      }),
    );
    expect(busy.status).toBe(409);
    told.raw('data: {"message":{"id":"m1"}}\n\n');
    told.finish();
    const text = await (await asked).text();
    expect(text).toContain('data: {"message":{"id":"m1"}}\n\n');
    expect(text).toEndWith("data: [DONE]\n\n");
    expect(text.split("\n\n")[0]).toContain('"role":"assistant"');
    const next = upstream.requests.length;
    const again = conv(
      weir,
      "conversation",
      asOwner({
        body: { content: "x", parent_message_id: "n1", conversation_id: "c1" },
      }),
    );
    (await upstream.told(next)).finish();
    expect((await again).status).toBe(200);
  });

  test("a message without ids sends a new parent and no conversation", async () => {
    const index = upstream.requests.length;
    const asked = conv(
      weir,
      "conversation",
      asOwner({ body: { content: "x", conversation_id: "" } }),
    );
    const told = await upstream.told(index);
    const sent = JSON.parse(upstream.requests[index]!.body);
    expect(sent.parent_message_id).toMatch(UUID);
    expect(sent).not.toHaveProperty("conversation_id");
    told.finish();
    await (await asked).text();
  });

  test("a client that leaves frees its conversation, and stops the upstream", async () => {
    const index = upstream.requests.length;
    const body = { content: "x", parent_message_id: "n1", conversation_id: "c9" };
    const asked = conv(weir, "conversation", asOwner({ body }));
    const told = await upstream.told(index);
    await (await asked).body!.cancel();
    await waitFor(told.isLeft, "the upstream hears that the client left");
    const next = upstream.requests.length;
    const again = conv(weir, "conversation", asOwner({ body }));
    (await upstream.told(next)).finish();
    expect((await again).status).toBe(200);
  });

  test("an upstream that is not there is 502 without a body", async () => {
    const gone = await launch({
      set: { "conv.unofficial_proxy": "127.0.0.1:1", "llm.retries": 0 },
    });
    try {
      for (const type of ["conversations", "conversation/c1"]) {
        const response = await conv(gone, type);
        expect(response.status).toBe(502);
        expect(await response.text()).toBe("");
        expect(response.headers.get("weir-error")).toContain("Check conv.unofficial_proxy and");
      }
      const posted = await conv(gone, "conversation", { body: { content: "x" } });
      expect(posted.status).toBe(502);
      expect(posted.headers.get("weir-error")).toContain("Check conv.unofficial_proxy and");
      expect(gone.output()).toContain("proxy: /conv is answered by http://127.0.0.1:1");
    } finally {
      await gone.stop();
    }
  });
});
