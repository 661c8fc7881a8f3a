import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/core/errors.ts";
import { Waiting } from "../../src/lib/waiting_line.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import {
  type BodyForm,
  BodyLimits,
  type BodyReceiver,
  bodySlow,
  readBody,
} from "../../src/core/body.ts";

const SMALL = 65_536;
const DIALECT = { tooLarge: () => new AppError("body_too_large", "large") };

/** A body, and what comes of it; each is told once at the most. */
class Reading extends Waiting implements BodyReceiver {
  readonly told: (AppError | readonly [text: string, bytes: Uint8Array])[] = [];
  readonly #limits: BodyLimits;
  readonly #onTold: () => void;

  constructor(limits: BodyLimits, onTold: () => void = () => {}) {
    super();
    this.#limits = limits;
    this.#onTold = onTold;
  }

  onBody(text: string, bytes: Uint8Array): void {
    this.#tell([text, bytes]);
  }

  onBodyError(error: AppError): void {
    this.#tell(error);
  }

  override expire(): void {
    this.#tell(bodySlow(this.#limits.timeoutMs));
  }

  #tell(told: Reading["told"][number]): void {
    this.told.push(told);
    this.#onTold();
  }
}

/** The body as `readBody` gives it. */
function reading(
  request: Request,
  form: BodyForm,
  limits: BodyLimits,
): Promise<{ readonly text: string; readonly bytes: Uint8Array }> {
  return new Promise((resolve, reject) => {
    const receiver: Reading = new Reading(limits, () => {
      const [told] = receiver.told;
      if (told instanceof AppError) reject(told);
      else resolve({ text: told![0], bytes: told![1] });
    });
    readBody(request, form, limits, DIALECT, receiver);
  });
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

describe("readBody()", () => {
  test("counts what is here of a body until it is whole", async () => {
    const { limits } = limiting();
    const post = posting();
    const whole = reading(post.request, "bytes", limits);
    post.send(SMALL);
    post.send(SMALL);
    await settle();
    expect(limits.togetherBytes).toBe(2 * SMALL);
    post.end();
    expect((await whole).bytes.length).toBe(2 * SMALL);
    expect(limits.togetherBytes).toBe(0);
  });

  test("refuses the body that would be too much together with the others, and only that", async () => {
    const { limits } = limiting();
    const [first, second, small] = [posting(), posting(), posting()];
    const readings = [first, second, small].map(({ request }) =>
      codeOf(reading(request, "bytes", limits))
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
    const code = codeOf(reading(post.request, "bytes", limits));
    post.send(8 * SMALL);
    await settle();
    expect(limits.togetherBytes).toBe(8 * SMALL);
    post.end();
    expect(await code).toBe("ok");
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
      const read = codeOf(reading(post.request, "bytes", limits));
      post.send(2 * SMALL);
      await settle();
      expect(limits.togetherBytes).toBe(2 * SMALL);
      if (code === "body_broken") post.breakOff();
      if (code === "body_slow") moveTo(2000);
      if (code === "body_too_large") post.send(7 * SMALL);
      expect(await read).toBe(code);
      await settle();
      expect(limits.togetherBytes).toBe(0);
    });
  }
});

describe("readBody(), in both forms", () => {
  test("gives the same for a body of any length, named or not", async () => {
    const { limits } = limiting();
    for (const length of [1, SMALL - 2, SMALL - 1, SMALL, 3 * SMALL]) {
      const body = "水".repeat(length / 3) + "x".repeat(length % 3);
      for (const headers of [{ "content-length": String(Buffer.byteLength(body)) }, {}]) {
        const request = () => new Request("http://weir/", { method: "POST", headers, body });
        const text = await reading(request(), "text", limits);
        expect([text.text, text.bytes.length]).toEqual([body, 0]);
        const bytes = await reading(request(), "bytes", limits);
        expect([new TextDecoder().decode(bytes.bytes), bytes.text]).toEqual([body, ""]);
      }
    }
    expect(limits.togetherBytes).toBe(0);
  });

  test("joins characters that come in two pieces", async () => {
    const { limits } = limiting();
    const bytes = new TextEncoder().encode("水🌊");
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
        controller.close();
      },
    });
    const request = new Request("http://weir/", { method: "POST", body });
    expect((await reading(request, "text", limits)).text).toBe("水🌊");
  });

  for (const form of ["text", "bytes"] as const) {
    test(`gives ${form} of nothing for a request without a body, at once`, () => {
      const { limits } = limiting();
      const receiver = new Reading(limits);
      readBody(new Request("http://weir/"), form, limits, DIALECT, receiver);
      expect(receiver.told).toEqual([["", new Uint8Array()]]);
    });
  }

  test("refuses a length over the limit before a byte of the body is read", async () => {
    const { limits } = limiting();
    const post = posting({ "content-length": String(8 * SMALL + 1) });
    expect(await codeOf(reading(post.request, "text", limits))).toBe("body_too_large");
    expect(post.request.bodyUsed).toBe(false);
  });

  test("leaves nothing waiting", async () => {
    const { limits, moveTo, wheel } = limiting();
    const post = posting();
    const read = codeOf(reading(post.request, "text", limits));
    post.end();
    expect(await read).toBe("ok");
    moveTo(2000);
    expect(wheel.waiting).toBe(0);
  });

  test("tells one thing once, whatever comes later", async () => {
    const { limits, moveTo } = limiting();
    const post = posting();
    const receiver = new Reading(limits);
    readBody(post.request, "text", limits, DIALECT, receiver);
    post.send(10);
    await settle();
    moveTo(2000);
    await settle();
    expect(receiver.told).toMatchObject([{ code: "body_slow" }]);
    expect(post.isCancelled()).toBe(true);
  });
});
