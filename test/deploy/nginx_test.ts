import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { siteText } from "../../src/deploy/site.ts";
import { canMakeCertificates, makeCertificate } from "../server/certificate.ts";
import { makeFolder, REPOSITORY, TEST_MS_MAX, waitFor } from "../server/launch.ts";
import { CHAT, DONE, EVENT, gate, type Proxied, proxied, whole } from "../server/proxied.ts";
import { connect, parseRaw, rawChat } from "../server/raw_client.ts";
import {
  act,
  chunk,
  LAST_CHUNK,
  response,
  type Script,
  sseHead,
} from "../server/scripted_upstream.ts";
import { freePort } from "../server/free_port.ts";
import { hasProgram } from "./program.ts";
import { type Nginx, startNginx, startRelay } from "./nginx.ts";

const CAN_RUN = hasProgram("nginx");

const running: { readonly stop: () => unknown }[] = [];
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop();
});

async function started<T extends { readonly stop: () => unknown }>(part: Promise<T>): Promise<T> {
  const one = await part;
  running.push(one);
  return one;
}

/** client → nginx → weir → upstream, each its own process but for the two ends. */
async function chain(script: Script, set: Record<string, string | number> = {}) {
  const proxy: Proxied = await started(proxied({ set }));
  proxy.play(script);
  const nginx: Nginx = await started(startNginx(proxy.weir.port));
  return { ...proxy, nginx };
}

describe("siteText()", () => {
  test("gives the shipped nginx.conf for the settings that hold by default", () => {
    const shipped = readFileSync(join(REPOSITORY, "src/deploy/nginx.conf"), "utf8");
    const facts = { upstream: "127.0.0.1:8080", bodyBytesMax: 33_554_432, serverName: "_" };
    expect(siteText(facts)).toBe(shipped);
  });

  test("listens with TLS where there is a certificate", () => {
    const tls = { certificate: "/etc/ssl/my weir.pem", key: "/etc/ssl/weir.key" };
    const text = siteText({
      upstream: "[::1]:9000",
      bodyBytesMax: 1,
      serverName: "llm.example.org",
      tls,
    });
    for (
      const line of [
        "server [::1]:9000;",
        "listen 443 ssl;",
        'ssl_certificate "/etc/ssl/my weir.pem";',
        "ssl_certificate_key /etc/ssl/weir.key;",
        "server_name llm.example.org;",
        "client_max_body_size 1;",
      ]
    ) expect(text).toContain(`    ${line}\n`);
    expect(text).not.toContain("listen 80;");
  });
});

describe.skipIf(!CAN_RUN)("behind the real nginx", () => {
  test("every event comes when it is sent, before the next one exists", async () => {
    const gates = Array.from({ length: 5 }, gate);
    const event = (i: number) => `data: {"event":${i},"text":"水 🌊"}\n\n`;
    const { nginx } = await chain(() => [
      act.send(sseHead()),
      act.send(chunk(event(0))),
      ...gates.flatMap(({ opened }, i) => [act.wait(opened), act.send(chunk(event(i + 1)))]),
      act.send(LAST_CHUNK),
    ]);
    const client = await connect(nginx.port, rawChat(CHAT, ["Connection: close"]));
    for (const [i, { open }] of gates.entries()) {
      await client.until(event(i));
      expect(client.text()).not.toContain(`"event":${i + 1}`);
      open();
    }
    const { body, isWhole } = parseRaw(await client.closed);
    expect(isWhole).toBe(true);
    expect(body.toString()).toBe([0, 1, 2, 3, 4, 5].map(event).join(""));
  }, TEST_MS_MAX);

  test("a frame of the mock comes a minute before the next one, and leaving ends it", async () => {
    const set = { "chat.source": "mock", "mock.delay_ms": 60_000 };
    const { nginx, weir } = await chain(() => [], set);
    const client = await connect(nginx.port, rawChat(CHAT));
    await client.until('"content":"powered"');
    expect((await weir.health())["streams_open"]).toBe(1);
    client.leave();
    await waitFor(async () => (await weir.health())["streams_open"] === 0, "the stream to end");
  }, TEST_MS_MAX);

  /** What nginx says → ways to write the path of the metrics, or what some server takes for it. */
  const SPELLINGS: Readonly<Record<number, readonly string[]>> = {
    403: [
      ...["/metrics", "/metrics?a=b", "/metrics?", "//metrics", "///metrics", "/./metrics"],
      ...["/a/../metrics", "/a/b/../../metrics", "/a//..///metrics", "/a/./../metrics"],
      ...["/%6detrics", "/%6Detrics", "/metric%73", "/%6d%65%74%72%69%63%73", "/%2fmetrics"],
      ...["/%2e/metrics", "/a/%2e%2e/metrics", "/a/.%2e/metrics", "/a/%2E./metrics"],
      ...[
        "/a%2f..%2fmetrics",
        "/a%2f%2e%2e%2f%6detrics",
        "http://w/metrics",
        "http://x.y//metrics",
      ],
      ...["/ui/../metrics", "/v1/models/../../metrics", "/docs/..%2fmetrics", "/metrics?x=\\"],
    ],
    400: [
      ...["/.\\metrics", "/x\\../metrics", "/x\\%2e%2e/metrics", "/\\metrics", "\\metrics"],
      ...["/x\\..\\metrics", "/metrics\\", "/metrics\\..", "/../metrics", "/a/../../metrics"],
      ...["/%00metrics", "/metrics%00", "metrics", "/ metrics", "/metrics x"],
    ],
    404: [
      ...["/metrics/", "/metrics/.", "/metrics/x", "/metrics;a", "/metrics;/../x", "/METRICS"],
      ...["/Metrics", "/metrics%20", "/metrics%3Fa", "/metrics%23", "/%256detrics", "/metrics%2f"],
      ...["/x%5C../metrics", "/x%5c%2e%2e%5cmetrics", "/%5Cmetrics", "/ui/%252e%252e/metrics"],
      ...["/metrics%2f..%2fx", "/api/metrics", "/..;/metrics", "/%c0%afmetrics", "/%ff/metrics"],
      ...["/docs/%252e%252e%252fmetrics", "/v1/metrics", "/%E2%84%B3etrics", "/metrics."],
    ],
  };
  for (const isMoved of [false, true]) {
    const where = isMoved ? "where the unit puts them" : "on the port behind the site";
    test(`the public does not see the metrics ${where}, however it spells them`, async () => {
      const { nginx, weir } = await chain(
        () => [],
        { "chat.source": "mock", ...(isMoved ? { "ops.metrics_port": freePort() } : {}) },
      );
      const got = async (port: number, method: string, target: string) => {
        const text = `${method} ${target} HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n`;
        const { status, body } = parseRaw(await (await connect(port, text)).closed);
        return { status, isSeen: body.includes("weir_streams_open") };
      };
      const all = Object.entries(SPELLINGS).flatMap(([status, targets]) =>
        targets.map((target) => [target, Number(status)] as const)
      );
      for (const [target, wanted] of all) {
        const direct = await got(weir.port, "GET", target);
        for (const method of ["GET", "POST"]) {
          const { status, isSeen } = await got(nginx.port, method, target);
          expect([target, method, isSeen]).toEqual([target, method, false]);
          if (method === "GET") expect([target, status]).toEqual([target, wanted]);
        }
        expect([target, direct.isSeen && isMoved]).toEqual([target, false]);
        // Some servers take a backslash for a slash: weir refuses it as well.
        if (/^[^?]*\\/.test(target)) expect([target, direct.status]).toEqual([target, 400]);
      }
      expect((await got(nginx.port, "GET", "/health")).status).toBe(200);
      expect((await got(weir.port, "GET", "/metrics")).isSeen).toBe(!isMoved);
    }, TEST_MS_MAX);
  }

  test("the site's name and its pages are weir's own, and no other ones", async () => {
    const { nginx } = await chain(() => [], {
      "chat.source": "mock",
      "mock.delay_ms": 0,
      "server.hosts": "[chat.example.com]",
    });
    const turn = '{"query":"x","session_id":"s","stream":false}';
    const asked = async (fields: readonly string[]) => {
      const head = [
        ...["POST /v1/response HTTP/1.1", "Connection: close", "Content-Type: text/plain"],
        ...[`Content-Length: ${turn.length}`, ...fields],
      ];
      return parseRaw(
        await (await connect(nginx.port, [...head, "", turn].join("\r\n"))).closed,
      ).status;
    };
    const CASES = [
      [["Host: chat.example.com"], 200],
      [["Host: Chat.example.com:8443", "Origin: https://chat.example.com:8443"], 200],
      [["Host: 192.0.2.1"], 200],
      [["Host: chat.example.com", "Origin: https://evil.example"], 403],
      [["Host: chat.example.com", "Origin: null"], 403],
      [["Host: evil.example", "Origin: https://evil.example"], 403],
    ] as const;
    for (const [fields, status] of CASES) {
      expect([fields, await asked(fields)]).toEqual([fields, status]);
    }
  }, TEST_MS_MAX);

  test("a client that leaves stops the upstream, before and after the first byte", async () => {
    for (const acts of [[act.stall], [act.send(sseHead()), act.send(chunk(EVENT)), act.stall]]) {
      const { nginx, upstream } = await chain(() => acts);
      const client = await connect(nginx.port, rawChat(CHAT));
      await waitFor(() => upstream.playing === 1, "the request");
      if (acts.length > 1) await client.until(EVENT);
      client.leave();
      await waitFor(() => upstream.aborted === 1, "the upstream to be aborted");
    }
  }, TEST_MS_MAX);

  test("an upstream that breaks off is told, and never looks complete", async () => {
    const { nginx } = await chain(() => [act.send(sseHead()), act.send(chunk(EVENT)), act.reset]);
    const client = await connect(nginx.port, rawChat(CHAT, ["Connection: close"]));
    const text = parseRaw(await client.closed).body.toString();
    expect(text).toStartWith(`${EVENT}data: {"error"`);
    expect(text).not.toContain("[DONE]");
  }, TEST_MS_MAX);

  test("connections to weir are used again", async () => {
    const proxy = await started(proxied());
    const relay = await started(Promise.resolve(startRelay(proxy.weir.port)));
    const nginx = await started(startNginx(relay.port));
    for (let i = 0; i < 40; i++) {
      const client = await connect(nginx.port, rawChat(CHAT, ["Connection: close"]));
      expect(parseRaw(await client.closed).body.toString()).toEndWith(DONE);
    }
    // One for each nginx process, and not one for each request.
    expect(relay.opened).toBeLessThanOrEqual(2);
  }, TEST_MS_MAX);

  test("bodies of 10 MB pass, and larger ones than the limit do not", async () => {
    const { nginx, upstream } = await chain(() => [act.send(response("{}"))]);
    const body = (bytes: number) =>
      `{"model":"m","messages":[{"role":"user","content":"${"x".repeat(bytes)}"}]}`;
    const client = await connect(nginx.port, rawChat(body(10_000_000), ["Connection: close"]));
    expect(parseRaw(await client.closed).status).toBe(200);
    expect(upstream.requests[0]!.body.toString() === body(10_000_000)).toBe(true);
    const answer = await fetch(`http://127.0.0.1:${nginx.port}/v1/chat/completions`, {
      method: "POST",
      body: body(33_554_432),
    });
    expect(answer.status).toBe(413);
    expect(upstream.requests.length).toBe(1);
  }, TEST_MS_MAX);

  test.skipIf(!canMakeCertificates())(
    "TLS ends in nginx, and every event comes at once",
    async () => {
      const { cert, key } = makeCertificate(["IP:127.0.0.1"]);
      const folder = makeFolder({ "cert.pem": cert, "key.pem": key });
      const tls = { certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") };
      const end = gate();
      const proxy = await started(proxied());
      proxy.play(() => [
        act.send(sseHead()),
        act.send(chunk(EVENT)),
        act.wait(end.opened),
        act.send(chunk(DONE)),
        act.send(LAST_CHUNK),
      ]);
      const nginx = await started(startNginx(proxy.weir.port, { tls }));
      const answer = await fetch(`https://127.0.0.1:${nginx.port}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: CHAT,
        tls: { ca: cert },
      });
      const reader = answer.body!.getReader();
      const text = new TextDecoder();
      let got = "";
      while (!got.includes(EVENT)) {
        got += text.decode((await reader.read()).value, { stream: true });
      }
      end.open();
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        got += text.decode(next.value, { stream: true });
      }
      expect(got).toBe(EVENT + DONE);
    },
    TEST_MS_MAX,
  );

  test(
    "a reload of nginx and a rolling restart of weir lose none of 500 open streams",
    async () => {
      const end = gate();
      let isLate = false;
      const { nginx, weir, upstream } = await chain(
        () =>
          isLate ? whole(EVENT, DONE) : [
            act.send(sseHead()),
            act.send(chunk(EVENT)),
            act.wait(end.opened),
            act.send(chunk(DONE)),
            act.send(LAST_CHUNK),
          ],
        { "server.workers": 2 },
      );
      const clients = await Promise.all(
        Array.from(
          { length: 500 },
          () => connect(nginx.port, rawChat(CHAT, ["Connection: close"])),
        ),
      );
      for (const client of clients) {
        await client.until(EVENT);
      }
      expect((await weir.health())["streams_open"]).toBe(500);

      // Meanwhile others come and go.
      isLate = true;
      let isOver = false;
      let answered = 0;
      const passing = Array.from({ length: 4 }, async () => {
        while (!isOver) {
          const client = await connect(nginx.port, rawChat(CHAT, ["Connection: close"]));
          const { status, isWhole } = parseRaw(await client.closed);
          expect([status, isWhole]).toEqual([200, true]);
          answered++;
        }
      });
      await nginx.reload();
      weir.kill("SIGHUP");
      await waitFor(() => weir.errors().includes("have taken over"), "the rolling restart");
      const before = answered;
      await waitFor(() => answered > before + 20);
      isOver = true;
      await Promise.all(passing);

      expect(upstream.playing).toBe(500);
      expect(upstream.aborted).toBe(0);
      end.open();
      for (const client of clients) {
        const { body, isWhole } = parseRaw(await client.closed);
        expect([isWhole, body.toString()]).toEqual([true, EVENT + DONE]);
      }
      expect(weir.errors()).not.toContain("upstream_failed");
    },
    2 * TEST_MS_MAX,
  );
});

if (!CAN_RUN) test.skip("nginx is not installed: apt-get install nginx", () => {});
