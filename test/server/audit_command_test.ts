import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import type { AuditReport } from "../../src/load/audit/audit.ts";
import { CHECKS } from "../../src/load/audit/table.ts";
import { type Planted, startGateway } from "../load/audit/gateway.ts";
import { BROWSER_MS, describeInBrowser, launchBrowser } from "./browser.ts";
import { hasProgram } from "../deploy/program.ts";
import { canMakeCertificates, makeCertificate } from "./certificate.ts";
import { freePort } from "./free_port.ts";
import { cleanEnv, makeFolder, run, TEST_MS_MAX, waitFor, weirCommand } from "./launch.ts";
import { describeWith } from "./needs.ts";

/** Runs `weir audit` on a gateway of the tests, with further words. */
async function auditOf(planted: Planted, words: readonly string[]) {
  const port = freePort();
  const gateway = startGateway(planted, port);
  try {
    return await run([
      "audit",
      `http://127.0.0.1:${gateway.port}`,
      "--upstream-port",
      String(port),
      ...words,
    ]);
  } finally {
    gateway.stop();
  }
}

/** A server that says `answer` to whatever comes, or at once when nobody has to ask. */
function sayer(answer: string, isAsked = true) {
  const say = (socket: Bun.Socket<undefined>) => {
    socket.write(answer);
    socket.shutdown();
  };
  return Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: isAsked ? { data: say } : { open: say, data() {} },
  });
}

describe("weir audit", () => {
  test("exits with 0 when every limit held, and says what was found", async () => {
    const { code, output, errors } = await auditOf("none", ["--only", "limits,fidelity"]);
    expect(errors).toContain("The audit's upstream is http://127.0.0.1:");
    expect(errors).toContain("limits: ok");
    expect(output).toMatch(/^pass {2}fidelity\/numbers +the same bytes$/m);
    expect(output).toMatch(/0 failed, 0 void, 0 notes, 16 passed in [\d.]+ s/);
    expect(code).toBe(0);
  }, TEST_MS_MAX);

  test("exits with 1 when one did not, and shows limit, evidence and how to mend it", async () => {
    const { code, output } = await auditOf("leaked-header", ["--only", "headers"]);
    expect(output).toContain("FAIL  headers/hop-up: passing: x-weir-hop");
    expect(output).toMatch(/\n {6}limit {3}what Connection names/);
    expect(output).toMatch(/\n {6}\| x-weir-hop: weircanary/);
    expect(output).toMatch(/\n {6}mend {4}Drop the headers/);
    expect(code).toBe(1);
  }, TEST_MS_MAX);

  test("--fail-on says what counts as a failure", async () => {
    expect((await auditOf("leaked-header", ["--only", "headers", "--fail-on", "never"])).code)
      .toBe(0);
    expect((await auditOf("none", ["--only", "headers"])).code).toBe(0);
    const strict = await auditOf("none", ["--only", "headers", "--fail-on", "note", "--json"]);
    expect(strict.code).toBe(1);
    expect(strict.errors).toContain("headers: note headers/");
    expect(JSON.parse(strict.output)).toMatchObject({ failOn: "note", isFailed: true });
  }, TEST_MS_MAX);

  test("exits with 3 when what was found is void: the gateway went away", async () => {
    const port = freePort();
    const gateway = startGateway("none", port, 1); // enough for the greeting
    const { code, output } = await run([
      "audit",
      `http://127.0.0.1:${gateway.port}`,
      "--upstream-port",
      String(port),
      "--only",
      "limits",
    ]);
    expect(output).toContain("void  limits: it broke off:");
    expect(output).toContain("See whether the gateway still runs.");
    expect(code).toBe(3);
  }, TEST_MS_MAX);

  test("exits with 130 when it is interrupted, with the report so far", async () => {
    const port = freePort();
    const gateway = startGateway("none", port);
    const child = Bun.spawn([
      ...weirCommand(),
      "audit",
      `http://127.0.0.1:${gateway.port}`,
      "--upstream-port",
      String(port),
      "--only",
      "limits,hold-back,silence",
      "--json",
    ], { env: cleanEnv(), stdout: "pipe", stderr: "pipe" });
    let errors = "";
    void (async () => {
      for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) errors += text;
    })();
    await waitFor(() => errors.includes("limits: ok"));
    child.kill("SIGINT");
    const report = JSON.parse(await new Response(child.stdout).text()) as AuditReport;
    gateway.stop();
    expect(await child.exited).toBe(130);
    expect(report.isInterrupted).toBe(true);
    expect(report.findings.map(({ check }) => check)).toContain("limits");
    expect(report.findings.map(({ check }) => check)).not.toContain("silence");
  }, TEST_MS_MAX);

  const WRONG = [
    [[], "audit needs a URL, or --preset, and not both"],
    [["http://a", "--preset", "nginx"], "audit needs a URL, or --preset, and not both"],
    [["ftp://a"], 'audit needs an http:// or https:// URL, not "ftp://a"'],
    [["ftp://user:word@a/x?key=abc"], 'not "ftp://a/x?…"'],
    [["http://user:wo rd@a b?key=abc"], 'not "http://a b?…"'],
    [
      ["http://a", "--pid", "1", "--only", "limits"],
      "--pid is for back-pressure, which --only leaves",
    ],
    [["--preset", "weir", "--pid", "1"], "--preset starts one, and knows its process"],
    [
      ["http://a", "-H", "Content-Length: 3"],
      "--header cannot have Content-Length: an audit sends",
    ],
    [["http://a", "-H", "transfer-encoding: chunked"], "--header cannot have transfer-encoding"],
    [
      ["http://a", "-H", "Connection: close"],
      "--header cannot have Connection: an audit says that",
    ],
    [
      ["http://a", "-H", "accept-encoding: gzip, zstd"],
      "cannot read zstd, but gzip, deflate, br or",
    ],
    [["http://a", "--insecure"], "--insecure is about certificates"],
    [["http://a", "--long", "--json"], "--long is for the report on the terminal"],
    [
      ["http://a", "--quick", "--only", "limits"],
      "--quick shortens the check silence, which --only",
    ],
    [["http://a", "--html", "x", "--junit", "./x"], "--html and --junit are the same file: ./x"],
    [["http://a", "--html", "-", "--junit", "-"], "--html - and --junit - would be printed into"],
    [["http://a", "--json", "--html", "-"], "--json and --html - would be printed into"],
    [["http://a", "--long", "--html", "-"], "--long is for the report on the terminal"],
    [["http://a", "--ledger", "-"], "--ledger needs a file: its lines come while the audit runs"],
    [["http://u:p@a", "--gateway-key", "k"], "A request has one authorization"],
    [
      ["http://a", "-H", "Authorization: x", "--gateway-key", "k"],
      "A request has one authorization",
    ],
    [
      ["http://a", "--html", "/dev/null/x.html"],
      "Cannot write --html /dev/null/x.html: there is no such folder",
    ],
    [["http://a", "--junit", "/"], "Cannot write --junit /: it is a folder"],
    [
      ["http://a", "--ledger", "/dev/null/x"],
      "Cannot write --ledger /dev/null/x: there is no such folder",
    ],
    [["http://a", "--only", "cancle"], 'there is no check "cancle". Did you mean cancel?'],
    [["http://a", "--upstream-port", "70000"], "--upstream-port must be a whole number from 0"],
    [["http://a", "--preset", "apache"], "--preset must be nginx, nginx-buffered, portkey or weir"],
  ] as const;
  for (const [words, says] of WRONG) {
    test(`exits with 2: ${words.join(" ") || "no URL"}`, async () => {
      const { code, errors } = await run(["audit", ...words]);
      expect(errors).toContain(says);
      expect(code).toBe(2);
    }, TEST_MS_MAX);
  }
});

describe("weir audit, what it writes", () => {
  const full = existsSync("/dev/full");

  test.if(full)("a full disk under one file costs no other, and is told", async () => {
    const folder = makeFolder();
    const [html, junit, ledger] = ["a.html", "a.xml", "a.jsonl"].map((name) => join(folder, name));
    const words = ["--only", "limits", "--json"];
    const [one, other] = await Promise.all([
      auditOf("none", [...words, "--ledger", "/dev/full", "--html", html!, "--junit", junit!]),
      auditOf("none", [
        ...words,
        ...["--ledger", ledger!, "--html", "/dev/full", "--junit", "/dev/full"],
      ]),
    ]);
    const texts = [html!, junit!, ledger!].map((path) => readFileSync(path, "utf8"));
    rmSync(folder, { recursive: true });
    for (const { code, output, errors } of [one, other]) {
      expect((JSON.parse(output) as AuditReport).counts.pass).toBe(2);
      expect(errors).not.toContain("    at ");
      expect(code).toBe(1);
    }
    const told = /^weir: Cannot write \/dev\/full: the disk is full$/gm;
    expect(one.errors.match(told)).toHaveLength(1);
    expect(other.errors.match(told)).toHaveLength(2);
    expect(texts[0]).toContain("2 passed");
    expect(texts[1]).toContain('tests="2" failures="0"');
    expect(texts[2]).toContain('"kind":"request"');
  }, TEST_MS_MAX);

  test("- prints the page, or the XML, in place of the report", async () => {
    const [page, xml] = await Promise.all([
      auditOf("none", ["--only", "limits", "--html", "-"]),
      auditOf("none", ["--only", "limits", "--junit", "-"]),
    ]);
    expect(page.output).toMatch(/^<!doctype html>[^]*<\/html>\n$/i);
    expect(xml.output).toMatch(/^<\?xml [^]*<\/testsuites>\n$/);
    expect([page.code, xml.code]).toEqual([0, 0]);
  }, TEST_MS_MAX);
});

describe("weir audit says in a sentence", () => {
  const port = () => String(freePort());

  test("that nothing listens there", async () => {
    const { code, errors } = await run([
      "audit",
      `http://127.0.0.1:${freePort()}`,
      "--upstream-port",
      port(),
    ]);
    expect(errors).toMatch(/weir: Nothing listens on 127\.0\.0\.1:\d+: /);
    expect(code).toBe(3);
  }, TEST_MS_MAX);

  test("that its own port is taken", async () => {
    const taken = sayer("");
    const { code, errors } = await run([
      "audit",
      "http://127.0.0.1:1",
      "--upstream-port",
      String(taken.port),
    ]);
    taken.stop(true);
    expect(errors).toMatch(
      /weir: The audit's upstream cannot listen on 127\.0\.0\.1:\d+: EADDRINUSE/,
    );
    expect(code).toBe(3);
  }, TEST_MS_MAX);

  const SAYS = [
    ["what is no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", /does not speak HTTP\/1\.1: it said "SSH-2\.0/],
    [
      "that it wants a key",
      "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
      /answers 401: it wants a key\. Give one with --gateway-key/,
    ],
    [
      "that it redirects, and where",
      "HTTP/1.1 308 Permanent Redirect\r\nlocation: https://b.test/v1\r\ncontent-length: 0\r\n\r\n",
      /answers 308 and redirects to https:\/\/b\.test\/v1: audit that URL/,
    ],
    [
      "that it never asks the upstream",
      "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
      /answers 200 by itself and does not ask the upstream at http:\/\/127\.0\.0\.1:\d+\/v1: configure that as its upstream \(what it said: hello\)/,
    ],
    ["that it closes without an answer", "", /closed the connection without an answer/],
    [
      "that it speaks TLS",
      "\x15\x03\x01\x00\x02\x02\x0a",
      /What listens on 127\.0\.0\.1:\d+ speaks TLS: try https:\/\/127/,
    ],
    [
      "that it speaks no TLS",
      "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
      /What listens on 127\.0\.0\.1:\d+ speaks no TLS: try http:\/\/127/,
      ["https", "--insecure"],
    ],
    [
      "that the TLS handshake fails",
      "",
      /The TLS handshake with 127\.0\.0\.1:\d+ failed: /,
      ["https"],
    ],
  ] as const;
  for (const [what, answer, says, [scheme, ...words] = ["http"]] of SAYS) {
    test(what, async () => {
      const server = sayer(answer);
      const { code, errors } = await run([
        "audit",
        `${scheme}://127.0.0.1:${server.port}`,
        "--upstream-port",
        port(),
        ...words,
      ]);
      server.stop(true);
      expect(errors).toMatch(says);
      expect(code).toBe(3);
    }, TEST_MS_MAX);
  }

  for (const [host, listens] of [["127.0.0.1"], ["localhost"], ["[::1]", "::"]] as const) {
    test(`that ${host} and the port are its own upstream's`, async () => {
      const own = port();
      const { code, errors } = await run([
        "audit",
        `http://${host}:${own}`,
        "--upstream-port",
        own,
        ...(listens === undefined ? [] : ["--upstream-host", listens]),
      ]);
      expect(errors).toContain(`weir: ${host}:${own} is the audit's own upstream`);
      expect(code).toBe(3);
    }, TEST_MS_MAX);
  }

  test("nothing of a relay of bytes, which says what the upstream says", async () => {
    expect((await auditOf("relay", ["--only", "limits"])).code).toBe(0);
  }, TEST_MS_MAX);

  describeWith(canMakeCertificates(), "openssl", "over TLS", () => {
    test("that it speaks TLS, where it closes on a request without an answer", async () => {
      const { cert, key } = makeCertificate(["DNS:localhost"]);
      const gateway = createServer({ cert, key }).on("tlsClientError", (_, socket) => {
        socket.destroy();
      }).listen(0, "127.0.0.1");
      await once(gateway, "listening");
      const at = `127.0.0.1:${(gateway.address() as AddressInfo).port}`;
      const { code, errors } = await run(["audit", `http://${at}`, "--upstream-port", port()]);
      gateway.close();
      expect(errors).toContain(`weir: What listens on ${at} speaks TLS: try https://${at}`);
      expect(code).toBe(3);
    }, TEST_MS_MAX);

    test("that the certificate is not trusted; --insecure takes it all the same", async () => {
      const upstreamPort = freePort();
      const { cert, key } = makeCertificate(["DNS:localhost"]);
      const gateway = Bun.serve({
        port: 0,
        tls: { cert, key },
        fetch: async (request) =>
          await fetch(`http://127.0.0.1:${upstreamPort}/v1`, {
            method: "POST",
            body: await request.text(),
          }),
      });
      const words = [
        "audit",
        `https://127.0.0.1:${gateway.port}`,
        "--upstream-port",
        String(upstreamPort),
        "--only",
        "limits",
      ];
      const distrusted = await run(words);
      expect(distrusted.errors).toMatch(
        /The certificate of 127\.0\.0\.1:\d+ is not trusted \([A-Z_]+\): --insecure audits it/,
      );
      expect(distrusted.code).toBe(3);
      const taken = await run([...words, "--insecure"]);
      expect(taken.output).toContain("0 failed, 0 void, 0 notes, 2 passed");
      expect(taken.code).toBe(0);
      await gateway.stop(true);
    }, TEST_MS_MAX);
  });

  test("that the memory of a process cannot be read", async () => {
    const { code, errors } = await run(["audit", "http://127.0.0.1:1", "--pid", "4194304"]);
    expect(errors).toContain("--pid: the memory of process 4194304 cannot be read");
    expect(code).toBe(3);
  }, TEST_MS_MAX);

  test("that the preset's program is not installed", async () => {
    const { code, errors } = await run(["audit", "--preset", "portkey"], {
      env: { PATH: "/nonexistent" },
    });
    expect(errors).toContain("node is not installed here. Try: nodejs.org");
    expect(code).toBe(3);
  }, TEST_MS_MAX);
});

describe("weir audit of what cannot be audited", () => {
  test("writes every report that was asked for, with the reason, and no secret", async () => {
    const folder = mkdtempSync(join(tmpdir(), "weir-test-"));
    const server = sayer(
      "HTTP/1.1 308 Permanent Redirect\r\nlocation: /b?key=optionkey\r\ncontent-length: 0\r\n\r\n",
    );
    const { code, output, errors } = await run([
      "audit",
      `http://username:userword@127.0.0.1:${server.port}/a?key=optionkey`,
      "--upstream-port",
      String(freePort()),
      "--json",
      "--html",
      join(folder, "a.html"),
      "--junit",
      join(folder, "a.xml"),
    ]);
    server.stop(true);
    const [html, xml] = ["a.html", "a.xml"].map((name) => readFileSync(join(folder, name), "utf8"));
    rmSync(folder, { recursive: true });
    expect(code).toBe(3);
    expect(JSON.parse(output)).toMatchObject({
      error: expect.stringContaining("The gateway answers 308 and redirects to /b"),
      findings: [],
    });
    expect(html).toContain("The gateway answers 308");
    expect(xml).toContain('<error type="not audited" message="The gateway answers 308');
    expect(xml).toContain('tests="1" failures="0" errors="1"');
    const all = [output, errors, html, xml].join("\n");
    expect(all).not.toMatch(/username|userword|optionkey/);
    expect(all).not.toContain(Buffer.from("username:userword").toString("base64"));
  }, TEST_MS_MAX);

  test("writes them when it is interrupted while it waits, too", async () => {
    const child = Bun.spawn([
      ...weirCommand(),
      "audit",
      `http://127.0.0.1:${freePort()}`,
      "--wait",
      "60",
      "--json",
    ], { env: cleanEnv(), stdout: "pipe", stderr: "pipe" });
    let errors = "";
    void (async () => {
      for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) errors += text;
    })();
    await waitFor(() => /Waiting, for \d+ s at most/.test(errors));
    child.kill("SIGINT");
    const report = JSON.parse(await new Response(child.stdout).text()) as AuditReport;
    expect(await child.exited).toBe(130);
    expect(report).toMatchObject({ isInterrupted: true, error: "Interrupted", findings: [] });
  }, TEST_MS_MAX);
});

test("weir audit sends the user of the URL as Basic, and shows it nowhere", async () => {
  const port = freePort();
  const asked = new Set<string | null>();
  const gateway = Bun.serve({
    port: 0,
    // An upstream that refuses is one of the things that are tried.
    error: () => new Response("no upstream", { status: 502 }),
    fetch: async (request) => {
      asked.add(request.headers.get("authorization"));
      return await fetch(`http://127.0.0.1:${port}/v1${new URL(request.url).search}`, {
        method: "POST",
        headers: request.headers,
        body: await request.text(),
      });
    },
  });
  const folder = mkdtempSync(join(tmpdir(), "weir-test-"));
  const files = ["a.html", "a.xml", "a.jsonl"].map((name) => join(folder, name));
  const { output, errors } = await run([
    "audit",
    `http://username:user%20word@127.0.0.1:${gateway.port}/v1?key=optionkey`,
    "--upstream-port",
    String(port),
    "--only",
    "limits,headers",
    "--json",
    "--html",
    files[0]!,
    "--junit",
    files[1]!,
    "--ledger",
    files[2]!,
  ]);
  await gateway.stop(true);
  const basic = Buffer.from("username:user word").toString("base64");
  const texts = [output, errors, ...files.map((file) => readFileSync(file, "utf8"))];
  rmSync(folder, { recursive: true });
  expect([...asked]).toEqual([`Basic ${basic}`]);
  expect(texts[4]).toContain('"kind":"request"');
  for (const text of texts) {
    expect(text).not.toMatch(/username|user(?:%20| )word|optionkey/);
    expect(text).not.toContain(basic);
  }
}, TEST_MS_MAX);

test("weir audit --quick finds swallowed comments, in a silence of 3 s", async () => {
  const { code, output } = await auditOf("no-comments", ["--quick", "--only", "silence"]);
  expect(output).toContain(
    "FAIL  silence/3s-comments: whole, but the upstream's comments were swallowed",
  );
  expect(output).toMatch(/^pass {2}silence\/3s +whole$/m);
  expect(code).toBe(1);
}, TEST_MS_MAX);

describe("weir audit --preset", () => {
  test("weir starts this program, with a key of its own", async () => {
    const { code, output, errors } = await run([
      "audit",
      "--preset",
      "weir",
      "--only",
      "headers,retries,truncation",
    ]);
    expect(errors).toMatch(/auditing weir \(http:\/\/127\.0\.0\.1:\d+\/v1\/chat\/completions\)/);
    expect(output).toMatch(
      /^pass {2}headers\/own-key +in none of \d+ different errors, in none of \d+ other answers$/m,
    );
    expect(output).toMatch(/^pass {2}headers\/key-up +in none of \d+ requests$/m);
    expect(output).toMatch(/^pass {2}headers\/credentials-up +none of them$/m);
    expect(output).toMatch(/^pass {2}retries\/503 +503: 3 attempts/m);
    expect(output).toContain("\n0 failed, 0 void, ");
    expect(code).toBe(0);
  }, TEST_MS_MAX);

  describeWith(hasProgram("nginx"), "nginx", "nginx", () => {
    test("nginx-buffered holds events back, and nginx does not", async () => {
      const words = ["audit", "--only", "hold-back,limits", "--preset"];
      const [buffered, unbuffered] = await Promise.all([
        run([...words, "nginx-buffered"]),
        run([...words, "nginx"]),
      ]);
      expect(buffered.output).toContain("FAIL  hold-back/event: ");
      expect(buffered.code).toBe(1);
      expect(unbuffered.output).not.toContain("FAIL");
      expect(unbuffered.output).toMatch(/^pass {2}limits\/headers +all 9$/m);
    }, TEST_MS_MAX);

    /** Starts an audit of nginx that takes long, and waits until it is under way. */
    async function slowAudit() {
      const folder = makeFolder();
      const child = Bun.spawn(
        [...weirCommand(), "audit", "--preset", "nginx", "--only", "silence", "--json"],
        { env: cleanEnv({ TMPDIR: folder }), stdout: "pipe", stderr: "pipe" },
      );
      let errors = "";
      void (async () => {
        for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) errors += text;
      })();
      const port = await waitFor(() => /auditing nginx .*?:(\d+)\/v1/.exec(errors)?.[1]);
      const isOver = async () => {
        const listens = await fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false);
        return !listens && readdirSync(folder).length === 0;
      };
      return { child, folder, isOver };
    }

    test("a closed terminal ends it with the report so far, and the gateway with it", async () => {
      const { child, folder, isOver } = await slowAudit();
      child.kill("SIGHUP");
      const report = JSON.parse(await new Response(child.stdout).text()) as AuditReport;
      expect(await child.exited).toBe(130);
      expect(report.isInterrupted).toBe(true);
      expect(await isOver()).toBe(true);
      rmSync(folder, { recursive: true });
    }, TEST_MS_MAX);

    test("its gateway and folder go with an audit that is killed", async () => {
      const { child, folder, isOver } = await slowAudit();
      expect(await isOver()).toBe(false);
      child.kill("SIGKILL");
      await child.exited;
      await waitFor(isOver, "the end of the gateway");
      rmSync(folder, { recursive: true });
    }, TEST_MS_MAX);
  });
});

describe("weir audit --json, --html and --junit", () => {
  let folder: string;
  let report: AuditReport;
  const path = (name: string) => join(folder, name);

  test("write one report in three forms", async () => {
    folder = mkdtempSync(join(tmpdir(), "weir-test-"));
    const { code, output } = await auditOf("lost-byte", [
      "--only",
      "bytes,limits",
      "--json",
      "--html",
      path("audit.html"),
      "--junit",
      path("audit.xml"),
    ]);
    report = JSON.parse(output) as AuditReport;
    expect(code).toBe(1);
    expect(existsSync(path("audit.html")) && existsSync(path("audit.xml"))).toBe(true);
  }, TEST_MS_MAX);

  test("the JSON has every field that docs/audit.md names", () => {
    expect(report).toMatchObject({
      schema: 1,
      gateway: expect.stringContaining("http://127.0.0.1:"),
      isInterrupted: false,
      checks: CHECKS.filter(({ name }) => name === "bytes" || name === "limits")
        .map(({ name, title }) => ({ name, title })),
    });
    expect(Date.parse(report.startedAt)).toBeGreaterThan(0);
    expect(report.seconds).toBeGreaterThanOrEqual(0);
    expect(report.machineLateMsMax).toBeGreaterThanOrEqual(0);
    const verdicts = ["fail", "void", "note", "pass"] as const;
    for (const verdict of verdicts) {
      expect(report.counts[verdict]).toBe(
        report.findings.filter((one) => one.verdict === verdict).length,
      );
    }
    for (const one of report.findings) {
      expect(verdicts).toContain(one.verdict);
      expect(one.name === one.check || one.name.startsWith(`${one.check}/`)).toBe(true);
      expect(one.limit.length * one.measured.length).toBeGreaterThan(0);
      expect(one.mend === "").toBe(one.verdict === "pass");
      expect(Array.isArray(one.evidence)).toBe(true);
    }
  });

  test("the XML parses, and counts as JUnit's readers do", () => {
    interface Case {
      readonly "@classname": string;
      readonly "@name": string;
      readonly "@time": string;
      readonly failure?: { readonly "@message": string; readonly "#text": string };
    }
    interface Suite {
      readonly "@name": string;
      readonly "@failures": string;
      readonly "@time": string;
      readonly testcase: readonly Case[];
    }
    const { XML } = Bun as unknown as { readonly XML: { parse(text: string): unknown } };
    const { testsuites } = XML.parse(readFileSync(path("audit.xml"), "utf8")) as {
      readonly testsuites: {
        readonly "@tests": string;
        readonly "@failures": string;
        readonly testsuite: readonly Suite[];
      };
    };
    expect(Number(testsuites["@tests"])).toBe(report.findings.length);
    expect(Number(testsuites["@failures"])).toBe(report.counts.fail);
    expect(testsuites.testsuite.map((suite) => suite["@name"])).toEqual(["bytes", "limits"]);
    const cases = testsuites.testsuite.flatMap(({ testcase }) => testcase);
    const nameOf = (one: Case) => `${one["@classname"]}/${one["@name"]}`;
    expect(cases.map(nameOf)).toEqual(report.findings.map(({ name }) => `weir.audit.${name}`));
    for (const suite of testsuites.testsuite) {
      const sum = suite.testcase.reduce((total, one) => total + Number(one["@time"]), 0);
      expect(Math.abs(sum - Number(suite["@time"]))).toBeLessThan(0.05);
    }
    const failed = cases.filter(({ failure }) => failure !== undefined);
    expect(failed.map(nameOf)).toEqual(
      report.findings.filter(({ verdict }) => verdict === "fail")
        .map(({ name }) => `weir.audit.${name}`),
    );
    expect(failed[0]!.failure!["@message"]).toContain("1 event changed: ");
  });

  describeInBrowser("the page", () => {
    test("opens on a phone in the dark, asks for nothing and fits", async () => {
      const browser = await launchBrowser();
      try {
        const page = await (await browser.newContext({
          viewport: { width: 360, height: 740 },
          colorScheme: "dark",
        })).newPage();
        const asked: string[] = [];
        const complaints: string[] = [];
        page.on("request", (request) => asked.push(request.url()));
        page.on("console", (message) => complaints.push(message.text()));
        page.on("pageerror", (error) => complaints.push(error.message));
        await page.goto(`file://${path("audit.html")}`);
        expect(asked).toEqual([`file://${path("audit.html")}`]);
        expect(complaints).toEqual([]);
        expect(await page.locator("details").count()).toBe(report.findings.length);
        expect(await page.locator("details[open]").count()).toBe(
          report.counts.fail + report.counts.void,
        );
        expect(await page.locator("details[open] pre").first().innerText()).toContain("SHA-256");
        expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(
          360,
        );
        const dark = await page.evaluate("getComputedStyle(document.body).backgroundColor");
        expect(dark).toBe("rgb(16, 20, 24)");
      } finally {
        await browser.close();
      }
    }, BROWSER_MS);
  });

  test("their folder goes away", () => rmSync(folder, { recursive: true }));
});
