import { afterEach, describe, expect, test } from "bun:test";
import type { Step } from "../../src/core/answer.ts";
import { AppError } from "../../src/core/errors.ts";
import { waitFor } from "../server/launch.ts";
import { delta } from "./driver_kinds.ts";
import { LAYOUT, NotingKeeper, saying, settle } from "./driver_rig.ts";
import { HandBody, relayOf, Told } from "./told_answers.ts";
import { urlOf } from "../lib/http1/listen.ts";
import { asking, type Give, handServer, said } from "./hand_server.ts";

let open: ReturnType<typeof handServer> | undefined;
afterEach(() => open?.server.stop(true));

const TERMINATOR = "\r\n0\r\n\r\n";

/** A question whose answer is live, and one whose answer is a relay. */
function told(more: { readonly isDraining?: boolean; readonly keeper?: NotingKeeper } = {}) {
  const items = new Told<readonly Step[]>();
  const body = new HandBody();
  const base = asking([]);
  const with_ = (answer: object): Give => (hand) =>
    ({ ...base(hand), ...more, layout: LAYOUT, source: { name: "s", answer: () => answer } }) as
      & ReturnType<Give>
      & { kind: "ask" };
  return {
    items,
    body,
    live: with_({ kind: "live", steps: items, model: "m" }),
    relay: with_(relayOf(body)),
  };
}

describe("Driver, behind a server", () => {
  test("ends a whole answer that is streamed with HTTP's end", async () => {
    const { items, live } = told();
    const hand = open = handServer(live);
    await hand.connect();
    await waitFor(() => hand.engine.streams.size === 1);
    items.say([delta("水")]);
    await waitFor(() => hand.contents().length === 1);
    items.say([delta("🌊")]);
    await waitFor(() => hand.contents().length === 2);
    items.end();
    await waitFor(hand.isClosed);
    expect(hand.contents()).toEqual([...said("水", "🌊"), "[DONE]"]);
    expect(hand.text()).toContain("\r\ntransfer-encoding: chunked\r\n");
    expect(hand.text()).toEndWith(TERMINATOR);
  });

  test("streams an answer whose pieces all come in one turn", async () => {
    const { body, relay } = told();
    const hand = open = handServer((hand) => {
      queueMicrotask(() => {
        for (const text of ["a", "b", "c"]) body.say(saying(text));
        body.end();
      });
      return relay(hand);
    });
    await hand.connect();
    await waitFor(hand.isClosed);
    expect(hand.contents()).toEqual(said("a", "b", "c"));
    expect(hand.text()).toContain("\r\ntransfer-encoding: chunked\r\n");
    expect(hand.text()).toEndWith(TERMINATOR);
  });

  test("goes on behind a first piece that is large, but that the client takes", async () => {
    const { items, live } = told();
    const large = "x".repeat(100_000);
    const hand = open = handServer(live);
    await hand.connect();
    await waitFor(() => hand.engine.streams.size === 1);
    items.say([delta(large)]);
    await waitFor(() => hand.contents().length === 1);
    items.say([delta("b")]);
    await waitFor(() => hand.contents().length === 2);
    items.end();
    await waitFor(hand.isClosed);
    expect(hand.contents()).toEqual([...said(large, "b"), "[DONE]"]);
  });

  for (const ending of ["fin", "reset"] as const) {
    test(`never ends an answer cleanly that breaks off with "${ending}"`, async () => {
      const { body, relay } = told();
      const hand = open = handServer(relay);
      await hand.connect();
      await waitFor(() => body.isFlowing);
      body.say(saying("a"));
      await waitFor(() => hand.contents().length === 1);
      body.end(ending);
      await waitFor(hand.isClosed);
      expect(hand.text()).not.toEndWith(TERMINATOR);
      expect(hand.events.at(-1)).toMatchObject({ exchange: { outcome: "upstream_failed" } });
    });
  }

  for (const kind of ["live", "relay"] as const) {
    for (const isDraining of [false, true]) {
      const then = isDraining ? "goes on without its client" : "stops with its client";
      for (const when of ["before it begins", "in the middle"] as const) {
        test(`a ${kind} answer ${then}, who leaves ${when}`, async () => {
          const keeper = new NotingKeeper();
          const { items, body, ...gives } = told({ isDraining, keeper });
          const hand = open = handServer(gives[kind]);
          const say = (text: string) =>
            kind === "live" ? items.say([delta(text)]) : body.say(saying(text));
          const socket = await hand.connect();
          await waitFor(() => hand.engine.streams.size === 1);
          if (when === "in the middle") {
            say("a");
            await waitFor(() => hand.contents().length === 1);
          }
          socket.terminate();
          await waitFor(() => hand.exchanges[0]!.hasLeft);
          await settle();
          expect(items.isReturned || body.isCancelled).toBe(!isDraining);
          if (when !== "in the middle") say("a");
          say("b");
          if (kind === "live") items.end();
          else body.end();
          await waitFor(() => hand.engine.streams.size === 0);
          expect(hand.engine.wheel.waiting).toBe(0);
          const ended = hand.events.filter((event) => event.kind === "exchange_ended");
          expect(ended).toMatchObject([{ exchange: { outcome: "client_left" } }]);
          if (kind === "relay") return;
          await waitFor(() => keeper.finished === 1);
          const heard = when === "in the middle" ? [["a", true]] : [];
          expect(keeper.kept).toEqual((isDraining ? [["ab", false]] : heard) as never);
        });
      }
    }
  }

  test("an error before the first byte is an answer with its status", async () => {
    const { items, live } = told();
    const hand = open = handServer(live);
    const asked = fetch(urlOf(hand.server));
    await waitFor(() => hand.engine.streams.size === 1);
    items.fail(new AppError("upstream_broken", "It broke off"));
    const response = await asked;
    expect([response.status, await response.text()]).toEqual([502, "It broke off"]);
  });
});
