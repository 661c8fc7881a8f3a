import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import type { Config, ConfigFlag } from "../../src/config/config.ts";
import { KNOWN_VARIABLES, SETTING_ROWS } from "../../src/config/schema.ts";
import { TREE } from "../../src/config/tree.ts";
import { configOf, type Input, load, problemsOf } from "./loaded.ts";

const OPS = Object.keys(TREE.shape.ops.shape).join(", ");

function flag(key: string, value: string): ConfigFlag {
  return { key, value };
}

const DEFAULTS = configOf({});

describe("loadConfig() reports what is wrong in a file", () => {
  const CASES: readonly (readonly [name: string, text: string, problems: readonly string[]])[] = [
    ["a number out of range", "server:\n  port: 70000\n", [
      "config.yaml:2:9 server.port: must be a whole number from 0 to 65535: it is 70000",
    ]],
    ["a fraction where a whole number belongs", "server:\n  port: 80.5\n", [
      "config.yaml:2:9 server.port: must be a whole number from 0 to 65535: it is 80.5",
    ]],
    ["a number in quotes", 'server:\n  port: "8080"\n', [
      'config.yaml:2:9 server.port: must be a whole number from 0 to 65535: it is "8080" (take the quotes away)',
    ]],
    ["a list where a number belongs", "server: {port: [1]}\n", [
      "config.yaml:1:16 server.port: must be a whole number from 0 to 65535: it is a list",
    ]],
    ["a wait that never ends", "mock:\n  delay_ms: .inf\n", [
      "config.yaml:2:13 mock.delay_ms: must be a number of milliseconds from 0 to 3600000: it is Infinity",
    ]],
    ["a wait that is no number", "mock:\n  delay_ms: .nan\n", [
      "config.yaml:2:13 mock.delay_ms: must be a number of milliseconds from 0 to 3600000: it is NaN",
    ]],
    ["a wait below zero", "mock:\n  delay_ms: -1\n", [
      "config.yaml:2:13 mock.delay_ms: must be a number of milliseconds from 0 to 3600000: it is -1",
    ]],
    ["a word that is not one of the words", "ops:\n  log: all\n", [
      'config.yaml:2:8 ops.log: must be one of requests, errors, off: it is "all"',
    ]],
    ["workers that are neither", "server:\n  workers: many\n", [
      'config.yaml:2:12 server.workers: must be a whole number from 1 to 1024, or auto: it is "many"',
    ]],
    ["no workers", "server:\n  workers: 0\n", [
      "config.yaml:2:12 server.workers: must be a whole number from 1 to 1024, or auto: it is 0",
    ]],
    ["a host with a port", "server:\n  host: 127.0.0.1:80\n", [
      'config.yaml:2:9 server.host: must be a host name or an address, without a port: it is "127.0.0.1:80"',
    ]],
    ["a URL without its scheme", "llm:\n  base_url: api.example.com/v1\n", [
      'config.yaml:2:13 llm.base_url: must be an http:// or https:// URL without #: it is "api.example.com/v1"',
    ]],
    ["a URL of another scheme", "llm:\n  base_url: ftp://example.com\n", [
      'config.yaml:2:13 llm.base_url: must be an http:// or https:// URL without #: it is "ftp://example.com"',
    ]],
    ["a memory that is nowhere", "memory:\n  url: redis://example.com\n", [
      "config.yaml:2:8 memory.url: must be sqlite://FILE, http:// or https:// and a host, or " +
      'postgres://USER:PASSWORD@HOST/DATABASE: it is "redis://example.com"',
    ]],
    ["shared things that are nowhere", "shared:\n  url: postgres://db/weir\n  prefix: a b\n", [
      "config.yaml:2:8 shared.url: must be redis:// or rediss://, USER:PASSWORD@ if needed, a host, " +
      'and the number of a database: it is "postgres://db/weir"',
      'config.yaml:3:11 shared.prefix: must be 1 to 64 letters, digits and any of : . _ - { }: it is "a b"',
    ]],
    ["a database that is no number", "shared: {url: 'redis://u:p@r/keys'}\n", [
      "config.yaml:1:15 shared.url: must be redis:// or rediss://, USER:PASSWORD@ if needed, a host, " +
      'and the number of a database: it is "redis://' + '***@r/keys"',
    ]],
    ["an authority for nothing", "shared: {url: 'redis://r/1', ca_file: ca.pem}\n", [
      "config.yaml:1:39 shared.ca_file: must be empty while shared.url is not rediss://…: nothing is encrypted",
    ]],
    ["an item of a list", "mock:\n  models:\n    - gpt-4o\n    - [x]\n", [
      "config.yaml:4:7 mock.models.1: must be a name on one line: it is a list",
    ]],
    ["a name of a header", 'llm:\n  headers: {"bad name": x}\n', [
      'config.yaml:2:25 llm.headers."bad name": must be a mapping of at most 100 header names to ' +
      "one-line texts: its value is not shown, as it may be secret",
    ]],
    ["a value of a header", 'llm:\n  headers:\n    X-A: "a\\nb"\n', [
      "config.yaml:3:10 llm.headers.X-A: must be a header value: one line of Latin-1 text: its value " +
      "is not shown, as it may be secret",
    ]],
    ["a header twice, in two spellings", "llm:\n  headers: {X-A: 1, x-a: 2}\n", [
      "config.yaml:2:21 llm.headers.x-a: is given twice: the first is in line 2",
    ]],
    ["a misspelt key", "server:\n  prot: 1\n", [
      "config.yaml:2:3 server.prot: is not a known key: did you mean server.port?",
    ]],
    ["a misspelt section", "sever:\n  port: 1\n", [
      "config.yaml:1:1 sever: is not a known key: did you mean server?",
    ]],
    ["a key in the wrong section", "server:\n  delay_ms: 1\n", [
      "config.yaml:2:3 server.delay_ms: is not a known key: did you mean mock.delay_ms?",
    ]],
    ["a key without its section", "port: 1\n", [
      "config.yaml:1:1 port: is not a known key: did you mean server.port?",
    ]],
    ["a key like no other", "ops:\n  zzzzzzzz: 1\n", [
      `config.yaml:2:3 ops.zzzzzzzz: is not a known key: known here are ${OPS}`,
    ]],
    ["a key that could disturb a terminal", 'ops:\n  "\\e[31m": 1\n', [
      `config.yaml:2:3 ops."\\u001b[31m": is not a known key: known here are ${OPS}`,
    ]],
    ["a merge key, which is not YAML 1.2", "x: &x {log: off}\nops:\n  <<: *x\n", [
      "config.yaml:1:1 x: is not a known key: known here are server, auth, keys, store, shared, prices, llm, " +
      "upstreams, routes, cache, retry_budget, tape, chat, conv, mock, faults, response, memory, ops",
      `config.yaml:3:3 ops."<<": is not a known key: known here are ${OPS}`,
    ]],
    ["a key twice", "server:\n  port: 1\n  port: 2\n", [
      "config.yaml:3:3 server.port: is given twice: the first is in line 2",
    ]],
    ["a key twice, in two spellings", "server:\n  port: 1\n  Port: 2\n", [
      "config.yaml:3:3 server.Port: is given twice: the first is in line 2",
    ]],
    ["a section twice, in two spellings", "llm:\n  retries: 1\nLLM:\n  retries: 2\n", [
      "config.yaml:3:1 LLM: is given twice: the first is in line 1",
    ]],
    ["a section that is a single value", "llm: sk-secret\n", [
      "config.yaml:1:6 llm: must be a mapping of keys: it is a single value",
    ]],
    ["a section that is a list", "llm:\n  - retries\n", [
      "config.yaml:2:3 llm: must be a mapping of keys: it is a list",
    ]],
    ["a file that is a text", "hello\n", [
      "config.yaml:1:1 the file must be a mapping of sections, such as server:",
    ]],
    ["a file that is a list", "- a\n", [
      "config.yaml:1:1 the file must be a mapping of sections, such as server:",
    ]],
    ["a tab", "server:\n\tport: 1\n", ["config.yaml:2:1 tabs cannot indent: use blanks"]],
    ["an open quote", 'mock:\n  reply: "open\n', [
      "config.yaml:3:1 something is missing: a colon after a key, a closing quote or a bracket",
    ]],
    ["a text with a colon", "mock:\n  reply: a: b\n", [
      "config.yaml:2:10 a value and nested keys cannot share a place: put text with a colon in quotes",
    ]],
    ["a tag", "mock:\n  reply: !env REPLY\n", [
      "config.yaml:2:10 tags (words that start with !) are unknown here: put the value in quotes",
    ]],
    ["an alias for nothing", "mock:\n  reply: *name\n", [
      "config.yaml:2:10 an alias (*name) stands for nothing: put the value in quotes",
    ]],
    ["a reserved character", "mock:\n  reply: @home\n", [
      "config.yaml:2:10 a value cannot start with this character: put the value in quotes",
    ]],
    ["two documents", "ops: {log: off}\n---\nops: {log: off}\n", [
      "config.yaml:2:1 the file must hold one document: take the line --- away",
    ]],
    ["a key that is a list", "? [a]\n: 1\n", ["config.yaml:1:3 a key must be text"]],
    ["a proxy that goes nowhere", "chat:\n  source: proxy\n", [
      'config.yaml:2:11 chat.source: must be auto or mock while llm.base_url is empty: it is "proxy"',
    ]],
    ["a socket file for several workers", "server:\n  unix: weir.sock\n  workers: 2\n", [
      "config.yaml:2:9 server.unix: must be empty while server.workers is not 1: processes can " +
      "share a port, and no socket file. Set server.workers: 1, or let nginx use the port",
    ]],
    [
      "users in URLs beside other credentials, none of which is shown",
      [
        "llm: {base_url: 'http://u:pw@a', api_key: sk-1}",
        "chat: {api_proxy: 'u:pw@b', api_key: sk-2}",
        "conv: {unofficial_proxy: 'http://u@c', access_token: t}",
        "ops: {otlp_endpoint: 'http://:pw@d', otlp_headers: {AUTHORIZATION: x}}",
        "upstreams:",
        "  - {name: a, base_url: 'http://u:pw@e', headers: {authorization: x}}",
        "  - {name: b, base_url: 'http://u:pw@f', headers: {x-a: b}}",
        "  - {name: c, base_url: 'http://g', api_key: sk-3}",
        "memory: {url: 'http://u:pw@h'}",
        "auth: {token: t}",
        "",
      ].join("\n"),
      [
        ["1:17 llm.base_url", "its api_key"],
        ["6:25 upstreams.0.base_url", "Authorization in its headers"],
        ["2:19 chat.api_proxy", "chat.api_key"],
        ["3:26 conv.unofficial_proxy", "conv.access_token"],
        ["4:22 ops.otlp_endpoint", "Authorization in ops.otlp_headers"],
      ].map(([at, other]) =>
        `config.yaml:${at}: must be without a user and a password while ${other} is set: ` +
        "they are sent as Basic, and only one of the two can be"
      ),
    ],
    ["two system prompts", "memory:\n  system_prompt: a\n  system_prompt_file: b.md\n", [
      "config.yaml:3:23 memory.system_prompt_file: must be empty while memory.system_prompt is " +
      'set: it is "b.md"',
    ]],
    [
      "tapes without a folder",
      "tape:\n  mode: auto\nroutes:\n  - to: [mock]\n    tape: strict\n",
      [
        'config.yaml:2:9 tape.mode: must be off while tape.folder is empty: it is "auto"',
        'config.yaml:5:11 routes.0.tape: must be off while tape.folder is empty: it is "strict"',
      ],
    ],
    [
      "tapes that cannot be as they are told",
      "tape:\n  folder: t\n  speed: -1\n  volatile: [a..b]\n  redact: ['(?=x)', 'x*', '(']\n",
      [
        "config.yaml:3:10 tape.speed: must be a number from 0 to 1000000: 2 = twice as fast, 0 = at once: it is -1",
        'config.yaml:4:14 tape.volatile.0: must be keys with dots between them, such as metadata.run: it is "a..b"',
        'config.yaml:5:12 tape.redact.0: must be a regular expression of RE2: looking ahead and behind takes too long: it is "(?=x)"',
        'config.yaml:5:21 tape.redact.1: must be an expression that needs some text to match: it is "x*"',
        'config.yaml:5:27 tape.redact.2: must be a regular expression of RE2: missing closing ): `(`: it is "("',
      ],
    ],
    [
      "secrets of nothing but blanks, which would open what they were to lock",
      'auth:\n  token: "   "\nllm:\n  api_key: "\\t"\n',
      ["2:10 auth.token", "4:12 llm.api_key"].map((at) =>
        `config.yaml:${at}: must be one line of printable ASCII: its value is not shown, ` +
        "as it may be secret"
      ),
    ],
    [
      "everything at once, in the order of the file",
      "ops:\n  log: all\n  lag: 1\nserver:\n  main: x\n  port: 70000\n  port: 1\nnope: 1\n",
      [
        'config.yaml:2:8 ops.log: must be one of requests, errors, off: it is "all"',
        "config.yaml:3:3 ops.lag: is not a known key: did you mean ops.log?",
        'config.yaml:5:9 server.main: must be a whole number from 0 to 65535: it is "x"',
        "config.yaml:6:9 server.port: must be a whole number from 0 to 65535: it is 70000",
        "config.yaml:7:3 server.port: is given twice: the first is in line 6",
        "config.yaml:8:1 nope: is not a known key: known here are server, auth, keys, store, shared, prices, llm, upstreams, " +
        "routes, cache, retry_budget, tape, chat, conv, mock, faults, response, memory, ops",
      ],
    ],
  ];
  for (const [name, text, problems] of CASES) {
    test(name, () => expect(problemsOf({ text })).toEqual([...problems]));
  }

  test("a broken line is counted right after CRLF, a byte order mark and emoji", () => {
    const text = "\uFEFF# 你好 🙂\r\nserver:\r\n  port: x\r\n";
    expect(problemsOf({ text })[0]).toStartWith("config.yaml:3:9 server.port: ");
  });

  test("a long value is cut, between characters", () => {
    const [problem] = problemsOf({ text: `ops:\n  log: ${"🙂".repeat(500)}\n` });
    expect(problem).toEndWith(`it is "${"🙂".repeat(60)}…"`);
  });
});

describe("loadConfig() reports what is wrong in the environment and in flags", () => {
  const CASES: readonly (readonly [name: string, input: Input, problems: readonly string[]])[] = [
    ["a variable", { env: { WEIR_SERVER_PORT: "x" } }, [
      'WEIR_SERVER_PORT server.port: must be a whole number from 0 to 65535: it is "x"',
    ]],
    ["a name people already have", { env: { PORT: "x" } }, [
      'PORT server.port: must be a whole number from 0 to 65535: it is "x"',
    ]],
    ["a variable of .env", { dotenv: { WEIR_SERVER_PORT: "x" } }, [
      '.env WEIR_SERVER_PORT server.port: must be a whole number from 0 to 65535: it is "x"',
    ]],
    ["an unknown variable", { env: { WEIR_SERVER_PROT: "1" } }, [
      "WEIR_SERVER_PROT: is not a known variable: did you mean WEIR_SERVER_PORT?",
    ]],
    ["a variable without its section", { env: { WEIR_PORT: "1" } }, [
      "WEIR_PORT: is not a known variable: did you mean WEIR_SERVER_PORT?",
    ]],
    ["a variable that is not YAML", { env: { WEIR_LLM_HEADERS: "{sk-secret" } }, [
      "WEIR_LLM_HEADERS llm.headers: must be a mapping of at most 100 header names to one-line " +
      "texts: its value is not shown, as it may be secret",
    ]],
    ["a flag", { flags: [flag("server.port", "x")] }, [
      '--set server.port: must be a whole number from 0 to 65535: it is "x"',
    ]],
    ["a flag of its own name", { flags: [{ key: "server.port", value: "x", name: "--port" }] }, [
      '--port server.port: must be a whole number from 0 to 65535: it is "x"',
    ]],
    ["a flag without a value", { flags: [flag("server.port", "")] }, [
      "--set server.port: must be a whole number from 0 to 65535: it is empty",
    ]],
    ["an unknown flag", { flags: [flag("server.prot", "1")] }, [
      "--set server.prot: is not a known key: did you mean server.port?",
    ]],
    ["a flag without its section", { flags: [flag("delay_ms", "1")] }, [
      "--set delay_ms: is not a known key: did you mean mock.delay_ms?",
    ]],
    ["a flag for a whole section", { flags: [flag("server", "{port: 1}")] }, [
      "--set server: is not a known key: known here are server.…, auth.…, keys, store.…, shared.…, prices, llm.…, upstreams, " +
      "routes, cache.…, retry_budget.…, tape.…, chat.…, conv.…, mock.…, faults.…, response.…, memory.…, ops.…",
    ]],
    ["a flag that makes a contradiction", { flags: [flag("chat.source", "proxy")] }, [
      '--set chat.source: must be auto or mock while llm.base_url is empty: it is "proxy"',
    ]],
    [
      "all levels at once, the lowest first, and also what a higher one replaces",
      {
        text: "server:\n  port: a\n",
        dotenv: { WEIR_SERVER_PORT: "b" },
        env: { WEIR_SERVER_PORT: "c" },
        flags: [flag("server.port", "d")],
      },
      [
        'config.yaml:2:9 server.port: must be a whole number from 0 to 65535: it is "a"',
        '.env WEIR_SERVER_PORT server.port: must be a whole number from 0 to 65535: it is "b"',
        'WEIR_SERVER_PORT server.port: must be a whole number from 0 to 65535: it is "c"',
        '--set server.port: must be a whole number from 0 to 65535: it is "d"',
      ],
    ],
  ];
  for (const [name, input, problems] of CASES) {
    test(name, () => expect(problemsOf(input)).toEqual([...problems]));
  }

  const FOREIGN = [
    ["WEIR_INTERNAL_WORKER", "1"],
    ["WEIR_BINARY", "/usr/bin/weir"],
    ["WEIR_SERVICE_HOST", "10.0.0.1"],
    ["WEIR_SERVICE_PORT_HTTP", "8080"],
    ["WEIR_PORT", "tcp://10.0.0.1:8080"],
    ["WEIR_PORT_8080_TCP_ADDR", "10.0.0.1"],
    // Services called weir-server, weir-mock and weir-ops-metrics.
    ["WEIR_SERVER_PORT", "tcp://10.0.0.1:8080"],
    ["WEIR_OPS_METRICS_PORT", "tcp://10.0.0.1:9464"],
    ["WEIR_MOCK_PORT", "udp://10.0.0.1:8080"],
    ["WEIR_MOCK_SERVICE_HOST", "10.0.0.1"],
    ["WEIR_MOCK_SERVICE_PORT", "8080"],
    ["WEIR_MOCK_SERVICE_PORT_HTTP", "8080"],
    ["WEIR_MOCK_PORT_8080_TCP", "tcp://10.0.0.1:8080"],
    ["WEIR_MOCK_PORT_8080_TCP_PROTO", "tcp"],
    ["WEIR_MOCK_PORT_8080_TCP_PORT", "8080"],
    ["WEIR_MOCK_PORT_8080_TCP_ADDR", "10.0.0.1"],
    ["WEIR_NOT_SET", ""],
    ["WEIRD", "1"],
    ["HOME", "/root"],
  ] as const;
  for (const [name, value] of FOREIGN) {
    test(`${name}=${value} is nobody's mistake`, () => {
      expect(configOf({ env: { [name]: value } })).toEqual(DEFAULTS);
    });
  }
});

describe("loadConfig() beside Services of Kubernetes", () => {
  /** Every variable that a container gets of the Service `name`, as Kubernetes makes them. */
  function variablesOf(name: string): Record<string, string> {
    const it = name.toUpperCase().replaceAll("-", "_");
    const own: Record<string, string> = {
      [`${it}_SERVICE_HOST`]: "10.0.0.1",
      [`${it}_SERVICE_PORT`]: "8080",
      [`${it}_SERVICE_PORT_HTTP`]: "8080",
      [`${it}_SERVICE_PORT_HTTP_ALT`]: "9464",
      [`${it}_PORT`]: "tcp://10.0.0.1:8080",
    };
    for (const [protocol, port] of [["tcp", 8080], ["tcp", 9464], ["udp", 53], ["sctp", 7]]) {
      const link = `${it}_PORT_${port}_${`${protocol}`.toUpperCase()}`;
      own[link] = `${protocol}://10.0.0.1:${port}`;
      own[`${link}_PROTO`] = `${protocol}`;
      own[`${link}_PORT`] = `${port}`;
      own[`${link}_ADDR`] = "fd00::1";
    }
    return own;
  }

  const SERVICES = [
    ...[
      "weir",
      "weir-mock",
      "weir-llm",
      "weir-server",
      "weir-memory",
      "weir-auth",
      "weir-ops-metrics",
    ],
    ...["weir-chat-2", "weir-llm-retries", "weir-service"],
  ];
  for (const name of SERVICES) {
    test(`called ${name}: nothing is set, and nothing is wrong`, () => {
      expect(load({ env: variablesOf(name) })).toEqual(load({}));
    });
  }

  const TYPOS: readonly (readonly [name: string, value: string])[] = [
    ["WEIR_SERVER_PROT", "8080"],
    ["WEIR_MOCK_PORT", "8080"],
    ["WEIR_SERVICE_HOTS", "10.0.0.1"],
    ["WEIR_PORT_HTTP_TCP", "tcp://10.0.0.1:8080"],
    ["WEIR_LLM_BASEURL", "http://10.0.0.1"],
  ];
  for (const [name, value] of TYPOS) {
    test(`${name}=${value} is a mistake`, () => {
      expect(problemsOf({ env: { ...variablesOf("weir"), [name]: value } }))
        .toEqual([expect.stringContaining(`${name}: is not a known variable`)]);
    });
  }
});

describe("loadConfig() prefers flag > environment > .env > file > default", () => {
  const LEVELS: readonly (readonly [name: string, input: Input, port: number, origin: string])[] = [
    ["default", {}, 8080, "default"],
    ["file", { text: "server:\n  port: 1001\n" }, 1001, "config.yaml:2:9"],
    [".env PORT", { dotenv: { PORT: "1002" } }, 1002, ".env PORT"],
    [".env", { dotenv: { WEIR_SERVER_PORT: "1003", PORT: "7" } }, 1003, ".env WEIR_SERVER_PORT"],
    ["environment PORT", { env: { PORT: "1004" } }, 1004, "PORT"],
    ["environment", { env: { PORT: "8", WEIR_SERVER_PORT: "1005" } }, 1005, "WEIR_SERVER_PORT"],
    [
      "flag",
      { flags: [flag("server.port", "9"), flag("server.port", "1006")] },
      1006,
      "--set server.port",
    ],
  ];
  for (const [high, [highName, highInput, port, origin]] of LEVELS.entries()) {
    for (const [lowName, lowInput] of LEVELS.slice(0, high)) {
      test(`${highName} over ${lowName}`, () => {
        const result = load({ ...lowInput, ...highInput });
        if (result.kind === "bad") throw new Error(result.problems.join("\n"));
        expect(result.config.server.port).toBe(port);
        expect(result.origins.get("server.port")).toBe(origin);
      });
    }
  }

  test("an empty variable does not hide the one below", () => {
    const env = { WEIR_SERVER_PORT: "", PORT: "" };
    expect(configOf({ env, dotenv: { PORT: "1002" } }).server.port).toBe(1002);
  });

  test("an empty flag empties a text", () => {
    const text = "auth:\n  token: abc\n";
    expect(configOf({ text, flags: [flag("auth.token", "")] }).auth.token).toBe("");
  });

  test("a mapping is replaced, not merged", () => {
    const text = "llm:\n  headers: {X-A: a}\n";
    const { headers } = configOf({ text, env: { WEIR_LLM_HEADERS: '{"X-B":"b"}' } }).llm;
    expect(headers).toEqual({ "X-B": "b" });
  });
});

describe("loadConfig() reads", () => {
  const CASES: readonly (readonly [name: string, input: Input, path: string, value: unknown])[] = [
    [
      "Chinese text and emoji",
      { text: "mock:\n  reply: 你好，世界 🙂👩‍👩‍👧\n" },
      "mock.reply",
      "你好，世界 🙂👩‍👩‍👧",
    ],
    [
      "the same from a variable, as it is",
      { env: { WEIR_MOCK_REPLY: " 你: #🙂 " } },
      "mock.reply",
      " 你: #🙂 ",
    ],
    ["the same from a flag", { flags: [flag("mock.reply", "你 🙂")] }, "mock.reply", "你 🙂"],
    [
      "a text over several lines",
      { text: "mock:\n  reply: |\n    a\n    b\n" },
      "mock.reply",
      "a\nb\n",
    ],
    ["an empty reply", { text: 'mock: {reply: ""}\n' }, "mock.reply", ""],
    [
      "a text that looks like a number, as it is written",
      { text: "auth:\n  token: 007\n" },
      "auth.token",
      "007",
    ],
    [
      "a text that looks like a truth, as it is written",
      { text: "mock:\n  reply: True\n" },
      "mock.reply",
      "True",
    ],
    ["off as a word", { text: "ops:\n  log: off\n" }, "ops.log", "off"],
    [
      "off as a word in YAML 1.1 too",
      { text: "%YAML 1.1\n---\nops:\n  log: off\n" },
      "ops.log",
      "off",
    ],
    [
      "a key without a value as not given",
      { text: "server:\n  port:\nllm:\n" },
      "server.port",
      8080,
    ],
    [
      "an alias",
      { text: "mock:\n  reply: &r hello\nllm:\n  model_id: *r\n" },
      "llm.model_id",
      "hello",
    ],
    ["keys in any case", { text: "LLM:\n  API_KEY: k\n" }, "llm.api_key", "k"],
    ["paths of flags in any case", { flags: [flag("LLM.API_KEY", "k")] }, "llm.api_key", "k"],
    ["workers: auto", { text: "server:\n  workers: auto\n" }, "server.workers", "auto"],
    ["workers from a variable", { env: { WEIR_SERVER_WORKERS: "4" } }, "server.workers", 4],
    ["parts of milliseconds", { text: "mock:\n  delay_ms: 0.5\n" }, "mock.delay_ms", 0.5],
    ["a list", { text: "mock:\n  models: [gpt-4o, 4.10]\n" }, "mock.models", ["gpt-4o", "4.10"]],
    ["a list from a variable", { env: { WEIR_MOCK_MODELS: '["a","b"]' } }, "mock.models", [
      "a",
      "b",
    ]],
    [
      "header values that look like numbers",
      { text: "llm:\n  headers: {X-A: 1.50}\n" },
      "llm.headers",
      {
        "X-A": "1.50",
      },
    ],
    [
      "a URL without its last slashes",
      { env: { OPENAI_BASE_URL: "https://a.example/v1//" } },
      "llm.base_url",
      "https://a.example/v1",
    ],
    [
      "a bare host as a URL",
      { env: { API_PROXY: "api.example.com:81" } },
      "chat.api_proxy",
      "http://api.example.com:81",
    ],
    [
      "a URL where a host would do",
      { dotenv: { UNOFFICIAL_PROXY: "https://a.example/" } },
      "conv.unofficial_proxy",
      "https://a.example",
    ],
    [
      "a Chinese signing key, with its blanks",
      { env: { SECRET_KEY: " 密钥 " } },
      "auth.secret_key",
      " 密钥 ",
    ],
    [
      "a key without the blanks around it",
      { env: { OPENAI_API_KEY: " sk-1\n" } },
      "llm.api_key",
      "sk-1",
    ],
    ["IPv6 in brackets", { text: 'server:\n  host: "[::1]"\n' }, "server.host", "::1"],
    ["IPv6", { text: "server:\n  host: ::1\n" }, "server.host", "::1"],
    [
      "a store in memory",
      { text: 'memory:\n  url: "sqlite://:memory:"\n' },
      "memory.url",
      "sqlite://:memory:",
    ],
    [
      "a store beside a Chinese path",
      { text: "memory:\n  url: sqlite:///数据/我 的.db\n" },
      "memory.url",
      "sqlite:///数据/我 的.db",
    ],
    [
      "a store on another machine",
      { text: "memory:\n  url: postgres://u:p@db:5432/weir?sslmode=require\n" },
      "memory.url",
      "postgres://u:p@db:5432/weir?sslmode=require",
    ],
    ["server.main", { text: "server:\n  main: 9100\n" }, "memory.url", "http://127.0.0.1:9100"],
    [
      "server.main from a variable",
      { env: { WEIR_SERVER_MAIN: "9100" } },
      "memory.url",
      "http://127.0.0.1:9100",
    ],
    [
      "memory.url over server.main",
      { text: "server: {main: 9100}\n", env: { WEIR_MEMORY_URL: "sqlite://a.db" } },
      "memory.url",
      "sqlite://a.db",
    ],
    ["server.openai as the port", { text: "server:\n  openai: 8344\n" }, "server.port", 8344],
    [
      "server.openai beside an empty server.port",
      { text: "server: {openai: 8344, port: }\n" },
      "server.port",
      8344,
    ],
    ["nothing", { text: "" }, "server.port", 8080],
    ["comments only", { text: "# nothing\n" }, "server.port", 8080],
  ];
  for (const [name, input, path, value] of CASES) {
    test(name, () => {
      const [section, key] = path.split(".") as [keyof Config, never];
      expect(configOf(input)[section][key] as unknown).toEqual(value);
    });
  }

  for (const [name, path] of KNOWN_VARIABLES) {
    test(`${name} as ${path}`, () => {
      const value = /_url$|endpoint$/.test(path) ? "https://a.example" : "9000";
      const result = load({ env: { [name]: value } });
      expect(result.kind === "ok" && result.origins.get(path)).toBe(name);
    });
  }

  test("every setting from the variable of its path", () => {
    const env = Object.fromEntries(
      [...SETTING_ROWS.values()].map((row) => {
        const { initial } = row;
        return [row.variable, typeof initial === "string" ? initial : JSON.stringify(initial)];
      }),
    );
    const result = load({ env });
    expect(result.kind === "ok" && result.config).toEqual(DEFAULTS);
    expect(new Set(Object.keys(env)).size).toBe(SETTING_ROWS.size);
  });
});

describe("loadConfig() loads the config.yaml of the service that /v1/response comes from", () => {
  test("as its README shows it", () => {
    const text = [
      "llm:",
      '  api_key: "your-api-key"',
      '  base_url: "https://api.example.com"',
      '  model_id: "your-model-id"',
      "auth:",
      '  token: "your-bearer-token"',
      "server:",
      "  main: 9100  # server主服务端口",
      "",
    ].join("\n");
    const result = load({ text });
    if (result.kind === "bad") throw new Error(result.problems.join("\n"));
    const { config } = result;
    expect(config.llm.api_key).toBe("your-api-key");
    expect(config.llm.base_url).toBe("https://api.example.com");
    expect(config.llm.model_id).toBe("your-model-id");
    expect(config.auth.token).toBe("your-bearer-token");
    expect(config.memory.url).toBe("http://127.0.0.1:9100");
    expect(result.origins.get("memory.url")).toBe("server.main, config.yaml:8:9");
    expect(result.warnings).toEqual([]);
  });

  const REAL = [
    "redis: {host: localhost, port: 6379, Port: 1, password: hidden-1}",
    "mongodb:",
    "  uri: mongodb://localhost:27017/",
    "llm:",
    "  ServiceProvider: byteplus",
    "  API_KEY: hidden-2",
    "  base_url: https://api.example.com/api/v3",
    "  model_id: some-model",
    "  temperature: 0.4",
    "  top_p: 0.8",
    "  max_new_tokens: 256",
    "feishu: [any, content]",
    "Auth:",
    "  token: hidden-3",
    "server:",
    "  session_messages: 9120",
    "  user_poritrait: 9121",
    "  topic_summary: 9122",
    "  chat_event: 9123",
    "  openai: 8344",
    "  main: 6006",
    "  web: 8120",
    "",
  ].join("\n");

  test("as it really is, with one warning for each thing that weir has no use for", () => {
    const result = load({ text: REAL });
    if (result.kind === "bad") throw new Error(result.problems.join("\n"));
    expect(result.config.server.port).toBe(8344);
    expect(result.config.llm.api_key).toBe("hidden-2");
    expect(result.config.auth.token).toBe("hidden-3");
    expect(result.config.memory.url).toBe("http://127.0.0.1:6006");
    expect(result.warnings).toEqual([
      "config.yaml:1:1 redis: weir has no use for it",
      "config.yaml:2:1 mongodb: weir has no use for it",
      "config.yaml:5:3 llm.ServiceProvider: weir has no use for it",
      "config.yaml:9:3 llm.temperature: weir has no use for it",
      "config.yaml:10:3 llm.top_p: weir has no use for it",
      "config.yaml:11:3 llm.max_new_tokens: weir has no use for it",
      "config.yaml:12:1 feishu: weir has no use for it",
      "config.yaml:16:3 server.session_messages: weir has no use for it",
      "config.yaml:17:3 server.user_poritrait: weir has no use for it",
      "config.yaml:18:3 server.topic_summary: weir has no use for it",
      "config.yaml:19:3 server.chat_event: weir has no use for it",
      "config.yaml:22:3 server.web: weir has no use for it",
    ]);
  });

  test("and server.port wins over server.openai, whichever comes first", () => {
    for (const keys of ["  openai: 8344\n  port: 9000\n", "  port: 9000\n  openai: 8344\n"]) {
      const result = load({ text: `server:\n${keys}` });
      expect(result.kind === "ok" && result.config.server.port).toBe(9000);
      expect(result.warnings[0]).toEndWith("server.openai: is not used, as server.port is given");
    }
  });

  test("and a wrong server.openai is named as it is written", () => {
    expect(problemsOf({ text: "server:\n  openai: x\n" })[0]).toStartWith(
      "config.yaml:2:11 server.openai: must be a whole number",
    );
  });
});

describe("loadConfig() stands what is hostile", () => {
  const laughs = [
    "a: &a [x, x, x, x, x, x, x, x, x]",
    ..."bcdefghi".split("").map((name, i) => {
      const before = `*${"abcdefgh"[i]}`;
      return `${name}: &${name} [${Array(9).fill(before).join(", ")}]`;
    }),
    "mock: {models: *i}",
    "",
  ].join("\n");
  const CASES = [
    ["a billion laughs", laughs, "config.yaml:2:8 the file must use at most 20 aliases (*name)"],
    ["an alias of itself", "mock:\n  models: &a [*a]\n", "config.yaml:2:15 mock.models.0: must be"],
    [
      "an alias of a whole that is used twice over",
      "mock:\n  models: &a [x, &b [*a]]\n",
      "config.yaml:2:21 mock.models.1: must be a name on one line: it is a list",
    ],
    ["20 000 open brackets", "[".repeat(20_000), "config.yaml:1:"],
    [
      "5 000 nested mappings",
      `mock: {reply: ${"{a: ".repeat(5000)}1${"}".repeat(5001)}\n`,
      "config.yaml:1:",
    ],
    [
      "a megabyte and more",
      `# ${"x".repeat(1_100_000)}\n`,
      "config.yaml:1:1 the file must have at most",
    ],
    [
      "50 000 keys",
      Array.from({ length: 50_000 }, (_, i) => `k${i}: 1\n`).join(""),
      "config.yaml:1:1 k0: ",
    ],
    ["__proto__", "__proto__:\n  port: 1\n", "config.yaml:1:1 __proto__: is not a known key"],
    [
      "__proto__ in a section",
      "server:\n  __proto__: 1\n",
      "config.yaml:2:3 server.__proto__: is not",
    ],
    ["constructor", "constructor:\n  name: 1\n", "config.yaml:1:1 constructor: is not a known key"],
    ["NUL", "mock:\n  reply: a\0b\n  nope: 1\n", "config.yaml:3:3 mock.nope: is not a known key"],
  ] as const;
  for (const [name, text, start] of CASES) {
    test(`${name} is refused`, () => expect(problemsOf({ text })[0]).toStartWith(start));
  }

  test("a header called __proto__ reaches no prototype", () => {
    const result = load({ text: 'llm:\n  headers: {__proto__: {"x": "y"}, X-A: a}\n' });
    if (result.kind === "ok") expect(Object.keys(result.config.llm.headers)).toEqual(["X-A"]);
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });
});

describe("loadConfig() keeps secrets out of every message", () => {
  const SECRET = "hidden-5ecret";
  const TEXTS = [
    ...["auth.token", "auth.secret_key", "llm.api_key", "chat.api_key", "conv.access_token"]
      .flatMap((path) => {
        const [section, key] = path.split(".");
        const before = `${section}:\n  ${key}: `;
        return [
          `${before}"${SECRET}\\n密"\n`,
          `${before}[${SECRET}]\n`,
          `${before}{${SECRET}: 1}\n`,
          `${before}"${SECRET}\n`,
          `${before}!${SECRET} x\n`,
          `${before}*${SECRET}\n`,
          `${before}@${SECRET}\n`,
          `${before}a: ${SECRET}\n`,
          `${before}"\\q${SECRET}"\n`,
          `${before}|2${SECRET}\n   x\n`,
          `${before}\n\t${SECRET}\n`,
        ];
      }),
    `llm: ${SECRET}\n`,
    `${SECRET}\n`,
    `llm:\n  headers: {Authorization: "${SECRET}\\n"}\n`,
    `llm:\n  headers: ${SECRET}\n`,
    `llm:\n  base_url: ftp://u:${SECRET}@example.com\n`,
    `llm:\n  base_url: https://example.com/#key=${SECRET}\n`,
    `llm:\n  proxy: u:${SECRET}@example.com\n`,
    `memory:\n  url: postgres://u:${SECRET}\n`,
    `memory:\n  url: postgres://u:a@${SECRET}@db:99999/weir\n`,
    `memory:\n  url: mysql://u:${SECRET}@db/weir\n`,
    `llm:\n  apikey: ${SECRET}\n`,
    `llm:\n  api_key: a\n  API_KEY: ${SECRET}\n`,
  ];
  for (const text of TEXTS) {
    test(JSON.stringify(text), () => {
      const problems = problemsOf({ text });
      expect(problems.length).toBeGreaterThan(0);
      expect(problems.join("\n")).not.toContain(SECRET);
    });
  }

  test("of the environment and of flags as well", () => {
    const problems = problemsOf({
      env: { WEIR_LLM_API_KEY: `${SECRET}密`, WEIR_LLM_APIKEY: SECRET },
      dotenv: { OPENAI_API_KEY: `${SECRET}密` },
      flags: [flag("auth.token", `${SECRET}密`), flag("auth.tokn", SECRET)],
    });
    expect(problems).toHaveLength(5);
    expect(problems.join("\n")).not.toContain(SECRET);
  });
});

describe("Config", () => {
  test("is frozen, down to lists and mappings, and shares nothing with the defaults", () => {
    const config = configOf({ text: "mock: {models: [a]}\nllm: {headers: {X-A: a}}\n" });
    for (
      const value of [config, ...Object.values(config), config.mock.models, config.llm.headers]
    ) {
      expect(Object.isFrozen(value)).toBe(true);
    }
    expect(Object.isFrozen(DEFAULTS.mock.models)).toBe(true);
    expect(DEFAULTS.mock.models).toEqual([]);
  });

  test("has types that say what it holds", () => {
    const workers: number | "auto" = DEFAULTS.server.workers;
    const source: "auto" | "mock" | "proxy" = DEFAULTS.chat.source;
    const models: readonly string[] = DEFAULTS.mock.models;
    const headers: Readonly<Record<string, string>> = DEFAULTS.llm.headers;
    // @ts-expect-error: a port is a number
    const port: string = DEFAULTS.server.port;
    // @ts-expect-error: the configuration is read-only
    expect(() => DEFAULTS.server.port = 1).toThrow(TypeError);
    expect([workers, source, models, headers, port as unknown]).toEqual([1, "auto", [], {}, 8080]);
  });
});

describe("config.yaml", () => {
  const text = readFileSync(join(import.meta.dir, "../../config.yaml"), "utf8");

  test("loads without a warning and equals the defaults", () => {
    const result = load({ text });
    expect(result.kind === "ok" && result.config).toEqual(DEFAULTS);
    expect(result.warnings).toEqual([]);
  });
});

describe("parseEnv() of node:util, which reads .env for us", () => {
  const CASES = [
    ["no $ is expanded", 'A=1\nB=$A ${A}\nC="$A"', { A: "1", B: "$A ${A}", C: "$A" }],
    ["a comment is no value", "A= # api代理地址\nB=x # y\nC='x # y'", {
      A: "",
      B: "x",
      C: "x # y",
    }],
    ["export, CRLF and a byte order mark are skipped", "\uFEFFexport A=1\r\nB=2\r\n", {
      A: "1",
      B: "2",
    }],
    ["Chinese text and emoji stay", "A=你好🙂", { A: "你好🙂" }],
  ] as const;
  for (const [name, text, expected] of CASES) {
    test(name, () => expect(parseEnv(text)).toEqual(expected));
  }
});

describe("mock.reply", () => {
  const must = "must be text of at most 1048576 characters and 65536 words " +
    "(a Chinese or Japanese character is one)";
  const cases: readonly (readonly [name: string, reply: string, isGood: boolean])[] = [
    ["1 MiB of one word", "w".repeat(1_048_576), true],
    ["one character more", "w".repeat(1_048_577), false],
    ["65,536 words", "w ".repeat(65_536), true],
    ["one word more", "w ".repeat(65_537), false],
    ["65,536 Chinese characters", "水".repeat(65_536), true],
    ["one Chinese character more", "水".repeat(65_537), false],
  ];
  for (const [name, reply, isGood] of cases) {
    test(`${isGood ? "may" : "may not"} have ${name}`, () => {
      const problems = problemsOf({ flags: [flag("mock.reply", reply)] });
      if (isGood) return expect(problems).toEqual([]);
      expect(problems).toHaveLength(1);
      expect(problems[0]).toContain(must);
    });
  }
});
