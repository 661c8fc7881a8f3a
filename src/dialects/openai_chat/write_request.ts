/**
 * Asks an upstream for a turn: the body of `POST /chat/completions`, always streamed, so that there
 * is one way to read the answer.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import { type Message, textOf, type Turn } from "../../core/turn.ts";
import { isObject, type JsonObject } from "../openai/check.ts";

/**
 * The body that asks for `turn`. What the client gave and weir does not know goes up as it is.
 *
 * @throws {AppError} 400 when it wants what the chat API cannot be asked for.
 */
export function writeRequest(
  { model, messages, tokensMax, stop, choiceCount, params }: Turn,
  asksUsage: boolean,
): string {
  return JSON.stringify({
    ...params,
    ...plainTools(params),
    model,
    messages: withPlainResults(plainMessages(messages)),
    ...(choiceCount === 1 ? {} : { n: choiceCount }),
    ...(tokensMax === undefined ? {} : { [limitOf(model)]: tokensMax }),
    ...(stop.length === 0 ? {} : { stop }),
    stream: true,
    ...(asksUsage ? { stream_options: { include_usage: true } } : {}),
  });
}

/**
 * Custom tools are known to OpenAI's own models: to others each goes up as a function of one text.
 * Whoever says the answer takes the text out again.
 */
function plainTools({ tools, tool_choice }: Turn["params"]): JsonObject {
  if (!Array.isArray(tools) || !tools.some(isCustom)) return {};
  const choice = isCustom(tool_choice)
    ? { tool_choice: { type: "function", function: tool_choice.custom } }
    : {};
  return { tools: tools.map((tool) => isCustom(tool) ? functionOf(tool.custom) : tool), ...choice };
}

interface Custom {
  readonly type: "custom";
  readonly custom: JsonObject;
}

function isCustom(value: unknown): value is Custom {
  return isObject(value) && value["type"] === "custom" && isObject(value["custom"]);
}

function functionOf({ name, description, format }: JsonObject): JsonObject {
  const grammar = isObject(format) && isObject(format["grammar"]) ? format["grammar"] : undefined;
  const rule = grammar === undefined
    ? ""
    : `\n\nThe input keeps this ${grammar["syntax"]} grammar:\n${grammar["definition"]}`;
  return {
    type: "function",
    function: {
      name,
      description: `${description ?? ""}${rule}`,
      parameters: {
        type: "object",
        properties: { input: { type: "string" } },
        required: ["input"],
        additionalProperties: false,
      },
    },
  };
}

/**
 * Few servers know the role developer, and many want one system message in front: those of a
 * developer are the system's, and join the ones before them.
 */
function plainMessages(messages: readonly Message[]): readonly Message[] {
  if (!messages.some(({ role }) => role === "developer")) return messages.map(plainMessage);
  const plain: Message[] = [];
  for (const message of messages) {
    const isOfDeveloper = message.role === "developer";
    const last = plain.at(-1);
    const isFront = isOfDeveloper && plain.length === 1 && last!.role === "system";
    if (isFront && isText(last!.content) && isText(message.content)) {
      plain[0] = { ...last!, content: `${textOf(last!.content)}\n\n${textOf(message.content)}` };
    } else plain.push(plainMessage(isOfDeveloper ? { ...message, role: "system" } : message));
  }
  return plain;
}

/**
 * Results of calls are texts in the chat API: pictures and files in them follow in a user's message,
 * in front of what the user says.
 */
function withPlainResults(messages: readonly Message[]): readonly Message[] {
  if (!messages.some(isRich)) return messages;
  const plain: Message[] = [];
  let shown: unknown[] = [];
  const show = (message: Message, said: readonly unknown[] = []) => {
    if (shown.length > 0) plain.push({ ...message, content: [...shown, ...said] });
    shown = [];
  };
  for (const message of messages) {
    const { role, content } = message;
    if (isRich(message)) {
      const parts = content as readonly unknown[];
      const texts = parts.filter((part) => isText([part])).map((part) => textOf([part]));
      shown.push(...parts.filter((part) => !isText([part])));
      plain.push({ ...message, content: texts.join("\n\n") });
    } else if (role === "user" && shown.length > 0) {
      show(message, Array.isArray(content) ? content : [{ type: "text", text: content }]);
    } else {
      if (role !== "tool") show(OF_USER);
      plain.push(message);
    }
  }
  show(OF_USER);
  return plain;
}

const OF_USER: Message = { role: "user" };

/** A result that is more than text. */
function isRich({ role, content }: Message): boolean {
  return role === "tool" && Array.isArray(content) && !isText(content);
}

/** Is `content` a text, in one piece or in parts? */
function isText(content: unknown): boolean {
  return typeof content === "string" ||
    (Array.isArray(content) && content.every((part) => isObject(part) && part["type"] === "text"));
}

function plainMessage(message: Message): Message {
  const { tool_calls: calls, content } = message;
  if (Array.isArray(content)) content.forEach(refuseUnsaid);
  if (!Array.isArray(calls) || !calls.some(isCustom)) return message;
  return {
    ...message,
    tool_calls: calls.map((call: unknown) =>
      isCustom(call)
        ? {
          ...call,
          type: "function",
          custom: undefined,
          function: {
            name: call.custom["name"],
            arguments: JSON.stringify({ input: call.custom["input"] }),
          },
        }
        : call
    ),
  };
}

/** Parts that the Responses API knows and the chat API does not. */
function refuseUnsaid(part: unknown): void {
  if (!isObject(part)) return;
  const { type, image_url, file } = part;
  if (type === "image_url" && isObject(image_url) && image_url["url"] === undefined) {
    throw unsaid("an image by its file_id", "Send its URL, or its bytes as a data URL.");
  }
  if (type === "file" && isObject(file) && file["file_url"] !== undefined) {
    throw unsaid("a file by its URL", "Send its bytes in file_data.");
  }
}

function unsaid(what: string, help: string): AppError {
  return new AppError(
    "request_invalid",
    `The upstream speaks the chat API, which does not take ${what}. ${help}`,
  );
}

/** OpenAI's reasoning models refuse `max_tokens`; other servers may know nothing else. */
function limitOf(model: string): "max_tokens" | "max_completion_tokens" {
  return /^(?:ft:)?(?:o\d|gpt-[5-9])/.test(model) ? "max_completion_tokens" : "max_tokens";
}
