import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { stubServer } from "../load/stub_server.ts";
import { launch, makeFolder, run, TEST_MS_MAX, type Weir, weirCommand } from "./launch.ts";

const CALM = ["--max-loop-ms", "10000"];

describe("weir load --html", () => {
  const folder = makeFolder();
  const file = (name: string) => join(folder, name);
  const page = (name: string) => readFileSync(file(name), "utf8");
  /** A page that does not is too long to be shown. */
  const says = (name: string, words: string) => page(name).includes(words);
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({ set: { "mock.delay_ms": 5 } });
  }, TEST_MS_MAX);
  afterAll(async () => {
    await weir.stop();
    rmSync(folder, { recursive: true });
  });

  test(
    "writes a page beside what it prints, and what a server repeats is no secret on it",
    async () => {
      const secrets = {
        header: "tk-header-4711",
        cookie: "ck-4712-cookie",
        user: "us-er-4713",
        password: "pass:w%rd4714",
        query: "qu-ery-4715",
        body: "bo-dy-4716",
        // Nobody sent it, and it looks like a key.
        foreign: "sk-proj-abcdefgh12345678",
      };
      const said = JSON.stringify({
        error: {
          message: `No: ${Object.values(secrets).join(" ")} <script>alert("门🔥")</script>`,
        },
      });
      const server = stubServer(() => ({
        pieces: [
          "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\n" +
          `content-length: ${Buffer.byteLength(said)}\r\n\r\n${said}`,
        ],
      }));
      const { header, cookie, user, password, query, body } = secrets;
      const login = `${user}:${encodeURIComponent(password)}`;
      const ended = await run([
        "load",
        `http://${login}@127.0.0.1:${server.port}/v1/chat/completions?api-key=${query}`,
        ...["--requests", "5", "-c", "1", "-H", `Authorization: Bearer ${header}`],
        ...["-H", `Cookie: session=${cookie}`, "--html", file("secret.html"), ...CALM],
        ...["-d", JSON.stringify({ stream: true, messages: [], api_key: body })],
      ]);
      server.stop();
      expect(ended.code).toBe(1);
      const html = page("secret.html");
      for (const [name, secret] of Object.entries(secrets)) {
        expect(html, name).not.toContain(
          secret,
        );
      }
      expect(html).not.toContain(encodeURIComponent(password));
      expect(html).toContain(`http://127.0.0.1:${server.port}/v1/chat/completions?…`);
      expect(html).toContain("No: *** *** *** ");
      expect(html).toContain("&#60;script&#62;alert(&#34;门🔥&#34;)");
    },
    TEST_MS_MAX,
  );

  test("several loads, several processes, and what is made of files", async () => {
    const load = (words: readonly string[]) => run(["load", weir.url, ...words, ...CALM]);
    const stages = await load([
      ...["-c", "1,2", "--requests", "12", "--html", file("stages.html")],
      ...["-o", file("stages.json")],
    ]);
    expect(stages.code).toBe(0);
    expect(says("stages.html", "Rate against latency")).toBe(true);
    expect(says("stages.html", "1 at once")).toBe(true);
    const workers = await load([
      ...["-r", "40", "--requests", "12", "--workers", "2", "--html", file("workers.html")],
      ...["--slo", "e2e=60s"],
    ]);
    expect(workers.code).toBe(0);
    expect(says("workers.html", "<dt>workers</dt><dd><bdi>2</bdi>")).toBe(true);
    expect(says("workers.html", "<bdi>e2e 60000 ms, for 99 % of the requests</bdi>")).toBe(true);
    expect(says("workers.html", `<h1>${weir.url}/v1/chat/completions</h1>`)).toBe(true);
    expect(/>fastest[^<]*<\/span>/.test(page("workers.html"))).toBe(true);
    const parts = ["1/2", "2/2"].map((shard, at) => [
      ...["-r", "40", "--requests", "12", "--shard", shard, "-o", file(`part${at}.json`)],
    ]);
    await Promise.all(parts.map(load));
    const merged = await run([
      ...["load", "merge", file("part0.json"), file("part1.json")],
      ...["--html", file("merged.html")],
    ]);
    expect(merged.errors).toBe("");
    expect(says("merged.html", "40/s poisson")).toBe(true);
    expect(/>fastest[^<]*<\/span>/.test(page("merged.html"))).toBe(true);
    const both = [file("stages.json"), file("stages.json")];
    const compared = await run(["load", "compare", ...both, "--html", file("compared.html")]);
    expect(compared.code).toBe(0);
    expect(says("compared.html", "Nothing is slower or faster")).toBe(true);
    if (existsSync("/dev/full")) {
      const full = await run(["load", "compare", ...both, "--html", "/dev/full"]);
      expect(full.code).toBe(1);
      expect(full.output).toContain("failed: 0.0 %, then 0.0 %");
      expect(full.errors).toContain("Cannot write /dev/full: the disk is full");
    }
  }, TEST_MS_MAX);

  test("a load that is broken off has a page", async () => {
    const child = Bun.spawn([
      ...weirCommand(),
      ...["load", weir.url, "-r", "50", "--duration", "60s", "--html", file("broken.html")],
    ], { stdout: "ignore", stderr: "pipe" });
    // It tells of itself once it is under way.
    for await (const _ of child.stderr) {
      child.kill("SIGINT");
      break;
    }
    expect(await child.exited).toBe(130);
    expect(says("broken.html", "This is what there was until then.")).toBe(true);
  }, TEST_MS_MAX);

  test("a page that cannot be written is told", async () => {
    const where = join(folder, "nowhere", "a.html");
    const ended = await run(["load", weir.url, "--requests", "1", "--html", where, ...CALM]);
    expect(ended.errors).toContain(`Cannot write --html ${where}: there is no such folder`);
    expect(ended.code).toBe(2);
  }, TEST_MS_MAX);

  test("a burst has none", async () => {
    const ended = await run(["load", weir.url, "-n", "1", "--html", file("burst.html")]);
    expect(ended.errors).toContain("--streams is of a burst, --html of a load: one of them");
    expect(ended.code).toBe(2);
  });
});
