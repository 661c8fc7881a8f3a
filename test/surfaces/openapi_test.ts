import { describe, expect, test } from "bun:test";
import { z } from "zod";
import { makeApp } from "../../src/app.ts";
import { loadConfig } from "../../src/config/config.ts";
import { parseChatRequest } from "../../src/dialects/openai_chat/request.ts";
import { openapiDocument } from "../../src/surfaces/openapi.ts";
import { openapiRoutes } from "../../src/surfaces/openapi_routes.ts";
import { WILDCARDS } from "../../src/surfaces/model_compose/routes.ts";

function mounted(): readonly { readonly method: string; readonly path: string }[] {
  const loaded = loadConfig({ env: {}, dotenv: {}, flags: [] });
  if (loaded.kind === "bad") throw new Error(loaded.problems.join("\n"));
  return makeApp(loaded.config, {
    version: "0.0.0",
    openaiSdkVersion: "0.0.0",
    clock: () => performance.now(),
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
    ca: "",
    tokens: [],
    systemPrompt: "",
    folder: "/nowhere",
    uuid: () => "",
  }).routes;
}

/** Hono's `/v1/models/:id{.+}` as OpenAPI has it. */
function openapiPath(path: string): string {
  return path.replaceAll(/:(\w+)(?:\{[^}]*\})?/g, "{$1}").replace(/\*$/, "{file}");
}

/** What a route serves: its path, or what lies below its wildcard. */
function served(method: string, path: string): readonly string[] {
  const wildcard = Object.keys(WILDCARDS).find((end) => method === "ALL" && path.endsWith(end));
  if (wildcard === undefined) return [`${method} ${openapiPath(path)}`];
  const base = path.slice(0, -wildcard.length);
  return WILDCARDS[wildcard]!.map((below) => `GET ${base}${below}`);
}

const MOUNTED = new Set(mounted().flatMap(({ method, path }) => served(method, path)));
/** Without a workflow file its API lies at the root, besides below /api. */
const ROUTES = openapiRoutes("");

const DESCRIBED = ROUTES.map(({ method, path }) => `${method.toUpperCase()} ${path}`);

describe("openapi_routes.ts", () => {
  for (const name of MOUNTED) {
    test(`describes ${name}: add a row for it`, () => expect(DESCRIBED).toContain(name));
  }

  test("describes nothing that is not mounted", () => {
    expect(DESCRIBED.filter((name) => !MOUNTED.has(name))).toEqual([]);
  });

  test("describes nothing twice", () => expect(new Set(DESCRIBED).size).toBe(DESCRIBED.length));

  for (const { method, path, body } of ROUTES) {
    if (body === undefined) continue;
    test(`${method} ${path}: the example is a body that the surface takes`, () => {
      if (body.schema instanceof z.ZodType) {
        expect(body.schema.safeParse(body.example).error?.issues).toBeUndefined();
      } else if (path.endsWith("/chat") || path.endsWith("/completions")) {
        expect(() => parseChatRequest(body.example, "live")).not.toThrow();
      }
    });
  }

  for (const { method, path, parameters = [] } of ROUTES) {
    test(`${method} ${path}: every {name} of the path is a parameter`, () => {
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
      expect(parameters.filter((one) => one.in === "path").map(({ name }) => name)).toEqual(names);
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
