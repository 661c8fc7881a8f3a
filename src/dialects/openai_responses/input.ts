/**
 * The `input` of a request: a text, or items, each checked for itself and spelled as messages of
 * the chat API. Items and tools that weir does not know are passed over, as whoever knows them does
 * not ask a chat API.
 *
 * @module
 */

import type { Message } from "../../core/turn.ts";
import {
  check,
  checkFields,
  type Fields,
  isObject,
  type JsonObject,
  type Level,
  type Rule,
} from "../openai/check.ts";
import {
  echo,
  type Fault,
  missing,
  refused,
  under,
  wrongChoice,
  wrongType,
} from "../openai/faults.ts";

const ROLES = ["assistant", "system", "developer", "user"] as const;

const TEXT: Rule = { kind: "string", isRequired: true };
const NULLABLE_TEXT: Rule = { kind: "string", isNullable: true };

/** The parts of a content, in the order of the text that lists them. */
const PART_FIELDS: Readonly<Record<string, Fields>> = {
  input_text: [["text", TEXT]],
  input_image: [["image_url", NULLABLE_TEXT], ["file_id", NULLABLE_TEXT]],
  output_text: [["text", TEXT]],
  refusal: [["refusal", TEXT]],
  input_file: [
    ["file_data", NULLABLE_TEXT],
    ["file_id", NULLABLE_TEXT],
    ["file_url", NULLABLE_TEXT],
    ["filename", NULLABLE_TEXT],
  ],
  input_audio: [["input_audio", {
    kind: "object",
    fields: [["data", TEXT], ["format", TEXT]],
    isRequired: true,
  }]],
  computer_screenshot: [],
  summary_text: [["text", TEXT]],
};
const PART: Rule = { kind: "tagged", tags: PART_FIELDS };

const CONTENT: Rule = {
  kind: "either",
  expected: "one of a string or array of objects",
  text: { kind: "string" },
  other: { kind: "list", of: "objects", item: PART },
  isRequired: true,
};

/** What items need that weir reads. */
const ITEM_FIELDS: Readonly<Record<string, Fields>> = {
  function_call: [["call_id", TEXT], ["name", TEXT], ["arguments", TEXT]],
  function_call_output: [["call_id", TEXT], ["output", CONTENT]],
  custom_tool_call: [["call_id", TEXT], ["name", TEXT], ["input", TEXT]],
  custom_tool_call_output: [["call_id", TEXT], ["output", CONTENT]],
  item_reference: [["id", TEXT]],
};

/** What is wrong with `input`, each item for itself. */
export function checkInput(input: unknown, level: Level): Fault | undefined {
  if (typeof input === "string") return undefined;
  if (!Array.isArray(input)) return wrongType("one of a string or array of objects", input);
  for (let i = 0; i < input.length; i++) {
    const fault = checkItem(input[i], level);
    if (fault !== undefined) return under(`[${i}]`, fault);
  }
  return undefined;
}

function checkItem(item: unknown, level: Level): Fault | undefined {
  if (!isObject(item)) return wrongType("an object", item);
  const type = item["type"] ?? undefined;
  if (type === undefined && item["role"] === undefined) {
    return item["id"] === undefined ? missing(".type") : undefined; // a reference to an item
  }
  if (type !== undefined && typeof type !== "string") {
    return under(".type", wrongType("a string", type));
  }
  if (type !== undefined && type !== "message") {
    return Object.hasOwn(ITEM_FIELDS, type)
      ? checkFields(item, ITEM_FIELDS[type]!, level)
      : undefined;
  }
  const role = item["role"];
  if (role === undefined) return missing(".role");
  if (typeof role !== "string") return under(".role", wrongType("a string", role));
  if (!(ROLES as readonly string[]).includes(role)) return under(".role", wrongChoice(role, ROLES));
  const content = item["content"];
  if (content === undefined) return missing(".content");
  const fault = check(content, CONTENT, level);
  return fault === undefined ? undefined : under(".content", fault);
}

/**
 * The rules that join items, which are right each for itself: a call has its output, an output its
 * call, and reasoning what it led to. Only where all items are here.
 */
export function checkTalk(items: readonly unknown[]): Fault | undefined {
  const calls = new Set<unknown>();
  const outputs = new Set<unknown>();
  for (const item of items as readonly JsonObject[]) {
    const kind = kindOf(item);
    if (kind === "call") calls.add(item["call_id"]);
    else if (kind === "output") outputs.add(item["call_id"]);
  }
  for (const [at, item] of (items as readonly JsonObject[]).entries()) {
    const kind = kindOf(item);
    const id = item["call_id"];
    if (kind === "output" && !calls.has(id)) {
      return refused(
        "input",
        `No tool call found for function call output with call_id ${echo(String(id))}.`,
      );
    }
    if (kind === "call" && !outputs.has(id)) {
      return refused("input", `No tool output found for function call ${echo(String(id))}.`);
    }
    if (kind === "reasoning" && typeof item["id"] === "string" && !leads(items[at + 1])) {
      return refused(
        "input",
        `Item '${echo(item["id"])}' of type 'reasoning' was provided without its required ` +
          "following item.",
      );
    }
  }
  return undefined;
}

type Kind = "call" | "output" | "reasoning" | "reference" | "other";

function kindOf({ type, role, id }: JsonObject): Kind {
  switch (type) {
    case "function_call":
    case "custom_tool_call":
      return "call";
    case "function_call_output":
    case "custom_tool_call_output":
      return "output";
    case "reasoning":
      return "reasoning";
    case "item_reference":
      return "reference";
    default:
      return type === undefined && role === undefined && id !== undefined ? "reference" : "other";
  }
}

/** Is `item` one that the model has made? */
function leads(item: unknown): boolean {
  if (!isObject(item)) return false;
  if (kindOf(item) === "output") return false;
  return item["role"] === undefined || item["role"] === "assistant";
}

/** The ids of the items that are only named. */
export function referencesIn(items: readonly unknown[]): readonly string[] {
  return (items as readonly JsonObject[])
    .filter((item) => kindOf(item) === "reference").map(({ id }) => String(id));
}

/** `items`, with those of `found` in place of their names. */
export function withReferenced(
  items: readonly unknown[],
  found: ReadonlyMap<string, JsonObject>,
): readonly unknown[] {
  return (items as readonly JsonObject[]).map((item) =>
    kindOf(item) === "reference" ? found.get(String(item["id"])) ?? item : item
  );
}

/** `input` as items. */
export function itemsOf(input: unknown): readonly unknown[] {
  if (typeof input === "string") return [{ type: "message", role: "user", content: input }];
  return Array.isArray(input) ? input : [];
}

/** `items`, which are right each for itself, as the chat API spells them, behind `instructions`. */
export function messagesOf(items: readonly unknown[], instructions: unknown): readonly Message[] {
  const messages: Message[] = [];
  if (typeof instructions === "string" && instructions !== "") {
    messages.push({ role: "system", content: instructions });
  }
  /** The calls of the last message, while others may join them. */
  let calls: JsonObject[] | undefined;
  for (const item of items as readonly JsonObject[]) {
    const { type, role, content, call_id, output } = item;
    switch (type) {
      case undefined:
      case "message":
        if (typeof role !== "string") break;
        messages.push({ role, ...messageContent(content) });
        calls = undefined;
        break;
      case "function_call":
      case "custom_tool_call": {
        const call = callOf(item);
        if (calls !== undefined) calls.push(call);
        else withCalls(messages, calls = [call]);
        break;
      }
      case "function_call_output":
      case "custom_tool_call_output":
        messages.push({ role: "tool", tool_call_id: call_id, content: contentOf(output) });
        calls = undefined;
        break;
    }
  }
  return messages;
}

function callOf({ type, call_id: id, name, input, arguments: text }: JsonObject): JsonObject {
  return type === "custom_tool_call"
    ? { id, type: "custom", custom: { name, input } }
    : { id, type: "function", function: { name, arguments: text } };
}

/** Calls stand in the message of the assistant before them, or in one of their own. */
function withCalls(messages: Message[], calls: readonly JsonObject[]): void {
  const last = messages.at(-1);
  if (last?.role === "assistant") messages[messages.length - 1] = { ...last, tool_calls: calls };
  else messages.push({ role: "assistant", content: null, tool_calls: calls });
}

/** A refusal has a place of its own in a message. */
function messageContent(content: unknown): Pick<Message, "content"> & { refusal?: unknown } {
  if (!Array.isArray(content) || content.length !== 1) return { content: contentOf(content) };
  const [part] = content as readonly JsonObject[];
  return part!["type"] === "refusal"
    ? { content: null, refusal: part!["refusal"] }
    : { content: contentOf(content) };
}

/** One text is a text, which every server takes; else parts. */
function contentOf(content: unknown): unknown {
  if (!Array.isArray(content)) return content ?? null;
  const parts = (content as readonly JsonObject[]).map(chatPart);
  const [only] = parts;
  return parts.length === 1 && only!["type"] === "text" ? only!["text"] : parts;
}

function chatPart(part: JsonObject): JsonObject {
  const { type, text, image_url, file_id, file_data, file_url, filename, detail } = part;
  switch (type) {
    case "input_text":
    case "output_text":
    case "summary_text":
      return { type: "text", text };
    case "input_image":
      return {
        type: "image_url",
        image_url: {
          ...(typeof image_url === "string" ? { url: image_url } : { file_id }),
          ...(typeof detail === "string" ? { detail } : {}),
        },
      };
    case "input_file":
      return {
        type: "file",
        file: Object.fromEntries(
          Object.entries({ filename, file_data, file_id, file_url })
            .filter(([, value]) => typeof value === "string"),
        ),
      };
    default:
      return part;
  }
}
