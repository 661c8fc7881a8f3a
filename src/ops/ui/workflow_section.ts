/**
 * One workflow: its form on one side, its output on the other.
 *
 * @module
 */

import type { Api } from "./api.ts";
import { copyButton } from "./copy_button.ts";
import { durationText } from "./duration.ts";
import { element } from "./element.ts";
import { type Field, makeField } from "./field.ts";
import { OutputView } from "./output_view.ts";
import { isAbort, sentenceOf } from "./readable_error.ts";
import { showAnswer } from "./run_answer.ts";
import { runBody } from "./run_body.ts";
import { RunWatch } from "./run_watch.ts";
import type { WorkflowSchema } from "./schema.ts";
import type { Wording } from "./wording.ts";
import type { Word } from "./words.ts";

/** A section of the page. It runs one run at a time. */
export class WorkflowSection {
  readonly root: HTMLElement;
  readonly #schema: WorkflowSchema;
  readonly #api: Api;
  readonly #wording: Wording;
  readonly #fields: readonly Field[];
  readonly #form: HTMLFormElement;
  readonly #runButton: HTMLButtonElement;
  readonly #cancelButton: HTMLButtonElement;
  readonly #keys: HTMLElement;
  readonly #status: HTMLElement;
  readonly #copyButton: HTMLButtonElement;
  readonly #output: OutputView;
  #running: AbortController | null = null;

  /** `id` is the section's address on the page. */
  constructor(schema: WorkflowSchema, id: string, api: Api, wording: Wording) {
    this.#schema = schema;
    this.#api = api;
    this.#wording = wording;
    this.#fields = schema.inputs.map((variable, i) => makeField(variable, `${id}-${i}`, wording));
    this.#output = new OutputView(wording);
    this.#runButton = element("button", { type: "submit", class: "primary" });
    this.#cancelButton = element("button", { type: "button", hidden: true });
    this.#keys = wording.say(element("kbd", { class: "hint" }), "run_keys");
    this.#status = element("p", { class: "status", role: "status" });
    this.#copyButton = copyButton(wording, "copy", () => this.#output.copyText);
    this.#copyButton.hidden = true;
    wording.say(this.#runButton, "run");
    wording.say(this.#cancelButton, "cancel");
    this.#form = this.#makeForm(id);
    this.root = element(
      "section",
      { class: "workflow", id, "aria-labelledby": `${id}-title` },
      heading(schema, id, wording),
      element("div", { class: "columns" }, this.#form, this.#makeResult()),
    );
  }

  #makeForm(id: string): HTMLFormElement {
    const form = element(
      "form",
      { novalidate: true, "aria-labelledby": `${id}-inputs` },
      this.#wording.say(element("h3", { id: `${id}-inputs` }), "inputs"),
      ...this.#fields.map(({ root }) => root),
      this.#fields.length > 0
        ? null
        : this.#wording.say(element("p", { class: "muted" }), "no_inputs"),
      element("div", { class: "actions" }, this.#runButton, this.#cancelButton, this.#keys),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#running === null) void this.#run();
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
      if (event.key === "Escape") this.#running?.abort();
    });
    this.#cancelButton.addEventListener("click", () => this.#running?.abort());
    return form;
  }

  #makeResult(): HTMLElement {
    const title = this.#wording.say(element("h3"), "output");
    const head = element("div", { class: "result-head" }, title, this.#status, this.#copyButton);
    return element("div", { class: "result" }, element("div", {}, head, this.#output.root));
  }

  async #run(): Promise<void> {
    const [missing] = this.#fields.map((field) => field.check()).filter((one) => one !== null);
    if (missing !== undefined) return missing.focus();
    const controller = this.#running = new AbortController();
    const watch = new RunWatch();
    this.#output.clear();
    this.#showRunning(true);
    this.#output.root.scrollIntoView({ block: "nearest" }); // on a phone it lies below the form
    try {
      const body = runBody(this.#schema.id, this.#fields);
      const response = await this.#api.run(body, controller.signal);
      await showAnswer(response, this.#schema, this.#output, watch);
      this.#status.replaceChildren(...watch.summary(this.#wording));
    } catch (error) {
      const word = isAbort(error) ? "cancelled" : "failed_after";
      this.#report(word, durationText(watch.elapsedMs));
      if (word === "failed_after") this.#output.showError(sentenceOf(error, this.#wording));
    } finally {
      controller.abort(); // whatever is still open must not go on unseen
      this.#running = null;
      this.#showRunning(false);
    }
  }

  #report(word: Word, value?: string): void {
    this.#status.replaceChildren(this.#wording.say(element("span"), word, value));
  }

  #showRunning(isRunning: boolean): void {
    const focused = document.activeElement;
    const hadFocus = focused === this.#runButton || focused === this.#cancelButton;
    this.#wording.say(this.#runButton, isRunning ? "running" : "run");
    this.#runButton.disabled = isRunning;
    this.#cancelButton.hidden = !isRunning;
    this.#keys.hidden = isRunning;
    this.#copyButton.hidden = isRunning || this.#output.copyText === "";
    this.#output.root.classList.toggle("running", isRunning);
    this.#output.root.setAttribute("aria-busy", String(isRunning));
    if (isRunning) this.#report("running");
    // A button that goes away would take the keyboard's place with it.
    if (hadFocus) (isRunning ? this.#cancelButton : this.#runButton).focus();
  }
}

function heading(schema: WorkflowSchema, id: string, wording: Wording): HTMLElement {
  const title = element("h2", { id: `${id}-title` }, schema.title);
  if (schema.title === "") wording.say(title, "untitled");
  const tag = element("span", { class: "tag" });
  return element(
    "header",
    {},
    element(
      "div",
      { class: "title-line" },
      title,
      element("code", {}, schema.id),
      schema.isDefault ? wording.say(tag, "default_workflow") : null,
    ),
    schema.description === "" ? null : element("p", { class: "muted" }, schema.description),
  );
}
