/** The page's files over HTTP, without a browser: from source and from the executable alike. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { launch, type Weir } from "./launch.ts";

let weir: Weir;

beforeAll(async () => {
  weir = await launch();
});

afterAll(() => weir.stop());

test("/ names a script, a sheet and an icon, each served for ever", async () => {
  const response = await fetch(`${weir.url}/`);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(response.headers.get("content-security-policy")).toStartWith("default-src 'none'");
  const html = await response.text();
  const names = [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, name]) => name!);
  expect(names.map((name) => name.slice(name.lastIndexOf("."))).sort()).toEqual([
    ".css",
    ".js",
    ".svg",
  ]);
  for (const name of names) {
    const asset = await fetch(`${weir.url}/${name}`);
    expect(asset.status).toBe(200);
    expect(asset.headers.get("cache-control")).toContain("immutable");
    expect((await asset.bytes()).length).toBeGreaterThan(100);
  }
});

test("a HEAD and a browser that has the page get no body", async () => {
  const head = await fetch(`${weir.url}/`, { method: "HEAD" });
  expect(head.status).toBe(200);
  const { length } = await (await fetch(`${weir.url}/`)).bytes();
  expect(Number(head.headers.get("content-length"))).toBe(length);
  const etag = head.headers.get("etag")!;
  const again = await fetch(`${weir.url}/`, { headers: { "if-none-match": etag } });
  expect(again.status).toBe(304);
});

test("what the page does not have is 404", async () => {
  expect((await fetch(`${weir.url}/ui/nothing.js`)).status).toBe(404);
});
