/**
 * The rules that every stream of the Responses API keeps (docs/facts/openai_api.md "Responses:
 * events"), as a check of bytes.
 *
 * @module
 */

/** One event, read. */
export interface ResponseEvent {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** The events in `stream`; throws where one is no event. */
export function eventsOf(stream: string): ResponseEvent[] {
  return stream.split("\n\n").slice(0, -1).filter((text) => !text.startsWith(":")).map((text) => {
    const found = /^event: ([a-z_.]+)\ndata: (\{.*\})$/.exec(text);
    if (found === null) throw new Error(`This is no event: ${text}`);
    const event = JSON.parse(found[2]!) as ResponseEvent;
    if (event.type !== found[1]) throw new Error(`${found[1]} says that it is ${event.type}`);
    return event;
  });
}

type Json = Readonly<Record<string, unknown>>;

const ENDS = ["response.completed", "response.incomplete", "response.failed"];
const PADDED =
  /^response\.(?:output_text|refusal|function_call_arguments|custom_tool_call_input|reasoning_summary_text)\.delta$/;
/** Fields of events that are objects come in an order of their own. */
const ID =
  /^(?:resp|msg|rs|fc|ctc)_([0-9a-f]{16})00([0-9a-f]{8})[0-9a-f]{4}81([0-9a-f]{2})[0-9a-f]{16}$/;

/** Every rule that `stream` breaks, one sentence each. */
export function brokenRules(stream: string, hasPad = true): string[] {
  const broken: string[] = [];
  const need = (isKept: boolean, rule: string) => {
    if (!isKept) broken.push(rule);
  };
  const events = eventsOf(stream);
  const types = events.map(({ type }) => type);
  need(types[0] === "response.created" && types[1] === "response.in_progress", "it begins so");
  need(ENDS.includes(types.at(-1)!), "its last event is an end");
  need(types.filter((type) => ENDS.includes(type)).length === 1, "one end");
  need(events.every((event, at) => event["sequence_number"] === at), "numbers without a gap");
  for (const event of events) {
    const [first, ...keys] = Object.keys(event);
    need(
      first === "type" && keys.join() === keys.toSorted().join(),
      `${event.type}: order of keys`,
    );
    if (!PADDED.test(event.type)) continue;
    const { delta, obfuscation } = event as unknown as Record<"delta" | "obfuscation", string>;
    need(delta !== "", `${event.type}: no empty delta`);
    need((obfuscation !== undefined) === hasPad, `${event.type}: pad`);
    need(!hasPad || (delta.length + obfuscation.length) % 16 === 0, `${event.type}: length`);
  }

  // Items: one behind the other, and each as its deltas say.
  const items: Json[] = [];
  let isOpen = false;
  for (const event of events) {
    const { type, output_index: index } = event;
    if (type === "response.output_item.added") {
      need(!isOpen && index === items.length, `item ${index} begins in its turn`);
      isOpen = true;
      items.push(event["item"] as Json);
    } else if (index !== undefined) {
      need(isOpen && index === items.length - 1, `${type} is of the last item`);
    }
    if (type !== "response.output_item.done") continue;
    isOpen = false;
    const added = items[index as number]!;
    const done = event["item"] as Json;
    need(added["id"] === done["id"] && added["type"] === done["type"], "an item stays itself");
    need(Object.keys(added).join() === Object.keys(done).join(), "keys of an item stay");
    items[index as number] = done;
    const said = (word: string) =>
      events.filter((one) => one["output_index"] === index && one.type === `response.${word}.delta`)
        .map(({ delta }) => delta).join("");
    if (done["type"] === "function_call") {
      need(said("function_call_arguments") === done["arguments"], "arguments");
    } else if (done["type"] === "custom_tool_call") {
      need(said("custom_tool_call_input") === done["input"], "input");
    } else if (done["type"] === "message") {
      const parts = done["content"] as readonly Json[];
      const text = (kind: string) =>
        parts.filter(({ type }) => type === kind).map((part) => part["text"] ?? part["refusal"])
          .join("");
      need(said("output_text") === text("output_text"), "text");
      need(said("refusal") === text("refusal"), "refusal");
    }
  }
  need(!isOpen, "every item ends");
  const responses = events.flatMap(({ response }) =>
    response === undefined ? [] : [response as Json]
  );
  need(
    new Set(responses.map((response) => Object.keys(response).join())).size === 1,
    "keys of the response stay",
  );
  const last = responses.at(-1)!;
  need(JSON.stringify(last["output"]) === JSON.stringify(items), "the end has all items");
  need(responses.slice(0, -1).every(({ usage }) => usage === null), "no usage before the end");
  const ids = [last, ...items].map(({ id }) => ID.exec(String(id))?.slice(1).join());
  need(ids[0] !== undefined && new Set(ids).size === 1, "ids share what they share");
  need(new Set(items.map(({ id }) => id)).size === items.length, "an item has an id of its own");
  return broken;
}
