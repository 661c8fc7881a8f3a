import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { type Answer, askOf, type Relay, type Source } from "../../../src/core/answer.ts";
import { dataEvent, DONE_EVENT } from "../../../src/core/dialect.ts";
import { AppError } from "../../../src/core/errors.ts";
import { KnownBody } from "../../../src/core/relay_body.ts";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { OPENAI_CHAT } from "../../../src/dialects/openai_chat/upstream.ts";
import { respeak } from "../../../src/sources/upstream/respeak.ts";
import {
  StreamOptions,
  type StreamOptionsRule,
} from "../../../src/sources/upstream/stream_options.ts";
import { Speaks } from "../../../src/sources/upstream/speaks.ts";
import type { UpstreamOptions } from "../../../src/sources/upstream/upstream.ts";
import { waitFor } from "../../server/launch.ts";
import { gate } from "../../server/proxied.ts";
import {
  type Act,
  act,
  chunk,
  LAST_CHUNK,
  response,
  scriptedUpstream,
  sseHead,
} from "../../server/scripted_upstream.ts";
import {
  ANSWER_LIMITS,
  countLetters,
  END,
  endStep,
  failureOf,
  Rig,
  said,
  SPEAKS_CHAT,
  stepsOf,
  textStep,
  TRANSPORTS,
  TURN,
  wireAsk,
} from "./rig.ts";

const USAGE = { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 };
const USAGE_CHUNK = act.send(chunk(dataEvent({ id: "x", choices: [], usage: USAGE })));
const DONE = act.send(chunk(DONE_EVENT));
const PING = act.send(chunk(": ping\n\n"));
const JSON_TYPE = { "content-type": "application/json" };

for (const name of TRANSPORTS) {
  describe(`over ${name},`, () => {
    let rig: Rig;
    beforeAll(() => {
      rig = new Rig(name);
    });
    afterAll(() => rig.close());
    beforeEach(() => rig.reset());

    describe("a live answer", () => {
      test("is told step by step: texts, the reason, the usage", async () => {
        rig.acts = () => [
          act.send(sseHead()),
          said({ role: "assistant", content: "" }),
          said({ content: "水 " }),
          said({ content: "🌊" }),
          said({}, "length"),
          USAGE_CHUNK,
          ...END,
        ];
        const { status, text, isWhole } = await rig.ask();
        expect([status, isWhole]).toEqual([200, true]);
        expect(text).toBe(
          dataEvent(textStep("水 ")) + dataEvent(textStep("🌊")) + dataEvent(endStep("length")) +
            dataEvent({ kind: "usage", usage: { promptTokens: 3, completionTokens: 5 } }) +
            DONE_EVENT,
        );
        expect(rig.kept).toEqual([{ text: "水 🌊", isWhole: true }]);
        expect(rig.events.map(({ kind }) => kind)).toEqual(["upstream_ended", "exchange_ended"]);
        const [ended] = rig.events;
        if (ended?.kind !== "upstream_ended") throw new TypeError("No call has ended");
        expect(ended.call).toMatchObject({
          status: 200,
          attempts: 1,
          promptTokens: 3,
          completionTokens: 5,
          errorCode: undefined,
        });
        await rig.untilFree();
      });

      test("each step leaves before the next one comes", async () => {
        const next = gate();
        rig.acts = () => [
          act.send(sseHead()),
          said({ content: "one" }),
          act.wait(next.opened),
          said({ content: "two" }, "stop"),
          ...END,
        ];
        const client = await rig.client();
        await client.until('"one"');
        expect(client.text()).not.toContain("two");
        next.open();
        expect((await client.closed).toString()).toContain('"two"');
      });

      const message = { role: "assistant", content: "水 🌊" };
      const choice = { index: 0, message, finish_reason: "stop" };
      const whole = JSON.stringify({ id: "x", choices: [choice], usage: USAGE });
      const wholes: readonly (readonly [string, readonly Act[]])[] = [
        ["with its head", [act.send(response(whole, JSON_TYPE))]],
        ["in pieces", [
          act.send(sseHead({ "content-type": "application/json" })),
          act.send(chunk(whole.slice(0, 20))),
          act.send(chunk(whole.slice(20))),
          act.send(LAST_CHUNK),
        ]],
      ];
      for (const [how, script] of wholes) {
        test(`is one JSON object of an upstream that does not stream, ${how}`, async () => {
          rig.acts = () => script;
          expect(await stepsOf(rig.source.answer(askOf(TURN), rig.call()))).toEqual([
            textStep("水 🌊"),
            endStep(),
            { kind: "usage", usage: { promptTokens: 3, completionTokens: 5 } },
          ]);
        });
      }

      const finished = [said({ content: "水 🌊" }), said({}, "stop")];
      const rests: readonly (readonly [string, readonly Act[]])[] = [
        ["that never ends, behind [DONE]", [DONE, act.stall]],
        ["of comments behind [DONE]", [DONE, PING, act.stall]],
        ["that closes behind [DONE]", [DONE, act.end]],
        ["that closes behind the reason of its end", [act.end]],
        ["that falls silent behind the reason of its end", [act.stall]],
      ];
      for (const [what, rest] of rests) {
        // Bun's fetch gives nothing of a body that breaks off at once.
        if (name === "fetch" && rest.at(-1) === act.end) continue;
        test(`is whole in spite of a body ${what}`, async () => {
          rig.source = rig.live(rest.at(-1) === act.stall ? { idle_timeout_ms: 300 } : {});
          rig.acts = () => [act.send(sseHead()), ...finished, ...rest];
          const { status, text, isWhole } = await rig.ask();
          expect([status, isWhole]).toEqual([200, true]);
          expect(text).toBe(dataEvent(textStep("水 🌊")) + dataEvent(endStep()) + DONE_EVENT);
          expect(rig.kept).toEqual([{ text: "水 🌊", isWhole: true }]);
          await rig.untilFree();
        });
      }

      test("is done with [DONE], and its connection can be used again", async () => {
        const next = gate();
        rig.acts = () => [
          act.send(sseHead()),
          ...finished,
          DONE,
          act.wait(next.opened),
          act.send(LAST_CHUNK),
        ];
        const { opened } = rig.upstream;
        expect((await rig.ask()).isWhole).toBe(true);
        next.open();
        rig.acts = () => [act.send(sseHead()), ...finished, ...END];
        await rig.untilFree();
        expect((await rig.ask()).isWhole).toBe(true);
        expect(rig.upstream.opened - opened).toBeLessThanOrEqual(name === "http1" ? 1 : 2);
      });

      test("is done with [DONE] that comes while nobody asks, and frees its connection", async () => {
        const [first, last, over] = [gate(), gate(), gate()];
        const behind = dataEvent({ choices: [{ delta: { content: "b" }, finish_reason: "stop" }] });
        rig.acts = () => [
          act.send(sseHead()),
          act.wait(first.opened),
          said({ content: "a" }),
          act.wait(last.opened),
          act.send(chunk(behind + DONE_EVENT)),
          act.wait(over.opened),
          act.send(LAST_CHUNK),
        ];
        const { opened, aborted } = rig.upstream;
        const answer = await rig.source.answer(askOf(TURN), rig.call());
        if (answer.kind !== "live") throw new TypeError(answer.kind);
        const iterator = answer.steps[Symbol.asyncIterator]();
        const step = iterator.next();
        first.open();
        expect((await step).value).toEqual([textStep("a")]);
        last.open();
        const hasEnded = () => rig.events.some(({ kind }) => kind === "upstream_ended");
        await waitFor(hasEnded, "the end to be read");
        expect((await iterator.next()).value).toEqual([textStep("b"), endStep()]);
        expect((await iterator.next()).done).toBe(true);
        over.open();
        await rig.untilFree();
        rig.acts = () => [act.send(sseHead()), ...finished, ...END];
        expect((await rig.ask()).isWhole).toBe(true);
        if (name === "http1") expect(rig.upstream.opened - opened).toBe(1);
        expect(rig.upstream.aborted).toBe(aborted);
      });

      const limits: readonly (readonly [string, Partial<UpstreamOptions>, readonly Act[]])[] = [
        ["first_token", { first_token_timeout_ms: 200 }, []],
        ["idle", { idle_timeout_ms: 200 }, [said({ content: "a" })]],
      ];
      for (const [limit, options, said] of limits) {
        test(`comments are no answer: llm.${limit}_timeout_ms goes on`, async () => {
          rig.source = rig.live(options);
          // Far more comments than fit into the limit, each well within it.
          const ping = (_: unknown, at: number) => [PING, act.wait(Bun.sleep(20 * at))];
          rig.acts = () => [
            act.send(sseHead()),
            ...said,
            ...Array.from({ length: 100 }, ping).flat(),
            act.stall,
          ];
          const { text } = await rig.ask();
          expect(text).toContain(`for 200 ms (llm.${limit}_timeout_ms)`);
          await rig.untilFree();
        });
      }

      const stream = dataEvent({ choices: [{ delta: { content: "水 🌊" } }] }) +
        dataEvent({ choices: [{ delta: {}, finish_reason: "stop" }] }) + DONE_EVENT;
      const encodings = [
        ["gzip", gzipSync],
        ["x-gzip", gzipSync],
        ["deflate", deflateSync],
        ["br", brotliCompressSync],
        ["zstd", zstdCompressSync],
      ] as const;
      for (const [encoding, compress] of encodings) {
        test(`is read although it is ${encoding}, stream, whole and refusal`, async () => {
          const type = { "content-encoding": encoding };
          const bytes = compress(stream);
          rig.acts = () => [
            act.send(sseHead(type)),
            act.send(chunk(bytes.subarray(0, 9))),
            act.send(chunk(bytes.subarray(9))),
            act.send(LAST_CHUNK),
          ];
          expect((await rig.ask()).text).toContain("水 🌊");
          rig.acts = () => [act.send(response(compress(whole), { ...JSON_TYPE, ...type }))];
          expect((await rig.ask()).text).toContain("水 🌊");
          const refusal = compress('{"error":{"message":"nein 不行"}}');
          rig.acts = () => [act.send(response(refusal, type, "400 X"))];
          expect(JSON.parse((await rig.ask()).text).message).toBe("nein 不行");
          await rig.untilFree();
        });
      }

      test("that is compressed and broken, or unknown, is an error that says so", async () => {
        rig.acts = () => [act.send(response("no gzip", { "content-encoding": "gzip" }))];
        expect(JSON.parse((await rig.ask()).text).message).toContain("cannot be undone");
        rig.acts = () => [act.send(response("x", { "content-encoding": "lz" }))];
        expect(JSON.parse((await rig.ask()).text).message).toContain('encoded its answer as "lz"');
        await rig.untilFree();
      });

      test("is read at the pace of its reader", async () => {
        const text = "x".repeat(64 * 1024);
        const count = 1000;
        rig.acts = () => [
          act.send(sseHead()),
          ...Array.from({ length: count }, () => said({ content: text })),
          said({}, "stop"),
          ...END,
        ];
        const answer = await rig.source.answer(askOf(TURN), rig.call());
        if (answer.kind !== "live") throw new TypeError(answer.kind);
        const { sentBytes } = rig.upstream;
        const iterator = answer.steps[Symbol.asyncIterator]();
        const first = await iterator.next();
        // What sockets and buffers hold, until the upstream can send nothing more.
        let seen = -1;
        await waitFor(async () => {
          const before = seen;
          seen = rig.upstream.sentBytes;
          await Bun.sleep(100);
          return before === seen;
        }, "the upstream to stand still");
        expect(rig.upstream.playing).toBeGreaterThan(0);
        expect(seen - sentBytes).toBeLessThan(count * text.length / 2);
        let bytes = 0;
        for (let turn = first; !turn.done; turn = await iterator.next()) {
          for (const step of turn.value) if (step.kind === "delta") bytes += step.text.length;
        }
        expect(bytes).toBe(count * text.length);
        await rig.untilFree();
      });
    });

    describe("before the first step, what the upstream did is the answer:", () => {
      for (const upstreamStatus of [400, 401, 403, 404, 422, 429, 500, 503] as const) {
        test(`its status ${upstreamStatus} and its sentence`, async () => {
          const error = { message: "nein 不行", type: "t", param: "p", code: "c" };
          rig.acts = () => [
            act.send(response(JSON.stringify({ error }), JSON_TYPE, `${upstreamStatus} X`)),
          ];
          const { status, text } = await rig.ask();
          expect(status).toBe(upstreamStatus);
          expect(JSON.parse(text)).toEqual({
            code: "upstream_refused",
            message: "nein 不行",
            param: "p",
          });
          expect(rig.kept).toEqual([]);
          await rig.untilFree();
        });
      }

      test("half of a refusal is better than none", async () => {
        rig.acts = () => [
          act.send(sseHead({ "content-type": "text/plain" }).replace("200 OK", "403 X")),
          act.send(chunk("you may ")),
          act.reset,
        ];
        const { code, status, message } = await failureOf(
          rig.source.answer(askOf(TURN), rig.call()),
        );
        expect([code, status]).toEqual(["upstream_refused", 403]);
        expect(message).toMatch(/^(?:you may|The upstream refused with the status 403, .*)$/); // a reset may overtake the bytes
      });

      test("a refusal without end is cut at a limit", async () => {
        rig.acts = () => [
          act.send(sseHead({ "content-type": "text/plain" }).replace("200 OK", "403 X")),
          act.send(chunk("x".repeat(70_000))),
          act.stall,
        ];
        const { aborted } = rig.upstream;
        const { message } = await failureOf(rig.source.answer(askOf(TURN), rig.call()));
        expect(message).toBe("x".repeat(1000));
        await waitFor(() => rig.upstream.aborted > aborted, "the upstream to be aborted");
      });

      const limits: readonly (readonly [string, Partial<UpstreamOptions>, readonly Act[]])[] = [
        ["headers", { headers_timeout_ms: 60 }, [act.stall]],
        ["first_token", { first_token_timeout_ms: 60 }, [act.send(sseHead()), act.stall]],
      ];
      for (const [limit, options, script] of limits) {
        test(`llm.${limit}_timeout_ms: 504, and the upstream is aborted`, async () => {
          const { aborted } = rig.upstream;
          rig.source = rig.live(options);
          rig.acts = () => script;
          const { status, text } = await rig.ask();
          expect(status).toBe(504);
          expect(JSON.parse(text).message).toContain(`for 60 ms (llm.${limit}_timeout_ms)`);
          await waitFor(() => rig.upstream.aborted > aborted, "the upstream to be aborted");
          await rig.untilFree();
        });
      }

      const broken: readonly (readonly [string, readonly Act[], string])[] = [
        ["an end without a word", [act.send(sseHead()), act.send(LAST_CHUNK)], "finishing"],
        ["nothing but [DONE]", [act.send(sseHead()), ...END], "finishing"],
        ["an empty answer", [act.send(response("", {}, "204 No Content"))], "finishing"],
        [
          "an error inside a 200",
          [act.send(response('{"error":{"message":"no credit 没钱"}}', JSON_TYPE))],
          "no credit 没钱",
        ],
        [
          "an error event",
          [
            act.send(sseHead()),
            act.send(chunk('event: error\ndata: {"message":"no"}\n\n')),
            act.stall,
          ],
          "no",
        ],
        [
          "HTML",
          [act.send(response("<h1>Hi</h1>", { "content-type": "text/html" }))],
          "no JSON object",
        ],
        ["no JSON", [act.send(response("<h1>Hi</h1>", JSON_TYPE))], "is no JSON"],
        ["a status that is none", [act.send(response("{}", JSON_TYPE, "999 X"))], "status"],
      ];
      for (const [what, script, sentence] of broken) {
        test(`${what} is 502`, async () => {
          rig.acts = () => script;
          const { status, text } = await rig.ask();
          expect(status).toBe(502);
          expect(JSON.parse(text).code).toBe("upstream_broken");
          expect(JSON.parse(text).message).toContain(sentence);
          await rig.untilFree();
        });
      }

      for (const redirect of ["301 X", "302 X", "303 X", "307 X", "308 X"] as const) {
        test(`a redirect (${redirect.slice(0, 3)}) is 502, and its target sees nothing`, async () => {
          const target = scriptedUpstream(() => [act.send(response("{}"))]);
          rig.source = rig.live({ headers: { "x-secret": "blue" } });
          rig.acts = () => [
            act.send(response("", { location: `${target.url}/v1/chat/completions` }, redirect)),
          ];
          const { status, text } = await rig.ask();
          expect(status).toBe(502);
          expect(JSON.parse(text).message).toBe(
            `The upstream answered with the status ${redirect.slice(0, 3)}, a redirect to ` +
              `${target.url}, which weir does not follow. Check llm.base_url: it has to say where ` +
              "the API is itself.",
          );
          expect(target.opened).toBe(0);
          target.close();
          await rig.untilFree();
        });
      }

      test("a refusal keeps what it says about coming again", async () => {
        const fields = {
          "retry-after": "61",
          "retry-after-ms": "61000",
          "x-should-retry": "false",
          "x-other": "1",
        };
        rig.acts = () => [act.send(response("no", fields, "429 Slow"))];
        const error = await failureOf(rig.source.answer(askOf(TURN), rig.call()));
        const { "x-other": _, ...kept } = fields;
        expect([error.status, error.headers]).toEqual([429, kept]);
      });

      describe("stream_options", () => {
        const STREAM = [act.send(sseHead()), said({ content: "水" }), said({}, "stop"), ...END];
        const NAMED = '{"detail":"stream_options: Extra inputs are not permitted"}';

        /** Asks `count` times in a row: what came, and which requests had stream_options. */
        async function asked(count: number, plays: (hasOptions: boolean) => readonly Act[]) {
          rig.play = ({ body }) => plays(body.includes("stream_options"));
          const from = rig.upstream.requests.length;
          const outcomes: (string | number)[] = [];
          for (let i = 0; i < count; i++) {
            const steps = stepsOf(rig.source.answer(askOf(TURN), rig.call()));
            outcomes.push(await steps.then(() => "ok", (error: AppError) => error.status));
          }
          const requests = rig.upstream.requests.slice(from);
          return {
            outcomes,
            had: requests.map(({ body }) => body.includes("stream_options")),
          };
        }

        const refusal = (status: string, body: string) => [act.send(response(body, {}, status))];
        const CASES: readonly (readonly [
          string,
          (hasOptions: boolean) => readonly Act[],
          readonly (string | number)[],
          readonly boolean[],
        ])[] = [
          ["are sent", () => STREAM, ["ok", "ok"], [true, true]],
          [
            "are left out for good once they are refused by name",
            (has) => has ? refusal("422 X", NAMED) : STREAM,
            ["ok", "ok", "ok"],
            [true, false, false, false],
          ],
          [
            "are left out for good once a request is only taken without them",
            (has) => has ? refusal("400 X", "bad") : STREAM,
            ["ok", "ok"],
            [true, false, false],
          ],
          [
            "stay when the request has another fault",
            () => refusal("400 X", "no such model"),
            [400, 400],
            [true, false, true, false],
          ],
          ["stay when the key is wrong", () => refusal("401 X", "who?"), [401, 401], [true, true]],
        ];
        for (const [what, plays, outcomes, had] of CASES) {
          test(what, async () => {
            expect(await asked(outcomes.length, plays)).toEqual({
              outcomes: [...outcomes],
              had: [...had],
            });
            await rig.untilFree();
          });
        }

        const USAGE = { prompt_tokens: 30, completion_tokens: 50 };
        const TOLD = [
          act.send(sseHead()),
          said({ content: "水" }),
          said({}, "stop"),
          act.send(chunk(dataEvent({ choices: [], usage: USAGE }))),
          ...END,
        ];
        const WHOLE = [
          act.send(response(
            JSON.stringify({ choices: [{ message: { content: "水" }, finish_reason: "stop" }] }),
            JSON_TYPE,
          )),
        ];
        const PROMPT = "你好 🌊".length;
        const COSTS: readonly (readonly [string, StreamOptionsRule, readonly Act[], object])[] = [
          ["counted where they are not sent", "never", STREAM, {
            promptTokens: PROMPT,
            completionTokens: 1,
            tokensAreEstimated: true,
          }],
          ["counted for an answer in one piece, too", "never", WHOLE, {
            promptTokens: PROMPT,
            completionTokens: 1,
            tokensAreEstimated: true,
          }],
          ["what the upstream tells unasked", "never", TOLD, {
            promptTokens: 30,
            completionTokens: 50,
            tokensAreEstimated: false,
          }],
          ["counted where it was asked for and not told", "auto", STREAM, {
            promptTokens: PROMPT,
            completionTokens: 1,
            tokensAreEstimated: true,
          }],
        ];
        for (const [what, rule, acts, cost] of COSTS) {
          test(`what the answer cost is ${what}`, async () => {
            rig.acts = () => acts;
            const call = rig.call();
            const source = rig.live({}, 0, {}, new StreamOptions(rule), countLetters);
            const steps = await stepsOf(source.answer(askOf(TURN), call));
            expect(call).toMatchObject(cost);
            const { promptTokens, completionTokens } = call;
            expect(steps.filter(({ kind }) => kind === "usage"))
              .toEqual([{ kind: "usage", usage: { promptTokens, completionTokens } }]);
          });
        }

        test("are never sent where the config says so", async () => {
          rig.source = rig.live({}, 0, {}, new StreamOptions("never"));
          expect(await asked(2, () => STREAM)).toEqual({
            outcomes: ["ok", "ok"],
            had: [false, false],
          });
        });
      });

      test("an upstream that is gone is 502", async () => {
        rig.source = rig.live({ base_url: "http://127.0.0.1:1/v1" });
        const { status, text } = await rig.ask();
        expect(status).toBe(502);
        expect(JSON.parse(text).code).toBe("upstream_unreachable");
        await rig.untilFree();
      });

      test("shutdown finds a request that waits, and refuses it", async () => {
        rig.acts = () => [act.stall];
        const pending = rig.ask();
        await waitFor(() => rig.engine.streams.size === 1, "it to wait");
        for (const stream of rig.engine.streams) stream.fail(new AppError("shutting_down", "bye"));
        const { status, text } = await pending;
        expect([status, JSON.parse(text).code]).toEqual([503, "shutting_down"]);
        await rig.untilFree();
      });

      test("a busy upstream is asked again", async () => {
        rig.source = rig.live({}, 1);
        const asked = rig.upstream.requests.length;
        rig.acts = () =>
          rig.upstream.requests.length === asked + 1
            ? [act.send(response("{}", { "retry-after-ms": "1" }, "503 No"))]
            : [act.send(sseHead()), said({ content: "x" }, "stop"), ...END];
        expect((await rig.ask()).status).toBe(200);
        expect(rig.upstream.requests.length).toBe(asked + 2);
      });
    });

    describe("an answer without end", () => {
      const LIMITS = { event_max_bytes: 4096, answer_max_bytes: 65_536 };
      const EVENT = "event of more than 4096 bytes (llm.event_max_bytes)";
      const ANSWER = "answer of more than 65536 bytes (llm.answer_max_bytes)";
      const event = dataEvent({ choices: [{ index: 0, delta: { content: "水".repeat(100) } }] });
      const TYPE = { "content-type": "text/event-stream" };
      const rows: readonly (readonly [
        what: string,
        says: string,
        head: Readonly<Record<string, string>>,
        beginning: string | Uint8Array,
        piece: string | Uint8Array,
      ])[] = [
        ["a line", EVENT, TYPE, "data: ", "x".repeat(1000)],
        ["a comment", EVENT, TYPE, ": ", "x".repeat(1000)],
        ["lines of one event", EVENT, TYPE, "", `data: ${"x".repeat(1000)}\n`],
        ["an object", "answer of more than 4096 bytes", JSON_TYPE, "{", " ".repeat(1000)],
        ["blanks", ANSWER, TYPE, "\n", "\n".repeat(1000)],
        ["comments", ANSWER, TYPE, "", `: ${"x".repeat(1000)}\n\n`],
        ["events", ANSWER, TYPE, event, event],
      ];
      for (const [what, says, head, beginning, piece] of rows) {
        test(`of ${what} ends at a limit, and the upstream is stopped`, async () => {
          const { aborted } = rig.upstream;
          rig.source = rig.live({}, 0, LIMITS);
          rig.acts = () => [
            act.send(sseHead(head)),
            ...(beginning.length === 0 ? [] : [act.send(chunk(beginning))]),
            ...Array.from({ length: 300 }, () => act.send(chunk(piece))),
            act.stall,
          ];
          const { status, text } = await rig.ask();
          const isEvents = what === "events";
          expect(status).toBe(isEvents ? 200 : 502);
          expect(text).toContain(says);
          expect(text).not.toContain("[DONE]");
          await waitFor(() => rig.upstream.aborted > aborted, "the upstream to be aborted");
          await rig.untilFree();
        });
      }

      const codings = {
        "gzip": gzipSync,
        "deflate": deflateSync,
        "br": brotliCompressSync,
        "zstd": zstdCompressSync,
      } as const;
      const bombs: readonly (readonly [string, string, string, number])[] = [
        ["line", EVENT, `data: ${"x".repeat(30_000_000)}`, 502],
        ["object", "answer of more than 4096 bytes", `{${" ".repeat(30_000_000)}`, 502],
        ["stream of events", ANSWER, event.repeat(30_000), 200],
      ];
      for (const [coding, encode] of Object.entries(codings)) {
        for (const [what, says, bomb, wanted] of bombs) {
          test(`a ${what} in ${coding} that is small outside ends at a limit`, async () => {
            const small = encode(bomb) as Uint8Array;
            rig.source = rig.live({}, 0, LIMITS);
            rig.acts = () => [
              act.send(sseHead({ "content-encoding": coding })),
              act.send(chunk(small)),
              act.stall,
            ];
            const { aborted } = rig.upstream;
            const { status, text } = await rig.ask();
            expect(status).toBe(wanted);
            expect(text).toContain(says);
            expect(text).not.toContain("[DONE]");
            await waitFor(() => rig.upstream.aborted > aborted, "the upstream to be aborted");
            await rig.untilFree();
          });
        }
      }
    });

    describe("behind the first step, it is an error event, and no end mark:", () => {
      const rows: readonly {
        readonly what: string;
        readonly options?: Partial<UpstreamOptions>;
        readonly then: readonly Act[];
        readonly code: string;
        readonly says: string;
      }[] = [
        {
          what: "silence",
          options: { idle_timeout_ms: 60 },
          then: [act.stall],
          code: "upstream_timeout",
          says: "for 60 ms (llm.idle_timeout_ms)",
        },
        {
          what: "a broken connection",
          then: [act.reset],
          code: "upstream_broken",
          says: "upstream",
        },
        {
          what: "a connection that closes without HTTP's end",
          then: [act.end],
          code: "upstream_broken",
          says: "upstream",
        },
        {
          what: "an end without a reason",
          then: END,
          code: "upstream_broken",
          says: "without finishing",
        },
        {
          what: "an error event of the upstream's",
          then: [act.send(chunk(dataEvent({ error: { message: "overloaded" } }))), act.stall],
          code: "upstream_broken",
          says: "overloaded",
        },
        {
          what: "an event that is no JSON",
          then: [act.send(chunk("data: {no\n\n")), act.stall],
          code: "upstream_broken",
          says: "is no JSON",
        },
      ];
      for (const { what, options, then, code, says } of rows) {
        test(what, async () => {
          rig.source = rig.live(options);
          const next = gate();
          rig.acts = () => [
            act.send(sseHead()),
            said({ content: "half" }),
            act.wait(next.opened),
            ...then,
          ];
          const client = await rig.client();
          await client.until('"half"');
          next.open();
          const text = (await client.closed).toString();
          expect(text).toContain(`${JSON.stringify(textStep("half"))}\n\n`);
          expect(text).toContain(`data: {"error":"${code}"`);
          expect(text).toContain(says);
          expect(text).not.toContain("[DONE]");
          expect(rig.kept).toEqual([{ text: "half", isWhole: false }]);
          expect(rig.events.filter(({ kind }) => kind === "bug")).toEqual([]);
          await rig.untilFree();
        });
      }

      test("an error that comes in one piece with text follows that text", async () => {
        const { aborted } = rig.upstream;
        const error = dataEvent({ error: { message: "overloaded" } });
        const text = dataEvent({ choices: [{ index: 0, delta: { content: "half" } }] });
        rig.acts = () => [act.send(sseHead()), act.send(chunk(text + error)), act.stall];
        const answer = await rig.ask();
        expect([answer.status, answer.isWhole]).toEqual([200, true]);
        expect(answer.text).toBe(
          dataEvent(textStep("half")) +
            dataEvent({ error: "upstream_broken", message: "overloaded" }),
        );
        await waitFor(() => rig.upstream.aborted > aborted, "the upstream to be aborted");
        await rig.untilFree();
      });
    });

    describe("a client that leaves stops the upstream", () => {
      const windows: readonly (readonly [string, readonly Act[], string])[] = [
        ["before its headers", [act.stall], ""],
        ["before its first chunk", [act.send(sseHead()), act.stall], ""],
        ["mid-stream", [act.send(sseHead()), said({ content: "half" }), act.stall], '"half"'],
        [
          "in the middle of a refusal",
          [
            act.send(sseHead({ "content-type": "text/plain" }).replace("200 OK", "403 X")),
            act.send(chunk("you may")),
            act.stall,
          ],
          "",
        ],
      ];
      for (const [when, script, seen] of windows) {
        test(when, async () => {
          const [asked, aborted] = [rig.upstream.requests.length, rig.upstream.aborted];
          rig.acts = () => script;
          const client = await rig.client([]);
          await waitFor(() => rig.upstream.requests.length > asked, "the request");
          if (seen !== "") await client.until(seen);
          client.leave();
          await waitFor(() => rig.upstream.aborted > aborted, "the upstream to be aborted");
          await rig.untilFree();
          expect(rig.events.filter(({ kind }) => kind === "bug")).toEqual([]);
          const ended = rig.events.find(({ kind }) => kind === "exchange_ended");
          expect(ended).toMatchObject({ exchange: { outcome: "client_left" } });
        });
      }

      test("but drain reads it to its end, and the whole text is kept", async () => {
        rig.isDraining = true;
        const { aborted } = rig.upstream;
        const left = gate();
        rig.acts = () => [
          act.send(sseHead()),
          said({ content: "half" }),
          act.wait(left.opened),
          said({ content: " and half" }, "stop"),
          ...END,
        ];
        const client = await rig.client([]);
        await client.until('"half"');
        client.leave();
        await waitFor(() => rig.events.length === 1, "weir to see it leave");
        left.open();
        await waitFor(() => rig.kept.length === 1, "the end");
        expect(rig.kept).toEqual([{ text: "half and half", isWhole: true }]);
        expect(rig.upstream.aborted).toBe(aborted);
        await rig.untilFree();
      });
    });

    for (const reads of [1, 0] as const) {
      test(`a reader that stops after ${reads} batches frees the upstream`, async () => {
        rig.acts = () => [act.send(sseHead()), said({ content: "half" }), act.stall];
        const { aborted } = rig.upstream;
        const answer = await rig.source.answer(askOf(TURN), rig.call());
        if (answer.kind !== "live") throw new TypeError(answer.kind);
        const iterator = answer.steps[Symbol.asyncIterator]();
        if (reads === 1) {
          expect(await iterator.next()).toEqual({ done: false, value: [textStep("half")] });
        }
        await iterator.return!();
        await waitFor(() => rig.upstream.aborted > aborted, "the upstream to be aborted");
        expect(await iterator.next()).toMatchObject({ done: true });
        await rig.untilFree();
      });
    }

    test("return() ends a next() that waits", async () => {
      rig.acts = () => [act.send(sseHead()), act.stall];
      const answer = await rig.source.answer(askOf(TURN), rig.call());
      if (answer.kind !== "live") throw new TypeError(answer.kind);
      const iterator = answer.steps[Symbol.asyncIterator]();
      const next = iterator.next();
      await iterator.return!();
      expect(await next).toMatchObject({ done: true });
      await rig.untilFree();
    });

    test("a client of the upstream's own dialect gets its bytes", async () => {
      rig.acts = () => [act.send(response('{"odd":', JSON_TYPE, "418 X"))];
      const answer = await rig.source.answer(wireAsk(), rig.call());
      expect(answer).toMatchObject({ kind: "relay", status: 418 });
    });
  });
}

describe("respeak()", () => {
  const rig = new Rig("http1");
  afterAll(() => rig.close());

  describe("of an upstream of which nobody said what it speaks", () => {
    const WHOLE = { choices: [{ message: { content: "水" }, finish_reason: "stop" }] };
    const NOT_THERE = '{"error":{"message":"Not Found"}}';
    const WIRE = wireAsk({}, '{"model":"gpt-x","input":"hi"}', "openai_responses");

    /** What comes of a question in the Responses dialect when its first answer is `first`. */
    async function asked(first: Act, ask = WIRE) {
      const speaks = new Speaks(["openai_chat", "openai_responses"], OPENAI_CHAT, true);
      const options = new StreamOptions("auto");
      const once = rig.once({ model_id: "" }, speaks, options);
      const source = respeak(once, speaks, ANSWER_LIMITS, options);
      const from = rig.upstream.requests.length;
      let isFirst = true;
      rig.acts = () => {
        const played = isFirst ? first : act.send(response(JSON.stringify(WHOLE), JSON_TYPE));
        isFirst = false;
        return [played];
      };
      const answer = await source.answer(ask, rig.call());
      const said = answer.kind === "relay"
        ? [answer.status, Buffer.from(answer.body.whole()!).toString()]
        : await stepsOf(answer);
      const bodies = rig.upstream.requests.slice(from).map(({ body }) => body.toString());
      return { said, bodies, speaks };
    }

    for (const status of ["404 Not Found", "405 Method Not Allowed", "501 Not Implemented"]) {
      test(`asks again in its own dialect after ${status}, and remembers that`, async () => {
        const { said, bodies, speaks } = await asked(act.send(response(NOT_THERE, {}, status)));
        expect(said).toEqual([textStep("水"), endStep()]);
        expect(bodies).toHaveLength(2);
        expect(JSON.parse(bodies[1]!)).toHaveProperty("messages");
        expect([speaks.has("openai_responses"), speaks.has("openai_chat")]).toEqual([false, true]);
      });
    }

    const OF_THE_PATH: readonly (readonly [model: string, body: string])[] = [
      ["m", '{"error":{"message":"Not Found here","type":"nf","param":null,"code":null}}'],
      ["gpt-4o", '{"detail":"gpt-4o-mini knows no such URL"}'],
      ["responses", '{"error":"/v1/responses is unknown"}'],
      ["gpt-4", '{"error":{"message":"no","model":"gpt-4"}}'],
    ];
    for (const [model, body] of OF_THE_PATH) {
      test(`asks again although ${body} holds the letters of the model ${model}`, async () => {
        const { bodies } = await asked(
          act.send(response(body, {}, "404 Not Found")),
          { ...WIRE, model: () => model },
        );
        expect(bodies).toHaveLength(2);
      });
    }

    const KEPT: readonly (readonly [name: string, status: string, body: string])[] = [
      ["a 404 that names the model", "404 Not Found", '{"error":"no gpt-x here"}'],
      ["a 404 that quotes it", "404 Not Found", '{"error":{"message":"The model `gpt-x`, or"}}'],
      ["a 404 that ends with it", "404 Not Found", '{"detail":"no models/gpt-x or gpt-x."}'],
      ["a 404 of an unknown model", "404 Not Found", '{"error":{"code":"model_not_found"}}'],
      ["a 404 of the parameter", "404 Not Found", '{"error":{"message":"no","param":"model"}}'],
      ["a refusal", "400 Bad Request", NOT_THERE],
      ["an answer", "200 OK", "{}"],
    ];
    for (const [name, status, body] of KEPT) {
      test(`passes ${name} as it came`, async () => {
        const { said, bodies, speaks } = await asked(
          act.send(response(body, {}, status)),
          { ...WIRE, model: () => "gpt-x" },
        );
        expect([said, bodies.length]).toEqual([[Number(status.slice(0, 3)), body], 1]);
        expect(speaks.has("openai_responses")).toBe(true);
      });
    }
  });

  test("leaves what is no relay as it is", async () => {
    const script = { kind: "script", script: { name: "s", steps: [] }, model: "m" } as const;
    const source: Source = { name: "s", answer: () => script };
    expect(
      await respeak(source, SPEAKS_CHAT, ANSWER_LIMITS, new StreamOptions("auto")).answer(
        askOf(TURN),
        rig.call(),
      ),
    ).toBe(script);
  });

  for (const kind of ["at once", "as a promise"] as const) {
    test(`reads a body that is known beforehand, answered ${kind}`, async () => {
      const event = (text: string) => dataEvent({ choices: [{ delta: { content: text } }] });
      const end = dataEvent({ choices: [{ delta: {}, finish_reason: "stop" }] }) + DONE_EVENT;
      const pieces = [event("水"), event("🌊") + end].map((text, i) => ({
        bytes: new TextEncoder().encode(text),
        atUs: i * 2000,
      }));
      const relay: Relay = {
        kind: "relay",
        status: 200,
        fields: Fields.NONE,
        body: new KnownBody(pieces, "end", rig.engine.wheel),
      };
      const answer = (): Answer | Promise<Answer> =>
        kind === "at once" ? relay : Promise.resolve(relay);
      const steps = await stepsOf(
        respeak({ name: "tape", answer }, SPEAKS_CHAT, ANSWER_LIMITS, new StreamOptions("auto"))
          .answer(
            askOf(TURN),
            rig.call(),
          ),
      );
      expect(steps).toEqual([textStep("水"), textStep("🌊"), endStep()]);
    });
  }
});
