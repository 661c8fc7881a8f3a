import { describe, expect, test } from "bun:test";
import { Attachment } from "../../src/core/workflow.ts";
import { rig } from "./rig.ts";

const COMPONENT = "component: {type: http-client, endpoint: http://127.0.0.1:1/, body: BODY}\n";

/** What is wrong with `input` for a workflow whose one body is `body`; "" = nothing. */
function faultOf(body: string, input: unknown, workflow = "workflow: {job: {}}\n"): string {
  const { engine } = rig(workflow + COMPONENT.replace("BODY", body));
  try {
    engine.check(engine.find(null), input);
    return "";
  } catch (error) {
    return (error as Error).message.replace("Invalid input: ", "");
  }
}

const FILE = new Attachment(Uint8Array.of(1), "image/png", "a.png");
const MUST_BE_FILE = " must be a file: send a multipart form with a field for the file, " +
  'and name the field in the input, as in "@photo"';

const CHAT = "{m: '${input.prompt as text}', t: '${input.temperature as number | 0.7}'}";

describe("InputCheck", () => {
  for (
    const [body, input, expected] of [
      [CHAT, { prompt: "x" }, ""],
      [CHAT, { prompt: "x", temperature: 1 }, ""],
      [CHAT, { prompt: "x", temperature: null }, ""],
      [CHAT, { prompt: "" }, ""],
      // What is missing.
      [CHAT, {}, "prompt is missing"],
      [CHAT, null, "prompt is missing"],
      [CHAT, { prompt: null }, "prompt is missing"],
      [
        "{a: '${input.a}', b: '${input.b.c[0]}'}",
        { b: { c: [] } },
        "a is missing; b.c[0] is missing",
      ],
      ["{a: '${input.a | x}', b: '${input.a}'}", {}, "a is missing"],
      ["{a: '${input.a | ${input.b}}'}", {}, ""],
      ["{a: '${input.a | ${input.b}}'}", { b: 1 }, ""],
      // What is unknown.
      [CHAT, { prompt: "x", promt: "y" }, "promt is not a known key: did you mean prompt?"],
      [CHAT, { promt: "y" }, "prompt is missing; promt is not a known key: did you mean prompt?"],
      [CHAT, { prompt: "x", 值: 1 }, '"值" is not a known key: known here are prompt, temperature'],
      [CHAT, "hi", "prompt is missing; it must be an object with prompt, temperature"],
      [
        "{a: '${input.u.name}'}",
        { u: { name: 1, agee: 2 } },
        "u.agee is not a known key: known here are name",
      ],
      [
        "{a: '${input.l[0].x}'}",
        { l: [{ x: 1 }, { y: 1 }] },
        "l[1].y is not a known key: known here are x",
      ],
      ["{a: '${input.l[*]}'}", { l: { a: 1 } }, "l[*] is missing; l must be a list"],
      ["{a: 1}", { a: 1 }, "a is not a known key: there is none here"],
      ["{a: 1}", 5, "it must be left out"],
      ["{a: 1}", {}, ""],
      ["{a: 1}", null, ""],
      // What is read as a whole is open.
      ["'${input}'", { any: { thing: 1 } }, ""],
      ["'${input}'", null, ""],
      ["{a: '${input.o}'}", { o: { any: [1] } }, ""],
      // Files.
      ["{f: '${input.f as image}'}", { f: FILE }, ""],
      ["{f: '${input.f as file[]}'}", { f: [FILE, FILE] }, ""],
      ["{f: '${input.f as file | none}'}", {}, ""],
      ["{f: '${input.f as image;base64}'}", { f: "AQ==" }, ""],
      ["{f: '${input.f as image;url}'}", { f: "http://x/a.png" }, ""],
      ["{f: '${input.f as image}'}", { f: "/etc/passwd" }, `f${MUST_BE_FILE}`],
      ["{f: '${input.f as file;path}'}", { f: "/etc/passwd" }, `f${MUST_BE_FILE}`],
      ["{f: '${input.f as audio[]}'}", { f: [FILE, "@b"] }, `f${MUST_BE_FILE}`],
    ] as const
  ) {
    test(`says ${JSON.stringify(expected)} of ${JSON.stringify(input)} for ${body}`, () => {
      expect(faultOf(body, input)).toBe(expected);
    });
  }

  test("tells a few of many faults", () => {
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`k${i}`, i]));
    expect(faultOf("{a: 1}", many).split("; ")).toHaveLength(5);
  });

  /** workflow → what it asks for when it is given nothing. */
  const WORKFLOWS: readonly (readonly [string, string, string])[] = [
    [
      "what a branch needs, only when it is there",
      "workflow:\n  jobs:\n" +
      "  - {id: a, type: if, input: '${input.kind}', value: x, if_true: b, if_false: c}\n" +
      "  - {id: b, input: {q: '${input.b}'}}\n  - {id: c, input: {q: '${input.c}'}}\n" +
      "  - {id: d, depends_on: [b, c], input: {q: '${input.d}'}}\n" +
      "  - {id: e, input: {q: '${input.e}'}}\n  - {id: f, depends_on: e, input: {q: '${input.f}'}}\n",
      "e is missing; f is missing",
    ],
    ["a job's own input", "workflow: {job: {input: {q: '${input.text}'}}}\n", "text is missing"],
    [
      "what its output reads",
      "workflow: {job: {input: {}}, output: {a: '${input.name}', b: '${output}'}}\n",
      "name is missing",
    ],
  ];

  for (const [name, workflow, expected] of WORKFLOWS) {
    test(`asks for ${name}`, () => {
      expect(faultOf("'${input.q}'", {}, workflow)).toBe(expected);
    });
  }
});
