import type { Answer, RelayBody, Source, StepBatches } from "../../src/core/answer.ts";

/** What went by. */
export type Counts = { bytes: number; steps: number };

/** `source`, with the bytes and the steps of its answers counted as they go by. */
export function counted(source: Source, counts: Counts): Source {
  return {
    name: source.name,
    answer: async (ask, call) => watched(await source.answer(ask, call), counts),
  };
}

function watched(answer: Answer, counts: Counts): Answer {
  if (answer.kind === "live") return { ...answer, steps: watchedSteps(answer.steps, counts) };
  if (answer.kind === "relay") {
    // No spread: its members may be getters of a class.
    const { kind, status, fields } = answer;
    return { kind, status, fields, body: watchedBody(answer.body, counts) };
  }
  counts.steps += answer.script.steps.length;
  return answer;
}

/** No generator, whose `return` would wait for `next`. */
function watchedSteps(steps: StepBatches, counts: Counts): StepBatches {
  return {
    [Symbol.asyncIterator]() {
      const iterator = steps[Symbol.asyncIterator]();
      return {
        next: async () => {
          const turn = await iterator.next();
          if (!turn.done) counts.steps += turn.value.length;
          return turn;
        },
        return: async () => await iterator.return?.() ?? { done: true, value: undefined },
      };
    },
  };
}

function watchedBody(body: RelayBody, counts: Counts): RelayBody {
  function count<Bytes extends Uint8Array | undefined>(bytes: Bytes): Bytes {
    counts.bytes += bytes?.length ?? 0;
    return bytes;
  }
  return {
    whole: () => count(body.whole()),
    flow: (sink) =>
      body.flow({
        onPiece: (bytes, atUs, isLast) => sink.onPiece(count(bytes), atUs, isLast),
        onEnd: (ending, error) => sink.onEnd(ending, error),
      }),
    pause: () => body.pause(),
    resume: () => body.resume(),
    cancel: () => body.cancel(),
  };
}
