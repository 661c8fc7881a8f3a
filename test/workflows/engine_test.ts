import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../src/core/errors.ts";
import type { TaskState } from "../../src/core/workflow.ts";
import { ulid } from "../../src/lib/ulid.ts";
import { builtinFile } from "../../src/workflows/builtin.ts";
import { load } from "../../src/workflows/load.ts";
import { schemaOf } from "../../src/workflows/schema.ts";
import { TASK_KEPT_MS, Tasks, TASKS_BYTES_MAX, TASKS_KEPT_MAX } from "../../src/workflows/tasks.ts";
import { waitFor } from "../server/launch.ts";
import { mockSource, rig } from "./rig.ts";

const CHAT = JSON.stringify(builtinFile("gpt-4o"));

function schemas(text: string) {
  const { definition, problems } = load([{ file: "f.yml", text }], { OPENAI_API_KEY: "sk" });
  expect(problems).toEqual([]);
  return definition!.workflows.map((workflow) => schemaOf(workflow, definition!));
}

const README_SCHEMA = {
  workflow_id: "__workflow__",
  title: "Chat with OpenAI GPT-4o",
  description: "Generate text responses using OpenAI’s GPT-4o",
  input: [{ name: "prompt", type: "text" }, { name: "temperature", type: "number", default: 0.7 }],
  output: [{ type: "text", format: "sse-text" }],
};

describe("schemaOf", () => {
  for (const name of ["model-compose.yml", "model-compose.nested.yml"]) {
    test(`gives the schema of ${name}, key by key`, () => {
      const text = readFileSync(join(import.meta.dir, "fixtures", name), "utf8");
      expect(JSON.stringify(schemas(text)[0])).toBe(JSON.stringify(README_SCHEMA));
    });
  }

  test("gives the same for the built-in workflow", () => {
    expect(schemas(CHAT)[0]).toEqual(README_SCHEMA);
  });

  const COMPONENT = "component: {type: http-client, endpoint: 'http://x/${input.path}', " +
    "body: {a: '${input.a.b as number}', again: '${input.a.b}'}, output: {r: '${response.x as json}'}}\n";

  for (
    const [name, workflow, input, output] of [
      ["a job that hands its input on", "workflow: {title: x}\n", [
        { name: "path", type: "string" },
        { name: "a.b", type: "number" },
      ], [{ name: "r", type: "json" }]],
      [
        "a job with an input of its own",
        "workflow: {job: {input: {q: '${input.question as text @(description 你的问题)}', " +
        "m: '${input.model as select/a,b | a}', t: '${input.tags as string[]}', " +
        "n: '${input.n as integer | 3}'}, output: {all: '${output.r as text}', list: ['${output.x}', 'a ${output.y}']}}}\n",
        [
          { name: "question", type: "text", description: "你的问题" },
          { name: "model", type: "select", subtype: "a,b", default: "a" },
          { name: "tags", type: "string", is_list: true },
          { name: "n", type: "integer", default: 3 },
        ],
        [
          { name: "all", type: "text" },
          { name: "list[0]", type: "string" },
          { name: "list[1]", type: "string" },
        ],
      ],
      [
        "what may be absent without a default that can be told",
        "workflow: {jobs: [{id: a, type: if, input: '${input.kind}', if_true: b}, " +
        "{id: b, input: '${input.branch}'}, {id: c, input: '${input.x | ${input.y}}'}, " +
        "{id: d, input: '${input.kind} ${input.z}', output: 1}]}\n",
        [
          { name: "kind", type: "string" },
          { name: "branch", type: "string", required: false },
          { name: "x", type: "string", required: false },
          { name: "y", type: "string", required: false },
          { name: "z", type: "string" },
        ],
        expect.anything(),
      ],
      ["a repeated job", "workflow: {job: {repeat_count: 2}}\n", expect.anything(), [
        { variables: [{ name: "r", type: "json" }] },
      ]],
      [
        "jobs of which one ends",
        "workflow: {jobs: [{id: a, input: {x: '${input.one}'}}, " +
        "{id: b, type: filter, depends_on: a, output: '${input.two as json}'}]}\n",
        [
          { name: "one", type: "string" },
          { name: "two", type: "json" },
        ],
        [{ type: "json" }],
      ],
      [
        "a workflow's own output",
        "workflow: {job: {id: a}, output: '${output as stream/text}'}\n",
        expect.anything(),
        [{ type: "stream", subtype: "text" }],
      ],
    ] as const
  ) {
    test(`infers ${name}`, () => {
      const [schema] = schemas(workflow + COMPONENT);
      expect(schema!.input as unknown).toEqual(input);
      expect(schema!.output as unknown).toEqual(output);
    });
  }

  test("marks the default one of several", () => {
    const list = schemas(`workflows: [{id: a}, {id: b, default: true}]\n${COMPONENT}`);
    expect(list.map((schema) => schema.default)).toEqual([undefined, true]);
  });
});

describe("WorkflowEngine", () => {
  const never = new AbortController().signal;

  test("runs the built-in workflow on the mock, word by word", async () => {
    const { run } = rig(CHAT, { source: mockSource("powered by openai") });
    const state = await run({ prompt: "你好" });
    expect(state.items).toEqual(["powered", " by", " openai"]);
    expect(state.status).toBe("completed");
    expect(state.taskId).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/);
  });

  test("collects a stream that nobody waits for", async () => {
    const { engine } = rig(CHAT);
    const { taskId, settled } = engine.start(null, { prompt: "x" }, {
      signal: never,
      isKept: true,
    });
    expect(engine.task(taskId)!.status).toMatch(/pending|processing/);
    await settled;
    expect(engine.task(taskId)).toEqual({
      taskId,
      workflowId: "__workflow__",
      status: "completed",
      output: { kind: "collected", items: ["powered", " by", " openai"], format: "text" },
      errorText: "",
    });
  });

  for (
    const [asked, yaml, found] of [
      [null, "workflows: [{id: a}, {id: b, default: true}]", "b"],
      ["__default__", "workflows: [{id: a}, {id: b, default: true}]", "b"],
      ["a", "workflows: [{id: a}, {id: b, default: true}]", "a"],
      [null, "workflow: {id: only}", "only"],
      [null, "workflows: [{id: a}, {id: b}]", null],
      ["c", "workflows: [{id: a}, {id: b}]", null],
    ] as const
  ) {
    test(`finds ${found} for ${asked} in ${yaml}`, async () => {
      const { engine } = rig(
        `${yaml}\ncomponent: {type: http-client, endpoint: 'http://127.0.0.1:1/'}`,
      );
      const start = () => engine.start(asked, null, { signal: never, isKept: false });
      if (found === null) {
        expect(start).toThrow(`Workflow '${asked ?? "__default__"}' not found.`);
      } else {
        expect((await start().settled).workflowId).toBe(found);
      }
    });
  }

  test("cancels what waits in the queue", async () => {
    const file = { controller: { max_concurrent_count: 1 }, ...builtinFile("gpt-4o") };
    const { engine } = rig(JSON.stringify(file), {
      source: mockSource("a b", 60_000),
    });
    const first = new AbortController();
    await engine.start(null, {}, { signal: first.signal, isKept: false }).settled;
    const second = new AbortController();
    const waiting = engine.start(null, {}, { signal: second.signal, isKept: false });
    expect(engine.task(waiting.taskId)!.status).toBe("pending");
    second.abort();
    expect((await waiting.settled).status).toBe("cancelled");
    expect(engine.openCount).toBe(1);
    first.abort();
  });

  test("stops every run with a reason", async () => {
    const { engine } = rig("workflow: {jobs: [{id: a, type: delay, duration: 1h}]}");
    const runs = Array.from(
      { length: 3 },
      () => engine.start(null, null, { signal: never, isKept: true }),
    );
    await waitFor(() => runs.every(({ taskId }) => engine.task(taskId)!.status === "processing"));
    engine.stop(new AppError("shutting_down", "The server is shutting down"));
    const states = await Promise.all(runs.map(({ settled }) => settled));
    expect(states.map(({ status, errorText }) => `${status} ${errorText}`)).toEqual(
      Array(3).fill("cancelled The server is shutting down"),
    );
    expect(engine.openCount).toBe(0);
  });

  test("leaves nothing open after 500 runs, half of them left early", async () => {
    const { engine, bugs } = rig(CHAT, { source: mockSource("a b c d", 1) });
    await Promise.all(Array.from({ length: 500 }, async (_, i) => {
      const abort = new AbortController();
      const state = await engine.start(null, {}, { signal: abort.signal, isKept: false }).settled;
      if (state.output?.kind !== "chunks") throw new Error("no chunks");
      let count = 0;
      try {
        for await (const _chunk of state.output.chunks) {
          if (i % 4 === 1 && ++count === 2) break;
          if (i % 4 === 2 && ++count === 2) abort.abort();
        }
      } catch (error) {
        expect(abort.signal.aborted, String(error)).toBe(true);
      }
    }));
    expect(engine.openCount).toBe(0);
    expect(bugs).toEqual([]);
  });
});

describe("Tasks", () => {
  const state = (taskId: string, value: unknown = 1): TaskState => ({
    taskId,
    workflowId: "w",
    status: "completed",
    output: { kind: "value", value },
    errorText: "",
  });

  test("forgets a task an hour after its end, by the clock it is given", () => {
    let nowMs = 0;
    const tasks = new Tasks(() => nowMs);
    tasks.set(state("a"));
    nowMs = 10 * TASK_KEPT_MS;
    expect(tasks.get("a")).toBeDefined(); // it goes on
    tasks.end(state("a"));
    nowMs += TASK_KEPT_MS;
    expect(tasks.get("a")).toBeDefined();
    nowMs += 1;
    expect(tasks.get("a")).toBeUndefined();
    expect(tasks.keptCount).toBe(0);
  });

  test("keeps no more than its count, the newest ones", () => {
    const tasks = new Tasks(() => 0);
    for (let i = 0; i < TASKS_KEPT_MAX + 5; i++) tasks.end(state(`t${i}`));
    expect(tasks.keptCount).toBe(TASKS_KEPT_MAX);
    expect(tasks.get("t4")).toBeUndefined();
    expect(tasks.get("t5")).toBeDefined();
  });

  test("keeps no more than its bytes", () => {
    const tasks = new Tasks(() => 0);
    const big = "x".repeat(10 * 1024 * 1024);
    for (let i = 0; i < 10; i++) tasks.end(state(`t${i}`, { big }));
    expect(tasks.keptCount).toBe(Math.floor(TASKS_BYTES_MAX / big.length));
    expect(tasks.get("t9")).toBeDefined();
  });
});

describe("ulid", () => {
  test("has 26 characters, ordered by time", () => {
    const zeros = () => {};
    expect(ulid(0, zeros)).toBe("0".repeat(26));
    expect(ulid(1_469_918_176_385, zeros)).toBe(`01ARYZ6S41${"0".repeat(16)}`); // the specification's example
    expect(ulid(2, (target) => void target.fill(255))).toBe(`0000000002${"Z".repeat(16)}`);
    expect(ulid(5, zeros) > ulid(4, (target) => void target.fill(31))).toBe(true);
  });
});
