import { describe, expect, test } from "bun:test";
import { freePort } from "../server/free_port.ts";
import { run } from "../server/launch.ts";

const BASE = "llm.base_url=http://127.0.0.1:9/v1";
const KEY = "llm.api_key=sk-own";
const ALL = "server.host=0.0.0.0";
/** `upstreams` with one that `more` is said of, and a route to it. */
const routed = (more: string, to = "a") => [
  `upstreams=[{name: a, base_url: "http://127.0.0.1:9", ${more}}]`,
  `routes=[{to: [${to}]}]`,
];

/** Settings → what they give away, and what for; undefined = nothing. */
const CASES: readonly (readonly [string, readonly string[], RegExp | undefined])[] = [
  ["a bare mock on every address", [ALL], undefined],
  ["a proxy for its clients' keys", [ALL, BASE], undefined],
  ["a key on loopback", [BASE, KEY], undefined],
  ["a key on another address of loopback", ["server.host=127.0.0.2", BASE, KEY], undefined],
  ["a key on ::1", ["server.host=::1", BASE, KEY], undefined],
  ["a key on localhost", ["server.host=localhost", BASE, KEY], undefined],
  ["a key on a socket file", [ALL, "server.unix=w.sock", BASE, KEY], undefined],
  ["a key on every address", [ALL, BASE, KEY], /auth\.token must.*0\.0\.0\.0.*\(llm\.api_key\)/],
  ["a key on every IPv6 address", ["server.host=::", BASE, KEY], /auth\.token must.*is ::/],
  ["a key on an address", ["server.host=192.0.2.1", BASE, KEY], /auth\.token must/],
  ["a key on a name", ["server.host=weir.example", BASE, KEY], /auth\.token must/],
  ["a key behind a proxy", ["server.trusted_proxies=[127.0.0.1]", BASE, KEY], /trusted_proxies/],
  ["a key on a socket file behind a proxy", [
    "server.unix=w.sock",
    "server.trusted_proxies=[127.0.0.1]",
    BASE,
    KEY,
  ], /trusted_proxies/],
  ["a key alone, for api.openai.com", [ALL, KEY], /\(llm\.api_key\)/],
  ["a key that only the mock could use", [ALL, KEY, BASE, "chat.source=mock"], undefined],
  ["a key, and a route to it", [ALL, KEY, BASE, "chat.source=mock", "routes=[{to: [llm]}]"], /llm/],
  ["a key and a token", [ALL, BASE, KEY, "auth.token=t"], undefined],
  ["a key and tokens", [ALL, BASE, KEY, "auth.tokens=[{name: a, token: t}]"], undefined],
  ["a key, and keys for clients", [ALL, BASE, KEY, "keys=[{name: a, token: t}]"], undefined],
  ["a key, and keys of the store", [ALL, BASE, KEY, "store.keys=on"], undefined],
  ["a key, and keys of a store that nobody asks for", [ALL, BASE, KEY, "store.keys=auto"], /must/],
  ["a key and a token in a file", [ALL, BASE, KEY, "auth.token_file=t"], undefined],
  ["a key that is meant for all", [ALL, BASE, KEY, "auth.open=true"], undefined],
  ["a key in a file", [ALL, BASE, "llm.api_key_file=k"], /\(llm\.api_key_file\)/],
  ["a key in a header", [ALL, BASE, "llm.headers={Authorization: Basic x}"], /\(llm\.headers\)/],
  ["another key in a header", [ALL, BASE, "llm.headers={X-Api-Key: x}"], /\(llm\.headers\)/],
  ["a header that is no key", [ALL, BASE, "llm.headers={X-Team: blue}"], undefined],
  ["a key in a URL", [ALL, "llm.base_url=http://u:p@127.0.0.1:9"], /\(llm\.base_url\)/],
  ["a key of a further upstream", [ALL, ...routed("api_key: k")], /\(upstreams\.0\.api_key\)/],
  ["a header of a further upstream", [ALL, ...routed("headers: {x-token: k}")], /0\.headers\)/],
  ["a key that no route leads to", [ALL, ...routed("api_key: k", "mock")], undefined],
  ["a key for /chat", [ALL, BASE, "chat.api_key=k"], /auth\.token or auth\.secret_key must.*chat/],
  [
    "a key for /chat, and what signs",
    [ALL, BASE, "chat.api_key=k", "auth.secret_key=s"],
    undefined,
  ],
  ["a key for /v1, and what signs", [ALL, BASE, KEY, "auth.secret_key=s"], /auth\.token must/],
  [
    "a token for /conv",
    [ALL, "conv.unofficial_proxy=127.0.0.1:9", "conv.access_token=Bearer x"],
    /\(conv\.access_token\)/,
  ],
];

const FILES = { k: "sk-file\n", t: "token\n" };

function flags(settings: readonly string[]): string[] {
  return settings.flatMap((setting) => ["--set", setting]);
}

describe("a key that strangers could spend", () => {
  for (const [name, settings, problem] of CASES) {
    test(`check: ${name} is ${problem === undefined ? "right" : "refused"}`, async () => {
      const { code, errors } = await run(["check", ...flags(settings)], { files: FILES });
      expect([code, errors], errors).toEqual([
        problem === undefined ? 0 : 1,
        problem === undefined ? expect.any(String) : expect.stringMatching(problem),
      ]);
      if (problem === undefined) return;
      expect(errors).toContain("auth.open: true");
      expect(errors).not.toContain("sk-own");
    });
  }

  for (const command of [["serve", "--port", "0"], ["--port", "0"], ["up", "--port", "0"]]) {
    test(`${command.join(" ")} does not start`, async () => {
      const { code, output, errors } = await run([...command, ...flags([ALL, BASE, KEY])]);
      expect([code, output]).toEqual([1, ""]);
      expect(errors).toContain("auth.token must be set while server.host is 0.0.0.0");
    });
  }

  test("up does not start where the workflow file has it listen for all", async () => {
    const file = `controller: {type: http-server, host: 0.0.0.0, port: ${freePort()}}\n` +
      "workflow: {job: {component: {type: http-client, endpoint: http://127.0.0.1:9/}}}\n";
    const { code, errors } = await run(["up"], {
      files: { "model-compose.yml": file },
      env: { OPENAI_API_KEY: "sk-own" },
    });
    expect([code, errors]).toEqual([
      1,
      expect.stringContaining("auth.token must be set while server.host is 0.0.0.0"),
    ]);
  });

  const INSTALLED = [
    [[BASE, KEY], 1],
    [[BASE, KEY, "server.unix=/run/weir/w.sock"], 1],
    [[BASE, KEY, "auth.token=t"], 0],
    [[BASE, KEY, "auth.open=true"], 0],
    [[BASE], 0],
  ] as const;
  for (const [settings, wanted] of INSTALLED) {
    test(`install behind nginx: ${settings.join(" ")}: ${wanted}`, async () => {
      const { code, output, errors } = await run(["install", ...flags(settings)]);
      expect(code).toBe(wanted);
      if (wanted === 0) return;
      expect(output).toBe("");
      expect(errors).toContain("auth.token must be set while nginx passes on what the public asks");
    });
  }

  test("serve does not start as what install has made either, once its token is gone", async () => {
    const { output } = await run(["install", ...flags([BASE, KEY, "auth.token=t"])]);
    const proxies = /^Environment=WEIR_SERVER_TRUSTED_PROXIES=(.*)$/m.exec(output)![1]!;
    const { code } = await run(["serve", "--port", "0", ...flags([BASE, KEY])], {
      env: { WEIR_SERVER_TRUSTED_PROXIES: proxies },
    });
    expect(code).toBe(1);
  });

  test("auth.open and a token contradict each other", async () => {
    const { code, errors } = await run(["check", ...flags(["auth.open=true", "auth.token=t"])]);
    expect([code, errors]).toEqual([1, expect.stringContaining("auth.open: must be false while")]);
  });
});

describe("a secret of blanks", () => {
  const BLANK = { blank: " \t \n", empty: "" };
  const WRONG: readonly (readonly string[])[] = [
    ["auth.token=   "],
    ["auth.token_file=blank"],
    ["auth.token_file=empty"],
    ['auth.tokens=[{name: a, token: "  "}]'],
    ["auth.tokens=[{name: a, token_file: blank}]"],
    ["auth.tokens=[{name: a, token_file: empty}]"],
    ["auth.tokens=[{name: a}]"],
    ["auth.secret_key=   "],
    ["llm.api_key=  "],
    ["llm.api_key_file=blank"],
    ['upstreams=[{name: a, base_url: "http://a", api_key: " "}]'],
    ['upstreams=[{name: a, base_url: "http://a", api_key_file: blank}]'],
    ["chat.api_key= "],
    ["conv.access_token= "],
  ];
  for (const settings of WRONG) {
    for (const command of [["check"], ["serve", "--port", "0"]]) {
      test(`${command[0]} refuses ${settings.join(" ")}`, async () => {
        const { code, errors } = await run([...command, ...flags(settings)], { files: BLANK });
        expect([code, errors]).toEqual([1, expect.stringMatching(/empty|must/)]);
      });
    }
  }

  test("is refused from the environment, too", async () => {
    const { code, errors } = await run(["check"], { env: { WEIR_AUTH_TOKEN: "  " } });
    expect([code, errors]).toEqual([1, expect.stringContaining("auth.token")]);
  });
});
