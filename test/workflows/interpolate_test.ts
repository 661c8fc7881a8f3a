import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/core/errors.ts";
import { Attachment } from "../../src/core/workflow.ts";
import { Chunks, collect } from "../../src/workflows/chunks.ts";
import { NESTING_MAX, parseTemplate, TemplateError } from "../../src/workflows/expression.ts";
import { renderTemplate, type Scope } from "../../src/workflows/interpolate.ts";
import { cpuMs } from "../cpu_ms.ts";

const SCOPE: Scope = {
  input: {
    prompt: "用简单的术语解释机器学习",
    temperature: "0.3",
    count: 5,
    flag: "TRUE",
    none: null,
    empty: "",
    "odd-key_1": "odd",
    名字: "值",
    list: [1, 2, 3, 4],
    users: [{ name: "a", at: { city: "X" } }, { name: "b", at: { city: "Y" } }],
    json: '{"k":[1,"值"]}',
    object: { k: "值" },
    file: new Attachment(new TextEncoder().encode("hi"), "image/png", "h.png"),
  },
  response: { choices: [{ message: { content: "done" } }] },
  "response[]": { choices: [{ delta: { content: "He" } }] },
  result: [{ id: 7 }],
  jobs: { "first-one": { output: { text: "T" } } },
  context: { task_id: "01TASK" },
  output: 42,
};

/** template → what it renders to. */
const CASES: readonly (readonly [string, unknown])[] = [
  // The system's own examples.
  ["${input.prompt as text}", "用简单的术语解释机器学习"],
  ["${input.temperature as number | 0.7}", 0.3],
  ["${input.missing as number | 0.7}", 0.7],
  ["${input.max_tokens as number | 1000}", 1000],
  ["${response[].choices[0].delta.content}", "He"],
  ["${response[].choices[1].delta.content}", null],
  ["${response.choices[0].message.content}", "done"],
  ["${input.model as select/gpt-4o,gpt-4o-mini | gpt-4o}", "gpt-4o"],
  ["${input.channel | ${input.prompt} @(description Slack channel)}", "用简单的术语解释机器学习"],
  ["Bearer sk-1", "Bearer sk-1"],
  // Whole strings keep their type; text around makes text.
  ["${input}", SCOPE.input],
  ["${input.count}", 5],
  ["${input.list}", [1, 2, 3, 4]],
  ["${input.none}", null],
  ["n=${input.count}", "n=5"],
  ["n=${input.none}.", "n=."],
  ["${input.count} ", "5 "],
  ["${input.object}!", '{"k":"值"}!'],
  ["${input.count}-${output}", "5-42"],
  ["${output}${output}", "4242"],
  ["", ""],
  ["no expression", "no expression"],
  ["$ {input} $5 }{", "$ {input} $5 }{"],
  ["\\${input}", "${input}"],
  ["a\\${b}c${output}", "a${b}c42"],
  ["${output}}", "42}"],
  // Paths.
  ["${input.odd-key_1}", "odd"],
  ["${input.名字}", "值"],
  ["${input.list[0]}", 1],
  ["${input.list[-1]}", 4],
  ["${input.list[9]}", null],
  ["${input.list[1:3]}", [2, 3]],
  ["${input.list[:2]}", [1, 2]],
  ["${input.list[2:]}", [3, 4]],
  ["${input.users[*].name}", ["a", "b"]],
  ["${input.users[1].at.city}", "Y"],
  ["${result[0].id}", 7],
  ["${jobs.first-one.output.text}", "T"],
  ["${context.task_id}", "01TASK"],
  ["${input.prompt.length}", null],
  ["${input.list.length}", null],
  ["${input.constructor}", null],
  ["${input.__proto__}", null],
  ["${input.object.toString | none}", "none"],
  ["${nothing.at.all}", null],
  ["${input.file.filename}", "h.png"],
  ["${input.file.content_type}", "image/png"],
  // Blanks are free.
  ["${ input.count }", 5],
  ["${input.missing|x}", "x"],
  ["${input.missing as number|0.7}", 0.7],
  ["${input.missing  as  integer  |  3  }", 3],
  ["${input.missing\n  as number\n  | 2}", 2],
  // Defaults.
  ["${input.missing | two words}", "two words"],
  ["${input.missing | 0.7}", "0.7"],
  ["${input.empty | x}", ""],
  ["${input.missing |}", ""],
  ['${input.missing | "gpt-4o"}', "gpt-4o"],
  ["${input.missing | 'a } b'}", "a } b"],
  ['${input.missing | "a" or "b"}', '"a" or "b"'],
  ['${input.missing | "say \\"hi\\""}', 'say "hi"'],
  ['${input.missing | "n is ${output}"}', "n is 42"],
  ["${input.missing | don't}", "don't"],
  ['${input.missing as json | {"a": {"b": 1}}}', { a: { b: 1 } }],
  ["${input.missing | \\{\\}\\$\\@}", "{}$@"],
  ["${input.missing | ${input.none | ${output}}}", 42],
  ["${input.missing | ${input.none}}", null],
  ["${input.missing | <${output}>}", "<42>"],
  ["${input.missing as number | ${input.temperature}}", 0.3],
  ["${input.missing | a@b.c}", "a@b.c"],
  // Annotations.
  ["${input.count @(description A (round) number)}", 5],
  ["${input.missing as text | x @(description A \\) b) @(other)}", "x"],
  // Types.
  ["${input.count as string}", "5"],
  ["${input.object as text}", '{"k":"值"}'],
  ["${input.count as number}", 5],
  ["${input.temperature as number}", 0.3],
  ["${input.count as integer}", 5],
  ["${input.missing as integer | -7}", -7],
  ["${input.flag as boolean}", true],
  ["${input.count as boolean}", false],
  ["${input.missing as boolean | 1}", true],
  ["${input.missing as boolean | yes}", false],
  ["${input.json as json}", { k: [1, "值"] }],
  ["${input.json as object}", { k: [1, "值"] }],
  ["${input.missing as list | a, b,c}", ["a", "b", "c"]],
  ["${input.missing as list | [1,2]}", [1, 2]],
  ["${input.count as list}", [5]],
  ["${input.list as string[]}", ["1", "2", "3", "4"]],
  ["${input.users as object[]/name}", [{ name: "a" }, { name: "b" }]],
  ["${input.users as object[]/name,at.city}", [{ name: "a", city: "X" }, { name: "b", city: "Y" }]],
  ["${input.missing as base64 | 值}", "5YC8"],
  ["${input.prompt as markdown}", "用简单的术语解释机器学习"],
  ["${input.count as slider/0,10}", 5],
  ["${input.count as whatever/x;y}", 5],
  ["${input.none as number}", null],
  ["${input.file as image;base64}", "aGk="],
  ["${input.file as image/png;data-uri}", "data:image/png;base64,aGk="],
  ["${input.prompt as image/png;url}", "用简单的术语解释机器学习"],
  ["${input.count as audio/pcm[sample_rate=24000]}", 5],
];

describe("renderTemplate", () => {
  test("is tested with 60 expressions at least", () => {
    expect(CASES.length).toBeGreaterThanOrEqual(60);
  });

  for (const [template, expected] of CASES) {
    test(`renders ${template}`, () => {
      expect(renderTemplate(parseTemplate(template), SCOPE)).toEqual(expected);
    });
  }

  for (
    const [template, message] of [
      ["${input.prompt as number}", "to a number"],
      ["${input.missing as number | 0x10}", "to a number"],
      ["${input.missing as number | 1e999}", "to a number"],
      ["${input.missing as integer | 5.7}", "to an integer"],
      ["${input.empty as number}", "to a number"],
      ["${input.prompt as json}", "to JSON"],
      ["${input.list as object}", "to an object"],
      ["${input.count as object[]/a}", "to a list of objects"],
    ] as const
  ) {
    test(`fails for ${template}`, () => {
      const run = () => renderTemplate(parseTemplate(template), SCOPE);
      expect(run).toThrow(AppError);
      expect(run).toThrow(message);
    });
  }

  async function* words() {
    yield* ["a", null, "b"];
  }

  for (
    const [template, format] of [
      ["${output as text;sse-text}", "text"],
      ["${output as json;sse-json}", "json"],
      ["${output as text;sse-json}", "json"],
      ["${output as text/choices[0].delta.content;sse-json}", "json"],
      ["${output as sse-text}", "text"],
      ["${output as sse-json}", "json"],
      ["${output as sse-json/choices[0]}", "json"],
      ["${output as event-stream/text}", "text"],
      ["${output as event-stream/json}", "json"],
      ["${output as event-stream}", "text"],
      ["${output as stream/text}", "text"],
      ["${output as stream/json}", "json"],
      ["${output as stream}", "text"],
      ["${output as text;stream}", "text"],
      ["${output as json;stream}", "json"],
      ["${output}", null],
      ["${output as text}", null],
    ] as const
  ) {
    test(`marks a stream with ${template}`, async () => {
      const chunks = renderTemplate(parseTemplate(template), {
        output: new Chunks(words(), null),
      });
      expect(chunks).toBeInstanceOf(Chunks);
      expect((chunks as Chunks).format).toBe(format);
      expect(await collect(chunks as Chunks)).toBe("ab");
    });
  }

  test("makes a stream of one event of a value that is none", async () => {
    const chunks = renderTemplate(parseTemplate("${output as sse-json}"), { output: { k: 1 } });
    expect((chunks as Chunks).format).toBe("json");
    expect(await collect(chunks as Chunks)).toEqual([{ k: 1 }]);
  });

  test("refuses a stream inside a text", () => {
    const scope = { output: new Chunks(words(), null) };
    expect(() => renderTemplate(parseTemplate("a ${output}"), scope)).toThrow("stream");
  });

  test("never sets a prototype", () => {
    const input = JSON.parse('{"__proto__":{"polluted":1}}');
    expect(renderTemplate(parseTemplate("${input.polluted}"), { input })).toBeNull();
    expect(renderTemplate(parseTemplate("${input.__proto__.polluted}"), { input })).toBe(1);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  test("passes a value of 10 MB whole, and in a text", () => {
    const input = { big: "值".repeat(10 * 1024 * 1024 / 3) };
    expect(renderTemplate(parseTemplate("${input.big}"), { input })).toBe(input.big);
    const text = renderTemplate(parseTemplate("<${input.big}>"), { input }) as string;
    expect(text.length).toBe(input.big.length + 2);
  });

  test("refuses a text that grows beyond its limit", () => {
    const input = { big: "x".repeat(10 * 1024 * 1024) };
    const template = parseTemplate("${input.big} ".repeat(20));
    expect(() => renderTemplate(template, { input })).toThrow("67108864 characters");
  });
});

describe("parseTemplate", () => {
  for (
    const [text, offset, message] of [
      ["a ${input.x", 11, "no closing }"],
      ["${}", 2, "a name such as input"],
      ["${.x}", 2, "a name such as input"],
      ["${1x}", 2, "a name such as input"],
      ["${input.}", 8, "a name must follow the dot"],
      ["${input..x}", 8, "a name must follow the dot"],
      ["${input.x as}", 10, '"a" cannot stand here'],
      ["${input.x as }", 13, "a type must follow as"],
      ["${input.x as text/}", 18, "a subtype must follow /"],
      ["${input.x as text;}", 18, "a format must follow ;"],
      ["${input.x as text more}", 18, '"m" cannot stand here'],
      ["${input.list[]}", 12, "[…] takes an index"],
      ["${input.list[x]}", 12, "[…] takes an index"],
      ["${input.list[1 2]}", 12, "[…] takes an index"],
      ["${input.list[0}", 12, "[…] takes an index"],
      ["${input.x | ${input.y}", 22, "no closing }"],
      ["${input.x @(description}", 24, "the annotation has no closing )"],
      ["${input x}", 8, '"x" cannot stand here'],
      ["${#array[@]}", 2, "a name such as input"],
      ["text ${input.a}\n${input.b c}", 26, '"c" cannot stand here'],
    ] as const
  ) {
    test(`refuses ${JSON.stringify(text)} and points at it`, () => {
      let error: unknown;
      try {
        parseTemplate(text);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(TemplateError);
      expect((error as TemplateError).message).toContain(message);
      expect((error as TemplateError).offset).toBe(offset);
    });
  }

  test("names its limits", () => {
    const deep = "${a | ".repeat(NESTING_MAX + 2) + "}".repeat(NESTING_MAX + 2);
    expect(() => parseTemplate(deep)).toThrow(`deeper than ${NESTING_MAX}`);
    expect(() => parseTemplate("${a" + ".b".repeat(100) + "}")).toThrow("more than 64 steps");
    expect(() => parseTemplate("x".repeat(1024 * 1024 + 1))).toThrow("the limit is 1048576");
  });

  test("reads garbage in linear time, and throws nothing but TemplateError", () => {
    let seed = 42;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return seed % below;
    };
    const pieces = [
      "${",
      "}",
      "input",
      ".",
      "[",
      "]",
      "0",
      "-1",
      "*",
      ":",
      " as ",
      "text",
      "/",
      ";",
      "|",
      " ",
      '"',
      "'",
      "@(",
      ")",
      "\\",
      "$",
      "{",
      "你",
      "😀",
      "\n",
      "__proto__",
      "response[]",
      "\u0000",
    ];
    const startMs = cpuMs();
    for (let round = 0; round < 20_000; round++) {
      const text = Array.from({ length: random(30) }, () => pieces[random(pieces.length)]).join("");
      try {
        renderTemplate(parseTemplate(text), SCOPE);
      } catch (error) {
        if (!(error instanceof TemplateError) && !(error instanceof AppError)) throw error;
      }
    }
    expect(cpuMs() - startMs).toBeLessThan(20_000);
  });

  for (
    const [name, text] of [
      ["quotes", '${a | "' + "x".repeat(200_000)],
      ["pairs of quotes", "${a | " + '"x" '.repeat(100_000)],
      ["open braces", "${a | " + "{".repeat(500_000)],
      ["blanks", "${a" + " ".repeat(500_000)],
      ["nested quotes", '${a | "'.repeat(16) + "x".repeat(50_000)],
      ["openings", "${a}".repeat(200_000)],
      ["backslashes", "\\".repeat(500_000) + "${a}"],
      ["annotations", "${a " + "@(b c)".repeat(100_000) + "}"],
    ] as const
  ) {
    test(`does not hang on many ${name}`, () => {
      const startMs = cpuMs();
      try {
        parseTemplate(text);
      } catch (error) {
        expect(error).toBeInstanceOf(TemplateError);
      }
      expect(cpuMs() - startMs).toBeLessThan(5000);
    });
  }
});
