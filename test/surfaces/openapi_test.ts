import { afterAll, describe, expect, test } from "bun:test";
import { z } from "zod";
import { type App, makeApp } from "../../src/app.ts";
import { loneDesk } from "../../src/cli/desk.ts";
import { loadConfig } from "../../src/config/config.ts";
import { parseChatRequest } from "../../src/dialects/openai_chat/request.ts";
import { openapiDocument, type Route } from "../../src/surfaces/route.ts";
import { listen, urlOf } from "../lib/http1/listen.ts";
import { STREAMING_SURFACES } from "../server/streaming_surfaces.ts";

/** Where the clock of the apps stands, ahead of the real one. */
let aheadMs = 0;

function app(secret: string): App {
  const env = secret === "" ? {} : { WEIR_AUTH_SECRET_KEY: secret };
  const loaded = loadConfig({ env: { WEIR_OPS_LOG: "off", ...env }, dotenv: {}, flags: [] });
  if (loaded.kind === "bad") throw new Error(loaded.problems.join("\n"));
  return makeApp(loaded.config, {
    version: "0.0.0",
    openaiSdkVersion: "0.0.0",
    clock: () => performance.now() + aheadMs,
    wallMs: Date.now,
    random: Math.random,
    randomBytes: () => {},
    process: {
      pid: 1,
      startedMs: 0,
      residentBytes: () => 0,
      cpuMs: () => 0,
      build: () => ({}),
      hostName: "",
      isLogTerminal: false,
      isLogColoured: false,
      writeLog: (_text, done) => done(),
    },
    caOf: () => "",
    tapeFolder() {
      throw new Error("there are no tapes");
    },
    tokens: secret === "" ? [] : [{ name: "test", token: secret }],
    keys: [],
    systemPrompt: "",
    folder: "/nowhere",
    desk: loneDesk(loaded.config),
    uuid: () => "",
  });
}

const open = app("");
const locked = app("a-secret-of-this-test");
afterAll(async () => {
  await open.close();
  await locked.close();
});

/** The table. */
const ROUTES = open.routes;

function nameOf({ method, path }: Pick<Route, "method" | "path">): string {
  return `${method.toUpperCase()} ${path}`;
}

/** A request for `route`, with its own examples. */
function requestFor({ method, path, parameters = [], body }: Route): Request {
  const example = (name: string) => parameters.find((one) => one.name === name)?.example ?? "x";
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => example(name));
  const headers = parameters.filter((one) => one.in === "header" && one.example !== undefined)
    .map(({ name, example }): [string, string] => [name, example!]);
  const type = body?.type ?? "application/json";
  return new Request(`http://weir${filled}`, {
    method: method.toUpperCase(),
    headers: body === undefined ? headers : [...headers, ["content-type", type]],
    ...(body === undefined ? {} : { body: JSON.stringify(body.example) }),
  });
}

/** The status that `route` answers with, without a token. */
async function statusOf({ engine, onRequest, onBadRequest }: App, route: Route): Promise<number> {
  const server = listen(onRequest, { onBadRequest });
  const { pathname, search } = new URL(requestFor(route).url);
  let isHere = false;
  const asked = fetch(new Request(`${urlOf(server)}${pathname}${search}`, requestFor(route)))
    .finally(() => {
      isHere = true;
    });
  // What begins late begins now.
  while (!isHere) {
    aheadMs += 1000;
    engine.wheel.turn();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const response = await asked;
  await response.body?.cancel();
  await server.stop(true);
  return response.status;
}

describe("App.routes", () => {
  test("lists nothing twice", () => {
    const names = ROUTES.map(nameOf);
    expect(names.length).toBeGreaterThan(30);
    expect(new Set(names).size).toBe(names.length);
  });

  for (const route of ROUTES) {
    const { path, body, parameters = [], auth, isStreaming } = route;
    const name = nameOf(route);

    if (body !== undefined) {
      test(`${name}: the example is a body that the surface takes`, () => {
        if (body.schema instanceof z.ZodType) {
          expect(body.schema.safeParse(body.example).error?.issues).toBeUndefined();
        } else if (path.endsWith("/chat") || path.endsWith("/chat/completions")) {
          expect(() => parseChatRequest(body.example, "live")).not.toThrow();
        } else {
          expect(z.fromJSONSchema(body.schema as never).safeParse(body.example).error?.issues)
            .toBeUndefined();
        }
      });
    }

    test(`${name}: every {name} of the path is a parameter`, () => {
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
      expect(parameters.filter((one) => one.in === "path").map(({ name }) => name)).toEqual(names);
    });

    const refusal = auth === "none" ? [] : [auth === "token" ? 403 : 401];
    test(`${name}: ${auth === "none" ? "lets everybody in" : `answers ${refusal} to nobody`}`, async () => {
      const status = await statusOf(locked, route);
      expect([401, 403].filter((one) => one === status)).toEqual(refusal);
    });

    test(`${name}: lets everybody in where there is no token to show`, async () => {
      // Without a file there is nothing to remember turns in.
      if (/^\/(memory|conv|v1\/response)/.test(path)) return;
      expect([401, 403]).not.toContain(await statusOf(open, route));
    });

    if (isStreaming) {
      test(`${name}: is one of the URLs of streaming_surfaces.ts`, () => {
        // The workflow API lies beneath /api, and wherever a workflow file wants it.
        const names = STREAMING_SURFACES.map(({ path }) => path);
        expect(names).toContain(path === "/workflows/runs" ? `/api${path}` : path);
      });
    }
  }

  for (const { path } of STREAMING_SURFACES) {
    test(`says that POST ${path} streams`, () => {
      const row = ROUTES.find((route) => route.path === path && route.method === "post");
      expect(row?.isStreaming).toBe(true);
    });
  }
});

describe("openapiDocument()", () => {
  const document = openapiDocument(ROUTES, "1.2.3") as {
    readonly openapi: string;
    readonly info: { readonly version: string };
    readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  };
  interface Operation {
    readonly operationId: string;
    readonly tags: readonly string[];
    readonly requestBody?: {
      readonly content: Readonly<Record<string, { readonly schema: Record<string, unknown> }>>;
    };
  }
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path));

  test("is 3.1 and has every route once, each with an id of its own", () => {
    expect(document.openapi).toBe("3.1.0");
    expect(document.info.version).toBe("1.2.3");
    expect(operations).toHaveLength(ROUTES.length);
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(ROUTES.length);
  });

  test("shows the schema that checks: zod's for /api/chat", () => {
    const { schema } = document.paths["/api/chat"]!["post"]!.requestBody!
      .content["application/json"]!;
    expect(schema).toMatchObject({
      type: "object",
      required: ["messages"],
      properties: { temperature: { anyOf: [{ type: "number", minimum: 0, maximum: 2 }, {}] } },
    });
  });

  test("shows the schema that checks: the table's for /v1/chat/completions", () => {
    const { schema } = document.paths["/v1/chat/completions"]!["post"]!.requestBody!
      .content["application/json"]!;
    expect(schema["required"]).toEqual(["model", "messages"]);
    const { n, stop } = schema["properties"] as Record<string, unknown>;
    expect(n).toEqual({ anyOf: [{ type: "integer", minimum: 1, maximum: 128 }, { type: "null" }] });
    expect(JSON.stringify(stop)).toContain('"maxItems":4');
  });

  test("is JSON without anything that JSON cannot hold", () => {
    expect(JSON.parse(JSON.stringify(document))).toEqual(document as unknown as object);
  });
});
