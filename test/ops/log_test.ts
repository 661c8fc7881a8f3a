import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/core/errors.ts";
import type { Event } from "../../src/core/events.ts";
import { type Engine, Exchange } from "../../src/core/exchange.ts";
import type { Client } from "../../src/core/facts.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import { logWatcher } from "../../src/ops/log.ts";
import { LogBuffer } from "../../src/ops/log_buffer.ts";
import { jsonLines, prettyLines, redactor } from "../../src/ops/log_line.ts";

const WALL_MS = Date.UTC(2026, 10, 21, 3, 4, 5, 67);

/** A log that keeps its lines. */
function logging(
  level: "requests" | "errors",
  secrets: readonly string[] = [],
  client?: Client,
) {
  const lines: string[] = [];
  const urgent: boolean[] = [];
  const add = (line: string, isUrgent = false) => {
    lines.push(line);
    urgent.push(isUrgent);
  };
  const watch = logWatcher(level, jsonLines(() => WALL_MS, redactor(secrets)), { add })!;
  const engine: Engine = {
    wheel: new Wheel(() => 0, () => {}),
    streams: new Set(),
    watch,
    keepaliveMs: 0,
    writeTimeoutMs: 60_000,
  };
  const ask = () => new Exchange(engine, "test", { method: "POST", client });
  return { lines, urgent, watch, ask, parsed: () => lines.map((line) => JSON.parse(line)) };
}

describe("jsonLines()", () => {
  test("writes a request as one line of JSON, whatever its model is called", () => {
    const { ask, lines, parsed } = logging("requests");
    const model = 'gpt"\n\\ 你好 🌊 \ud800';
    const exchange = ask();
    exchange.model = model;
    exchange.promptTokens = 3;
    exchange.complete(200, 42);
    expect(lines[0]).toEndWith("}\n");
    expect(lines[0]!.trimEnd()).not.toContain("\n");
    expect(parsed()[0]).toEqual({
      time: "2026-11-21T03:04:05.067Z",
      level: "info",
      event: "request",
      surface: "test",
      method: "POST",
      model: model.toWellFormed(),
      stream: false,
      status: 200,
      outcome: "completed",
      first_byte_ms: 0,
      duration_ms: 0,
      bytes: 42,
      tokens_in: 3,
    });
  });

  test("says of tokens that weir has counted itself that they are estimated", () => {
    const { ask, parsed } = logging("requests");
    const exchange = ask();
    exchange.promptTokens = 3;
    exchange.completionTokens = 5;
    exchange.tokensAreEstimated = true;
    exchange.complete(200, 0);
    expect(parsed()[0]).toMatchObject({ tokens_in: 3, tokens_out: 5, tokens_estimated: true });
  });

  test("names the client and its token where they are known", () => {
    const { ask, parsed } = logging("requests", [], { address: "203.0.113.7", isCounted: false });
    const exchange = ask();
    exchange.tokenName = "blue";
    exchange.complete(200, 0);
    expect(parsed()[0]).toMatchObject({ client: "203.0.113.7", token: "blue" });
    const unknown = logging("requests", [], { address: "", isCounted: true });
    unknown.ask().complete(200, 0);
    expect(unknown.parsed()[0]).not.toHaveProperty("client");
    expect(unknown.parsed()[0]).not.toHaveProperty("token");
  });

  test("shortens a model's name", () => {
    const { ask, parsed } = logging("requests");
    const exchange = ask();
    exchange.model = "m".repeat(5000);
    exchange.complete(200, 0);
    expect(parsed()[0].model).toBe(`${"m".repeat(100)}…`);
  });

  const PATHS: readonly (readonly [path: string, shown: string])[] = [
    ["/nowhere", "/nowhere"],
    [`/${"x".repeat(5000)}`, `/${"x".repeat(199)}…`],
    ['/a"\\b', '/a"\\b'],
    ["http://user:pass@host:81/there", "/there"],
    ["/v1/sk-abcdefgh", "/v1/sk-***"],
  ];
  for (const [path, shown] of PATHS) {
    test(`gives ${shown.slice(0, 20)}, which nobody serves`, () => {
      const { ask, parsed } = logging("requests");
      const exchange = ask();
      exchange.path = path;
      exchange.refuse(new AppError("not_found", "no"));
      expect(parsed()[0].path).toBe(shown);
    });
  }

  test("gives no path where a surface has a name for it", () => {
    const { ask, parsed } = logging("requests");
    ask().complete(200, 0);
    expect(parsed()[0]).not.toHaveProperty("path");
  });

  test("gives an error's sentence only where it quotes nobody", () => {
    const { ask, parsed } = logging("errors");
    ask().refuse(new AppError("upstream_timeout", "The upstream was silent"));
    ask().end("upstream_failed", new AppError("upstream_refused", "your key sk-1234567 is wrong"));
    const [own, quoted] = parsed();
    expect(own).toMatchObject({ error_code: "upstream_timeout", error: "The upstream was silent" });
    expect(quoted.error_code).toBe("upstream_refused");
    expect(quoted).not.toHaveProperty("error");
  });
});

describe("logWatcher()", () => {
  const bug = (error: unknown): Event => ({ kind: "bug", where: "test", error });

  test("errors: leaves out what went well, and what clients did wrong", () => {
    const { ask, lines } = logging("errors");
    ask().complete(200, 1);
    ask().refuse(new AppError("auth_wrong", "no"));
    ask().end("client_left");
    expect(lines).toEqual([]);
    ask().end("shut_down");
    expect(lines).toHaveLength(1);
  });

  test("a bug is written at once, with its stack and without the text that would not parse", () => {
    const { watch, parsed, urgent } = logging("errors", ["own-secret"]);
    try {
      JSON.parse("SECRET-PROMPT");
    } catch (error) {
      watch(bug(error));
    }
    watch(bug(new TypeError("Bearer abcdefgh and own-secret and sk-abcdefgh")));
    watch(bug("a prompt"));
    expect(urgent).toEqual([true, true, true]);
    const [syntax, type, text] = parsed();
    expect(syntax).toMatchObject({ event: "bug", level: "error", where: "test" });
    expect(syntax.stack).toContain("log_test.ts");
    expect(JSON.stringify(parsed())).not.toMatch(/SECRET|abcdefgh|own-secret|a prompt/);
    expect(type.stack).toContain("TypeError: Bearer *** and *** and sk-***");
    expect(text.stack).toBe("a thrown string");
  });
});

test("prettyLines() cannot be used to paint on the terminal, and paints only when asked", () => {
  const line = prettyLines(() => WALL_MS, redactor([]), false)
    .note("upstream_retried", "warn", { cause: "a\x1b[31m\r\nb", delay_ms: 5 });
  expect(line).toBe("03:04:05.067  upstream_retried  cause=a [31m b  delay_ms=5\n");
});

describe("LogBuffer", () => {
  /** A buffer whose clock the test moves and whose writes it settles. */
  function buffering() {
    const clock = { nowMs: 0 };
    const wheel = new Wheel(() => clock.nowMs, () => {});
    const writes: string[] = [];
    const taken: (() => void)[] = [];
    const buffer = new LogBuffer(wheel, (text, done) => {
      writes.push(text);
      taken.push(done);
    }, (count) => `${count} dropped\n`);
    const moveTo = (ms: number) => {
      clock.nowMs = ms;
      wheel.turn();
    };
    return { buffer, writes, taken, moveTo };
  }

  test("writes what came within 100 ms in one piece", () => {
    const { buffer, writes, moveTo } = buffering();
    buffer.add("a\n");
    buffer.add("b\n");
    moveTo(99);
    expect(writes).toEqual([]);
    moveTo(100);
    expect(writes).toEqual(["a\nb\n"]);
  });

  test("writes an urgent line at once, with what waits before it", () => {
    const { buffer, writes } = buffering();
    buffer.add("a\n");
    buffer.add("b\n", true);
    expect(writes).toEqual(["a\nb\n"]);
  });

  test("has one write under way, and tells how many lines a slow reader lost", () => {
    const { buffer, writes, taken } = buffering();
    buffer.add("first\n", true);
    const line = `${"x".repeat(1023)}\n`;
    for (let i = 0; i < 2000; i++) buffer.add(line, true);
    expect(writes).toHaveLength(1);
    expect(buffer.dropped).toBe(2000 - 1024);
    taken[0]!();
    expect(writes).toHaveLength(2);
    expect(writes[1]).toBe(`${line.repeat(1024)}976 dropped\n`);
    taken[1]!();
    buffer.add("last\n", true);
    expect(writes[2]).toBe("last\n");
  });

  test("flushed() waits until everything is taken; take() gives what nobody has written", async () => {
    const { buffer, taken } = buffering();
    buffer.add("a\n");
    let isFlushed = false;
    const flushed = buffer.flushed().then(() => (isFlushed = true));
    buffer.add("b\n");
    await Promise.resolve();
    expect(isFlushed).toBe(false);
    taken[0]!();
    taken[1]!();
    await flushed;
    buffer.add("c\n");
    expect(buffer.take()).toBe("c\n");
  });
});
