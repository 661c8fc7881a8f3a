import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cleanEnv, launch, makeFolder, run, TEST_MS_MAX, waitFor, weirCommand } from "./launch.ts";

setDefaultTimeout(TEST_MS_MAX);

/** A folder that holds `files`, whose names may have a folder in front. */
function treeOf(files: Readonly<Record<string, string>>): string {
  const folder = makeFolder();
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

/** Runs weir in `folder`. */
async function runIn(folder: string, args: readonly string[], env: Record<string, string> = {}) {
  const child = Bun.spawn([...weirCommand(), ...args], {
    cwd: folder,
    env: cleanEnv(env),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { output, errors, code };
}

/** One sentence or a list of them, and no trace of the code. */
function expectNoStack(text: string): void {
  expect(text).not.toMatch(/^\s+at /m);
  expect(text).not.toMatch(/\.ts:\d|\$bunfs|Error:/);
}

describe("weir version", () => {
  for (const args of [["version"], ["--version"], ["-v"]]) {
    test(`${args.join(" ")} says version, commit and Bun's version`, async () => {
      const { code, output, errors } = await run(args);
      expect([code, errors]).toEqual([0, ""]);
      expect(output).toMatch(/^weir \d+\.\d+\.\d+ \(commit \S+, Bun 1\.4\.5\)\n$/);
    });
  }
});

describe("standard output", () => {
  test.if(existsSync("/dev/full"))("that is full ends every command with 1", async () => {
    for (const words of [["version"], ["help", "audit"], ["completion", "fish"]]) {
      const child = Bun.spawn([...weirCommand(), ...words], {
        env: cleanEnv(),
        stdout: Bun.file("/dev/full"),
        stderr: "pipe",
      });
      const errors = await new Response(child.stderr).text();
      expect(errors).toBe("weir: Cannot write to standard output: the disk is full\n");
      expect(await child.exited).toBe(1);
    }
  });
});

describe("weir help", () => {
  for (const args of [["help"], ["--help"], ["-h"]]) {
    test(`${args.join(" ")} names every command and option`, async () => {
      const { code, output, errors } = await run(args);
      expect([code, errors]).toEqual([0, ""]);
      const words = ["serve", "check", "version", "--config", "--host", "--port", "--set"];
      for (const word of words) expect(output).toContain(word);
    });
  }
});

test("weir help serve and weir serve --help print the same", async () => {
  const one = await run(["help", "serve"]);
  expect([one.code, one.errors]).toEqual([0, ""]);
  expect(one.output).toStartWith("Usage: weir serve [options]\n");
  expect(await run(["serve", "--help"])).toEqual(one);
});

describe("a wrong command line ends with 2 and one sentence", () => {
  const lines: readonly (readonly [readonly string[], string])[] = [
    [["sreve"], 'no command "sreve". Did you mean serve?'],
    [["help", "sreve"], 'no command "sreve". Did you mean serve?'],
    [["constructor"], 'no command "constructor"'],
    [["--prot", "1"], "Unknown option '--prot'. Did you mean --port?"],
    [["serve", "--frobnicate"], "--frobnicate"],
    [["serve", "extra"], "extra"],
    [["check", "--port"], "--port"],
    [["serve", "--set"], "--set"],
    [["serve", "--set", "mock.delay_ms"], "--set needs key.path=value"],
    [["serve", "--set", "=1"], "--set needs key.path=value"],
  ];
  for (const [args, part] of lines) {
    test(`weir ${args.join(" ")}`, async () => {
      const { code, output, errors } = await run(args);
      expect([code, output]).toEqual([2, ""]);
      expect(errors).toStartWith("weir: ");
      expect(errors).toContain(part);
      expect(errors.trimEnd().split("\n")).toHaveLength(1);
      expectNoStack(errors);
    });
  }
});

describe("weir check", () => {
  test("takes the file as its first word too", async () => {
    const files = { "mine.yaml": "mock:\n  delay_ms: 9\n" };
    const { code, output } = await run(["check", "mine.yaml"], { files });
    expect(code).toBe(0);
    expect(output).toContain("delay_ms: 9 # mine.yaml:2:13");
  });

  test("looks into the files of fixtures, as serve does", async () => {
    const files = { "config.yaml": "mock: {fixtures: [missing.yaml]}\n" };
    const { code, errors } = await run(["check"], { files });
    expect(code).toBe(1);
    expect(errors).toContain("missing.yaml: there is no such file or folder");
  });

  test("prints what is in force, where it came from, and no secret", async () => {
    const { code, output, errors } = await run(["check", "--set", "mock.delay_ms=7"], {
      files: { "config.yaml": "llm:\n  proxy: https://u:pass-word@a.example/\n" },
      env: { OPENAI_API_KEY: "sk-very-secret", WEIR_SERVER_PORT: "1234" },
    });
    expect([code, errors]).toEqual([0, ""]);
    expect(output).toStartWith("# config.yaml: ok");
    expect(output).toContain("delay_ms: 7 # --set mock.delay_ms");
    expect(output).toContain("port: 1234 # WEIR_SERVER_PORT");
    expect(output).toContain('api_key: "***"');
    expect(output).not.toMatch(/very-secret|pass-word/);
  });

  test("shows a URL without its user, and refuses one beside a key", async () => {
    const files = { "config.yaml": "llm:\n  base_url: https://u:pass-word@a.example/v1/\n" };
    const { code, output } = await run(["check"], { files });
    expect(code).toBe(0);
    expect(output).toContain("base_url: https://***@a.example/v1 # config.yaml:2:13");
    const refused = await run(["check"], { files, env: { OPENAI_API_KEY: "sk-very-secret" } });
    expect(refused.code).toBe(1);
    expect(refused.errors).toContain("config.yaml:2:13 llm.base_url: must be without a user");
    for (const text of [output, refused.output, refused.errors]) {
      expect(text).not.toMatch(/very-secret|pass-word/);
    }
  });

  test("without a file says so", async () => {
    const { code, output } = await run(["check"]);
    expect(code).toBe(0);
    expect(output).toContain("no config file");
  });

  test("tolerates the streaming response service's own keys, with one warning each", async () => {
    const { code, errors } = await run(["check"], {
      files: { "config.yaml": "llm:\n  ServiceProvider: openai\n  temperature: 1\n" },
    });
    expect(code).toBe(0);
    expect(errors.match(/weir: warning: /g)).toHaveLength(2);
  });
});

for (const command of ["serve", "check"]) {
  describe(`weir ${command} with a bad config ends with 1`, () => {
    test("and every problem at once, each with its place, and no secret", async () => {
      const text = [
        "server:",
        "  prot: 8080",
        "  port: 99999",
        "mock:",
        "  delay_ms: fast",
        "llm:",
        "  api_key: [sk-very-secret]",
        "nonsense: 1",
        "",
      ].join("\n");
      const { code, output, errors } = await run([command], {
        files: { "config.yaml": text },
        env: { WEIR_SERVER_DRAIN_MS: "soon", WEIR_AUTH_TOKEN: "tök\nen" },
      });
      expect([code, output]).toEqual([1, ""]);
      expect(errors).toMatch(/^weir: The config has 7 problems:$/m);
      expect(errors).toContain("config.yaml:2:3");
      expect(errors).toContain("port");
      expect(errors).toContain("config.yaml:3:9");
      expect(errors).toContain("config.yaml:5:13");
      expect(errors).toContain("config.yaml:8:1");
      expect(errors).toContain("WEIR_SERVER_DRAIN_MS");
      expect(errors).toContain("WEIR_AUTH_TOKEN");
      expect(errors).not.toMatch(/very-secret|tök/);
      expectNoStack(errors);
    });

    test("and one sentence when it is no YAML", async () => {
      const { code, errors } = await run([command], { files: { "config.yaml": "a: [1\nb: {" } });
      expect(code).toBe(1);
      expect(errors).toContain("config.yaml:");
      expectNoStack(errors);
    });
  });
}

describe("a file that cannot be read ends with 1 and one sentence", () => {
  const rows: readonly (readonly [readonly string[], string])[] = [
    [["--config", "gone.yaml"], "Cannot read the config gone.yaml: there is no such file"],
    [["-c", "."], "Cannot read the config .: EISDIR"],
    [["--set", "llm.ca_file=gone.pem"], "Cannot read llm.ca_file"],
    [
      ["--set", "upstreams=[{name: a, base_url: http://a.example, ca_file: gone.pem}]"],
      "Cannot read upstreams.0.ca_file",
    ],
  ];
  for (const [args, part] of rows) {
    test(`weir ${args.join(" ")}`, async () => {
      const { code, output, errors } = await run(args);
      expect([code, output]).toEqual([1, ""]);
      expect(errors).toContain(part);
      expect(errors.trimEnd().split("\n")).toHaveLength(1);
      expectNoStack(errors);
    });
  }

  test("an absolute llm.ca_file is taken as it is", async () => {
    const { errors } = await run(["--set", "llm.ca_file=/gone/own.pem"]);
    expect(errors).toContain("Cannot read llm.ca_file /gone/own.pem: there is no such file");
  });
});

describe("weir serve", () => {
  test("says where it listens, what answers, and what to try; what to try works", async () => {
    const weir = await launch({ set: { "mock.reply": "你好 🌊" } });
    const lines = weir.output().trimEnd().split("\n");
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/^weir \d\S* listens on http:\/\/127\.0\.0\.1:\d+$/);
    expect(lines[1]).toBe('mock: /v1/chat/completions answers "你好 🌊"');
    expect(lines[2]).toStartWith("try: curl -N ");
    const answer = await runShell(lines[2]!.slice("try: ".length));
    expect(answer).toContain("🌊");
    expect(answer).toEndWith("data: [DONE]\n\n");
    expect(weir.errors()).toBe("");
    await weir.stop();
  });

  test("names the upstream, without its password", async () => {
    const weir = await launch({
      set: { "llm.base_url": "http://user:pass-word@127.0.0.1:9/v1", "chat.api_key": "sk-secret" },
    });
    expect(weir.output()).toContain("proxy: /v1/chat/completions is answered by http://");
    expect(weir.output()).toContain("127.0.0.1:9/v1");
    expect(weir.output() + weir.errors()).not.toMatch(/pass-word|sk-secret/);
    await weir.stop();
  });

  test("is what weir does without a command", async () => {
    const folder = treeOf({});
    const child = Bun.spawn([...weirCommand(), "--port", "0", "--host", "localhost"], {
      cwd: folder,
      env: cleanEnv(),
      stdout: "pipe",
      stderr: "inherit",
    });
    let output = "";
    void (async () => {
      for await (const bytes of child.stdout) output += new TextDecoder().decode(bytes);
    })();
    await waitFor(() => output.includes("listens on http://localhost:"), "its first line");
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  });

  test("on every address says so, and how to reach it", async () => {
    const weir = await launch({ args: ["--host", "0.0.0.0"] });
    expect(weir.output()).toMatch(/listens on http:\/\/127\.0\.0\.1:\d+ \(0\.0\.0\.0\)/);
    await weir.stop();
  });

  test("asks for the key in what to try, and does not print it", async () => {
    const weir = await launch({ set: { "auth.token": "own-token" } });
    expect(weir.output()).toContain("authorization: Bearer");
    expect(weir.output()).not.toContain("own-token");
    await weir.stop();
  });

  test("on a taken port ends with 1 and one sentence that names another", async () => {
    const weir = await launch();
    const { code, output, errors } = await run(["--port", String(weir.port)]);
    expect([code, output]).toEqual([1, ""]);
    expect(errors).toContain(`Cannot listen on 127.0.0.1:${weir.port}: the port is taken`);
    expect(errors.trimEnd().split("\n")).toHaveLength(1);
    expectNoStack(errors);
    await weir.stop();
  });

  test("on an address that is not here ends with 1 and one sentence", async () => {
    const { code, errors } = await run(["--port", "0", "--host", "192.0.2.1"]);
    expect(code).toBe(1);
    expect(errors).toContain("Cannot listen on 192.0.2.1:0");
    expectNoStack(errors);
  });
});

describe("what wins", () => {
  const files = {
    "config.yaml": "mock:\n  reply: file\n",
    ".env": "WEIR_MOCK_REPLY=dotenv\n",
  };
  const env = { WEIR_MOCK_REPLY: "environment" };
  const rows: readonly (readonly [string, Parameters<typeof run>[1] & object, string[], string])[] =
    [
      ["default", {}, [], "powered by openai"],
      ["file over default", { files: { "config.yaml": files["config.yaml"] } }, [], "file"],
      [".env over file", { files }, [], "dotenv"],
      ["environment over .env", { files, env }, [], "environment"],
      ["flag over environment", { files, env }, ["--set", "mock.reply=flag"], "flag"],
    ];
  for (const [name, options, args, reply] of rows) {
    test(name, async () => {
      const { output } = await run(["check", ...args], options);
      expect(output).toMatch(new RegExp(`^  reply: ${reply}( #|$)`, "m"));
    });
  }
});

describe(".env", () => {
  const reply = async (folder: string, args: readonly string[] = []) => {
    const { output, errors, code } = await runIn(folder, ["check", ...args], {
      HOME: "/nonexistent",
    });
    expect([code, errors]).toEqual([0, ""]);
    return /^ {2}reply: (.*?)(?: #.*)?$/m.exec(output)![1];
  };

  test("in the current folder counts", async () => {
    expect(await reply(treeOf({ ".env": "WEIR_MOCK_REPLY=here\n" }))).toBe("here");
  });
  test("beside --config counts, and the current folder's does not", async () => {
    const folder = treeOf({
      "sub/weir.yaml": "",
      "sub/.env": "WEIR_MOCK_REPLY=beside\n",
      ".env": "WEIR_MOCK_REPLY=here\n",
    });
    expect(await reply(folder, ["--config", "sub/weir.yaml"])).toBe("beside");
    expect(await reply(folder, ["--config", join(folder, "sub/weir.yaml")])).toBe("beside");
  });
  test("of the current folder counts when there is none beside --config", async () => {
    const folder = treeOf({ "sub/weir.yaml": "", ".env": "WEIR_MOCK_REPLY=here\n" });
    expect(await reply(folder, ["--config", "sub/weir.yaml"])).toBe("here");
  });
  test("is not expanded: $ stays $", async () => {
    const folder = treeOf({ ".env": "WEIR_MOCK_REPLY=a$HOME${HOME}b\n" });
    expect(await reply(folder)).toBe("a$HOME${HOME}b");
  });
  test("may be quoted, commented, exported, and not in ASCII", async () => {
    const folder = treeOf({ ".env": '# hi\nexport WEIR_MOCK_REPLY="你好 🌊" # there\n' });
    expect(await reply(folder)).toBe("你好 🌊");
  });
  for (const name of [".env.local", ".env.production", ".env.development", ".env.test"]) {
    test(`${name} is nobody's business: the runtime does not read it either`, async () => {
      const folder = treeOf({ [name]: "WEIR_MOCK_REPLY=by the runtime\n" });
      expect(await reply(folder)).toBe("powered by openai");
    });
  }
  test("that does not count is not read by the runtime behind weir's back", async () => {
    const folder = treeOf({
      "sub/weir.yaml": "",
      "sub/.env": "WEIR_MOCK_DELAY_MS=3\n",
      ".env": "WEIR_MOCK_REPLY=here\nBUN_OPTIONS=--print=1\n",
    });
    expect(await reply(folder, ["--config", "sub/weir.yaml"])).toBe("powered by openai");
  });
  test("a bunfig.toml in the current folder runs nothing", async () => {
    const folder = treeOf({
      "bunfig.toml": 'preload = ["./preload.ts"]\n',
      "preload.ts": 'console.log("preloaded");\n',
    });
    if (!process.env["WEIR_BINARY"]) return; // from source, Bun itself reads it: the user runs Bun
    expect((await runIn(folder, ["check"])).output).not.toContain("preloaded");
  });
});

describe("ops.log", () => {
  const secrets = /sk-client|own-token|my prompt|你好|q-secret|Incorrect/;
  const ask = async (url: string, key = "own-token", role = "user") => {
    const answer = await fetch(`${url}/v1/chat/completions?key=q-secret`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "gpt-4o", messages: [{ role, content: "my prompt 你好" }] }),
    });
    await answer.text();
    return answer.status;
  };

  async function logOf(level: string): Promise<string[]> {
    const weir = await launch({ set: { "ops.log": level, "auth.token": "own-token" } });
    expect(await ask(weir.url)).toBe(200);
    expect(await ask(weir.url, "sk-client-key-that-is-wrong")).toBe(401);
    expect(await ask(weir.url, "own-token", "my prompt")).toBe(400);
    await (await fetch(`${weir.url}/v1/models?key=q-secret`)).text();
    await (await fetch(`${weir.url}/v1/my prompt?key=q-secret`)).text();
    weir.kill("SIGTERM");
    await weir.exited;
    const text = weir.errors();
    expect(text).not.toMatch(secrets);
    expect(text).not.toContain("own-token");
    await weir.stop();
    return text.split("\n").filter((line) => line !== "");
  }

  test("requests: one line for each, with its fields", async () => {
    const lines = await logOf("requests");
    expect(lines).toHaveLength(5);
    const [whole, keyless, wrong, models, unknown] = lines.map((line) => JSON.parse(line));
    expect(whole).toMatchObject({
      level: "info",
      event: "request",
      id: expect.stringMatching(/^req_[0-9a-f]{32}$/),
      surface: "v1_chat_completions",
      method: "POST",
      model: "gpt-4o",
      stream: false,
      status: 200,
      outcome: "completed",
      source: "mock",
      tokens_in: expect.any(Number),
      tokens_out: 4,
    });
    expect(whole.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(whole.bytes).toBeGreaterThan(100);
    expect(whole.duration_ms).toBeGreaterThanOrEqual(whole.first_byte_ms);
    expect(keyless).toMatchObject({ status: 401, outcome: "refused", error_code: "auth_wrong" });
    expect(wrong).toMatchObject({ status: 400, outcome: "refused" });
    expect(models).toMatchObject({ method: "GET", surface: "v1_models", status: 401 });
    expect(unknown).toMatchObject({
      method: "GET",
      surface: "no_surface",
      path: "/v1/my%20prompt",
      status: 404,
    });
  });
  test("errors: nothing for what clients did wrong", async () => {
    expect(await logOf("errors")).toEqual([]);
  });
  test("off: nothing at all", async () => {
    expect(await logOf("off")).toEqual([]);
  });
  test("off: not even an upstream that is gone", async () => {
    const weir = await launch({
      set: { "ops.log": "off", "llm.base_url": "http://127.0.0.1:1/v1", "llm.retries": 1 },
    });
    expect(await ask(weir.url)).toBe(502);
    expect(weir.errors()).toBe("");
    await weir.stop();
  });
});

async function runShell(command: string): Promise<string> {
  const child = Bun.spawn(["sh", "-c", command], { stdout: "pipe", stderr: "ignore" });
  return await new Response(child.stdout).text();
}
