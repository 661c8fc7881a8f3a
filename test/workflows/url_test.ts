import { afterAll, describe, expect, test } from "bun:test";
import { rig } from "./rig.ts";

let asked = "";
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request) {
    asked = request.url.slice(request.url.indexOf("/", 8));
    return Response.json("ok");
  },
});
const HOST = `127.0.0.1:${server.port}`;
afterAll(async () => void await server.stop(true));

/** Runs one action with `keys`, below the base path /base. */
async function call(keys: string, input: unknown, base = `http://${HOST}/base`): Promise<string> {
  asked = "";
  const { run } = rig(
    `workflow: {job: {}}\ncomponent:\n  type: http-client\n  base_url: ${base}\n` +
      `  headers: {Authorization: Bearer secret}\n  action: {method: GET, ${keys}}\n`,
  );
  const { status, errorText } = await run(input);
  return status === "failed" ? errorText : asked;
}

const PORT = String(server.port);
const LONGER = "would become part of its host or port: write a slash between them in the file";
const DOTS = "a value in a path must not be . or ..";

describe("renderUrl", () => {
  for (
    const [keys, input, expected] of [
      // One segment, whatever it is.
      ["path: '/users/${input.id}'", { id: "u1" }, "/base/users/u1"],
      ["path: '/users/${input.id}'", { id: "../../admin/keys?x=1#" }, encoded("users/")],
      ["path: '/users/${input.id}'", { id: "..\\..\\admin" }, "/base/users/..%5C..%5Cadmin"],
      ["path: '/users/${input.id}'", { id: "a b+值" }, "/base/users/a%20b%2B%E5%80%BC"],
      ["path: '/users/${input.id}'", { id: "%2e%2e" }, "/base/users/%252e%252e"],
      ["path: '/users/${input.id}'", { id: "\ud800" }, "/base/users/%EF%BF%BD"],
      ["path: '/users/${input.id}'", { id: 12 }, "/base/users/12"],
      ["path: '/users/${input.id}.json'", { id: ".." }, "/base/users/...json"],
      ["path: '${input.id}'", { id: "//evil.example/x" }, "/base/%2F%2Fevil.example%2Fx"],
      ["path: '${input.a}/x/${input.b}'", { a: "1/2", b: "3&4" }, "/base/1%2F2/x/3%264"],
      // What the author wrote stays.
      ["path: '/a/../b/${input.id}'", { id: "x" }, "/base/b/x"],
      ["path: '${input.id | /v1/chat}'", {}, "/base/v1/chat"],
      ["path: '${input.id | /v1/${input.x}/chat}'", { x: "a/b" }, "/base/v1/a%2Fb/chat"],
      // No steps.
      ["path: '/users/${input.id}/keys'", { id: ".." }, DOTS],
      ["path: '/users/${input.id}/keys'", { id: "." }, DOTS],
      ["path: '/users/.${input.id}/keys'", { id: "." }, DOTS],
      ["path: '/users/.${input.id}./keys'", { id: "" }, DOTS],
      ["path: '/users/${input.id | ${input.x}}'", { x: ".." }, DOTS],
      // In a query a value is one value.
      ["path: '/s?q=${input.q}&n=1'", { q: "a&n=2#x" }, "/base/s?q=a%26n%3D2%23x&n=1"],
      ["path: '/s?q=${input.q}'", { q: ".." }, "/base/s?q=.."],
      ["path: /s, params: {q: '${input.q}'}", { q: "a&n=2#x" }, "/base/s?q=a%26n%3D2%23x"],
      // A whole URL is what the author asked for; what follows it is not.
      ["endpoint: '${input.url}'", { url: `http://${HOST}/a/../b?c=d#e` }, "/b?c=d"],
      ["endpoint: '${input.url}/x/${input.id}'", { url: `http://${HOST}`, id: "a/b" }, "/x/a%2Fb"],
      ["endpoint: '${input.url | http://HOST/d}'", {}, "/d"],
      [`endpoint: 'http://HOST/x/\${input.id}?y=\${input.y}'`, { id: "?", y: "?" }, "/x/%3F?y=%3F"],
      // Of a host, a value can be a name and a port, and nothing that ends it.
      ["endpoint: 'http://${input.host}/x'", { host: HOST }, "/x"],
      ["endpoint: 'http://127.0.0.1:${input.port}/x'", { port: server.port }, "/x"],
      ["endpoint: 'http://${input.host}:${input.port}'", { host: "127.0.0.1", port: PORT }, "/"],
      ["endpoint: 'http://u:${input.pw}@HOST/x'", { pw: "p@:/" }, "/x"],
      ["endpoint: 'http://12${input.part}.0.0.1:PORT/x'", { part: 7 }, "/x"],
      // Behind a host or a port it is a path, or nothing.
      ["endpoint: 'http://HOST${input.id}'", { id: "/v1/a b?c#d" }, "/v1/a%20b%3Fc%23d"],
      ["endpoint: 'http://HOST${input.id}/y/${input.z}'", { id: "/v1", z: "/" }, "/v1/y/%2F"],
      ["endpoint: 'http://HOST${input.id}'", {}, "/"],
      ["endpoint: 'http://HOST${input.id | /v1}'", {}, "/v1"],
      ["endpoint: '${input.url}${input.id}'", { url: `http://${HOST}`, id: "/值" }, "/%E5%80%BC"],
      ["endpoint: 'http://HOST${input.id}'", { id: "/../a" }, DOTS],
      ["endpoint: 'http://HOST${input.id}'", { id: "/a/." }, DOTS],
      ["endpoint: 'http://127.0.0.1:${input.port}'", { port: `${PORT}@a.invalid` }, "it must be"],
      ["endpoint: 'http://127.0.0.1${input.id}'", { id: `:${PORT}` }, LONGER],
      [
        `endpoint: 'http://127.0.0.1:${PORT.slice(0, -1)}\${input.id}'`,
        { id: PORT.at(-1) },
        LONGER,
      ],
      ["endpoint: 'http://api.invalid${input.id}'", { id: ".evil.invalid" }, LONGER],
      ["endpoint: 'http://api.invalid${input.id}'", { id: "@HOST" }, LONGER],
      ["endpoint: 'http://api.invalid${input.id}/x'", { id: "." }, LONGER],
      ["endpoint: 'http://api.invalid${input.id | ${input.x}}'", { x: ".evil" }, LONGER],
      ["endpoint: 'http://127.0.0.${input.id}:PORT/x'", { id: "1" }, LONGER],
      ["endpoint: 'http:api.invalid${input.id}'", { id: ".evil" }, LONGER],
      ['endpoint: "http:\\\\\\\\api.invalid${input.id}"', { id: ".evil" }, LONGER],
      ["endpoint: 'http:///api.invalid${input.id}'", { id: ".evil" }, LONGER],
      ["endpoint: ' http://api.invalid${input.id}'", { id: ".evil" }, LONGER],
      ["endpoint: '${input.a}${input.b}'", { a: "http://api.invalid", b: ".evil" }, LONGER],
      [
        "endpoint: 'http://u:secret@api.invalid${input.id}'",
        { id: ".e" },
        '"http://***@api.invalid"',
      ],
      ["endpoint: 'http://${input.host}.example/x'", { host: `${HOST}/` }, "it must be a URL"],
      ["endpoint: 'http://${input.host}.example/x'", { host: `${HOST}#` }, "it must be a URL"],
      ["endpoint: 'http://${input.host}.example/x'", { host: `u:p@${HOST}/` }, "it must be a URL"],
    ] as const
  ) {
    test(`gives ${expected} for ${keys} with ${JSON.stringify(input)}`, async () => {
      const got = await call(keys.replaceAll("HOST", HOST).replaceAll("PORT", PORT), input);
      expect(got).toEndWith(expected.startsWith("/") ? expected : "");
      expect(got).toContain(expected);
    });
  }

  for (
    const [base, path, expected] of [
      [`http://${HOST}\${input.path}`, "/v1/x", "/v1/x/models"],
      [`http://${HOST}\${input.path}`, undefined, "/models"],
      ["http://127.0.0.1${input.path}", `:${PORT}`, LONGER],
      ["http://api.invalid${input.path}", ".evil.invalid", LONGER],
    ] as const
  ) {
    test(`gives ${expected} for base_url ${base} with ${path}`, async () => {
      expect(await call("path: /models", { path }, base)).toContain(expected);
    });
  }
});

function encoded(before: string): string {
  return `/base/${before}..%2F..%2Fadmin%2Fkeys%3Fx%3D1%23`;
}
