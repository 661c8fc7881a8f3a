import { describe, expect, test } from "bun:test";
import type { Route } from "../../src/surfaces/route.ts";
import { pathOf, Router } from "../../src/surfaces/router.ts";

function row(
  method: Route["method"],
  path: string,
  isOpenEnded?: true,
  more: Partial<Route> = {},
): Route {
  return {
    method,
    path,
    ...(isOpenEnded === undefined ? {} : { isOpenEnded }),
    ...more,
    serve: () => new Response(),
    tag: more.tag ?? "Operation",
    summary: path,
    auth: "none",
    holds: "nothing",
    responses: {},
  };
}

const ROUTER = new Router([
  row("post", "/v2/{path}", true, { isRest: true }),
  row("get", "/v2/{path}", true, { isRest: true }),
  row("get", "/v2/own"),
  row("get", "/v2/own/{id}"),
  row("get", "/v2/other", undefined, { tag: "Memory" }),
  row("get", "/v1/models"),
  row("get", "/v1/models/{id}"),
  row("post", "/v1/chat/completions"),
  row("get", "/conv"),
  row("post", "/conv"),
  row("get", "/ui/{file}", true),
], () => false);

/** method → path → the row it belongs to, and its parameters. */
const MATCHES: readonly (readonly [
  string,
  string,
  string | undefined,
  Readonly<Record<string, string>>?,
])[] = [
  ["GET", "/v1/models", "/v1/models"],
  ["HEAD", "/v1/models", "/v1/models"],
  ["GET", "/v1/%6dodels", "/v1/models"],
  ["POST", "/v1/chat/%63ompletions", "/v1/chat/completions"],
  ["POST", "/v1/models", undefined],
  ["GET", "/v1/models/", undefined],
  ["GET", "/v1/models/gpt-4o", "/v1/models/{id}", { id: "gpt-4o" }],
  ["GET", "/v1/models/org%2Fx", "/v1/models/{id}", { id: "org/x" }],
  ["GET", "/v1/%6dodels/%E6%B0%B4", "/v1/models/{id}", { id: "水" }],
  ["GET", "/v1/models/50%25", "/v1/models/{id}", { id: "50%" }],
  ["GET", "/v1/models/%", "/v1/models/{id}", { id: "%" }],
  ["GET", "/ui/a/b.js", "/ui/{file}", { file: "a/b.js" }],
  ["GET", "/v2/own", "/v2/own"],
  ["POST", "/v2/own", "/v2/{path}", { path: "own" }],
  ["GET", "/v2/own/a", "/v2/own/{id}", { id: "a" }],
  ["GET", "/v2/own/a/b", "/v2/{path}", { path: "own/a/b" }],
  ["POST", "/v2/other", undefined],
  ["POST", "/v2/other/a", "/v2/{path}", { path: "other/a" }],
  ["PUT", "/v2/x", undefined],
  ["GET", "/v2/", undefined],
  ["GET", "/V1/models", undefined],
  ["GET", "/", undefined],
];

describe("Router", () => {
  for (const [method, path, expected, params = {}] of MATCHES) {
    test(`${method} ${path} belongs to ${expected}`, () => {
      const match = ROUTER.match(method, path);
      expect(match?.route.path).toBe(expected);
      if (match !== undefined) expect(match.params).toEqual(params);
    });
  }

  test("tells the methods of a path, however it is spelled", () => {
    expect(ROUTER.methods("/conv")).toEqual(["GET", "POST"]);
    expect(ROUTER.methods("/%63onv")).toEqual(["GET", "POST"]);
    expect(ROUTER.methods("/v1/models/x")).toEqual(["GET"]);
    expect(ROUTER.methods("/v2/own")).toEqual(["GET", "POST"]);
    expect(ROUTER.methods("/v2/other")).toEqual(["GET"]);
    expect(ROUTER.methods("/nope")).toEqual([]);
  });

  test("finds again what it has found, and nothing else", () => {
    for (const [method, path] of [["GET", "/conv"], ["POST", "/conv"], ["GET", "/nope"]] as const) {
      for (let again = 0; again < 2; again++) {
        expect(ROUTER.find(method, `${path}?x=1`)).toEqual(ROUTER.match(method, path));
      }
    }
  });

  test("pathOf() is the path without the query", () => {
    expect(pathOf("/a/b?c=/d")).toBe("/a/b");
    expect(pathOf("/a/b?c=?d")).toBe("/a/b");
    expect(pathOf("/?")).toBe("/");
    expect(pathOf("/")).toBe("/");
    expect(pathOf("//a")).toBe("//a");
    expect(pathOf("*")).toBe("*");
  });
});
