/**
 * Questions and answers in each dialect, as small as they can be, for tests that care about how an
 * answer comes and not about what it says.
 *
 * @module
 */

/** A dialect of the API. */
export type Spoken = "openai_chat" | "anthropic_messages" | "openai_responses";

/** What is said in it. */
export interface Speech {
  readonly path: string;
  readonly question: (model: string, isStream: boolean) => string;
  /** The events of a whole stream that says `SAID`. */
  readonly events: readonly string[];
  /** The same in one piece. */
  readonly whole: string;
  /** What a stream ends with that is whole. */
  readonly endMark: string;
  /** An event that is an error. */
  readonly errorEvent: string;
  /** The body of a refusal. */
  readonly refusal: string;
}

/** What all answers say. */
export const SAID = "水 🌊";

function event(value: { readonly type?: string; readonly [key: string]: unknown }): string {
  const line = value.type === undefined ? "" : `event: ${value.type}\n`;
  return `${line}data: ${JSON.stringify(value)}\n\n`;
}

const chunk = (delta: object, finish: string | null = null) =>
  event({
    ...{ id: "c1", object: "chat.completion.chunk", created: 1, model: "m" },
    choices: [{ index: 0, delta, finish_reason: finish }],
  });

const message = {
  ...{ id: "msg_1", type: "message", role: "assistant", model: "m" },
  ...{ stop_reason: null, stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 } },
};

const item = (status: string, content: readonly object[]) => ({
  ...{ id: "item_1", type: "message", role: "assistant", status, content },
});
const part = (text: string) => ({ type: "output_text", text, annotations: [] });
const usage = { input_tokens: 1, output_tokens: 1, total_tokens: 2 };
const response = (status: string, output: readonly object[], told: object | null) => ({
  ...{ id: "resp_1", object: "response", created_at: 1, model: "m" },
  ...{ status, output, error: null, usage: told },
});
const place = { item_id: "item_1", output_index: 0, content_index: 0 };

/** Each dialect's. */
export const SPEECH: Readonly<Record<Spoken, Speech>> = {
  openai_chat: {
    path: "/v1/chat/completions",
    question: (model, stream) =>
      JSON.stringify({ model, stream, messages: [{ role: "user", content: "x" }] }),
    events: [
      chunk({ role: "assistant", content: SAID }),
      chunk({}, "stop"),
      "data: [DONE]\n\n",
    ],
    whole: JSON.stringify({
      ...{ id: "c1", object: "chat.completion", created: 1, model: "m" },
      choices: [{
        ...{ index: 0, message: { role: "assistant", content: SAID }, finish_reason: "stop" },
      }],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    }),
    endMark: "data: [DONE]\n\n",
    errorEvent: 'data: {"error":{"message":"busy","type":"server_error"}}\n\n',
    refusal: '{"error":{"message":"no","type":"x","param":null,"code":null}}',
  },
  anthropic_messages: {
    path: "/v1/messages",
    question: (model, stream) =>
      JSON.stringify({ model, stream, max_tokens: 9, messages: [{ role: "user", content: "x" }] }),
    events: [
      event({ type: "message_start", message: { ...message, content: [] } }),
      event({
        ...{ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
      }),
      event({
        ...{ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: SAID } },
      }),
      event({ type: "content_block_stop", index: 0 }),
      event({
        type: "message_delta",
        delta: { stop_reason: "end_turn", stop_sequence: null },
        usage: { output_tokens: 1 },
      }),
      event({ type: "message_stop" }),
    ],
    whole: JSON.stringify({
      ...message,
      ...{ stop_reason: "end_turn", content: [{ type: "text", text: SAID }] },
    }),
    endMark: "event: message_stop\n",
    errorEvent: event({ type: "error", error: { type: "overloaded_error", message: "busy" } }),
    refusal: '{"type":"error","error":{"type":"api_error","message":"no"}}',
  },
  openai_responses: {
    path: "/v1/responses",
    question: (model, stream) => JSON.stringify({ model, stream, input: "x" }),
    events: [
      event({ type: "response.created", response: response("in_progress", [], null) }),
      event({
        ...{ type: "response.output_item.added", output_index: 0, item: item("in_progress", []) },
      }),
      event({ type: "response.content_part.added", ...place, part: part("") }),
      event({ type: "response.output_text.delta", ...place, delta: SAID }),
      event({ type: "response.output_text.done", ...place, text: SAID }),
      event({ type: "response.content_part.done", ...place, part: part(SAID) }),
      event({
        type: "response.output_item.done",
        output_index: 0,
        item: item("completed", [part(SAID)]),
      }),
      event({
        type: "response.completed",
        response: response("completed", [item("completed", [part(SAID)])], usage),
      }),
    ],
    whole: JSON.stringify(response("completed", [item("completed", [part(SAID)])], usage)),
    endMark: "event: response.completed\n",
    errorEvent: event({ type: "error", code: "server_error", message: "busy", param: null }),
    refusal: '{"error":{"message":"no","type":"x","param":null,"code":null}}',
  },
};
