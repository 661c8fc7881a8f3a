/**
 * `weir audit URL`: is this gateway honest? weir is client and upstream at once, on one clock, and
 * tells what the gateway between them makes of time, bytes, errors and headers.
 *
 * @module
 */

import { randomInt } from "node:crypto";
import { masker } from "../lib/mask.ts";
import { nearest } from "../lib/nearest.ts";
import { basicOf, shownUrl } from "../lib/userinfo.ts";
import { type AuditPlan, type AuditReport, emptyReport, runAudit } from "../load/audit/audit.ts";
import { CANARY, FAIL_ON } from "../load/audit/finding.ts";
import { greet, type Obstacle } from "../load/audit/greeting.ts";
import { MachineWatch } from "../load/audit/machine_watch.ts";
import { Ledger } from "../load/audit/ledger.ts";
import { formsOf } from "../load/audit/own_keys.ts";
import { codingsOf, DECODED, type Target } from "../load/audit/probe_client.ts";
import { htmlReport } from "../load/audit/report_html.ts";
import { jsonReport } from "../load/audit/report_json.ts";
import { junitReport } from "../load/audit/report_junit.ts";
import { reportLines } from "../load/audit/report_terminal.ts";
import { type Check, Rig, SEED_MAX } from "../load/audit/rig.ts";
import { ScriptedUpstream } from "../load/audit/scripted_upstream.ts";
import { CHECKS } from "../load/audit/table.ts";
import { startEcho } from "./audit_echo.ts";
import { type PresetGateway, PRESETS, startPreset } from "./audit_presets.ts";
import { AuditProgress } from "./audit_progress.ts";
import { defineCommand } from "./command.ts";
import {
  asText,
  choiceFlag,
  type FlagValues,
  headerReader,
  type HeaderRefusal,
  listFlag,
  numberFlag,
  oneOf,
  optionalFlag,
  readChoice,
  readNumber,
  switchFlag,
  textFlag,
} from "./flags.ts";
import { failuresOf, holdDescriptors, leavesReport, writeEach } from "./outputs.ts";
import { residentBytes } from "./process_memory.ts";
import { headerSecrets, urlSecrets, worthHiding } from "./shown_secrets.ts";
import { onEnding } from "./signals.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";
import { type LineFile, lineFile } from "./whole_files.ts";

/** Asked of a URL that names no path, or only the version. */
const CHAT_PATH = "/v1/chat/completions";
/** Seconds of silence that a stream is tried with. */
const SILENCES_S = [15, 30, 65, 130] as const;
/** The same with `--quick`: nothing is cut so soon, but a comment that is swallowed is missing. */
const QUICK_SILENCES_S = [3] as const;
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
  quick: switchFlag({ text: "silences of 3 s in place of those of 15 to 130 s" }),
  failOn: choiceFlag({
    value: "VERDICT",
    text: "the least that makes the audit fail",
    choices: FAIL_ON,
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
    read: headerReader("an audit", refusalOf),
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
    text: "write the report as a page; - prints it",
    completes: "files",
    read: asText,
  }),
  junit: optionalFlag({
    value: "FILE",
    text: "write the report as JUnit XML; - prints it",
    completes: "files",
    read: asText,
  }),
  ledger: optionalFlag({
    value: "FILE",
    text: "write who wrote and read which bytes, and when, as JSON lines",
    completes: "files",
    read: asText,
  }),
  seed: optionalFlag({
    value: "N",
    text: "what marks and canaries are drawn from",
    notes: [`0 to ${SEED_MAX}`, "default any"],
    read: (value, name) => readNumber(value, name, { min: 0, max: SEED_MAX, isWhole: true }),
  }),
};

/** An audit says itself how its connections are kept, and what its bodies are. */
const OWN = /^(?:connection|keep-alive|proxy-connection|content-encoding)$/i;

function refusalOf(...[name, value]: Parameters<HeaderRefusal>): string | undefined {
  if (OWN.test(name)) return "an audit says that itself, and tries what a gateway makes of it";
  if (name.toLowerCase() !== "accept-encoding") return undefined;
  const strange = codingsOf(value).find((coding) => !DECODED.includes(coding));
  return strange && `an audit cannot read ${strange}, but ${oneOf(DECODED)}`;
}

type AuditFlags = FlagValues<typeof FLAGS>;
/** `hasReport`: standard output is the report's. */
type CheckedFlags = AuditFlags & { readonly hasReport: boolean };
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
    [EXIT.failed]: "one did not, or a file could not be written",
    [EXIT.doubtful]:
      "none failed, but something is void, as this machine was too late; or the gateway cannot be audited",
    [EXIT.interrupted]: "interrupted by Ctrl-C; the report is of what was there until then",
  },
  async run({ flags, operands }, terminal) {
    if ((operands.url === undefined) === (flags.preset === undefined)) {
      throw new Failure("audit needs a URL, or --preset, and not both", EXIT.usage);
    }
    const given = operands.url === undefined ? undefined : readUrl(operands.url);
    const clash = CONFLICTS.find(([, holds]) => holds(flags, given));
    if (clash !== undefined) throw new Failure(clash[0], EXIT.usage);
    const { json: isJson, html, junit, ledger } = flags;
    const hasReport = leavesReport({
      isJson,
      whole: { html, junit },
      growing: ["ledger", ledger, "audit"],
    });
    return await auditGateway(given, { ...flags, hasReport }, terminal);
  },
});

/** What does not go together, and when. */
const CONFLICTS: readonly (readonly [
  says: string,
  holds: (flags: AuditFlags, url: ParsedUrl | undefined) => boolean,
])[] = [
  [
    "--pid is of a gateway that runs already: --preset starts one, and knows its process",
    ({ pid, preset }) => pid !== undefined && preset !== undefined,
  ],
  [
    "--pid is for back-pressure, which --only leaves out",
    ({ pid, only }) => pid !== undefined && only.length > 0 && !isChosen("back-pressure", only),
  ],
  [
    "--insecure is about certificates, which only an https:// gateway has",
    ({ insecure }, url) => insecure && url?.protocol !== "https:",
  ],
  [
    "--long is for the report on the terminal, which --json, --html - and --junit - replace",
    ({ long, json, html, junit }) => long && (json || html === "-" || junit === "-"),
  ],
  [
    "--quick shortens the check silence, which --only leaves out",
    ({ quick, only }) => quick && only.length > 0 && !isChosen("silence", only),
  ],
  [
    "A request has one authorization: give the user in the URL, --gateway-key or --header authorization",
    ({ gatewayKey, header }, url) =>
      [
        url !== undefined && basicOf(url.href) !== "",
        gatewayKey !== undefined,
        header.some(([name]) => name.toLowerCase() === "authorization"),
      ].filter((isGiven) => isGiven).length > 1,
  ],
];

function isChosen(name: string, only: AuditFlags["only"]): boolean {
  return only.flat().some((check) => check.name === name);
}

async function auditGateway(
  given: ParsedUrl | undefined,
  flags: CheckedFlags,
  terminal: Terminal,
): Promise<number> {
  const abort = new AbortController();
  const interrupt = () => abort.abort(new Failure("Interrupted", EXIT.interrupted));
  onEnding(interrupt);
  const run = new AuditRun(given, flags, abort.signal, terminal);
  try {
    return await run.run();
  } catch (error) {
    // Nothing was found out of the gateway: that is no failure of its own.
    if (!(error instanceof Failure) || error.exitCode === EXIT.usage) throw error;
    const text = run.clean(error.message);
    const isWritten = run.tell(run.emptyReport(text), true);
    const isFailure = error.exitCode === EXIT.failed;
    throw new Failure(text, isFailure && isWritten ? EXIT.doubtful : error.exitCode);
  } finally {
    await run.stop();
  }
}

/** One audit, and what has to be stopped behind it. */
class AuditRun {
  readonly #given: ParsedUrl | undefined;
  readonly #flags: CheckedFlags;
  readonly #signal: AbortSignal;
  readonly #terminal: Terminal;
  readonly #seed: number;
  readonly #stops: (() => void | Promise<void>)[] = [];
  /** As messages call the gateway. */
  #where: string;
  #lines: LineFile | undefined;
  readonly #freeDescriptors = holdDescriptors();
  /** Takes secrets out of a text. */
  readonly clean: (text: string) => string;

  constructor(
    given: ParsedUrl | undefined,
    flags: CheckedFlags,
    signal: AbortSignal,
    terminal: Terminal,
  ) {
    this.#given = given;
    this.#flags = flags;
    this.#signal = signal;
    this.#terminal = terminal;
    this.#seed = flags.seed ?? randomInt(SEED_MAX);
    this.#where = given === undefined ? flags.preset! : placeOf(given);
    this.clean = cleaner(given, flags);
  }

  /**
   * Audits, and gives the exit code.
   *
   * @throws {Failure} when the gateway cannot be audited.
   */
  async run(): Promise<number> {
    const flags = this.#flags;
    if (flags.pid !== undefined && residentBytes(flags.pid) === undefined) {
      throw new Failure(`--pid: the memory of process ${flags.pid} cannot be read`);
    }
    const upstream = listen(flags);
    this.#stops.push(() => upstream.close());
    const echo = startEcho();
    const watch = new MachineWatch(() => performance.now(), echo);
    this.#stops.push(() => watch.stop(), () => echo?.stop());
    let preset: PresetGateway | undefined;
    if (flags.preset !== undefined) {
      preset = await startPreset(flags.preset, upstream.port);
      this.#stops.push(preset.stop);
    }
    const gateway = this.#given ?? readUrl(preset!.url);
    if (preset !== undefined) this.#where = `${preset.title} (${placeOf(gateway)})`;
    const lines = this.#lines = flags.ledger === undefined ? undefined : lineFile(flags.ledger);
    const ledger = lines && new Ledger({ write: (line) => lines.write(line), clean: this.clean });
    const rig = this.#rig(upstream, watch, gateway, preset, ledger);
    ledger?.begin(this.#where, rig.seed, upstream);
    watch.start();
    this.#terminal.complain(
      `The audit's upstream is http://${upstream.hostname}:${upstream.port}/v1; auditing ${this.#where}`,
    );
    await waitForGateway(rig, flags, preset !== undefined, this.#terminal, this.clean);
    const plan = this.#plan();
    const progress = new AuditProgress(plan.checks.length, this.#terminal, flags.failOn);
    this.#stops.push(() => progress.stop());
    const report = await runAudit(rig, {
      ...plan,
      onStart: (check) => progress.started(check.name),
      onCheck: (check, findings) => progress.ended(check.name, findings),
    });
    progress.stop();
    ledger?.end();
    const isWritten = this.tell(report);
    return isWritten || report.isInterrupted ? exitCode(report) : EXIT.failed;
  }

  /**
   * Tells what was found in each form that was asked for, and says what could not be written: nothing
   * else is lost with it. True when all could be. `isSaid`: what there is to say is said elsewhere.
   */
  tell(report: AuditReport, isSaid = false): boolean {
    const { json, long, html, junit, hasReport } = this.#flags;
    if (json) this.#terminal.print(jsonReport(report));
    else if (hasReport && !isSaid) {
      for (const line of reportLines(report, long)) this.#terminal.print(line);
    }
    this.#freeDescriptors();
    const unwritten = [
      ...failuresOf(() => this.#lines?.close()),
      ...writeEach(
        [[html, () => htmlReport(report)], [junit, () => junitReport(report)]],
        this.#terminal,
      ),
    ];
    for (const { message } of unwritten) this.#terminal.complain(`weir: ${message}`);
    return unwritten.length === 0;
  }

  /** The report of a gateway that cannot be audited. */
  emptyReport(error: string): AuditReport {
    return emptyReport(
      { seed: this.#seed, isInterrupted: this.#signal.aborted },
      this.#plan(),
      error,
    );
  }

  /** Ends what was started. */
  async stop(): Promise<void> {
    for (const stop of this.#stops.splice(0).reverse()) await stop();
  }

  #plan(): AuditPlan {
    return {
      gateway: this.#where,
      checks: chosen(this.#flags),
      failOn: this.#flags.failOn,
      onCheck: () => {},
      clean: this.clean,
    };
  }

  #rig(
    upstream: ScriptedUpstream,
    watch: MachineWatch,
    gateway: ParsedUrl,
    preset: PresetGateway | undefined,
    ledger: Ledger | undefined,
  ): Rig {
    const flags = this.#flags;
    const gatewayKey = flags.gatewayKey ?? preset?.gatewayKey;
    const pid = flags.pid ?? preset?.pid;
    return new Rig({
      upstream,
      gateway: {
        ...targetOf(gateway, [...(preset?.headers ?? []), ...flags.header], gatewayKey),
        isInsecure: flags.insecure,
      },
      watch,
      model: flags.model ?? "gpt-4o",
      gatewayKey,
      retriesDeclared: Math.max(flags.retries, preset?.retriesDeclared ?? 0),
      silencesS: flags.quick ? QUICK_SILENCES_S : SILENCES_S,
      memoryBytes: pid === undefined ? undefined : () => residentBytes(pid),
      signal: this.#signal,
      seed: this.#seed,
      ledger,
    });
  }
}

/** Keys that a gateway has of its own look like this; canaries do so too, and are none. */
const KEY_LIKE = /(Bearer\s+|\bsk-)([\w.~+/=*-]{4,})/gi;

/** Takes what was given on the command line and is nobody's business out of a text, and what looks like a key. */
function cleaner(given: ParsedUrl | undefined, flags: AuditFlags): (text: string) => string {
  const secrets = worthHiding([
    ...(given === undefined ? [] : urlSecrets(given.href)),
    ...(flags.gatewayKey === undefined ? [] : [flags.gatewayKey]),
    ...headerSecrets(flags.header),
  ]);
  // As a gateway may have written them anew, and as the bytes of UTF-8, too.
  const mask = masker(secrets.flatMap((secret) => [
    ...formsOf(secret),
    Buffer.from(secret).toString("latin1"),
  ]));
  return (text) =>
    mask(
      text.replace(KEY_LIKE, (all, word: string, key: string) =>
        key.includes(CANARY) ? all : `${word}***`),
    );
}

/** A gateway as reports call it. */
function placeOf({ href, pathname, search, origin }: ParsedUrl): string {
  return pathname === "/" && search === "" ? origin : shownUrl(href);
}

/** @throws {Failure} when `text` is no URL that can be audited. */
function readUrl(text: string): ParsedUrl {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new Failure(
      `audit needs an http:// or https:// URL, not "${shownUrl(text)}"`,
      EXIT.usage,
    );
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
  const basic = basicOf(url.href);
  return {
    hostname: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port) || (isTls ? 443 : 80),
    isTls,
    path: url.pathname + url.search,
    fields: [
      ...(basic === "" ? [] : [["authorization", basic] as const]),
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
  clean: (text: string) => string,
): Promise<void> {
  const waitS = flags.wait ?? (isPreset || flags.upstreamPort > 0 ? 0 : WAIT_S);
  const endMs = performance.now() + waitS * 1000;
  let said: string | undefined;
  for (;;) {
    const obstacle: Obstacle | undefined = await greet(rig);
    if (obstacle === undefined) return;
    if (!obstacle.mayPass || performance.now() >= endMs) throw new Failure(obstacle.text);
    if (obstacle.text !== said) {
      const leftS = Math.ceil((endMs - performance.now()) / 1000);
      terminal.complain(`${clean(obstacle.text)}. Waiting, for ${leftS} s at most.`);
    }
    said = obstacle.text;
    await rig.sleep(GREET_EVERY_MS);
  }
}

function chosen({ only }: AuditFlags): readonly Check[] {
  return only.length === 0 ? CHECKS : CHECKS.filter(({ name }) => isChosen(name, only));
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

function exitCode({ counts, isInterrupted, isFailed, failOn }: AuditReport): number {
  if (isInterrupted) return EXIT.interrupted;
  if (isFailed) return EXIT.failed;
  return counts.void > 0 && failOn !== "never" ? EXIT.doubtful : EXIT.done;
}
