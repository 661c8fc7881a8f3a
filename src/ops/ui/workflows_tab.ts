/**
 * The tab with every workflow that weir serves.
 *
 * @module
 */

import type { Api } from "./api.ts";
import { element } from "./element.ts";
import { sentenceOf } from "./readable_error.ts";
import type { WorkflowSchema } from "./schema.ts";
import { WorkflowSection } from "./workflow_section.ts";
import type { Wording } from "./wording.ts";

/** Fills `panel` with the workflows, or says why there are none. */
export async function fillWorkflows(
  panel: HTMLElement,
  api: Api,
  wording: Wording,
): Promise<void> {
  panel.replaceChildren(wording.say(element("p", { class: "muted", role: "status" }), "loading"));
  try {
    const schemas = await api.workflows();
    if (schemas.length === 0) {
      panel.replaceChildren(wording.say(element("p", { class: "muted" }), "no_workflows"));
      return;
    }
    const sections = schemas.map((schema, i) =>
      new WorkflowSection(schema, `workflow-${i}`, api, wording).root
    );
    panel.replaceChildren(...(schemas.length > 1 ? [jumpList(schemas, wording)] : []), ...sections);
  } catch (error) {
    const again = wording.say(element("button", { type: "button" }), "try_again");
    again.addEventListener("click", () => void fillWorkflows(panel, api, wording));
    panel.replaceChildren(
      element("p", { class: "error", role: "alert" }, sentenceOf(error, wording)),
      again,
    );
  }
}

function jumpList(schemas: readonly WorkflowSchema[], wording: Wording): HTMLElement {
  const links = schemas.map(({ id, title }, i) =>
    element("a", { href: `#workflow-${i}` }, title === "" ? id : title)
  );
  return wording.mark(element("nav", { class: "jump" }, ...links), "aria-label", "jump");
}
