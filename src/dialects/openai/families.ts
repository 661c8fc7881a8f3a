/**
 * What differs between models, as data (docs/facts/openai_api.md "Fields by model", "Reasoning
 * tokens", "Completion tokens"; docs/facts/anthropic.md "Answer").
 *
 * @module
 */

/** How much a model thinks before it answers. */
export interface Reasoning {
  /** What its tokens are a multiple of. */
  readonly step: number;
  /** The effort of a request that names none. */
  readonly effort: string;
  /** Effort → tokens; of an effort that is not here, those of "medium". */
  readonly tokens: Readonly<Record<string, number>>;
}

/** Tokens of an answer besides those of what it says. */
export interface Overhead {
  readonly text: number;
  /** Of a text in answer to a request that declares tools. */
  readonly textBesideTools: number;
  /** Of one call. */
  readonly call: number;
}

/** The models that answer in one shape. */
export interface Family {
  /** `system_fingerprint`: a text of its own, null, or "". */
  readonly fingerprint: "own" | "null" | "empty";
  /** Whether a choice has the key `logprobs` although nobody has asked for them. */
  readonly hasLogprobs: boolean;
  /** Whether there is a key `service_tier`. */
  readonly hasTier: boolean;
  /** undefined = it does not think. */
  readonly reasoning: Reasoning | undefined;
  /** Whether it searches the web, and says where it found things. */
  readonly isSearching: boolean;
  /**
   * Whether it is Claude: says something before it calls a tool of its own accord, and puts blanks
   * behind the commas and colons of arguments.
   */
  readonly isClaude: boolean;
  readonly overhead: Overhead;
}

/** gpt-5 and the o models think in pieces of 64 tokens. */
const COARSE: Reasoning = {
  step: 64,
  effort: "medium",
  tokens: { none: 0, minimal: 0, low: 64, medium: 320, high: 1408, xhigh: 3840, max: 3840 },
};
const FINE_TOKENS = { none: 0, minimal: 9, low: 9, medium: 29, high: 100, xhigh: 100, max: 100 };
/** From gpt-5.1 on a model thinks when it is asked to, … */
const FINE_IF_ASKED: Reasoning = { step: 1, effort: "none", tokens: FINE_TOKENS };
/** … and from gpt-5.5 on unless it is asked not to. */
const FINE: Reasoning = { step: 1, effort: "medium", tokens: FINE_TOKENS };

const GPT_4O: Family = {
  fingerprint: "own",
  hasLogprobs: true,
  hasTier: true,
  reasoning: undefined,
  isSearching: false,
  isClaude: false,
  overhead: { text: 0, textBesideTools: 1, call: 7 },
};
const GPT_4: Family = {
  ...GPT_4O,
  fingerprint: "null",
  overhead: { text: 0, textBesideTools: 0, call: 7 },
};
const GPT_5: Family = {
  ...GPT_4O,
  fingerprint: "null",
  hasLogprobs: false,
  reasoning: COARSE,
  overhead: { text: 9, textBesideTools: 9, call: 16 },
};
const GPT_5_NEWER: Family = {
  ...GPT_5,
  reasoning: FINE_IF_ASKED,
  overhead: { text: 3, textBesideTools: 3, call: 10 },
};
const O: Family = {
  ...GPT_4O,
  hasLogprobs: false,
  reasoning: COARSE,
  overhead: { text: 12, textBesideTools: 12, call: 16 },
};

/** The first that a name matches is its family. */
const FAMILIES: readonly (readonly [names: RegExp, family: Family])[] = [
  [/^gpt-(?:3\.?5|4(?:$|-0613|-32k|-1106-vision))/, GPT_4],
  [/^gpt-4\.5/, { ...GPT_4, hasLogprobs: false }],
  [/^gpt-(?:4o(?:-mini)?-)?audio/, { ...GPT_4O, hasLogprobs: false }],
  [/^gpt-4o(?:-mini)?-search/, {
    ...GPT_4O,
    fingerprint: "empty",
    hasLogprobs: false,
    hasTier: false,
    isSearching: true,
  }],
  [/^gpt-5[\d.]*-chat/, { ...GPT_5_NEWER, reasoning: undefined }],
  [/^gpt-5\.[1-4]/, GPT_5_NEWER],
  [/^gpt-(?:5\.|[6-9])/, { ...GPT_5_NEWER, reasoning: FINE }],
  [/^gpt-5/, GPT_5],
  [/^o\d/, O],
  [/^claude-/, { ...GPT_4O, isClaude: true }],
];

/** The family of `model`; one that no row names answers as gpt-4o does. */
export function familyOf(model: string): Family {
  const name = model.startsWith("ft:") ? model.slice(3) : model;
  return FAMILIES.find(([names]) => names.test(name))?.[1] ?? GPT_4O;
}

/** Models of OpenAI. What others can is not known here. */
const OPENAI = /^(?:ft:)?(?:chatgpt-|gpt-|o\d)/;

/** Whether `model` is one of OpenAI's. */
export function isOpenaiModel(model: string): boolean {
  return OPENAI.test(model);
}
