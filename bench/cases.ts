/**
 * What is measured: a table. Each case says what is asked, what the right answer is, byte for byte,
 * who does the same work beside weir, and which figure is wanted.
 *
 * @module
 */

import {
  aimock,
  bareBun,
  bareWheel,
  nginxLuaFlushed,
  nginxLuaPaced,
  nginxLuaWhole,
  nginxProxy,
  type Peer,
} from "./peers/peer.ts";

/** `--set` settings of weir. */
export type Settings = Readonly<Record<string, string | number>>;

/** A peer, and the least that weir's speed should be as a share of the peer's. */
export interface Rival {
  readonly peer: Peer;
  readonly wanted?: number;
}

/** Another request to the same weir: what one URL costs as a share of another. */
export interface Beside {
  readonly name: string;
  readonly path: string;
  readonly body: string;
  /** The least that the case's speed should be as a share of this one's. */
  readonly wanted: number;
}

/** Whole answers, as many as possible. */
export interface WholeCase {
  readonly name: string;
  readonly title: string;
  readonly path: string;
  /** Undefined: a GET. */
  readonly body: string | undefined;
  readonly settings: Settings;
  /** The right answer, ids and times masked with `•` and pads left out; or what it must look like. */
  readonly expected: string | RegExp;
  readonly words: readonly string[];
  readonly rivals: readonly Rival[];
  readonly beside?: Beside;
  /** The same work by one process, and the least that the case's speed should be as a multiple. */
  readonly oneProcess?: { readonly name: string; readonly wanted: number };
  /** What an upstream beside the client answers, masked; undefined: weir answers by itself. */
  readonly upstream: string | undefined;
  /** True: `--quick` runs it as well. */
  readonly isQuick: boolean;
}

/** Many streams at a pace. */
export interface PacedCase {
  readonly name: string;
  readonly title: string;
  readonly streams: number;
  readonly delayMs: number;
  readonly words: readonly string[];
  readonly rampMs: number;
  readonly rivals: readonly Peer[];
  /** The most that lateness may be, p99. */
  readonly latenessMsMax: number;
  /** The most that a stream may drift, p99, in per cent of its length. */
  readonly driftPercentMax: number;
  /** The most that weir's processor time per event may be, as a multiple of the bare wheel's. */
  readonly cpuRatioMax: number | undefined;
}

const MODEL = "gpt-4o";
/** The name that an answer for `MODEL` carries. */
const DATED_MODEL = "gpt-4o-2024-08-06";
const WORDS = ["powered ", "by ", "openai"];
/** What one process is called beside two. */
const ONE_PROCESS = "weir, 1 process";
/** A usual chat answer: some 80 tokens. */
const LONG_WORDS = numbered(60);
/** What stands for an id in a masked answer: "chatcmpl-" and 29 characters. */
export const ID_MASK = "•".repeat(38);
/** What stands for a time in a masked answer. The longer mask is to be replaced first. */
export const CREATED_MASK = "•".repeat(10);

/** Settings of every case: nothing is logged, nothing waits. */
const SPEED: Settings = { "ops.log": "off", "mock.delay_ms": 0 };

/** The body of a chat request. */
export function chatBody(isStream: boolean): string {
  return JSON.stringify({
    model: MODEL,
    ...(isStream ? { stream: true } : {}),
    messages: [{ role: "user", content: "Hello 你好 🌊" }],
  });
}

/** The body of a memory request: everybody is one user, and so in one session. */
const RESPONSE_BODY = JSON.stringify({ user_id: "bench", query: "Hello 你好 🌊", stream: true });

/** The stream of today's API (docs/facts/openai_api.md "Stream rules"). */
function fullStream(words: readonly string[]): string {
  const chunk = (delta: string, finish: string) =>
    `data: {"id":"${ID_MASK}","object":"chat.completion.chunk","created":${CREATED_MASK},` +
    `"model":"${DATED_MODEL}","service_tier":"default","system_fingerprint":"fp_77656972a1",` +
    `"choices":[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}],` +
    `"obfuscation":""}\n\n`;
  return [
    chunk(`{"role":"assistant","content":"","refusal":null}`, "null"),
    ...words.map((word) => chunk(`{"content":"${word}"}`, "null")),
    chunk("{}", `"stop"`),
    "data: [DONE]\n\n",
  ].join("");
}

/** The events of the OpenResty mock. */
function minimalStream(words: readonly string[]): string {
  const chunk = (delta: string, finish: string) =>
    `data: {"id":"${ID_MASK}","object":"chat.completion.chunk","created":${CREATED_MASK},` +
    `"model":"gpt-3.5-turbo","choices":[{"index":0,"delta":${delta},"finish_reason":${finish}}]}\n\n`;
  return [
    chunk(`{"role":"assistant"}`, "null"),
    ...words.map((word) => chunk(`{"content":"${word}"}`, "null")),
    chunk("{}", `"stop"`),
    "data: [DONE]\n\n",
  ].join("");
}

/** The envelopes of `/v1/response`. */
function responseStream(words: readonly string[]): string {
  const envelope = (word: string) =>
    `data: {"code":0,"msg":"success","data":{"content":"${word}"}}\n\n`;
  return `${words.map(envelope).join("")}data: [DONE]\n\n`;
}

/** A whole completion: its beginning is enough to know it by, the rest is its length. */
const COMPLETION = new RegExp(
  `^\\{\\n {2}"id": "${ID_MASK}",\\n {2}"object": "chat.completion",\\n {2}"created": ${CREATED_MASK},` +
    `[^]*"content": "powered by openai"[^]*\\}\\n$`,
);

/** The relay of the same upstream. */
const RELAYED: Beside = {
  name: "weir, /v1/chat/completions",
  path: "/v1/chat/completions",
  body: chatBody(true),
  wanted: 0.25,
};

/** Whole answers. */
export const WHOLE_CASES: readonly WholeCase[] = [
  {
    name: "stream-full",
    title: "mock stream, full persona",
    path: "/v1/chat/completions",
    body: chatBody(true),
    settings: SPEED,
    expected: fullStream(WORDS),
    words: WORDS,
    rivals: [{ peer: bareBun, wanted: 0.75 }, { peer: aimock, wanted: 7 }],
    upstream: undefined,
    isQuick: true,
  },
  {
    name: "stream-long",
    title: `mock stream, full persona, ${LONG_WORDS.length} words`,
    path: "/v1/chat/completions",
    body: chatBody(true),
    settings: { ...SPEED, "mock.reply": LONG_WORDS.join("") },
    expected: fullStream(LONG_WORDS),
    words: LONG_WORDS,
    rivals: [{ peer: bareBun }, { peer: aimock, wanted: 7 }],
    upstream: undefined,
    isQuick: false,
  },
  {
    name: "stream-minimal",
    title: "mock stream, minimal persona",
    path: "/v1/chat/completions",
    body: chatBody(true),
    settings: { ...SPEED, "mock.persona": "minimal" },
    expected: minimalStream(WORDS),
    words: WORDS,
    rivals: [
      { peer: bareBun, wanted: 0.85 },
      { peer: nginxLuaWhole, wanted: 0.9 },
      { peer: nginxLuaFlushed, wanted: 2 },
    ],
    upstream: undefined,
    isQuick: true,
  },
  {
    name: "completion",
    title: "mock, not streamed",
    path: "/v1/chat/completions",
    body: chatBody(false),
    settings: SPEED,
    expected: COMPLETION,
    words: WORDS,
    rivals: [{ peer: bareBun }],
    upstream: undefined,
    isQuick: false,
  },
  {
    name: "proxy",
    title: "proxied stream",
    path: "/v1/chat/completions",
    body: chatBody(true),
    settings: SPEED,
    expected: fullStream(WORDS),
    words: WORDS,
    rivals: [{ peer: nginxProxy, wanted: 0.75 }],
    upstream: fullStream(WORDS),
    isQuick: true,
  },
  {
    name: "v1-response",
    // One session, so that every answer has the full 20 turns of history before it.
    title: "POST /v1/response, embedded memory",
    path: "/v1/response",
    body: RESPONSE_BODY,
    settings: SPEED,
    expected: responseStream(WORDS),
    words: WORDS,
    rivals: [{ peer: bareBun }],
    beside: {
      name: "weir, /v1/chat/completions",
      path: "/v1/chat/completions",
      body: chatBody(true),
      wanted: 0.35,
    },
    upstream: undefined,
    isQuick: false,
  },
  {
    name: "api-chat",
    title: "POST /api/chat",
    path: "/api/chat",
    body: JSON.stringify({ messages: [{ role: "user", content: "Hello 你好 🌊" }] }),
    settings: SPEED,
    expected: WORDS.map((word) => `data: {"content":"${word}"}\n\n`).join("") + "data: [DONE]\n\n",
    words: WORDS,
    rivals: [{ peer: bareBun }],
    upstream: undefined,
    isQuick: false,
  },
  {
    // Read into steps, and said again: what it costs beside passing the same bytes on.
    name: "respoken-api-chat",
    title: `POST /api/chat, ${LONG_WORDS.length} words from an upstream`,
    path: "/api/chat",
    body: JSON.stringify({ messages: [{ role: "user", content: "Hello 你好 🌊" }] }),
    settings: SPEED,
    expected: LONG_WORDS.map((word) => `data: {"content":"${word}"}\n\n`).join("") +
      "data: [DONE]\n\n",
    words: LONG_WORDS,
    rivals: [],
    beside: RELAYED,
    upstream: fullStream(LONG_WORDS),
    isQuick: false,
  },
  {
    name: "respoken-response",
    title: `POST /v1/response, ${LONG_WORDS.length} words from an upstream`,
    path: "/v1/response",
    body: RESPONSE_BODY,
    settings: SPEED,
    expected: responseStream(LONG_WORDS),
    words: LONG_WORDS,
    rivals: [],
    beside: RELAYED,
    upstream: fullStream(LONG_WORDS),
    isQuick: false,
  },
  {
    name: "health",
    title: "GET /health",
    path: "/health",
    body: undefined,
    settings: SPEED,
    expected: /^\{"status":"ok",/,
    words: WORDS,
    rivals: [{ peer: bareBun }],
    upstream: undefined,
    isQuick: false,
  },
  {
    // What weir is run for: history and prompt sent upstream, the answer re-spoken and stored.
    name: "workers-upstream",
    title: `2 workers, POST /v1/response, ${LONG_WORDS.length} words from an upstream`,
    path: "/v1/response",
    body: RESPONSE_BODY,
    settings: { ...SPEED, "server.workers": 2 },
    expected: responseStream(LONG_WORDS),
    words: LONG_WORDS,
    rivals: [],
    oneProcess: { name: ONE_PROCESS, wanted: 1.5 },
    upstream: fullStream(LONG_WORDS),
    isQuick: false,
  },
  {
    // The least work there is on this URL: the most that both processes must take turns for.
    name: "workers-mock",
    title: "2 workers, POST /v1/response, mock",
    path: "/v1/response",
    body: RESPONSE_BODY,
    settings: { ...SPEED, "server.workers": 2 },
    expected: responseStream(WORDS),
    words: WORDS,
    rivals: [],
    oneProcess: { name: ONE_PROCESS, wanted: 1.5 },
    upstream: undefined,
    isQuick: false,
  },
];

/** `count` words of one length, each of them once: an event that is lost or doubled shows. */
function numbered(count: number): readonly string[] {
  return Array.from({ length: count }, (_, i) => `w${String(i).padStart(4, "0")} `);
}

/** Paced streams. Every stream is open for at least three seconds together with all the others. */
export const PACED_CASES: readonly PacedCase[] = [
  {
    name: "paced-4000x20",
    title: "4 000 streams × 20 events/s",
    streams: 4000,
    delayMs: 50,
    words: numbered(140),
    rampMs: 2000,
    rivals: [bareWheel, nginxLuaPaced, aimock],
    latenessMsMax: 12,
    driftPercentMax: 1,
    cpuRatioMax: 1.25,
  },
  {
    name: "paced-10000x5",
    title: "10 000 streams × 5 events/s",
    streams: 10_000,
    delayMs: 200,
    words: numbered(50),
    rampMs: 5000,
    rivals: [bareWheel],
    latenessMsMax: 12,
    driftPercentMax: 1,
    cpuRatioMax: 1.25,
  },
];

/** The same pace with fewer streams: how lateness grows with their number. */
export const SWEEP_CASES: readonly PacedCase[] = [250, 1000, 2000].map((streams) => ({
  name: `sweep-${streams}x20`,
  title: `${streams.toLocaleString("en").replace(",", " ")} streams × 20 events/s`,
  streams,
  delayMs: 50,
  words: numbered(80),
  rampMs: 1000,
  rivals: [bareWheel],
  latenessMsMax: 12,
  driftPercentMax: 1,
  cpuRatioMax: undefined,
}));

/** The right bytes of a paced case, masked. */
export function expectedOfPaced({ words }: PacedCase): string {
  return fullStream(words);
}

/** When each event of a paced answer is due: the role with the first word, the finish with [DONE]. */
export function dueMsOfPaced({ words, delayMs }: PacedCase): readonly number[] {
  const endMs = words.length * delayMs;
  return [0, ...words.map((_, i) => i * delayMs), endMs, endMs];
}

/**
 * A paced case as `--quick` runs it: the start of it, beside the bare wheel alone, since the others
 * take as long again to catch up.
 */
export function quickPaced(work: PacedCase): PacedCase {
  return { ...work, words: work.words.slice(0, 56), rampMs: 1500, rivals: [bareWheel] };
}

/** Streams that are open and silent, for the memory that each takes. */
export const IDLE_STREAMS = 10_000;
/** The most that one may take, in KiB. */
export const IDLE_KIB_MAX = 6;
/** Every stream says its first word and then nothing for an hour. */
export const IDLE_SETTINGS: Settings = {
  "ops.log": "off",
  "mock.delay_ms": 3_600_000,
  "server.keepalive_ms": 0,
};
