import { describe, expect, test } from "bun:test";
import { type ConfigOrigins, loadConfig } from "../../src/config/config.ts";
import { describeConfig, maskUrl } from "../../src/config/describe.ts";
import type { Config } from "../../src/config/schema.ts";

function load(text: string): { config: Config; origins: ConfigOrigins } {
  const result = loadConfig({ file: { name: "c.yaml", text }, env: {}, dotenv: {}, flags: [] });
  if (result.kind === "bad") throw new Error(result.problems.join("\n"));
  return result;
}

describe("describeConfig()", () => {
  const PLAIN = [
    "",
    "mock:\n  reply: |\n    多行 🙂\n\n      x: y # z\n",
    'mock: {reply: "- \\"a\\": #b", models: [gpt-4o, "4", "true"]}\nserver: {workers: auto, main: 9100}\n',
    'mock: {reply: "off"}\nops: {log: off}\n',
    "memory:\n  url: sqlite:///数据/我 的.db\n",
  ];
  for (const text of PLAIN) {
    test(`gives YAML that loads as the same again: ${JSON.stringify(text)}`, () => {
      const { config, origins } = load(text);
      expect(load(describeConfig(config)).config).toEqual(config);
      expect(load(describeConfig(config, origins)).config).toEqual(config);
    });
  }

  test("shows that secrets are set, and no secret", () => {
    const secret = "hidden-5ecret";
    const { config, origins } = load([
      `auth: {token: ${secret}, secret_key: ${secret}}`,
      `llm:`,
      `  api_key: ${secret}`,
      `  base_url: https://a.example/v1`,
      `  proxy: http://${secret}@b.example:3128`,
      `  headers: {Authorization: Bearer ${secret}, X-Team: ${secret}}`,
      `chat: {api_proxy: u:${secret}@c.example}`,
      `conv: {access_token: Bearer ${secret}}`,
      `memory: {url: "postgres://weir:${secret}@db/weir?sslpassword=${secret}&a=b"}`,
    ].join("\n"));
    const text = describeConfig(config, origins);
    expect(text).not.toContain(secret);
    const lines = text.split("\n").map((line) => line.trim());
    expect(lines).toContain('token: "***" # c.yaml:1:15');
    expect(lines).toContain("api_proxy: http://***@c.example # c.yaml:7:19");
    expect(lines).toContain("proxy: http://***@b.example:3128 # c.yaml:5:10");
    expect(lines).toContain('Authorization: "***"');
    expect(lines).toContain('X-Team: "***"');
    expect(lines).toContain(
      "url: postgres://weir:***@db/weir?sslpassword=***&a=b # c.yaml:9:15",
    );
  });

  test("shows a secret that is not set as empty", () => {
    expect(describeConfig(load("").config)).toContain('  api_key: ""\n');
  });

  test("says where a setting came from, unless it is the default", () => {
    const { config, origins } = load("server:\n  main: 9100\n");
    const text = describeConfig(config, origins);
    expect(text).toContain("  main: 9100 # c.yaml:2:9\n");
    expect(text).toContain("  url: http://127.0.0.1:9100 # server.main, c.yaml:2:9\n");
    expect(text).toContain("  port: 8080\n");
  });
});

describe("maskUrl()", () => {
  const CASES = [
    ["https://a.example/v1", "https://a.example/v1"],
    ["https://u:p@a.example/v1", "https://***@a.example/v1"],
    ["https://token@a.example", "https://***@a.example"],
    ["https://a.example/@scope", "https://a.example/@scope"],
    ["postgres://u@db/weir", "postgres://u@db/weir"],
    ["postgres://u:p%40@db/weir", "postgres://u:***@db/weir"],
    ["postgresql://u:a@b@db/weir?sslmode=require", "postgresql://u:***@db/weir?sslmode=require"],
    ["postgres://db/weir?user=u&password=p", "postgres://db/weir?user=u&password=***"],
    ["redis://:p@r:6380/2", "redis://:***@r:6380/2"],
    ["rediss://u:a@b@r", "rediss://u:***@r"],
    ["sqlite://a:b@c.db", "sqlite://a:b@c.db"],
    ["", ""],
  ] as const;
  for (const [url, masked] of CASES) {
    test(`${url} → ${masked}`, () => expect(maskUrl(url)).toBe(masked));
  }
});
