import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { z } from "zod";
import { exampleText, jsonSchemaText } from "../../src/config/documents.ts";
import { SETTING_ROWS } from "../../src/config/schema.ts";
import { ABOUT, shapeOf } from "../../src/config/shape.ts";
import { TREE } from "../../src/config/tree.ts";
import { faultsOf, type JsonSchema } from "./json_schema.ts";

const ROOT = join(import.meta.dir, "../..");
const SCHEMA = JSON.parse(jsonSchemaText()) as JsonSchema;

function read(name: string): string {
  return readFileSync(join(ROOT, name), "utf8");
}

/** Every key of the tree, in its order, also those inside lists: auth.tokens.name. */
function keysOf(schema: z.ZodType, path: string): [path: string, schema: z.ZodType][] {
  const shape = shapeOf(schema);
  if (shape.kind === "list") return keysOf(shape.item, path);
  if (shape.kind !== "fields") return [];
  return Object.entries(shape.fields).flatMap(([key, field]) => {
    const inner = path === "" ? key : `${path}.${key}`;
    return [[inner, field] as [string, z.ZodType], ...keysOf(field, inner)];
  });
}

const KEYS = keysOf(TREE, "");

describe("exampleText()", () => {
  test("is what config.yaml holds (bun run config writes it)", () => {
    expect(read("config.yaml")).toBe(exampleText());
  });

  test("names the JSON Schema in its first line", () => {
    expect(exampleText()).toStartWith("# yaml-language-server: $schema=./config.schema.json\n");
  });

  test("gives every setting its default, in the order of the tree", () => {
    const file = parse(exampleText()) as Record<string, unknown>;
    const found = (section: object, before: string): unknown[] =>
      Object.entries(section).flatMap(([key, value]) =>
        SETTING_ROWS.has(before + key)
          ? [[before + key, value]]
          : found(value as object, `${before}${key}.`)
      );
    expect(found(file, "")).toEqual(
      [...SETTING_ROWS.values()].map((row) => [row.path, row.initial]),
    );
  });

  test("says what every setting means", () => {
    for (const { keys, meaning } of SETTING_ROWS.values()) {
      const lines = exampleText().split("\n");
      const line = lines.find((each) =>
        each.trimStart().startsWith(`${keys.at(-1)}: `) && each.endsWith(`# ${meaning}`)
      );
      expect(line, keys.join(".")).toBeDefined();
    }
  });
});

describe("jsonSchemaText()", () => {
  test("is what config.schema.json holds (bun run config writes it)", () => {
    expect(read("config.schema.json")).toBe(jsonSchemaText());
  });

  test("says what every key means", () => {
    const described = new Map<string, string | undefined>();
    const collect = (schema: JsonSchema, path: string) => {
      for (const [key, inner] of Object.entries(schema.properties ?? {})) {
        described.set(path + key, inner.description);
        collect(inner, `${path}${key}.`);
        if (inner.items !== undefined) collect(inner.items, `${path}${key}.`);
      }
    };
    collect(SCHEMA, "");
    expect([...described.keys()]).toEqual(KEYS.map(([path]) => path));
    for (const [path, schema] of KEYS) {
      const meaning = ABOUT.get(schema)?.meaning;
      if (meaning !== undefined) expect(described.get(path)).toStartWith(meaning);
    }
  });

  const GOOD = [
    ["config.yaml", exampleText()],
    ["an empty section", "server:\n"],
    ["text without quotes", "auth: {token: 007}\nmock: {reply: true}\nserver: {unix_mode: 660}\n"],
    ["workers: auto", "server: {workers: auto}\n"],
    ["tokens", "auth: {tokens: [{name: a, token: b}, {name: c, token_file: d}]}\n"],
    ["an upstream", "upstreams: [{name: a, base_url: http://a.example}]\n"],
    ["routes", "routes: [{match: {model: 'a*'}, to: [mock]}, {to: [mock]}]\n"],
  ] as const;
  for (const [name, text] of GOOD) {
    test(`takes ${name}`, () => expect(faultsOf(SCHEMA, parse(text))).toEqual([]));
  }

  const BAD = [
    ["an unknown section", "sever: {}\n", ": sever"],
    ["an unknown key", "server: {prot: 1}\n", "server: prot"],
    ["an unknown key of an entry", "auth: {tokens: [{name: a, tokn: b}]}\n", "auth.tokens.0: tokn"],
    [
      "an entry without its name",
      "auth: {tokens: [{token: b}]}\n",
      "auth.tokens.0: name is missing",
    ],
    [
      "an upstream without base_url",
      "upstreams: [{name: a}]\n",
      "upstreams.0: base_url is missing",
    ],
    ["a route to nobody", "routes: [{to: []}]\n", "routes.0.to: minItems"],
    ["a port out of range", "server: {port: 70000}\n", "server.port: maximum"],
    ["a number in quotes", 'server: {port: "1"}\n', "server.port: type"],
    ["a word that is none", "ops: {log: all}\n", "ops.log: enum"],
    ["a mode", 'server: {unix_mode: "888"}\n', "server.unix_mode: pattern"],
  ] as const;
  for (const [name, text, fault] of BAD) {
    test(`refuses ${name}`, () => expect(faultsOf(SCHEMA, parse(text))).toEqual([fault]));
  }
});

describe("TREE", () => {
  test("names the units of its numbers", () => {
    for (const [path, schema] of KEYS) {
      const ending = /_(ms|days)$|(?<!_per)_(s)$|_(bytes)(?:_max)?$|_max_(bytes)$/.exec(path);
      const unit = ending?.slice(1).find((word) => word !== undefined);
      expect([path, ABOUT.get(schema)?.unit as string | undefined]).toEqual([path, unit]);
    }
  });

  test("says what every setting means in one line", () => {
    for (const [path, schema] of KEYS) {
      const isEntry = path.startsWith("upstreams.") || path.startsWith("routes.");
      if (shapeOf(schema).kind === "fields" && !isEntry) continue; // a section
      expect([path, ABOUT.get(schema)?.meaning]).toEqual([path, expect.stringMatching(/^.+$/)]);
    }
  });

  test("hides every key that can be a secret", () => {
    const secret = KEYS.filter(([, schema]) => ABOUT.get(schema)?.shows === "secret");
    expect(secret.map(([path]) => path)).toEqual([
      "auth.token",
      "auth.tokens",
      "auth.tokens.token",
      "auth.secret_key",
      "keys",
      "keys.token",
      "keys.token_sha256",
      "llm.api_key",
      "llm.api_keys",
      "llm.headers",
      "upstreams.api_key",
      "upstreams.api_keys",
      "upstreams.headers",
      "chat.api_key",
      "conv.access_token",
      "ops.otlp_headers",
    ]);
  });
});
