/**
 * The settings beside the conversation: model, system prompt, temperature.
 *
 * @module
 */

import type { Api } from "./api.ts";
import type { ChatSettings } from "./chat_request.ts";
import { element } from "./element.ts";
import type { Wording } from "./wording.ts";

/** The model until weir has told which it knows. */
const MODEL = "gpt-4o";

/** Below this width the settings start folded up, in CSS pixels. */
const NARROW_PX = 760;

/** The settings as a form. */
export interface SettingsForm {
  readonly root: HTMLElement;
  readonly read: () => ChatSettings;
  /** Asks weir for its models, to offer them. */
  readonly offerModels: (api: Api) => Promise<void>;
}

/** Makes the form, filled in with `kept`. `onChange` is told of every change. */
export function settingsForm(
  wording: Wording,
  kept: Partial<ChatSettings>,
  onChange: () => void,
): SettingsForm {
  const model = element("input", { id: "model", list: "models", autocomplete: "off" });
  const models = element("datalist", { id: "models" });
  const system = wording.mark(
    element("textarea", { id: "system", rows: "4" }),
    "placeholder",
    "system_prompt_hint",
  );
  const temperature = element("input", {
    id: "temperature",
    type: "number",
    min: "0",
    max: "2",
    step: "0.1",
    placeholder: "1",
  });
  model.value = kept.model ?? MODEL;
  system.value = kept.system ?? "";
  temperature.value = kept.temperature?.toString() ?? "";
  const root = element(
    "details",
    { class: "settings", open: innerWidth >= NARROW_PX },
    wording.say(element("summary"), "settings"),
    field(wording.say(element("label", { for: "model" }), "model"), model, models),
    field(wording.say(element("label", { for: "system" }), "system_prompt"), system),
    field(wording.say(element("label", { for: "temperature" }), "temperature"), temperature),
  );
  root.addEventListener("input", onChange);
  return {
    root,
    read: () => ({
      model: model.value.trim(),
      system: system.value,
      temperature: temperature.value === "" ? null : temperature.valueAsNumber,
    }),
    async offerModels(api) {
      const response = await api.fetch("v1/models");
      const { data = [] } = await response.json() as { readonly data?: readonly { id: string }[] };
      models.replaceChildren(...data.map(({ id }) => element("option", { value: id })));
      const isUntouched = kept.model === undefined && model.value === MODEL;
      const isKnown = data.some(({ id }) => id === MODEL);
      if (isUntouched && !isKnown && data[0] !== undefined) model.value = data[0].id;
    },
  };
}

function field(...children: readonly HTMLElement[]): HTMLElement {
  return element("div", { class: "field" }, ...children);
}
