import { describe, expect, test } from "bun:test";
import { BodyLimits, type BodyReceiver, readBody, type WholeBody } from "../../src/core/body.ts";
import { AppError } from "../../src/core/errors.ts";
import { REPLAY_BYTES_MAX, UNSENT_BYTES_MAX, type Upload } from "../../src/core/upload.ts";
import { malformed } from "../../src/lib/http1/error.ts";
import type { UploadListener } from "../../src/lib/http1/upload.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import { SentBody } from "./body_of.ts";

const SMALL = 65_536;
const MEGABYTE = 1_048_576;
const BODY_BYTES_MAX = 32 * MEGABYTE;
const TIMEOUT_MS = 1000;

/** A body that may go up, and what its receiver is told. */
class Going implements BodyReceiver, UploadListener {
  readonly body: SentBody;
  upload: Upload | undefined = undefined;
  here: Uint8Array | undefined = undefined;
  whole: Uint8Array | undefined = undefined;
  error: AppError | undefined = undefined;
  /** How often it was told that there is more. */
  told = 0;

  constructor(limits: BodyLimits, lengthBytes?: number) {
    this.body = new SentBody(lengthBytes);
    const taker = {
      takes: "stream",
      tooLarge: () => new AppError("body_too_large", "large"),
    } as const;
    readBody(this.body, limits, taker, this);
  }

  onBody(body: WholeBody): void {
    this.whole = body.bytes();
  }

  onUpload(upload: Upload, here: WholeBody): void {
    this.upload = upload;
    this.here = here.bytes();
  }

  onBodyError(error: AppError): void {
    this.error = error;
  }

  onMore(): void {
    this.told++;
  }

  /** Takes what there is, up to `bytesMax` bytes. Null = that was all of it. */
  take(bytesMax = Infinity): Buffer | null {
    const pieces: Uint8Array[] = [];
    for (let bytes = 0; bytes < bytesMax;) {
      const piece = this.upload!.next();
      if (piece === null && pieces.length === 0) return null;
      if (piece === null || piece === undefined) break;
      expect(piece.length).toBeWithin(1, SMALL + 1);
      pieces.push(piece);
      bytes += piece.length;
    }
    return Buffer.concat(pieces);
  }
}

function limiting(bodies_max_bytes = 8 * MEGABYTE) {
  const clock = { nowMs: 0 };
  const wheel = new Wheel(() => clock.nowMs, () => {});
  const limits = new BodyLimits(wheel, {
    body_max_bytes: BODY_BYTES_MAX,
    body_timeout_ms: TIMEOUT_MS,
    bodies_max_bytes,
  });
  const pass = (ms: number) => {
    for (const endMs = clock.nowMs + ms; clock.nowMs < endMs; clock.nowMs += 50) wheel.turn();
  };
  return { limits, pass, wheel };
}

/** `bytes` bytes that differ. */
function bytesOf(bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
}

describe("readBody(), where the surface takes a stream", () => {
  test("gives a body of up to 64 KiB whole", () => {
    const { limits } = limiting();
    const going = new Going(limits);
    going.body.send(SMALL);
    going.body.end();
    expect([going.whole?.length, going.upload]).toEqual([SMALL, undefined]);
  });

  test("gives a larger one as an upload, with what is here of it", () => {
    const { limits } = limiting();
    const going = new Going(limits, 3 * SMALL);
    going.body.send(SMALL);
    expect(going.upload).toBeUndefined();
    going.body.send("{");
    expect(going.here).toHaveLength(SMALL + 1);
    expect(going.upload!.lengthBytes).toBe(3 * SMALL);
  });

  const ENDS: readonly (readonly [
    how: string,
    end: (going: Going, pass: (ms: number) => void) => void,
    code: AppError["code"],
    state: readonly [isDropped: boolean, isRefused: boolean],
  ])[] = [
    ["breaks off", ({ body }) => body.breakOff(), "body_broken", [false, false]],
    ["is no HTTP", ({ body }) => body.breakOff(malformed("request", "x")), "body_broken", [
      false,
      false,
    ]],
    ["is too slow", (_going, pass) => pass(2 * TIMEOUT_MS), "body_slow", [true, false]],
    ["is too large", ({ body }) => body.send(BODY_BYTES_MAX), "body_too_large", [true, true]],
  ];
  for (const [how, end, code, state] of ENDS) {
    test(`tells ${code} of an upload that ${how}, and nothing of it is left`, () => {
      const { limits, pass, wheel } = limiting();
      const going = new Going(limits);
      going.body.send(2 * SMALL);
      going.upload!.start(going);
      expect(going.take()).toHaveLength(2 * SMALL);
      end(going, pass);
      expect(going.error?.code).toBe(code);
      expect([going.body.isDropped, going.body.isRefused]).toEqual([...state]);
      going.upload!.stop();
      going.upload!.settle();
      expect(going.upload!.next()).toBeUndefined();
      expect(limits.togetherBytes).toBe(0);
      pass(2 * TIMEOUT_MS);
      expect(wheel.waiting).toBe(0);
    });
  }

  test("gives a client all the time while the upstream takes nothing", () => {
    const { limits, pass } = limiting();
    const going = new Going(limits);
    going.body.send(2 * SMALL);
    expect(going.body.isPaused).toBe(true);
    pass(5 * TIMEOUT_MS);
    expect(going.error).toBeUndefined();
    going.upload!.start(going);
    going.take();
    expect(going.body.isPaused).toBe(false);
    pass(2 * TIMEOUT_MS);
    expect(going.error?.code).toBe("body_slow");
  });

  test("refuses what is too much beside the others, and lets go of what has gone first", () => {
    const { limits } = limiting(MEGABYTE);
    const [one, two] = [new Going(limits), new Going(limits)];
    for (const going of [one, two]) {
      going.body.send(10 * SMALL);
      if (going === two) break;
      going.upload!.start(going);
      going.take();
    }
    expect(two.error?.code).toBe("bodies_full");
    expect(one.upload!.canStart).toBe(true);
    const three = new Going(limits);
    three.body.send(5 * SMALL);
    one.body.send(2 * SMALL);
    expect(one.error).toBeUndefined();
    expect(one.upload!.canStart).toBe(false);
    expect(one.take()).toHaveLength(2 * SMALL);
    expect(limits.togetherBytes).toBe(5 * SMALL);
  });
});

describe("Upload", () => {
  test("holds little of 30 MB, however slowly they are taken, and gives them as they came", () => {
    const { limits } = limiting();
    const bytes = bytesOf(30 * MEGABYTE);
    const going = new Going(limits, bytes.length);
    const taken: Buffer[] = [];
    let heldMax = 0;
    for (let at = 0; at < bytes.length;) {
      // A socket gives so much at a time.
      const size = Math.min(8 * SMALL, bytes.length - at);
      going.body.send(bytes.subarray(at, at + size));
      at += size;
      if (at === size) going.upload!.start(going);
      while (going.body.isPaused) {
        heldMax = Math.max(heldMax, limits.togetherBytes);
        taken.push(going.take(1)!);
      }
    }
    going.body.end();
    for (let more = going.take(); more !== null; more = going.take()) taken.push(more);
    expect(Buffer.concat(taken).equals(bytes)).toBe(true);
    expect(heldMax).toBeGreaterThan(REPLAY_BYTES_MAX);
    expect(heldMax).toBeLessThanOrEqual(REPLAY_BYTES_MAX + UNSENT_BYTES_MAX + 9 * SMALL);
    expect(limits.togetherBytes).toBe(0);
  });

  test("tells its taker that there is more, or that it is whole, when it has asked for it", () => {
    const { limits } = limiting();
    const going = new Going(limits);
    going.body.send(2 * SMALL);
    going.upload!.start(going);
    going.take();
    expect(going.told).toBe(0);
    going.body.send(3);
    going.body.send(3);
    expect(going.told).toBe(1);
    expect(going.take()).toHaveLength(6);
    going.body.end();
    expect(going.told).toBe(2);
    expect(going.take()).toBe(null);
  });

  test("begins again with the first byte, until more than 1 MiB has gone", () => {
    const { limits } = limiting();
    const bytes = bytesOf(2 * MEGABYTE);
    const going = new Going(limits);
    going.body.send(bytes.subarray(0, MEGABYTE));
    for (let i = 0; i < 3; i++) {
      expect(going.upload!.canStart).toBe(true);
      going.upload!.start(going);
      expect(going.take()!.equals(bytes.subarray(0, MEGABYTE))).toBe(true);
      going.upload!.stop();
    }
    going.upload!.start(going);
    going.take();
    going.body.send(bytes.subarray(MEGABYTE));
    expect(going.upload!.canStart).toBe(true);
    expect(going.take(1)!.equals(bytes.subarray(MEGABYTE, MEGABYTE + SMALL))).toBe(true);
    expect(going.upload!.canStart).toBe(false);
    expect(() => going.upload!.start(going)).toThrow(TypeError);
    expect(going.take()!.equals(bytes.subarray(MEGABYTE + SMALL))).toBe(true);
  });

  test("keeps nothing that has gone once nobody will ask again, and goes on", () => {
    const { limits } = limiting();
    const going = new Going(limits);
    going.body.send(4 * SMALL);
    going.upload!.start(going);
    going.take();
    expect(limits.togetherBytes).toBe(4 * SMALL);
    going.upload!.settle();
    expect(limits.togetherBytes).toBe(0);
    going.body.send(SMALL);
    expect(going.take()).toHaveLength(SMALL);
    expect([limits.togetherBytes, going.body.isDropped]).toEqual([0, false]);
    going.upload!.stop();
    expect(going.body.isDropped).toBe(true);
  });

  test("has the rest thrown away when nobody takes it, and nobody will ask again", () => {
    const { limits, pass, wheel } = limiting();
    const going = new Going(limits);
    going.body.send(4 * SMALL);
    going.upload!.start(going);
    going.take(1);
    going.upload!.stop();
    expect(going.body.isDropped).toBe(false);
    going.upload!.settle();
    expect([going.body.isDropped, limits.togetherBytes]).toEqual([true, 0]);
    pass(2 * TIMEOUT_MS);
    expect([going.error, wheel.waiting]).toEqual([undefined, 0]);
  });
});
