/**
 * `weir install`: the systemd unit and the nginx site for this config, printed or written.
 *
 * @module
 */

import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { siteText } from "../deploy/site.ts";
import { unitText } from "../deploy/unit.ts";
import { parseSettingOptions } from "./command_line.ts";
import { credentialFiles } from "./credentials.ts";
import { sharedLimit } from "./introduction.ts";
import { readSettings, type Settings, warn } from "./settings.ts";
import { Failure, type Terminal } from "./terminal.ts";
import { pathIn } from "./token_files.ts";

/** Where things lie on a machine, below the root. */
const PROGRAM = "/usr/local/bin/weir";
const CONFIG = "/etc/weir/config.yaml";
const UNIT = "/etc/systemd/system/weir.service";
const SITE = "/etc/nginx/conf.d/weir.conf";
/** The unit's StateDirectory=. */
const STATE_FOLDER = "/var/lib/weir";

const OWN_FLAGS = {
  write: { type: "boolean" },
  force: { type: "boolean" },
  root: { type: "string" },
  "server-name": { type: "string" },
  certificate: { type: "string" },
  "certificate-key": { type: "string" },
} as const;

/** What the options of `install` say. */
interface InstallOptions {
  readonly isWriting: boolean;
  readonly isForced: boolean;
  readonly root: string;
  readonly serverName: string;
  readonly tls: { readonly certificate: string; readonly key: string } | undefined;
  /** The words that say which config it is. */
  readonly rest: readonly string[];
}

/** Prints both files, or writes them below `--root` together with the program and the config. */
export function install(args: readonly string[], terminal: Terminal): number {
  const options = parseInstallOptions(args);
  const settings = readSettings(parseSettingOptions(options.rest), terminal);
  const unit = unitFor(settings);
  const site = siteFor(settings, options);
  warn(sharedLimit(settings.config), terminal);
  if (!options.isWriting) {
    terminal.print(`# ${UNIT}\n${unit}`);
    terminal.print(`# ${SITE}\n${site.trimEnd()}`);
    return 0;
  }
  const files = [[UNIT, unit], [SITE, site]] as const;
  const at = (path: string) => join(options.root, path);
  for (const [path, text] of files) {
    const isOther = existsSync(at(path)) && readFileSync(at(path), "utf8") !== text;
    if (isOther && !options.isForced) {
      throw new Failure(`${at(path)} is there and differs. Overwrite it: weir install --force`);
    }
  }
  for (const [path, text] of files) write(at(path), text, terminal);
  installConfig(settings, at(CONFIG), terminal);
  warn(openSecrets(settings), terminal);
  installProgram(at(PROGRAM), terminal);
  terminal.print("next: systemctl daemon-reload && systemctl enable --now weir");
  terminal.print("      nginx -t && nginx -s reload");
  return 0;
}

function parseInstallOptions(args: readonly string[]): InstallOptions {
  const { tokens } = parseArgs({
    args: [...args],
    options: OWN_FLAGS,
    strict: false,
    tokens: true,
  });
  const own = new Set<number>();
  const values = new Map<string, string | undefined>();
  for (const token of tokens) {
    if (token.kind !== "option" || !Object.hasOwn(OWN_FLAGS, token.name)) continue;
    own.add(token.index);
    if (token.value !== undefined && !token.inlineValue) own.add(token.index + 1);
    values.set(token.name, token.value);
  }
  for (const name of ["root", "server-name", "certificate", "certificate-key"]) {
    if (values.has(name) && !values.get(name)) throw new Failure(`--${name} needs a value`, 2);
  }
  const certificate = values.get("certificate");
  const key = values.get("certificate-key");
  if ((certificate === undefined) !== (key === undefined)) {
    throw new Failure("--certificate and --certificate-key go together", 2);
  }
  return {
    isWriting: values.has("write") || values.has("force"),
    isForced: values.has("force"),
    root: values.get("root") ?? "/",
    serverName: values.get("server-name") ?? "_",
    tls: certificate === undefined
      ? undefined
      : { certificate: resolve(certificate), key: resolve(key!) },
    rest: args.filter((_word, i) => !own.has(i)),
  };
}

function unitFor({ config }: Settings): string {
  const credentials: Record<string, string> = {};
  for (const file of credentialFiles(config).values()) {
    // Beside the installed config, unless it has a place of its own.
    credentials[basename(file)] = isAbsolute(file) ? file : join(dirname(CONFIG), file);
  }
  return unitText({
    program: PROGRAM,
    configFile: CONFIG,
    drainMs: config.server.drain_ms,
    variables: stateVariables(config.memory),
    credentials,
  });
}

/**
 * Variables that put into the state directory what the config has beside itself: a service may not
 * write to /etc.
 */
function stateVariables({ url, outbox }: Settings["config"]["memory"]): Record<string, string> {
  const inState = (file: string) => join(STATE_FOLDER, basename(file));
  if (url.startsWith("sqlite://")) {
    const file = url.slice("sqlite://".length);
    const isElsewhere = isAbsolute(file) || file === ":memory:";
    return isElsewhere ? {} : { WEIR_MEMORY_URL: `sqlite://${inState(file)}` };
  }
  // Turns on their way to a store elsewhere wait in a file, too.
  return isAbsolute(outbox) ? {} : { WEIR_MEMORY_OUTBOX: inState(outbox || "weir-outbox.db") };
}

function siteFor({ config }: Settings, { serverName, tls }: InstallOptions): string {
  const { host, port, unix, body_max_bytes } = config.server;
  const local = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return siteText({
    upstream: unix === ""
      ? `${local.includes(":") ? `[${local}]` : local}:${port}`
      : `unix:${pathIn(dirname(CONFIG), unix)}`,
    bodyBytesMax: body_max_bytes,
    serverName,
    ...(tls === undefined ? {} : { tls }),
  });
}

/** The config that is in force goes to its place; one that is there already stays. */
function installConfig({ file }: Settings, target: string, terminal: Terminal): void {
  if (existsSync(target)) return terminal.print(`${target} stays as it is`);
  write(target, file === undefined ? "" : readFileSync(file, "utf8"), terminal);
}

/** Keys that stand in a config which everybody on the machine may read. */
function openSecrets({ file, origins }: Settings): readonly string[] {
  if (file === undefined) return [];
  return ["llm.api_key", "auth.token"].filter((key) => origins.get(key)?.startsWith(`${file}:`))
    .map((key) => `${key} can be read by every user of this machine: use ${key}_file instead`);
}

/** A running program can be replaced only by renaming: it must not be written to. */
function installProgram(target: string, terminal: Terminal): void {
  if (!Bun.isStandaloneExecutable) {
    return terminal.print(`${target} is not written: only the executable can install itself`);
  }
  if (resolve(target) === process.execPath) return;
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(process.execPath, `${target}.new`);
  chmodSync(`${target}.new`, 0o755);
  renameSync(`${target}.new`, target);
  terminal.print(`${target} is written`);
}

function write(path: string, text: string, terminal: Terminal): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  } catch (error) {
    throw new Failure(`Cannot write ${path}: ${(error as { readonly code?: string }).code}`);
  }
  terminal.print(`${path} is written`);
}
