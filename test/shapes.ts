/**
 * Compares weir's mock with recordings of a real API: sends each recorded request to a weir with
 * `mock.tools: auto`, and says for each exchange in which shape the two answers differ.
 *
 *     bun test/shapes.ts FOLDER [--url URL] [--reasons FILE] [--set KEY=VALUE]… [--only TEXT]
 *
 * An exchange in FOLDER is `NAME.request.json` (`{method, path, body}`), `NAME.headers.json`
 * (`{status, headers}`, if they are known) and the body `NAME.json` or `NAME.sse`. What no mock can
 * know is explained in FILE, by default FOLDER/reasons.json: `{NAME: {PART OF A LINE: WHY}}`, where
 * NAME may end in `*`. A reason that explains nothing is a mistake, too. Exit code 1 when a
 * difference is left.
 *
 * @module
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { launch } from "./server/launch.ts";
import { type Answered, differences, promptTokens } from "./shapes/compare.ts";

interface Request {
  readonly method: string;
  readonly path: string;
  readonly body?: Readonly<Record<string, unknown>>;
}

/** Where prompt tokens follow a known rule, … */
const COUNTED = /^\/v1\/(?:chat\/completions|completions|embeddings|responses)$/;
/** … and what in a request makes them unknown. */
const UNCOUNTED =
  /"previous_response_id":"|"conversation":|"type":"(?:json_schema|image_url|input_(?!text)\w+|file|web_search\w*)"/;

const REASONS = "reasons.json";

const { values, positionals: [folder] } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: "string" },
    reasons: { type: "string" },
    set: { type: "string", multiple: true, default: [] },
    only: { type: "string", default: "" },
  },
});
if (folder === undefined) fail("Cannot compare anything: name the folder of the recordings");
const reasons = readReasons(values.reasons ?? join(folder, REASONS));
const bodies = readdirSync(folder).sort().filter((file) =>
  /(?<!\.request|\.headers)\.(?:sse|json)$/.test(file) && file !== REASONS &&
  file.includes(values.only)
);

const settings = ["mock.tools=auto", ...values.set].flatMap((setting) => ["--set", setting]);
const weir = values.url === undefined ? await launch({ args: settings }) : undefined;
const url = weir?.url ?? values.url!;
const counts = { identical: 0, explained: 0, different: 0 };
try {
  for (const file of bodies) await compare(file);
} finally {
  await weir?.stop();
}
const idle = values.only === "" ? reasons.filter((reason) => !reason.isUsed) : [];
for (const { part } of idle) say(`The reason for "${part}" explains nothing`);
say(Object.entries(counts).map(([word, count]) => `${count} ${word}`).join(", "));
process.exit(counts.different + idle.length === 0 ? 0 : 1);

async function compare(file: string): Promise<void> {
  const name = file.replace(/\.(?:sse|json)$/, "");
  const path = join(folder!, name);
  if (!existsSync(`${path}.request.json`)) return say(`- ${name}: its request is not known`);
  const request = read(`${path}.request.json`) as Request;
  const body = readFileSync(join(folder!, file), "utf8");
  const recorded = { body, ...headOf(path, body) };
  const answered = await ask(request);
  const lines = differences(recorded, answered);
  if (COUNTED.test(request.path) && !UNCOUNTED.test(JSON.stringify(request.body))) {
    const [was, is] = [promptTokens(recorded.body), promptTokens(answered.body)];
    if (was !== is && was !== null) lines.push(`prompt tokens: recorded ${was}, answered ${is}`);
  }
  const left: string[] = [];
  const whys = new Set<string>();
  for (const line of lines) {
    const reason = reasons.find(({ isFor, part }) => isFor(name) && line.includes(part));
    if (reason === undefined) left.push(`    ${line}`);
    else whys.add(`    (${reason.why})`);
    if (reason !== undefined) reason.isUsed = true;
  }
  const word = left.length > 0 ? "different" : whys.size > 0 ? "explained" : "identical";
  counts[word]++;
  say([`${word === "different" ? "✗" : "✓"} ${name}: ${word}`, ...left, ...whys].join("\n"));
}

async function ask({ method, path, body }: Request): Promise<Answered> {
  const sent = body === undefined ? {} : { body: JSON.stringify(await madeBefore(body)) };
  const answer = await fetch(url + path, { method, headers: headersFor(path), ...sent });
  return {
    status: answer.status,
    contentType: answer.headers.get("content-type"),
    body: await answer.text(),
  };
}

/** `body` with what it goes on from made now: no server knows the recorded one. */
async function madeBefore(body: NonNullable<Request["body"]>): Promise<typeof body> {
  const made = async (path: string, first: unknown) => {
    const options = { method: "POST", headers: headersFor(path), body: JSON.stringify(first) };
    return (await (await fetch(url + path, options)).json() as { id: string }).id;
  };
  if (typeof body["previous_response_id"] === "string") {
    const first = { model: body["model"], input: "hello" };
    return { ...body, previous_response_id: await made("/v1/responses", first) };
  }
  return (body["conversation"] ?? null) === null
    ? body
    : { ...body, conversation: await made("/v1/conversations", {}) };
}

function headersFor(path: string): Record<string, string> {
  const json = { "content-type": "application/json" };
  return path.startsWith("/v1/messages")
    ? { ...json, "x-api-key": "sk-shapes", "anthropic-version": "2023-06-01" }
    : { ...json, authorization: "Bearer sk-shapes" };
}

function headOf(path: string, body: string): Omit<Answered, "body"> {
  if (!existsSync(`${path}.headers.json`)) return { status: null, contentType: null };
  const head = read(`${path}.headers.json`) as { status: number; headers: Record<string, string> };
  const { "content-type": contentType = null, "content-length": length } = head.headers;
  const isRelaid = length !== undefined && Number(length) !== Buffer.byteLength(body);
  return { status: head.status, contentType, isRelaid };
}

function readReasons(file: string) {
  if (values.reasons === undefined && !existsSync(file)) return [];
  const table = read(file) as Record<string, Record<string, string>>;
  return Object.entries(table).flatMap(([name, parts]) =>
    Object.entries(parts).map(([part, why]) => ({
      isFor: (other: string) =>
        name.endsWith("*") ? other.startsWith(name.slice(0, -1)) : other === name,
      part,
      why,
      isUsed: false,
    }))
  );
}

function read(path: string): unknown {
  return JSON.parse(readFileSync(path, "utf8"));
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}
