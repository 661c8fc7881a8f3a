/**
 * What is wrong with an answer of status 200 that came to its end: it is none of what was asked for,
 * it says itself that it failed, or something of it is missing.
 *
 * @module
 */

import type { AnswerForm } from "./event_meaning.ts";
import type { EventReader } from "./event_reader.ts";
import { KIND, type Phase, type Recording, TOKENS } from "./record.ts";

/** What was asked for. */
export interface Asked {
  /** True: anything but an event stream is a failure. False: of the form of an API, a stream is one. */
  readonly wantsEvents: boolean;
  /** What a whole answer must be; undefined = anything. */
  readonly form?: AnswerForm | undefined;
}

const NO_TEXT = new Uint8Array(0);

/** What a whole answer of another form lacks. */
const LACKS: Readonly<Record<AnswerForm, string>> = {
  choices: "no choices",
  response: "no response",
  message: "no message",
  list: "no data",
  data: "",
  any: "",
};

/** Undefined = nothing is. Reads what `events` has held; `contentType` is in lower case. */
export function faultOf(
  recording: Recording,
  events: EventReader,
  contentType: string,
  { wantsEvents, form = "any" }: Asked,
): readonly [Phase, string] | undefined {
  const isStream = contentType.startsWith("text/event-stream");
  const isJson = contentType.includes("json");
  const isKnown = LACKS[form] !== "";
  if (!isStream && wantsEvents) {
    return ["head", `the answer is no event stream: ${typeOf(contentType)}`];
  }
  if (isStream && !wantsEvents && isKnown) {
    return ["head", "the answer is an event stream, and a whole one was asked for"];
  }
  if (isStream || isJson) events.end();
  else if (isKnown || (form === "data" && contentType.startsWith("text/"))) {
    return ["head", `the answer is no JSON: ${typeOf(contentType)}`];
  } else if (recording.bodyBytes > 0) {
    recording.event(KIND.other | KIND.done, recording.bodyBytes, NO_TEXT, 0, 0);
  }
  if (events.error !== "") return ["body", events.error];
  const { kinds } = recording;
  const isChoice = (kinds & KIND.choice) !== 0;
  if (!isStream && isKnown && events.form !== form) {
    return ["body", `the answer has ${LACKS[form]}`];
  }
  if (isChoice && (isStream || isKnown)) {
    if ((kinds & KIND.finish) === 0) return ["end", "no reason why it ended"];
    if (events.openChoice >= 0) return ["end", `no reason why choice ${events.openChoice} ended`];
    if ((kinds & KIND.done) === 0) return ["end", "no end mark"];
  }
  if ((kinds & (TOKENS | KIND.other)) === 0) return ["end", "empty answer"];
  if (isKnown && isStream && !isChoice) {
    return ["body", "no event is one of the API that was asked"];
  }
  return undefined;
}

function typeOf(contentType: string): string {
  return contentType.split(";")[0] || "without a content type";
}
