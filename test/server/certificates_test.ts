import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { canMakeCertificates, type Certificate, makeCertificate } from "./certificate.ts";
import { launch, run, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { childrenOf, isRunning } from "./processes.ts";
import { DONE, EVENT, gate } from "./proxied.ts";
import { rawChat } from "./raw_client.ts";
import { act, chunk, LAST_CHUNK, scriptedUpstream, sseHead } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const CHAT = '{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}';
const NAMES = ["DNS:localhost", "IP:127.0.0.1"];
const TLS = { "server.tls_cert_file": "cert.pem", "server.tls_key_file": "key.pem" };

const running: { readonly stop: () => unknown }[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
});

async function start(
  set: Readonly<Record<string, string | number>>,
  certificate: Certificate,
): Promise<Weir> {
  const files = { "cert.pem": certificate.cert, "key.pem": certificate.key };
  const weir = await launch({ set: { ...TLS, ...set }, files, ca: certificate.cert });
  running.push({
    async stop() {
      const children = childrenOf(weir.pid);
      await weir.stop();
      for (const pid of children) if (isRunning(pid)) process.kill(pid, "SIGKILL");
    },
  });
  return weir;
}

function write(weir: Weir, { cert, key }: Partial<Certificate>): void {
  if (cert !== undefined) writeFileSync(join(weir.folder, "cert.pem"), cert);
  if (key !== undefined) writeFileSync(join(weir.folder, "key.pem"), key);
}

function fingerprintOf({ cert }: Certificate): string {
  return new X509Certificate(cert).fingerprint256;
}

/** A connection whose certificate nobody checks, so that a test can look at it. */
async function handshake(port: number): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, resolve);
  socket.on("error", reject);
  await promise;
  return socket;
}

async function shownBy(port: number): Promise<string> {
  const socket = await handshake(port);
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

/** Sends `request`; `text` is what has come so far. */
async function ask(port: number, request: string | Uint8Array) {
  const socket = await handshake(port);
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  let text = "";
  const decoder = new TextDecoder();
  socket.on("data", (bytes: Uint8Array) => {
    text += decoder.decode(bytes, { stream: true });
  });
  socket.on("close", () => resolve());
  socket.write(request);
  return { socket, closed, text: () => text };
}

describe.skipIf(!canMakeCertificates())("SIGHUP reads the certificate again", () => {
  const GET = "GET /api/workflows HTTP/1.1\r\nHost: localhost\r\n\r\n";

  for (const count of [1, 2]) {
    test(`with ${count} worker(s): new connections get the new one, open streams go on`, async () => {
      const [one, two, three] = [1, 2, 3].map(() => makeCertificate(NAMES));
      const end = gate();
      const upstream = scriptedUpstream(() => [
        act.send(sseHead()),
        act.send(chunk(EVENT)),
        act.wait(end.opened),
        act.send(chunk(DONE)),
        act.send(LAST_CHUNK),
      ]);
      running.push({ stop: () => upstream.close() });
      const weir = await start(
        { "server.workers": count, "llm.base_url": `${upstream.url}/v1` },
        one!,
      );
      expect(await shownBy(weir.port)).toBe(fingerprintOf(one!));
      const stream = await ask(weir.port, rawChat(CHAT));
      await waitFor(() => stream.text().includes(EVENT));
      const kept = await ask(weir.port, GET);
      await waitFor(() => kept.text().includes("200 OK"));

      let isOver = false;
      let answered = 0;
      const asking = Array.from({ length: 4 }, async () => {
        while (!isOver) {
          const { closed, text } = await ask(
            weir.port,
            GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
          );
          await closed;
          expect(text()).toStartWith("HTTP/1.1 200 OK");
          answered++;
        }
      });
      // Twice with one process, whose second reload meets what the first one left behind.
      for (const next of count === 1 ? [two!, three!] : [two!]) {
        const reloads = weir.errors().split("reload: ").length;
        write(weir, next);
        weir.kill("SIGHUP");
        await waitFor(() => weir.errors().split("reload: ").length > reloads, "the reload");
        expect(weir.errors()).not.toMatch(/refused|warning/);
        for (let i = 0; i < 5; i++) expect(await shownBy(weir.port)).toBe(fingerprintOf(next));
      }
      const before = answered;
      await waitFor(() => answered > before + 10);
      isOver = true;
      await Promise.all(asking);

      if (!kept.socket.destroyed) kept.socket.write(GET);
      await kept.closed; // behind its next answer, or with its worker
      expect(stream.socket.destroyed).toBe(false);
      expect(stream.text()).not.toContain(DONE);
      weir.kill("SIGTERM"); // a drain waits for it, whatever it came in through
      await waitFor(() => weir.errors().includes("open streams have"), "the drain");
      end.open();
      await stream.closed;
      expect(stream.text()).toContain(DONE);
      expect(await weir.exited).toBe(0);
    });

    test(`with ${count} worker(s): broken files are refused, and the old one stays`, async () => {
      const [one, two] = [makeCertificate(NAMES), makeCertificate(NAMES)];
      const weir = await start({ "server.workers": count }, one);
      const children = childrenOf(weir.pid);
      const cut = two.cert.slice(0, 200);
      const rubbish = "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n";
      const BROKEN: readonly (readonly [Partial<Certificate>, string])[] = [
        [{ cert: two.cert }, "key.pem (server.tls_key_file): it is not the key of cert.pem"],
        [{ cert: cut, key: two.key }, "cert.pem (server.tls_cert_file): it is no PEM certificate"],
        [
          { cert: `${two.cert}${rubbish}` },
          "cert.pem (server.tls_cert_file): a certificate in it is broken",
        ],
        [{ cert: two.cert, key: "rubbish" }, "key.pem (server.tls_key_file): it is no PEM key"],
      ];
      for (const [files, reason] of BROKEN) {
        write(weir, files);
        weir.kill("SIGHUP");
        await waitFor(() =>
          weir.errors().includes(
            `reload: refused, everything stays as it was. Cannot use ${reason}`,
          ), reason);
        expect(await shownBy(weir.port)).toBe(fingerprintOf(one));
      }
      expect(childrenOf(weir.pid)).toEqual(children);
      write(weir, two);
      weir.kill("SIGHUP");
      await waitFor(async () => await shownBy(weir.port) === fingerprintOf(two));
    });
  }

  test("with one worker: TLS itself is neither switched on nor off", async () => {
    const { cert, key } = makeCertificate(NAMES);
    const config = "server: {tls_cert_file: cert.pem, tls_key_file: key.pem}\n";
    const weir = await launch({
      files: { "cert.pem": cert, "key.pem": key, "config.yaml": config },
      ca: cert,
    });
    running.push(weir);
    writeFileSync(join(weir.folder, "config.yaml"), "mock: {reply: new}\n");
    weir.kill("SIGHUP");
    await waitFor(() => weir.errors().includes("reload: "), "the reload");
    expect(weir.errors()).toContain("server.tls_cert_file stays set until weir is restarted");
    expect((await weir.health())["status"]).toBe("ok");
  });
});

describe.skipIf(!canMakeCertificates())("a port with TLS", () => {
  test("is nobody else's: a second weir is refused", async () => {
    const certificate = makeCertificate(NAMES);
    const weir = await start({}, certificate);
    const settings = Object.entries(TLS).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
    const second = await run(["serve", "--port", String(weir.port), ...settings], {
      files: { "cert.pem": certificate.cert, "key.pem": certificate.key },
    });
    expect(second.code).toBe(1);
    expect(second.errors).toContain("the port is taken");
  });

  test("weir check reads the files, too", async () => {
    const [one, two] = [makeCertificate(NAMES), makeCertificate(NAMES)];
    const settings = Object.entries(TLS).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
    const { code, errors } = await run(["check", ...settings], {
      files: { "cert.pem": one.cert, "key.pem": two.key },
    });
    expect(code).toBe(1);
    expect(errors).toContain("it is not the key of cert.pem");
  });
});
