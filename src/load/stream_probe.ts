/**
 * Asks a server once and learns what its answer is: the bytes that every later answer must have,
 * and when each event comes while nothing else is going on.
 *
 * @module
 */

import type { KnownAnswer } from "./event_follower.ts";
import { faultOf } from "./answer_fault.ts";
import { EventReader } from "./event_reader.ts";
import { EventShapes } from "./event_shapes.ts";
import { Recording } from "./record.ts";
import { type Head, ResponseReader } from "./response_reader.ts";
import type { StreamTarget } from "./stream_run.ts";

/** Bytes of a probed body at most. */
const BODY_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Two probes that differ by more than this at some event follow no common schedule. An idle server
 * on the same machine stays below 2 ms.
 */
const SCHEDULE_TOLERANCE_MS = 5;

/** What may vary from answer to answer: ids and times. The group is what is masked. */
const VARYING = [/"id":\s*"([^"]*)"/g, /"created(?:_at)?":\s*([\d.]+)/g];

/** One whole answer. */
export interface Probe {
  readonly head: Head;
  readonly body: Uint8Array;
  /** Bytes of the whole response as they came: head, framing and body. */
  readonly wireBytes: number;
  /** When each event had come, in milliseconds after the connection was opened. */
  readonly eventsMs: readonly number[];
}

/**
 * A POST (or a GET without `body`) as the bytes of one HTTP/1.1 request. A header of `headers` stands in
 * place of the one that would be there without.
 */
export function requestBytes(
  url: string,
  body: string | undefined,
  headers: Readonly<Record<string, string>> = {},
): Uint8Array {
  const { pathname, search, host } = new URL(url);
  const bytes = body === undefined ? undefined : new TextEncoder().encode(body);
  const own = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
  const usual = [
    ["Host", host],
    ["Accept", "*/*"],
    // Bytes are counted and timed as they come.
    ["Accept-Encoding", "identity"],
    ...(bytes === undefined ? [] : [
      ["Content-Type", "application/json"],
      ["Content-Length", String(bytes.length)],
    ]),
  ].filter(([name]) => !own.has(name!.toLowerCase()));
  const lines = [...usual, ...Object.entries(headers)].map(([name, value]) => `${name}: ${value}`);
  const start = `${bytes === undefined ? "GET" : "POST"} ${pathname}${search} HTTP/1.1`;
  return new TextEncoder().encode(`${[start, ...lines].join("\r\n")}\r\n\r\n${body ?? ""}`);
}

/** Where `url` points, with the request that is to be sent there. */
export function targetOf(url: string, request: Uint8Array): StreamTarget {
  const { protocol, hostname, port } = new URL(url);
  const isTls = protocol === "https:";
  return {
    hostname: hostname.replace(/^\[|\]$/g, ""),
    port: Number(port) || (isTls ? 443 : 80),
    isTls,
    request,
  };
}

/**
 * Asks `target` once and reads the whole answer.
 *
 * @throws {Error} when there is no whole answer within `timeoutMs`.
 */
export async function probe(target: StreamTarget, timeoutMs: number): Promise<Probe> {
  const { promise, resolve, reject } = Promise.withResolvers<Probe>();
  const startMs = performance.now();
  const pieces: Uint8Array[] = [];
  const piecesMs: { readonly endByte: number; readonly atMs: number }[] = [];
  let head: Head | undefined;
  let length = 0;
  let wireBytes = 0;
  const reader = new ResponseReader({
    head: (found) => void (head = found),
    data: (bytes, from, to) => {
      length += to - from;
      if (length > BODY_BYTES_MAX) {
        return reject(new Error(`The answer is over ${BODY_BYTES_MAX} bytes`));
      }
      pieces.push(bytes.slice(from, to));
      piecesMs.push({ endByte: length, atMs: performance.now() - startMs });
    },
    cut: () => {},
    end: (isWhole, reason) => {
      if (!isWhole) return reject(new Error(`The answer is not whole: ${reason}`));
      const body = new Uint8Array(Buffer.concat(pieces));
      const eventsMs = eventEnds(body).map((end) =>
        piecesMs.find(({ endByte }) => endByte >= end)!.atMs
      );
      resolve({ head: head!, body, wireBytes, eventsMs });
    },
  });
  let unsent = target.request;
  const send = (socket: Bun.Socket<undefined>) => {
    unsent = unsent.subarray(Math.max(0, socket.write(unsent)));
  };
  const timer = setTimeout(
    () => reject(new Error(`There is no whole answer after ${timeoutMs} ms`)),
    timeoutMs,
  );
  try {
    const socket = await Bun.connect({
      hostname: target.hostname,
      port: target.port,
      ...(target.isTls ? { tls: { serverName: target.hostname } } : {}),
      socket: {
        open: send,
        drain: send,
        data: (_, bytes) => {
          wireBytes += bytes.length;
          reader.feed(bytes);
        },
        close: () => reader.close(),
        end: () => reader.close(),
        error: (_, error) => reject(error),
      },
    });
    return await promise.finally(() => socket.end());
  } finally {
    clearTimeout(timer);
  }
}

/** What is wrong with an answer that came whole, by what it says itself; "" = nothing. */
export function probeFault({ head, body }: Probe): string {
  const recording = new Recording();
  const events = new EventReader(new EventShapes());
  events.begin(recording, "events");
  recording.read(0, body.length);
  events.data(Buffer.from(body.buffer, body.byteOffset, body.length), 0, body.length);
  const type = head.field("content-type").toLowerCase();
  return faultOf(recording, events, type, { wantsEvents: true })?.[1] ?? "";
}

/** The offset behind each event of a body; comments belong to the event that follows them. */
export function eventEnds(body: Uint8Array): readonly number[] {
  const ends: number[] = [];
  let isLineStart = true;
  let hasField = false;
  for (let i = 0; i < body.length; i++) {
    const byte = body[i]!;
    if (byte === 0x0a) {
      if (isLineStart && hasField) {
        ends.push(i + 1);
        hasField = false;
      }
      isLineStart = true;
    } else if (byte !== 0x0d) {
      if (isLineStart && byte !== 0x3a) hasField = true;
      isLineStart = false;
    }
  }
  return ends;
}

/** `body` with ids and times replaced by `•`: two answers to one request are then equal. */
export function maskVarying(body: Uint8Array): string {
  const text = Buffer.from(body).toString("latin1");
  return VARYING.reduce(
    (masked, pattern) =>
      masked.replace(pattern, (all, value) => all.replace(value, "•".repeat(value.length))),
    text,
  );
}

/**
 * The answer that all of `bodies` are, with ids and times left open. Undefined when they differ in
 * anything else, or are no event stream: events can then only be counted.
 */
export function knownAnswer(bodies: readonly Uint8Array[]): KnownAnswer | undefined {
  const [first] = bodies;
  if (first === undefined) return undefined;
  const ends = eventEnds(first);
  if (ends.length === 0 || ends.at(-1) !== first.length) return undefined;
  const masked = maskVarying(first);
  if (bodies.some((body) => maskVarying(body) !== masked)) return undefined;
  const bytes = Int16Array.from(first, (byte, i) => masked[i] === "•" ? -1 : byte);
  return { bytes, ends: Uint32Array.from(ends) };
}

/**
 * When each event is due, learnt from probes of an idle server: the earliest of each, in whole
 * milliseconds. Undefined when the probes disagree.
 */
export function learnSchedule(probes: readonly Probe[]): Float64Array | undefined {
  const [first] = probes;
  if (first === undefined || first.eventsMs.length === 0) return undefined;
  const dueMs = new Float64Array(first.eventsMs.length);
  for (let i = 0; i < dueMs.length; i++) {
    const times = probes.map(({ eventsMs }) => eventsMs[i] ?? Infinity);
    const earliestMs = Math.min(...times);
    if (Math.max(...times) - earliestMs > SCHEDULE_TOLERANCE_MS) return undefined;
    dueMs[i] = Math.max(Math.floor(earliestMs), i === 0 ? 0 : dueMs[i - 1]!);
  }
  return probes.every(({ eventsMs }) => eventsMs.length === dueMs.length) ? dueMs : undefined;
}
