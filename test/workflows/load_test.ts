import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Definition } from "../../src/workflows/definition.ts";
import { load } from "../../src/workflows/load.ts";
import { problemText } from "../../src/workflows/source_text.ts";
import { cpuMs } from "../cpu_ms.ts";

const ENV = { OPENAI_API_KEY: "sk-test", PORT: "9000" };

function fixture(name: string) {
  const file = join(import.meta.dir, "fixtures", name);
  return { file: name, text: readFileSync(file, "utf8") };
}

function problemsOf(text: string, env: Record<string, string> = ENV): readonly string[] {
  return load([{ file: "f.yml", text }], env).problems.map(problemText);
}

function definitionOf(text: string, env: Record<string, string> = ENV): Definition {
  const { definition, problems } = load([{ file: "f.yml", text }], env);
  expect(problems.map(problemText)).toEqual([]);
  return definition!;
}

const COMPONENT = `component:
  type: http-client
  endpoint: http://127.0.0.1:1/x
`;

/** `definition` without places, which differ between spellings. */
function shape({ components, ...definition }: Definition): unknown {
  const listed = [...components.values()].map((component) => ({
    ...component,
    actions: [...component.actions.values()],
  }));
  const text = JSON.stringify(
    { ...definition, components: listed },
    (key, value: unknown) => key === "place" ? undefined : value,
  );
  return JSON.parse(text);
}

describe("load", () => {
  test("reads the flat and the nested spelling as the same thing", () => {
    const flat = load([fixture("model-compose.yml")], ENV);
    const nested = load([fixture("model-compose.nested.yml")], ENV);
    expect(flat.problems).toEqual([]);
    expect(nested.problems).toEqual([]);
    expect(shape(nested.definition!)).toEqual(shape(flat.definition!));
  });

  test("reads the system's own file", () => {
    const { controller, workflows, defaultWorkflowId, components } = load([
      fixture("model-compose.yml"),
    ], ENV).definition!;
    expect(controller).toEqual({
      host: null,
      port: 8080,
      basePath: "/api",
      webui: { host: "127.0.0.1", port: 8081 },
      runsMax: 0,
    });
    expect(defaultWorkflowId).toBe("__workflow__");
    expect(workflows[0]!.title).toBe("Chat with OpenAI GPT-4o");
    const [component] = components.values();
    const action = component!.actions.get("__action__")!;
    expect(action.streamFormat).toBe("json");
    expect(action.request.method).toBe("POST");
    expect(JSON.stringify(action.request.body)).toContain('["stream",{"kind":"constant"');
    expect(JSON.stringify(component!.headers)).toContain("Bearer sk-test");
  });

  test("merges files: mappings deeply, lists replaced, the later file wins", () => {
    const { definition, problems } = load([
      {
        file: "a.yml",
        text: `controller: {port: 1, base_path: /a}\nworkflow: {title: A}\n${COMPONENT}`,
      },
      { file: "b.yml", text: "controller: {port: 2}\nworkflow: {description: B}\n" },
    ], {});
    expect(problems).toEqual([]);
    expect(definition!.controller.port).toBe(2);
    expect(definition!.controller.basePath).toBe("/a");
    expect(definition!.workflows[0]!.title).toBe("A");
    expect(definition!.workflows[0]!.description).toBe("B");
  });

  test("prefers the plural and ignores the singular beside it", () => {
    const { workflows } = definitionOf(
      `workflow: {id: one}\nworkflows: [{id: a, default: yes}, {id: b}]\n${COMPONENT}`,
    );
    expect(workflows.map(({ id }) => id)).toEqual(["a", "b"]);
  });

  test("takes a mapping for a list whose keys are ids", () => {
    const { workflows } = definitionOf(
      `workflow:\n  jobs:\n    a: {type: filter, output: 1}\n    b: {depends_on: a}\n${COMPONENT}`,
    );
    expect(workflows[0]!.jobs.map(({ id }) => id)).toEqual(["a", "b"]);
  });

  for (
    const [text, port] of [
      ["controller: {port: ${env.PORT}}", 9000],
      ["controller: {port: ${env.NONE | 81}}", 81],
      ["controller: {port: ${env.NONE|82}}", 82],
      ["# ${env.NONE} in a comment\ncontroller: {port: 83}", 83],
      [
        "controller:\n  adapters:\n    - {type: mcp-server}\n    - {type: http-server, port: 84}",
        84,
      ],
      ["controller: {port: '85'}", 85],
      ["workflow: {title: x}", null],
    ] as const
  ) {
    test(`gives port ${port} for ${JSON.stringify(text)}`, () => {
      expect(definitionOf(`${text}\n${COMPONENT}`).controller.port).toBe(port);
    });
  }

  for (
    const [base, expected] of [
      ["/api", "/api"],
      ["api/", "/api"],
      ["/", ""],
      ["/a/b.c", "/a/b.c"],
    ] as const
  ) {
    test(`normalises base_path ${base}`, () => {
      const { controller } = definitionOf(`controller: {base_path: ${base}}\n${COMPONENT}`);
      expect(controller.basePath).toBe(expected);
    });
  }

  test("puts a default of the environment into another expression's default", () => {
    const text = "workflow: {job: {input: '${input.k | ${env.NONE | two}}'}}\n" + COMPONENT;
    expect(JSON.stringify(definitionOf(text).workflows)).toContain('"fallback":["two"]');
  });

  /** text → its problems, in order. */
  const FAULTS: readonly (readonly [string, string, readonly string[]])[] = [
    ["an unset variable", "workflow:\n  title: x ${env.NOPE} y\n" + COMPONENT, [
      "f.yml:2:12: Environment variable 'NOPE' is not set and no default value provided. " +
      "Set it in the environment, in .env, or with -e NOPE=…",
    ]],
    ["broken YAML", "a: b: c\n", ["f.yml:1:4: YAML parsing error"]],
    ["a double key", "a: 1\na: 2\n", ["f.yml:2:1: 'a' is here twice"]],
    ["an empty file", "# nothing\n", ["f.yml:1:1: The file is empty"]],
    ["a list", "- a\n", ["f.yml:1:1: The file must be a mapping"]],
    ["another component type", "component:\n  type: model\n", [
      "f.yml:2:9 component.type: weir has no component of type 'model': it has http-client",
    ]],
    ["no component type", "component: {endpoint: x}\n", ["component.type: must be set"]],
    ["no component", "workflow: {title: x}\n", ["There is no component"]],
    [
      "several components",
      "workflow: {title: x}\ncomponents:\n" +
      "- {id: a, type: http-client, endpoint: x}\n- {id: b, type: http-client, endpoint: y}\n",
      [
        "There are several components: name one",
      ],
    ],
    ["an unknown component", `workflow:\n  component: nope\n${COMPONENT}`, [
      "f.yml:2:14 workflow.component: There is no component 'nope'",
    ]],
    ["an unknown action", `workflow:\n  action: nope\n${COMPONENT}`, [
      "f.yml:2:11 workflow.action: Component '__component__' has no action 'nope'",
    ]],
    ["endpoint and path", "component: {type: http-client, base_url: x, endpoint: a, path: b}\n", [
      "Either 'endpoint' or 'path' must be set, but not both",
    ]],
    ["neither endpoint nor path", "component: {type: http-client}\n", [
      "Either 'endpoint' or 'path' must be set, but not both",
    ]],
    ["path without base_url", "component: {type: http-client, path: b}\n", [
      "'path' needs the component's base_url",
    ]],
    ["a wrong method", "component: {type: http-client, endpoint: x, method: FETCH}\n", [
      'f.yml:1:53 component.method: must be one of GET, POST, PUT, DELETE, PATCH: it is "FETCH"',
    ]],
    ["a wrong port", `controller: {port: 99999}\n${COMPONENT}`, [
      "f.yml:1:20 controller.port: must be a whole number from 0 to 65535: it is 99999",
    ]],
    ["a wrong base path", `controller: {base_path: '/a b'}\n${COMPONENT}`, [
      "f.yml:1:25 controller.base_path: must be a path such as /api",
    ]],
    [
      "a wrong expression",
      `workflow:\n  job:\n    input:\n      q: "a \${input.x as}"\n${COMPONENT}`,
      [
        "f.yml:4:23 workflow.job.input.q: Cannot read the expression ${input.x as}",
      ],
    ],
    [
      "a wrong expression in a block text",
      `workflow:\n  input: |\n    first\n    \${input x}\n${COMPONENT}`,
      [
        "f.yml:4:13 workflow.input: Cannot read the expression",
      ],
    ],
    ["an unknown source", `workflow:\n  input: \${inptu.x}\n${COMPONENT}`, [
      "f.yml:2:10 workflow.input: There is no ${inptu} here; there is input, output, jobs, context",
    ]],
    [
      "an unknown job in an expression",
      `workflow:\n  jobs:\n  - {id: a, input: "\${jobs.b.output}"}\n${COMPONENT}`,
      [
        "There is no job 'b' in this workflow",
      ],
    ],
    ["another job type", `workflow: {job: {type: for-each}}\n${COMPONENT}`, [
      "weir has no job of type 'for-each': it has action, component, delay",
    ]],
    [
      "a job that depends on itself",
      `workflow:\n  jobs:\n  - {id: a, depends_on: [a]}\n${COMPONENT}`,
      [
        "f.yml:3:26 workflow.a: Job 'a' depends on itself",
      ],
    ],
    ["an unknown dependency", `workflow:\n  jobs:\n  - {id: a, depends_on: [b]}\n${COMPONENT}`, [
      "f.yml:3:26 workflow.a: There is no job 'b' to depend on",
    ]],
    ["an unknown route", `workflow:\n  jobs:\n  - {id: a, type: if, if_true: c}\n${COMPONENT}`, [
      "There is no job 'c' to route to",
    ]],
    [
      "a circle",
      `workflow:\n  jobs:\n  - {id: a, depends_on: c}\n  - {id: b, depends_on: a}\n` +
      `  - {id: c, depends_on: b}\n  - {id: d}\n${COMPONENT}`,
      [
        "Jobs go in a circle: a → b → c → a",
      ],
    ],
    [
      "a circle over a route",
      `workflow:\n  jobs:\n  - {id: e}\n  - {id: a, type: if, if_true: b, depends_on: b}\n  - {id: b}\n${COMPONENT}`,
      [
        "Jobs go in a circle: a → b → a",
      ],
    ],
    ["two jobs of one id", `workflow:\n  jobs: [{id: a}, {id: a}]\n${COMPONENT}`, [
      "There are two jobs with the id 'a'",
    ]],
    ["two workflows of one id", `workflows: [{id: a}, {id: a}]\n${COMPONENT}`, [
      "There are two workflows with the id 'a'",
    ]],
    ["the id __default__", `workflow: {id: __default__}\n${COMPONENT}`, [
      "The id __default__ is not allowed",
    ]],
    ["a callback", "component: {type: http-client, endpoint: x, completion: {type: callback}}\n", [
      "weir has no completion of type 'callback': it has polling",
    ]],
    ["a gateway", `gateway: {type: http-tunnel}\n${COMPONENT}`, ["weir has no gateway"]],
    [
      "a wrong operator",
      `workflow:\n  jobs:\n  - {id: a, type: if, operator: like}\n${COMPONENT}`,
      [
        'must be one of eq, neq, gt, gte, lt, lte, in, not-in, starts-with, ends-with, match: it is "like"',
      ],
    ],
    ["a wrong duration", `workflow: {job: {type: delay, duration: soon}}\n${COMPONENT}`, [
      "must be seconds, or a duration such as 500ms",
    ]],
    [
      "a wrong time zone",
      `workflow: {job: {type: delay, duration: 1, timezone: Mars}}\n${COMPONENT}`,
      [
        "There is no time zone 'Mars'",
      ],
    ],
    [
      "several faults at once",
      "controller: {port: x}\nworkflow:\n  input: ${input.}\n  action: z\n" +
      COMPONENT,
      ["f.yml:1:20 controller.port", "f.yml:3:18 workflow.input", "f.yml:4:11 workflow.action"],
    ],
    ["the key __proto__", `workflow:\n  __proto__: {a: 1}\n${COMPONENT}`, [
      "f.yml:2:3 workflow: The key __proto__ is not allowed",
    ]],
    ["an unknown anchor", "a: *b\n", ["f.yml:1:4 a: There is no anchor &b"]],
    ["a circle of aliases", "a: &a [*a]\n", ["nests deeper than 64 levels"]],
    ["deep nesting", "a: " + "[".repeat(70) + "]".repeat(70), ["nests deeper than 64 levels"]],
    ["very deep nesting", "a: " + "[".repeat(100_000), ["nests deeper than 64 levels"]],
    [
      "a bomb of aliases",
      "a: &a [x,x,x,x,x,x,x,x,x]\n" +
      Array.from({ length: 12 }, (_, i) => {
        const below = i === 0 ? "*a" : `*b${i - 1}`;
        return `b${i}: &b${i} [${Array(9).fill(below).join(",")}]`;
      }).join("\n"),
      ["more than 50000 values, aliases expanded"],
    ],
    ["a value of 10 MB", `workflow: {title: ${"x".repeat(10 * 1024 * 1024)}}`, [
      "f.yml:1:1: The file has 10485779 characters; the limit is 1048576",
    ]],
  ];

  for (const [name, text, expected] of FAULTS) {
    test(`refuses ${name}`, () => {
      const startMs = cpuMs();
      const problems = problemsOf(text);
      expect(problems).toHaveLength(expected.length);
      for (const [i, part] of expected.entries()) expect(problems[i]).toContain(part);
      expect(cpuMs() - startMs).toBeLessThan(5000);
    });
  }

  /** A file with `keys` in a job of type `type`. */
  const job = (type: string, keys: string) =>
    `workflow:\n  jobs:\n  - {id: j}\n  - id: k\n    type: ${type}\n    ${keys}\n${COMPONENT}`;

  /** text → its one problem. */
  const UNKNOWN: readonly (readonly [string, string])[] = [
    // What is misspelt, with what was meant.
    [
      `wrokflow: {title: x}\n${COMPONENT}`,
      "f.yml:1:1 wrokflow: is not a known key: " +
      "did you mean workflow?",
    ],
    [
      COMPONENT + "  strem_format: json\n",
      "f.yml:4:3 component.strem_format: is not a known key: " +
      "did you mean component.stream_format?",
    ],
    [
      COMPONENT + "  Method: GET\n",
      "component.Method: is not a known key: did you mean " +
      "component.method?",
    ],
    [COMPONENT + "  值: 1\n", 'f.yml:4:3 component."值": is not a known key: known here are id, '],
    [COMPONENT + "  zzzzzzzz:\n", "f.yml:4:3 component.zzzzzzzz: is not a known key: known here"],
    [
      `workflow: {titel: x}\n${COMPONENT}`,
      "f.yml:1:12 workflow.titel: is not a known key: " +
      "did you mean workflow.title?",
    ],
    [
      job("filter", "ouput: 1"),
      "f.yml:6:5 workflow.jobs[1].ouput: is not a known key: did you " +
      "mean workflow.jobs[1].output?",
    ],
    [job("delay", "durration: 1\n    duration: 1"), "workflow.jobs[1].durration: is not a known"],
    [
      job("if", "conditions: [{if_ture: j}]"),
      "f.yml:6:19 workflow.jobs[1].conditions[0].if_ture: " +
      "is not a known key: did you mean workflow.jobs[1].conditions[0].if_true?",
    ],
    [job("switch", "cases: [{value: 1, then: j, them: j}]"), ".cases[0].them: is not a known key"],
    [job("random-router", "routings: [{to: j, wieght: 1}]"), ".routings[0].wieght: is not a known"],
    [`controller: {prot: 1}\n${COMPONENT}`, "f.yml:1:14 controller.prot: is not a known key"],
    [`controller: {webui: {prot: 1}}\n${COMPONENT}`, "controller.webui.prot: is not a known key"],
    [`controller: {adapter: {type: http-server, prot: 1}}\n${COMPONENT}`, "adapter.prot: is not a"],
    [
      COMPONENT.replace("endpoint", "actions: [{endpoint: x, pram: 1}]\n  base_url"),
      "component.actions[0].pram: is not a known key: did you mean component.actions[0].params?",
    ],
    [
      COMPONENT + "  completion: {endpoint: x, sucess_when: 1}\n",
      "completion.sucess_when: is not a",
    ],
    // What stands where nobody reads it.
    [
      `workflow: {input: 1, job: {}}\n${COMPONENT}`,
      "f.yml:1:12 workflow.input: is not a known key",
    ],
    [COMPONENT + "  action: {endpoint: y}\n", "f.yml:3:3 component.endpoint: is not a known key"],
    // What model-compose has and weir has not.
    [
      job("filter", "where: {input: 1}"),
      "f.yml:6:5 workflow.jobs[1].where: filter.where is not " +
      "supported by weir",
    ],
    [job("filter", "input: 1"), "filter.input is not supported by weir"],
    [job("action", "on_error: ignore"), "job.on_error is not supported by weir"],
    [job("component", "retry: 3"), "job.retry is not supported by weir"],
    [job("action", "hook: {before: []}"), "job.hook is not supported by weir"],
    [
      job("action", "interrupt: {before: true}"),
      "f.yml:6:5 workflow.jobs[1].interrupt: " +
      "job.interrupt is not supported by weir",
    ],
    [job("delay", "duration: 1\n    interrupt: {after: true}"), "delay.interrupt is not supported"],
    [job("action", "max_run_count: 3"), "job.max_run_count is not supported by weir"],
    [`workflow: {interrupt: {before: true}}\n${COMPONENT}`, "workflow.interrupt is not supported"],
    ...["retry: 3", "on_error: ignore", "hook: {before: []}", "interrupt: true", "max_run_count: 3"]
      .flatMap((text) => {
        const [key] = text.split(":");
        const nested = COMPONENT.replace(
          "endpoint: http://127.0.0.1:1/x",
          `action: {endpoint: x, ${text}}`,
        );
        return [
          [`${COMPONENT}  ${text}\n`, `component.${key} is not supported by weir`],
          [nested, `action.${key} is not supported by weir`],
          [
            `${COMPONENT}  completion: {endpoint: x, ${text}}\n`,
            `completion.${key} is not support`,
          ],
          [
            `workflow: {${text}, job: {}}\n${COMPONENT}`,
            `workflow.${key} is not supported by weir`,
          ],
          [job("action", text), `job.${key} is not supported by weir`],
        ] as const;
      }),
    // Near misses of these, and what is near to nothing.
    [
      job("action", "interupt: true"),
      "jobs[1].interupt: is not a known key: did you mean workflow.jobs[1].interrupt? " +
      "It is not supported by weir",
    ],
    [COMPONENT + "  retrys: 1\n", "did you mean component.retry? It is not supported by weir"],
    [job("action", "timeout: 5"), "jobs[1].timeout: is not a known key: known here are id, "],
    [COMPONENT + "  timeout: 5\n", "component.timeout: is not a known key: known here are id, "],
    [`workflow: {private: true}\n${COMPONENT}`, "workflow.private is not supported by weir"],
    [COMPONENT + "  rate_limit: 5\n", "component.rate_limit is not supported by weir"],
    [
      COMPONENT + "  runtime: docker\n",
      "f.yml:4:3 component.runtime: component.runtime is not " +
      "supported by weir",
    ],
    [COMPONENT + "  runtime: {type: docker}\n", "component.runtime is not supported by weir"],
    [
      COMPONENT + "  stream_fragmented: false\n",
      "component.stream_fragmented is not supported by weir",
    ],
    [
      COMPONENT + "  completion: {endpoint: x, wait_for: y}\n",
      "completion.wait_for is not supported",
    ],
    [`controller: {runtime: docker}\n${COMPONENT}`, "controller.runtime is not supported by weir"],
    [
      `controller: {origins: https://a.example}\n${COMPONENT}`,
      "controller.origins is not supported by weir: " +
      "set server.origins of weir's config",
    ],
    [
      `controller: {webui: {driver: static}}\n${COMPONENT}`,
      "webui.driver is not supported by weir",
    ],
    [`tracer: {type: x}\n${COMPONENT}`, "weir has no tracer"],
    [
      `workflow:\n  input: {a: "\${input.x as nubmer | 1}"}\n${COMPONENT}`,
      "f.yml:2:15 workflow.input.a: There is no type 'nubmer': did you mean number?",
    ],
    // Operators, wherever a value may stand.
    ...["*", "?", "+", "|", "..."].map((operator) =>
      [
        `${COMPONENT}  body:\n    a:\n    - {"${operator}": "\${input.x}"}\n`,
        `f.yml:6:8 component.body.a[0]: the operator "${operator}" is not supported by weir`,
      ] as const
    ),
    [COMPONENT + "  body: ['...${input.x}']\n", 'the operator "..." is not supported by weir'],
    [job("filter", "output: {'?': 1}"), 'the operator "?" is not supported by weir'],
  ];

  for (const [text, expected] of UNKNOWN) {
    test(`refuses ${expected}`, () => {
      const problems = problemsOf(text);
      expect(problems.slice(1)).toEqual([]);
      expect(problems[0]).toContain(expected);
    });
  }

  test("takes keys that say what weir does anyway, or nothing", () => {
    definitionOf(
      "controller: {name: x, runtime: native, threaded: false, origins: '*', webui: {driver: gradio}}\n" +
        "workflow: {private: false, job: {name: x, retry: null, interrupt: }}\n" +
        COMPONENT + "  runtime: native\n  stream_fragmented: true\n  body: {'a+': 1, '....': 2}\n",
    );
  });

  test("takes keys that begin with x- anywhere, as a file's own", () => {
    const { components } = definitionOf(
      "x-headers: &headers {X-A: b}\ncontroller: {x-a: 1, adapter: {type: http-server, x-a: 1}}\n" +
        `workflow: {x-a: 1, job: {x-值: ['\${anything}']}}\n${COMPONENT}` +
        "  x-a: 1\n  headers: *headers\n",
    );
    expect([...components.values()][0]!.headers).toMatchObject({ entries: [["X-A", {}]] });
  });

  test("reads the flat spelling of every type of job, and of a single case", () => {
    const { workflows } = definitionOf(`workflow: {type: delay, duration: 5ms}\n${COMPONENT}`);
    expect(workflows[0]!.jobs[0]!.work.kind).toBe("delay");
    const [{ jobs }] = definitionOf(job("switch", "value: 1\n    then: j")).workflows as [
      Definition["workflows"][number],
    ];
    expect(jobs[1]!.work).toMatchObject({ kind: "switch", cases: [{ then: { jobId: "j" } }] });
  });

  test("refuses an environment that makes the file grow beyond its limit", () => {
    const problems = problemsOf("a: ${env.BIG} ${env.BIG}\n", { BIG: "x".repeat(800_000) });
    expect(problems[0]).toContain("the limit is 1048576");
  });

  test("points behind a replaced variable at the author's column", () => {
    const text = "workflow:\n  input: ${env.PORT} ${env.PORT} ${input.}\n" + COMPONENT;
    expect(problemsOf(text)[0]).toStartWith("f.yml:2:42 ");
  });

  for (
    const [name, text] of [
      ["open references", "${env.".repeat(150_000)],
      ["open defaults", "${env.A|".repeat(100_000) + "}"],
      ["references", "${env.A|}".repeat(100_000)],
      ["keys", Array.from({ length: 100_000 }, (_, i) => `k${i}: 1`).join("\n")],
      ["items", "- a\n".repeat(250_000)],
      ["anchors", Array.from({ length: 50_000 }, (_, i) => `- &a${i} x`).join("\n")],
      ["aliases", "- &a x\n" + "- *a\n".repeat(150_000)],
      ["unknown expressions", `workflow: {input: "${"${foo}".repeat(150_000)}"}`],
      ["quotes", "'".repeat(500_000)],
      ["comments", "#\n".repeat(400_000)],
      ["documents", "---\n".repeat(200_000)],
      [
        "jobs",
        "workflow:\n  jobs:\n" +
        Array.from({ length: 20_000 }, (_, i) => `  - {id: j${i}, depends_on: j${i + 1}}`).join(
          "\n",
        ),
      ],
      ["blanks", " ".repeat(1_000_000)],
      ["tabs", "a:\n" + "\t".repeat(500_000)],
      ["colons", ":".repeat(500_000)],
      ["question marks", "? ".repeat(100_000)],
      ["block texts", "a: |\n" + " x\n".repeat(300_000)],
    ] as const
  ) {
    test(`does not hang on many ${name}`, () => {
      const startMs = cpuMs();
      const { problems } = load([{ file: "f.yml", text }], {});
      expect(problems.length).toBeLessThan(60);
      expect(cpuMs() - startMs).toBeLessThan(20_000);
    }, 60_000);
  }

  test("reads garbage without a crash or a hang, seeded", () => {
    let seed = 3;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return seed % below;
    };
    const base = fixture("model-compose.nested.yml").text;
    const pieces = [
      "\n",
      "  ",
      ": ",
      "- ",
      "[",
      "]",
      "{",
      "}",
      "&a ",
      "*a",
      "<<: ",
      "|",
      ">",
      '"',
      "'",
      "#",
      "!!str ",
      "${",
      "${env.X}",
      "${input",
      "as ",
      "\t",
      "---\n",
      "%YAML",
      "\u0000",
      "你",
      "__proto__: 1\n",
      "? ",
      "jobs:",
      "depends_on:",
      "type: if",
      "null",
      "~",
      "1e9",
    ];
    const startMs = cpuMs();
    for (let round = 0; round < 1500; round++) {
      let text = base;
      for (let edit = 0; edit <= random(4); edit++) {
        const at = random(text.length);
        const cut = random(3) === 0 ? random(60) : 0;
        text = text.slice(0, at) + pieces[random(pieces.length)] + text.slice(at + cut);
      }
      const { definition, problems } = load([{ file: "f.yml", text }], ENV);
      expect((definition === null) === (problems.length > 0)).toBe(true);
      for (const { place } of problems) {
        expect(place.line).toBeGreaterThan(0);
        expect(place.column).toBeGreaterThan(0);
      }
    }
    expect(cpuMs() - startMs).toBeLessThan(60_000);
  });
});
