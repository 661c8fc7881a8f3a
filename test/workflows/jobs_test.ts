import { afterAll, describe, expect, test } from "bun:test";
import { Wheel } from "../../src/lib/wheel.ts";
import { holds, isEqual } from "../../src/workflows/condition.ts";
import { durationMs } from "../../src/workflows/duration.ts";
import { wallMsOf } from "../../src/workflows/wall_time.ts";
import { waitFor } from "../server/launch.ts";
import { rig, valueOf } from "./rig.ts";

/** Requests that the upstream holds at the same time, and the most it ever held. */
let open = 0;
let openMax = 0;
let gate = Promise.withResolvers<void>();
let wanted = 1;

/** Answers with what it got; `/meet` answers only when `wanted` requests are there together. */
const upstream = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    const path = new URL(request.url).pathname;
    const body = await request.json() as Record<string, unknown>;
    if (path === "/fail") return new Response("broken", { status: 500 });
    if (path === "/stream") {
      const words = String(body["text"]).split(" ");
      return new Response(words.map((word) => `data: ${word}\n\n`).join(""), {
        headers: { "content-type": "text/event-stream" },
      });
    }
    openMax = Math.max(openMax, ++open);
    if (path === "/meet") {
      if (open >= wanted) gate.resolve();
      await gate.promise;
    }
    if (path === "/linger") await Bun.sleep(20);
    open--;
    return Response.json(body);
  },
});

afterAll(async () => void await upstream.stop(true));

function meet(count: number): void {
  open = 0;
  openMax = 0;
  wanted = count;
  gate = Promise.withResolvers();
}

/** A file with `jobs` and one component with the actions echo, meet, linger, stream and fail. */
function file(jobs: string, top = ""): string {
  const actions = ["echo", "meet", "linger", "fail"].map((id) =>
    `  - {id: ${id}, path: /${id}, body: "\${input}", default: ${id === "echo"}}`
  );
  return `${top}\nworkflow:\n  jobs:\n${jobs}\ncomponent:\n  id: c\n  type: http-client\n` +
    `  base_url: http://127.0.0.1:${upstream.port}\n  actions:\n${actions.join("\n")}\n` +
    "  - {id: stream, path: /stream, body: '${input}', output: '${response[]}', stream_format: text}\n";
}

describe("runJobs", () => {
  /** name → jobs, input, output. */
  const CASES: readonly (readonly [string, string, unknown, unknown])[] = [
    ["one job", "  - {id: a}", { x: 1 }, { x: 1 }],
    [
      "input and output of a job",
      "  - {id: a, input: {q: '${input.x}'}, output: 'got ${output.q}'}",
      { x: "值" },
      "got 值",
    ],
    [
      "jobs in a row",
      "  - {id: a, input: {n: 1}}\n" +
      "  - {id: b, depends_on: [a], input: {n: 2, before: '${jobs.a.output.n}'}}",
      null,
      { n: 2, before: 1 },
    ],
    [
      "mappings of several ends",
      "  - {id: a, input: {a: 1, z: 1}}\n  - {id: b, input: {b: 2, z: 2}}",
      null,
      { a: 1, b: 2, z: 2 },
    ],
    [
      "the last of several ends",
      "  - {id: a, input: {a: 1}}\n  - {id: b, input: {b: 2}, output: text}",
      null,
      "text",
    ],
    [
      "a filter",
      "  - {id: a, input: {l: [1, 2]}}\n  - {id: f, type: filter, depends_on: a, " +
      "output: {second: '${jobs.a.output.l[1]}'}}",
      null,
      { second: 2 },
    ],
    ["a filter alone", "  - {id: f, type: filter, output: '${input.x as number | 3}'}", null, 3],
    ["repeat_count", "  - {id: a, input: {n: 1}, repeat_count: 3}", null, [{ n: 1 }, { n: 1 }, {
      n: 1,
    }]],
    ["repeat_count of an expression", "  - {id: a, repeat_count: '${input.n as integer}'}", {
      n: 2,
    }, [{ n: 2 }, { n: 2 }]],
    [
      "if, true",
      "  - {id: i, type: if, input: '${input.x}', value: 1, if_true: t, if_false: f}\n" +
      "  - {id: t, input: {r: t}}\n  - {id: f, input: {r: f}}",
      { x: 1 },
      { r: "t" },
    ],
    [
      "if, false",
      "  - {id: i, type: if, input: '${input.x}', value: 1, if_true: t, if_false: f}\n" +
      "  - {id: t, input: {r: t}}\n  - {id: f, input: {r: f}}",
      { x: 2 },
      { r: "f" },
    ],
    [
      "if with conditions and otherwise",
      "  - {id: i, type: if, conditions: [" +
      "{input: '${input.x}', operator: gt, value: 9, if_true: t}, " +
      "{input: '${input.x}', operator: lt, value: 0, if_true: f}], otherwise: o}\n" +
      "  - {id: t, input: {r: t}}\n  - {id: f, input: {r: f}}\n  - {id: o, input: {r: o}}",
      { x: 5 },
      { r: "o" },
    ],
    [
      "if that leads nowhere",
      "  - {id: i, type: if, input: 1, value: 2, if_true: t}\n  - {id: t}",
      null,
      null,
    ],
    [
      "switch",
      "  - {id: s, type: switch, input: '${input.x}', cases: [{value: a, then: t}, " +
      "{value: 2, then: f}], otherwise: o}\n" +
      "  - {id: t, input: {r: t}}\n  - {id: f, input: {r: f}}\n  - {id: o, input: {r: o}}",
      { x: 2 },
      { r: "f" },
    ],
    [
      "switch, otherwise",
      "  - {id: s, type: switch, input: '${input.x}', cases: [{value: a, then: t}], " +
      "otherwise: o}\n  - {id: t, input: {r: t}}\n  - {id: o, input: {r: o}}",
      { x: "z" },
      { r: "o" },
    ],
    [
      "a job behind both branches",
      "  - {id: i, type: if, input: 1, value: 1, if_true: t, if_false: f}\n" +
      "  - {id: t, input: {r: t}}\n  - {id: f, input: {r: f}}\n" +
      "  - {id: end, depends_on: [t, f], input: {t: '${jobs.t.output.r}', f: '${jobs.f.output.r}'}}",
      null,
      { t: "t", f: null },
    ],
    [
      "a job behind a branch not taken",
      "  - {id: i, type: if, input: 1, value: 1, if_true: t, if_false: f}\n" +
      "  - {id: t, input: {r: t}}\n  - {id: f}\n  - {id: g, depends_on: f}\n  - {id: h, depends_on: g}",
      null,
      { r: "t" },
    ],
    [
      "routing in a row",
      "  - {id: i, type: if, input: 1, value: 1, if_true: s}\n" +
      "  - {id: s, type: switch, input: 2, cases: [{value: 2, then: t}]}\n  - {id: t, input: {r: t}}",
      null,
      { r: "t" },
    ],
    [
      "a stream that another job needs",
      "  - {id: a, action: stream, input: {text: '你 好'}}\n" +
      "  - {id: b, depends_on: a, input: {got: '${jobs.a.output}'}}",
      null,
      { got: "你好" },
    ],
    [
      "a stream inside a mapping",
      "  - {id: a, action: stream, input: {text: '你 好'}, output: {t: '${output}'}}",
      null,
      { t: "你好" },
    ],
    [
      "a stream inside a text",
      "  - {id: a, action: stream, input: {text: 'a b'}, output: '<${output}>'}",
      null,
      "<ab>",
    ],
    [
      "repeated streams",
      "  - {id: a, action: stream, input: {text: 'a b'}, repeat_count: 2}",
      null,
      ["ab", "ab"],
    ],
    [
      "a workflow's own output",
      "  - {id: a, input: {n: 1}}\n  output: {o: '${output.n}', j: '${jobs.a.output}', i: '${input}'}",
      "x",
      { o: 1, j: { n: 1 }, i: "x" },
    ],
    [
      "the task id",
      "  - {id: a, input: {}, output: '${context.task_id as text}'}",
      null,
      expect.stringMatching(/^[0-9A-HJKMNP-TV-Z]{26}$/),
    ],
    [
      "an inline component",
      "  - {id: a, component: {type: http-client, endpoint: " +
      `'http://127.0.0.1:${upstream.port}/echo', body: {inline: true}}}`,
      null,
      { inline: true },
    ],
  ];

  for (const [name, jobs, input, expected] of CASES) {
    test(`runs ${name}`, async () => {
      const { run, bugs } = rig(file(jobs));
      expect(valueOf(await run(input))).toEqual(expected);
      expect(bugs).toEqual([]);
    });
  }

  for (
    const [name, jobs, message] of [
      ["a failing action", "  - {id: a, action: fail}", "Request failed with status 500"],
      [
        "a failing conversion",
        "  - {id: a, input: {n: '${input.x as number}'}}",
        'Cannot convert "x" to a number',
      ],
      ["repeat_count 0", "  - {id: a, repeat_count: 0}", "from 1 to 1000: 0"],
      ["repeat_count above the limit", "  - {id: a, repeat_count: 1001}", "from 1 to 1000: 1001"],
      [
        "a wrong duration",
        "  - {id: a, type: delay, duration: '${input.x}'}",
        "it is not a duration",
      ],
      [
        "a wrong time",
        "  - {id: a, type: delay, mode: specific-time, time: soon}",
        "it is not an ISO time",
      ],
    ] as const
  ) {
    test(`fails for ${name}`, async () => {
      const { run, engine } = rig(file(jobs));
      const state = await run({ x: "x" });
      expect(state.status).toBe("failed");
      expect(state.errorText).toContain(message);
      expect(engine.openCount).toBe(0);
    });
  }

  test("refuses a value that jobs double and double again", async () => {
    const jobs = Array.from({ length: 60 }, (_, i) => {
      const below = i === 0 ? "[]" : `['\${jobs.j${i - 1}.output}', '\${jobs.j${i - 1}.output}']`;
      const after = i === 0 ? "" : `depends_on: j${i - 1}, `;
      return `  - {id: j${i}, type: filter, ${after}output: ${below}}`;
    });
    const state = await rig(file(jobs.join("\n"))).run();
    expect(state.errorText).toBe("Cannot take a value of more than 1000000 parts");
  });

  test("streams the one stream that ends a workflow", async () => {
    const { run } = rig(file(
      "  - {id: a, input: {}}\n  - {id: b, depends_on: a, action: stream, " +
        "input: {text: 'a b c'}, output: '${output as sse-json}'}",
    ));
    expect((await run()).items).toEqual(["a", "b", "c"]);
  });

  test("runs jobs side by side that do not depend on each other", async () => {
    meet(3);
    const jobs = ["a", "b", "c"].map((id) => `  - {id: ${id}, action: meet, input: {${id}: 1}}`);
    expect(valueOf(await rig(file(jobs.join("\n"))).run())).toEqual({ a: 1, b: 1, c: 1 });
  });

  test("runs repetitions side by side", async () => {
    meet(4);
    await rig(file("  - {id: a, action: meet, input: {}, repeat_count: 4}")).run();
    expect(openMax).toBe(4);
  });

  test("holds the limit of a component", async () => {
    meet(99);
    const yaml = file("  - {id: a, action: linger, input: {}, repeat_count: 6}")
      .replace("  id: c\n", "  id: c\n  max_concurrent_count: 2\n");
    expect(valueOf(await rig(yaml).run())).toHaveLength(6);
    expect(openMax).toBe(2);
  });

  test("holds the limit of the controller", async () => {
    meet(99);
    const { run } = rig(
      file("  - {id: a, action: linger, input: {}}", "controller: {max_concurrent_count: 2}"),
    );
    await Promise.all(Array.from({ length: 6 }, () => run()));
    expect(openMax).toBe(2);
  });

  test("routes by chance, the same for the same seed and in proportion to the weights", async () => {
    const jobs = "  - {id: r, type: random-router, mode: weighted, routings: " +
      "[{target: a, weight: 1}, {to: b, weight: 3}, {target: c, weight: 0}]}\n" +
      "  - {id: a, type: filter, output: a}\n  - {id: b, type: filter, output: b}\n" +
      "  - {id: c, type: filter, output: c}";
    const sequence = async () => {
      let seed = 5;
      const random = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32;
      const { run } = rig(file(jobs), { deps: { random } });
      const got: unknown[] = [];
      for (let i = 0; i < 400; i++) got.push(valueOf(await run()));
      return got;
    };
    const first = await sequence();
    expect(await sequence()).toEqual(first);
    const count = (name: string) => first.filter((one) => one === name).length;
    expect(count("a")).toBeGreaterThan(60);
    expect(count("a")).toBeLessThan(140);
    expect(count("c")).toBe(0);
  });

  for (
    const [job, dueMs] of [
      ["{id: a, type: delay, duration: 2m, output: woke}", 120_000],
      ["{id: a, type: delay, duration: 0.5, output: woke}", 500],
      ["{id: a, type: delay, duration: '${input.d}', output: woke}", 250],
      [
        "{id: a, type: delay, mode: specific-time, time: '2026-01-01T00:00:10Z', output: woke}",
        10_000,
      ],
      [
        "{id: a, type: delay, mode: specific-time, time: '2026-01-01 01:00:03', " +
        "timezone: Europe/Berlin, output: woke}",
        3000,
      ],
    ] as const
  ) {
    test(`waits ${dueMs} ms for ${job}`, async () => {
      let nowMs = 0;
      const wheel = new Wheel(() => nowMs, () => {});
      const wallMs = () => Date.UTC(2026, 0, 1) + nowMs;
      const { engine } = rig(file(`  - ${job}`), { deps: { wheel, wallMs } });
      const { signal } = new AbortController();
      const { settled, taskId } = engine.start(null, { d: "250ms" }, { signal, isKept: false });
      await waitFor(() => wheel.waiting === 1);
      nowMs = dueMs - 2;
      wheel.turn();
      await Bun.sleep(0);
      expect(engine.task(taskId)!.status).toBe("processing");
      nowMs = dueMs + 1;
      wheel.turn();
      expect(valueOf(await settled)).toBe("woke");
    });
  }

  test("ends a delay at once when the client leaves", async () => {
    const wheel = new Wheel(() => 0, () => {});
    const { engine } = rig(file("  - {id: a, type: delay, duration: 1d}"), { deps: { wheel } });
    const abort = new AbortController();
    const { settled } = engine.start(null, null, { signal: abort.signal, isKept: false });
    await waitFor(() => wheel.waiting === 1);
    abort.abort();
    expect((await settled).status).toBe("cancelled");
    expect(wheel.waiting).toBe(0);
  });

  test("stops the other jobs when one fails", async () => {
    const wheel = new Wheel(() => performance.now(), () => {});
    const { engine } = rig(
      file("  - {id: a, type: delay, duration: 1d}\n  - {id: b, action: fail, input: {}}"),
      { deps: { wheel } },
    );
    const { signal } = new AbortController();
    const state = await engine.start(null, null, { signal, isKept: false }).settled;
    expect(state.status).toBe("failed");
    await waitFor(() => wheel.waiting === 0);
  });

  test("notes what happens", async () => {
    const { run, notes } = rig(
      file("  - {id: a, input: {}}\n  - {id: b, depends_on: a, input: {}}"),
    );
    await run();
    expect(notes.map(({ jobId, stage }) => `${jobId} ${stage}`)).toEqual([
      "null started",
      "a started",
      "a completed",
      "b started",
      "b completed",
      "null completed",
    ]);
  });
});

describe("holds", () => {
  for (
    const [operator, input, value, expected] of [
      ["eq", 1, 1, true],
      ["eq", "1", 1, true],
      ["eq", "1", "1.0", false],
      ["eq", null, null, true],
      ["eq", { a: [1] }, { a: [1] }, true],
      ["eq", "", 0, false],
      ["neq", "a", "b", true],
      ["gt", "10", 9, true],
      ["gt", "10", "9", false],
      ["gte", 9, 9, true],
      ["lt", "a", "b", true],
      ["lt", "a", 1, false],
      ["lte", null, 1, false],
      ["in", "b", ["a", "b"], true],
      ["in", "ell", "hello", true],
      ["in", "k", { k: 1 }, true],
      ["in", "toString", { k: 1 }, false],
      ["not-in", "c", ["a"], true],
      ["starts-with", "hello", "he", true],
      ["ends-with", "hello", "lo", true],
      ["match", "hello", "h.l", true],
      ["match", "hello", "ello", false],
      ["match", "值a", "[值]a$", true],
    ] as const
  ) {
    test(`${JSON.stringify(input)} ${operator} ${JSON.stringify(value)} is ${expected}`, () => {
      expect(holds(operator, input, value)).toBe(expected);
    });
  }

  test("refuses a broken expression, and a text that is too long", () => {
    expect(() => holds("match", "a", "(")).toThrow("Cannot read the regular expression");
    expect(() => holds("match", "a".repeat(100_001), "a")).toThrow("100000 characters");
  });

  test("isEqual compares values and not their order of writing", () => {
    expect(isEqual([1, "2"], [1, "2"])).toBe(true);
    expect(isEqual([1], null)).toBe(false);
  });
});

describe("durationMs", () => {
  for (
    const [value, ms] of [
      [5, 5000],
      ["5", 5000],
      ["500ms", 500],
      ["1.5s", 1500],
      ["2m", 120_000],
      ["1h", 3_600_000],
      ["1d", 86_400_000],
      ["30d", 2_592_000_000],
      ["31d", null],
      ["-1s", null],
      ["soon", null],
      [null, null],
      [true, null],
      ["1e3", null],
    ] as const
  ) {
    test(`gives ${ms} for ${JSON.stringify(value)}`, () => expect(durationMs(value)).toBe(ms));
  }
});

describe("wallMsOf", () => {
  for (
    const [text, zone, iso] of [
      ["2026-07-01T12:00:00Z", "Asia/Shanghai", "2026-07-01T12:00:00.000Z"],
      ["2026-07-01T12:00:00+02:00", "", "2026-07-01T10:00:00.000Z"],
      ["2026-07-01 12:00", "Asia/Shanghai", "2026-07-01T04:00:00.000Z"],
      ["2026-07-01", "", "2026-07-01T00:00:00.000Z"],
      ["2026-03-29T03:30", "Europe/Berlin", "2026-03-29T01:30:00.000Z"],
      ["2026-03-29T01:30", "Europe/Berlin", "2026-03-29T00:30:00.000Z"],
      ["tomorrow", "", null],
      ["2026-13-01T00:00", "", null],
      ["2026-02-29T12:00Z", "", null],
    ] as const
  ) {
    test(`gives ${iso} for ${text} in ${zone || "UTC"}`, () => {
      const ms = wallMsOf(text, zone);
      expect(ms === null ? null : new Date(ms).toISOString()).toBe(iso);
    });
  }
});
