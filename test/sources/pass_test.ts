import { describe, expect, test } from "bun:test";
import type { Answer, Ask, Source } from "../../src/core/answer.ts";
import { AppError } from "../../src/core/errors.ts";
import { Exchange } from "../../src/core/exchange.ts";
import { KnownBody } from "../../src/core/relay_body.ts";
import { Fields } from "../../src/lib/http1/fields.ts";
import { passOn, type PassRoute, pathTaker } from "../../src/sources/pass.ts";
import { makeEngine } from "./upstream/rig.ts";

const engine = makeEngine();

/** An upstream that notes who was asked, and answers with `status`. */
function upstream(name: string, asked: string[], status = 200): Source {
  return {
    name,
    answer(): Answer {
      asked.push(name);
      const body = new KnownBody([], "end", engine.wheel);
      return { kind: "relay", status, fields: Fields.NONE, body };
    },
  };
}

function askFor(path: string, body: string | null = null, type = "application/json"): Ask {
  const turn = () => {
    throw new TypeError("It was read");
  };
  const wire = {
    dialect: "openai",
    method: body === null ? "GET" : "POST",
    path,
    fields: Fields.of([["content-type", type]]),
    body: body === null ? null : new TextEncoder().encode(body),
  } as const;
  return { model: () => "", turn, wire };
}

const ALL = pathTaker([]);

/** Who was asked, and the status of the answer. */
async function asked(
  ask: Ask,
  make: (asked: string[]) => readonly PassRoute[],
): Promise<readonly [string, number]> {
  const names: string[] = [];
  const call = new Exchange(engine, "test", { method: "POST" });
  try {
    const answer = await passOn(make(names)).answer(ask, call);
    if (answer.kind !== "relay") throw new TypeError(answer.kind);
    return [names.join(" "), answer.status];
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return [names.join(" "), error.status];
  }
}

function two(first = 200, second = 200) {
  return (names: string[]): readonly PassRoute[] => [
    { model: "gpt-*", to: upstream("a", names, first), takes: ALL, isMock: false },
    { model: undefined, to: upstream("b", names, second), takes: ALL, isMock: false },
  ];
}

/** Model x is an upstream's that has files only, m the mock's, as is every other. */
function beside(names: string[]): readonly PassRoute[] {
  const mock = { to: upstream("mock", names), takes: ALL, isMock: true };
  const files = { to: upstream("a", names), takes: pathTaker(["/files*"]), isMock: false };
  return [{ model: "x", ...files }, { model: "m", ...mock }, { model: undefined, ...mock }];
}

const FORM = [
  "--x",
  'Content-Disposition: form-data; name="file"; filename="model"',
  "Content-Type: audio/wav",
  "",
  "RIFF",
  "--x",
  'Content-Disposition: form-data; name="model"',
  "",
  "whisper-1",
  "--x--",
  "",
].join("\r\n");

describe("passOn()", () => {
  const ROWS: readonly (readonly [
    name: string,
    ask: Ask,
    routes: (names: string[]) => readonly PassRoute[],
    expected: readonly [string, number],
  ])[] = [
    ["by the model", askFor("/embeddings", '{"model":"gpt-x"}'), two(), ["a", 200]],
    ["by a model that only the last takes", askFor("/e", '{"model":"x"}'), two(), ["b", 200]],
    ["by the model of a form", askFor("/audio", FORM, "multipart/form-data; boundary=x"), two(), [
      "b",
      200,
    ]],
    ["to the first without a model", askFor("/files"), two(), ["a", 200]],
    ["to the first for bytes", askFor("/audio/x", "\0ÿ", "image/png"), two(), ["a", 200]],
    ["on from one that has no such object", askFor("/files/file-1"), two(404), ["a b", 200]],
    ["to all when nobody has it", askFor("/files/file-1"), two(404, 404), ["a b", 404]],
    ["not on from another refusal", askFor("/files/file-1"), two(401), ["a", 401]],
    ["not on from a list", askFor("/files"), two(404), ["a", 404]],
    [
      "not on where a model decides",
      askFor("/a/b", '{"model":"gpt-x"}'),
      two(404),
      ["a", 404],
    ],
    [
      "once to an upstream of several routes",
      askFor("/files/file-1"),
      (names) => {
        const to = upstream("a", names, 404);
        return [{ model: "x", to, takes: ALL, isMock: false }, {
          model: undefined,
          to,
          takes: ALL,
          isMock: false,
        }];
      },
      ["a", 404],
    ],
    [
      "to the first that takes the path",
      askFor("/files"),
      (names) => [
        {
          model: undefined,
          to: upstream("a", names),
          takes: pathTaker(["/embeddings"]),
          isMock: false,
        },
        { model: undefined, to: upstream("b", names), takes: pathTaker(["/f*s"]), isMock: false },
      ],
      ["b", 200],
    ],
    ["not to the mock in place of an upstream", askFor("/e", '{"model":"x"}'), beside, ["", 404]],
    ["to the mock that the model's route leads to", askFor("/e", '{"model":"m"}'), beside, [
      "mock",
      200,
    ]],
    ["to the mock where no model decides", askFor("/e", "{}"), beside, ["mock", 200]],
    ["to nobody", askFor("/organization/admin_api_keys"), two(), ["", 404]],
  ];
  for (const [name, ask, routes, expected] of ROWS) {
    test(`goes ${name}`, async () => expect(await asked(ask, routes)).toEqual(expected));
  }
});

describe("passOn() sends a change to the upstream that has the object, and to no other", () => {
  const ROWS: readonly (readonly [
    change: string,
    expected: readonly string[],
    statuses?: readonly [a: number, b: number],
    status?: number,
  ])[] = [
    ["DELETE /responses/resp_1", [
      "a GET /responses/resp_1",
      "b GET /responses/resp_1",
      "b DELETE /responses/resp_1",
    ]],
    ["POST /responses/resp_1/cancel?x=1", [
      "a GET /responses/resp_1?x=1",
      "b GET /responses/resp_1?x=1",
      "b POST /responses/resp_1/cancel?x=1",
    ], [405, 200]],
    ["POST /threads/T/runs/R/cancel", ["a GET /threads/T", "a POST /threads/T/runs/R/cancel"], [
      200,
      200,
    ]],
    ["DELETE /models/mine", ["a GET /models/mine", "a DELETE /models/mine"], [200, 200]],
    ["PATCH /files/file-1", ["a GET /files/file-1", "b GET /files/file-1"], [404, 404], 404],
    ["DELETE /files/file-1", ["a GET /files/file-1"], [401, 200], 401],
    ["DELETE /files/file-1", ["a GET /files/file-1"], [503, 200], 503],
    ["POST /images/generations", ["a POST /images/generations", "b POST /images/generations"]],
    ["POST /files", ["a POST /files"], [404, 200], 404],
  ];
  for (const [change, expected, [a, b] = [404, 200], status = 200] of ROWS) {
    test(`${change}, of ${a} and ${b}`, async () => {
      const [method, path] = change.split(" ") as [string, string];
      const asked: string[] = [];
      const noting = (name: string, status: number): Source => {
        const inner = upstream(name, [], status);
        return {
          name,
          answer(ask, call) {
            const { wire } = ask;
            asked.push(`${name} ${wire!.method} ${wire!.path}`);
            const isChange = wire!.method === method;
            expect(wire!.body !== null).toBe(isChange);
            expect([...wire!.fields].map(([key]) => key))
              .toEqual(
                isChange ? ["authorization", "content-type", "if-match"] : ["authorization"],
              );
            return inner.answer(ask, call);
          },
        };
      };
      const wire = {
        dialect: "openai",
        method,
        path,
        fields: Fields.of([
          ["authorization", "Bearer k"],
          ["content-type", "application/json"],
          ["if-match", "x"],
        ]),
        body: new TextEncoder().encode("{}"),
      } as const;
      const source = passOn([
        { model: "a", to: noting("a", a), takes: ALL, isMock: false },
        { model: "b", to: noting("b", b), takes: ALL, isMock: false },
      ]);
      const call = new Exchange(engine, "test", { method });
      const told = Promise.try(() => source.answer({ ...askFor(path), wire }, call)).then(
        (answer) => answer.kind === "relay" ? answer.status : 0,
        (error: unknown) => error instanceof AppError ? error.status : 0,
      );
      expect([await told, asked]).toEqual([status, [...expected]]);
    });
  }

  test("an object that nobody gives is told of", async () => {
    const names: string[] = [];
    const wire = { ...askFor("/uploads/upload_1/complete").wire!, method: "POST" };
    const call = new Exchange(engine, "test", { method: "POST" });
    const told = passOn(two(404, 404)(names)).answer({ ...askFor(""), wire }, call);
    await expect(told).rejects.toMatchObject({
      code: "object_unknown",
      message:
        "No upstream gives '/uploads/upload_1' when asked for it, so which of them to send " +
        "this POST to is not known. `paths` of an upstream says what only it is asked for.",
    });
    expect(names).toEqual(["a", "b"]);
  });
});

describe("pathTaker()", () => {
  const ROWS: readonly (readonly [readonly string[], readonly string[], readonly string[]])[] = [
    [[], ["/files", "/organizations", "/organization-x", "/a/b/c"], [
      "/organization",
      "/organization/users",
      "/%6frganization/users",
      "/%256frganization/users",
      "//organization/users",
      "///organization/users",
      "/;v=1/organization",
      "/organization;v=1/users",
      "/organization%2Fusers",
      "/%2forganization/users",
      "/organization%3fx",
      "/\\organization",
      "/Organization/users",
      "/a/../organization",
      "/%c0%aforganization",
    ]],
    [["/files*"], ["/%66iles", "/files//x", "/files;v=1"], [
      "/files/..;/organization",
      "/files%5c..%5corganization",
      "/files/%252e%252e/organization",
      "//files",
    ]],
    [["/files"], [], ["/files;v=1", "/files/"]],
    [["/organization/usage/*", "/a%20b"], ["/organization/usage/x", "/a b", "/a%20b"], [
      "/Organization/usage/x",
    ]],
    [["/files"], ["/files"], ["/files/1", "/file", "/organization"]],
    [["/files*", "/organization/usage/*"], ["/files", "/files/1", "/organization/usage/x"], [
      "/organization/users",
    ]],
    [["/a*"], [`/a${"b".repeat(1022)}`], [`/a${"b".repeat(1023)}`]],
  ];
  for (const [paths, yes, no] of ROWS) {
    test(`${JSON.stringify(paths)} takes ${yes.length} and not ${no.length}`, () => {
      const takes = pathTaker(paths);
      expect(yes.filter((path) => !takes(path))).toEqual([]);
      expect(no.filter((path) => takes(path))).toEqual([]);
    });
  }
});
