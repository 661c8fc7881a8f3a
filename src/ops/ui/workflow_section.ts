/**
 * One workflow: its form on one side, its output on the other.
 *
 * @module
 */

import type { Api } from "./api.ts";
import { copyButton } from "./copy_button.ts";
import { durationText } from "./duration.ts";
import { element } from "./element.ts";
import { eventBatches } from "./event_reader.ts";
import { makeField } from "./field.ts";
import { OutputView } from "./output_view.ts";
import { isAbort, sentenceOf } from "./readable_error.ts";
import { runBody } from "./run_body.ts";
import { chunkKindOf, type WorkflowSchema } from "./schema.ts";
import type { Wording } from "./wording.ts";
import type { Word } from "./words.ts";

/** The section of `schema`. `id` is its address on the page. */
export function workflowSection(
  schema: WorkflowSchema,
  id: string,
  { api, wording }: { readonly api: Api; readonly wording: Wording },
): HTMLElement {
  const fields = schema.inputs.map((variable, i) => makeField(variable, `${id}-${i}`, wording));
  const output = new OutputView(wording);
  const runButton = wording.say(element("button", { type: "submit", class: "primary" }), "run");
  const cancelButton = wording.say(element("button", { type: "button", hidden: true }), "cancel");
  const keys = wording.say(element("kbd", { class: "hint" }), "run_keys");
  const status = element("p", { class: "status", role: "status" });
  const copy = copyButton(wording, "copy", () => output.copyText);
  const form = element(
    "form",
    { novalidate: true, "aria-labelledby": `${id}-inputs` },
    wording.say(element("h3", { id: `${id}-inputs` }), "inputs"),
    ...fields.map(({ root }) => root),
    fields.length > 0 ? null : wording.say(element("p", { class: "muted" }), "no_inputs"),
    element("div", { class: "actions" }, runButton, cancelButton, keys),
  );
  let running: AbortController | null = null;

  function say(word: Word, value?: string): HTMLElement {
    return wording.say(element("span"), word, value);
  }

  async function run(): Promise<void> {
    if (running !== null) return;
    const controller = running = new AbortController();
    const watch = new RunWatch();
    output.clear();
    copy.hidden = true;
    setRunning(true);
    output.root.scrollIntoView({ block: "nearest" }); // on a phone it lies below the form
    try {
      const response = await api.run(runBody(schema.id, fields), controller.signal);
      await show(response, watch);
      status.replaceChildren(...watch.summary(wording));
    } catch (error) {
      const word = isAbort(error) ? "cancelled" : "failed_after";
      status.replaceChildren(say(word, durationText(watch.elapsedMs)));
      if (word === "failed_after") output.showError(sentenceOf(error, wording));
    } finally {
      controller.abort(); // whatever is still open must not go on unseen
      running = null;
      copy.hidden = output.copyText === "";
      setRunning(false);
    }
  }

  async function show(response: Response, watch: RunWatch): Promise<void> {
    const type = response.headers.get("content-type") ?? "";
    if (type.startsWith("text/event-stream") && response.body !== null) {
      const isText = chunkKindOf(schema) === "text";
      for await (const batch of eventBatches(response.body)) {
        watch.count(batch.length);
        if (isText) output.appendText(batch.join(""));
        else output.appendItems(batch.map((data) => itemOf(data, schema)));
      }
    } else if (type.startsWith("application/json") && !isNamedFile(response)) {
      output.showValue(await response.json());
    } else if (type.startsWith("text/plain") && !isNamedFile(response)) {
      output.showValue(await response.text());
    } else output.showFile(await response.blob(), fileName(response));
  }

  function setRunning(isRunning: boolean): void {
    const hadFocus = form.contains(document.activeElement);
    wording.say(runButton, isRunning ? "running" : "run");
    runButton.disabled = isRunning;
    cancelButton.hidden = !isRunning;
    keys.hidden = isRunning;
    output.root.classList.toggle("running", isRunning);
    output.root.setAttribute("aria-busy", String(isRunning));
    if (isRunning) status.replaceChildren(say("running"));
    // A button that goes away would take the keyboard's place with it.
    const isLost = document.activeElement === document.body ||
      document.activeElement === cancelButton || document.activeElement === runButton;
    if (hadFocus && isLost) (isRunning ? cancelButton : runButton).focus();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void run();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    if (event.key === "Escape") running?.abort();
  });
  cancelButton.addEventListener("click", () => running?.abort());
  copy.hidden = true;

  const head = wording.say(element("h3"), "output");
  return element(
    "section",
    { class: "workflow", id, "aria-labelledby": `${id}-title` },
    heading(schema, id, wording),
    element(
      "div",
      { class: "columns" },
      form,
      element(
        "div",
        { class: "result" },
        element(
          "div",
          {},
          element("div", { class: "result-head" }, head, status, copy),
          output.root,
        ),
      ),
    ),
  );
}

function heading(schema: WorkflowSchema, id: string, wording: Wording): HTMLElement {
  const title = element("h2", { id: `${id}-title` }, schema.title);
  if (schema.title === "") wording.say(title, "untitled");
  return element(
    "header",
    {},
    element(
      "div",
      { class: "title-line" },
      title,
      element("code", {}, schema.id),
      schema.isDefault ? wording.say(element("span", { class: "tag" }), "default_workflow") : null,
    ),
    schema.description === "" ? null : element("p", { class: "muted" }, schema.description),
  );
}

/** Measures one run. */
class RunWatch {
  readonly #startMs = performance.now();
  #firstMs = 0;
  #pieces = 0;

  get elapsedMs(): number {
    return performance.now() - this.#startMs;
  }

  count(pieces: number): void {
    if (this.#pieces === 0) this.#firstMs = this.elapsedMs;
    this.#pieces += pieces;
  }

  /** The figures, each in an element of its own that can change its language. */
  summary(wording: Wording): readonly (Node | string)[] {
    const total = wording.say(element("span"), "done_in", durationText(this.elapsedMs));
    if (this.#pieces === 0) return [total];
    return [
      total,
      " · ",
      wording.say(element("span"), "first_after", durationText(this.#firstMs)),
      " · ",
      wording.say(element("span"), "pieces", String(this.#pieces)),
    ];
  }
}

/** One chunk of a JSON stream. A subtype names the field that is wanted of it. */
function itemOf(data: string, { outputs: [output] }: WorkflowSchema): unknown {
  let item: unknown;
  try {
    item = JSON.parse(data);
  } catch {
    return data;
  }
  const isPath = output !== undefined && output.subtype !== "" && output.subtype !== "json";
  if (!isPath) return item;
  for (const name of output.subtype.split(".")) {
    item = typeof item === "object" && item !== null
      ? (item as Record<string, unknown>)[name]
      : undefined;
  }
  return item ?? null;
}

function isNamedFile(response: Response): boolean {
  return /^attachment/i.test(response.headers.get("content-disposition") ?? "");
}

/** The name the answer gives its file (RFC 6266); the plain spelling is all that weir writes. */
function fileName(response: Response): string {
  const disposition = response.headers.get("content-disposition") ?? "";
  const named = /filename\*=UTF-8''([^;]+)/i.exec(disposition)?.[1];
  if (named !== undefined) return decodeURIComponent(named);
  const plain = /filename="?([^";]+)"?/i.exec(disposition)?.[1];
  const [, subtype] = /\/(\w+)/.exec(response.headers.get("content-type") ?? "") ?? [];
  return plain ?? (subtype === undefined ? "output" : `output.${subtype}`);
}
