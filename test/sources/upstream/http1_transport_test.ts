import { afterEach, describe, expect, test } from "bun:test";
import { pieceOf } from "../../lib/http1/piece_of.ts";
import { AppError } from "../../../src/core/errors.ts";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { timerAlarm, Wheel } from "../../../src/lib/wheel.ts";
import { http1Transport } from "../../../src/sources/upstream/http1_transport.ts";
import type {
  Resend,
  Transport,
  TransportResponse,
} from "../../../src/sources/upstream/transport.ts";
import { sent } from "./sent.ts";
import {
  type Act,
  act,
  chunk,
  LAST_CHUNK,
  response,
  type ScriptedUpstream,
  scriptedUpstream,
  sseHead,
  untilClosed,
} from "../../server/scripted_upstream.ts";

const clean: (() => void)[] = [];
afterEach(() => {
  for (const close of clean.splice(0)) close();
});

function started(
  script: readonly Act[],
  resend: Resend = "auto",
): { upstream: ScriptedUpstream; transport: Transport } {
  const upstream = scriptedUpstream(() => script);
  const wheel = new Wheel(() => performance.now(), timerAlarm());
  const base_url = `${upstream.url}/v1`;
  const transport = http1Transport({
    base_url,
    configKey: "chat.api_proxy",
    ca: "",
    resend,
    wheel,
  });
  clean.push(() => upstream.close(), () => transport.close());
  return { upstream, transport };
}

function send(
  { transport }: ReturnType<typeof started>,
  signal: AbortSignal = new AbortController().signal,
): Promise<TransportResponse> {
  return sent(transport, {
    method: "POST",
    path: "/chat/completions?a=1&b=%20",
    fields: Fields.of([["authorization", "Bearer sk-1"], ["content-type", "application/json"]]),
    body: new TextEncoder().encode('{"content":"你好"}'),
    signal,
  });
}

async function failure(promise: Promise<unknown>): Promise<AppError> {
  const error = await promise.then(() => "no error", (thrown: unknown) => thrown);
  if (error instanceof AppError) return error;
  throw error;
}

describe("http1Transport", () => {
  test("sends path, query, headers and body as they are", async () => {
    const both = started([act.send(response("{}"))]);
    await send(both);
    const [request] = both.upstream.requests;
    expect(request!.path).toBe("/v1/chat/completions?a=1&b=%20");
    expect(request!.headers["authorization"]).toBe("Bearer sk-1");
    expect(request!.body.toString()).toBe('{"content":"你好"}');
  });

  test("gives a whole body at once, and a stream chunk by chunk", async () => {
    const whole = await send(started([act.send(response("{}", { "x-request-id": "req_1" }))]));
    expect(whole.fields.get("x-request-id")).toBe("req_1");
    expect(Buffer.from(whole.whole()!).toString()).toBe("{}");

    const gate = Promise.withResolvers<void>();
    const stream = await send(started([
      act.send(Buffer.concat([Buffer.from(sseHead()), chunk("a")])),
      act.wait(gate.promise),
      act.send(chunk("b")),
      act.send(LAST_CHUNK),
    ]));
    expect(stream.whole()).toBeUndefined();
    expect(Buffer.from((await pieceOf(stream))!).toString()).toBe("a");
    gate.resolve();
    expect(Buffer.from((await pieceOf(stream))!).toString()).toBe("b");
    expect(await pieceOf(stream)).toBeNull();
  });

  const FAILURES: readonly [string, readonly Act[], string, RegExp][] = [
    ["no answer at all", [act.end], "upstream_unreachable", /upstream 127.*without an answer/],
    ["half a head", [act.send("HTTP/1.1 2"), act.end], "upstream_broken", /before its head/],
    ["no HTTP", [act.send("hello\r\n"), act.stall], "upstream_broken", /HTTP\/1/],
  ];
  for (const [name, script, code, says] of FAILURES) {
    test(`${name} is ${code}`, async () => {
      const error = await failure(send(started(script)));
      expect(error.code as string).toBe(code);
      expect(error.message).toMatch(says);
      expect(error.message).not.toContain("sk-1");
    });
  }

  for (const how of [act.end, act.reset]) {
    test(`no answer at all (${how.kind}) is upstream_broken where nothing is sent again`, async () => {
      const both = started([how], "never");
      const error = await failure(send(both));
      expect(error.code).toBe("upstream_broken");
      expect(error.message).toBe(
        `The upstream 127.0.0.1:${both.upstream.port} closed the connection without an answer. ` +
          "It is not asked again, as its setting resend: never wants it.",
      );
    });
  }

  test("nobody there is upstream_unreachable where nothing is sent again, too", async () => {
    const both = started([], "never");
    both.upstream.close();
    expect((await failure(send(both))).code).toBe("upstream_unreachable");
  });

  test("nobody there is upstream_unreachable, with the system's word and the config's key", async () => {
    const both = started([]);
    both.upstream.close();
    const error = await failure(send(both));
    expect(error.code).toBe("upstream_unreachable");
    expect(error.message).toBe(
      `Cannot reach the upstream 127.0.0.1:${both.upstream.port}: ECONNREFUSED. ` +
        "Check chat.api_proxy and that the upstream is running.",
    );
  });

  test("a body that breaks off rejects its read", async () => {
    const answer = await send(started([act.send(sseHead()), act.send(chunk("a")), act.end]));
    await pieceOf(answer);
    await expect(Promise.resolve(pieceOf(answer))).rejects.toThrow("middle of the body");
  });

  test("throws the signal's reason before the head, and closes the connection", async () => {
    const both = started([act.stall]);
    const abort = new AbortController();
    const reason = new AppError("unavailable", "The client closed the connection");
    const answer = failure(send(both, abort.signal));
    abort.abort(reason);
    expect(await answer).toBe(reason);
    await untilClosed(both.upstream);
  });

  test("cancel closes the connection of a stream", async () => {
    const both = started([act.send(sseHead()), act.send(chunk("a")), act.stall]);
    const answer = await send(both);
    answer.cancel();
    await untilClosed(both.upstream);
    expect(both.upstream.aborted).toBe(1);
  });
});
