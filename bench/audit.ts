/**
 * How far `weir audit` can be trusted: a plain relay of bytes is audited many times, of which nothing
 * may fail, and every gateway with a planted fault once, of which the fault must be found. Each
 * gateway is a process of its own. `bun bench/audit.ts [RUNS]`, 20 runs of the relay unless said
 * otherwise, some 40 s each; at the end what came of it, as lines.
 *
 * @module
 */

import { join } from "node:path";
import type { AuditReport } from "../src/load/audit/audit.ts";
import { PLANTED, type Planted } from "../test/load/audit/gateway.ts";

const ROOT = join(import.meta.dir, "..");
const RUNS = 20;

/** Which finding tells of which fault; silences are tried in full runs only. */
const FINDINGS: Readonly<Partial<Record<Planted, string>>> = {
  "first-chunk-hold": "first-byte",
  merge: "coalescing",
  "lost-byte": "bytes/plain",
  renumber: "bytes/numbers",
  "no-cancel": "cancel/mid-stream-fin",
  "three-retries": "retries/503",
  "done-after-cut": "truncation/cut-mid",
  "leaked-header": "headers/hop-up",
  "no-comments": "silence/15s-comments",
  unbounded: "back-pressure/taken",
  mixes: "isolation/at-once",
  twice: "isolation/once",
};

const runs = Number(process.argv[2] ?? RUNS);
let withFailure = 0;
let withVoid = 0;
for (let run = 1; run <= runs; run++) {
  const { counts, findings, machineLateMsMax } = await auditPlanted("relay", ["--quick"]);
  if (counts.fail > 0) withFailure++;
  if (counts.void > 0) withVoid++;
  const bad = findings.filter(({ verdict }) => verdict === "fail" || verdict === "void")
    .map(({ name, verdict }) => `${verdict} ${name}`);
  say(`relay ${run}: ${bad.join(", ") || "nothing"}; the machine ${machineLateMsMax} ms late`);
}
let found = 0;
let planted = 0;
for (const name of PLANTED) {
  const finding = FINDINGS[name];
  if (finding === undefined) continue;
  planted++;
  const report = await auditPlanted(name, ["--only", finding.split("/")[0]!]);
  const one = report.findings.find((told) => told.name === finding);
  if (one?.verdict === "fail") found++;
  say(`${name}: ${one?.verdict} ${finding}: ${one?.measured}`);
}
say(`${withFailure} of ${runs} relays with a failure, ${withVoid} with something void`);
say(`${found} of ${planted} planted faults found`);

async function auditPlanted(name: Planted, words: readonly string[]): Promise<AuditReport> {
  const upstreamPort = freePort();
  const gateway = Bun.spawn([
    process.execPath,
    "--no-env-file",
    join(ROOT, "test/load/audit/gateway.ts"),
    name,
    String(upstreamPort),
  ], { stdout: "pipe" });
  try {
    // The audit takes --pid only where back-pressure is tried.
    const measuresMemory = !words.includes("--only") || words.includes("back-pressure");
    const port = await firstLine(gateway.stdout);
    const audit = Bun.spawn([
      process.execPath,
      "--no-env-file",
      join(ROOT, "main.ts"),
      "audit",
      `http://127.0.0.1:${port}`,
      "--upstream-port",
      String(upstreamPort),
      ...(measuresMemory ? ["--pid", String(gateway.pid)] : []),
      "--json",
      ...words,
    ], { stdout: "pipe", stderr: "ignore" });
    return JSON.parse(await new Response(audit.stdout).text()) as AuditReport;
  } finally {
    gateway.kill();
    await gateway.exited;
  }
}

async function firstLine(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  for await (const text of stream.pipeThrough(new TextDecoderStream())) return text.trim();
  throw new Error("The gateway said nothing");
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
