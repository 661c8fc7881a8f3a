import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import type { Config } from "../../src/config/config.ts";
import { makeFolder, REPOSITORY, run } from "../server/launch.ts";

const UNIT = "etc/systemd/system/weir.service";
const SITE = "etc/nginx/conf.d/weir.conf";
const CONFIG = "etc/weir/config.yaml";
const IN_STATE = "sqlite:///var/lib/weir/weir.db";
const PROGRAM = "usr/local/bin/weir";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function makeRoot(): string {
  const folder = makeFolder();
  folders.push(folder);
  return folder;
}

const YAML = `server:
  host: "::1"
  port: 9100
  drain_ms: 60000
  body_max_bytes: 1000
llm:
  api_key_file: llm_api_key
auth:
  token_file: /run/keys/token
`;

const NAMELESS = "weir: warning: without a token, what has a memory is answered to clients that " +
  "ask by address only: give the site's name with --server-name, or set auth.token\n";
const PROXIES = "Environment=WEIR_SERVER_TRUSTED_PROXIES=[127.0.0.1,::1]";
const METRICS = "Environment=WEIR_OPS_METRICS_PORT=9464";

describe("weir install", () => {
  test("prints both files as shipped when there is no config, and one to begin with", async () => {
    const { code, output, errors } = await run(["install"]);
    const shipped = (name: string) => readFileSync(join(REPOSITORY, "src/deploy", name), "utf8");
    expect([code, errors]).toEqual([0, NAMELESS]);
    const parts = `# /${UNIT}\n${shipped("weir.service")}\n# /${SITE}\n${shipped("nginx.conf")}\n`;
    expect(output).toStartWith(`${parts}# /${CONFIG}\n# Every setting of weir`);
  });

  test("fills in what the config says", async () => {
    const { code, output } = await run(
      [
        "install",
        "--config=config.yaml",
        "--server-name",
        "llm.example.org",
        "--set",
        "ops.log=off",
      ],
      { files: { "config.yaml": YAML, llm_api_key: "sk-1\n" }, env: { WEIR_AUTH_TOKEN_FILE: "t" } },
    );
    // The file at /run/keys/token cannot be read here: the environment names another one.
    expect(code).toBe(1);
    expect(output).toBe("");
    const found = await run(["install", "--server-name", "llm.example.org"], {
      files: { "config.yaml": YAML, llm_api_key: "sk-1\n", t: "secret" },
      env: { WEIR_AUTH_TOKEN_FILE: "t" },
    });
    for (
      const line of [
        "TimeoutStopSec=75",
        "LoadCredential=llm_api_key:/etc/weir/llm_api_key",
        "LoadCredential=t:/etc/weir/t",
        "    server [::1]:9100;",
        "    server_name llm.example.org;",
        "    client_max_body_size 1000;",
      ]
    ) expect(found.output).toContain(`\n${line}\n`);
    expect(found.output).not.toContain("sk-1");
    expect(found.output).not.toContain("secret");
  });

  test("hands every file with a secret over, and says which are to be put there", async () => {
    const root = makeRoot();
    const yaml = `auth: {tokens: [{name: t, token_file: /run/keys/t}]}
upstreams: [{name: a, base_url: "https://a.example", api_key_file: a.key}, {name: b, base_url: "https://b.example", api_key: sk-b}]
keys: [{name: web, token_file: web.key}, {name: ci, token: ci-key}]
`;
    const files = { "config.yaml": yaml, "a.key": "sk-1", "web.key": "web" };
    const there = makeRoot();
    writeFileSync(join(there, "t"), "operator");
    const { code, output, errors } = await run(["install", "--write", "--root", root], {
      files,
      env: { CREDENTIALS_DIRECTORY: there },
    });
    expect(code).toBe(0);
    const unit = readFileSync(join(root, UNIT), "utf8");
    for (const name of ["a.key:/etc/weir/a.key", "t:/run/keys/t", "web.key:/etc/weir/web.key"]) {
      expect(unit).toContain(`\nLoadCredential=${name}\n`);
    }
    expect(output).toContain(
      "next: put the secrets there, for root alone: /etc/weir/a.key, /run/keys/t, /etc/weir/web.key\n",
    );
    const openly = [...errors.matchAll(/(\S+ of \w+) can be read .* use (\w+) instead/g)]
      .map(([, what, instead]) => [what, instead]);
    expect(openly).toEqual([["api_key of b", "api_key_file"], ["token of ci", "token_file"]]);
  });

  test("puts the socket file into the site", async () => {
    const { output, errors } = await run([
      ...["install", "--set", "server.unix=/run/weir/weir.sock"],
      ...["--set", "server.streams_per_client_max=4"],
    ]);
    expect(output).toContain("\n    server unix:/run/weir/weir.sock;\n");
    // Who may connect to a socket file is believed anyway: here it tells that the public is let in.
    expect(output).toContain(`\n${PROXIES}\n`);
    expect(errors).toBe(NAMELESS);
  });

  test("check warns of a limit that all clients of a proxy would share", async () => {
    const limit = ["--set", "server.streams_per_client_max=4"];
    const alone = await run(["check", ...limit]);
    expect(alone.code).toBe(0);
    expect(alone.errors).toContain("warning: server.trusted_proxies is empty");
    const named = await run(["check", ...limit, "--set", "server.trusted_proxies=[127.0.0.1]"]);
    expect([named.code, named.errors]).toEqual([0, ""]);
  });

  const SITES: readonly (readonly [
    name: string,
    args: readonly string[],
    lines: readonly string[],
    gone?: RegExp,
  ])[] = [
    ["a site of any name", [], [PROXIES, METRICS], /SERVER_HOSTS/],
    ["a site with a name", ["--server-name", "Chat.example.com"], [
      "Environment=WEIR_SERVER_HOSTS=[chat.example.com]",
      PROXIES,
      METRICS,
    ]],
    ["a site with names that nginx understands", ["--server-name", "a.example *.b.example _ ~x"], [
      'Environment="WEIR_SERVER_HOSTS=[a.example,\\"*.b.example\\"]"',
    ]],
    [
      "a config that has names of its own",
      ["--server-name", "a.example", "--set", "server.hosts=[b.example]"],
      ["Environment=WEIR_SERVER_HOSTS=[b.example,a.example]"],
    ],
    [
      "a config that knows the name",
      ["--server-name", "a.example", "--set", "server.hosts=[a.example]"],
      [PROXIES],
      /SERVER_HOSTS/,
    ],
    ["a config that says where metrics are", ["--set", "ops.metrics_port=9000"], [PROXIES], /9464/],
    [
      "a config that names its proxies",
      ["--set", "server.trusted_proxies=[10.0.0.1]"],
      [METRICS],
      /TRUSTED_PROXIES/,
    ],
    ["an address of this machine", ["--set", "server.host=10.1.2.3"], [
      "Environment=WEIR_SERVER_TRUSTED_PROXIES=[10.1.2.3]",
    ]],
  ];
  for (const [name, args, lines, gone] of SITES) {
    test(`tells weir of nginx in front of it: ${name}`, async () => {
      const { code, output } = await run(["install", ...args]);
      expect(code).toBe(0);
      for (const line of lines) expect(output).toContain(`\n${line}\n`);
      if (gone !== undefined) expect(output).not.toMatch(gone);
      // What the unit says is what weir understands.
      const env = Object.fromEntries(
        [...output.matchAll(/^Environment="?(WEIR_(?:SERVER|OPS)_\w+)=(.*?)"?$/gm)]
          .map(([, key, value]) => [key!, value!.replaceAll("\\", "")]),
      );
      expect((await run(["check"], { env })).errors).toBe("");
    });
  }

  test("writes below a root, keeps a config that is there, and overwrites only when told", async () => {
    const root = makeRoot();
    const files = { "config.yaml": "server:\n  port: 9100\n" };
    const first = await run(["install", "--write", "--root", root], { files });
    expect([first.code, first.errors]).toEqual([0, NAMELESS]);
    // What the service needs to know of its machine is where every command finds it.
    expect(parse(readFileSync(join(root, CONFIG), "utf8"))).toEqual({
      server: { port: 9100, trusted_proxies: ["127.0.0.1", "::1"] },
      memory: { url: IN_STATE },
      ops: { metrics_port: 9464 },
    });
    expect(readFileSync(join(root, SITE), "utf8")).toContain("server 127.0.0.1:9100;");
    expect(readFileSync(join(root, UNIT), "utf8")).toContain("ExecStart=/usr/local/bin/weir serve");
    const isBinary = Boolean(process.env["WEIR_BINARY"]);
    expect(existsSync(join(root, PROGRAM))).toBe(isBinary);
    if (isBinary) expect(statSync(join(root, PROGRAM)).mode & 0o777).toBe(0o755);

    const again = await run(["install", "--write", "--root", root], { files });
    expect(again.code).toBe(0);
    writeFileSync(join(root, UNIT), "# mine\n");
    const refused = await run(["install", "--write", "--root", root], { files });
    expect([refused.code, refused.errors]).toEqual([
      1,
      `${NAMELESS}weir: ${
        join(root, UNIT)
      } is there and differs. Overwrite it: weir install --force\n`,
    ]);
    const other = { "config.yaml": "server:\n  port: 9200\n" };
    const forced = await run(["install", "--force", "--root", root], { files: other });
    expect(forced.code).toBe(0);
    expect(readFileSync(join(root, SITE), "utf8")).toContain("server 127.0.0.1:9200;");
    expect(readFileSync(join(root, CONFIG), "utf8")).toContain("port: 9100\n");
  });

  for (const name of ["a; } evil", "a\nb", "a{", 'a"b', ""]) {
    test(`takes no ${JSON.stringify(name)} for a site's name`, async () => {
      const { code, output, errors } = await run(["install", "--server-name", name]);
      expect([code, output]).toEqual([2, ""]);
      expect(errors).toContain("--server-name");
    });
  }

  test("check finds the open relay that the installed service would be", async () => {
    for (const place of [[], ["--set", "server.unix=/run/weir/weir.sock"]]) {
      const root = makeRoot();
      const { code } = await run(["install", "--write", "--root", root, ...place]);
      expect(code).toBe(0);
      const own = ["--set", "llm.base_url=http://127.0.0.1:9/v1", "--set", "llm.api_key=sk-own"];
      const checked = await run(["check", "--config", join(root, CONFIG), ...own]);
      expect(checked.code).toBe(1);
      expect(checked.errors).toContain("auth.token must be set");
    }
  });

  /** What `weir check` says is in force of the config below `root`. */
  async function inForce(root: string): Promise<Config> {
    const { output } = await run(["check", "--config", join(root, CONFIG)]);
    return parse(output) as Config;
  }

  test("without a config writes one to begin with: what was set, and the rest as comments", async () => {
    const root = makeRoot();
    const { code, errors } = await run([
      ...["install", "--write", "--root", root, "--port", "9000"],
      ...[
        "--set",
        "mock.reply=a: #\nb 你好 🙂",
        "--set",
        'upstreams=[{name: a, base_url: "http://h/v1"}]',
      ],
    ], { env: { SECRET_KEY: "sk-from-the-environment", WEIR_SERVER_MAIN: "0" } });
    expect([code, errors]).toEqual([
      0,
      `${NAMELESS}weir: warning: auth.secret_key holds a secret and is not written (SECRET_KEY)\n`,
    ]);
    const text = readFileSync(join(root, CONFIG), "utf8");
    expect(text).not.toContain("sk-from");
    expect(text).toContain("\n  # streams_max: 32768 ");
    expect(parse(text)).toMatchObject({
      server: { port: 9000, main: 0 },
      mock: { reply: "a: #\nb 你好 🙂" },
      upstreams: [{ name: "a", base_url: "http://h/v1" }],
      memory: { url: IN_STATE },
      auth: null,
    });
    expect(await inForce(root)).toMatchObject({
      server: { port: 9000 },
      mock: { reply: "a: #\nb 你好 🙂" },
      memory: { url: IN_STATE },
    });
  });

  const MEMORIES: readonly (readonly [
    yaml: string,
    memory: Partial<Config["memory"]>,
    store?: Partial<Config["store"]>,
  ])[] = [
    ["", { url: IN_STATE }],
    ["# mine\nmemory: # here\n  keep_days: 3 # days\n", { url: IN_STATE, keep_days: 3 }],
    ["memory:\n", { url: IN_STATE }],
    ["memory: {url: 'sqlite://data/turns.db'}\n", { url: "sqlite:///var/lib/weir/turns.db" }],
    ["memory:\n  url: sqlite:///srv/w.db\n", { url: "sqlite:///srv/w.db" }],
    [
      "memory:\n  url: http://memory:9000\n",
      { url: "http://memory:9000", outbox: "/var/lib/weir/weir-outbox.db" },
      { url: "sqlite:///var/lib/weir/weir-store.db" },
    ],
    [
      "store:\n  url: sqlite://keys.db\n",
      { url: IN_STATE },
      { url: "sqlite:///var/lib/weir/keys.db" },
    ],
  ];
  for (const [yaml, memory, store = { url: "" }] of MEMORIES) {
    test(`check shows where the service keeps what it keeps: ${JSON.stringify(yaml)}`, async () => {
      const root = makeRoot();
      const args = ["install", "--write", "--root", root];
      const first = await run(args, { files: { "config.yaml": yaml } });
      expect([first.code, first.errors]).toEqual([0, NAMELESS]);
      const written = readFileSync(join(root, CONFIG), "utf8");
      for (const [comment] of yaml.matchAll(/# \w+/g)) expect(written).toContain(comment);
      expect(await inForce(root)).toMatchObject({ memory, store });
      // The unit says nothing that would win over the file.
      const unit = () => readFileSync(join(root, UNIT), "utf8");
      expect(unit()).not.toMatch(/^Environment="?WEIR_MEMORY_/m);
      const again = await run(args, { files: { "config.yaml": yaml } });
      expect([again.code, again.errors]).toEqual([0, NAMELESS]);
    });
  }

  for (const yaml of ["", "memory:\n  url: sqlite://turns.db\n"]) {
    test(`a config that is there stays, and what it does not say is said: ${yaml}`, async () => {
      const root = makeRoot();
      mkdirSync(dirname(join(root, CONFIG)), { recursive: true });
      writeFileSync(join(root, CONFIG), yaml);
      const place = yaml === "" ? IN_STATE : "sqlite:///var/lib/weir/turns.db";
      const { code, errors } = await run(["install", "--force", "--root", root]);
      expect(code).toBe(0);
      expect(errors).toContain(`warning: the unit says memory.url: ${place}. Say so in ${root}`);
      expect(readFileSync(join(root, CONFIG), "utf8")).toBe(yaml);
      expect(readFileSync(join(root, UNIT), "utf8"))
        .toContain(`\nEnvironment=WEIR_MEMORY_URL=${place}\n`);
    });
  }

  test("says which settings are not in the file that it copies", async () => {
    const { errors } = await run(["install", "--port", "9000"], { files: { "config.yaml": "" } });
    expect(errors).toBe(
      `${NAMELESS}weir: warning: server.port is not in config.yaml and not written (--port)\n`,
    );
  });

  const WRONG = [
    [["--root"], "--root needs a value"],
    [["--certificate", "x"], "--certificate and --certificate-key go together"],
    [["--wirte"], "Unknown option '--wirte'"],
  ] as const;
  for (const [args, message] of WRONG) {
    test(`refuses ${args.join(" ")}`, async () => {
      const { code, errors } = await run(["install", ...args]);
      expect(code).toBe(2);
      expect(errors).toContain(message);
    });
  }
});

describe("a key in a file", () => {
  const CASES = [
    [{ k: "sk-1\n" }, ["llm.api_key_file=k"], 0, 'api_key: "***" # llm.api_key_file'],
    [{}, ["llm.api_key_file=k"], 1, "Cannot read llm.api_key_file k: there is no such file"],
    [{ k: "\n" }, ["llm.api_key_file=k"], 1, "llm.api_key_file: k is empty"],
    [{ k: "a\u0001b" }, ["llm.api_key_file=k"], 1, "must be one line of printable ASCII"],
    [
      { k: "x" },
      ["auth.token_file=k", "auth.token=y"],
      1,
      "auth.token_file: auth.token is given as well (--set auth.token): keep one of them",
    ],
  ] as const;
  for (const [files, set, code, message] of CASES) {
    test(`${JSON.stringify(files)} with ${set.join(" ")}: ${message}`, async () => {
      const args = ["check", ...set.flatMap((setting) => ["--set", setting])];
      const got = await run(args, { files });
      expect(got.code).toBe(code);
      expect(got.output + got.errors).toContain(message);
    });
  }

  test("is read for every upstream, beside the config", async () => {
    const config = [
      "upstreams:",
      "  - {name: a, base_url: http://a.example, api_key_file: a.key}",
      "  - {name: b, base_url: http://b.example}",
    ].join("\n");
    const files = { "config.yaml": config, "a.key": "sk-1\n" };
    const { code, output } = await run(["check"], { files });
    expect(code).toBe(0);
    expect(output.match(/api_key: ".*"/g)).toEqual([
      'api_key: ""', // llm
      'api_key: "***"',
      'api_key: ""',
      'api_key: ""', // chat
    ]);
    const { code: badCode, errors } = await run(["check"], { files: { "config.yaml": config } });
    expect(badCode).toBe(1);
    expect(errors).toContain("Cannot read upstreams.0.api_key_file");
  });

  test("systemd's copy is the one that is read", async () => {
    const credentials = makeRoot();
    writeFileSync(join(credentials, "k"), "from systemd");
    const { code } = await run(["check", "--set", "llm.api_key_file=/nowhere/k"], {
      env: { CREDENTIALS_DIRECTORY: credentials },
    });
    expect(code).toBe(0);
  });
});
