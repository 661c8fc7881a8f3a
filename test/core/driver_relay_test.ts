import { describe, expect, test } from "bun:test";
import type { RelayBody, Step } from "../../src/core/answer.ts";
import type { AppError } from "../../src/core/errors.ts";
import type { Outcome } from "../../src/core/facts.ts";
import { KnownBody } from "../../src/core/relay_body.ts";
import type { Output } from "../../src/core/surface.ts";
import { UpstreamCall } from "../../src/core/upstream_call.ts";
import { StreamEnd } from "../../src/lib/sse_tail.ts";
import { KINDS } from "./driver_kinds.ts";
import {
  BROKEN,
  DONE,
  DriverRig,
  errorEvent,
  expectOver,
  expectRefused,
  refusal,
  saying,
  settle,
} from "./driver_rig.ts";
import { HandBody, relayOf, Told } from "./told_answers.ts";

describe("Driver, a relay", () => {
  const END = (text: string, ending: "end" | "fin" | "reset", error?: AppError, type?: string) => {
    const rig = new DriverRig();
    const body = new HandBody();
    const asked = rig.ask(() => rig.asking(() => relayOf(body, type)));
    if (text !== "") body.say(text);
    body.end(ending, error);
    return { rig, ...asked };
  };

  const ENDINGS: readonly (readonly [
    name: string,
    given: Parameters<typeof END>,
    wanted: { readonly text: string; readonly ending: string },
    outcome: Outcome,
  ])[] = [
    ["whole", [DONE, "end"], { text: DONE, ending: "end" }, "completed"],
    ["a connection that closes", [DONE, "fin"], { text: DONE, ending: "fin" }, "upstream_failed"],
    ["a reset", [DONE, "reset"], { text: DONE, ending: "reset" }, "upstream_failed"],
    ["an error between events", [saying("a"), "fin", BROKEN], {
      text: saying("a") + errorEvent(BROKEN),
      ending: "end",
    }, "upstream_failed"],
    ["an error inside an event", ["data: {", "fin", BROKEN], {
      text: `data: {\n\n${errorEvent(BROKEN)}`,
      ending: "end",
    }, "upstream_failed"],
    ["an error behind the end mark", [DONE, "fin", BROKEN], {
      text: DONE,
      ending: "fin",
    }, "upstream_failed"],
    ["an error in what is no stream of events", ["{", "fin", BROKEN, "application/json"], {
      text: "{",
      ending: "fin",
    }, "upstream_failed"],
    ["no byte at all", ["", "end"], { text: "", ending: "whole" }, "completed"],
    ["no byte and a reset", ["", "reset"], {
      text: refusal(BROKEN),
      ending: "whole",
    }, "upstream_failed"],
    ["no byte and an error", ["", "fin", BROKEN], {
      text: refusal(BROKEN),
      ending: "whole",
    }, "upstream_failed"],
  ];
  for (const [name, given, wanted, outcome] of ENDINGS) {
    test(`${name}: ends as it should`, async () => {
      const { rig, writer } = END(...given);
      expect({ text: writer.text, ending: writer.ending as string }).toEqual(wanted);
      await expectOver(rig, outcome);
    });
  }

  test("counts a stream that ends without its end mark", async () => {
    const { rig } = END(saying("a"), "end");
    expect(rig.told).toEqual([{ kind: "upstream_unfinished" }]);
    await expectOver(rig, "completed");
  });

  test("an end in peace in the middle of an event is an error", async () => {
    const { rig, writer } = END('data: {"half', "end");
    expect(writer.text).toMatch(/^data: \{"half\n\n.*ended its stream before it was complete/);
    await expectOver(rig, "upstream_failed");
  });

  describe("of a dialect whose streams end with an event", () => {
    const LAST = "event: over\ndata: {}\n\n";
    const EVENT = "event: a\ndata: {}\n\n";
    const asking = (rig: DriverRig, body: RelayBody) => {
      const manner = { ...rig.manner, streamEnd: StreamEnd.events("over") };
      return rig.ask(() => rig.asking(() => relayOf(body), { manner }));
    };
    const message = "The upstream ended its stream before it was complete";

    test("an end in peace without that event is an error behind what was said", async () => {
      for (const isLast of [false, true]) {
        const rig = new DriverRig();
        const body = new HandBody();
        const { writer } = asking(rig, body);
        body.say(EVENT);
        body.say(EVENT, isLast);
        body.end();
        expect(writer.text).toStartWith(EVENT + EVENT);
        expect(writer.text.slice(2 * EVENT.length)).toContain(message);
        expect(rig.told).toEqual([{ kind: "upstream_unfinished" }]);
        await expectOver(rig, "upstream_failed");
      }
    });

    test("so it is where all of it came at once, cut in the middle, too", async () => {
      for (const text of [EVENT, EVENT.slice(0, -4)]) {
        const rig = new DriverRig();
        const pieces = [{ bytes: Buffer.from(text), atUs: 0 }];
        const { writer } = asking(rig, new KnownBody(pieces, "end", rig.wheel));
        expect(writer.text).toStartWith(text);
        expect(writer.text.slice(text.length)).toStartWith(
          text === EVENT ? "data: " : "\n\ndata: ",
        );
        expect(writer.text).toContain(message);
        await expectOver(rig, "upstream_failed");
      }
    });

    test("a whole one is passed as it is", async () => {
      const rig = new DriverRig();
      const body = new HandBody();
      const { writer } = asking(rig, body);
      body.say(EVENT);
      body.say(LAST);
      body.end();
      expect(writer.text).toBe(EVENT + LAST);
      await expectOver(rig, "completed");
    });
  });

  test("has its last piece leave with the end", async () => {
    const rig = new DriverRig();
    const body = new HandBody();
    const { writer, exchange } = rig.ask(() => rig.asking(() => relayOf(body)));
    body.say(saying("a"));
    body.say(DONE, true);
    expect([writer.text, writer.ending]).toEqual([saying("a"), undefined]);
    body.end();
    expect([writer.text, writer.ending, writer.writes]).toEqual([saying("a") + DONE, "end", 2]);
    expect(exchange().bodyBytes).toBe(writer.bodyBytes);
    expect(rig.told).toEqual([]);
    await expectOver(rig, "completed");
  });

  test("of one piece that comes with its end leaves when it comes", async () => {
    const rig = new DriverRig();
    const body = new HandBody();
    const { writer } = rig.ask(() => rig.asking(() => relayOf(body)));
    body.say(DONE, true);
    expect(writer.text).toBe(DONE);
    body.end();
    expect(writer.ending).toBe("end");
    await expectOver(rig, "completed");
  });

  test("takes status, headers and the request id of the upstream", async () => {
    const rig = new DriverRig();
    const body = new HandBody();
    const { writer, exchange } = rig.ask(() =>
      rig.asking(() =>
        relayOf(body, "application/json", 418, [["X-Request-Id", "req_up"], ["Set-Cookie", "a=b"]])
      )
    );
    body.say("{}");
    body.end();
    expect(writer.status).toBe(418);
    expect(writer.headers!.get("x-request-id")).toBe("req_up");
    expect(writer.headers!.get("set-cookie")).toBeNull();
    const { requestId, status, isStream } = exchange();
    expect({ requestId, status, isStream }).toEqual({
      requestId: "req_up",
      status: 418,
      isStream: false,
    });
    await expectOver(rig, "completed");
  });

  test("leaves in one write when its body is here with its head", async () => {
    const rig = new DriverRig();
    const bytes = new TextEncoder().encode(saying("水") + DONE);
    const { writer } = rig.ask(() =>
      rig.asking(() => relayOf(new KnownBody([{ bytes, atUs: 0 }], "end", rig.wheel)))
    );
    expect([writer.text, writer.ending, writer.writes]).toEqual([
      saying("水") + DONE,
      "whole",
      1,
    ]);
    await expectOver(rig, "completed");
  });

  for (const status of [204, 205, 304]) {
    test(`has no body with the status ${status}`, async () => {
      const rig = new DriverRig();
      const body = new HandBody();
      const { writer } = rig.ask(() =>
        rig.asking((_ask, call) => {
          new UpstreamCall(call, "up.example:443");
          return relayOf(body, "text/event-stream", status);
        })
      );
      expect([writer.status, writer.text, writer.ending]).toEqual([status, "", "whole"]);
      expect(body.isCancelled).toBe(true);
      expect(rig.told).toMatchObject([{ kind: "upstream_ended", call: { durationMs: 0 } }]);
      await expectOver(rig, "completed");
    });
  }

  for (const status of [101, 199, 600]) {
    test(`is refused with the status ${status}, which no response can have`, async () => {
      const rig = new DriverRig();
      const body = new HandBody();
      const asked = rig.ask(() => rig.asking(() => relayOf(body, "text/plain", status)));
      expectRefused(asked, BROKEN);
      expect(body.isCancelled).toBe(true);
      await expectOver(rig, "upstream_failed");
    });
  }

  test("of a passed request is the only answer that it can have", async () => {
    const rig = new DriverRig();
    const output = KINDS.find(({ name }) => name === "a passed request")!.make(rig, {}).output;
    const steps = new Told<readonly Step[]>();
    const { writer } = rig.ask(() => ({
      ...output,
      source: { name: "live", answer: () => ({ kind: "live", steps, model: "m" }) },
    } as Output));
    await settle();
    expect(writer.status).toBe(500);
    expect(steps.isReturned).toBe(true);
    expect(rig.told).toMatchObject([{ kind: "bug" }]);
    await expectOver(rig, "failed");
  });
});
