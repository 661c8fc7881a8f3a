import { describe, expect, test } from "bun:test";
import type { Ask, PieceSink, Relay, RelayBody } from "../../../src/core/answer.ts";
import type { Call } from "../../../src/core/exchange.ts";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { StreamOptions } from "../../../src/sources/upstream/stream_options.ts";
import { askUsage, withWish } from "../../../src/sources/usage/ask.ts";

const CALL = { usageRule: "ask" } as Call;
const ASK = {
  model: () => "m",
  wire: {
    dialect: "openai_chat",
    method: "POST",
    path: "/chat/completions",
    fields: Fields.NONE,
    body: new TextEncoder().encode('{"stream":true}'),
  },
} as unknown as Ask;

/** A body of `pieces`; of one piece, all is here at once. */
function bodyOf(pieces: readonly Uint8Array[]): RelayBody {
  return {
    whole: () => pieces.length === 1 ? pieces[0] : undefined,
    flow(sink) {
      for (const piece of pieces) sink.onPiece(piece, 0);
      sink.onEnd("end");
    },
    pause() {},
    resume() {},
    cancel() {},
  };
}

/** What a client gets of a stream in `pieces`. */
async function left(pieces: readonly Uint8Array[]): Promise<string> {
  const relay: Relay = {
    kind: "relay",
    status: 200,
    fields: Fields.of([["content-type", "text/event-stream"]]),
    body: bodyOf(pieces),
  };
  const source = askUsage({ name: "", answer: () => relay }, new StreamOptions("auto"));
  const { body } = await source.answer(ASK, CALL) as Relay;
  const whole = body.whole();
  if (whole !== undefined) return Buffer.from(whole).toString();
  const got: Uint8Array[] = [];
  const sink: PieceSink = { onPiece: (bytes) => void got.push(bytes), onEnd() {} };
  body.flow(sink);
  return Buffer.concat(got).toString();
}

const SAID = 'data: {"choices":[{"delta":{"content":"ü \\"usage\\":{"}}],"usage":null}\n\n';
const TOLD = 'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n';

/** Streams → what is left of them. */
const STREAMS: readonly (readonly [name: string, stream: string, wanted: string])[] = [
  ["a usual stream", `${SAID}${SAID}${TOLD}data: [DONE]\n\n`, `${SAID}${SAID}data: [DONE]\n\n`],
  ["nothing else", TOLD, ""],
  ["no usage", `${SAID}: ping\n\n${SAID}`, `${SAID}: ping\n\n${SAID}`],
  ["a usage beside a choice", SAID.replace("null", '{"x":1}'), SAID.replace("null", '{"x":1}')],
  [
    "blanks",
    `${SAID}data:{"choices": [ ], "usage" : {} }\n\n${SAID}`,
    SAID + SAID,
  ],
  [
    "an event of several lines",
    `${SAID}data: {"choices":[],\ndata: "usage"\ndata: :\ndata: {}}\n\n${SAID}`,
    SAID + SAID,
  ],
  [
    "an event that breaks off",
    `${SAID}data: {"choices":[],"usage":{`,
    `${SAID}data: {"choices":[],"usage":{`,
  ],
  ["more blank lines than one", `${SAID}\n\n${TOLD}\n${SAID}`, `${SAID}\n\n\n${SAID}`],
];

describe("askUsage", () => {
  for (const [name, stream, wanted] of STREAMS) {
    test(`takes the usage alone out of ${name}, wherever it is cut`, async () => {
      const bytes = Buffer.from(stream);
      expect(await left([bytes])).toBe(wanted);
      for (let at = 0; at <= bytes.length; at++) {
        expect(await left([bytes.subarray(0, at), bytes.subarray(at)])).toBe(wanted);
      }
      expect(await left([...bytes].map((byte) => Buffer.of(byte)))).toBe(wanted);
      expect(await left(stream.split(/(?<=\n\n)/).map((event) => Buffer.from(event)))).toBe(wanted);
    });
  }

  test("takes it out of lines of CR LF, too", async () => {
    const [stream, wanted] = [SAID + TOLD + SAID, SAID + SAID]
      .map((text) => text.replaceAll("\n", "\r\n")) as [string, string];
    expect(await left([Buffer.from(stream)])).toBe(wanted);
    const events = stream.split(/(?<=\r\n\r\n)/).map((event) => Buffer.from(event));
    expect(await left(events)).toBe(wanted);
  });

  test("puts its wish at the end of the client's object, or into the options that it has", () => {
    expect(withWish('{"stream":true}')).toBe(
      '{"stream":true,"stream_options":{"include_usage":true}}',
    );
    expect(withWish(' {"a":"}","stream":true \n} \n')).toBe(
      ' {"a":"}","stream":true,"stream_options":{"include_usage":true} \n} \n',
    );
    expect(withWish('{"stream_\\u006fptions":{},"stream":true}')).toBe(
      '{"stream_\\u006fptions":{"include_usage":true},"stream":true}',
    );
    expect(withWish('{"stream":true,"stream_options":null}')).toBe(
      '{"stream":true,"stream_options":{"include_usage":true}}',
    );
    expect(withWish('{"stream":false}')).toBeUndefined();
    expect(withWish('{"stream":true,}')).toBeUndefined();
  });
});
