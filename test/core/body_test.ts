import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/core/errors.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import {
  BodyLimits,
  type BodyReceiver,
  queryOf,
  readBody,
  type RequestBody,
  type WholeBody,
} from "../../src/core/body.ts";
import { Inbound } from "../../src/core/surface.ts";
import { BodyBytes } from "../../src/lib/http1/body_bytes.ts";
import { malformed } from "../../src/lib/http1/error.ts";
import { requestHead } from "../../src/lib/http1/request_head.ts";
import { bodyOf, SentBody } from "./body_of.ts";

const SMALL = 65_536;
const TAKER = {
  takes: "body",
  tooLarge: () => new AppError("body_too_large", "large"),
} as const;

/** What comes of a body; it is told once at the most. */
class Reading implements BodyReceiver {
  readonly told: (AppError | Uint8Array)[] = [];

  constructor(body: RequestBody, limits: BodyLimits) {
    readBody(body, limits, TAKER, this);
  }

  onBody(body: WholeBody): void {
    this.told.push(body.bytes());
  }

  onUpload(): void {
    throw new Error("It takes no stream");
  }

  onBodyError(error: AppError): void {
    this.told.push(error);
  }

  /** The body, its error's code, or undefined while it comes. */
  get outcome(): string | undefined {
    const [told, ...more] = this.told;
    if (more.length > 0) throw new Error("Told twice");
    return told instanceof AppError ? told.code : told && new TextDecoder().decode(told);
  }
}

/** Limits with a clock that the test moves. */
function limiting() {
  const clock = { nowMs: 0 };
  const wheel = new Wheel(() => clock.nowMs, () => {});
  const limits = new BodyLimits(wheel, {
    body_max_bytes: 8 * SMALL,
    body_timeout_ms: 1000,
    bodies_max_bytes: 4 * SMALL,
  });
  const moveTo = (ms: number) => {
    for (; clock.nowMs < ms; clock.nowMs += 50) wheel.turn();
  };
  return { limits, moveTo, wheel };
}

const isSmall = (length: number) => length < 100;

describe("readBody(), of a body that is coming", () => {
  test("counts what is here of it until it is whole", () => {
    const { limits } = limiting();
    const body = new SentBody();
    const reading = new Reading(body, limits);
    body.send(SMALL);
    body.send(SMALL);
    expect(limits.togetherBytes).toBe(2 * SMALL);
    body.end();
    expect(reading.outcome).toBe("1".repeat(2 * SMALL));
    expect(limits.togetherBytes).toBe(0);
  });

  test("refuses the body that would be too much together with the others, and only that", () => {
    const { limits } = limiting();
    const [first, second, small] = [new SentBody(), new SentBody(), new SentBody()];
    const [one, two, three] = [first, second, small].map((body) => new Reading(body, limits));
    first.send(3 * SMALL);
    second.send(2 * SMALL);
    expect(two!.outcome).toBe("bodies_full");
    expect([second.isDropped, second.isRefused]).toEqual([true, false]);
    expect(limits.togetherBytes).toBe(3 * SMALL);
    small.send(SMALL); // nobody is locked out by others' large bodies
    first.send(SMALL);
    expect(one!.outcome).toBe("bodies_full");
    small.end();
    expect(three!.outcome).toHaveLength(SMALL);
    expect(limits.togetherBytes).toBe(0);
  });

  test("lets one alone have as many bytes as a body may have", () => {
    const { limits } = limiting();
    const body = new SentBody();
    const reading = new Reading(body, limits);
    body.send(8 * SMALL);
    expect(limits.togetherBytes).toBe(8 * SMALL);
    body.end();
    expect(reading.outcome).toHaveLength(8 * SMALL);
  });

  const ENDS: readonly (readonly [
    how: string,
    end: (body: SentBody, moveTo: (ms: number) => void) => void,
    code: AppError["code"],
    isDropped: boolean,
  ])[] = [
    ["breaks off", (body) => body.breakOff(), "body_broken", false],
    ["is no HTTP", (body) => body.breakOff(malformed("request", "x")), "body_broken", false],
    ["does not come in time", (_body, moveTo) => moveTo(2000), "body_slow", true],
    ["is too large", (body) => body.send(7 * SMALL), "body_too_large", true],
  ];
  for (const [how, end, code, isDropped] of ENDS) {
    test(`forgets one that ${how}, and tells ${code} once, whatever comes later`, () => {
      const { limits, moveTo, wheel } = limiting();
      const body = new SentBody();
      const reading = new Reading(body, limits);
      body.send(2 * SMALL);
      expect(limits.togetherBytes).toBe(2 * SMALL);
      end(body, moveTo);
      expect(reading.outcome).toBe(code);
      expect([body.isDropped, body.isRefused]).toEqual([isDropped, code === "body_too_large"]);
      expect(limits.togetherBytes).toBe(0);
      moveTo(4000);
      expect(reading.outcome).toBe(code);
      expect(wheel.waiting).toBe(0);
    });
  }

  const SENTENCES:
    readonly (readonly [name: string, sentence: string, Parameters<SentBody["breakOff"]>])[] = [
      ["of a client that left", "The request body broke off before its end", []],
      ["that is no HTTP", "Cannot read the request: why", [malformed("request", "why")]],
    ];
  for (const [name, sentence, given] of SENTENCES) {
    test(`says of one ${name}: ${sentence}`, () => {
      const body = new SentBody();
      const reading = new Reading(body, limiting().limits);
      body.breakOff(...given);
      expect(reading.told).toMatchObject([{ message: sentence }]);
    });
  }

  test("closes the connection of one that did not come in time, and of no other", () => {
    const { limits, moveTo } = limiting();
    const [slow, large] = [new SentBody(), new SentBody()];
    const [first, second] = [slow, large].map((body) => new Reading(body, limits));
    large.send(8 * SMALL + 1);
    moveTo(2000);
    expect(first!.told).toMatchObject([{ headers: { connection: "close" } }]);
    expect(second!.told).toMatchObject([{ code: "body_too_large" }]);
    expect((second!.told[0] as AppError).headers).toEqual({});
  });

  test("waits between one and one and a quarter of its time", () => {
    const { limits, moveTo } = limiting();
    const reading = new Reading(new SentBody(), limits);
    moveTo(1000);
    expect(reading.outcome).toBeUndefined();
    moveTo(1300);
    expect(reading.outcome).toBe("body_slow");
  });

  test("leaves nothing waiting", () => {
    const { limits, moveTo, wheel } = limiting();
    const body = new SentBody();
    const reading = new Reading(body, limits);
    body.end();
    expect(reading.outcome).toBe("");
    moveTo(2000);
    expect(wheel.waiting).toBe(0);
  });
});

describe("readBody()", () => {
  for (const length of [0, 1, SMALL - 1, SMALL, 8 * SMALL]) {
    test(`gives ${length} bytes that are here at once, and waits for nobody`, () => {
      const { limits, wheel } = limiting();
      const text = "x".repeat(length);
      expect(new Reading(bodyOf(text), limits).outcome).toBe(text);
      expect([wheel.waiting, limits.togetherBytes]).toEqual([0, 0]);
    });
  }

  test("gives a whole body without a copy", () => {
    const bytes = Buffer.from("水");
    const whole = new BodyBytes(bytes, 0, bytes.length);
    const body = { ...bodyOf(), bodyLengthBytes: bytes.length, wholeBody: () => whole };
    expect(new Reading(body, limiting().limits).told[0]).toBe(bytes);
  });

  test("gives a body that comes in one piece without a copy", () => {
    const bytes = Buffer.from("水");
    const { limits } = limiting();
    const told: Uint8Array[] = [];
    readBody(
      {
        bodyLengthBytes: undefined,
        wholeBody: () => undefined,
        flowBody(sink) {
          sink.onBytes(bytes);
          sink.onBodyEnd();
        },
        pauseBody() {},
        resumeBody() {},
        dropBody() {},
        refuseBody() {},
      },
      limits,
      TAKER,
      { onBody: (body) => void told.push(body.bytes()), onUpload() {}, onBodyError() {} },
    );
    expect(told[0]).toBe(bytes as never);
  });

  test("gives the same for a body of any length, in pieces of any size", () => {
    const { limits } = limiting();
    for (const length of [1, 99, SMALL - 1, SMALL, 3 * SMALL]) {
      const text = "水".repeat(length / 3) + "x".repeat(length % 3);
      const bytes = Buffer.from(text);
      for (const size of isSmall(length) ? [1, 2, 7] : [1000, SMALL, length]) {
        const body = new SentBody(bytes.length);
        const reading = new Reading(body, limits);
        for (let at = 0; at < bytes.length; at += size) body.send(bytes.subarray(at, at + size));
        body.end();
        expect(reading.outcome).toBe(text);
      }
    }
    expect(limits.togetherBytes).toBe(0);
  });

  test("refuses a length over the limit before a byte of the body is asked for", () => {
    const { limits } = limiting();
    const body = new SentBody(8 * SMALL + 1);
    expect(new Reading(body, limits).outcome).toBe("body_too_large");
    expect([body.isFlowing, body.isRefused]).toEqual([false, true]);
  });

  test("refuses a whole body over the limit that tells no length", () => {
    const { limits } = limiting();
    let isRefused = false;
    const body = {
      ...bodyOf("x".repeat(8 * SMALL + 1)),
      bodyLengthBytes: undefined,
      refuseBody() {
        isRefused = true;
      },
    };
    expect(new Reading(body, limits).outcome).toBe("body_too_large");
    expect(isRefused).toBe(true);
    expect(limits.togetherBytes).toBe(0);
  });
});

describe("Inbound.text", () => {
  const BOM = "\ufeff";
  const CASES: readonly (readonly [name: string, bytes: Uint8Array, text: string])[] = [
    ["nothing", Buffer.from(""), ""],
    ["characters of one to four bytes", Buffer.from("aé水🌊"), "aé水🌊"],
    ["a byte order mark", Buffer.from(`${BOM}水`), "水"],
    ["nothing but a byte order mark", Buffer.from(BOM), ""],
    ["two byte order marks", Buffer.from(`${BOM}${BOM}水`), `${BOM}水`],
    ["half a byte order mark", Uint8Array.of(0xef, 0xbb), "\ufffd"],
    ["a broken character", Uint8Array.of(0x61, 0xff, 0x62), "a\ufffdb"],
    ["a view into other bytes", Buffer.from("(水)").subarray(1, 4), "水"],
  ];
  for (const [name, bytes, text] of CASES) {
    test(`is ${JSON.stringify(text)} for ${name}, as TextDecoder reads it`, () => {
      const around = Buffer.concat([Buffer.from("("), bytes, Buffer.from(")")]);
      const body = new BodyBytes(around, 1, around.length - 1);
      const inbound = new Inbound(requestHead(), {}, body);
      expect(inbound.bytes).toEqual(new Uint8Array(bytes));
      expect(inbound.text).toBe(text);
      expect(inbound.text).toBe(new TextDecoder().decode(bytes));
    });
  }
});

describe("queryOf()", () => {
  const CASES = [
    ["/", ""],
    ["/v1?a=1&b=%20", "?a=1&b=%20"],
    ["/v1?", "?"],
    ["/v1?a=1?2", "?a=1?2"],
    ["*", ""],
  ] as const;
  for (const [target, query] of CASES) {
    test(`${target}: ${JSON.stringify(query)}`, () => expect(queryOf(target)).toBe(query));
  }
});
