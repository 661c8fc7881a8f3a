/**
 * An audit: runs the table on a gateway and gives what was found.
 *
 * @module
 */

import {
  countsAsFailure,
  countVerdicts,
  type FailOn,
  type Finding,
  type Verdict,
  VERDICTS,
} from "./finding.ts";
import { type Check, ENDS, finding, type Rig, Unended } from "./rig.ts";
import { settingsFor } from "./settings.ts";
import { CHECKS } from "./table.ts";

/** A whole report. */
export interface AuditReport {
  /** Of what this has; grows when a member's meaning changes. */
  readonly schema: 1;
  readonly gateway: string;
  /** Why the gateway cannot be audited; null = it was. */
  readonly error: string | null;
  /** What marks and canaries were drawn from. */
  readonly seed: number;
  readonly startedAt: string;
  readonly seconds: number;
  /** True when it was interrupted: what is not there was not tried. */
  readonly isInterrupted: boolean;
  /** The least that makes the audit fail, as it was asked for. */
  readonly failOn: FailOn;
  /** True when something was found that does. */
  readonly isFailed: boolean;
  readonly counts: Readonly<Record<Verdict, number>>;
  /** By how much the machine was late at the worst while the audit ran, in milliseconds. */
  readonly machineLateMsMax: number;
  readonly checks: readonly CheckFacts[];
  readonly findings: readonly Finding[];
}

/** A check that was chosen. */
export interface CheckFacts {
  readonly name: string;
  readonly title: string;
  /** How long it took; null = it was not run to its end. */
  readonly seconds: number | null;
}

/** A check with something void is run again so often: the machine may have been busy just then. */
const AGAIN_MAX = 2;

/** What is run, and who is told of it. */
export interface AuditPlan {
  /** As reports call the gateway. */
  readonly gateway: string;
  readonly checks: readonly Check[];
  /** Called for each check that begins. */
  readonly onStart?: (check: Check) => void;
  /** The least that makes the audit fail; "fail" unless given. */
  readonly failOn?: FailOn;
  /** How often a check with something void is run again; twice unless given. */
  readonly againMax?: number | undefined;
  /** Called for each check that is over. */
  readonly onCheck: (check: Check, findings: readonly Finding[]) => void;
  /** Takes secrets out of a text that goes into the report. */
  readonly clean?: (text: string) => string;
}

/** The report of a gateway that cannot be audited, and why. */
export function emptyReport(
  { seed, isInterrupted }: Pick<AuditReport, "seed" | "isInterrupted">,
  { gateway, checks, failOn = "fail", clean = (text) => text }: AuditPlan,
  error: string,
): AuditReport {
  return {
    schema: 1,
    gateway,
    error: clean(error),
    seed,
    startedAt: new Date().toISOString(),
    seconds: 0,
    isInterrupted,
    failOn,
    isFailed: false,
    counts: countVerdicts([]),
    machineLateMsMax: 0,
    checks: checks.map(({ name, title }) => ({ name, title, seconds: null })),
    findings: [],
  };
}

/**
 * Runs all of `plan` on `rig`; what takes minutes of waiting runs beside the others. An abort of the
 * rig's signal ends it, and the report has what was found until then.
 */
export async function runAudit(rig: Rig, plan: AuditPlan): Promise<AuditReport> {
  const startedAt = new Date().toISOString();
  const startMs = performance.now();
  const found = new Map<Check, readonly Finding[]>();
  const tookS = new Map<Check, number>();
  const { clean = (text: string) => text, failOn = "fail" } = plan;
  const { ledger } = rig.options;
  const runOne = async (check: Check) => {
    plan.onStart?.(check);
    const beganMs = performance.now();
    await (ledger?.during(check.name, () => judge(check)) ?? judge(check));
    if (found.has(check)) tookS.set(check, tenths(performance.now() - beganMs));
  };
  const judge = async (check: Check) => {
    let findings = await tried(rig, check);
    const againMax = Math.min(plan.againMax ?? AGAIN_MAX, check.againMax ?? AGAIN_MAX);
    for (let again = 0; again < againMax && !check.isSlow && isUnsettled(findings); again++) {
      findings = await tried(rig, check);
    }
    if (findings.length === 0) return; // interrupted
    found.set(check, findings);
    plan.onCheck(check, findings);
  };
  const waiting = plan.checks.filter(({ isSlow }) => isSlow).map(runOne);
  for (const check of plan.checks.filter(({ isSlow }) => !isSlow)) await runOne(check);
  await Promise.all(waiting);
  for (const check of plan.checks) {
    const { name, title, after } = check;
    if (after === undefined) continue;
    plan.onStart?.(check);
    const beganMs = performance.now();
    const run = () => tried(rig, { name, title, run: after });
    const findings = await (ledger?.during(name, run) ?? run());
    found.set(check, [...found.get(check) ?? [], ...findings]);
    tookS.set(check, tenths(performance.now() - beganMs + 1000 * (tookS.get(check) ?? 0)));
    plan.onCheck(check, findings);
  }
  const added: Check[] = [];
  for (const check of CHECKS) {
    const isTold = found.has(check);
    const judged = (check.overall?.(rig) ?? [])
      .filter(({ verdict }) => isTold || verdict !== "pass");
    if (judged.length === 0) continue;
    found.set(check, [...found.get(check) ?? [], ...judged]);
    plan.onCheck(check, judged);
    if (!plan.checks.includes(check)) added.push(check);
  }
  const checks = [...plan.checks, ...added];
  const findings = checks.flatMap((check) => found.get(check) ?? [])
    .map((one) => cleaned(one, (text) => clean(rig.keys.hide(text))))
    .map((one) => ({ ...one, settings: settingsFor(one) }));
  return {
    schema: 1,
    gateway: plan.gateway,
    error: null,
    seed: rig.seed,
    startedAt,
    seconds: tenths(performance.now() - startMs),
    isInterrupted: rig.options.signal.aborted,
    failOn,
    isFailed: findings.some(({ verdict }) => countsAsFailure(verdict, failOn)),
    counts: countVerdicts(findings),
    machineLateMsMax: Math.round(rig.watch.worst(startMs, performance.now()) * 100) / 100,
    checks: checks.map((check) => ({
      name: check.name,
      title: check.title,
      seconds: tookS.get(check) ?? null,
    })),
    findings,
  };
}

/** Milliseconds as seconds, a tenth of one exactly. */
function tenths(timeMs: number): number {
  return Math.round(timeMs / 100) / 10;
}

function cleaned(one: Finding, clean: (text: string) => string): Finding {
  return {
    ...one,
    measured: clean(one.measured),
    direct: one.direct === undefined ? undefined : clean(one.direct),
    evidence: one.evidence.map(clean),
  };
}

/** Something is void, and may not be next time. What does not end takes as long again. */
function isUnsettled(findings: readonly Finding[]): boolean {
  return findings.some(({ verdict }) => verdict === "void") &&
    !findings.some(({ check, name }) => name === `${check}/${ENDS}`);
}

/** A check that cannot be run, since the gateway has gone away, is void: it says so. */
async function tried(rig: Rig, check: Check): Promise<readonly Finding[]> {
  const { signal } = rig.options;
  if (signal.aborted) return [];
  try {
    return await rig.during(check.name, async () => {
      const findings = await check.run(rig);
      const isBad = findings.some(({ verdict }) => verdict === "fail");
      return isBad ? findings : [...findings, ...rig.endFindings()];
    });
  } catch (error) {
    if (signal.aborted) return [];
    if (error instanceof Unended) return error.findings(check.name);
    return [finding(check.name, {
      verdict: "void",
      limit: "the check can be run",
      measured: `it broke off: ${(error as Error).message}`,
      mend: "See whether the gateway still runs.",
    })];
  }
}

/** The findings of a report, the worst first, otherwise in their order. */
export function worstFirst({ findings }: AuditReport): readonly Finding[] {
  return VERDICTS.flatMap((verdict) => findings.filter((one) => one.verdict === verdict));
}
