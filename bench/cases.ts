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

/**
 * Number of connections → the least that a peer's processor time for an answer should be as a
 * multiple of weir's. 1 and more: weir is the cheaper one.
 */
export type Wanted = Readonly<Record<number, number>>;

/** A peer, and what is wanted beside it; nothing where it is only shown. */
export interface Rival {
  readonly peer: Peer;
  readonly wanted?: Wanted;
}

/** Another request to the same weir: what one URL costs as a share of another. */
export interface Beside {
  readonly name: string;
  readonly path: string;
  readonly body: string;
  readonly wanted: Wanted;
}

/** Whole answers, as many as possible. */
export interface WholeCase {
  readonly name: string;
  readonly title: string;
  readonly path: string;
  /** Undefined: a GET. */
  readonly body: string | undefined;
  /** What the client sends besides what HTTP and a JSON body need. */
  readonly headers?: Readonly<Record<string, string>>;
  /** True: weir and the peers listen with one certificate, made for the run. */
  readonly isTls?: boolean;
  readonly settings: Settings;
  /** The right answer, ids and times masked with `•` and pads left out; or what it must look like. */
  readonly expected: string | RegExp;
  readonly words: readonly string[];
  readonly rivals: readonly Rival[];
  readonly beside?: Beside;
  /** What the same work by one process is called. It is measured beside two, and nothing is wanted. */
  readonly oneProcess?: string;
  /** The most that weir's processor time may be, as a share of the weir of `--against`. */
  readonly againstMax?: number;
  /** What an upstream beside the client answers, masked; undefined: weir answers by itself. */
  readonly upstream: string | undefined;
  /** True: the upstream writes head and first event, and the rest in a later turn of its loop. */
  readonly isUpstreamInTwo?: boolean;
  /** The only numbers of connections that it runs at. Default: all that are asked for. */
  readonly connections?: readonly number[];
  /** True: `--quick` runs it as well. */
  readonly isQuick: boolean;
}

/** What is wanted of a paced case beside one peer. */
export interface PacedWanted {
  readonly peer: Peer;
  /** The most that weir's processor time per event may be, as a multiple of the peer's. */
  readonly cpuRatioMax: number;
  /** The most that weir's lateness (p99) may be, as a multiple of the peer's. */
  readonly latenessRatioMax?: number;
  /** The most that weir may be later (p99) than the peer, both beside the upstream alone. */
  readonly addedMsMax?: number;
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
  /** The most that lateness may be, p99; undefined where it is only compared. */
  readonly latenessMsMax: number | undefined;
  /** The most that a stream may drift, p99, in per cent of its length. */
  readonly driftPercentMax: number;
  readonly wanted: PacedWanted | undefined;
  /** True: a bare wheel beside the client keeps the pace, and weir passes it on. */
  readonly isProxied: boolean;
}

const MODEL = "gpt-4o";
/** The name that an answer for `MODEL` carries. */
const DATED_MODEL = "gpt-4o-2024-08-06";
const WORDS = ["powered", " by", " openai"];
/** As the dialects of older systems cut them. */
const OLDER_WORDS = ["powered ", "by ", "openai"];
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

/**
 * What the official Node client 7.55.0 sends on Node 20 besides host, content-type and length: with
 * those, the request line and a key of a usual length some 600 bytes. An API client's head is four
 * times as long as that of a load generator.
 */
export const SDK_HEADERS: Readonly<Record<string, string>> = {
  "connection": "keep-alive",
  "accept": "application/json",
  "user-agent": "OpenAI/JS 7.55.0",
  "x-stainless-retry-count": "0",
  "x-stainless-lang": "js",
  "x-stainless-package-version": "7.55.0",
  "x-stainless-os": "Linux",
  "x-stainless-arch": "x64",
  "x-stainless-runtime": "node",
  "x-stainless-runtime-version": "v20.20.2",
  "authorization": `Bearer sk-proj-${"b".repeat(100)}`,
  "accept-language": "*",
  "sec-fetch-mode": "cors",
  "accept-encoding": "gzip, deflate",
};

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
  wanted: { 64: 0.25 },
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
    rivals: [
      { peer: bareBun, wanted: { 64: 1.3, 512: 1.1, 4000: 1.3 } },
      { peer: aimock, wanted: { 64: 8.5 } },
    ],
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
    rivals: [{ peer: bareBun }, { peer: aimock, wanted: { 64: 7 } }],
    upstream: undefined,
    isQuick: false,
  },
  {
    name: "stream-sdk",
    title: "mock stream, full persona, an official client's head",
    path: "/v1/chat/completions",
    body: chatBody(true),
    headers: SDK_HEADERS,
    settings: SPEED,
    expected: fullStream(WORDS),
    words: WORDS,
    rivals: [{ peer: bareBun, wanted: { 64: 1.5 } }],
    upstream: undefined,
    connections: [64],
    isQuick: false,
  },
  {
    name: "stream-minimal",
    title: "mock stream, minimal persona",
    path: "/v1/chat/completions",
    body: chatBody(true),
    settings: { ...SPEED, "mock.persona": "minimal" },
    expected: minimalStream(OLDER_WORDS),
    words: OLDER_WORDS,
    rivals: [
      { peer: bareBun, wanted: { 64: 1.3 } },
      { peer: nginxLuaWhole, wanted: { 64: 2.7 } },
      { peer: nginxLuaFlushed, wanted: { 64: 7 } },
    ],
    upstream: undefined,
    isQuick: true,
  },
  {
    name: "completion",
    // Every answer has the same text, whose tokens weir may count once and remember.
    title: "mock, not streamed",
    path: "/v1/chat/completions",
    body: chatBody(false),
    settings: SPEED,
    expected: COMPLETION,
    words: WORDS,
    rivals: [{ peer: bareBun, wanted: { 64: 0.95 } }],
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
    rivals: [{ peer: nginxProxy, wanted: { 64: 1.1, 512: 1.1 } }],
    upstream: fullStream(WORDS),
    isQuick: true,
  },
  {
    // No server that is asked over a network answers all at once: what comes later costs a read, a
    // write and the framing in chunks.
    name: "proxy-two-writes",
    title: "proxied stream, the upstream writes twice",
    path: "/v1/chat/completions",
    body: chatBody(true),
    settings: SPEED,
    expected: fullStream(WORDS),
    words: WORDS,
    rivals: [{ peer: nginxProxy, wanted: { 64: 1.05, 512: 1.05 } }],
    upstream: fullStream(WORDS),
    isUpstreamInTwo: true,
    connections: [1, 64, 512],
    isQuick: false,
  },
  {
    name: "tls",
    title: "mock stream, full persona, TLS",
    path: "/v1/chat/completions",
    body: chatBody(true),
    isTls: true,
    settings: SPEED,
    expected: fullStream(WORDS),
    words: WORDS,
    rivals: [{ peer: bareBun, wanted: { 64: 1 } }],
    upstream: undefined,
    connections: [64],
    isQuick: false,
  },
  {
    name: "v1-response",
    // One session, so that every answer has the full 20 turns of history before it.
    title: "POST /v1/response, embedded memory",
    path: "/v1/response",
    body: RESPONSE_BODY,
    settings: SPEED,
    expected: responseStream(OLDER_WORDS),
    words: OLDER_WORDS,
    rivals: [{ peer: bareBun }],
    beside: {
      name: "weir, /v1/chat/completions",
      path: "/v1/chat/completions",
      body: chatBody(true),
      wanted: { 64: 0.35 },
    },
    againstMax: 0.85,
    upstream: undefined,
    isQuick: false,
  },
  {
    name: "api-chat",
    title: "POST /api/chat",
    path: "/api/chat",
    body: JSON.stringify({ messages: [{ role: "user", content: "Hello 你好 🌊" }] }),
    settings: SPEED,
    expected: OLDER_WORDS.map((word) => `data: {"content":"${word}"}\n\n`).join("") +
      "data: [DONE]\n\n",
    words: OLDER_WORDS,
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
    // What a second process is worth shows when the first is full, so at 64 connections.
    // What weir is run for: history and prompt sent upstream, the answer re-spoken and stored.
    name: "workers-upstream",
    title: `2 workers, POST /v1/response, ${LONG_WORDS.length} words from an upstream`,
    path: "/v1/response",
    body: RESPONSE_BODY,
    settings: { ...SPEED, "server.workers": 2 },
    expected: responseStream(LONG_WORDS),
    words: LONG_WORDS,
    rivals: [],
    oneProcess: ONE_PROCESS,
    connections: [64],
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
    expected: responseStream(OLDER_WORDS),
    words: OLDER_WORDS,
    rivals: [],
    oneProcess: ONE_PROCESS,
    connections: [64],
    upstream: undefined,
    isQuick: false,
  },
];

/** `count` words of one length, each of them once: an event that is lost or doubled shows. */
function numbered(count: number): readonly string[] {
  // The first has no blank before it, and another digit instead.
  return Array.from(
    { length: count },
    (_, i) => i === 0 ? "w00000" : ` w${String(i).padStart(4, "0")}`,
  );
}

/** weir beside the wheel that it turns itself. */
const AS_THE_WHEEL: PacedWanted = { peer: bareWheel, cpuRatioMax: 1.1, latenessRatioMax: 1.1 };

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
    wanted: AS_THE_WHEEL,
    isProxied: false,
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
    wanted: AS_THE_WHEEL,
    isProxied: false,
  },
  {
    name: "proxied-paced",
    title: "500 proxied streams × 20 events/s",
    streams: 500,
    delayMs: 50,
    words: numbered(57), // 60 events, with the role, the end and [DONE]
    rampMs: 1000,
    rivals: [nginxProxy],
    latenessMsMax: undefined,
    driftPercentMax: 1,
    wanted: { peer: nginxProxy, cpuRatioMax: 1.1, addedMsMax: 0.3 },
    isProxied: true,
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
  wanted: undefined,
  isProxied: false,
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

/** What is opened and then left alone, for the memory that each takes. */
export interface IdleCase {
  readonly name: string;
  /** What stands in a sentence: "10 000 idle streams". */
  readonly things: "idle streams" | "idle connections";
  readonly count: number;
  /** The most that one may take, in KiB. */
  readonly kibMax: number;
  readonly settings: Settings;
  /** Measured beside weir. */
  readonly rivals: readonly Peer[];
  readonly isQuick: boolean;
}

/** Open streams that are silent, and kept connections that nobody asks anything. */
export const IDLE_CASES: readonly IdleCase[] = [
  {
    // Every stream says its first word and then nothing for an hour.
    name: "idle-streams",
    things: "idle streams",
    count: 10_000,
    kibMax: 2,
    settings: { "ops.log": "off", "mock.delay_ms": 3_600_000, "server.keepalive_ms": 0 },
    rivals: [],
    isQuick: true,
  },
  {
    // Every connection has had one whole answer, so that nothing of a request is put off.
    name: "idle-connections",
    things: "idle connections",
    count: 10_000,
    kibMax: 2,
    settings: SPEED,
    rivals: [bareBun],
    isQuick: false,
  },
];

/** What an answer to `chatBody(true)` is, masked, at the settings of the memory cases. */
export const CHAT_ANSWER = fullStream(WORDS);

/** How the executable starts. */
export const START_CASE = {
  name: "start",
  title: "start of the executable",
  starts: 20,
  /** As many with --quick. */
  quickStarts: 3,
  /** The most until /health answers 200, from before the process is made. */
  readyMsMax: 60,
  /** The most that the loop may be held up at once, from the first answer of any kind on. */
  blockMsMax: 20,
} as const;
