import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fixtureFilesOf, loadFixtures } from "../../src/cli/fixture_files.ts";
import { makeFolder } from "../server/launch.ts";
import { say } from "./say.ts";

const HELLO = "fixtures:\n- match: {userMessage: hello}\n  response: {content: Hi!}\n";
const FILES: Readonly<Record<string, string>> = {
  "good/b.yaml": HELLO,
  "good/a.json": '{"fixtures": [{"match": {"inputText": "red"}, "response": {"embedding": [1]}}]}',
  "good/notes.txt": "no fixtures",
  "good/.hidden.yaml": "no fixtures",
  "good/more/c.yml":
    "fixtures:\n- match: {toolResultFor: get_weather}\n  response: {content: ok}\n",
  "hidden.yaml": `${HELLO}- match: {userMessage: hello there}\n  response: pass\n`,
  "twice.yaml": "fixtures:\n- {id: a, match: {}, response: pass}\n",
  "again.yaml": "fixtures:\n- {id: a, match: {}, response: pass}\n",
  "bad.yaml": "fixtures:\n- match: {userMesage: a}\n  response: {content: b}\n",
  "empty/notes.txt": "",
  "chat.json": '{"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}',
  "bye.json": '{"model": "gpt-4o", "messages": [{"role": "user", "content": "bye"}]}',
  "embedding.json": '{"model": "text-embedding-3-small", "input": ["blue", "red"]}',
  "moderation.json": '{"input": "red"}',
  "completion.json": '{"model": "gpt-3.5-turbo-instruct", "prompt": "hello"}',
  "response.json": '{"model": "gpt-4o", "input": "hello"}',
  "message.json": `{"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [
    {"role": "user", "content": "weather?"},
    {"role": "assistant", "content": [
      {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}]},
    {"role": "user", "content": [
      {"type": "tool_result", "tool_use_id": "toolu_1", "content": "21"}]}]}`,
  "messages.json": '{"messages": [{"role": "user", "content": "hello"}]}',
  "broken.json": "{",
  "strange.json": "{}",
};

let folder: string;
const at = (name: string) => join(folder, name);

beforeAll(() => {
  folder = makeFolder();
  for (const [name, text] of Object.entries(FILES)) {
    mkdirSync(dirname(at(name)), { recursive: true });
    writeFileSync(at(name), text);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("fixtureFilesOf()", () => {
  /** Places → the files in their order, or what is wrong. */
  const CASES: readonly (readonly [places: readonly string[], files: readonly string[]])[] = [
    [["good"], ["good/a.json", "good/b.yaml", "good/more/c.yml"]],
    [["good/more", "good/"], ["good/more/c.yml", "good/a.json", "good/b.yaml"]],
    [["good/*.yaml", "good/b.yaml"], ["good/b.yaml"]],
    [["good/**/*.y*ml"], ["good/b.yaml", "good/more/c.yml"]],
    [["good/{a,b}.*"], ["good/a.json", "good/b.yaml"]],
    [["good/notes.txt"], ["good/notes.txt"]],
  ];
  for (const [places, files] of CASES) {
    test(places.join(" "), () => {
      expect(fixtureFilesOf(places, folder)).toEqual({ files: files.map(at), problems: [] });
    });
  }

  test("says which places hold nothing", () => {
    expect(fixtureFilesOf(["none.yaml", "good/*.toml", "empty"], folder).problems).toEqual([
      "none.yaml: there is no such file or folder",
      "good/*.toml: there is no file of fixtures",
      "empty: there is no file of fixtures",
    ]);
  });
});

test("a file must be UTF-8, and one that is named JSON must be JSON", () => {
  const folder = makeFolder({ "a.json": '{"fixtures": [],}', "b.yaml": "{fixtures: [],}" });
  try {
    writeFileSync(join(folder, "c.yaml"), Buffer.from([0x66, 0xff, 0x3a]));
    expect(loadFixtures(["a.json", "b.yaml", "c.yaml"], folder).problems).toEqual([
      "a.json:1:1 must be JSON, as the file's name says: it is YAML",
      `${join(folder, "c.yaml")}: the file must be UTF-8`,
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe("links", () => {
  const linked = makeFolder({ "a.yaml": HELLO });
  afterAll(() => rmSync(linked, { recursive: true }));
  mkdirSync(join(linked, "cm/..data"), { recursive: true });
  writeFileSync(join(linked, "cm/..data/f.yaml"), HELLO);
  symlinkSync("..data/f.yaml", join(linked, "cm/f.yaml"));
  symlinkSync("..", join(linked, "cm/up"));
  symlinkSync("itself.yaml", join(linked, "itself.yaml"));
  symlinkSync("nothing.yaml", join(linked, "dangling.yaml"));
  const CASES: readonly (readonly [place: string, files: readonly string[]])[] = [
    ["cm/*.yaml", ["cm/f.yaml"]],
    ["*.yaml", ["a.yaml"]],
    [".", ["a.yaml", "cm/f.yaml"]],
  ];
  for (const [place, files] of CASES) {
    test(`are followed, and what leads round is left out: ${place}`, () => {
      expect(fixtureFilesOf([place], linked)).toEqual({
        files: files.map((file) => join(linked, file)),
        problems: [],
      });
    });
  }
});

describe("loadFixtures()", () => {
  test("tells of ids that two files have", () => {
    expect(loadFixtures(["twice.yaml", "again.yaml"], folder).problems).toEqual([
      "again.yaml:2:3 (a): the id is that of twice.yaml:2:3 (a), too",
    ]);
  });
});

describe("weir fixtures check", () => {
  test("counts what is right", async () => {
    expect(await say(["fixtures", "check", at("good"), at("good/b.yaml")])).toEqual({
      code: 0,
      output: "ok: 3 fixtures in 3 files",
      complaint: "",
    });
  });

  test("warns of what can never be given", async () => {
    const { code, output } = await say(["fixtures", "check", at("hidden.yaml")]);
    expect(code).toBe(0);
    const name = (line: number) => `${at("hidden.yaml")}:${line}:3`;
    expect(output.split("\n")).toEqual([
      `weir: warning: ${name(4)} can never be given: ` +
      `${name(2)} stands before it, and fits whatever it fits`,
      "ok: 2 fixtures in 1 file",
    ]);
  });

  test("tells what is wrong, in every file", async () => {
    const { code, complaint } = await say(["fixtures", "check", at("bad.yaml"), at("none.yaml")]);
    expect(code).toBe(1);
    expect(complaint.split("\n")).toEqual([
      "The fixtures have 2 problems:",
      `  ${at("none.yaml")}: there is no such file or folder`,
      `  ${at("bad.yaml")}:2:11 fixtures[0].match.userMesage: ` +
      "is not a known key: did you mean userMessage?",
    ]);
  });

  test("needs a path", async () => {
    const { code, complaint } = await say(["fixtures", "check"]);
    expect(code).toBe(2);
    expect(complaint).toStartWith(
      "PATH is missing. It is: weir fixtures check|test PATH… [options]",
    );
  });
});

describe("weir fixtures test", () => {
  const ask = (request: string, ...words: string[]) =>
    say(["fixtures", "test", at("good"), "--request", at(request), ...words]);

  /** Request, path → what fits. */
  const CASES: readonly (readonly [request: string, path: string, fits: string])[] = [
    ["chat.json", "/v1/chat/completions", "good/b.yaml:2:3"],
    ["response.json", "/v1/responses", "good/b.yaml:2:3"],
    ["completion.json", "/v1/completions", "good/b.yaml:2:3"],
    ["messages.json", "/api/chat", "good/b.yaml:2:3"],
    ["message.json", "/v1/messages", "good/more/c.yml:2:3"],
    ["embedding.json", "/v1/embeddings", "good/a.json:1:15"],
  ];
  for (const [request, path, fits] of CASES) {
    test(`${path} is answered by ${fits}`, async () => {
      const { code, output } = await ask(request, "--path", path);
      expect(code).toBe(0);
      expect(output).toStartWith(`${at(fits)} fits, and answers:\n  {`);
    });
  }

  test("says why the nearest ones do not fit", async () => {
    const { code, output } = await ask("bye.json");
    expect(code).toBe(1);
    expect(output.split("\n")).toEqual([
      "no fixture fits",
      `${at("good/b.yaml")}:2:3 does not fit:`,
      '  userMessage: wants a text with "hello", got "bye"',
      `${at("good/more/c.yml")}:2:3 does not fit:`,
      '  toolResultFor: wants "get_weather", got none',
      `${at("good/a.json")}:1:15 does not fit:`,
      "  endpoint: wants embedding, got chat",
      '  inputText: wants a text with "red", got no such text',
    ]);
  });

  test("a moderation has texts, too", async () => {
    const { code, output } = await ask("moderation.json", "--path", "/v1/moderations");
    expect(code).toBe(1);
    expect(output).toContain("endpoint: wants embedding, got moderation");
  });

  test("headers and the token's name count", async () => {
    const file = at("header.yaml");
    writeFileSync(
      file,
      "fixtures:\n- match: {header: {X-Test: a}, key: ann}\n  response: pass\n",
    );
    const words = ["fixtures", "test", file, "-r", at("chat.json")];
    expect((await say(words)).code).toBe(1);
    const { code, output } = await say([...words, "-H", "x-test: a", "--key", "ann"]);
    expect([code, output]).toEqual([0, `${file}:2:3 fits, and answers:\n  "pass"`]);
  });

  /** Request → what is said of it. */
  const WRONG: readonly (readonly [request: string, says: string])[] = [
    ["broken.json", "broken.json: it is not JSON"],
    ["strange.json", "strange.json: you must provide a model parameter"],
    ["none.json", "none.json: there is no such file"],
  ];
  for (const [request, says] of WRONG) {
    test(`${request} is refused`, async () => {
      const { code, complaint } = await ask(request);
      expect(code).toBe(1);
      expect(complaint).toContain(says);
    });
  }

  test("needs a request", async () => {
    const { code, complaint } = await say(["fixtures", "test", at("good")]);
    expect([code, complaint]).toEqual([
      2,
      "--request is missing: weir fixtures test needs a request",
    ]);
  });
});
