import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { TEST_MS_MAX, waitFor } from "./launch.ts";
import { CHAT, type Proxied, proxied } from "./proxied.ts";
import { connect } from "./raw_client.ts";
import { act, response } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const SECRET = "hidden-5ecret";

/** Heads whose query, user or host nobody may find in a log, good ones and broken ones. */
const HEADS: readonly string[] = [
  `GET /health?${SECRET} HTTP/1.1\r\nHost: a`,
  `GET /health?${SECRET} HTTP/1.0`,
  `GET /health?${SECRET} HTTP/1.1`,
  `GET /aaaaaaa/metrics?${SECRET} HTTP/1.0`,
  ...["[", "x@y", "a, b", "a<b>", `${SECRET}@y`].map((host) =>
    `GET /metrics?${SECRET} HTTP/1.1\r\nHost: ${host}`
  ),
  `GET /nothing?${SECRET} HTTP/1.1\r\nHost: a`,
  `GET http://${SECRET}@a/health HTTP/1.1\r\nHost: a`,
  `GET http://a?${SECRET} HTTP/1.1\r\nHost: a`,
  `GET http://[/?${SECRET} HTTP/1.1\r\nHost: a`,
  `GET /%zz?${SECRET} HTTP/1.1\r\nHost: a`,
  `GET /v1/models/%ff?${SECRET} HTTP/1.1\r\nHost: a`,
  `GET /api/tasks/%ff?${SECRET} HTTP/1.1\r\nHost: a`,
  `GET /docs?${SECRET} HTTP/1.1\r\nHost: a`,
  `PUT /v1/chat/completions?${SECRET} HTTP/1.1\r\nHost: a`,
  `OPTIONS /v1/chat/completions?${SECRET} HTTP/1.1\r\nHost: a\r\nOrigin: http://b`,
  `POST /conv?${SECRET} HTTP/1.1\r\nHost: a\r\nContent-Length: 1`,
  `BREW /?${SECRET} HTTP/1.1\r\nHost: a`,
  "CONNECT a:443 HTTP/1.1\r\nHost: a",
  `GET /?${SECRET}\t HTTP/1.1\r\nHost: a`,
  `GET ?${SECRET} HTTP/1.1\r\nHost: a`,
];

/** What the upstream of a request with a query does. */
const ANSWERS = {
  "500": [act.send(response(`/${SECRET}`, {}, "500 Oops"))],
  "a redirect": [act.send(response("", { location: `http://b/?${SECRET}` }, "302 Found"))],
  "nothing that is HTTP": [act.send(`SSH-2.0-${SECRET}\r\n\r\n`), act.end],
  "a reset": [act.reset],
} as const;

for (const log of ["requests", "errors", "off"] as const) {
  describe(`ops.log: ${log}`, () => {
    let proxy: Proxied;
    beforeAll(async () => {
      proxy = await proxied({ set: { "ops.log": log, "llm.retries": 1 } });
    });
    afterAll(() => proxy.stop());

    test("holds no query, whatever is asked and whatever becomes of it", async () => {
      for (const head of HEADS) {
        const client = await connect(proxy.weir.port, `${head}\r\nConnection: close\r\n\r\n`);
        client.finish();
        await client.closed;
      }
      for (const acts of Object.values(ANSWERS)) {
        proxy.play(() => acts);
        const request = `POST /v1/chat/completions?${SECRET} HTTP/1.1\r\nHost: a\r\n` +
          `Connection: close\r\nContent-Length: ${Buffer.byteLength(CHAT)}\r\n\r\n${CHAT}`;
        const client = await connect(proxy.weir.port, request);
        expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1.1 (?:500|502) /);
        await client.closed;
      }
      if (log !== "off") {
        await waitFor(() => proxy.weir.errors().includes('"status":502'), "a line of the last one");
      }
      const lines = proxy.weir.errors();
      expect(lines + proxy.weir.output()).not.toContain(SECRET);
      expect(lines).not.toMatch(/"bug"|\n\s+at /);
      if (log === "off") expect(lines).toBe("");
    });
  });
}
