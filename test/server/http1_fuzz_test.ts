import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { seeded } from "../seeded.ts";
import { canMakeCertificates } from "./certificate.ts";
import { parseAnswers } from "./http1_messages.ts";
import { type Kind, passedOn, type Rig, startRig, untilClosed } from "./http1_rig.ts";
import { CHAT } from "./http1_table.ts";
import { TEST_MS_MAX } from "./launch.ts";
import { connect } from "./raw_client.ts";

setDefaultTimeout(TEST_MS_MAX);

/** One request of a sequence. */
interface Part {
  readonly method: string;
  readonly bytes: string;
}

/** Sequences of each weir, and how often each is cut anew: 300 connections in all, and a few more. */
const SEQUENCES = 6;
const CUTS: Readonly<Record<FuzzedKind, number>> = {
  "plain": 16,
  "TLS": 9,
  "proxy": 16,
  "proxy with TLS": 9,
};
/** Pieces that a sequence is cut into, at most. */
const PIECES_MAX = 14;

const SIZE = CHAT.length.toString(16);
const HALF = CHAT.length >> 1;

function part(method: string, target: string, lines: readonly string[] = [], body = ""): Part {
  const head = [`${method} ${target} HTTP/1.1`, "Host: weir", ...lines, "", body];
  return { method, bytes: head.join("\r\n") };
}

function chat(lines: readonly string[], body: string): Part {
  return part("POST", "/v1/chat/completions", ["Content-Type: application/json", ...lines], body);
}

const CHUNKED = ["Transfer-Encoding: chunked"];

/** Requests that are answered, and the connection goes on. */
const GOOD: readonly Part[] = [
  chat([`Content-Length: ${CHAT.length}`], CHAT),
  chat(CHUNKED, `${SIZE}\r\n${CHAT}\r\n0\r\n\r\n`),
  chat(
    [...CHUNKED, "Trailer: X-Sum"],
    `${HALF.toString(16)};a;b="c;d"\r\n${CHAT.slice(0, HALF)}\r\n` +
      `0${(CHAT.length - HALF).toString(16).toUpperCase()}\r\n${CHAT.slice(HALF)}\r\n` +
      "00;last\r\nX-Sum: 1\r\nX-Other:\r\n\r\n",
  ),
  part("HEAD", "/api/workflows"),
  part("GET", "/api/workflows", ["X-Padding: a b\tc", "Accept:*/*"]),
  part("GET", "/nothing?a=b%20c"),
  part("POST", "/nothing", ["Content-Length: 5"], "hello"),
  part("OPTIONS", "/v1/chat/completions", [
    "Origin: http://page",
    "Access-Control-Request-Method: POST",
  ]),
];

/** Requests that are answered with 400, and the connection closes. */
const BAD: readonly Part[] = [
  part("GET", "/api/workflows", ["X : a"]),
  part("GET", "/api/workflows", ["X: a\rb"]),
  part("GET", "/api/workflows", ["Host: other"]),
  chat(["Content-Length: 5", "Content-Length: 6"], "hello"),
  chat([...CHUNKED, "Content-Length: 5"], "0\r\n\r\n"),
  chat(CHUNKED, "5\r\nhello\r\nx\r\n"),
  chat(CHUNKED, "5\r\nhello\n0\r\n\r\n"),
  chat(CHUNKED, "5\r\nhello\r\n0\r\nX\r\n\r\n"),
];

/** What is another one for each answer. */
const MASKED_FIELDS = [
  "content-length",
  "date",
  "openai-processing-ms",
  "transfer-encoding",
  "x-request-id",
];
const MASKED_TEXT = /chatcmpl-\w+|"created":\d+|"message_id":"[^"]*"|req_\w+/g;

type FuzzedKind = Extract<Kind, "plain" | "TLS" | "proxy" | "proxy with TLS">;

/** Five good ones, drawn by chance, and a bad one. */
function sequence(random: () => number): Part[] {
  const draw = (parts: readonly Part[]) => parts[Math.floor(random() * parts.length)]!;
  return [...Array.from({ length: 5 }, () => draw(GOOD)), draw(BAD)];
}

/** Places to cut `length` bytes at, in order. */
function cuts(random: () => number, length: number): number[] {
  const count = 1 + Math.floor(random() * (PIECES_MAX - 1));
  const places = Array.from({ length: count }, () => 1 + Math.floor(random() * (length - 1)));
  return [...new Set(places)].sort((a, b) => a - b);
}

/** Sends `parts` in pieces, and gives what came back and what was passed on, without its chance. */
async function outcome(rig: Rig, parts: readonly Part[], places: readonly number[]) {
  const isLong = places.length > PIECES_MAX;
  const bytes = Buffer.from(parts.map((one) => one.bytes).join(""), "latin1");
  const before = rig.requests.length;
  const client = await connect(rig.target, bytes.subarray(0, places[0]));
  for (const [i, place] of places.entries()) {
    // So that the server reads most pieces alone; nothing depends on it.
    await (isLong ? new Promise((resolve) => setImmediate(resolve)) : Bun.sleep(1));
    client.send(bytes.subarray(place, places[i + 1]));
  }
  const answers = parseAnswers(await untilClosed(client), parts.map(({ method }) => method));
  return {
    answers: answers.map(({ status, fields, body, isWhole, interim }) => ({
      status,
      // What an upstream sends in one packet goes on with its length, and in chunks else.
      isFramed: fields.has("content-length") || fields.has("transfer-encoding"),
      fields: [...fields].filter(([name]) => !MASKED_FIELDS.includes(name)).sort(),
      body: body.toString().replace(MASKED_TEXT, "…"),
      isWhole,
      interim,
    })),
    passed: rig.requests.slice(before).map(passedOn),
  };
}

for (const kind of ["plain", "TLS", "proxy", "proxy with TLS"] as const satisfies FuzzedKind[]) {
  const isSecure = kind.endsWith("TLS");
  describe.skipIf(isSecure && !canMakeCertificates())(`six requests at once, ${kind}`, () => {
    let rig: Rig;
    beforeAll(async () => {
      rig = await startRig(kind, { "ops.log": "off" });
    });
    afterAll(() => rig.stop());

    for (let seed = 1; seed <= SEQUENCES; seed++) {
      test(`are answered the same wherever they are cut, seed ${seed}`, async () => {
        const random = seeded(seed);
        const parts = sequence(random);
        const length = parts.reduce((sum, { bytes }) => sum + bytes.length, 0);
        const whole = await outcome(rig, parts, []);
        expect(whole.answers.map(({ status }) => status).slice(-1)).toEqual([400]);
        expect(whole.answers).toHaveLength(parts.length);
        const chats = parts.slice(0, -1).filter(({ bytes }) => bytes.includes("/v1/chat"))
          .filter(({ method }) => method === "POST");
        expect(whole.passed).toEqual(kind.startsWith("proxy") ? chats.map(() => CHAT) : []);
        for (let i = 0; i < CUTS[kind]; i++) {
          const places = cuts(random, length);
          expect({ places, ...await outcome(rig, parts, places) }).toEqual({ places, ...whole });
        }
      });
    }

    test("are answered the same when each byte comes alone", async () => {
      const parts = [...GOOD, BAD[0]!];
      const length = parts.reduce((sum, { bytes }) => sum + bytes.length, 0);
      const each = Array.from({ length: length - 1 }, (_, i) => i + 1);
      expect(await outcome(rig, parts, each)).toEqual(await outcome(rig, parts, []));
    });
  });
}
