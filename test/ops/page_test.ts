import { describe, expect, test } from "bun:test";
import { servePage } from "../../src/ops/page.ts";

const page = servePage();

function get(path: string, headers: Record<string, string> = {}) {
  const params = path === "/" ? {} : { file: path.slice("/ui/".length) };
  return page(new Request(`http://weir${path}`, { headers }), params);
}

async function assetNames(): Promise<string[]> {
  const html = await (await get("/"))!.text();
  return [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, name]) => name!);
}

/** What index.html names → how it is served. */
const ASSETS = [
  [".js", "text/javascript; charset=utf-8"],
  [".css", "text/css; charset=utf-8"],
  [".svg", "image/svg+xml"],
] as const;

describe("servePage()", () => {
  for (const [extension, contentType] of ASSETS) {
    test(`serves ${extension} for ever under a name relative to the page`, async () => {
      const names = (await assetNames()).filter((name) => name.endsWith(extension));
      expect(names).toHaveLength(1);
      expect(names[0]).toStartWith("ui/");
      const response = (await get(`/${names[0]}`))!;
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toBe(contentType);
      expect(response.headers.get("cache-control")).toContain("immutable");
      expect((await response.bytes()).length).toBeGreaterThan(100);
    });
  }

  test("serves HTML that is asked about again each time, and is not sent twice", async () => {
    const response = (await get("/"))!;
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    const etag = response.headers.get("etag")!;
    for (const header of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
      const again = (await get("/", { "if-none-match": header }))!;
      expect(again.status).toBe(304);
      expect(await again.text()).toBe("");
      expect(again.headers.get("etag")).toBe(etag);
    }
    expect((await get("/", { "if-none-match": `"x"` }))!.status).toBe(200);
  });

  test("lets nothing in but its own files", async () => {
    const policy = (await get("/"))!.headers.get("content-security-policy")!;
    expect(policy).toStartWith("default-src 'none'; script-src 'self'; style-src 'self';");
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    const html = await (await get("/"))!.text();
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\son\w+=|\bstyle=|https?:\/\//);
  });

  for (const path of ["/ui/", "/ui/nothing.js", "/ui/../page.ts", "/ui/index.html"]) {
    test(`knows no ${path}`, async () => expect(await get(path)).toBeNull());
  }
});
