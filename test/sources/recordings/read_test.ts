import { describe, expect, test } from "bun:test";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { plainPieces, type Recording } from "../../../src/sources/recordings/recording.ts";
import { readRecordings } from "../../../src/sources/recordings/read.ts";
import { type Tape, tapeText } from "../../../src/sources/tape/format.ts";
import { toldTape } from "../tape/told_tape.ts";
import { answer, capture, cassette, question, stream } from "./cassettes.ts";

/** The one recording in `text`, with its bodies as texts. */
async function only(text: string) {
  const { recordings, untaken } = readRecordings(text, "a.yaml");
  expect(untaken).toEqual([]);
  expect(recordings).toHaveLength(1);
  const { request, pieces: _, fields, ...rest } = recordings[0]!;
  return {
    ...rest,
    request: textOf([{ bytes: request }]),
    fields: Object.fromEntries(fields),
    answer: textOf(await plainPieces(recordings[0]!) ?? []),
  };
}

function textOf(pieces: readonly Pick<Recording["pieces"][number], "bytes">[]): string {
  return Buffer.concat(pieces.map(({ bytes }) => bytes)).toString();
}

function why(text: string): readonly string[] {
  return readRecordings(text, "a.yaml").untaken.map(({ place, why }) => `${place}: ${why}`);
}

const COMPLETE = {
  place: "a.yaml, interaction 1",
  method: "POST",
  path: "/v1/responses",
  request: '{"a":1}',
  status: 200,
  fields: {},
  hasTimes: false,
  answer: "data: é\n\n",
};

describe("a cassette of VCR", () => {
  const REQUEST = `
- request:
    method: post
    uri: https://api.example.com/v1/responses?x=1
    body: '{"a":1}'
    headers: {Authorization: [Bearer sk-1], Content-Type: [application/json]}
  response:`;
  const told = (response: string) => `version: 1\ninteractions:${REQUEST}${response}`;

  test("is read as PyYAML writes it", async () => {
    const text = told(`
    status: {code: 200, message: OK}
    headers: {Content-Type: [text/event-stream], Set-Cookie: [sid=1]}
    body:
      string: "data: \\xE9\\n\\n"
`);
    expect(await only(text)).toEqual({
      ...COMPLETE,
      fields: { "content-type": "text/event-stream" },
    });
  });

  test("is read in the older form of httpx", async () => {
    const text = told(`
    status_code: 200
    http_version: HTTP/1.1
    headers: {}
    content: "data: \\xE9\\n\\n"
`);
    expect(await only(text)).toEqual(COMPLETE);
  });

  test("is read with bytes, compressed or not, whatever its header says of them", async () => {
    const plain = "data: é\n\n";
    const bodies: readonly (readonly [string, Buffer])[] = [
      ["gzip", gzipSync(plain)],
      ["br", brotliCompressSync(plain)],
      ["gzip", Buffer.from(plain)],
      ["identity", Buffer.from(plain)],
    ];
    for (const [encoding, bytes] of bodies) {
      const text = told(`
    status: {code: 200}
    headers: {content-encoding: ${encoding}}
    body: {string: !!binary "${bytes.toString("base64")}"}
`);
      const fields = { "content-encoding": encoding };
      expect(await only(text)).toEqual({ ...COMPLETE, fields });
    }
  });

  test("is read with bodies that a recorder has parsed, and in the form of other languages", async () => {
    const parsed = told(`
    status: {code: 200}
    parsed_body: {b: 2}
`);
    expect(await only(parsed)).toEqual({ ...COMPLETE, answer: '{"b":2}' });
    const other = `http_interactions:${REQUEST}
    status: {code: 200}
    body: {encoding: ASCII-8BIT, base64_string: "${btoa('{"b":2}')}"}
`;
    expect(await only(other)).toEqual({ ...COMPLETE, answer: '{"b":2}' });
  });

  test("is read as JSON", async () => {
    const read = await only(cassette({ asked: question("Hi"), answered: answer("Hello") }));
    expect(read).toMatchObject({ path: "/v1/chat/completions", fields: {}, status: 200 });
    expect(JSON.parse(read.request)).toEqual(question("Hi"));
  });

  test("says which of its interactions are none", () => {
    expect(why("interactions: [{request: {uri: /v1/x}, response: {}}, {}, 7]")).toEqual([
      "a.yaml, interaction 1: its response has no status",
      "a.yaml, interaction 2: its request has no uri",
      "a.yaml, interaction 3: its request has no uri",
    ]);
  });
});

describe("a capture", () => {
  const PIECES = [[10, stream("Hel")], [30.25, stream("lo")]] as const;

  test("is read with the times since the end of its request", () => {
    const { recordings } = readRecordings(capture(question("Hi"), PIECES), "a.llmcap.jsonl");
    const [{ pieces, ...rest }] = recordings as [Recording];
    expect(rest).toMatchObject({ method: "POST", path: "/v1/chat/completions", hasTimes: true });
    expect([...rest.fields]).toEqual([["content-type", "text/event-stream"]]);
    expect(pieces.map(({ atUs }) => atUs)).toEqual([10_000, 30_250]);
  });

  test("keeps its times when its content encoding is undone", async () => {
    const bytes = gzipSync(stream("Hello"), { level: 0 });
    const pieces = [bytes.subarray(0, 60), bytes.subarray(60)]
      .map((part, at) => ({ bytes: Uint8Array.from(part), atUs: at * 1000 }));
    const recording: Recording = {
      place: "a",
      method: "POST",
      path: "/",
      request: new Uint8Array(),
      status: 200,
      fields: new Map([["content-encoding", "gzip"]]),
      pieces,
      hasTimes: true,
    };
    const plain = await plainPieces(recording) ?? [];
    expect(textOf(plain)).toBe(stream("Hello"));
    expect(plain[0]!.atUs).toBe(0);
    expect(plain.at(-1)!.atUs).toBe(1000);
  });

  test("is not taken when it is not whole", () => {
    const text = capture(question("Hi"), PIECES);
    const cases: readonly (readonly [string, string])[] = [
      [text.replace(/.*capture\.end.*\n/, ""), "it has no end: it may still be written"],
      [
        capture(question("Hi"), PIECES, { outcome: "client_cancelled" }),
        "its client left before the answer had ended",
      ],
      [text.replace('"eofObserved":true', '"eofObserved":false'), "its answer broke off"],
      [
        text.replace(/(response.body_chunk.*bytesBase64":")[^"]+/, "$1AAAA"),
        "the bytes of its answer are not those that were recorded",
      ],
      [text.replace('"schemaVersion":1', '"schemaVersion":2'), "its schemaVersion is not 1"],
    ];
    for (const [broken, reason] of cases) expect(why(broken)).toEqual([`a.yaml: ${reason}`]);
  });
});

describe("a tape", () => {
  test("is read with the times of its reads, below the upstream's base URL", () => {
    const tape = toldTape(1, { base: "/openai/v1" });
    const { recordings, untaken } = readRecordings(tapeText(tape), "a.tape.jsonl");
    const [{ pieces, ...rest }] = recordings as [Recording];
    expect(untaken).toEqual([]);
    expect(rest).toEqual({
      place: "a.tape.jsonl",
      method: "POST",
      path: "/openai/v1/chat/completions",
      request: tape.request.body,
      status: 200,
      fields: new Map([["content-type", "text/event-stream"]]),
      hasTimes: true,
    });
    expect(pieces).toEqual(tape.reads);
    expect(textOf(pieces)).toBe(stream("你好 ", "🌊"));
  });

  test("is not taken when it is not whole", () => {
    const text = tapeText(toldTape(1));
    const ended = (how: Tape["ending"]["how"], more: Partial<Tape> = {}) =>
      tapeText(toldTape(1, { ending: { how, atUs: 400_000, error: "" }, ...more }));
    const cases: readonly (readonly [string, string])[] = [
      [text.slice(0, 600), "line 4: the file ends in the middle of it"],
      [
        text.replace("Hi", "Ho"),
        "line 3: its check sum is wrong: it was changed, or a line before it is missing",
      ],
      [ended("client_left"), "its client left before the answer had ended"],
      [ended("upstream_broke"), "its answer broke off"],
      [
        ended("timed_out", { response: undefined, reads: [], redactions: [] }),
        "its answer did not come in time",
      ],
    ];
    for (const [broken, reason] of cases) expect(why(broken)).toEqual([`a.yaml: ${reason}`]);
  });
});

test("a file that is neither says so", () => {
  const neither =
    "a.yaml: it is no tape, no VCR cassette (interactions) and no .llmcap.jsonl capture";
  for (const text of ["", "fixtures: []", '{"log":{}}', "7"]) expect(why(text)).toEqual([neither]);
  expect(why("a: [")[0]).toStartWith("a.yaml: it is no YAML and no JSON: ");
});
