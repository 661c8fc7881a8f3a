/**
 * An audit of a gateway of gateway.ts, in this process.
 *
 * @module
 */

import { type AuditReport, runAudit } from "../../../src/load/audit/audit.ts";
import { MachineWatch } from "../../../src/load/audit/machine_watch.ts";
import type { Target } from "../../../src/load/audit/probe_client.ts";
import { Rig, type RigOptions } from "../../../src/load/audit/rig.ts";
import { ScriptedUpstream } from "../../../src/load/audit/scripted_upstream.ts";
import { CHECKS } from "../../../src/load/audit/table.ts";
import { type Planted, startGateway } from "./gateway.ts";

/** What differs from a usual rig. */
export type RigChanges = Partial<Omit<RigOptions, "upstream" | "watch" | "gateway">> & {
  readonly fields?: Target["fields"];
};

/** A rig in front of a gateway on `port`; undefined: a new upstream. */
export function rigFor(
  upstream: ScriptedUpstream,
  port: number,
  { fields = [], ...changes }: RigChanges = {},
): Rig {
  const watch = new MachineWatch(() => performance.now());
  watch.start();
  return new Rig({
    upstream,
    gateway: { hostname: "127.0.0.1", port, isTls: false, path: "/v1/chat/completions", fields },
    watch,
    model: "gpt-4o",
    gatewayKey: undefined,
    retriesDeclared: 0,
    silencesS: [1],
    memoryBytes: undefined,
    signal: new AbortController().signal,
    ...changes,
  });
}

/** Runs the checks of these names on a gateway with a planted fault. */
export async function auditPlanted(
  planted: Planted,
  names: readonly string[],
  changes?: RigChanges,
  againMax?: number,
): Promise<AuditReport> {
  const upstream = ScriptedUpstream.listen("127.0.0.1", 0);
  const gateway = startGateway(planted, upstream.port);
  const rig = rigFor(upstream, gateway.port, changes);
  try {
    return await runAudit(rig, {
      gateway: planted,
      checks: CHECKS.filter(({ name }) => names.includes(name)),
      againMax,
      onCheck: () => {},
    });
  } finally {
    rig.watch.stop();
    gateway.stop();
    upstream.close();
  }
}

/** The names of what failed. */
export function failedIn({ findings }: AuditReport): readonly string[] {
  return findings.filter(({ verdict }) => verdict === "fail").map(({ name }) => name);
}
