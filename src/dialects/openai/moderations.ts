/**
 * `POST /v1/moderations`: its requests and its answer (docs/facts/openai_endpoints.md "Moderations").
 *
 * @module
 */

import { MODERATION_CATEGORIES, type ModerationCategory } from "../../config/moderation.ts";
import type { Moderation, ModerationResult } from "../../core/answer.ts";
import { check, isObject, type Level, type Rule } from "./check.ts";
import { type BodyRules, checkedBody } from "./checked_body.ts";
import { type Fault, wrongChoice, wrongType } from "./faults.ts";

/** Most tokens of one input. */
export const MODERATION_TOKENS_MAX = 32_768;

const DEFAULT_MODEL = "omni-moderation-latest";

/** The models that moderate, those of any date among them. */
const MODERATION_MODELS = ["omni-moderation-latest", "text-moderation-latest"] as const;
const MODERATION_MODEL = /^(?:omni|text)-moderation-/;

/** The model of a request's `moderation`; OpenAI's schema takes any text. */
export const MODERATION_MODEL_RULE: Rule = {
  kind: "own",
  isRequired: true,
  check(value, level) {
    if (typeof value !== "string") return wrongType("a string", value);
    return level === "spec" || MODERATION_MODEL.test(value)
      ? undefined
      : wrongChoice(value, MODERATION_MODELS);
  },
};

/** What is looked at for one result. */
export interface ModerationInput {
  /** Its texts, joined. */
  readonly text: string;
  readonly hasText: boolean;
  readonly hasImage: boolean;
}

/** A request for moderation. */
export interface ModerationRequest {
  /** "" = it names none. */
  readonly named: string;
  readonly model: string;
  readonly inputs: readonly ModerationInput[];
}

const PARTS: Rule = {
  kind: "list",
  of: "objects",
  item: {
    kind: "tagged",
    tags: {
      text: [["text", { kind: "string", isRequired: true }]],
      image_url: [["image_url", {
        kind: "object",
        fields: [["url", { kind: "string", isRequired: true }]],
        isRequired: true,
      }]],
    },
  },
};
/** Each text has an answer of 2 KB: the limit is weir's, the live one is unknown. */
const TEXTS_MAX = 1024;
const TEXTS: Rule = {
  kind: "list",
  of: "strings",
  item: { kind: "string" },
  min: 1,
  max: TEXTS_MAX,
};

/** The parameters. */
export const MODERATION_RULES: BodyRules = {
  needsModel: false,
  fields: [["input", { kind: "own", check: checkInput, isRequired: true }]],
};

function checkInput(value: unknown, level: Level): Fault | undefined {
  if (typeof value === "string") return undefined;
  if (!Array.isArray(value)) return wrongType("one of a string or array", value);
  return check(value, typeof value[0] === "object" ? PARTS : TEXTS, level);
}

type Part =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image_url" };

/**
 * The request in a body. Each text of a list has a result of its own, all parts have one together.
 *
 * @throws {AppError} 400: what is wrong with it.
 */
export function parseModerations(text: string, level: Level): ModerationRequest {
  const body = checkedBody(text, MODERATION_RULES, level);
  const named = (body["model"] ?? "") as string;
  const input = body["input"] as string | readonly string[] | readonly Part[];
  const inputs = typeof input === "string"
    ? [plain(input)]
    : typeof input[0] === "string"
    ? (input as readonly string[]).map(plain)
    : [joined(input as readonly Part[])];
  return { named, model: named || DEFAULT_MODEL, inputs };
}

function plain(text: string): ModerationInput {
  return { text, hasText: true, hasImage: false };
}

function joined(parts: readonly Part[]): ModerationInput {
  const texts = parts.flatMap((part) => part.type === "text" ? [part.text] : []);
  return {
    text: texts.join("\n"),
    hasText: texts.length > 0,
    hasImage: texts.length < parts.length,
  };
}

/** What is thought of one text. */
export interface Judgement {
  /** Category → how likely it is, 0 to 1. */
  readonly scores: Readonly<Record<ModerationCategory, number>>;
  /** What it is taken for. */
  readonly flagged: readonly ModerationCategory[];
  readonly isFlagged: boolean;
}

/** What is seen in images as well. */
const OF_IMAGES: ReadonlySet<ModerationCategory> = new Set([
  "sexual",
  "self-harm/intent",
  "self-harm/instructions",
  "self-harm",
  "violence",
  "violence/graphic",
]);

/** The older models do not know these, and do not tell what they looked at. */
const OLDER = /^text-moderation-/;
const NEWER_ONLY = /^illicit/;

/** One result, in the API's key order. */
export function moderationResult(
  { scores, flagged }: Judgement,
  { hasText, hasImage }: Pick<ModerationInput, "hasText" | "hasImage">,
  model: string,
) {
  const isOlder = OLDER.test(model);
  const names = MODERATION_CATEGORIES.filter((name) => !isOlder || !NEWER_ONLY.test(name));
  const each = <Value>(value: (name: ModerationCategory) => Value) =>
    Object.fromEntries(names.map((name) => [name, value(name)]));
  const typesOf = (name: ModerationCategory) => [
    ...(hasText ? ["text"] : []),
    ...(hasImage && OF_IMAGES.has(name) ? ["image"] : []),
  ];
  return {
    flagged: names.some((name) => flagged.includes(name)),
    categories: each((name) => flagged.includes(name)),
    category_scores: each((name) => scores[name]),
    ...(isOlder ? {} : { category_applied_input_types: each(typesOf) }),
  };
}

/** The answer. `id`: what stands behind "modr-". */
export function moderationsBody(id: string, model: string, results: readonly unknown[]): string {
  return `${JSON.stringify({ id: `modr-${id}`, model, results }, null, 2)}\n`;
}

/** The result for one text inside another answer, of a model that is not one of the older ones. */
export function resultInAnswer({ isFlagged, scores, flagged }: ModerationResult, model: string) {
  const named = <Value>(value: (name: string) => Value) =>
    Object.fromEntries(Object.keys(scores).map((name) => [name, value(name)]));
  return {
    type: "moderation_result",
    model,
    flagged: isFlagged,
    categories: named((name) => flagged.includes(name)),
    category_scores: scores,
    category_applied_input_types: named(() => ["text"]),
  };
}

/**
 * The moderations inside another answer, one for each choice: each side is a result, or a list of
 * them. Empty when there is none, or when it was not judged.
 */
export function moderationsIn(value: unknown): readonly Moderation[] {
  if (!isObject(value)) return [];
  const [asked] = resultsOf(value["input"]);
  if (asked === undefined) return [];
  const { model, result: input } = asked;
  return resultsOf(value["output"]).map(({ result: output }) => ({ model, input, output }));
}

function resultsOf(side: unknown): readonly { model: string; result: ModerationResult }[] {
  if (!isObject(side)) return [];
  const { results } = side;
  return (Array.isArray(results) ? results : [side]).flatMap((one: unknown) => {
    if (!isObject(one) || !isObject(one["category_scores"])) return [];
    const { model, flagged, categories, category_scores } = one;
    const scores = Object.fromEntries(
      Object.entries(category_scores).filter(([, score]) => typeof score === "number"),
    ) as Readonly<Record<string, number>>;
    const names = isObject(categories)
      ? Object.keys(scores).filter((name) => categories[name])
      : [];
    const result = { isFlagged: flagged === true, scores, flagged: names };
    return [{ model: String(model ?? ""), result }];
  });
}
