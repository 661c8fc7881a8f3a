/**
 * What an audit says of a gateway: one finding for each thing that was tried.
 *
 * @module
 */

import { counted } from "../../lib/counted.ts";

/**
 * `pass`: the limit held. `fail`: it did not. `note`: no failure, but whoever runs the gateway should
 * know. `void`: nothing can be said, since this machine was too late itself or the test could not run.
 */
export type Verdict = "pass" | "fail" | "note" | "void";

/** The verdicts, the worst first. */
export const VERDICTS: readonly Verdict[] = ["fail", "void", "note", "pass"];

/** The least that makes an audit fail. */
export const FAIL_ON = ["fail", "note", "never"] as const;
export type FailOn = typeof FAIL_ON[number];

/** True when `verdict` makes the audit fail. */
export function countsAsFailure(verdict: Verdict, failOn: FailOn): boolean {
  return failOn !== "never" && (verdict === "fail" || verdict === failOn);
}

/** What a canary begins with: whatever has it is no secret. */
export const CANARY = "weircanary";

/** One row of the report. */
export interface Finding {
  /** The check it belongs to, "cancel". */
  readonly check: string;
  /** "cancel/mid-stream-fin"; the check's own name when it has one finding only. */
  readonly name: string;
  readonly verdict: Verdict;
  /** What must hold, in words: "p50 at most 1 ms, p99 at most 5 ms". */
  readonly limit: string;
  /** What was found, in words. */
  readonly measured: string;
  /** The same without the gateway; undefined where there is nothing to compare. */
  readonly direct?: string | undefined;
  /** The number that was judged; undefined where none was. */
  readonly value?: number | undefined;
  /** Of `value`: "ms", "attempts", "bytes". */
  readonly unit?: string | undefined;
  /** The rawest that there is: bytes as they came, times. A line each. */
  readonly evidence: readonly string[];
  /** One sentence: how the gateway is mended. Empty for what passed. */
  readonly mend: string;
  /** The same as a setting of programs that have one, by the program's name. */
  readonly settings?: Settings | undefined;
}

/** Gateways and what they are made with, whose settings are known. */
export const PROGRAMS = ["nginx", "haproxy", "Envoy", "Caddy", "Traefik", "Node"] as const;

/** What to set in a program. */
export type Settings = Readonly<Partial<Record<typeof PROGRAMS[number], string>>>;

/** Lines of evidence that a report for people shows, and characters of each. */
const SHOWN_LINES_MAX = 12;
const SHOWN_CHARS_MAX = 200;

/** Evidence as people read it: the JSON has all of it. */
export function shownEvidence({ evidence }: Finding): readonly string[] {
  const rest = evidence.length - SHOWN_LINES_MAX;
  return [
    ...evidence.slice(0, SHOWN_LINES_MAX).map((line) =>
      line.length > SHOWN_CHARS_MAX ? `${line.slice(0, SHOWN_CHARS_MAX)}…` : line
    ),
    ...(rest > 0 ? [`… and ${counted(rest, "line")} more in the JSON`] : []),
  ];
}

/** Settings as a line each. */
export function settingLines({ settings = {} }: Finding): readonly string[] {
  return PROGRAMS.flatMap((program) => {
    const text = settings[program];
    return text === undefined ? [] : [`${program}: ${text}`];
  });
}

/** How many findings have each verdict. */
export function countVerdicts(findings: readonly Finding[]): Readonly<Record<Verdict, number>> {
  const counts = { pass: 0, fail: 0, note: 0, void: 0 };
  for (const { verdict } of findings) counts[verdict]++;
  return counts;
}
