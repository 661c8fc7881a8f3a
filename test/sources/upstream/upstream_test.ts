import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { askOf, type PieceSink, type RelayBody } from "../../../src/core/answer.ts";
import { AppError, clientLeft } from "../../../src/core/errors.ts";
import { gatherBody } from "../../../src/core/relay_body.ts";
import { Exchange } from "../../../src/core/exchange.ts";
import { Abort } from "../../../src/lib/abort.ts";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { StreamOptions } from "../../../src/sources/upstream/stream_options.ts";
import type {
  Transport,
  TransportRequest,
  TransportResponse,
} from "../../../src/sources/upstream/transport.ts";
import { Upstream, type UpstreamOptions } from "../../../src/sources/upstream/upstream.ts";
import { waitFor } from "../../server/launch.ts";
import { gate } from "../../server/proxied.ts";
import {
  type Act,
  act,
  chunk,
  LAST_CHUNK,
  response,
  scriptedUpstream,
  type SeenRequest,
  sseHead,
} from "../../server/scripted_upstream.ts";
import {
  END,
  failureOf,
  makeEngine,
  relayOf,
  Rig,
  said,
  SPEAKS_CHAT,
  TRANSPORTS,
  TURN,
  wireAsk,
} from "./rig.ts";

const OK = [act.send(response("{}", { "content-type": "application/json" }))];

/** A sink that writes down what comes. */
function recorder() {
  const pieces: string[] = [];
  const times: number[] = [];
  const ended = Promise.withResolvers<{ ending: string; error: AppError | undefined }>();
  const sink: PieceSink = {
    onPiece(bytes, atUs) {
      pieces.push(new TextDecoder().decode(bytes));
      times.push(atUs);
    },
    onEnd: (ending, error) => ended.resolve({ ending, error }),
  };
  return { sink, ended: ended.promise, times, text: () => pieces.join("") };
}

/** The bytes of a body, however it comes. */
async function textOf(body: RelayBody): Promise<string> {
  const { bytes, error } = await gatherBody(body, new Abort(), 1024 * 1024);
  if (error !== undefined) throw error;
  return new TextDecoder().decode(bytes);
}

for (const name of TRANSPORTS) {
  describe(`over ${name}, an upstream`, () => {
    let rig: Rig;
    beforeAll(() => {
      rig = new Rig(name);
    });
    afterAll(() => rig.close());
    beforeEach(() => {
      rig.reset();
      rig.acts = () => OK;
    });

    /** What the upstream got for `ask`. */
    async function seen(
      ask: Parameters<Upstream["answer"]>[0],
      options: Partial<UpstreamOptions> = {},
    ): Promise<SeenRequest> {
      const relay = await rig.once(options).answer(ask, rig.call());
      await textOf(relay.body);
      return rig.upstream.requests.at(-1)!;
    }

    test("is asked for what a turn says", async () => {
      const request = await seen(askOf(TURN));
      expect([request.method, request.path]).toEqual(["POST", "/v1/chat/completions"]);
      expect(JSON.parse(request.body.toString())).toEqual({
        temperature: 0.5,
        model: "gpt-4o",
        messages: TURN.messages,
        max_tokens: 9,
        stop: ["水"],
        stream: true,
        stream_options: { include_usage: true },
      });
      expect(request.headers).toMatchObject({
        authorization: "Bearer sk-up",
        via: "1.1 weir",
        "x-team": "blue",
        "user-agent": "weir",
        "content-type": "application/json",
        accept: "text/event-stream, application/json",
        "accept-encoding": "identity",
      });
    });

    test("gets the configured model for a turn without one", async () => {
      const { body } = await seen(askOf({ ...TURN, model: "" }));
      expect(JSON.parse(body.toString()).model).toBe("configured");
    });

    test("gets no Authorization for a turn when there is no key", async () => {
      const { headers } = await seen(askOf(TURN), { api_key: "" });
      expect(headers["authorization"]).toBeUndefined();
    });

    test("gets the client's own bytes when the client speaks its dialect", async () => {
      const body = '{"model":"gpt-4o", "odd": [1,2], "content": "你好 🌊"}';
      const request = await seen(wireAsk({ "user-agent": "x/1", "x-odd": "1" }, body));
      expect(request.body.toString()).toBe(body);
      expect(request.headers).toMatchObject({ "user-agent": "x/1", "x-odd": "1" });
    });

    const keys: readonly {
      readonly what: string;
      readonly options: Partial<UpstreamOptions>;
      /** In the URL. */
      readonly user?: string;
      readonly gets: string | undefined;
    }[] = [
      { what: "its own key", options: {}, gets: "Bearer sk-up" },
      {
        what: "the client's key, when it has none",
        options: { api_key: "" },
        gets: "Bearer sk-client",
      },
      {
        what: "no key, when the client's may not pass",
        options: { api_key: "", passesClientKey: false },
        gets: undefined,
      },
      {
        what: "the user and password of its URL, and not the client's key",
        options: { api_key: "" },
        user: "weir:pass%40🙂@",
        gets: `Basic ${Buffer.from("weir:pass@🙂").toString("base64")}`,
      },
      {
        what: "its own key rather than the user of its URL",
        options: {},
        user: "weir:pass@",
        gets: "Bearer sk-up",
      },
    ];
    for (const { what, options, user = "", gets } of keys) {
      test(`gets ${what}`, async () => {
        const base_url = `http://${user}127.0.0.1:${rig.upstream.port}/v1`;
        const ask = wireAsk({ authorization: "Bearer sk-client" });
        const { headers } = await seen(ask, { base_url, ...options });
        expect(headers["authorization"]).toBe(gets);
      });
    }

    test("gets the configured model in front of a client's body without one", async () => {
      const { body } = await seen(wireAsk({}, '{"messages":[]}'));
      expect(body.toString()).toBe('{"model":"configured","messages":[]}');
    });

    test("is asked for the turn of a client that speaks another dialect", async () => {
      const { body } = await seen(wireAsk({ "x-odd": "1" }, "{}", "chatgpt_web"));
      expect(JSON.parse(body.toString()).messages).toEqual(TURN.messages);
    });

    test("of a dialect that is only passed on takes no turn", async () => {
      const asked = rig.upstream.requests.length;
      const source = rig.once({}, "chatgpt_web");
      await expect(source.answer(askOf(TURN), rig.call())).rejects.toThrow(TypeError);
      const relay = await source.answer(wireAsk({}, "{}", "chatgpt_web"), rig.call());
      expect(relay.status).toBe(200);
      expect(await textOf(relay.body)).toBe("{}");
      expect(rig.upstream.requests.length).toBe(asked + 1);
    });

    for (const [dialect, outcome] of [["openai_chat", 502], ["chatgpt_web", 307]] as const) {
      test(`that redirects a ${dialect} request is ${outcome}, and its target sees nothing`, async () => {
        const target = scriptedUpstream(() => OK);
        const location = `${target.url}/v1/chat/completions?key=sk-1`;
        rig.acts = () => [act.send(response("", { location }, "307 Elsewhere"))];
        const relay = rig.once({}, dialect).answer(wireAsk({}, "{}", dialect), rig.call());
        if (outcome === 307) {
          expect((await relay).fields.get("location")).toBe(location);
          (await relay).body.cancel();
        } else {
          const error = await failureOf(relay);
          expect([error.code, error.status]).toEqual(["upstream_broken", 502]);
          expect(error.message).toContain(`a redirect to ${target.url},`);
          expect(error.message).not.toContain("sk-1");
        }
        expect(target.opened).toBe(0);
        target.close();
        await rig.untilFree();
      });
    }

    test("that is weir itself is found out before it is asked", async () => {
      const asked = rig.upstream.requests.length;
      const ask = wireAsk({ via: "1.1 proxy, 1.1 weir" });
      const error = await failureOf(rig.once().answer(ask, rig.call()));
      expect([error.code, error.status]).toEqual(["loop_detected", 508]);
      expect(rig.upstream.requests.length).toBe(asked);
    });

    test("that is gone is unreachable, and no secret is told", async () => {
      const source = rig.once({ base_url: "http://127.0.0.1:1/v1" });
      const call = rig.call();
      const error = await failureOf(source.answer(askOf(TURN), call));
      expect(error.code).toBe("upstream_unreachable");
      expect(error.message).toContain("Check llm.base_url");
      expect(error.message).not.toContain("sk-up");
      expect(call.upstream).toMatchObject({ host: "127.0.0.1:1", attempts: 1, status: 0 });
      await rig.untilFree();
    });

    test("passes down status, fields and bytes, and what it cost is noted", async () => {
      const body = '{"usage":{"prompt_tokens":3,"completion_tokens":5}}';
      rig.acts = () => [act.send(response(body, { "X-Odd": "a" }, "418 X"))];
      const call = rig.call();
      const relay = await relayOf(rig.once().answer(wireAsk(), call));
      expect([relay.kind, relay.status]).toEqual(["relay", 418]);
      expect([relay.fields.get("x-odd"), relay.fields.get("x-none")]).toEqual(["a", null]);
      const fields = Array.from(relay.fields, ([field, value]) => [field.toLowerCase(), value]);
      expect(fields).toContainEqual(["x-odd", "a"]);
      expect(await textOf(relay.body)).toBe(body);
      expect(call).toMatchObject({ promptTokens: 3, completionTokens: 5, model: "configured" });
      expect(call.upstream).toMatchObject({ status: 418, attempts: 1 });
      expect(rig.events.map(({ kind }) => kind)).toEqual(["upstream_ended"]);
      await rig.untilFree();
    });

    test("gives its pieces as they come, with their times", async () => {
      const next = gate();
      rig.acts = () => [
        act.send(sseHead()),
        act.send(chunk("one")),
        act.wait(next.opened),
        act.send(chunk("two")),
        act.send(LAST_CHUNK),
      ];
      const { body } = await rig.once().answer(wireAsk(), rig.call());
      const { sink, ended, text, times } = recorder();
      expect(body.whole()).toBeUndefined();
      body.flow(sink);
      await waitFor(() => text() === "one", "the first piece");
      next.open();
      expect(await ended).toEqual({ ending: "end", error: undefined });
      expect(text()).toBe("onetwo");
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      expect(times[0]).toBeGreaterThanOrEqual(0);
      await rig.untilFree();
    });

    for (
      const [what, last] of [["breaks off", act.reset], ["closes in the middle", act.end]] as const
    ) {
      test(`that ${what} ends its body with an error`, async () => {
        const next = gate();
        rig.acts = () => [
          act.send(sseHead()),
          act.send(chunk("one")),
          act.wait(next.opened),
          last,
        ];
        const call = rig.call();
        const { body } = await rig.once().answer(wireAsk(), call);
        const { sink, ended, text } = recorder();
        body.flow(sink);
        await waitFor(() => text() === "one", "the first piece");
        next.open();
        const { ending, error } = await ended;
        expect(ending).toBe("fin");
        expect(error?.code).toBe("upstream_broken");
        expect(call.upstream?.errorCode).toBe("upstream_broken");
        await rig.untilFree();
      });
    }

    const phases: readonly {
      readonly phase: "headers" | "first_token" | "idle";
      readonly script: readonly Act[];
      readonly says: string;
    }[] = [
      { phase: "headers", script: [act.stall], says: "sent no response headers" },
      {
        phase: "first_token",
        script: [act.send(sseHead()), act.stall],
        says: "sent no first chunk",
      },
      {
        phase: "idle",
        script: [act.send(sseHead()), said({ content: "x" }), act.stall],
        says: "was silent between two chunks",
      },
    ];
    for (const section of ["llm", "upstreams.0"]) {
      for (const { phase, script, says } of phases) {
        test(`that is silent ends at ${section}.${phase}_timeout_ms`, async () => {
          const { aborted } = rig.upstream;
          rig.acts = () => script;
          const call = rig.call();
          const limit = { section, [`${phase}_timeout_ms`]: 60 };
          const error = await rig.once(limit).answer(wireAsk(), call).then(
            async ({ body }) => (await gatherBody(body, new Abort(), 1024)).error,
            (thrown: AppError) => thrown,
          );
          expect(error?.code).toBe("upstream_timeout");
          expect(error?.message).toBe(
            `The upstream ${says} for 60 ms (${section}.${phase}_timeout_ms)`,
          );
          await waitFor(() => rig.upstream.aborted > aborted, "the upstream to be aborted");
          await rig.untilFree();
        });
      }
    }

    test("has all the time while its reader pauses", async () => {
      const next = gate();
      rig.acts = () => [
        act.send(sseHead()),
        act.send(chunk("one")),
        act.wait(next.opened),
        act.send(chunk("two")),
        act.send(LAST_CHUNK),
      ];
      const { body } = await rig.once({ idle_timeout_ms: 300 }).answer(wireAsk(), rig.call());
      const { sink, ended, text } = recorder();
      body.flow({
        ...sink,
        onPiece(bytes, atUs) {
          sink.onPiece(bytes, atUs);
          body.pause();
        },
      });
      await waitFor(() => text() === "one", "the first piece");
      await Bun.sleep(500); // longer than the limit: nothing may happen
      const { sentBytes } = rig.upstream;
      next.open();
      await waitFor(() => rig.upstream.sentBytes >= sentBytes + 13, "the rest to be on its way");
      body.resume();
      await waitFor(() => text() === "onetwo", "the second piece");
      body.resume();
      expect(await ended).toEqual({ ending: "end", error: undefined });
      await rig.untilFree();
    });

    test("is given up when its call is, before its head", async () => {
      const { aborted } = rig.upstream;
      rig.acts = () => [act.stall];
      const abort = new AbortController();
      const asked = rig.upstream.requests.length;
      const failure = failureOf(rig.once().answer(wireAsk(), rig.call(abort.signal)));
      await waitFor(() => rig.upstream.requests.length > asked, "the request");
      const reason = clientLeft();
      abort.abort(reason);
      expect(await failure).toBe(reason);
      await waitFor(() => rig.upstream.aborted > aborted, "the upstream to be aborted");
      await rig.untilFree();
    });

    test("is not asked for a call that was given up before", async () => {
      const { opened } = rig.upstream;
      const reason = clientLeft();
      const call = rig.call(AbortSignal.abort(reason));
      expect(await failureOf(rig.once().answer(wireAsk(), call))).toBe(reason);
      expect(rig.upstream.opened).toBe(opened);
      await rig.untilFree();
    });

    const cancels: readonly (readonly [string, boolean])[] = [
      ["before it flows", false],
      ["mid-stream", true],
    ];
    for (const [when, flows] of cancels) {
      test(`is stopped by cancel() ${when}`, async () => {
        const { aborted } = rig.upstream;
        rig.acts = () => [act.send(sseHead()), act.send(chunk("one")), act.stall];
        const { body } = await rig.once().answer(wireAsk(), rig.call());
        const { sink, text } = recorder();
        if (flows) {
          body.flow(sink);
          await waitFor(() => text() === "one", "the first piece");
        }
        body.cancel();
        body.cancel();
        await waitFor(() => rig.upstream.aborted > aborted, "the upstream to be aborted");
        expect(text()).toBe(flows ? "one" : "");
        await rig.untilFree();
      });
    }

    test("that answers with a stream and its end is read to its end", async () => {
      rig.acts = () => [act.send(sseHead()), said({ content: "水" }, "stop"), ...END];
      const { body } = await rig.once().answer(wireAsk(), rig.call());
      expect(await textOf(body)).toContain('"水"');
    });
  });
}

describe("Upstream", () => {
  test("names host and port of its base URL", async () => {
    const rows = [
      ["https://api.openai.com/v1", "api.openai.com:443"],
      ["http://localhost/v1", "localhost:80"],
      ["http://[::1]:8080", "[::1]:8080"],
    ] as const;
    for (const [base_url, host] of rows) {
      const { upstream, call } = endless(base_url);
      await upstream.answer(wireAsk(), call);
      expect(call.upstream?.host).toBe(host);
    }
  });

  test("tells its upstream where it stands in a trace", async () => {
    const { upstream, sent } = endless("http://127.0.0.1:9/v1");
    const trace = {
      traceId: "0af7651916cd43dd8448eb211c80319c",
      parentId: "",
      spanId: "b7ad6b7169203331",
      makeSpanId: () => "00f067aa0ba902b7",
      isSampled: true,
      state: "",
    };
    const call = new Exchange(makeEngine(), "test", { method: "", trace });
    await upstream.answer(wireAsk(), call);
    expect(sent[0]!.fields.get("traceparent")).toBe(
      "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
    );
  });

  test("a stream does not hold its question", async () => {
    const { upstream, engine, sent } = endless("http://127.0.0.1:9/v1");

    /** An open stream and a look at its question. */
    async function open() {
      const ask = wireAsk({}, "x".repeat(1024));
      const question = new WeakRef(ask.wire!.body!);
      const { body } = await upstream.answer(ask, new Exchange(engine, "test", { method: "" }));
      sent.length = 0;
      body.flow({ onPiece: () => body.pause(), onEnd() {} });
      return { body, question };
    }

    const opened = await Promise.all(Array.from({ length: 50 }, open));
    await new Promise((resolve) => setImmediate(resolve));
    Bun.gc(true);
    const held = opened.filter(({ question }) => question.deref() !== undefined);
    // The collector takes what looks like a pointer on the stack for one.
    expect(held.length).toBeLessThan(10);
    expect(opened.map(({ body }) => body)).toHaveLength(50);
  });
});

/** An upstream whose answers have begun and never end. */
function endless(base_url: string) {
  const engine = makeEngine();
  const answer: TransportResponse = {
    status: 200,
    fields: Fields.of([["content-type", "text/event-stream"]]),
    isUntilClose: false,
    isOver: false,
    whole: () => undefined,
    next: () => new TextEncoder().encode("data: x\n\n"),
    cancel() {},
  };
  const sent: TransportRequest[] = [];
  const transport: Transport = {
    send(request, receiver) {
      sent.push(request);
      receiver.onResponse(answer);
    },
    close() {},
  };
  const upstream = new Upstream(
    {
      section: "llm",
      base_url,
      urlKey: "llm.base_url",
      api_key: "",
      model_id: "",
      headers_timeout_ms: 1000,
      first_token_timeout_ms: 1000,
      idle_timeout_ms: 1000,
      headers: {},
      headers_up: [],
      passesClientKey: false,
      passesClient: false,
    },
    transport,
    SPEAKS_CHAT,
    new StreamOptions("auto"),
  );
  return { upstream, engine, sent, call: new Exchange(engine, "test", { method: "" }) };
}
