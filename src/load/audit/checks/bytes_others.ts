/**
 * Answers that are no stream of chat chunks: whole JSON, and the streams of Responses and Messages.
 *
 * @module
 */

import { Comparison, jsonChange, judge, judged, type Tried } from "../comparison.ts";
import { finding, type Rig } from "../rig.ts";
import { answerWhole, chunk, headText, LAST_CHUNK, streamHead } from "../stream.ts";

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

function completionJson(mark: string, text: string): string {
  return JSON.stringify({
    id: `chatcmpl-${mark}`,
    object: "chat.completion",
    created: 1_790_000_000,
    model: "audit",
    choices: [{
      index: 0,
      message: { role: "assistant", content: `${mark}.1 ${text}` },
      finish_reason: "stop",
    }],
    usage: { prompt_tokens: 8, completion_tokens: 4, total_tokens: 12 },
  });
}

/** Whole JSON answers: their bytes, their numbers, what their head says of them. */
export async function wholeAnswers(rig: Rig): Promise<readonly Tried[]> {
  const found: Tried[] = [];
  for (const { name, body } of WHOLE) {
    let sent = Buffer.alloc(0);
    const asked = await rig.tell("through", (attempt, mark) => {
      sent = Buffer.from(body(mark));
      const head = ["content-type: application/json", `content-length: ${sent.length}`];
      attempt.write(Buffer.concat([Buffer.from(headText(200, "OK", head)), sent]));
    }, { body: (mark) => rig.chatBody(mark).replace('"stream":true', '"stream":false') });
    const { exchange } = asked;
    const result = new Comparison();
    const got = exchange.body;
    if (!sent.equals(got)) {
      const change = jsonChange(sent.toString(), got.toString(), rig.options.model);
      if (change.isFault) result.fault(change.text);
      else result.note(change.text);
    }
    const type = exchange.field("content-type") ?? "none";
    if (!/^application\/json\b/i.test(type)) result.fault(`content-type: ${type}`);
    if (exchange.status !== 200) result.fault(`status ${exchange.status || "none"}`);
    found.push({ finding: judge(name, asked, sent, result), encoding: exchange.encoding });
  }
  return found;
}

/** The other ways to ask for text, each with events of its own. */
const PATHS = [
  {
    name: "responses",
    path: "/responses",
    body: (model: string, mark: string) => JSON.stringify({ model, stream: true, input: mark }),
    events: [
      ["response.created", { type: "response.created", response: { id: "resp_1" } }],
      ["response.output_text.delta", { type: "response.output_text.delta", delta: "MARK.1 " }],
      ["response.completed", { type: "response.completed", response: { id: "resp_1" } }],
    ],
  },
  {
    name: "messages",
    path: "/messages",
    body: (model: string, mark: string) =>
      JSON.stringify({
        model,
        stream: true,
        max_tokens: 16,
        messages: [{ role: "user", content: mark }],
      }),
    events: [
      ["message_start", { type: "message_start", message: { id: "msg_1", content: [] } }],
      ["ping", { type: "ping" }],
      ["content_block_delta", {
        type: "content_block_delta",
        index: 0,
        delta: { type: "text_delta", text: "MARK.1 " },
      }],
      ["message_stop", { type: "message_stop" }],
    ],
  },
] as const;

const CHAT_PATH = "/chat/completions";

/** Where the gateway passes Responses and Messages on, their events are compared as well. */
export async function otherPaths(rig: Rig): Promise<readonly Tried[]> {
  const own = rig.options.gateway.path;
  if (!own.includes(CHAT_PATH)) return [];
  const found: Tried[] = [];
  for (const { name, path, body, events } of PATHS) {
    let sent = Buffer.alloc(0);
    let isTranslated = false;
    const asked = await rig.tell("through", (attempt, mark) => {
      isTranslated = !attempt.headText.split(" ", 2)[1]!.includes(path);
      if (isTranslated) return answerWhole(attempt, mark);
      sent = Buffer.from(
        events.map(([event, data]) =>
          `event: ${event}\ndata: ${JSON.stringify(data).replace("MARK", mark)}\n\n`
        ).join(""),
      );
      attempt.write(
        Buffer.concat([Buffer.from(streamHead()), chunk(sent), Buffer.from(LAST_CHUNK)]),
      );
    }, {
      path: own.replace(CHAT_PATH, path),
      body: (mark) => body(rig.options.model, mark),
    });
    const { attempts } = asked.expectation;
    if (attempts.length > 0 && !isTranslated) found.push(judged(rig, name, asked, sent));
    else {
      found.push({
        encoding: asked.exchange.encoding,
        finding: finding("bytes", {
          part: name,
          verdict: "pass",
          limit: "no event changed, lost, doubled or out of order",
          measured: isTranslated
            ? "not tried: the gateway makes chat completions of it, so that no bytes can be compared"
            : `not tried: the gateway answers ${asked.exchange.status || "nothing"} by itself`,
          mend: "",
        }),
      });
    }
  }
  return found;
}
