/**
 * `weir bench URL`: opens many streams on any server and says how late its events come, and whether
 * the figures can be believed.
 *
 * @module
 */

import { defineCommand } from "./command.ts";
import {
  choiceFlag,
  type FlagValues,
  listFlag,
  numberFlag,
  parsedFlag,
  readHeader,
  readNumber,
  switchFlag,
  textFlag,
} from "./flags.ts";
import { type BenchOptions, type Expected, measure } from "./measure.ts";
import { EXIT, Failure } from "./terminal.ts";

/** Asked of a URL that names no path. */
const DEFAULT_PATH = "/v1/chat/completions";
const DEFAULT_BODY = JSON.stringify({
  model: "gpt-4o",
  stream: true,
  messages: [{ role: "user", content: "Hello" }],
});
const STREAMS_MAX = 20_000;
const SECONDS_MAX = 600;
const EVENTS_MAX = 1_000_000;

const FLAGS = {
  streams: numberFlag({
    short: "n",
    value: "N",
    text: "streams, each on a connection of its own",
    min: 1,
    max: STREAMS_MAX,
    isWhole: true,
    default: 64,
  }),
  seconds: numberFlag({
    short: "s",
    value: "S",
    text: "their starts are spread over this many seconds",
    min: 0,
    max: SECONDS_MAX,
    isWhole: false,
    default: 2,
  }),
  events: parsedFlag<Expected>({
    value: "WHAT",
    text: "learn: every answer must be as the first ones, at their pace; " +
      `a number up to ${EVENTS_MAX}: every answer must have so many events; ` +
      "free: any number, as they come",
    default: "learn",
    read: readExpected,
  }),
  timeout: numberFlag({
    value: "S",
    text: "an answer may end this many seconds later than it is due",
    min: 1,
    max: SECONDS_MAX,
    isWhole: true,
    default: 30,
  }),
  body: textFlag({
    short: "d",
    value: "JSON",
    text: "what is posted",
    notes: ['default a chat request with "stream": true'],
  }),
  method: choiceFlag({
    short: "X",
    value: "METHOD",
    text: "how the server is asked",
    choices: ["GET", "POST"],
    default: "POST",
  }),
  header: listFlag({
    short: "H",
    value: "'NAME: VALUE'",
    text: "a header of every request",
    read: readHeader,
  }),
  json: switchFlag({ text: "print the report as JSON" }),
};

/** Measures a server. */
export const bench = defineCommand({
  name: "bench",
  summary: "open many streams on any server, and tell how late its events come",
  details:
    "It asks the server a few times first, and says at the end whether to believe the figures.",
  operands: {
    url: { name: "URL", text: `http or https; without a path: ${DEFAULT_PATH}` },
  },
  flags: FLAGS,
  examples: [
    { line: "weir bench http://127.0.0.1:8080", text: "a weir on this machine" },
    {
      line: "weir bench http://127.0.0.1:8080/v1/chat/completions -n 200 -s 1 --json",
      text: "200 streams within a second, the report as JSON",
    },
    {
      line: "weir bench http://127.0.0.1:8080 -H 'authorization: Bearer sk-1' --events free",
      text: "a server that wants a key, and whose answers differ",
    },
  ],
  exits: {
    [EXIT.done]: "the figures can be believed, and no event was lost",
    [EXIT.failed]: "they cannot, or an answer was not whole, or the server gave no event stream",
    [EXIT.interrupted]: "interrupted by Ctrl-C; the report is of what was there until then",
  },
  run: ({ flags, operands }, terminal) => measure(benchOptions(operands.url, flags), terminal),
});

/** @throws {Failure} when `text` is no URL that can be measured. */
function benchOptions(text: string, flags: FlagValues<typeof FLAGS>): BenchOptions {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new Failure(`bench needs an http:// or https:// URL, not "${text}"`, EXIT.usage);
  }
  if (url.pathname === "/") url.pathname = DEFAULT_PATH;
  const { streams, seconds, timeout, events, body = DEFAULT_BODY, method, header, json } = flags;
  return {
    url: url.href,
    streams,
    seconds,
    timeoutSeconds: timeout,
    expected: events,
    body: method === "GET" ? undefined : body,
    headers: Object.fromEntries(header),
    isJson: json,
  };
}

function readExpected(text: string, name: string): Expected {
  if (text === "learn") return { kind: "learnt" };
  if (text === "free") return { kind: "free" };
  const range = { min: 1, max: EVENTS_MAX, isWhole: true };
  return { kind: "count", events: readNumber(text, name, range) };
}
