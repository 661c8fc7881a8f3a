import { describe, expect, test } from "bun:test";
import type { Source } from "../../../src/core/answer.ts";
import { Driver } from "../../../src/core/driver.ts";
import { Stamps } from "../../../src/core/stamp.ts";
import type { Turn } from "../../../src/core/turn.ts";
import { requestHead } from "../../../src/lib/http1/request_head.ts";
import { Wheel } from "../../../src/lib/wheel.ts";
import {
  chatCompletions,
  type ChatCompletionsDeps,
  v1Door,
} from "../../../src/surfaces/openai/chat_completions.ts";
import { bodyOf } from "../../core/body_of.ts";
import { MemoryWriter } from "../../core/memory_writer.ts";

/** What the source is asked for when `body` comes in. */
function turnOf(
  body: unknown,
  persona: ChatCompletionsDeps["persona"],
): { readonly turn: Turn; readonly contentType: string | null } {
  let asked: Turn | undefined;
  const source: Source = {
    name: "mock",
    answer(ask) {
      asked = ask.turn();
      const steps = [{ kind: "end", choice: 0, reason: "stop", afterMs: 0 } as const];
      return { kind: "script", script: { name: "empty", steps }, model: "m" };
    },
  };
  const driver = new Driver({
    wheel: new Wheel(() => 0, () => {}),
    streams: new Set(),
    watch: () => {},
    keepaliveMs: 0,
    writeTimeoutMs: 60_000,
  }, { body_max_bytes: 1000, body_timeout_ms: 30_000, bodies_max_bytes: 1000 });
  const surface = chatCompletions({
    source,
    isRelaying: false,
    streamsUp: () => false,
    isDraining: false,
    stamps: new Stamps(() => 0, (target) => void target.fill(1)),
    recordLateness: () => {},
    door: v1Door(() => "ok", []),
    persona,
    validate: "live",
    processingMs: 0,
  });
  const writer = new MemoryWriter();
  const head = requestHead({ method: "POST", target: "/v1/chat/completions" });
  driver.answer(surface, { head, params: {}, body: bodyOf(JSON.stringify(body)) }, writer);
  return { turn: asked!, contentType: writer.headers!.get("content-type") };
}

describe("the turn says whether the answer is streamed", () => {
  const messages = [{ role: "user", content: "hi" }];
  const rows = [
    ["live", undefined, false],
    ["live", true, true],
    ["live", false, false],
    ["minimal", undefined, true],
    ["minimal", true, true],
    ["minimal", false, false],
  ] as const;
  for (const [persona, stream, isStream] of rows) {
    test(`persona ${persona}, stream ${stream}: ${isStream}`, () => {
      const { turn, contentType } = turnOf({ model: "m", messages, stream }, persona);
      expect(turn.isStream).toBe(isStream);
      expect(turn.wantsUsage).toBe(!isStream);
      expect(contentType?.startsWith("text/event-stream")).toBe(isStream);
    });
  }
});
