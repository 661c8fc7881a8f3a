import { afterEach, describe, expect, test } from "bun:test";
import type { Event } from "../../src/core/events.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import { OtlpSender, type Span } from "../../src/ops/otlp.ts";
import { waitFor } from "../server/launch.ts";

const WALL_MS = Date.UTC(2026, 0, 1);

const SPAN: Span = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  parentId: "",
  traceState: "",
  name: "你好",
  kind: "server",
  startMs: WALL_MS,
  endMs: WALL_MS + 1,
  attributes: {},
  isError: false,
};

let stop: () => unknown = () => {};
afterEach(() => stop());

/** A sender on a clock that is turned by hand, and a collector that gives these answers in turn. */
function pair(answers: readonly Response[], user = "") {
  let nowMs = 0;
  const wheel = new Wheel(() => nowMs, () => {});
  // The Authorization of each request.
  const seen: (string | null)[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) =>
      answers[seen.push(request.headers.get("authorization")) - 1] ?? new Response("{}"),
  });
  stop = () => server.stop(true);
  const events: Event[] = [];
  const sender = new OtlpSender({
    endpoint: `http://${user}127.0.0.1:${server.port}`,
    headers: {},
    resource: {},
    version: "1",
    wheel,
    watch: (event) => void events.push(event),
    random: () => 0,
    wallMs: () => WALL_MS,
    fetch,
  });
  return {
    sender,
    seen,
    events,
    wheel,
    advance(ms: number) {
      nowMs += ms;
      wheel.turn();
    },
  };
}

const busy = (headers: Record<string, string>) => new Response("", { status: 429, headers });

describe("OtlpSender", () => {
  const WAITS: readonly (readonly [Record<string, string>, number])[] = [
    [{}, 500],
    [{ "retry-after": "7" }, 7000],
    [{ "retry-after": new Date(WALL_MS + 9000).toUTCString() }, 9000],
  ];
  for (const [headers, waitMs] of WAITS) {
    test(`waits ${waitMs} ms for a busy collector that says ${JSON.stringify(headers)}`, async () => {
      const { sender, seen, wheel, advance } = pair([busy(headers)]);
      sender.add(SPAN);
      advance(2000); // for others to go along
      await waitFor(() => seen.length === 1 && wheel.waiting === 1, "the first try to fail");
      advance(waitMs - 1);
      expect(wheel.waiting).toBe(1);
      advance(1);
      await waitFor(() => sender.exported === 1, "the span to be taken");
      expect(seen.length).toBe(2);
    });
  }

  test("gives up what it is asked to keep for more than a minute", async () => {
    const { sender, seen, events, advance } = pair([busy({ "retry-after": "61" })]);
    sender.add(SPAN);
    advance(2000);
    await waitFor(() => sender.dropped === 1, "the span to be given up");
    expect(seen.length).toBe(1);
    expect(events).toEqual([{ kind: "trace_export_failed", cause: "status 429" }]);
  });

  test("sends the user and password of its URL as Basic", async () => {
    const { sender, seen, advance } = pair([], "weir:p%40ss@");
    sender.add(SPAN);
    advance(2000);
    await waitFor(() => sender.exported === 1, "the span to be taken");
    expect(seen)
      .toEqual([`Basic ${Buffer.from("weir:p@ss").toString("base64")}`]);
  });
});
