import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/core/errors.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import { BodyLimits, readBytes, readJson } from "../../src/core/body.ts";

const SMALL = 65_536;
const errors = {
  tooLarge: () => new AppError("body_too_large", "large"),
  broken: () => new AppError("body_broken", "broken"),
};

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
  return { limits, moveTo };
}

/** A request whose body the test sends. */
function posting(headers: Record<string, string> = {}) {
  let body!: ReadableStreamDefaultController<Uint8Array>;
  let isCancelled = false;
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      body = controller;
    },
    cancel() {
      isCancelled = true;
    },
  });
  const request = new Request("http://weir/", { method: "POST", headers, body: stream });
  return {
    request,
    send: (bytes: number) => body.enqueue(new Uint8Array(bytes).fill(0x31)),
    end: () => body.close(),
    breakOff: () => body.error(new Error("gone")),
    isCancelled: () => isCancelled,
  };
}

async function codeOf(reading: Promise<unknown>): Promise<string> {
  try {
    await reading;
    return "ok";
  } catch (error) {
    return (error as AppError).code;
  }
}

/** Lets everything that waits for no clock happen. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

describe("readBytes()", () => {
  test("counts what is here of a body until it is whole", async () => {
    const { limits } = limiting();
    const post = posting();
    const reading = readBytes(post.request, limits, errors.tooLarge);
    post.send(SMALL);
    post.send(SMALL);
    await settle();
    expect(limits.togetherBytes).toBe(2 * SMALL);
    post.end();
    expect((await reading).length).toBe(2 * SMALL);
    expect(limits.togetherBytes).toBe(0);
  });

  test("refuses the body that would be too much together with the others, and only that", async () => {
    const { limits } = limiting();
    const [first, second, small] = [posting(), posting(), posting()];
    const readings = [first, second, small].map(({ request }) =>
      codeOf(readBytes(request, limits, errors.tooLarge))
    );
    first.send(3 * SMALL);
    await settle();
    second.send(2 * SMALL);
    await settle();
    expect(await readings[1]).toBe("bodies_full");
    expect(second.isCancelled()).toBe(true);
    expect(limits.togetherBytes).toBe(3 * SMALL);
    small.send(SMALL); // nobody is locked out by others' large bodies
    await settle();
    first.send(SMALL);
    await settle();
    expect(await readings[0]).toBe("bodies_full");
    small.end();
    expect(await readings[2]).toBe("ok");
    expect(limits.togetherBytes).toBe(0);
  });

  test("lets one alone have as many bytes as a body may have", async () => {
    const { limits } = limiting();
    const post = posting();
    const reading = codeOf(readBytes(post.request, limits, errors.tooLarge));
    post.send(8 * SMALL);
    await settle();
    expect(limits.togetherBytes).toBe(8 * SMALL);
    post.end();
    expect(await reading).toBe("ok");
  });

  const ENDS = [
    ["breaks off", "body_broken"],
    ["does not come in time", "body_slow"],
    ["is too large", "body_too_large"],
  ] as const;
  for (const [how, code] of ENDS) {
    test(`forgets a body that ${how}`, async () => {
      const { limits, moveTo } = limiting();
      const post = posting();
      const reading = codeOf(readBytes(post.request, limits, errors.tooLarge));
      post.send(2 * SMALL);
      await settle();
      expect(limits.togetherBytes).toBe(2 * SMALL);
      if (code === "body_broken") post.breakOff();
      if (code === "body_slow") moveTo(2000);
      if (code === "body_too_large") post.send(7 * SMALL);
      expect(await reading).toBe(code);
      await settle();
      expect(limits.togetherBytes).toBe(0);
    });
  }
});

describe("readJson()", () => {
  test("gives the same for a body of any length, named or not", async () => {
    const { limits } = limiting();
    for (const length of [1, SMALL - 2, SMALL - 1, SMALL, 3 * SMALL]) {
      const text = "水".repeat(length / 3) + "x".repeat(length % 3);
      const body = JSON.stringify(text);
      for (const headers of [{ "content-length": String(Buffer.byteLength(body)) }, {}]) {
        const request = new Request("http://weir/", { method: "POST", headers, body });
        expect(await readJson(request, limits, errors)).toBe(text);
      }
    }
    expect(limits.togetherBytes).toBe(0);
  });

  test("refuses a length over the limit before a byte of the body is read", async () => {
    const { limits } = limiting();
    const post = posting({ "content-length": String(8 * SMALL + 1) });
    expect(await codeOf(readJson(post.request, limits, errors))).toBe("body_too_large");
    expect(post.request.bodyUsed).toBe(false);
  });
});
