/**
 * `weir audit URL`: is this gateway honest? weir is client and upstream at once, on one clock, and
 * tells what the gateway between them makes of time, bytes, errors and headers.
 *
 * @module
 */

import { nearest } from "../lib/nearest.ts";
import { type AuditReport, runAudit } from "../load/audit/audit.ts";
import { greet, type Obstacle } from "../load/audit/greeting.ts";
import { MachineWatch } from "../load/audit/machine_watch.ts";
import type { Target } from "../load/audit/probe_client.ts";
import { htmlReport } from "../load/audit/report_html.ts";
import { junitReport } from "../load/audit/report_junit.ts";
import { reportLines } from "../load/audit/report_terminal.ts";
import { type Check, Rig } from "../load/audit/rig.ts";
import { ScriptedUpstream } from "../load/audit/scripted_upstream.ts";
import { CHECKS } from "../load/audit/table.ts";
import { startEcho } from "./audit_echo.ts";
import { type PresetGateway, PRESETS, startPreset } from "./audit_presets.ts";
import { defineCommand } from "./command.ts";
import {
  asText,
  choiceFlag,
  type FlagValues,
  listFlag,
  numberFlag,
  optionalFlag,
  readChoice,
  readHeader,
  readNumber,
  switchFlag,
  textFlag,
} from "./flags.ts";
import { residentBytes } from "./process_memory.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";
import { writeOver } from "./whole_files.ts";

/** Asked of a URL that names no path, or only the version. */
const CHAT_PATH = "/v1/chat/completions";
/** Seconds of silence that a stream is tried with. */
const SILENCES_S = [15, 30, 65, 130] as const;
/** Until the gateway asks the upstream, where somebody has yet to be told of it. */
const WAIT_S = 300;
const WAIT_S_MAX = 3600;
const GREET_EVERY_MS = 1000;
const RETRIES_MAX = 20;
const PORT_MAX = 65_535;
const PID_MAX = 2 ** 22;

const FLAGS = {
  preset: optionalFlag({
    value: "NAME",
    text: "start this gateway and audit it, in place of a URL",
    choices: PRESETS,
    read: readChoice(PRESETS),
  }),
  upstreamPort: numberFlag({
    value: "PORT",
    text: "where the audit's upstream listens; 0 = on a free port",
    min: 0,
    max: PORT_MAX,
    isWhole: true,
    default: 0,
  }),
  upstreamHost: textFlag({
    value: "ADDRESS",
    text: "the address it listens on",
    notes: ["default 127.0.0.1"],
    mustHaveText: true,
  }),
  wait: optionalFlag({
    value: "S",
    text: "wait so long for the gateway to ask the upstream",
    notes: [`default ${WAIT_S}, and 0 with --upstream-port`],
    read: (value, name) => readNumber(value, name, { min: 0, max: WAIT_S_MAX, isWhole: false }),
  }),
  only: listFlag({
    value: "CHECKS",
    text: "run these checks only",
    notes: [CHECKS.map(({ name }) => name).join(", ")],
    read: readChecks,
  }),
  quick: switchFlag({ text: "leave out silences of 15 to 130 s" }),
  failOn: choiceFlag({
    value: "VERDICT",
    text: "the least that makes the audit fail",
    choices: ["fail", "note", "never"],
    default: "fail",
  }),
  gatewayKey: textFlag({
    value: "KEY",
    text: "the gateway's own key: shown to it, and not to reach the upstream",
    mustHaveText: true,
  }),
  header: listFlag({
    short: "H",
    value: "'NAME: VALUE'",
    text: "a header of every request",
    read: readHeader,
  }),
  insecure: switchFlag({ text: "take any certificate of an https:// gateway for good" }),
  model: textFlag({
    value: "NAME",
    text: "the model that is asked for",
    notes: ["default gpt-4o"],
    mustHaveText: true,
  }),
  retries: numberFlag({
    value: "N",
    text: "how often the gateway asks again by its own declaration",
    min: 0,
    max: RETRIES_MAX,
    isWhole: true,
    default: 0,
  }),
  pid: optionalFlag({
    value: "PID",
    text: "the gateway's process on this machine, whose memory is read",
    read: (value, name) => readNumber(value, name, { min: 1, max: PID_MAX, isWhole: true }),
  }),
  json: switchFlag({ text: "print the report as JSON" }),
  long: switchFlag({ text: "print limit and evidence of everything, not only of what failed" }),
  html: optionalFlag({
    value: "FILE",
    text: "write the report as a page",
    completes: "files",
    read: asText,
  }),
  junit: optionalFlag({
    value: "FILE",
    text: "write the report as JUnit XML",
    completes: "files",
    read: asText,
  }),
};

type AuditFlags = FlagValues<typeof FLAGS>;
/** What `URL.parse` makes: the types of Deno and Bun disagree on its name. */
type ParsedUrl = NonNullable<ReturnType<typeof URL.parse>>;

/** Audits a gateway. */
export const audit = defineCommand({
  name: "audit",
  summary: "find out what a gateway does to time, bytes, errors and headers",
  details:
    "weir is the client and the upstream. Tell the gateway that its upstream is http://127.0.0.1:PORT/v1, " +
    "with the port of --upstream-port or the one that is printed. Each finding has a limit, a number, the " +
    "bytes and times behind it, and a sentence on how to mend it. What this machine itself was too late for is void.",
  operands: {
    url: {
      name: "URL",
      text: `the gateway, http or https; without a path: ${CHAT_PATH}`,
      isOptional: true,
    },
  },
  flags: FLAGS,
  examples: [
    {
      line: "weir audit http://127.0.0.1:8080 --upstream-port 9000 --quick",
      text: "a gateway whose upstream is http://127.0.0.1:9000/v1",
    },
    {
      line: "weir audit --preset weir --only limits,fidelity --html audit.html",
      text: "weir itself, started for it; the report as a page, too",
    },
    {
      line: "weir audit http://127.0.0.1:8080 --upstream-port 9000 --gateway-key sk-1 --json",
      text: "a gateway that wants a key, the report as JSON",
    },
  ],
  exits: {
    [EXIT.done]: "every limit held",
    [EXIT.failed]: "one did not; or the gateway cannot be audited",
    [EXIT.doubtful]: "none failed, but something is void: this machine was too late",
    [EXIT.interrupted]: "interrupted by Ctrl-C; the report is of what was there until then",
  },
  async run({ flags, operands }, terminal) {
    if ((operands.url === undefined) === (flags.preset === undefined)) {
      throw new Failure("audit needs a URL, or --preset, and not both", EXIT.usage);
    }
    return await auditGateway(operands.url, flags, terminal);
  },
});

async function auditGateway(
  url: string | undefined,
  flags: AuditFlags,
  terminal: Terminal,
): Promise<number> {
  const given = url === undefined ? undefined : readUrl(url);
  if (flags.pid !== undefined && residentBytes(flags.pid) === undefined) {
    throw new Failure(`--pid: the memory of process ${flags.pid} cannot be read`);
  }
  const upstream = listen(flags);
  const abort = new AbortController();
  const interrupt = () => abort.abort(new Failure("Interrupted", EXIT.interrupted));
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  const echo = startEcho();
  const watch = new MachineWatch(() => performance.now(), echo);
  let preset: PresetGateway | undefined;
  try {
    if (flags.preset !== undefined) preset = await startPreset(flags.preset, upstream.port);
    const gatewayKey = flags.gatewayKey ?? preset?.gatewayKey;
    const pid = flags.pid ?? preset?.pid;
    const gateway = given ?? readUrl(preset!.url);
    const rig = new Rig({
      upstream,
      gateway: {
        ...targetOf(gateway, [...(preset?.headers ?? []), ...flags.header], gatewayKey),
        isInsecure: flags.insecure,
      },
      watch,
      model: flags.model ?? "gpt-4o",
      gatewayKey,
      retriesDeclared: Math.max(flags.retries, preset?.retriesDeclared ?? 0),
      silencesS: SILENCES_S,
      memoryBytes: pid === undefined ? undefined : () => residentBytes(pid),
      signal: abort.signal,
    });
    watch.start();
    const where = preset === undefined ? gateway.href : `${preset.title} (${gateway.href})`;
    terminal.complain(
      `The audit's upstream is http://${upstream.hostname}:${upstream.port}/v1; auditing ${where}`,
    );
    await waitForGateway(rig, flags, preset !== undefined, terminal);
    const report = await runAudit(rig, {
      gateway: where,
      checks: chosen(flags),
      onCheck: (check, findings) => terminal.complain(progressLine(check, findings)),
    });
    print(report, flags, terminal);
    return exitCode(report, flags);
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
    watch.stop();
    echo?.stop();
    upstream.close();
    await preset?.stop();
  }
}

/** @throws {Failure} when `text` is no URL that can be audited. */
function readUrl(text: string): ParsedUrl {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new Failure(`audit needs an http:// or https:// URL, not "${text}"`, EXIT.usage);
  }
  if (/^\/(?:v1\/?)?$/.test(url.pathname)) url.pathname = CHAT_PATH;
  return url;
}

function targetOf(
  url: ParsedUrl,
  headers: Target["fields"],
  gatewayKey: string | undefined,
): Target {
  const isTls = url.protocol === "https:";
  return {
    hostname: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port) || (isTls ? 443 : 80),
    isTls,
    path: url.pathname + url.search,
    fields: [
      ...(gatewayKey === undefined ? [] : [["authorization", `Bearer ${gatewayKey}`] as const]),
      ...headers,
    ],
  };
}

/** @throws {Failure} when nothing can listen there. */
function listen({ upstreamPort, upstreamHost = "127.0.0.1" }: AuditFlags): ScriptedUpstream {
  try {
    return ScriptedUpstream.listen(upstreamHost, upstreamPort);
  } catch (error) {
    const { code, message } = error as { readonly code?: string; readonly message: string };
    throw new Failure(
      `The audit's upstream cannot listen on ${upstreamHost}:${upstreamPort}: ${code ?? message}`,
    );
  }
}

/** @throws {Failure} when the gateway does not ask the upstream. */
async function waitForGateway(
  rig: Rig,
  flags: AuditFlags,
  isPreset: boolean,
  terminal: Terminal,
): Promise<void> {
  const waitS = flags.wait ?? (isPreset || flags.upstreamPort > 0 ? 0 : WAIT_S);
  const endMs = performance.now() + waitS * 1000;
  let said: string | undefined;
  for (;;) {
    const obstacle: Obstacle | undefined = await greet(rig);
    if (obstacle === undefined) return;
    if (!obstacle.mayPass || performance.now() >= endMs) throw new Failure(obstacle.text);
    if (obstacle.text !== said) terminal.complain(`${obstacle.text}. Waiting.`);
    said = obstacle.text;
    await rig.sleep(GREET_EVERY_MS);
  }
}

function chosen({ only, quick }: AuditFlags): readonly Check[] {
  const named = only.flat();
  if (named.length > 0) return CHECKS.filter((check) => named.includes(check));
  return CHECKS.filter(({ isSlow }) => !quick || !isSlow);
}

/** Reads "cancel,headers". */
function readChecks(text: string, flag: string): readonly Check[] {
  return text.split(",").map((word) => {
    const name = word.trim();
    const check = CHECKS.find((one) => one.name === name);
    if (check !== undefined) return check;
    const meant = nearest(name, CHECKS.map((one) => one.name));
    throw new Failure(
      `${flag}: there is no check "${name}".${
        meant === undefined ? "" : ` Did you mean ${meant}?`
      } It is one of ${CHECKS.map((one) => one.name).join(", ")}`,
      EXIT.usage,
    );
  });
}

function progressLine({ name }: Check, findings: AuditReport["findings"]): string {
  const bad = findings.filter(({ verdict }) => verdict === "fail" || verdict === "void");
  const text = bad.length === 0 ? "ok" : bad.map((one) => `${one.verdict} ${one.name}`).join(", ");
  return `${name}: ${text}`;
}

function print(report: AuditReport, { json, long, html, junit }: AuditFlags, terminal: Terminal) {
  if (json) terminal.print(JSON.stringify(report, null, 2));
  else for (const line of reportLines(report, long)) terminal.print(line);
  if (html !== undefined) writeOver(html, htmlReport(report));
  if (junit !== undefined) writeOver(junit, junitReport(report));
}

function exitCode({ counts, isInterrupted }: AuditReport, { failOn }: AuditFlags): number {
  if (isInterrupted) return EXIT.interrupted;
  if (failOn === "never") return EXIT.done;
  const failed = counts.fail + (failOn === "note" ? counts.note : 0);
  if (failed > 0) return EXIT.failed;
  return counts.void > 0 ? EXIT.doubtful : EXIT.done;
}
