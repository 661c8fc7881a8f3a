/**
 * Physics around a mock, on a clock that a test moves.
 *
 * @module
 */

import { type Answer, askOf } from "../../../src/core/answer.ts";
import { latencyOf, type LatencyValues } from "../../../src/config/latency.ts";
import type { Call, Drawing } from "../../../src/core/exchange.ts";
import { EMPTY_TURN, type Turn } from "../../../src/core/turn.ts";
import { Abort } from "../../../src/lib/abort.ts";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { Ordinals, ordinalsBytes } from "../../../src/lib/ordinals.ts";
import { Recent, recentBytes } from "../../../src/lib/recent.ts";
import { Tally, tallyBytes } from "../../../src/lib/tally.ts";
import { Wheel } from "../../../src/lib/wheel.ts";
import { type Draws, draws } from "../../../src/sources/draws.ts";
import { Mock, type MockOptions } from "../../../src/sources/mock/mock.ts";
import { LOAD_ROWS, Physics } from "../../../src/sources/physics/physics.ts";
import type { LatencyProfile } from "../../../src/sources/physics/profile.ts";
import { TokenCounters } from "../../../src/sources/tokens.ts";

export type ScriptAnswer = Extract<Answer, { readonly kind: "script" }>;

/** The profile that `values` say, `realistic` where they name none. */
export function profileOf(values: LatencyValues = {}): LatencyProfile {
  return latencyOf({ profile: "realistic", ...values })!;
}

/** What several workers share. */
export class Shared {
  readonly ordinals = new Uint8Array(ordinalsBytes(65_536));
  readonly prefixes = new Uint8Array(recentBytes(65_536));
  readonly load = new Uint8Array(tallyBytes(LOAD_ROWS));
}

/** One request under way. */
export interface Asked {
  readonly answer: ScriptAnswer;
  readonly drawn: Drawing;
  readonly signal: Abort;
}

/** The call of a request with this text. */
export function callOf(
  text: string,
  more: Partial<Call> = {},
  headers: Readonly<Record<string, string>> = {},
): Call {
  const fields = Fields.of(Object.entries(headers));
  const head = { method: "POST", target: "/v1/chat/completions", fields };
  return { request: { head, text }, drawn: undefined, ...more } as unknown as Call;
}

/** How the mock of a rig answers. */
export interface RigOptions {
  readonly profile: LatencyProfile;
  readonly mock?: Partial<MockOptions>;
  readonly shared?: Shared;
  readonly worker?: number;
  readonly seed?: number;
}

/** A worker with physics. */
export class PhysicsRig {
  nowMs = 0;
  wallMs = 1_800_000_000_000;
  readonly wheel = new Wheel(() => this.nowMs, () => {});
  readonly tokens = new TokenCounters(65_536);
  readonly mock: Mock;
  readonly physics: Physics;
  readonly tally: Tally;
  readonly draws: Draws;

  constructor({ profile, mock = {}, shared = new Shared(), worker = 0, seed = 0 }: RigOptions) {
    this.mock = new Mock({
      ...{ reply: "powered by openai", first_token_ms: 0, delay_ms: 50 },
      ...{ chunks: "word", tools: "forced", models: [] },
      ...mock,
    }, this.tokens);
    this.tally = new Tally(shared.load, worker);
    this.draws = draws({ seed, ordinals: new Ordinals(shared.ordinals) });
    this.physics = new Physics({
      profile,
      draws: this.draws,
      tokens: this.tokens,
      promptTokens: (turn) => this.mock.promptTokens(turn),
      wheel: this.wheel,
      wallMs: () => this.wallMs,
      tally: this.tally,
      prefixes: new Recent(shared.prefixes),
    });
  }

  /** Asks; with `headers` of the request, whose text tells it from others. */
  begin(
    turn: Partial<Turn>,
    text = JSON.stringify(turn.messages ?? ""),
    headers: Readonly<Record<string, string>> = {},
  ): { readonly answer: Promise<Answer> | Answer; readonly call: Call; readonly signal: Abort } {
    const signal = new Abort();
    const call = callOf(text, { signal, startMs: this.nowMs }, headers);
    const answer = this.physics.around(this.mock).answer(
      askOf({ ...EMPTY_TURN, model: "gpt-4o", ...turn }),
      call,
    );
    return { answer, call, signal };
  }

  /** As `begin`, for an answer whose times are known at once. */
  ask(
    turn: Partial<Turn> = {},
    text?: string,
    headers?: Readonly<Record<string, string>>,
  ): Asked {
    const { answer, call, signal } = this.begin(turn, text, headers);
    if (answer instanceof Promise || answer.kind !== "script") throw new TypeError("Not known");
    return { answer, drawn: call.drawn!, signal };
  }

  /** Moves the clock on by `ms`, a millisecond at a time. */
  pass(ms: number): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs;) {
      this.nowMs++;
      this.wheel.turn();
    }
  }
}

/** What the steps of an answer say, with the times at which they are due. */
export function said(answer: ScriptAnswer): readonly (readonly [text: string, dueMs: number])[] {
  return answer.script.steps.flatMap((step, i) =>
    step.kind === "delta" ? [[step.text, answer.schedule!.dueMs[i]!] as const] : []
  );
}
