/**
 * A turn: one request for an answer, whatever dialect it came in. Messages and parameters are
 * spelled as OpenAI's chat API spells them; a reader of another dialect translates into that
 * spelling, so that a fixture, a translator or a budget looks at one thing.
 *
 * @module
 */

/** A longer name, in UTF-16 units, is no model's: answers repeat it in every event. */
export const MODEL_CHARS_MAX = 256;

/** The key of what a message says, unchanged. No JSON has it, so that no upstream gets it. */
export const WRITTEN: unique symbol = Symbol("written");

/** One message of a conversation. Further keys pass through. */
export interface Message {
  readonly role: string;
  /** A string, an array of parts, or null. */
  readonly content?: unknown;
  /** Its text as the client wrote it, where `content` has something between its parts. */
  readonly [WRITTEN]?: string;
  readonly [key: string]: unknown;
}

/** One request for an answer. */
export interface Turn {
  /** The model the client named, or the default one; "" = none. */
  readonly model: string;
  /** True: the client named none, so an upstream with a `model_id` of its own takes that instead. */
  readonly isDefaultModel?: true;
  readonly messages: readonly Message[];
  readonly isStream: boolean;
  /** True when the client wants token counts. */
  readonly wantsUsage: boolean;
  /** How many answers are wanted side by side (OpenAI's `n`). */
  readonly choiceCount: number;
  /** The most tokens the answer may have; undefined = no limit. */
  readonly tokensMax: number | undefined;
  /** True: the client has not said `tokensMax`, it is what its API does then. */
  readonly isDefaultTokensMax?: true;
  /**
   * True: the client is shown how the model reasons, in words. Without it a dialect that has a place
   * for reasoning shows that there was some: an empty delta of it.
   */
  readonly wantsReasoning?: boolean;
  /** True: the tools stand in the prompt as those of the Responses API do, which costs less. */
  readonly hasResponseTools?: true;
  /**
   * Texts to go on from, where it is no conversation: OpenAI's completions. `messages` has them as a
   * user's, one each; each has an equal part of the choices.
   */
  readonly prompts?: readonly string[];
  /** How many tokens those of `prompts` have that came as tokens, by their place: nobody counts them anew. */
  readonly promptCounts?: ReadonlyMap<number, number>;
  /** How many answers are made where not all of them are told (`best_of`); undefined = `choiceCount`. */
  readonly madeCount?: number;
  /** The answer ends before the first of these texts. */
  readonly stop: readonly string[];
  /**
   * Every other parameter as the client gave it: temperature, tools, … What has a meaning here is
   * read by `toolsOf`, `toolChoiceOf`, `responseFormatOf` and `reasoningEffortOf`, when somebody
   * asks.
   */
  readonly params: Readonly<Record<string, unknown>>;
  /** What its client calls the parameters that have another name here; absent = the same. */
  readonly spelled?: Readonly<Record<string, string>>;
}

/** A turn that asks nothing: the base of others. */
export const EMPTY_TURN: Turn = {
  model: "",
  messages: [],
  isStream: false,
  wantsUsage: false,
  choiceCount: 1,
  tokensMax: undefined,
  stop: [],
  params: {},
};

/** A tool that the model may call. */
export interface Tool {
  /** A function takes JSON, a custom tool takes text. */
  readonly kind: "function" | "custom";
  readonly name: string;
  /** "" = none. */
  readonly description: string;
  /** JSON Schema of a function's arguments; undefined = it takes none. */
  readonly parameters: unknown;
  /** True: the arguments keep the schema. */
  readonly isStrict: boolean;
  /** What a custom tool's text keeps to; absent = it may be anything. */
  readonly grammar?: Grammar;
  /** True: declared in chat's older `functions`, and called by `function_call`. */
  readonly isFunctionCall?: true;
}

/** The grammar of a custom tool's text. */
export interface Grammar {
  readonly syntax: string;
  readonly definition: string;
}

/** Whether tools are called, and which. */
export type ToolChoice =
  | {
    readonly kind: "auto" | "none" | "required";
    /** The names of the tools that may be called; absent = all of them. */
    readonly among?: readonly string[];
  }
  | { readonly kind: "tool"; readonly name: string };

/** What an answer's text must be. */
export type ResponseFormat =
  | { readonly kind: "text" | "json_object" }
  | {
    readonly kind: "json_schema";
    readonly name: string;
    readonly schema: unknown;
    readonly isStrict: boolean;
  };

type Fields = Readonly<Record<string, unknown>>;

function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Fields
    : {};
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

const NO_TOOLS: readonly Tool[] = [];

/** The tools of `turn`, the older `functions` among them. What is no tool is left out. */
export function toolsOf({ params }: Pick<Turn, "params">): readonly Tool[] {
  const { tools, functions } = params;
  if (tools === undefined && functions === undefined) return NO_TOOLS;
  return [
    ...(Array.isArray(tools) ? tools : []).map((tool) => {
      const kind = fields(tool)["type"] === "custom" ? "custom" : "function";
      return toolOf(kind, fields(tool)[kind], false);
    }),
    ...(Array.isArray(functions) ? functions : []).map((one) => toolOf("function", one, true)),
  ].filter(({ name }) => name !== "");
}

function toolOf(kind: Tool["kind"], value: unknown, isFunctionCall: boolean): Tool {
  const { name, description, parameters, strict, format } = fields(value);
  const { grammar, type } = fields(format);
  const { syntax, definition } = fields(grammar ?? format);
  return {
    kind,
    name: text(name),
    description: text(description),
    parameters,
    isStrict: strict === true,
    ...(type === "grammar"
      ? { grammar: { syntax: text(syntax), definition: text(definition) } }
      : {}),
    ...(isFunctionCall ? { isFunctionCall } : {}),
  };
}

/** What `turn` says about calling tools; "auto" when it says nothing. */
export function toolChoiceOf({ params }: Pick<Turn, "params">): ToolChoice {
  const choice = params["tool_choice"] ?? params["function_call"];
  if (choice === "none" || choice === "required") return { kind: choice };
  const { type, function: called, custom, name, allowed_tools } = fields(choice);
  if (type === "allowed_tools") {
    const { mode, tools } = fields(allowed_tools ?? choice);
    const among = (Array.isArray(tools) ? tools : []).map((tool) => {
      const { function: called, custom, name } = fields(tool);
      return text(fields(called ?? custom)["name"]) || text(name);
    });
    const kind = mode === "required" ? "required" : "auto";
    return among.length === 0 ? { kind } : { kind, among };
  }
  const chosen = text(fields(called ?? custom)["name"]) || text(name);
  return chosen === "" ? { kind: "auto" } : { kind: "tool", name: chosen };
}

/** The format that `turn` wants its text in. */
export function responseFormatOf({ params }: Pick<Turn, "params">): ResponseFormat {
  const { type, json_schema } = fields(params["response_format"]);
  if (type === "json_object") return { kind: "json_object" };
  if (type !== "json_schema") return { kind: "text" };
  const { name, schema, strict } = fields(json_schema);
  return { kind: "json_schema", name: text(name), schema, isStrict: strict === true };
}

/** How much `turn` wants the model to reason: "low", "high", …; "" = it does not say. */
export function reasoningEffortOf({ params }: Pick<Turn, "params">): string {
  return text(params["reasoning_effort"]);
}

/** The plain text of a message's content: a string as it is, text parts joined, else "". */
export function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  let joined = "";
  for (const part of content as readonly unknown[]) joined += text(fields(part)["text"]);
  return joined;
}
