/** Every example in examples/, run by its own runner against the package as it is published. */

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import own from "../../package.json" with { type: "json" };
import { PACKAGE } from "../../release/package_name.ts";
import { CHROMIUM } from "../server/browser.ts";
import { cleanEnv, launch, TEST_MS_MAX } from "../server/launch.ts";
import { describeWith } from "../server/needs.ts";
import { buildKit } from "./built.ts";
import { programFolder } from "./program.ts";

setDefaultTimeout(TEST_MS_MAX);

const ROOT = join(import.meta.dir, "../..");
const EXAMPLES = join(ROOT, "examples");
/** The runners: they are installed once, and stay until a version changes. */
const RUNNERS = join(ROOT, "node_modules", ".cache", "weir-examples");
/** Examples with a runner that is a package. */
const PACKAGED = ["vitest", "jest", "playwright"] as const;

const programs = programFolder();
const folder = buildKit();
afterAll(() => {
  for (const one of [programs, folder]) rmSync(one, { recursive: true, force: true });
});

interface Manifest {
  readonly scripts: { readonly test: string };
  readonly devDependencies: Readonly<Record<string, string>>;
}

function manifestOf(example: string): Manifest {
  return JSON.parse(readFileSync(join(EXAMPLES, example, "package.json"), "utf8")) as Manifest;
}

/** Installs what the examples name. False = that cannot be done here. */
function install(): boolean {
  const named = Object.assign({}, ...PACKAGED.map((one) => manifestOf(one).devDependencies));
  const { [PACKAGE]: _, ...devDependencies } = named as Record<string, string>;
  const text = JSON.stringify({ private: true, devDependencies });
  const stamp = join(RUNNERS, "installed.json");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === text) return true;
  rmSync(RUNNERS, { recursive: true, force: true });
  mkdirSync(RUNNERS, { recursive: true });
  writeFileSync(join(RUNNERS, "package.json"), text);
  const { exitCode } = Bun.spawnSync([process.execPath, "install", "--silent"], { cwd: RUNNERS });
  if (exitCode === 0) writeFileSync(stamp, text);
  return exitCode === 0;
}

const areInstalled = install();
cpSync(EXAMPLES, join(folder, "examples"), { recursive: true });
if (areInstalled) {
  for (const example of PACKAGED) {
    // Its packages are found beside its tests, the kit further up.
    symlinkSync(join(RUNNERS, "node_modules"), join(folder, "examples", example, "node_modules"));
  }
}

/** Runs `words` in the folder of an example. Fails with what they have printed. */
async function runIn(example: string, words: readonly string[], env = {}): Promise<string> {
  const child = Bun.spawn(words as string[], {
    cwd: join(folder, "examples", example),
    env: cleanEnv({ WEIR_BINARY: join(programs, "weir"), NO_COLOR: "1", ...env }),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${words.join(" ")} ended with ${code}:\n${output}${errors}`);
  return output + errors;
}

function succeeds(words: readonly string[]): boolean {
  try {
    return Bun.spawnSync(words as string[], { stdout: "ignore", stderr: "ignore" }).success;
  } catch {
    return false;
  }
}

test("examples/bun", async () => {
  expect(await runIn("bun", [process.execPath, "test"])).toContain(" 3 pass\n 0 fail");
});

describeWith(areInstalled, "registry of packages", "examples with a runner", () => {
  const bin = (name: string) => join(RUNNERS, "node_modules", ".bin", name);

  test("examples/vitest", async () => {
    expect(await runIn("vitest", [bin("vitest"), "run"])).toMatch(/Tests +2 passed/);
  });

  test("examples/jest", async () => {
    expect(await runIn("jest", [bin("jest")])).toMatch(/Tests: +2 passed/);
  });

  const browser = "Chromium (apt-get install chromium)";
  describeWith(CHROMIUM !== undefined, browser, "in a browser", () => {
    test("examples/playwright", async () => {
      const env = { CHROMIUM: CHROMIUM! };
      expect(await runIn("playwright", [bin("playwright"), "test"], env)).toContain("2 passed");
    });
  });
});

const python = ["python3", "-m", "pytest"];
const hasPytest = succeeds([...python, "--version"]);
describeWith(hasPytest, "pytest (apt-get install python3-pytest)", "examples in Python", () => {
  test("examples/pytest", async () => {
    expect(await runIn("pytest", [...python, "-p", "no:cacheprovider"])).toContain("4 passed");
  });
});

// Nobody installs a whole language for one example.
const hasGo = succeeds(["go", "version"]);
if (!hasGo) process.stderr.write("(skip) examples/go: this machine has no Go\n");
test.skipIf(!hasGo)("examples/go", async () => {
  const env = { GOCACHE: join(folder, "go"), GOTOOLCHAIN: "local", GOFLAGS: "-mod=mod" };
  expect(await runIn("go", ["go", "test", "./..."], env)).toContain("ok");
});

describeWith(succeeds(["curl", "--version"]), "curl", "examples in a shell", () => {
  test("examples/curl", async () => {
    const weir = await launch({ set: { "ops.journal": "bodies" } });
    try {
      const output = await runIn("curl", ["./joke.sh", weir.url]);
      expect(output).toContain('"content": "Knock, knock."');
      expect(output).toContain('"verified": true');
    } finally {
      await weir.stop();
    }
  });
});

describe("the examples", () => {
  test("name the package as it is published, at this version", () => {
    for (const example of PACKAGED) {
      expect(manifestOf(example).devDependencies[PACKAGE]).toBe(own.version);
    }
    for (const [example, file] of [["bun", "agent.test.ts"], ["jest", "agent.test.js"]] as const) {
      expect(readFileSync(join(EXAMPLES, example, file), "utf8")).toContain(`"${PACKAGE}/testing"`);
    }
  });
});
