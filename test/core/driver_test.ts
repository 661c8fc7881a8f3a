import { describe, expect, test } from "bun:test";
import type { Step } from "../../src/core/answer.ts";
import { AppError } from "../../src/core/errors.ts";
import { layScript } from "../../src/core/frames.ts";
import type { Manner, Output, Whole } from "../../src/core/surface.ts";
import { HeaderBlock } from "../../src/lib/http1/header_block.ts";
import { begin, delta, KINDS, SCRIPT_AT_ONCE } from "./driver_kinds.ts";
import {
  DONE,
  DriverRig,
  errorEvent,
  expectOver,
  expectRefused,
  LAYOUT,
  saying,
  settle,
  STOPPING,
} from "./driver_rig.ts";
import { Told } from "./told_answers.ts";

describe("Driver, output by output", () => {
  for (const kind of KINDS) {
    const isPiecewise = kind.leaves === "piecewise";

    test(`${kind.name}: all of it leaves, each piece when it comes`, async () => {
      const { rig, hand, asked, writer } = begin(kind);
      await settle();
      expect(writer.status).toBe(0);
      expect(rig.engine.streams.size).toBe(1);
      await hand.first();
      expect(writer.text).toBe(kind.head);
      await hand.rest();
      expect(writer.text).toBe(kind.all);
      expect(writer.status).toBe(200);
      expect(writer.ending).toBe(isPiecewise ? "end" : "whole");
      expect(hand.isFreed()).toBe(true);
      expect(rig.told).toEqual([]);
      await expectOver(rig, "completed");
      const { status, bodyBytes, isStream, error } = asked.exchange();
      expect({ status, bodyBytes, isStream, error }).toEqual({
        status: 200,
        bodyBytes: writer.bodyBytes,
        isStream: isPiecewise,
        error: undefined,
      });
    });

    test(`${kind.name}: a client that leaves before the first byte frees it`, async () => {
      const { rig, hand, asked, writer } = begin(kind);
      await settle();
      expect(writer.isHeard).toBe(true);
      writer.leave();
      await settle();
      expect(hand.isFreed()).toBe(true);
      expect(asked.exchange().signal.aborted).toBe(true);
      expect(rig.engine.streams.size).toBe(0);
      await hand.first();
      await hand.rest();
      expect(writer.text).not.toContain("data:");
      expect(rig.told).toEqual([]);
      await expectOver(rig, "client_left");
    });

    test(`${kind.name}: a client that leaves in the middle frees it`, async () => {
      const { rig, hand, asked, writer } = begin(kind);
      await settle();
      await hand.first();
      const { text } = writer;
      writer.leave();
      await settle();
      expect(hand.isFreed()).toBe(true);
      expect(asked.exchange().signal.aborted).toBe(true);
      expect(rig.engine.streams.size).toBe(0);
      await hand.rest();
      if (isPiecewise) expect(writer.text).toBe(text);
      expect(rig.told).toEqual([]);
      await expectOver(rig, "client_left");
    });

    test(`${kind.name}: shutdown before the first byte refuses it`, async () => {
      const { rig, hand, asked } = begin(kind);
      await settle();
      await rig.shutDown(STOPPING);
      expectRefused(asked, STOPPING);
      expect(asked.exchange().signal.reason).toBe(STOPPING);
      await hand.first();
      await hand.rest();
      expectRefused(asked, STOPPING);
      expect(hand.isFreed()).toBe(true);
      await expectOver(rig, "shut_down");
    });

    test(`${kind.name}: shutdown in the middle is said, and nothing after it`, async () => {
      const { rig, hand, asked, writer } = begin(kind);
      await hand.first();
      await rig.shutDown(STOPPING);
      await hand.rest();
      if (isPiecewise) {
        expect(writer.text).toBe(kind.head + errorEvent(STOPPING));
        expect(writer.ending).toBe("end");
      } else {
        expectRefused(asked, STOPPING);
      }
      expect(asked.exchange().signal.reason).toBe(STOPPING);
      expect(hand.isFreed()).toBe(true);
      await expectOver(rig, "shut_down");
    });
  }
});

describe("Driver, what leaves at once", () => {
  const whole = (more: Partial<Whole> = {}): Whole => ({
    kind: "whole",
    status: 201,
    headers: { "x-a": "1" },
    body: "水",
    ...more,
  });

  for (
    const [name, output, text, bytes] of [
      ["text", whole(), "水", 3],
      ["bytes", whole({ body: new TextEncoder().encode("🌊") }), "🌊", 4],
      ["nothing", whole({ body: null }), "", 0],
    ] as const
  ) {
    for (const isLate of [false, true]) {
      test(`a whole of ${name}${isLate ? ", after a while" : ""}`, async () => {
        const rig = new DriverRig();
        const { writer, exchange } = rig.ask(() => isLate ? Promise.resolve(output) : output);
        await settle();
        expect([writer.status, writer.text, writer.ending]).toEqual([201, text, "whole"]);
        expect(writer.headers!.get("x-a")).toBe("1");
        expect(exchange().bodyBytes).toBe(bytes);
        await expectOver(rig, "completed");
      });
    }
  }

  test("a whole that tells of a failure is counted as that", async () => {
    const rig = new DriverRig();
    const failure = new AppError("workflow_failed", "No");
    const { writer } = rig.ask(() => whole({ status: 200, failure }));
    expect(writer.status).toBe(200);
    expect(rig.ended).toMatchObject({ status: 200, bodyBytes: 3, error: failure });
    await expectOver(rig, "upstream_failed");
  });

  const atOnce: readonly (readonly [string, (rig: DriverRig) => Output])[] = [
    ["frames", (rig) => ({
      kind: "frames",
      frames: layScript(SCRIPT_AT_ONCE, LAYOUT),
      manner: rig.manner,
    })],
    [
      "a script",
      (rig) => rig.asking(() => ({ kind: "script", script: SCRIPT_AT_ONCE, model: "m" })),
    ],
  ];
  for (const [name, make] of atOnce) {
    test(`${name}: one write, before anybody waits`, async () => {
      const rig = new DriverRig();
      const { writer } = rig.ask(() => make(rig));
      expect([writer.text, writer.ending, writer.writes]).toEqual([
        saying("a") + saying("b") + DONE,
        "whole",
        1,
      ]);
      expect(rig.ended).toMatchObject({ isStream: true, firstByteMs: 0, bodyBytes: 60 });
      expect(rig.wheel.waiting).toBe(0);
      await expectOver(rig, "completed");
    });
  }

  test("a live answer that is told before it can be said leaves whole", async () => {
    const rig = new DriverRig();
    const steps = new Told<readonly Step[]>();
    const { writer } = rig.ask(() => rig.asking(() => ({ kind: "live", steps, model: "m" })));
    steps.say([{ kind: "end", choice: 0, reason: "stop" }]);
    steps.end();
    await settle();
    expect([writer.text, writer.ending]).toEqual([DONE, "whole"]);
    await expectOver(rig, "completed");
  });

  test("answers that share their headers have each its own values in them", async () => {
    const rig = new DriverRig();
    const shared = HeaderBlock.of({}, { name: "x-request-id", width: 5 });
    const manner: Manner = {
      ...rig.manner,
      headers: ({ requestId }) => shared.stamp(requestId),
    };
    const answers = ["req_1", "req_2"].map((requestId) => {
      const steps = new Told<readonly Step[]>();
      const asked = rig.ask((_inbound, exchange) => {
        exchange.requestId = requestId;
        return rig.asking(() => ({ kind: "live", steps, model: "m" }), { manner });
      });
      return { steps, ...asked };
    });
    for (const { steps } of answers) steps.say([delta("a")]);
    await settle();
    expect(answers.map(({ writer }) => writer.headers!.get("x-request-id"))).toEqual([
      "req_1",
      "req_2",
    ]);
    for (const { steps } of answers) steps.end();
    await settle();
    expect(await rig.leftovers()).toEqual({ streams: 0, tickets: 0 });
  });

  const USAGE = { promptTokens: 3, completionTokens: 5 };
  for (const isStream of [true, false]) {
    const way = isStream ? "streamed" : "whole";
    test(`usage is told and noted: a script, ${way}`, async () => {
      const rig = new DriverRig();
      const { writer } = rig.ask(() =>
        rig.asking(
          () => ({ kind: "script", script: SCRIPT_AT_ONCE, model: "m", usage: USAGE }),
          { isStream },
        )
      );
      await settle();
      expect(writer.text).toContain('"tokens":5');
      expect(rig.ended).toMatchObject(USAGE);
      await expectOver(rig, "completed");
    });

    test(`usage is told and noted: a live answer, ${way}`, async () => {
      const rig = new DriverRig();
      const steps = new Told<readonly Step[]>();
      const { writer } = rig.ask(() =>
        rig.asking(() => ({ kind: "live", steps, model: "m" }), { isStream })
      );
      steps.say([delta("a"), { kind: "usage", usage: USAGE }]);
      steps.end();
      await settle();
      expect(writer.text).toContain('"tokens":5');
      expect(rig.ended).toMatchObject(USAGE);
      await expectOver(rig, "completed");
    });
  }
});

describe("answers of thousands of steps", () => {
  const { steps } = SCRIPT_AT_ONCE;
  const long = { name: "long", steps: Array.from({ length: 5000 }, () => steps[0]!) };
  const ask = (rig: DriverRig) =>
    rig.ask(() => rig.asking(() => ({ kind: "script", script: long, model: "m" }))).writer;
  const turn = () => new Promise<void>((resolve) => void setImmediate(resolve));

  test("begin one per turn of the loop, in their order", async () => {
    const rig = new DriverRig();
    const writers = [ask(rig), ask(rig), ask(rig)];
    const begun = () => writers.map(({ status }) => status);
    expect(begun()).toEqual([0, 0, 0]);
    const seen = new Set<string>();
    while (begun().includes(0)) {
      await turn();
      seen.add(begun().join());
    }
    expect([...seen]).toEqual(["200,0,0", "200,200,0", "200,200,200"]);
  });

  test("do not begin for a client that has left meanwhile", async () => {
    const rig = new DriverRig();
    const [first, second] = [ask(rig), ask(rig)];
    first.leave();
    while (second.status === 0) await turn();
    expect(first.text).not.toContain("data:");
    expect(rig.engine.streams.size).toBe(0);
  });
});
