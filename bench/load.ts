/**
 * Whole answers as fast as they come: wrk for the server's ceiling, autocannon for everybody.
 *
 * @module
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pinnedTo, programPath } from "./machine.ts";

/** Bytes per answer may be off by this share: requests that are cut off at the end of a run. */
const BYTES_TOLERANCE = 0.03;
/** Requests before which the bytes per answer say nothing. */
const REQUESTS_MIN = 200;

/** What is asked, over and over. */
export interface Load {
  readonly url: string;
  /** Undefined: a GET. */
  readonly body: string | undefined;
  /** What is sent besides what HTTP and a JSON body need. */
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly seconds: number;
  /** Bytes of one whole answer, head and body: what proves that the answers were whole. */
  readonly answerBytes: number;
  /** Bytes that the framing of an answer may add: it comes in more pieces under load. */
  readonly framingBytes: number;
  /** The cores that the load generator runs on. */
  readonly cores: readonly number[];
}

/** What one run of a load generator found. */
export interface LoadResult {
  readonly tool: Tool;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly requests: number;
  /** Processor time of the load generator, in microseconds. */
  readonly clientCpuUs: number;
}

/** Programs that make load. */
export type Tool = "wrk" | "autocannon";

/** The tools that are there, the one with the higher ceiling first. */
export function tools(): readonly Tool[] {
  return programPath("wrk") === undefined ? ["autocannon"] : ["wrk", "autocannon"];
}

/**
 * Runs `tool`.
 *
 * @throws {Error} when anything but whole answers of status 200 came: such a run has no speed.
 */
export function runLoad(tool: Tool, load: Load): Promise<LoadResult> {
  return tool === "wrk" ? runWrk(load) : runAutocannon(load);
}

interface WrkSummary {
  readonly requests: number;
  readonly bytes: number;
  readonly durationUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly errors: Readonly<Record<string, number>>;
}

/** Prints what `done()` is given as one line of JSON. */
const WRK_DONE = `
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'WEIR {"requests":%d,"bytes":%d,"durationUs":%d,"p50Us":%d,"p99Us":%d,' ..
    '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(50),
    latency:percentile(99), e.connect, e.read, e.write, e.status, e.timeout))
end
`;

/** The request as lines of Lua. */
function wrkRequest({ body, headers }: Load): string {
  const all = Object.entries(
    body === undefined ? headers : { "content-type": "application/json", ...headers },
  ).map(([name, value]) => `wrk.headers["${name}"] = [==[${value}]==]`);
  const post = body === undefined ? [] : [`wrk.method = "POST"`, `wrk.body = [==[${body}]==]`];
  return [...post, ...all].join("\n");
}

async function runWrk(load: Load): Promise<LoadResult> {
  const folder = mkdtempSync(join(tmpdir(), "weir-bench-"));
  try {
    const script = join(folder, "load.lua");
    writeFileSync(script, `${wrkRequest(load)}\n${WRK_DONE}`);
    const { output, cpuUs } = await run(load.cores, [
      programPath("wrk")!,
      "-t1",
      `-c${load.connections}`,
      `-d${load.seconds}s`,
      "--timeout=30s",
      "-s",
      script,
      load.url,
    ]);
    const line = output.split("\n").find((text) => text.startsWith("WEIR "));
    if (line === undefined) throw new Error(`wrk said nothing to count: ${output}`);
    const found = JSON.parse(line.slice(5)) as WrkSummary;
    refuse("wrk", found.errors);
    checkBytes("wrk", found.bytes, found.requests, load);
    return {
      tool: "wrk",
      requestsPerSecond: (1e6 * found.requests) / found.durationUs,
      p50Ms: found.p50Us / 1000,
      p99Ms: found.p99Us / 1000,
      requests: found.requests,
      clientCpuUs: cpuUs,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface AutocannonSummary {
  readonly errors: number;
  readonly timeouts: number;
  readonly mismatches: number;
  readonly resets: number;
  readonly duration: number;
  readonly statusCodeStats: Readonly<Record<string, { readonly count: number }>>;
  readonly latency: { readonly p50: number; readonly p99: number };
  readonly requests: { readonly total: number };
  readonly throughput: { readonly total: number };
}

async function runAutocannon(load: Load): Promise<LoadResult> {
  const post = load.body === undefined
    ? []
    : ["-m", "POST", "-b", load.body, "-H", "content-type=application/json"];
  const headers = Object.entries(load.headers).flatMap(([name, value]) => [
    "-H",
    `${name}=${value}`,
  ]);
  const { output, cpuUs } = await run(load.cores, [
    process.execPath, // under Bun it makes 1.8 times the requests it makes under Node 20
    "--no-env-file",
    join(import.meta.dir, "..", "node_modules", "autocannon", "autocannon.js"),
    "--json",
    "-c",
    String(load.connections),
    "-d",
    String(load.seconds),
    "-t",
    "30",
    ...post,
    ...headers,
    load.url,
  ]);
  const found = JSON.parse(output) as AutocannonSummary;
  const { errors, timeouts, mismatches, resets, statusCodeStats } = found;
  const statuses = Object.entries(statusCodeStats).filter(([status]) => status !== "200");
  refuse("autocannon", {
    errors,
    timeouts,
    mismatches,
    resets,
    ...Object.fromEntries(statuses.map(([status, { count }]) => [`status ${status}`, count])),
  });
  const requests = statusCodeStats["200"]?.count ?? 0;
  checkBytes("autocannon", found.throughput.total, requests, load);
  return {
    tool: "autocannon",
    requestsPerSecond: requests / found.duration,
    p50Ms: found.latency.p50,
    p99Ms: found.latency.p99,
    requests,
    clientCpuUs: cpuUs,
  };
}

async function run(
  cores: readonly number[],
  command: readonly string[],
): Promise<{ readonly output: string; readonly cpuUs: number }> {
  const child = Bun.spawn([...pinnedTo(cores), ...command], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${command[0]} ended with ${code}: ${errors}`);
  return { output, cpuUs: Number(child.resourceUsage()?.cpuTime.total ?? 0) };
}

/** A run with any failure in it is refused: a wrong answer must not look fast. */
function refuse(tool: Tool, failures: Readonly<Record<string, number>>): void {
  const found = Object.entries(failures).filter(([, count]) => count > 0);
  if (found.length === 0) return;
  throw new Error(`${tool}: ${found.map(([name, count]) => `${count} ${name}`).join(", ")}`);
}

function checkBytes(
  tool: Tool,
  bytes: number,
  requests: number,
  { answerBytes, framingBytes }: Load,
): void {
  if (requests === 0) throw new Error(`${tool}: not one answer`);
  const perAnswer = bytes / requests;
  const isOff = perAnswer < answerBytes * (1 - BYTES_TOLERANCE) ||
    perAnswer > (answerBytes + framingBytes) * (1 + BYTES_TOLERANCE);
  if (requests >= REQUESTS_MIN && isOff) {
    const found = Math.round(perAnswer);
    throw new Error(`${tool}: an answer has ${found} bytes on average, and not ${answerBytes}`);
  }
}
