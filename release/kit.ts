/**
 * `bun run kit`: builds the package for tests in JavaScript.
 *
 *   bun run kit              into dist/kit/
 *   bun run kit --out DIR
 *
 * It is a plain package without dependencies: ES modules, CommonJS, and types for both.
 *
 * @module
 */

import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import own from "../package.json" with { type: "json" };
import { PACKAGE } from "./package_name.ts";

const ROOT = join(import.meta.dir, "..");
const ENTRY = "testing";

const { values } = parseArgs({
  options: { out: { type: "string", default: join(ROOT, "dist", "kit") } },
});
const folder = values.out;
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

await bundle("esm", "js");
await bundle("cjs", "cjs");
declare();
copyFileSync(join(ROOT, "LICENSE"), join(folder, "LICENSE"));
writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest(), null, 2)}\n`);
process.stdout.write(`${PACKAGE} ${own.version}: ${folder}\n`);

async function bundle(format: "esm" | "cjs", extension: string): Promise<void> {
  const { outputs } = await Bun.build({
    entrypoints: [join(ROOT, "kit", `${ENTRY}.ts`)],
    target: "node",
    format,
  });
  await Bun.write(join(folder, `${ENTRY}.${extension}`), outputs[0]!);
}

/** Writes the types, once as those of ES modules and once as those of CommonJS. */
function declare(): void {
  const compiled = Bun.spawnSync([
    join(ROOT, "node_modules", ".bin", "tsc"),
    "--ignoreConfig",
    ...["--strict", "--declaration", "--emitDeclarationOnly", "--allowImportingTsExtensions"],
    ...["--target", "es2022", "--lib", "esnext,dom"],
    ...["--module", "nodenext", "--types", join(ROOT, "node_modules", "bun-types")],
    ...["--rootDir", join(ROOT, "kit"), "--outDir", folder],
    join(ROOT, "kit", `${ENTRY}.ts`),
  ], { cwd: ROOT, stdout: "inherit", stderr: "inherit" });
  if (compiled.exitCode !== 0) process.exit(1);
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".d.ts"))) {
    const text = readFileSync(join(folder, file), "utf8");
    const importing = (extension: string) =>
      text.replace(/(from "\.\/\w+)\.ts"/g, `$1${extension}"`);
    writeFileSync(join(folder, file), importing(".js"));
    writeFileSync(join(folder, file.replace(/\.ts$/, ".cts")), importing(".cjs"));
  }
}

function manifest() {
  const { version, license } = own;
  const forms = (extension: string, types: string) => ({
    types: `./${ENTRY}.d.${types}`,
    default: `./${ENTRY}.${extension}`,
  });
  return {
    name: PACKAGE,
    version,
    description: "weir in tests: starts it, says what it answers, tells what was asked of it",
    license,
    type: "module",
    engines: { node: ">=20" },
    exports: {
      [`./${ENTRY}`]: { import: forms("js", "ts"), require: forms("cjs", "cts") },
    },
  };
}
