import { expect, test } from "bun:test";
import { routeLines } from "../../src/cli/route_lines.ts";
import { configOf } from "../config/loaded.ts";

test("routes are drawn with their order, weights and changes, and no secret", () => {
  const config = configOf({
    text: `llm: {base_url: "https://u:hidden@a.example/v1", api_key_header: api-key}
upstreams:
  - {name: one, base_url: "http://one.example/v1", api_keys: [k1, k2], concurrency_max: 8, rename: {a: b}}
  - {name: two, base_url: "http://two.example/v1?key=hidden", retries: 1}
  - {name: unused, base_url: "http://three.example/v1"}
routes:
  - {name: chat, match: {model: "gpt-*", key: ci, tools: true, header: {x-a: "b*"}}, to: [one, two, mock], hedge_ms: 300}
  - {match: {model: llama, body_max_bytes: 10, path: /v1/chat/*}, to: [two, one], weights: {one: 1, two: 3}}
  - {name: all, to: [two], rename: {"*": big}, params_max: {n: 1}, cache: {ttl_s: 60, scope: all}}
`,
  });
  expect(routeLines(config)).toEqual([
    "chat  gpt-*, key ci, x-a: b*, with tools      → one → two → mock (the second after 300 ms)",
    "      llama, path /v1/chat/*, up to 10 bytes  → two 3 + one 1",
    "all   every model                             → two (* is big, parameters changed, kept 60 s for everybody)",
    "llm: https://***@a.example/v1 (2 retries)",
    "one: http://one.example/v1 (2 keys in turn, 2 retries, 8 at once, a is b)",
    "two: http://two.example/v1?key=*** (1 retry)",
  ]);
});

test("what no route takes has a line", () => {
  const text = "routes: [{match: {model: a, vision: true}, to: [mock]}]\n";
  expect(routeLines(configOf({ text }))).toEqual([
    "a, with images   → mock",
    "everything else  → mock",
  ]);
});

test("without routes there is nothing to draw", () => {
  expect(routeLines(configOf({ text: "llm: {base_url: https://a.example}\n" }))).toEqual([]);
});
