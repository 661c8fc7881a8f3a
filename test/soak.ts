/**
 * `bun run soak`: ten minutes of mixed load on every surface, mock and proxied, by clients that
 * pipeline, leave, half-close, read late or send no HTTP. Memory, open files and open streams must be
 * flat at the end, and no answer of a pipeline may be missing; exit code 1 when it is otherwise.
 *
 *     bun run soak [--seconds N]
 *
 * @module
 */

import { parseArgs } from "node:util";
import { parseAnswers } from "./server/http1_messages.ts";
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
 * there are more than a thousand requests each second.
 */
const GROWTH_RATIO_MAX = 1.15;
const GROWTH_BYTES_MAX = 64 * MEGABYTE;
const FDS_SLACK = 5;
/** Bun's `fetch`, by which the surfaces of other dialects ask the upstream, keeps so many idle. */
const FETCH_POOL_MAX = 64;
/** Rounds of every request before the first look: databases are opened on first use. */
const WARM_UP_ROUNDS = 20;

/** Requests that a pipelining client sends at once. */
const PIPELINED = 6;
/**
 * Whole answers of some 30 KB that a client asks for before it reads: together more than the kernel
 * keeps for a connection, so that weir has to wait for it.
 */
const UNREAD = 250;

const CLOSE = "Connection: close\r\n";
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
  postChunks("/v1/chat/completions", [
    `{"model":"gpt-4o",${MESSAGES},"x":"`,
    "y".repeat(99_999),
    '"}',
  ]),
  get("/v1/models"),
  get("/health"),
  get("/"),
];

/** A request with a large whole answer. */
const LARGE = post("/v1/chat/completions", `{"model":"gpt-4o","n":128,${MESSAGES}}`);

/** What is no HTTP, or too much of it: each is refused, and ends its connection. */
const BAD: readonly string[] = [
  "GET / HTTP/1.1\r\n\r\n",
  "GET / HTTP/3.0\r\nHost: weir\r\n\r\n",
  "GET /\nHost: weir\n\n",
  "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001",
  get(`/${"x".repeat(20_000)}`),
  get("/").replace(CLOSE, `X: ${"x".repeat(70_000)}\r\n`),
  post("/v1/chat/completions", "{}").replace("Content-Length: 2", "Content-Length: 99999999"),
  post("/v1/chat/completions", "{}").replace(CLOSE, "Content-Length: 3\r\n"),
  postChunks("/v1/chat/completions", ["{}"]).replace("\r\n2\r\n", "\r\nzz\r\n"),
];

function post(path: string, body: string): string {
  return [
    `POST ${path} HTTP/1.1`,
    "Host: weir",
    `${CLOSE}Content-Type: application/json`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
}

function postChunks(path: string, chunks: readonly string[]): string {
  const body = [...chunks, ""].map((chunk) =>
    `${Buffer.byteLength(chunk).toString(16)}\r\n${chunk}\r\n`
  );
  return `POST ${path} HTTP/1.1\r\nHost: weir\r\n${CLOSE}Transfer-Encoding: chunked\r\n\r\n${
    body.join("")
  }`;
}

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: weir\r\n${CLOSE}\r\n`;
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
  readonly counts: Counts;
}

/** Connections by what their clients did; and requests. */
interface Counts {
  requests: number;
  answered: number;
  left: number;
  pipelined: number;
  halfClosed: number;
  readLate: number;
  refused: number;
  /** Answers of pipelines that did not come, or not whole. */
  missing: number;
}

/** What a client does with one connection; `i` makes it different each time. */
type Way = (subject: Subject, i: number) => Promise<void>;

/** Asks once, and reads the answer. */
async function ask({ weir, counts }: Subject, i: number): Promise<void> {
  counts.requests++;
  await (await connect(weir.port, REQUESTS[i % REQUESTS.length]!)).closed;
  counts.answered++;
}

/** Leaves in the middle of its request, or of its answer. */
async function leave({ weir, counts }: Subject, i: number): Promise<void> {
  const request = REQUESTS[i % REQUESTS.length]!;
  const sent = i % 3 > 0 ? request.slice(0, 1 + i * 7919 % (request.length - 1)) : request;
  counts.requests++;
  const client = await connect(weir.port, sent);
  await Promise.race([client.closed, Bun.sleep(i % 30)]);
  client.leave();
  counts.left++;
}

/** Sends several requests at once, and reads all answers. */
async function pipeline({ weir, counts }: Subject, i: number): Promise<void> {
  const requests = Array.from(
    { length: PIPELINED },
    (_, n) => REQUESTS[(i + n) % REQUESTS.length]!,
  );
  await askTogether({ weir, counts }, requests, i);
  counts.pipelined++;
}

/** Reads nothing of many large answers for a while. */
async function readLate({ weir, counts }: Subject, i: number): Promise<void> {
  await askTogether({ weir, counts }, Array(UNREAD).fill(LARGE), i, false);
  counts.readLate++;
}

async function askTogether(
  { weir, counts }: Pick<Subject, "weir" | "counts">,
  requests: readonly string[],
  i: number,
  isReading = true,
): Promise<void> {
  counts.requests += requests.length;
  const bytes = requests.map((one, n) => n < requests.length - 1 ? one.replace(CLOSE, "") : one)
    .join("");
  const client = await connect(weir.port, bytes, isReading);
  if (!isReading) {
    await Bun.sleep(i % 100);
    client.resume();
  }
  const answers = parseAnswers(await client.closed);
  counts.missing += requests.length - answers.filter(({ isWhole }) => isWhole).length;
}

/** Says at once that it sends nothing more. */
async function halfClose({ weir, counts }: Subject, i: number): Promise<void> {
  counts.requests++;
  const client = await connect(weir.port, REQUESTS[i % REQUESTS.length]!);
  client.finish();
  await client.closed;
  counts.halfClosed++;
}

/** Sends what is no request. */
async function mistake({ weir, counts }: Subject, i: number): Promise<void> {
  counts.requests++;
  await (await connect(weir.port, BAD[i % BAD.length]!)).closed;
  counts.refused++;
}

/**
 * What clients do, in turn: most of them ask, every fourth leaves, and few read late. As 64 ways have
 * no divisor in common with 13 requests and 9 mistakes, each of those meets each way.
 */
const WAYS: readonly Way[] = [
  ...Array<readonly Way[]>(7).fill([ask, leave, pipeline, ask, halfClose, leave, mistake, ask])
    .flat(),
  ...[ask, leave, pipeline, ask, readLate, leave, mistake, ask],
];

/** Has every request answered, so that the process has all that it will keep. */
async function warmUp({ weir }: Subject): Promise<void> {
  for (let i = 0; i < WARM_UP_ROUNDS; i++) {
    for (const request of REQUESTS) await (await connect(weir.port, request)).closed;
  }
}

/** Comes again and again until `untilMs`. */
async function load(subject: Subject, index: number, untilMs: number): Promise<void> {
  for (let i = index; performance.now() < untilMs; i++) {
    await WAYS[i % WAYS.length]!(subject, i);
  }
}

async function sample({ weir, samples }: Subject): Promise<void> {
  const streamCount = Number((await weir.health())["streams_open"]);
  samples.push({ ...processSize(weir.pid), streamCount });
}

/** What is not flat; empty = all is. */
function verdict({ samples, fdsSlack, counts }: Subject): string[] {
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
  if (counts.missing > 0) faults.push(`${counts.missing} answers of pipelines are missing`);
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
  const { requests, answered, left, pipelined, halfClosed, readLate, refused } = counts;
  const lowest = Math.min(...samples.map(({ residentBytes }) => residentBytes)) / MEGABYTE;
  return [
    `${name}: ${requests} requests; of the connections ${answered} were answered, ${left} left early, ` +
    `${pipelined} pipelined, ${halfClosed} half-closed, ${readLate} read late, ${refused} sent no HTTP`,
    head,
    ...rows,
    `lowest RSS ${lowest.toFixed(1)} MiB`,
  ].join("\n");
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

function noCounts(): Counts {
  return {
    requests: 0,
    answered: 0,
    left: 0,
    pipelined: 0,
    halfClosed: 0,
    readLate: 0,
    refused: 0,
    missing: 0,
  };
}

async function main(seconds: number): Promise<number> {
  const pace = { "mock.delay_ms": 5, "ops.log": "off", "server.drain_ms": 0 };
  const upstream = await launch({ set: pace });
  const subjects: Subject[] = [];
  for (const name of ["mock", "proxy"]) {
    const base_url = name === "mock" ? "" : `${upstream.url}/v1`;
    const weir = await launch({ set: { ...pace, "llm.base_url": base_url } });
    const fdsSlack = FDS_SLACK + (name === "mock" ? 0 : FETCH_POOL_MAX);
    subjects.push({ name, weir, fdsSlack, samples: [], counts: noCounts() });
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
