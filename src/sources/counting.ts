/**
 * Counts what a turn's prompt costs, for clients that ask for nothing else: an upstream that can be
 * asked is asked, and else weir counts.
 *
 * @module
 */

import type { Answer, Ask, Script, Source } from "../core/answer.ts";
import type { Turn } from "../core/turn.ts";
import type { Speaks } from "./upstream/speaks.ts";
import { unlessUnknown } from "./upstream/respeak.ts";

/** An answer of nothing but its usage. */
const NOTHING: Script = { name: "nothing", steps: [] };

/**
 * `target` where it speaks Anthropic's dialect, in which alone one asks for a count; `count` else.
 * `speaks`: of an upstream, undefined = it is none.
 */
export function counting(
  target: Source,
  speaks: Speaks | undefined,
  count: (turn: Turn) => number,
): Source {
  function own(ask: Ask): Answer {
    const turn = ask.turn();
    const usage = { promptTokens: count(turn), completionTokens: 0 };
    return { kind: "script", script: NOTHING, model: turn.model, usage };
  }

  return {
    name: target.name,
    answer(ask, call) {
      const { wire } = ask;
      if (wire === undefined || !speaks?.has("anthropic_messages")) return own(ask);
      // As it is: it must not be asked again in another dialect.
      const passed: Ask = {
        wire: { ...wire, dialect: "openai" },
        model: () => ask.model(),
        turn: () => ask.turn(),
      };
      const given = target.answer(passed, call);
      if (!speaks.isGuessed) return given;
      return Promise.resolve(given).then(async (answer) => {
        if (answer.kind !== "relay") return answer;
        return await unlessUnknown(answer, ask, call) ?? own(ask);
      });
    },
  };
}
