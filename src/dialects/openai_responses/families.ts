/**
 * What answers of the Responses API say by default, which depends on the model's family
 * (docs/facts/openai_api.md "Response objects by model").
 *
 * @module
 */

/** One family's defaults. */
export interface Family {
  /** How much it reasons unasked; null = it does not reason. */
  readonly effort: string | null;
  readonly topP: number;
  /** How long prompts are cached. */
  readonly retention: "in_memory" | "24h" | null;
  /** Whether messages tell a comment from the final answer: the key `phase`. */
  readonly hasPhase: boolean;
}

const CHAT: Family = { effort: null, topP: 1, retention: "in_memory", hasPhase: false };
const GPT5: Family = { ...CHAT, effort: "medium", retention: "24h" };
const GPT52: Family = { ...GPT5, effort: "none", topP: 0.98 };

/** The first that fits. */
const FAMILIES: readonly (readonly [models: RegExp, family: Family])[] = [
  [/^(?:ft:)?gpt-(?:5\.[5-9]|[6-9])/, { ...GPT5, topP: 0.98, hasPhase: true }],
  [/^(?:ft:)?gpt-5\.4/, { ...GPT52, hasPhase: true }],
  [/^(?:ft:)?gpt-5\.[23]/, GPT52],
  [/^(?:ft:)?gpt-5\.1/, { ...GPT5, effort: "none" }],
  [/^(?:ft:)?gpt-5/, GPT5],
  [/^(?:ft:)?o\d/, { ...CHAT, effort: "medium", retention: null }],
];

/** The family of `model`. */
export function familyOf(model: string): Family {
  return FAMILIES.find(([models]) => models.test(model))?.[1] ?? CHAT;
}
