/**
 * The executables of a release.
 *
 * @module
 */

/** An executable for one kind of machine. */
export interface Target {
  /** As people name it. */
  readonly name: string;
  /** As `bun build --target` names it. */
  readonly bun: string;
  /** The file's name in the release. */
  readonly file: string;
}

/** Every kind of machine a release is for. */
export const TARGETS: readonly Target[] = [
  { name: "linux-x64", bun: "bun-linux-x64", file: "weir-linux-x64" },
  { name: "linux-arm64", bun: "bun-linux-arm64", file: "weir-linux-arm64" },
  { name: "darwin-x64", bun: "bun-darwin-x64", file: "weir-darwin-x64" },
  { name: "darwin-arm64", bun: "bun-darwin-arm64", file: "weir-darwin-arm64" },
  { name: "windows-x64", bun: "bun-windows-x64", file: "weir-windows-x64.exe" },
];

/** The one for the machine this runs on, under its plain name. */
export function nativeTarget(): Target {
  const system = process.platform === "win32" ? "windows" : process.platform;
  const name = `${system}-${process.arch}`;
  return { name, bun: `bun-${name}`, file: system === "windows" ? "weir.exe" : "weir" };
}

/**
 * The words that build `target` into `outfile`. Same flags as `bun run build`; neither `.env` nor
 * `bunfig.toml` of whatever folder it is started in reaches into the executable.
 */
export function buildCommand(target: Target, outfile: string, commit: string): string[] {
  return [
    process.execPath,
    "build",
    "--compile",
    `--target=${target.bun}`,
    "--minify",
    "--bytecode",
    "--sourcemap",
    "--format=esm",
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    "--define",
    `WEIR_COMMIT=${JSON.stringify(commit)}`,
    "main.ts",
    "--outfile",
    outfile,
  ];
}
