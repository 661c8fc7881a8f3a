/**
 * What it costs to find a fixture: `bun --no-env-file bench/fixture_matching.ts`. 300 that want a
 * whole text, 600 that want a part of it, 100 that want an expression, and the last one fits; the same
 * request again, and another text of 200 characters each time. Nanoseconds of processor time.
 *
 * @module
 */

import { EMPTY_TURN } from "../src/core/turn.ts";
import type { Fixture } from "../src/sources/fixtures/fixture.ts";
import { fixtureSet } from "../src/sources/fixtures/fixture_set.ts";
import type { Counters } from "../src/sources/fixtures/ports.ts";
import { readFixtures } from "../src/sources/fixtures/read.ts";
import type { View } from "../src/sources/fixtures/view.ts";

const ROUNDS = 20;
const REQUESTS = 20_000;
const TEXT_CHARS = 200;
const WORDS =
  "the quick brown fox jumps over a lazy dog while it rains in Boston and nobody knows why"
    .split(" ");

const COUNTERS: Counters = { add: () => 0, get: () => 0, reset() {} };

function entries(): readonly object[] {
  const match = (i: number) => {
    if (i < 300) return { userMessage: { equals: `What is question number ${i} about?` } };
    if (i < 900) return { userMessage: `${WORDS[i % WORDS.length]} ${WORDS[i % 7]} number ${i}` };
    if (i < 999) return { userMessage: { regex: `^order ${i} of \\d{4,6}( please)?$` } };
    return { userMessage: { regex: "go (on|away)$" } };
  };
  return Array.from({ length: 1000 }, (_, i) => ({ match: match(i), response: { content: "x" } }));
}

/** A text of 200 characters that the last fixture fits alone. */
function textOf(i: number): string {
  let text = `${i} `;
  for (let at = i; text.length < TEXT_CHARS - 5; at++) text += `${WORDS[at * 7 % WORDS.length]} `;
  return `${text.slice(0, TEXT_CHARS - 5)}go on`;
}

function viewOf(text: string): View {
  return {
    endpoint: "chat",
    dialect: "openai_chat",
    path: "/v1/chat/completions",
    model: "gpt-4o",
    turn: { ...EMPTY_TURN, model: "gpt-4o", messages: [{ role: "user", content: text }] },
    inputs: [],
    fields: { get: () => null, has: () => false },
    key: "",
    body: () => undefined,
  };
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** The median of the rounds, nanoseconds for each call. */
function cost(call: (i: number) => void): number {
  const rounds = Array.from({ length: ROUNDS }, () => {
    const before = process.cpuUsage();
    for (let i = 0; i < REQUESTS; i++) call(i);
    const { user, system } = process.cpuUsage(before);
    return (user + system) * 1000 / REQUESTS;
  });
  return rounds.sort((a, b) => a - b)[ROUNDS / 2]!;
}

function report(name: string, fixtures: readonly Fixture[], isFound: boolean): void {
  const set = fixtureSet(fixtures);
  const same = viewOf(textOf(0));
  const texts = Array.from({ length: REQUESTS }, (_, i) => textOf(i));
  const check = (view: View) => {
    const found = set.find(view, COUNTERS, "");
    if (found?.fixture !== (isFound ? fixtures.at(-1) : undefined)) {
      throw new Error("wrong fixture");
    }
  };
  const again = cost(() => check(same));
  const another = cost((i) => check(viewOf(texts[i]!)));
  const none = cost((i) => void viewOf(texts[i]!));
  print(
    `${name}: the same request ${again.toFixed(0)} ns, ` +
      `another text ${(another - none).toFixed(0)} ns`,
  );
}

const before = performance.now();
const { fixtures, problems } = readFixtures(JSON.stringify({ fixtures: entries() }), "bench.json");
if (problems.length > 0) throw new Error(problems.join("\n"));
const read = performance.now();
fixtureSet(fixtures);
const indexed = performance.now();
print(
  `reading ${(read - before).toFixed(0)} ms, index ${(indexed - read).toFixed(0)} ms (cold)`,
);
report("1000 fixtures", fixtures, true);
report("999 fixtures, none fits", fixtures.slice(0, -1), false);
report("1 fixture", fixtures.slice(-1), true);
report("no fixture", [], false);
