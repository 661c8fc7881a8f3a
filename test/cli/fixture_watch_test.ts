import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FixtureFiles } from "../../src/cli/fixture_watch.ts";
import { Failure } from "../../src/cli/terminal.ts";
import type { FixtureState } from "../../src/surfaces/admin/desk.ts";
import { makeFolder, waitFor } from "../server/launch.ts";

const open: { readonly files: FixtureFiles; readonly folder: string }[] = [];
afterEach(() => {
  for (const { files, folder } of open.splice(0)) {
    files.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

function text(id: string): string {
  return JSON.stringify({ fixtures: [{ id, match: {}, response: { content: id } }] });
}

/** Files in a folder, and what is told of them. */
function rig(written: Readonly<Record<string, string>>, make = (_folder: string) => {}) {
  const folder = makeFolder(written);
  make(folder);
  const states: FixtureState[] = [];
  const lines: string[] = [];
  const files = new FixtureFiles({
    terminal: { print() {}, complain: (line) => void lines.push(line) },
    onChange: (state) => void states.push(state),
  });
  open.push({ files, folder });
  const write = (name: string, content: string) => {
    writeFileSync(join(folder, `${name}.new`), content);
    renameSync(join(folder, `${name}.new`), join(folder, name));
  };
  /** Waits until these fixtures are in force. */
  const until = (ids: readonly string[]) =>
    waitFor(() => {
      const now = states.at(-1)?.fixtures.map(({ id }) => id).join();
      return now === ids.join();
    }, `fixtures ${ids}, and not ${JSON.stringify(states.at(-1))} ${lines}`);
  return { folder, files, states, lines, write, until };
}

describe("FixtureFiles", () => {
  test("reads again what changes, comes and goes in a folder and in the folders below it", async () => {
    const { folder, files, write, until } = rig({}, (folder) => {
      mkdirSync(join(folder, "all", "deep"), { recursive: true });
      writeFileSync(join(folder, "all", "a.json"), text("a"));
    });
    expect(files.open({ paths: ["all"], folder }).fixtures.map(({ id }) => id)).toEqual(["a"]);
    write("all/b.json", text("b"));
    await until(["a", "b"]);
    write("all/deep/c.json", text("c"));
    await until(["a", "b", "c"]);
    rmSync(join(folder, "all", "a.json"));
    await until(["b", "c"]);
  });

  test("follows a pattern, and a file that is a link into a folder that is swapped", async () => {
    const { folder, files, write, until } = rig({ "a.json": text("a") }, (folder) => {
      for (const one of ["one", "two"]) {
        mkdirSync(join(folder, one));
        writeFileSync(join(folder, one, "x.json"), text(one));
      }
      mkdirSync(join(folder, "mounted"));
      symlinkSync("../one", join(folder, "mounted", "..data"));
      symlinkSync("..data/x.json", join(folder, "mounted", "x.json"));
    });
    files.open({ paths: ["*.json", "mounted/x.json"], folder });
    write("b.json", text("b"));
    await until(["a", "b", "one"]);
    symlinkSync("../two", join(folder, "mounted", "..new"));
    renameSync(join(folder, "mounted", "..new"), join(folder, "mounted", "..data"));
    await until(["a", "b", "two"]);
  });

  test("reads again what a link in another folder leads to", async () => {
    const { folder, files, write, until } = rig({}, (folder) => {
      for (const name of ["here", "elsewhere"]) mkdirSync(join(folder, name));
      writeFileSync(join(folder, "elsewhere", "x.json"), text("one"));
      symlinkSync("../elsewhere/x.json", join(folder, "here", "x.json"));
    });
    files.open({ paths: ["here"], folder });
    write("elsewhere/x.json", text("two"));
    await until(["two"]);
  });

  test("keeps all old ones while one file is broken, and says so once", async () => {
    const { folder, files, write, until, states, lines } = rig({
      "a.json": text("a"),
      "b.json": text("b"),
    });
    files.open({ paths: ["."], folder });
    write("a.json", '{"fixtures": [');
    write("b.json", text("c"));
    await waitFor(() => states.at(-1)?.trouble !== undefined);
    expect(states.at(-1)!.fixtures.map(({ id }) => id)).toEqual(["a", "b"]);
    expect(states.at(-1)!.trouble).toContain("a.json:1:");
    files.reload();
    files.reload();
    expect(lines.filter((line) => line.includes("the old ones stay")).length).toBe(1);
    write("a.json", text("a"));
    await until(["a", "c"]);
    expect(states.at(-1)!.trouble).toBe("");
  });

  test("does not begin with broken files", () => {
    const { folder, files } = rig({ "a.json": '{"fixtures":[{"mach":{}}]}' });
    expect(() => files.open({ paths: ["a.json", "none.json"], folder })).toThrow(Failure);
    expect(() => files.open({ paths: ["a.json", "none.json"], folder })).toThrow(
      /problems:\n(?:.*\n)*.*none\.json/,
    );
  });
});
