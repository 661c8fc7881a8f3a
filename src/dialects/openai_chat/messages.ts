/**
 * The messages of a chat request: each one for itself, then the rules that join them.
 *
 * @module
 */

import {
  check,
  checkCount,
  checkFields,
  type Fields,
  isObject,
  type JsonObject,
  type Level,
  type Rule,
} from "../openai/check.ts";
import { isOpenaiModel } from "../openai/families.ts";
import {
  echo,
  type Fault,
  missing,
  refused,
  under,
  wrongChoice,
  wrongType,
} from "../openai/faults.ts";

/** In the order of the text that lists them (docs/facts/openai_api.md "Roles"). */
const ROLES = ["system", "assistant", "user", "function", "tool", "developer"] as const;
type Role = typeof ROLES[number];

const TEXT: Rule = { kind: "string" };
const NEEDED_TEXT: Rule = { kind: "string", isRequired: true };

/** The parts of a content, in the order of the text that lists them. */
const PART_TAGS: Readonly<Record<string, Fields>> = {
  text: [["text", NEEDED_TEXT]],
  image_url: [["image_url", {
    kind: "object",
    isRequired: true,
    fields: [
      ["url", NEEDED_TEXT],
      ["detail", { kind: "choice", values: ["auto", "low", "high"] }],
    ],
  }]],
  input_audio: [["input_audio", {
    kind: "object",
    isRequired: true,
    fields: [
      ["data", NEEDED_TEXT],
      ["format", { kind: "choice", values: ["wav", "mp3"], isRequired: true }],
    ],
  }]],
  refusal: [["refusal", NEEDED_TEXT]],
  audio: [],
  file: [["file", {
    kind: "object",
    isRequired: true,
    fields: [["filename", TEXT], ["file_data", TEXT], ["file_id", TEXT]],
  }]],
};
const PART: Rule = { kind: "tagged", tags: PART_TAGS };

const FUNCTION_CALL_FIELDS: Fields = [["name", NEEDED_TEXT], ["arguments", NEEDED_TEXT]];

const TOOL_CALL_TAGS: Readonly<Record<string, Fields>> = {
  function: [["id", NEEDED_TEXT], [
    "function",
    { kind: "object", fields: FUNCTION_CALL_FIELDS, isRequired: true },
  ]],
  custom: [["id", NEEDED_TEXT], [
    "custom",
    { kind: "object", fields: [["name", NEEDED_TEXT], ["input", NEEDED_TEXT]], isRequired: true },
  ]],
};

/** What a message of each role has besides role and content. Further keys pass through. */
const FIELDS: Readonly<Record<Role, Fields>> = {
  system: [["name", TEXT]],
  developer: [["name", TEXT]],
  user: [["name", TEXT]],
  assistant: [
    ["name", TEXT],
    ["refusal", { kind: "string", isNullable: true }],
    ["audio", { kind: "object", fields: [["id", NEEDED_TEXT]], isNullable: true }],
    ["tool_calls", {
      kind: "list",
      of: "objects",
      item: { kind: "tagged", tags: TOOL_CALL_TAGS },
      liveMin: 1,
    }],
    ["function_call", { kind: "object", fields: FUNCTION_CALL_FIELDS, isNullable: true }],
  ],
  tool: [["tool_call_id", NEEDED_TEXT]],
  function: [["name", NEEDED_TEXT]],
};

/** What is wrong with `messages`, each one for itself. */
export function checkMessages(messages: unknown, level: Level): Fault | undefined {
  if (!Array.isArray(messages)) return wrongType("an array of objects", messages);
  const fault = checkCount(messages.length, 1, Infinity);
  if (fault !== undefined) return fault;
  for (let i = 0; i < messages.length; i++) {
    const fault = checkMessage(messages[i], level);
    if (fault !== undefined) return under(`[${i}]`, fault);
  }
  return undefined;
}

function checkMessage(message: unknown, level: Level): Fault | undefined {
  if (!isObject(message)) return wrongType("an object", message);
  const role = message["role"];
  switch (role) {
    case "system":
    case "assistant":
    case "user":
    case "function":
    case "tool":
    case "developer": {
      const content = message["content"];
      if (typeof content !== "string") {
        const fault = checkContent(content, role, level);
        if (fault !== undefined) return fault;
      }
      return checkFields(message, FIELDS[role], level);
    }
    case undefined:
      return missing(".role");
    default:
      return under(
        ".role",
        typeof role === "string" ? wrongChoice(role, ROLES) : wrongType("a string", role),
      );
  }
}

/** A content that is no string. Absent and null are looked at last (`checkTalk`). */
function checkContent(content: unknown, role: Role, level: Level): Fault | undefined {
  if (content === undefined || content === null) {
    if (role !== "developer") return undefined;
    if (content === undefined) return missing(".content");
  }
  if (!Array.isArray(content)) {
    return under(".content", wrongType("one of a string or array of objects", content));
  }
  const fault = checkCount(content.length, 1, Infinity);
  if (fault !== undefined) return under(".content", fault);
  for (let i = 0; i < content.length; i++) {
    const part = content[i];
    const fault = check(part, PART, level);
    if (fault !== undefined) return under(`.content[${i}]`, fault);
    const misplaced = checkPlace((part as { readonly type: string }).type, role);
    if (misplaced !== undefined) return misplaced;
  }
  return undefined;
}

/** A part that stands in the wrong message. */
function checkPlace(tag: string, role: Role): Fault | undefined {
  // Some models take the image of a tool (`checkAbilities`).
  if (tag !== "image_url" || role === "user" || role === "tool") return undefined;
  return imageMisplaced(role);
}

/** An image in a message of `role`, which is no user's. */
function imageMisplaced(role: Role): Fault {
  const say = (path: string) =>
    `Invalid '${path}'. Image URLs are only allowed for messages with role 'user', ` +
    `but this message with role '${role}' contains an image URL.`;
  return { code: "param_value", path: "", say };
}

const HEARS = /audio|realtime/;
const SEES_TOOLS = /^(?:ft:)?gpt-(?:5\.[2-9]|[6-9])/;

/** Parts that `model` does not take in messages that are right each for itself. */
export function checkAbilities(messages: readonly JsonObject[], model: unknown): Fault | undefined {
  for (let i = 0; i < messages.length; i++) {
    if (typeof messages[i]!["content"] === "string") continue; // as nearly all are
    const fault = checkAbility(messages[i]!, model);
    if (fault !== undefined) return under(`[${i}]`, fault);
  }
  return undefined;
}

function checkAbility({ role, content }: JsonObject, model: unknown): Fault | undefined {
  if (!Array.isArray(content) || typeof model !== "string" || !isOpenaiModel(model)) {
    return undefined;
  }
  const has = (tag: string) => (content as readonly JsonObject[]).some(({ type }) => type === tag);
  if (role === "user" && !HEARS.test(model) && has("input_audio")) return audioNotTaken();
  if (role === "tool" && !SEES_TOOLS.test(model) && has("image_url")) return imageMisplaced(role);
  return undefined;
}

function audioNotTaken(): Fault {
  const say = (path: string) =>
    `Invalid '${path}'. Content blocks are expected to be either text or image_url type.`;
  return { code: "param_value", path: "", say };
}

/**
 * The rules that join messages and are reported after every other fault: answers to tool calls
 * (`live`), then content that is missing. `messages` are right each for itself; the path of the
 * fault is whole.
 */
export function checkTalk(messages: readonly JsonObject[], level: Level): Fault | undefined {
  const fault = level === "live" ? checkToolResults(messages) : undefined;
  if (fault !== undefined) return fault;
  for (let i = 0; i < messages.length; i++) {
    const message = messages[i]!;
    const { content } = message;
    if (content !== undefined && content !== null) continue;
    if (isContentOptional(message, level)) continue;
    return refused(
      `messages.[${i}].content`,
      "Invalid value for 'content': expected a string, got null.",
    );
  }
  return undefined;
}

/** Every tool call is answered by the tool messages right after it, and nothing else is. */
function checkToolResults(messages: readonly JsonObject[]): Fault | undefined {
  for (let i = 0; i < messages.length; i++) {
    const message = messages[i]!;
    if (message["role"] === "tool") {
      // The spelling is the live API's.
      return refused(
        `messages.[${i}].role`,
        "Invalid parameter: messages with role 'tool' must be a response to a preceeding " +
          "message with 'tool_calls'.",
      );
    }
    if (message["role"] !== "assistant") continue;
    const calls = message["tool_calls"];
    if (!Array.isArray(calls)) continue;
    const open = new Set<string>();
    for (const { id } of calls as readonly { readonly id: string }[]) open.add(id);
    while (messages[i + 1]?.["role"] === "tool") {
      i++;
      open.delete(messages[i]!["tool_call_id"] as string);
    }
    if (open.size > 0) return unanswered([...open].join(", "));
  }
  return undefined;
}

function unanswered(ids: string): Fault {
  return refused(
    "messages",
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each " +
      `'tool_call_id'. The following tool_call_ids did not have response messages: ${echo(ids)}`,
  );
}

/** A function's content may be null; an assistant may say nothing, on `live` only with a call. */
function isContentOptional(message: JsonObject, level: Level): boolean {
  if (message["role"] === "function") return message["content"] === null;
  if (message["role"] !== "assistant") return false;
  if (level === "spec") return true;
  for (const key of ["tool_calls", "function_call", "refusal", "audio"]) {
    if (message[key] !== undefined && message[key] !== null) return true;
  }
  return false;
}

const JSON_WORD = /json/i;

/** Does any text of `messages` say "json", in capitals or not? */
export function hasJsonWord(messages: readonly JsonObject[]): boolean {
  return messages.some(({ content }) => {
    if (typeof content === "string") return JSON_WORD.test(content);
    if (!Array.isArray(content)) return false;
    return (content as readonly JsonObject[]).some(({ text }) =>
      typeof text === "string" && JSON_WORD.test(text)
    );
  });
}
