/**
 * `bun run soak`: ten minutes of mixed load with aborts on every surface, mock and proxied. Memory,
 * open files and open streams must be flat at the end; exit code 1 when they are not.
 *
 *     bun run soak [--seconds N]
 *
 * @module
 */

import { parseArgs } from "node:util";
import { launch, waitFor, type Weir } from "./server/launch.ts";
import { processSize } from "./server/process_size.ts";
import { connect } from "./server/raw_client.ts";

/** Clients at once, for each of the two servers. */
const CLIENTS = 32;
const SAMPLES = 40;
const MEGABYTE = 1024 * 1024;
/**
 * In the last quarter a process may stay this much above its size in the second: after 20 s on a
 * busy machine its heap is still finding its size. A stream that leaked would weigh some 8 KiB, and
 * there are thousands each second.
 */
const GROWTH_RATIO_MAX = 1.15;
const GROWTH_BYTES_MAX = 64 * MEGABYTE;
const FDS_SLACK = 5;
/** Bun's `fetch`, by which the surfaces of other dialects ask the upstream, keeps so many idle. */
const FETCH_POOL_MAX = 64;
/** Rounds of every request before the first look: databases are opened on first use. */
const WARM_UP_ROUNDS = 20;

const MESSAGES = '"messages":[{"role":"user","content":"你好 🌊"}]';

/** What clients send. */
const REQUESTS: readonly string[] = [
  post("/v1/chat/completions", `{"model":"gpt-4o","stream":true,${MESSAGES}}`),
  post("/v1/chat/completions", `{"model":"gpt-4o",${MESSAGES}}`),
  post("/v1/chat/completions", '{"model":'),
  post("/v1/chat/completions", `{"model":"gpt-4o",${MESSAGES},"x":"${"y".repeat(MEGABYTE)}"}`),
  post("/v1/response", '{"session_id":"soak","query":"你好","stream":true}'),
  post("/api/chat", `{${MESSAGES}}`),
  post("/chat", `{"model":"gpt-4o","stream":true,${MESSAGES}}`),
  post("/api/workflows/runs", '{"input":{"prompt":"hi"},"wait_for_completion":true}'),
  post("/nowhere", "{}"),
  get("/v1/models"),
  get("/health"),
  get("/"),
];

function post(path: string, body: string): string {
  return [
    `POST ${path} HTTP/1.1`,
    "Host: weir",
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
}

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n`;
}

interface Sample {
  readonly residentBytes: number;
  readonly fdCount: number;
  readonly streamCount: number;
}

/** A server under load, and what was seen of it. */
interface Subject {
  readonly name: string;
  readonly weir: Weir;
  /** Files that may be open at the end besides those of the beginning. */
  readonly fdsSlack: number;
  readonly samples: Sample[];
  readonly counts: { answered: number; left: number };
}

/** Has every request answered, so that the process has all that it will keep. */
async function warmUp({ weir }: Subject): Promise<void> {
  for (let i = 0; i < WARM_UP_ROUNDS; i++) {
    for (const request of REQUESTS) await (await connect(weir.port, request)).closed;
  }
}

/** Asks again and again until `untilMs`; every third client leaves, at another moment each time. */
async function load({ weir, counts }: Subject, index: number, untilMs: number): Promise<void> {
  for (let i = index; performance.now() < untilMs; i++) {
    const request = REQUESTS[i % REQUESTS.length]!;
    const leaves = i % 3 === 0;
    const sent = leaves && i % 2 === 0 ? request.slice(0, request.length - 1 - i % 40) : request;
    const client = await connect(weir.port, sent);
    if (!leaves) {
      await client.closed;
      counts.answered++;
      continue;
    }
    await Promise.race([client.closed, Bun.sleep(i % 30)]);
    client.leave();
    counts.left++;
  }
}

async function sample({ weir, samples }: Subject): Promise<void> {
  const streamCount = Number((await weir.health())["streams_open"]);
  samples.push({ ...processSize(weir.pid), streamCount });
}

/** What is not flat; empty = all is. */
function verdict({ samples, fdsSlack }: Subject): string[] {
  const last = samples.at(-1)!;
  const residentBytes = samples.map((sample) => sample.residentBytes);
  const quarter = samples.length / 4;
  const settledBytes = median(residentBytes.slice(Math.floor(quarter), Math.floor(2 * quarter)));
  const bytesMax = Math.max(settledBytes * GROWTH_RATIO_MAX, settledBytes + GROWTH_BYTES_MAX);
  const faults: string[] = [];
  // The collector makes it jump up and fall back: what leaks raises the lowest point too.
  if (Math.min(...residentBytes.slice(Math.floor(3 * quarter))) > bytesMax) {
    faults.push("memory has grown");
  }
  if (last.fdCount > samples[0]!.fdCount + fdsSlack) faults.push("files are left open");
  if (last.streamCount > 0) faults.push("streams are left open");
  return faults;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function table({ name, samples, counts }: Subject): string {
  const rows = samples.filter((_, i) => i % 5 === 0 || i === samples.length - 1)
    .map(({ residentBytes, fdCount, streamCount }) =>
      [(residentBytes / MEGABYTE).toFixed(1), fdCount, streamCount]
        .map((cell) => String(cell).padStart(10)).join("")
    );
  const head = ["RSS MiB", "open files", "streams"].map((cell) => cell.padStart(10)).join("");
  return `${name}: ${counts.answered} answered, ${counts.left} left early\n${head}\n${
    rows.join("\n")
  }`;
}

/** Waits until the load is gone, then looks a last time. */
async function settle(subject: Subject): Promise<void> {
  const first = subject.samples[0]!;
  await waitFor(async () => {
    const { fdCount } = processSize(subject.weir.pid);
    const { streams_open } = await subject.weir.health();
    return streams_open === 0 && fdCount <= first.fdCount + subject.fdsSlack;
  }, "the last connection to close").catch(() => {}); // the verdict says what did not
  await sample(subject);
}

async function main(seconds: number): Promise<number> {
  const pace = { "mock.delay_ms": 5, "ops.log": "off", "server.drain_ms": 0 };
  const upstream = await launch({ set: pace });
  const subjects: Subject[] = [];
  for (const name of ["mock", "proxy"]) {
    const base_url = name === "mock" ? "" : `${upstream.url}/v1`;
    const weir = await launch({ set: { ...pace, "llm.base_url": base_url } });
    const fdsSlack = FDS_SLACK + (name === "mock" ? 0 : FETCH_POOL_MAX);
    subjects.push({ name, weir, fdsSlack, samples: [], counts: { answered: 0, left: 0 } });
  }
  try {
    await Promise.all(subjects.map(warmUp));
    await Promise.all(subjects.map(sample));
    const startMs = performance.now();
    const untilMs = startMs + seconds * 1000;
    const clients = subjects.flatMap((subject) =>
      Array.from({ length: CLIENTS }, (_, index) => load(subject, index * 7, untilMs))
    );
    for (let i = 1; i <= SAMPLES; i++) {
      await Bun.sleep(Math.max(0, startMs + i * seconds * 1000 / SAMPLES - performance.now()));
      await Promise.all(subjects.map(sample));
    }
    await Promise.all(clients);
    await Promise.all(subjects.map(settle));
  } finally {
    for (const { weir } of subjects) await weir.stop();
    await upstream.stop();
  }
  const faults = subjects.flatMap((subject) =>
    verdict(subject).map((fault) => `${subject.name}: ${fault}`)
  );
  const end = faults.length === 0 ? "flat: nothing is left open, nothing grows" : faults.join("\n");
  process.stdout.write(`${subjects.map(table).join("\n\n")}\n\n${seconds} s: ${end}\n`);
  return faults.length === 0 ? 0 : 1;
}

const { values } = parseArgs({ options: { seconds: { type: "string", default: "600" } } });
process.exitCode = await main(Number(values.seconds));
