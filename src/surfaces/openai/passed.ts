/**
 * Every path of OpenAI's API that holds no conversation, passed to an upstream as it is: methods,
 * queries, forms, files and streams, both ways. The mock takes some of them in the place of one.
 *
 * @module
 */

import type { Source } from "../../core/answer.ts";
import { queryOf } from "../../core/body.ts";
import type { Authorize } from "../../core/exchange.ts";
import type { FaultEdits } from "../../core/fault_plan.ts";
import type { Stamps } from "../../core/stamp.ts";
import type { StreamManner, Surface } from "../../core/surface.ts";
import { bodyTooLarge, errorAnswer, errorEvent, keyError } from "../../dialects/openai/errors.ts";
import { PASSED_EDITS } from "../../dialects/openai/passed_edits.ts";
import { withRateLimits } from "../../dialects/openai/rate_limits.ts";
import { peekModel } from "../../dialects/openai_chat/peek_model.ts";
import { StreamEnd } from "../../lib/sse_tail.ts";
import { pathOf } from "../router.ts";

/** What the surface needs. */
export interface PassedDeps {
  /** The name of the path, or of all of them, in logs and metrics. */
  readonly name: string;
  readonly source: Source;
  /** True while the source needs nothing of a body before it goes up. */
  readonly streamsUp: () => boolean;
  /** True: an answer is finished although its client has left. */
  readonly isDraining: boolean;
  readonly door: PassedDoor;
}

/** How clients of one API are let in and turned away. */
export interface PassedDoor
  extends Pick<Surface, "tooLarge" | "refuse">, Required<Pick<Surface, "admit">> {
  readonly errorEvent: StreamManner["errorEvent"];
  readonly faultEdits?: FaultEdits;
}

/** OpenAI's keys and errors. `secrets`: the keys that are right, which no error repeats. */
export function openaiDoor(
  { stamps, authorize, secrets }: {
    readonly stamps: Stamps;
    readonly authorize: Authorize;
    readonly secrets: readonly string[];
  },
): PassedDoor {
  return {
    admit({ fields }, exchange) {
      exchange.requestId = `req_${stamps.hex(32)}`;
      const verdict = authorize(fields, exchange);
      if (verdict !== "ok") throw keyError(verdict, fields, secrets);
    },
    errorEvent,
    faultEdits: PASSED_EDITS,
    tooLarge: bodyTooLarge,
    refuse: (error, { requestId, limits }) => errorAnswer(withRateLimits(error, limits), requestId),
  };
}

/** Makes the surface. */
export function passed(deps: PassedDeps): Surface {
  const { source, isDraining, door } = deps;
  // Who knows how such a stream ends: each path has its own way.
  const { errorEvent, faultEdits } = door;
  const manner = {
    errorEvent,
    streamEnd: StreamEnd.UNKNOWN,
    ...(faultEdits === undefined ? {} : { faultEdits }),
  };
  return {
    ...door,
    name: deps.name,
    source: source.name,
    get takes() {
      return deps.streamsUp() ? "stream" : "body";
    },
    answer({ head, bytes, upload }, exchange) {
      const { method, target, fields } = head;
      const whole = pathOf(target);
      const path = whole.slice(whole.indexOf("/", 1)); // "/v1" may be spelled with escapes
      const hasBody = bytes.length > 0 || upload !== undefined;
      exchange.model = peekModel(bytes);
      return {
        kind: "pass",
        source,
        model: exchange.model,
        manner,
        isDraining,
        wire: {
          dialect: "openai",
          method,
          path: path + queryOf(target),
          fields,
          body: hasBody ? bytes : null,
          upload,
        },
      };
    },
  };
}
