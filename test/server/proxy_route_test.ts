import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { TEST_MS_MAX } from "./launch.ts";
import { canMakeCertificates, makeCertificate } from "./certificate.ts";
import { forwardProxy } from "./forward_proxy.ts";

import { DONE, EVENT, type Proxied, proxied, whole } from "./proxied.ts";

setDefaultTimeout(TEST_MS_MAX);

const hasCertificates = canMakeCertificates();

describe.skipIf(!hasCertificates)("llm.ca_file", () => {
  const certificate = hasCertificates
    ? makeCertificate(["DNS:localhost", "IP:127.0.0.1"])
    : { cert: "", key: "" };
  const tls = { tls: certificate, hostname: "localhost" };

  test("lets a server with a certificate of its own in", async () => {
    const proxy = await proxied({
      files: { "own.pem": certificate.cert },
      set: { "llm.ca_file": "own.pem" },
    }, tls);
    proxy.play(() => whole(EVENT, DONE));
    const { status, body } = await proxy.chat();
    expect([status, body.toString()]).toEqual([200, EVENT + DONE]);
    await proxy.stop();
  });

  test("counts from the folder of the config file", async () => {
    const proxy = await proxied({
      files: { "own.pem": certificate.cert, "config.yaml": "llm: { ca_file: own.pem }\n" },
    }, tls);
    proxy.play(() => whole(DONE));
    expect((await proxy.chat()).status).toBe(200);
    await proxy.stop();
  });

  test("is missed: 502, with the reason", async () => {
    const proxy = await proxied({}, tls);
    const { status, body } = await proxy.chat();
    expect(status).toBe(502);
    expect(JSON.parse(body.toString()).error.message).toMatch(/CERT|certificate|SELF_SIGNED/i);
    expect(proxy.upstream.requests.length).toBe(0);
    await proxy.stop();
  });
});

describe("llm.proxy", () => {
  const forward = forwardProxy();
  afterAll(() => forward.close());

  describe("to an http:// upstream", () => {
    let proxy: Proxied;
    beforeAll(async () => {
      proxy = await proxied({ set: { "llm.proxy": forward.url } });
    });
    afterAll(() => proxy.stop());

    test("carries the request and the answer", async () => {
      const before = forward.asked.length;
      proxy.play(() => whole(EVENT, DONE));
      const { status, body } = await proxy.chat();
      expect([status, body.toString()]).toEqual([200, EVENT + DONE]);
      expect(forward.asked.slice(before)).toEqual([
        `POST ${proxy.upstream.url}/v1/chat/completions`,
      ]);
    });
  });

  test.skipIf(!hasCertificates)("tunnels to an https:// upstream", async () => {
    const certificate = makeCertificate(["DNS:localhost"]);
    const proxy = await proxied({
      files: { "own.pem": certificate.cert },
      set: { "llm.ca_file": "own.pem", "llm.proxy": forward.url },
    }, { tls: certificate, hostname: "localhost" });
    proxy.play(() => whole(EVENT, DONE));
    const before = forward.asked.length;
    const { status, body } = await proxy.chat();
    expect([status, body.toString()]).toEqual([200, EVENT + DONE]);
    expect(forward.asked.slice(before)).toEqual([`CONNECT localhost:${proxy.upstream.port}`]);
    await proxy.stop();
  });

  test("that is not there: 502", async () => {
    const proxy = await proxied({ set: { "llm.proxy": "http://127.0.0.1:1" } });
    expect((await proxy.chat()).status).toBe(502);
    expect(proxy.upstream.requests.length).toBe(0);
    await proxy.stop();
  });

  test("is the only one: HTTP_PROXY in the environment counts for nothing", async () => {
    const before = forward.asked.length;
    const proxy = await proxied({ env: { HTTP_PROXY: forward.url, http_proxy: forward.url } });
    proxy.play(() => whole(DONE));
    expect((await proxy.chat()).status).toBe(200);
    expect(forward.asked.length).toBe(before);
    await proxy.stop();
  });
});
