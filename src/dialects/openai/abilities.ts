/**
 * What a model does not take, by its family (docs/facts/openai_api.md "Parameters that a model does
 * not take"). It is asked only where weir plays the model: of an upstream's models it knows less
 * than the upstream.
 *
 * @module
 */

import { isObject, type JsonObject } from "./check.ts";
import { type Family, familyOf, isOpenaiModel } from "./families.ts";
import type { Fault } from "./faults.ts";

/** What is asked of which model. */
interface Asked {
  readonly model: string;
  readonly family: Family;
  readonly effort: unknown;
  readonly value: unknown;
}

/** One parameter of one API, and what is wrong with it where it is given and not null. */
type Ability = readonly [name: string, fault: (asked: Asked) => Fault | undefined];

const CHAT: readonly Ability[] = [
  ["temperature", ({ value, ...asked }) => only("temperature", value, [1], asked)],
  // From gpt-5.2 on the default is 0.98.
  ["top_p", ({ value, ...asked }) => only("top_p", value, [1, 0.98], asked)],
  ["presence_penalty", ({ value, ...asked }) => only("presence_penalty", value, [0], asked)],
  ["frequency_penalty", ({ value, ...asked }) => only("frequency_penalty", value, [0], asked)],
  [
    "max_tokens",
    ({ family }) =>
      family.reasoning === undefined
        ? undefined
        : unsupported("max_tokens", " Use 'max_completion_tokens' instead."),
  ],
  [
    "stop",
    ({ model, family }) =>
      family.reasoning === undefined || !/^(?:ft:)?gpt-/.test(model)
        ? undefined
        : unsupported("stop"),
  ],
  [
    "modalities",
    ({ model, value }) =>
      model.includes("audio") || !Array.isArray(value) || !value.includes("audio")
        ? undefined
        : wrongValue(
          "modalities",
          "Unsupported value: 'modalities' does not support 'audio' with this model.",
        ),
  ],
];

const RESPONSES: readonly Ability[] = [
  [
    "temperature",
    ({ value, ...asked }) =>
      // Without a code, as it is known from a client's own tests.
      value === 1 || !isThinking(asked)
        ? undefined
        : { ...unsupported("temperature"), code: "request_invalid" },
  ],
];

/** What the model of a chat request does not take; undefined = it takes all of it. */
export function chatAbilityFault(body: JsonObject): Fault | undefined {
  return abilityFault(body, CHAT, body["reasoning_effort"]);
}

/** The same of a request of the Responses API. */
export function responsesAbilityFault(body: JsonObject): Fault | undefined {
  const { reasoning } = body;
  return abilityFault(body, RESPONSES, isObject(reasoning) ? reasoning["effort"] : undefined);
}

/** Most requests have none of these parameters: nobody looks for their family. */
function abilityFault(
  body: JsonObject,
  abilities: readonly Ability[],
  effort: unknown,
): Fault | undefined {
  const { model } = body;
  for (const [name, fault] of abilities) {
    const value = body[name];
    if (value === undefined || value === null) continue;
    if (typeof model !== "string" || !isOpenaiModel(model)) return undefined;
    const found = fault({ model, family: familyOf(model), effort, value });
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Whether the model thinks before it answers this request. */
function isThinking({ family: { reasoning }, effort }: Pick<Asked, "family" | "effort">): boolean {
  return reasoning !== undefined && (effort ?? reasoning.effort) !== "none";
}

/** While a model thinks, its sampling stays as it is. */
function only(
  name: string,
  value: unknown,
  defaults: readonly [number, ...number[]],
  asked: Pick<Asked, "family" | "effort">,
): Fault | undefined {
  if (defaults.includes(value as number) || !isThinking(asked)) return undefined;
  return wrongValue(
    name,
    `Unsupported value: '${name}' does not support ${value} with this model. ` +
      `Only the default (${defaults[0]}) value is supported.`,
  );
}

function wrongValue(path: string, sentence: string): Fault {
  return { code: "value_unsupported", path, say: () => sentence };
}

function unsupported(path: string, help = ""): Fault {
  const say = () => `Unsupported parameter: '${path}' is not supported with this model.${help}`;
  return { code: "param_unsupported", path, say };
}
