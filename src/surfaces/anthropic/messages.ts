/**
 * `POST /v1/messages` and `POST /v1/messages/count_tokens`: Anthropic's Messages API, answered by the
 * mock, relayed to an upstream that speaks it, or said again for one that does not.
 *
 * @module
 */

import { parseJsonBody } from "../../core/json_body.ts";
import type { Source, Usage } from "../../core/answer.ts";
import { sseFields } from "../../core/sse_headers.ts";
import type { Surface } from "../../core/surface.ts";
import type { Turn } from "../../core/turn.ts";
import { MESSAGE_EDITS } from "../../dialects/anthropic_messages/fault_edits.ts";
import { brokenJson, errorEvent } from "../../dialects/anthropic_messages/errors.ts";
import { answeringModel } from "../../dialects/anthropic_messages/models.ts";
import { rateLimitFields } from "../../dialects/anthropic_messages/rate_limits.ts";
import {
  parseCountRequest,
  parseMessagesRequest,
} from "../../dialects/anthropic_messages/request.ts";
import {
  MESSAGE_ID_LENGTHS,
  MessageLayout,
} from "../../dialects/anthropic_messages/write_answer.ts";
import { HeaderBlock } from "../../lib/http1/header_block.ts";
import { StreamEnd } from "../../lib/sse_tail.ts";
import { type ModelDeps, type ModelLayout, modelSurface } from "../model_surface.ts";
import { ANTHROPIC_FIELDS, anthropicDoor, type DoorDeps, REQUEST_ID } from "./door.ts";

/** What the surfaces need. */
export interface MessagesDeps extends ModelDeps, DoorDeps {
  /** Tokens of a turn's prompt, as weir counts them. */
  readonly promptTokens: (turn: Turn) => number;
}

/** A whole stream ends with the one, and one that has told why it breaks off with the other. */
const STREAM_END = StreamEnd.events("message_stop", "error");

/** Makes the surface of `/v1/messages`. */
export function messages(deps: MessagesDeps): Surface {
  return modelSurface({
    ...deps,
    ...anthropicDoor(deps),
    name: "v1_messages",
    dialect: "anthropic_messages",
    path: "/messages",
    stamps: deps.stamps.withIds(...MESSAGE_ID_LENGTHS),
    headers: headers(),
    limitFields: { stream: rateLimitFields, whole: rateLimitFields },
    settlesTokens: true,
    fieldsUp: ({ fields }) => fields,
    parse: (text) => parseMessagesRequest(parseJsonBody(text, brokenJson)),
    layout: ({ model, thinking }) => new MessageLayout(answeringModel(model), thinking),
    // Its clients show the prompt's tokens from the first event on, which few upstreams tell so early.
    foretold: (turn) => ({ promptTokens: deps.promptTokens(turn), completionTokens: 0 }),
    stream: { errorEvent, streamEnd: STREAM_END, faultEdits: MESSAGE_EDITS },
  });
}

/** Makes the surface of `/v1/messages/count_tokens`. Its source tells nothing but usage. */
export function countTokens(deps: ModelDeps & DoorDeps & { readonly source: Source }): Surface {
  return modelSurface({
    ...deps,
    ...anthropicDoor(deps),
    name: "v1_messages_count_tokens",
    dialect: "anthropic_messages",
    path: "/messages/count_tokens",
    stamps: deps.stamps.withIds(),
    headers: headers(),
    fieldsUp: ({ fields }) => fields,
    parse: (text) => parseCountRequest(parseJsonBody(text, brokenJson)),
    layout: () => COUNT_LAYOUT,
    stream: { errorEvent },
  });
}

const COUNT_LAYOUT: ModelLayout = {
  key: "anthropic_messages count",
  idLengths: [],
  writer() {
    throw new TypeError("Cannot stream a count of tokens");
  },
  whole: ({ usage }) => JSON.stringify({ input_tokens: (usage as Usage).promptTokens }),
};

function headers() {
  return {
    stream: HeaderBlock.of(sseFields(ANTHROPIC_FIELDS), REQUEST_ID),
    whole: HeaderBlock.of({ "content-type": "application/json", ...ANTHROPIC_FIELDS }, REQUEST_ID),
  };
}
