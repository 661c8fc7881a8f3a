/**
 * Answers that are no stream of chat chunks: whole JSON, and the streams of Responses and Messages.
 *
 * @module
 */

import {
  Comparison,
  jsonChange,
  judge,
  judged,
  LIMIT,
  type Tried,
  unwritten,
} from "../comparison.ts";
import { ownAnswer, tellWithRoom } from "../own_answer.ts";
import { finding, type Rig } from "../rig.ts";
import { answerWhole, chunk, completionJson, headText, LAST_CHUNK, streamHead } from "../stream.ts";

/** Answers that are no stream. */
const WHOLE = [
  {
    name: "json",
    body: (mark: string) => completionJson(mark, "é😀漢 \u2028"),
  },
  {
    name: "json-numbers",
    body: (mark: string) =>
      completionJson(mark, "n").replace(
        /}$/,
        ',"seed":12345678901234567890,"logprob":-0.10000000000000000555,"zero":1.0,"x_weir_audit":{"ключ":[null]}}',
      ),
  },
  {
    name: "json-large",
    body: (mark: string) => completionJson(mark, "w".repeat(1024 * 1024)),
  },
] as const;

/** Whole JSON answers: their bytes, their numbers, what their head says of them. */
export async function wholeAnswers(rig: Rig): Promise<readonly Tried[]> {
  const found: Tried[] = [];
  for (const { name, body } of WHOLE) {
    let sent = Buffer.alloc(0);
    const asked = await tellWithRoom(rig, (attempt, mark) => {
      sent = Buffer.from(body(mark));
      const head = ["content-type: application/json", `content-length: ${sent.length}`];
      attempt.write(Buffer.concat([Buffer.from(headText(200, "OK", head)), sent]));
    }, { body: rig.jsonBody });
    const { exchange } = asked;
    const none = unwritten(name, asked);
    if (none !== undefined) {
      found.push(none);
      continue;
    }
    const result = new Comparison();
    const got = exchange.body;
    if (!sent.equals(got)) {
      const { kind, text } = jsonChange(sent.toString(), got.toString());
      if (kind === "changed") result.fault(text);
      else if (kind === "respelt") result.note(text);
      else result.renamed = text;
    }
    found.push({
      finding: judge(name, asked, sent, result),
      exchange,
      compared: { type: "application/json", renamed: result.renamed },
    });
  }
  return found;
}

/** The other ways to ask for text, each with events of its own. */
const PATHS: readonly OtherPath[] = [
  {
    name: "responses",
    path: "/responses",
    body: (model, mark) => JSON.stringify({ model, stream: true, input: mark }),
    events: responsesEvents,
  },
  {
    name: "messages",
    path: "/messages",
    body: (model, mark) =>
      JSON.stringify({
        model,
        stream: true,
        max_tokens: 16,
        messages: [{ role: "user", content: mark }],
      }),
    events: messagesEvents,
  },
];

interface OtherPath {
  readonly name: string;
  readonly path: string;
  readonly body: (model: string, mark: string) => string;
  readonly events: (mark: string) => readonly TypedEvent[];
}

/** Data of an event whose name is its type. */
type TypedEvent = Readonly<Record<string, unknown>> & { readonly type: string };

/** A call's arguments in pieces: each is needed, and two are the same. */
const ARGUMENTS = ['{"', "city", '":"', " New", " York", '","', "unit", '":"', "C", '"', "}"];

/** Reasoning, a text with two equal pieces, and a call, in Responses; it ends for its length. */
function responsesEvents(mark: string): readonly TypedEvent[] {
  const response = { id: `resp_${mark}`, object: "response", model: "audit" };
  const deltas = (type: string, outputIndex: number, pieces: readonly string[]) =>
    pieces.map((delta) => ({
      type: `response.${type}.delta`,
      item_id: `item_${outputIndex}`,
      output_index: outputIndex,
      delta,
    }));
  const events: readonly TypedEvent[] = [
    { type: "response.created", response: { ...response, status: "in_progress" } },
    ...deltas("reasoning_summary_text", 0, ["First", " of", " all"]),
    ...deltas("output_text", 1, [` ${mark}.1`, " ha", " ha", "\n\n", `${mark}.2 `]),
    ...deltas("function_call_arguments", 2, ARGUMENTS),
    { type: "response.function_call_arguments.done", arguments: ARGUMENTS.join("") },
    {
      type: "response.incomplete",
      response: {
        ...response,
        status: "incomplete",
        incomplete_details: { reason: "max_output_tokens" },
        usage: { input_tokens: 8, output_tokens: 4, total_tokens: 12 },
      },
    },
  ];
  return events.map(({ type, ...rest }, i) => ({ type, sequence_number: i, ...rest }));
}

/** Thinking, a text with two equal pieces, and a call, in Messages. */
function messagesEvents(mark: string): readonly TypedEvent[] {
  const deltas = (index: number, type: string, member: string, pieces: readonly string[]) =>
    pieces.map((piece) => ({
      type: "content_block_delta",
      index,
      delta: { type, [member]: piece },
    }));
  const block = (index: number, start: unknown, pieces: readonly TypedEvent[]) => [
    { type: "content_block_start", index, content_block: start },
    ...pieces,
    { type: "content_block_stop", index },
  ];
  const message = { id: `msg_${mark}`, type: "message", model: "audit", content: [] };
  return [
    { type: "message_start", message },
    { type: "ping" },
    ...block(0, { type: "thinking", thinking: "", signature: "" }, [
      ...deltas(0, "thinking_delta", "thinking", ["First", " of", " all"]),
      ...deltas(0, "signature_delta", "signature", ["EqQBCgIYAhIM1gbcDa9GJwZA2b3h"]),
    ]),
    ...block(1, { type: "text", text: "" }, [
      ...deltas(1, "text_delta", "text", [` ${mark}.1`, " ha", " ha", "\n\n", `${mark}.2 `]),
    ]),
    ...block(2, { type: "tool_use", id: `toolu_${mark}`, name: "weather", input: {} }, [
      ...deltas(2, "input_json_delta", "partial_json", ["", ...ARGUMENTS]),
    ]),
    {
      type: "message_delta",
      delta: { stop_reason: "tool_use", stop_sequence: null },
      usage: { output_tokens: 4 },
    },
    { type: "message_stop" },
  ];
}

const CHAT_PATH = "/chat/completions";

/** Where the gateway passes Responses and Messages on, their events are compared as well. */
export async function otherPaths(rig: Rig): Promise<readonly Tried[]> {
  const own = rig.options.gateway.path;
  if (!own.includes(CHAT_PATH)) return [];
  const found: Tried[] = [];
  for (const { name, path, body, events } of PATHS) {
    let sent = Buffer.alloc(0);
    let isTranslated = false;
    const asked = await tellWithRoom(rig, (attempt, mark) => {
      isTranslated = !attempt.headText.split(" ", 2)[1]!.includes(path);
      if (isTranslated) return answerWhole(attempt, mark);
      sent = Buffer.from(
        events(mark).map((one) => `event: ${one.type}\ndata: ${JSON.stringify(one)}\n\n`).join(""),
      );
      attempt.write(
        Buffer.concat([Buffer.from(streamHead()), chunk(sent), Buffer.from(LAST_CHUNK)]),
      );
    }, {
      path: own.replace(CHAT_PATH, path),
      body: (mark) => body(rig.options.model, mark),
    });
    const none = ownAnswer(asked);
    // A gateway need not have these paths, but it has to say so.
    const isAnswered = none !== undefined && none.kind !== "busy" &&
      asked.exchange.status > 0;
    if (!isAnswered && !isTranslated) found.push(judged(name, asked, sent));
    else {
      found.push({
        exchange: asked.exchange,
        finding: finding("bytes", {
          part: name,
          verdict: "pass",
          limit: LIMIT,
          measured: isTranslated
            ? "not tried: the gateway makes chat completions of it, so that no bytes can be compared"
            : `not tried: the gateway answers ${asked.exchange.status} by itself`,
          mend: "",
        }),
      });
    }
  }
  return found;
}
