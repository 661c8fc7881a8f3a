/**
 * Streams of every dialect in which faults are put: as servers that are not weir write them, with keys
 * that nobody knows and blanks where nobody needs them.
 *
 * @module
 */

import type { FaultEdits } from "../../src/core/fault_plan.ts";
import { MESSAGE_EDITS } from "../../src/dialects/anthropic_messages/fault_edits.ts";
import { CONVERSATION_EDITS } from "../../src/dialects/chatgpt_web/fault_edits.ts";
import { CONTENT_EDITS } from "../../src/dialects/content_events/fault_edits.ts";
import { ENVELOPE_EDITS } from "../../src/dialects/envelope/fault_edits.ts";
import { CHAT_EDITS } from "../../src/dialects/openai_chat/fault_edits.ts";
import { COMPLETION_EDITS } from "../../src/dialects/openai_completions/fault_edits.ts";
import { RESPONSE_EDITS } from "../../src/dialects/openai_responses/fault_edits.ts";
import { PASSED_EDITS } from "../../src/dialects/openai/passed_edits.ts";
import { CHUNK_EDITS } from "../../src/dialects/workflow_chunks/fault_edits.ts";

const DONE = "data: [DONE]\n\n";

function data(...values: readonly string[]): string {
  return values.map((value) => `data: ${value}\n\n`).join("");
}

/** Events whose type stands on a line of its own. */
function typed(...values: readonly string[]): string {
  return values.map((value) => {
    const { type } = JSON.parse(value) as { readonly type: string };
    return `event: ${type}\ndata: ${value}\n\n`;
  }).join("");
}

const chat = (choices: string, usage = "null", more = "") =>
  `{"id": "c1", "seed":12345678901234567890, "choices" : [${choices}], "usage":${usage}${more} }`;
const COUNTS = '{"prompt_tokens":3, "completion_tokens":2,"total_tokens":5}';

/** A text of two choices. */
export const CHAT_TEXT = data(
  chat('{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}'),
  chat('{"index":1,"delta":{"content":"天","role":"assistant"},"finish_reason":null}'),
  chat('{"index":0,"delta":{"content":"sun \\"}{"},"odd":{"a":[1]},"finish_reason":null}'),
  chat('{"index":1,"delta":{},"finish_reason":"stop"}'),
  chat('{"index":0,"delta":{"content":"ny"},"finish_reason":null}'),
  chat('{"index":0,"delta":{},"finish_reason":"length"}', "null", ',"obfuscation":"ab"'),
  chat("", COUNTS),
) + DONE;

/** Two calls at once. */
export const CHAT_CALLS = data(
  chat('{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}'),
  chat('{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a"}]},"finish_reason":null}'),
  chat('{"index":0,"delta":{"tool_calls":[{"function":{"arguments":"{}"},"index": 1}]}}'),
  chat('{"index":0,"delta":{},"finish_reason":"tool_calls"}', COUNTS),
) + DONE;

export const COMPLETION = data(
  '{"choices":[{"text":"sun","index":0,"logprobs":null,"finish_reason":null}]}',
  '{"choices":[{"text":"ny","index":0,"logprobs":null,"finish_reason":null}]}',
  '{"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}]}',
  `{"choices":[],"usage":${COUNTS}}`,
) + DONE;

const response = (more: string) => `"response":{"id":"resp_1", "object":"response",${more}}`;
const MESSAGE = '"id":"msg_1","type":"message","role":"assistant"';
const AT = '"output_index":1,"item_id":"msg_1","content_index":0';

/** Thoughts, a text with a citation, and a call. */
export const RESPONSE = typed(
  `{"type":"response.created","sequence_number":0,${
    response('"status":"in_progress","output":[],"usage":null,"completed_at":null')
  }}`,
  '{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}',
  '{"type":"response.output_item.done","sequence_number":2,"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}',
  `{"type":"response.output_item.added","sequence_number":3,"output_index":1,"item":{${MESSAGE},"status":"in_progress","content":[]}}`,
  `{"type":"response.content_part.added","sequence_number":4,${AT},"part":{"type":"output_text","annotations":[],"text":""}}`,
  `{"type":"response.output_text.delta","sequence_number":5,${AT},"delta":"sun"}`,
  `{"type":"response.output_text.delta","sequence_number":6,${AT},"delta":"ny"}`,
  `{"type":"response.output_text.annotation.added","sequence_number":7,${AT},"annotation":{"type":"url_citation"}}`,
  `{"type":"response.output_text.done","sequence_number":8,${AT},"text":"sunny"}`,
  `{"type":"response.content_part.done","sequence_number":9,${AT},"part":{"type":"output_text","annotations":[{"type":"url_citation"}],"text":"sunny"}}`,
  `{"type":"response.output_item.done","sequence_number":10,"output_index":1,"item":{${MESSAGE},"status":"completed","content":[{"type":"output_text","annotations":[{"type":"url_citation"}],"text":"sunny"}]}}`,
  '{"type":"response.output_item.added","sequence_number":11,"output_index":2,"item":{"id":"fc_1","type":"function_call","status":"in_progress","arguments":"","call_id":"a","name":"f"}}',
  '{"type":"response.function_call_arguments.delta","sequence_number":12,"output_index":2,"item_id":"fc_1","delta":"{}"}',
  '{"type":"response.function_call_arguments.done","sequence_number":13,"output_index":2,"item_id":"fc_1","arguments":"{}"}',
  '{"type":"response.output_item.done","sequence_number":14,"output_index":2,"item":{"id":"fc_1","type":"function_call","status":"completed","arguments":"{}","call_id":"a","name":"f"}}',
  `{"type":"response.completed","sequence_number":15,${
    response(
      `"status":"completed","completed_at":5,"output":[{"id":"rs_1"},{${MESSAGE}},{"id":"fc_1"}],"usage":{"input_tokens":3,"output_tokens":2}`,
    )
  }}`,
);

export const MESSAGES = typed(
  '{"type":"message_start","message":{"id":"msg_1","role":"assistant","content":[],"stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1}}   }',
  '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}  }',
  '{"type": "ping"}',
  '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"sun"} }',
  '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"ny"}      }',
  '{"type":"content_block_stop","index":0    }',
  '{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}',
  '{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}',
  '{"type":"content_block_stop","index":1}',
  '{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":9}  }',
  '{"type":"message_stop"     }',
);

export const ENVELOPES = data(
  '{"code":0,"msg":"success","data":{"content":"sun"}}',
  '{"code":0,"msg":"success","data":{"content":"ny\\u0026"}}',
) + DONE;

export const CONTENTS = data('{"content": "sun"}', '{"content": "ny"}') + DONE;

const said = (text: string, status: string) =>
  `{"message": {"author": {"role": "assistant", "name": null}, "content": {"parts": ["${text}"]}, ${status}}, "conversation_id": "v1", "error": null}`;

export const CONVERSATION = data(
  said("sun", '"status": "in_progress", "end_turn": null'),
  said("sunny", '"status": "in_progress", "end_turn": null'),
  said("sunny", '"status": "finished_successfully", "end_turn": true'),
) + DONE;

export const CHUNKS = data('{"a": 1}', "a text", '{"b":[2]}');

/** Something of an image. */
export const PASSED = typed(
  '{"type":"image_generation.partial_image","b64_json":"aGk="}',
  '{"type":"image_generation.partial_image","b64_json":"aGkh"}',
  '{"type":"image_generation.completed","b64_json":"aGkhIQ=="}',
);

/** A dialect with a stream of it. */
export interface Sample {
  readonly dialect: string;
  readonly edits: FaultEdits;
  readonly stream: string;
  /** How its streams end; "" = any way. */
  readonly last: string;
}

/** All of them. */
export const SAMPLES: readonly Sample[] = [
  { dialect: "openai_chat", edits: CHAT_EDITS, stream: CHAT_TEXT, last: DONE },
  { dialect: "openai_completions", edits: COMPLETION_EDITS, stream: COMPLETION, last: DONE },
  {
    dialect: "openai_responses",
    edits: RESPONSE_EDITS,
    stream: RESPONSE,
    last: RESPONSE.slice(RESPONSE.indexOf("event: response.completed")),
  },
  {
    dialect: "anthropic_messages",
    edits: MESSAGE_EDITS,
    stream: MESSAGES,
    last: MESSAGES.slice(MESSAGES.indexOf("event: message_stop")),
  },
  { dialect: "envelope", edits: ENVELOPE_EDITS, stream: ENVELOPES, last: DONE },
  { dialect: "content_events", edits: CONTENT_EDITS, stream: CONTENTS, last: DONE },
  { dialect: "chatgpt_web", edits: CONVERSATION_EDITS, stream: CONVERSATION, last: DONE },
  { dialect: "openai, passed on", edits: PASSED_EDITS, stream: PASSED, last: "" },
  { dialect: "workflow_chunks", edits: CHUNK_EDITS, stream: CHUNKS, last: "" },
];
