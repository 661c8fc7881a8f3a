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
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { isAddress, isLoopback } from "../lib/host.ts";
import { siteText } from "../deploy/site.ts";
import { SETTING_ROWS } from "../config/schema.ts";
import { unitText } from "../deploy/unit.ts";
import { defineCommand } from "./command.ts";
import { SETTING_EXITS, SETTING_FLAGS, settingOptions } from "./command_line.ts";
import { secretFiles } from "./credentials.ts";
import { switchFlag, textFlag } from "./flags.ts";
import { type Given, type InstalledConfig, installedConfig } from "./installed_config.ts";
import { readServed, type Settings, warn } from "./settings.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";
import { pathIn } from "./token_files.ts";

/** Where things lie on a machine, below the root. */
const PROGRAM = "/usr/local/bin/weir";
const CONFIG = "/etc/weir/config.yaml";
const UNIT = "/etc/systemd/system/weir.service";
const SITE = "/etc/nginx/conf.d/weir.conf";
/** Where the installed weir tells its metrics, unless the config says where. */
const METRICS_PORT = 9464;

/** A host name, an address, or a pattern of nginx's ("_", "*.example.com", "~^www"). */
const SITE_NAME = /^(?:[\w.*:-]+|~[\w.*^$|()+?\\[\]-]+)$/;

/** What only the nginx site needs to know. */
interface SiteOptions {
  /** "_" = every host name. */
  readonly serverName: string;
  /** Undefined: HTTP. */
  readonly tls: { readonly certificate: string; readonly key: string } | undefined;
}

/** Prints both files, or writes them below `--root` together with the program and the config. */
export const install = defineCommand({
  name: "install",
  summary: "print the systemd unit and the nginx site for this config",
  details: `With --write they go to ${UNIT} and ${SITE}, this program to ${PROGRAM}, ` +
    `and the config to ${CONFIG} unless one is there: it keeps its memory in /var/lib/weir.`,
  operands: {},
  flags: {
    write: switchFlag({ text: "write them, the config and this program to where they belong" }),
    force: switchFlag({ text: "write them also over files that are there and differ" }),
    root: textFlag({
      value: "DIR",
      text: "below DIR",
      notes: ["default /"],
      completes: "files",
      mustHaveText: true,
    }),
    serverName: textFlag({
      value: "NAME",
      text: "the site's host name",
      notes: ["default any"],
      mustHaveText: true,
    }),
    certificate: textFlag({
      value: "FILE",
      text: "the site's certificate: HTTPS instead of HTTP, together with --certificate-key",
      completes: "files",
      mustHaveText: true,
    }),
    certificateKey: textFlag({
      value: "FILE",
      text: "the certificate's key",
      completes: "files",
      mustHaveText: true,
    }),
    ...SETTING_FLAGS,
  },
  examples: [
    { line: "weir install --server-name chat.example.com", text: "print what would be written" },
    { line: "weir install --write --root ./root", text: "write it, below a folder of its own" },
  ],
  exits: {
    ...SETTING_EXITS,
    [EXIT.failed]: "the config is wrong, or a file cannot be written, or is there and differs",
  },
  run({ flags }, terminal) {
    const { serverName, root, certificate, certificateKey: key } = flags;
    if ((certificate === undefined) !== (key === undefined)) {
      throw new Failure("--certificate and --certificate-key go together", EXIT.usage);
    }
    const tls = certificate === undefined || key === undefined
      ? undefined
      : { certificate: resolve(certificate), key: resolve(key) };
    const settings = readServed(settingOptions(flags), terminal, { isSite: true });
    const name = siteName(serverName ?? "_");
    const target = join(root ?? "/", CONFIG);
    const behind = siteSettings(settings.config, name);
    const installed = installedConfig(settings, target, behind);
    const unit = unitFor(settings, behind, installed.variables);
    const site = siteFor(settings, { serverName: name, tls });
    warn([...namelessSite(settings.config, name), ...installed.warnings], terminal);
    if (flags.write || flags.force) {
      writeAll([[UNIT, unit], [SITE, site]], root ?? "/", flags.force, terminal);
      if (installed.text === undefined) terminal.print(`${target} stays as it is`);
      else write(target, installed.text, terminal);
      warn(openSecrets(settings), terminal);
      installProgram(join(root ?? "/", PROGRAM), terminal);
      const wanted = secretFiles(settings.config).map(installedPath)
        .filter((path) => !existsSync(join(root ?? "/", path)));
      if (wanted.length > 0) {
        terminal.print(`next: put the secrets there, for root alone: ${wanted.join(", ")}`);
      }
      terminal.print("next: systemctl daemon-reload && systemctl enable --now weir");
      terminal.print("      nginx -t && nginx -s reload");
    } else {
      terminal.print(`# ${UNIT}\n${unit}`);
      terminal.print(`# ${SITE}\n${site}`);
      terminal.print(`# ${CONFIG}\n${installed.shown.trimEnd()}`);
    }
    return EXIT.done;
  },
});

/** Writes `files` below `root`. */
function writeAll(
  files: readonly (readonly [path: string, text: string])[],
  root: string,
  isForced: boolean,
  terminal: Terminal,
): void {
  const at = (path: string) => join(root, path);
  for (const [path, text] of files) {
    const isOther = existsSync(at(path)) && readFileSync(at(path), "utf8") !== text;
    if (isOther && !isForced) {
      throw new Failure(`${at(path)} is there and differs. Overwrite it: weir install --force`);
    }
  }
  for (const [path, text] of files) write(at(path), text, terminal);
}

function unitFor(
  { config }: Settings,
  behind: Given,
  variables: InstalledConfig["variables"],
): string {
  const credentials: Record<string, string> = {};
  for (const file of secretFiles(config)) {
    credentials[basename(file)] = installedPath(file);
  }
  return unitText({
    program: PROGRAM,
    configFile: CONFIG,
    drainMs: config.server.drain_ms,
    variables,
    siteVariables: variablesOf(behind),
    credentials,
  });
}

/** Where a file with a secret is: beside the installed config, unless it has a place of its own. */
function installedPath(file: string): string {
  return isAbsolute(file) ? file : join(dirname(CONFIG), file);
}

/** What tells weir of nginx in front of it, where the config does not. */
function siteSettings({ server, ops }: Settings["config"], serverName: string): Given {
  const hosts = [...new Set([...server.hosts, ...siteHosts(serverName)])];
  const local = localHost(server.host);
  // nginx's own address, where it asks an address of this machine that is none of its loopback's.
  const proxies = isAddress(local) && !isLoopback(local) ? [local] : ["127.0.0.1", "::1"];
  return {
    ...(hosts.length > server.hosts.length ? { "server.hosts": hosts } : {}),
    // On a socket file they are believed anyway; there it says that the public is asked through one.
    ...(server.trusted_proxies.length > 0 ? {} : { "server.trusted_proxies": proxies }),
    ...(ops.metrics_port !== 0 ? {} : { "ops.metrics_port": METRICS_PORT }),
  };
}

/** `given` as the environment carries it. */
function variablesOf(given: Given): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(given).map(([path, value]) => [
      SETTING_ROWS.get(path)!.variable,
      Array.isArray(value) ? listText(value) : String(value),
    ]),
  );
}

/** Names as nginx takes them, without what would be more than names in its site. */
function siteName(text: string): string {
  const names = text.trim().split(/\s+/);
  if (!/[\r\n]/.test(text) && names.every((name) => SITE_NAME.test(name))) return names.join(" ");
  throw new Failure(
    `--server-name: ${JSON.stringify(text)} is no host name, such as chat.example.com`,
    EXIT.usage,
  );
}

/** The names of a site, as `server.hosts` takes them. */
function siteHosts(serverName: string): readonly string[] {
  return serverName.split(/\s+/).filter((name) => /^(?:\*\.)?[\w-]+(?:\.[\w-]+)+$/.test(name))
    .map((name) => name.toLowerCase());
}

/** A site whose names nobody knows is asked by names that weir does not know for its own. */
function namelessSite({ auth, server }: Settings["config"], serverName: string): readonly string[] {
  const hasToken = auth.token !== "" || auth.tokens.length > 0;
  if (hasToken || server.hosts.length > 0 || siteHosts(serverName).length > 0) return [];
  return [
    "without a token, what has a memory is answered to clients that ask by address only: " +
    "give the site's name with --server-name, or set auth.token",
  ];
}

/** As the environment carries a list. */
function listText(words: readonly string[]): string {
  return `[${words.map((word) => word.includes("*") ? JSON.stringify(word) : word).join(",")}]`;
}

function localHost(host: string): string {
  return host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
}

function siteFor({ config }: Settings, { serverName, tls }: SiteOptions): string {
  const { host, port, unix, body_max_bytes } = config.server;
  const local = localHost(host);
  return siteText({
    upstream: unix === ""
      ? `${local.includes(":") ? `[${local}]` : local}:${port}`
      : `unix:${pathIn(dirname(CONFIG), unix)}`,
    bodyBytesMax: body_max_bytes,
    serverName,
    ...(tls === undefined ? {} : { tls }),
  });
}

/** Keys that stand in a config which everybody on the machine may read. */
function openSecrets({ file, origins, config }: Settings): readonly string[] {
  const isOfFile = (key: string) => file !== undefined && origins.get(key)?.startsWith(`${file}:`);
  const entries = [
    ...config.upstreams.filter((entry) => entry.api_key !== "" && entry.api_key_file === "")
      .map(({ name }) => ["upstreams", `api_key of ${name}`, "api_key_file"] as const),
    ...config.keys.filter(({ token }) => token !== "")
      .map(({ name }) => ["keys", `token of ${name}`, "token_file"] as const),
  ];
  return [
    ...["llm.api_key", "auth.token"].filter(isOfFile).map((key) => [key, `${key}_file`] as const),
    ...entries.filter(([list]) => isOfFile(list)).map(([list, what, instead]) =>
      [`${list}: the ${what}`, instead] as const
    ),
  ].map(([what, instead]) =>
    `${what} can be read by every user of this machine: use ${instead} instead`
  );
}

/** A running program can be replaced only by renaming: it must not be written to. */
function installProgram(target: string, terminal: Terminal): void {
  if (!Bun.isStandaloneExecutable) {
    return terminal.print(`${target} is not written: only the executable can install itself`);
  }
  if (resolve(target) === process.execPath) return;
  putThere(target, (path) => {
    copyFileSync(process.execPath, path);
    chmodSync(path, 0o755);
  }, terminal);
}

function write(path: string, text: string, terminal: Terminal): void {
  putThere(path, (beside) => writeFileSync(beside, text), terminal);
}

/** Makes the file at `path` by renaming one that `make` has made beside it: whole or not at all. */
function putThere(path: string, make: (beside: string) => void, terminal: Terminal): void {
  const beside = `${path}.new`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    make(beside);
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw new Failure(`Cannot write ${path}: ${(error as { readonly code?: string }).code}`);
  }
  terminal.print(`${path} is written`);
}
