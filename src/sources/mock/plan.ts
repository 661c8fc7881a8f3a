/**
 * What the mock says to a turn that asks for more than a text: tools are called, schemas are kept,
 * models think, and so on.
 *
 * @module
 */

import type { CallKind, EndReason, Moderation, ModerationResult } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import {
  reasoningEffortOf,
  responseFormatOf,
  textOf,
  type Tool,
  toolChoiceOf,
  toolsOf,
  type Turn,
} from "../../core/turn.ts";
import { type Family, familyOf, type Reasoning } from "../../dialects/openai/families.ts";
import { Lru } from "../../lib/lru.ts";
import { type AudioFormat, audioFormatOf } from "./audio.ts";
import { type ToolsMode, wantedCalls } from "./calls.ts";
import type { Counter } from "./counter.ts";
import { fit } from "./fit.ts";
import { fieldsOf, typesOf } from "./fields.ts";
import { generate, type Generated, isTooDeep, isValid } from "./generate.ts";
import { toldSchema } from "./told_schema.ts";
import { Steps } from "./work.ts";

/** A call with all of its arguments: JSON, or a text. */
export interface PlannedCall {
  readonly name: string;
  readonly text: string;
  readonly kind: CallKind | undefined;
}

/** What each choice of an answer says. */
export interface Plan {
  /** Words of reasoning; "" = it thought in silence; undefined = it did not think. */
  readonly reasoning: string | undefined;
  readonly calls: readonly PlannedCall[];
  /** The text, or the words of the sound. */
  readonly text: string;
  readonly reason: EndReason;
  readonly stopSequence: string | undefined;
  /** How many tokens are told in each place, besides how likely that was; undefined = nothing is. */
  readonly topLogprobs: number | undefined;
  readonly audio: AudioFormat | undefined;
  /** True: the text has a source. */
  readonly isCited: boolean;
  readonly moderation: Moderation | undefined;
}

/** A plan, and what it costs. */
export interface Planned {
  readonly plan: Plan;
  /** Tokens of one choice, of its reasoning among them; without those of its sound. */
  readonly completionTokens: number;
  readonly reasoningTokens: number;
  /** The text of the request's `prediction`; undefined = there is none. */
  readonly prediction: string | undefined;
}

/** What a model says of its thoughts to whoever wants to read them. */
const THOUGHTS = "The answer is known beforehand, so there is little to think about.";

/** Behind the rule for one call; of several at once one answer is recorded. */
const PER_CALLS = 10;

/** Parameters by which a turn asks for more than a text, or for another count of it. */
const TELLING: ReadonlySet<string> = new Set([
  "tools",
  "functions",
  "tool_choice",
  "response_format",
  "logprobs",
  "modalities",
  "moderation",
  "prediction",
  "web_search_options",
]);

/** True when the reply is all that is to be said to `turn`, and costs its own tokens only. */
export function isPlain({ params, wantsReasoning }: Turn, family: Family): boolean {
  if (family.reasoning !== undefined || family.isSearching || wantsReasoning) return false;
  for (const key in params) if (TELLING.has(key)) return false;
  return true;
}

/** Values that were made of schemas are remembered: so many, and so many bytes of their schemas. */
const REMEMBERED = { entriesMax: 256, bytesMax: 4_194_304 };

/** Makes plans. */
export class Planner {
  readonly #replyTo: (turn: Turn) => string;
  readonly #mode: ToolsMode;
  readonly #judge: (text: string) => ModerationResult;
  readonly #made = new Lru<Generated>(REMEMBERED);

  /** `replyTo`: what is said to a turn; `judge`: what moderation thinks of a text. */
  constructor(
    replyTo: (turn: Turn) => string,
    mode: ToolsMode,
    judge: (text: string) => ModerationResult,
  ) {
    this.#replyTo = replyTo;
    this.#mode = mode;
    this.#judge = judge;
  }

  /**
   * The plan for `turn`.
   *
   * @throws {AppError} when it asks for what the mock cannot make.
   */
  plan(turn: Turn, counter: Counter): Planned {
    const { params, tokensMax, messages } = turn;
    const family = familyOf(turn.model);
    const steps = new Steps();
    const calls = this.#calls(turn, steps);
    const isAddressed = family.isClaude && toolChoiceOf(turn).kind === "auto" &&
      responseFormatOf(turn).kind === "text";
    const whole = calls.length === 0
      ? this.#text(turn, steps)
      : isAddressed
      ? this.#replyTo(turn)
      : "";
    const cost = aroundTokens(turn, calls, counter);
    const wholeTokens = cost + counter.count(whole);
    const thought = thoughtsOf(turn, family, wholeTokens, counter);
    const room = tokensMax === undefined ? undefined : Math.max(0, tokensMax - thought.tokens);
    const fitting = fit(whole, turn.stop, room, counter);
    const hasBlanks = family.isClaude || (calls.length > 1 && !turn.hasResponseTools);
    // What ends the text ends the answer: no call follows.
    const said = calls.length > 0 && fitting.text === whole
      ? cutCalls(
        hasBlanks ? calls.map(withBlanks) : calls,
        room === undefined ? undefined : room - counter.count(whole),
        counter,
      )
      : { ...fitting, calls: [] };
    const isUncalled = calls.length > 0 && said.calls.length === 0;
    const tokens = thought.tokens + (isUncalled ? 0 : cost) + counter.count(fitting.text);
    const plan: Plan = {
      reasoning: thought.words,
      calls: said.calls,
      text: fitting.text,
      reason: said.reason,
      stopSequence: said.stopSequence,
      topLogprobs: params["logprobs"] === true ? Number(params["top_logprobs"] ?? 0) : undefined,
      audio: calls.length > 0 ? undefined : audioFormatOf(params),
      isCited: fitting.text !== "" &&
        (family.isSearching || isObject(params["web_search_options"])),
      moderation: moderationOf(params, messages, fitting.text, this.#judge),
    };
    return {
      plan,
      completionTokens: Math.min(tokens, tokensMax ?? Infinity),
      reasoningTokens: thought.tokens,
      prediction: isObject(params["prediction"])
        ? textOf(fieldsOf(params["prediction"])["content"])
        : undefined,
    };
  }

  #calls(turn: Turn, steps: Steps): readonly PlannedCall[] {
    const { tools, count, isForced } = wantedCalls(turn, this.#mode);
    const calls: PlannedCall[] = [];
    let problem = "";
    for (const tool of tools) {
      if (calls.length === count) break;
      const made = this.#arguments(tool, turn, steps);
      if ("problem" in made) problem ||= `'${tool.name}': ${made.problem}`;
      else calls.push(made);
    }
    if (calls.length > 0 || !isForced) return calls;
    throw new AppError(
      "request_invalid",
      tools.length === 0
        ? "tool_choice asks for a call, and allows none of the tools that the mock can call: those " +
          "that the API runs by itself it never calls."
        : `The mock cannot make arguments for the tool ${problem}. Give that place of its schema a ` +
          "`default` or `examples`, do not ask for the call by tool_choice, or set llm.base_url to " +
          "a server that really asks a model.",
    );
  }

  #arguments(
    tool: Tool,
    turn: Turn,
    steps: Steps,
  ): PlannedCall | { readonly problem: string } {
    const { name, kind, grammar, parameters, isFunctionCall } = tool;
    if (kind === "custom") {
      if (grammar === undefined) return { name, kind, text: this.#replyTo(turn) };
      if (grammar.syntax !== "regex") {
        return { problem: `its grammar is written in ${grammar.syntax}, and not as a regex` };
      }
    }
    const { type: asked = "object" } = fieldsOf(parameters);
    if (kind !== "custom" && !typesOf(asked).includes("object")) {
      return { problem: "its parameters are not of the type object" };
    }
    const schema = kind === "custom"
      ? { type: "string", pattern: grammar!.definition }
      : { ...fieldsOf(parameters), type: "object" };
    const made = this.#valueOf(schema, turn, name, steps);
    if ("problem" in made) return made;
    return kind === "custom" ? { name, kind, text: String(made.value) } : {
      name,
      kind: isFunctionCall ? "function_call" : undefined,
      text: JSON.stringify(made.value),
    };
  }

  #text(turn: Turn, steps: Steps): string {
    const format = responseFormatOf(turn);
    const said = this.#replyTo(turn);
    if (format.kind === "text") return said;
    const reply = parsed(said);
    if (format.kind !== "json_schema") {
      if (isObject(reply)) return said;
      const told = toldSchema(turn.params["response_format"], turn.messages);
      const made = told === undefined ? undefined : this.#valueOf(told, turn, "text", steps);
      const value = made !== undefined && "value" in made ? made.value : undefined;
      return JSON.stringify(isObject(value) ? value : { answer: said });
    }
    const { name, schema } = format;
    if (reply !== undefined && isValid(reply, schema, said.length)) return said;
    const isOpen = Object.keys(fieldsOf(schema)).length === 0;
    const made = this.#valueOf(isOpen ? { type: "object" } : schema, turn, "text", steps);
    if (!("problem" in made)) return JSON.stringify(made.value);
    throw new AppError(
      "request_invalid",
      `The mock cannot make an answer for the schema '${name}': ${made.problem}. Give that place ` +
        "of the schema a `default` or `examples`, set mock.reply to a JSON text that keeps the " +
        "schema, or set llm.base_url to a server that really asks a model.",
    );
  }

  #valueOf(schema: unknown, { params }: Turn, name: string, steps: Steps): Generated {
    const seed = typeof params["seed"] === "number" ? params["seed"] : undefined;
    if (isTooDeep(schema)) return generate(schema, seed, name, steps);
    const key = `${seed} ${name} ${JSON.stringify(schema)}`;
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const made = generate(schema, seed, name, steps);
    // Another request may have more steps left for it.
    if (!steps.isSpent) this.#made.set(key, made, 2 * key.length);
    return made;
  }
}

/** Tokens of `calls`, or of what a model puts around a text. */
export function aroundTokens(
  turn: Turn,
  calls: readonly Pick<PlannedCall, "name" | "text">[],
  counter: Counter,
): number {
  const family = familyOf(turn.model);
  if (calls.length > 0) return callsCost(calls, family, counter);
  return toolsOf(turn).length > 0 ? family.overhead.textBesideTools : family.overhead.text;
}

/** Tokens of calls, with those of their names and arguments. */
function callsCost(
  calls: readonly Pick<PlannedCall, "name" | "text">[],
  { overhead }: Family,
  counter: Counter,
): number {
  const [{ name, text }] = calls as readonly [PlannedCall];
  if (calls.length === 1) return overhead.call + counter.count(name) + counter.count(text);
  const uses = calls.map((call) =>
    `{"recipient_name":"functions.${call.name}","parameters":${call.text}}`
  );
  return PER_CALLS + counter.count(`{"tool_uses":[${uses.join(",")}]}`);
}

/** A call as Claude spells it, and as the chat API spells those that it tells beside others. */
function withBlanks(call: PlannedCall): PlannedCall {
  if (call.kind === "custom") return call;
  // A text in JSON has no line break of its own: each is one of the layout.
  const lines = JSON.stringify(JSON.parse(call.text), null, 1);
  return { ...call, text: lines.replaceAll(/,\n */g, ", ").replaceAll(/\n */g, "") };
}

/** Calls as far as `tokensMax` lets them go: the arguments of the last one break off. */
function cutCalls(
  calls: readonly PlannedCall[],
  tokensMax: number | undefined,
  counter: Counter,
): Pick<Plan, "calls" | "reason" | "stopSequence"> {
  const said: PlannedCall[] = [];
  const stopSequence = undefined;
  let rest = tokensMax ?? Infinity;
  for (const call of calls) {
    if (rest <= 0) return { calls: said, stopSequence, reason: "length" };
    const cut = rest === Infinity
      ? { text: call.text, isCut: false }
      : counter.cut(call.text, rest);
    said.push({ ...call, text: cut.text });
    if (cut.isCut) return { calls: said, stopSequence, reason: "length" };
    if (rest !== Infinity) rest -= counter.count(call.text);
  }
  return { calls: said, stopSequence, reason: "tool_calls" };
}

/** What is thought before an answer of `answerTokens`. */
function thoughtsOf(
  turn: Turn,
  { reasoning }: Family,
  answerTokens: number,
  counter: Counter,
): { readonly words: string | undefined; readonly tokens: number } {
  const words = turn.wantsReasoning ? THOUGHTS : "";
  const effort = reasoningEffortOf(turn);
  const isAsked = turn.wantsReasoning && effort !== "none";
  if (reasoning === undefined) {
    return isAsked ? { words, tokens: counter.count(words) } : { words: undefined, tokens: 0 };
  }
  const tokens = reasoningTokens(
    reasoning,
    effort,
    turn.tokensMax ?? Infinity,
    answerTokens,
  );
  return { words: tokens > 0 ? words : undefined, tokens };
}

/**
 * As many as the effort wants, and fewer where the answer would not fit behind them; where it does
 * not fit at all, all that there is room for.
 */
function reasoningTokens(
  { step, effort: usual, tokens }: Reasoning,
  effort: string,
  tokensMax: number,
  answerTokens: number,
): number {
  const wanted = tokens[effort === "" ? usual : effort] ?? tokens["medium"]!;
  const fitting = (room: number) => Math.min(wanted, Math.floor(room / step) * step);
  const beside = fitting(Math.max(0, tokensMax - answerTokens));
  return beside > 0 || wanted === 0 ? beside : fitting(tokensMax);
}

function moderationOf(
  params: Turn["params"],
  messages: Turn["messages"],
  said: string,
  judge: (text: string) => ModerationResult,
): Moderation | undefined {
  const { moderation } = params;
  if (!isObject(moderation)) return undefined;
  const { model } = fieldsOf(moderation);
  const asked = messages.map(({ content }) => textOf(content)).join("\n");
  return {
    model: typeof model === "string" ? model : "omni-moderation-latest",
    input: judge(asked),
    output: judge(said),
  };
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
