/**
 * Which tools are called in an answer (docs/facts/openai_api.md "When a tool is called").
 *
 * @module
 */

import {
  type Message,
  textOf,
  type Tool,
  toolChoiceOf,
  toolsOf,
  type Turn,
} from "../../core/turn.ts";
import { fieldsOf, listOf } from "./fields.ts";

/**
 * forced: a tool is called when the request asks for one · auto: in answer to a user, too, and not
 * to the result of a tool.
 */
export type ToolsMode = "forced" | "auto";

/** What is called. */
export interface Wanted {
  /** The best first. */
  readonly tools: readonly Tool[];
  /** How many of them are called: the first ones that arguments can be made for. */
  readonly count: number;
  /** True: the answer is a call or an error, and no text. */
  readonly isForced: boolean;
}

const NOTHING: Wanted = { tools: [], count: 0, isForced: false };

/** Names of tools by which an agent says that it has finished, word by word. */
const ENDING =
  /(?:^|_)(?:submit|finish|final|complete|completion|done|exit|respond|answer|structured_output)(?:_|$)/;

/** What `turn` wants called. */
export function wantedCalls(turn: Turn, mode: ToolsMode): Wanted {
  const tools = toolsOf(turn);
  const choice = toolChoiceOf(turn);
  if (choice.kind === "tool") {
    const named = tools.find(({ name }) => name === choice.name);
    return { tools: [named ?? undeclared(choice.name)], count: 1, isForced: true };
  }
  const isForced = choice.kind === "required";
  if (choice.kind === "none" || (tools.length === 0 && !isForced)) return NOTHING;
  if (!isForced && (mode === "forced" || isAfterResult(turn.messages))) return NOTHING;
  const { among } = choice;
  const allowed = among === undefined ? tools : tools.filter(({ name }) => among.includes(name));
  return { ...inOrder(allowed, turn), isForced };
}

/**
 * The tools that the user names; after a result the one that ends the work; then those that were
 * not called yet. So an agent that must call a tool each time comes to an end.
 */
function inOrder(tools: readonly Tool[], { messages, params }: Turn): Omit<Wanted, "isForced"> {
  const asked = messages.findLastIndex(({ role }) => role === "user");
  const called = new Set(messages.slice(asked + 1).flatMap(calledNames));
  const said = asked < 0 ? "" : words(typed(textOf(messages[asked]!.content)));
  const isNew = ({ name }: Tool) => !called.has(name);
  const named = tools.filter((tool) => isNew(tool) && said.includes(words(tool.name)));
  const hasResult = messages.some(isResult);
  const ending = hasResult ? tools.filter(({ name }) => ENDING.test(spelled(name))) : [];
  const isSingle = params["parallel_tool_calls"] === false || isAfterResult(messages) ||
    tools.some(({ isFunctionCall }) => isFunctionCall);
  return {
    tools: [...new Set([...named, ...ending, ...tools.filter(isNew), ...tools])],
    count: isSingle ? 1 : Math.max(1, named.length),
  };
}

/** `text` without an agent's own notes, which tell of many tools: Claude Code puts some into each message. */
function typed(text: string): string {
  const [before, ...notes] = text.split("<system-reminder>");
  return [before, ...notes.map((note) => note.split("</system-reminder>")[1])].join(" ");
}

/** True when a tool's result came behind the model's last word. */
function isAfterResult(messages: readonly Message[]): boolean {
  const last = messages.findLastIndex(({ role }) => role === "assistant");
  return messages.slice(last + 1).some(isResult);
}

function isResult({ role }: Message): boolean {
  return role === "tool" || role === "function";
}

/** The names of the tools that a message calls. */
function calledNames({ tool_calls, function_call }: Message): readonly unknown[] {
  return [
    ...listOf(tool_calls).map((call) => {
      const { function: called, custom } = fieldsOf(call);
      return fieldsOf(called ?? custom)["name"];
    }),
    fieldsOf(function_call)["name"],
  ];
}

/** `name` in small letters, with a line between its words: StructuredOutput → structured_output. */
function spelled(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").replaceAll(/[-\s]/g, "_").toLowerCase();
}

/** `text` as words with one blank around each, so that a name is found as a whole. */
function words(text: string): string {
  return ` ${text.toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, " ").trim()} `;
}

/** A tool that is asked for by name and was not declared; only `mock.validate: spec` lets it in. */
function undeclared(name: string): Tool {
  return { kind: "function", name, description: "", parameters: undefined, isStrict: false };
}
