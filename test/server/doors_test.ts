import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { launch, type LaunchOptions, rawExchange, TEST_MS_MAX, type Weir } from "./launch.ts";
import { startRig } from "./http1_rig.ts";
import { connect, parseRaw, type Target } from "./raw_client.ts";
import { tellUpstream } from "./told_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

/** Rows by what keeps them while no token does. Every row of the table is in one of these. */
const ROWS = {
  /** Guarded as soon as there is no token. */
  state: [
    ["POST", "/v1/response", { query: "x", session_id: "s1", stream: false }],
    ["POST", "/memory/apply", { session_id: "s1", query: "x" }],
    ["POST", "/memory/upload", { session_id: "s1", messages: [] }],
    ["POST", "/memory/messages", { session_id: "s1" }],
    ["POST", "/memory/query", { session_id: "s1" }],
    ["DELETE", "/memory/delete", { session_id: "s1" }],
    ["GET", "/conv"],
    ["POST", "/conv", { content: "x" }],
    ["PATCH", "/conv", {}],
    ["PUT", "/conv", {}],
    ["DELETE", "/conv", {}],
    ["POST", "/api/workflows/runs", { input: { prompt: "x" } }],
    ["GET", "/api/workflows"],
    ["GET", "/api/workflows/x/schema"],
    ["GET", "/api/tasks/x"],
    ["POST", "/workflows/runs", { input: { prompt: "x" } }],
    ["GET", "/workflows"],
    ["GET", "/workflows/x/schema"],
    ["GET", "/tasks/x"],
    ["GET", "/v1/chat/completions"],
    ["GET", "/v1/chat/completions/x"],
    ["POST", "/v1/chat/completions/x", { metadata: {} }],
    ["DELETE", "/v1/chat/completions/x"],
    ["GET", "/v1/chat/completions/x/messages"],
    ["GET", "/v1/responses/x"],
    ["DELETE", "/v1/responses/x"],
    ["POST", "/v1/responses/x/cancel", {}],
    ["GET", "/v1/responses/x/input_items"],
    ["POST", "/v1/conversations", {}],
    ["GET", "/v1/conversations/x"],
    ["POST", "/v1/conversations/x", { metadata: {} }],
    ["DELETE", "/v1/conversations/x"],
    ["GET", "/v1/conversations/x/items"],
    ["POST", "/v1/conversations/x/items", { items: [] }],
    ["GET", "/v1/conversations/x/items/x"],
    ["DELETE", "/v1/conversations/x/items/x"],
  ],
  /** Guarded with a token, too. */
  admin: [
    ["GET", "/__weir/fixtures"],
    ["POST", "/__weir/fixtures", { fixtures: [] }],
    ["PUT", "/__weir/fixtures/x", { response: { content: "x" } }],
    ["DELETE", "/__weir/fixtures/x"],
    ["POST", "/__weir/reset", { counters: true }],
    ["GET", "/__weir/limits"],
    ["PUT", "/__weir/limits", { state: "ok" }],
    ["DELETE", "/__weir/limits"],
    ["POST", "/__weir/next", { response: "pass" }],
    ["GET", "/__weir/requests"],
    ["DELETE", "/__weir/requests"],
    ["POST", "/__weir/verify", { times: 0 }],
    ["GET", "/__weir/verdict"],
    ["GET", "/__weir/usage"],
  ],
  /** Guarded as soon as weir has a key of its own besides. */
  model: [
    ["POST", "/v1/chat/completions", { model: "m", messages: [{ role: "user", content: "x" }] }],
    ["POST", "/v1/completions", { model: "m", prompt: "x" }],
    ["POST", "/v1/messages", {
      model: "m",
      max_tokens: 9,
      messages: [{ role: "user", content: "x" }],
    }],
    ["POST", "/v1/messages/count_tokens", {
      model: "m",
      messages: [{ role: "user", content: "x" }],
    }],
    ["POST", "/v1/responses", { model: "m", input: "x" }],
    ["POST", "/v1/responses/input_tokens", { model: "m", input: "x" }],
    ["POST", "/v1/responses/compact", { model: "m", input: "x" }],
    ["POST", "/v1/embeddings", { model: "m", input: "x" }],
    ["POST", "/v1/moderations", { model: "m", input: "x" }],
    ["GET", "/v1/models"],
    ["GET", "/v1/models/gpt-4o"],
    ["DELETE", "/v1/models/ft:gpt-4o:a::b"],
    ["POST", "/api/chat", { messages: [{ role: "user", content: "x" }] }],
    ["POST", "/chat", { model: "m", messages: [{ role: "user", content: "x" }] }],
  ],
  /** Never guarded. */
  nothing: [
    ["GET", "/token"],
    ["POST", "/token"],
    ["GET", "/event"],
    ["POST", "/event"],
    ["GET", "/health"],
    ["GET", "/metrics"],
    ["GET", "/"],
    ["GET", "/ui/x.js"],
    ["GET", "/openapi.json"],
    ["GET", "/docs"],
    ["GET", "/docs/start.js"],
    ["GET", "/redoc"],
    ["GET", "/api/health"],
  ],
} as const satisfies Record<string, readonly (readonly [string, string, object?])[]>;

type Row = readonly [method: string, path: string, body?: object];
type Holds = keyof typeof ROWS;

const EVIL = "https://evil.example";

/** Who asks → the fields that say so, and whether they are let in where a row is guarded. */
const ASKERS: readonly (readonly [string, readonly string[], boolean])[] = [
  ["a client that is no browser", [], true],
  ["a page of this host", ["Host: weir:8080", "Origin: http://weir:8080"], true],
  ["a page of this host, on another port", ["Host: 10.0.0.5", "Origin: https://10.0.0.5:99"], true],
  ["a page of an IPv6 host", ["Host: [2001:db8::1]:8080", "Origin: http://[2001:db8::1]"], true],
  ["a page on this machine", ["Origin: http://127.0.0.1:3000"], true],
  ["a page on localhost", ["Origin: http://localhost:3000"], true],
  ["a page below localhost", ["Origin: https://app.localhost"], true],
  ["a page on ::1", ["Origin: http://[::1]:5173"], true],
  ["a page that is listed", ["Origin: https://app.example"], true],
  ["a page that is listed with its port", ["Origin: https://port.example"], true],
  ["a host that is listed", ["Host: weir.example"], true],
  ["a host that is listed, with a port", ["Host: WEIR.example.:8080"], true],
  ["a host below one that is listed", ["Host: a.b.sites.example"], true],
  ["a name below localhost", ["Host: a.localhost:8080"], true],
  ["a link of another site", ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"], true],
  ["a script of this site", ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"], true],
  ["a foreign page", [`Origin: ${EVIL}`], false],
  ["a foreign page that sends text", [`Origin: ${EVIL}`, "Content-Type: text/plain"], false],
  ["a page without an origin", ["Origin: null"], false],
  ["an origin that is none", ["Origin: evil"], false],
  ["an origin that hides another", ["Host: weir", "Origin: https://weir@evil.example"], false],
  [
    "an origin that begins like this host",
    ["Host: weir", "Origin: https://weir.example.org"],
    false,
  ],
  ["an origin that begins like this machine", ["Origin: http://127.0.0.1.evil.example"], false],
  ["an origin that ends like a listed one", ["Origin: https://evilapp.example"], false],
  ["an app's own scheme", ["Origin: app://localhost"], false],
  ["a listed page by another scheme", ["Origin: http://app.example"], false],
  ["a rebound host", ["Host: evil.example"], false],
  ["a rebound host of its own page", [
    "Host: evil.example:8080",
    "Origin: http://evil.example:8080",
  ], false],
  ["a rebound host and a local page", ["Host: evil.example", "Origin: http://localhost:1"], false],
  ["a host that begins like an address", ["Host: 127.0.0.1.evil.example"], false],
  ["a host that only ends like a listed one", ["Host: evilsites.example"], false],
  ["the name that others are below", ["Host: sites.example"], false],
  ["an image of a foreign page", ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"], false],
];

const SETTINGS = {
  "server.hosts": '[weir.example, "*.sites.example"]',
  "server.origins": '[https://app.example, "https://port.example:443"]',
  "llm.retries": 0,
};

async function ask(target: Target, [method, path, body]: Row, fields: readonly string[]) {
  const text = body === undefined ? "" : JSON.stringify(body);
  const own = fields.map((field) => field.slice(0, field.indexOf(":")).toLowerCase());
  const head = [
    `${method} ${path} HTTP/1.1`,
    ...(own.includes("host") ? [] : ["Host: 127.0.0.1"]),
    ...(own.includes("content-type") || text === "" ? [] : ["Content-Type: application/json"]),
    "Connection: close",
    "Chat-Type: conversation",
    `Content-Length: ${Buffer.byteLength(text)}`,
    ...fields,
  ];
  return parseRaw(await (await connect(target, [...head, "", text].join("\r\n"))).closed);
}

function fieldOf(head: string, name: string): string | undefined {
  return new RegExp(`^${name}: (.*?)\r?$`, "im").exec(head)?.[1];
}

const chunks = tellUpstream(({ path }) =>
  path.includes("models")
    ? Response.json({ object: "list", data: [] }, {
      headers: { "access-control-allow-origin": "*" },
    })
    : new Response('data: {"choices":[{"index":0,"delta":{"content":"水"}}]}\n\ndata: [DONE]\n\n', {
      headers: { "content-type": "text/event-stream", "access-control-allow-origin": "*" },
    })
);
afterAll(() => chunks.stop());

const OWN_KEY = { "llm.base_url": `${chunks.url}/v1`, "llm.api_key": "sk-own" };

/** Weirs → which rows are guarded there. */
const WEIRS: readonly (readonly [string, NonNullable<LaunchOptions["set"]>, readonly Holds[]])[] = [
  ["a bare mock", {}, ["admin", "state"]],
  ["a proxy for its clients' keys", { "llm.base_url": `${chunks.url}/v1` }, ["admin", "state"]],
  ["a proxy with a key of its own", OWN_KEY, ["admin", "state", "model"]],
  ["a proxy with a key in its headers", {
    "llm.base_url": `${chunks.url}/v1`,
    "llm.headers": "{Api-Key: own}",
  }, ["admin", "state", "model"]],
  ["a weir with a token", { ...OWN_KEY, "auth.token": "t" }, ["admin"]],
];

for (const [name, set, guarded] of WEIRS) {
  describe(name, () => {
    let weir: Weir;
    beforeAll(async () => {
      weir = await launch({ set: { ...SETTINGS, ...set } });
    });
    afterAll(() => weir.stop());
    const token = "auth.token" in set ? ["Authorization: Bearer t"] : [];

    for (const holds of Object.keys(ROWS) as Holds[]) {
      const isGuarded = guarded.includes(holds);
      for (const row of ROWS[holds] as readonly Row[]) {
        const [method, path] = row;
        test(`${method} ${path} is ${isGuarded ? "kept from foreign pages" : "open"}`, async () => {
          for (const [asker, fields, isOwn] of ASKERS) {
            const { status, head, body } = await ask(weir.port, row, [...fields, ...token]);
            const allowed = fieldOf(head, "access-control-allow-origin");
            const isRefused = isGuarded && !isOwn;
            expect([asker, status === 403], `${head}${body}`).toEqual([asker, isRefused]);
            if (!isGuarded) {
              expect([asker, allowed]).toEqual([asker, allowed === undefined ? undefined : "*"]);
              continue;
            }
            const origin = fields.find((field) => field.startsWith("Origin: "))?.slice(8);
            expect([asker, allowed]).toEqual([asker, isOwn ? origin : undefined]);
            expect(head).toMatch(/^vary: origin\r?$/im);
            if (isRefused) {
              expect(`${head}${body}`).toMatch(/server\.(hosts|origins)|fetch it instead/);
              const hasWay = /or set auth\.(token|secret_key)/.test(`${head}${body}`);
              expect(hasWay).toBe(holds !== "admin");
            }
          }
        });

        test(`a preflight of ${method} ${path} is answered alike`, async () => {
          for (const [asker, fields, isOwn] of ASKERS) {
            const { status, head } = await ask(weir.port, ["OPTIONS", path], [
              ...fields,
              `Access-Control-Request-Method: ${method}`,
              "Access-Control-Request-Headers: content-type",
            ]);
            const allowed = fieldOf(head, "access-control-allow-origin");
            const origin = fields.find((field) => field.startsWith("Origin: "))?.slice(8);
            if (!isGuarded) expect([asker, status, allowed]).toEqual([asker, 204, "*"]);
            else if (isOwn) expect([asker, status, allowed]).toEqual([asker, 204, origin]);
            else expect([asker, status, allowed]).toEqual([asker, 403, undefined]);
          }
        });
      }
    }
  });
}

describe("a weir with keys", () => {
  /** Rows that a key with limits opens besides those of `model`: all but these of them are understood. */
  const UNDERSTOOD: readonly string[] = ["POST /v1/response", "GET /__weir/usage"];
  const NOT_UNDERSTOOD: readonly string[] = [
    "POST /v1/responses/input_tokens",
    "POST /v1/responses/compact",
    "DELETE /v1/models/ft:gpt-4o:a::b",
  ];
  /** Those for which any key but an admin's is the wrong one, beside those of `admin`. */
  const FOR_ADMINS: readonly string[] = ["GET /metrics"];
  /** Of `admin`, but told to each key of itself. */
  const FOR_ALL: readonly string[] = ["GET /__weir/usage"];
  const KEYS = [
    { name: "limited", token: "limited-key", concurrent_max: 100 },
    { name: "free", token: "free-key" },
    { name: "admin", token: "admin-key", admin: true, concurrent_max: 100 },
  ];
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({ set: { ...SETTINGS, keys: JSON.stringify(KEYS) } });
  });
  afterAll(() => weir.stop());

  for (const holds of Object.keys(ROWS) as Holds[]) {
    for (const row of ROWS[holds] as readonly Row[]) {
      const place = `${row[0]} ${row[1]}`;
      const isAdmins = (holds === "admin" && !FOR_ALL.includes(place)) ||
        FOR_ADMINS.includes(place);
      const isOpen = holds === "nothing" && !isAdmins;
      const isLimited = isOpen || UNDERSTOOD.includes(place) ||
        (holds === "model" && !NOT_UNDERSTOOD.includes(place));
      const opens: Readonly<Record<string, boolean>> = {
        "limited-key": isLimited,
        "free-key": !isAdmins,
        "admin-key": isAdmins || isLimited,
        "root": false,
        "": false,
      };
      test(`${place} is opened by ${Object.keys(opens).filter((key) => opens[key] || isOpen)}`, async () => {
        for (const [key, isLetIn] of Object.entries(opens)) {
          const fields = key === "" ? [] : [`Authorization: Bearer ${key}`];
          const { status, head, body } = await ask(weir.port, row, fields);
          const isOf = status === 403 &&
            /(?:limited|free|admin) (?:is no admin|has models)/.test(`${head}${body}`);
          expect([key, isOf]).toEqual([key, key.endsWith("-key") && !isLetIn]);
          if (isOf) continue;
          if (isOpen || isLetIn) expect([key, [401].includes(status)]).toEqual([key, false]);
          else expect([key, [401, 403].includes(status)]).toEqual([key, true]);
        }
      });
    }
  }
});

describe("what is turned away", () => {
  const TURN = { session_id: "s", messages: [{ role: "user", content: "poison 水" }] };

  test("has done nothing: no memory is changed, no upstream is asked", async () => {
    const before = chunks.requests.length;
    const weir = await launch({ set: { ...SETTINGS, ...OWN_KEY } });
    for (
      const fields of [[`Origin: ${EVIL}`, "Content-Type: text/plain"], ["Host: evil.example"]]
    ) {
      await ask(weir.port, ["POST", "/memory/upload", TURN], fields);
      for (const row of [...ROWS.model, ROWS.state[0]]) await ask(weir.port, row, fields);
    }
    const { body } = await ask(weir.port, ["POST", "/memory/messages", { session_id: "s" }], []);
    expect(body.toString()).not.toContain("poison");
    expect(chunks.requests.length).toBe(before);
    await weir.stop();
  });

  test("is refused before a large body has come", async () => {
    const weir = await launch({ set: OWN_KEY });
    const answer = await rawExchange(
      weir.port,
      `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nOrigin: ${EVIL}\r\n` +
        "Content-Type: text/plain\r\nContent-Length: 10000000\r\nConnection: close\r\n\r\n{",
    );
    expect(answer).toStartWith("HTTP/1.1 403 ");
    await weir.stop();
  });

  test("may come in where every host and origin is listed", async () => {
    const weir = await launch({ set: { "server.hosts": '["*"]', "server.origins": '["*"]' } });
    for (const [asker, fields] of [...ASKERS, ["no host", ["Host:"]] as const]) {
      const { status } = await ask(weir.port, ROWS.state[0], fields);
      expect([asker, status]).toEqual([asker, 200]);
    }
    await weir.stop();
  });

  test("comes in without a Host, as no browser does", async () => {
    const weir = await launch();
    const answer = await rawExchange(weir.port, "GET /api/workflows HTTP/1.0\r\n\r\n");
    expect(answer).toStartWith("HTTP/1.1 200 ");
    await weir.stop();
  });

  test("is other at /chat and /conv once auth.secret_key is set", async () => {
    const weir = await launch({ set: { ...OWN_KEY, "auth.secret_key": "s3" } });
    const fields = [`Origin: ${EVIL}`, "Authorization: s3"];
    const open = await ask(weir.port, ["POST", "/conv", { content: "x" }], fields);
    expect([open.status, fieldOf(open.head, "access-control-allow-origin")]).toEqual([200, "*"]);
    expect((await ask(weir.port, ["GET", "/v1/models"], fields)).status).toBe(403);
    await weir.stop();
  });

  test("is the same on a socket file, where nginx says the host", async () => {
    const { target, stop } = await startRig("unix", SETTINGS);
    for (const [asker, fields, isOwn] of ASKERS) {
      const { status } = await ask(target, ROWS.state[0], fields);
      expect([asker, status]).toEqual([asker, isOwn ? 200 : 403]);
    }
    await stop();
  });
});

test("the tables above have every row", async () => {
  const weir = await launch();
  const { paths } = await (await fetch(`${weir.url}/openapi.json`)).json() as {
    readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  };
  const known = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)
  );
  const here = (Object.values(ROWS).flat() as readonly Row[]).map(([method, path]) => {
    const open = Object.hasOwn(paths, path)
      ? path
      : Object.keys(paths).find((one) =>
        new RegExp(`^${one.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(path)
      );
    return `${method} ${open}`;
  });
  expect(here.sort()).toEqual(known.sort());
  await weir.stop();
});
