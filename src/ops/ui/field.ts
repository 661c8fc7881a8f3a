/**
 * One input of a workflow as a labelled widget, chosen by its type.
 *
 * @module
 */

import { element } from "./element.ts";
import type { Variable } from "./schema.ts";
import type { Wording } from "./wording.ts";

/** A widget in the form. */
export interface Field {
  readonly variable: Variable;
  /** The label, the widget and its notes. */
  readonly root: HTMLElement;
  /** What the reader has put in: null = nothing, which leaves the default to the workflow. */
  readonly read: () => unknown;
  /**
   * Marks the field when it is required and empty, until it is filled in. Gives the widget then;
   * null = nothing is missing.
   */
  readonly check: () => HTMLElement | null;
}

/** A widget and how to read it. */
interface Widget {
  readonly control: HTMLElement & { disabled: boolean };
  readonly read: () => unknown;
  readonly note?: HTMLElement;
}

/** Digits that a number keeps, whatever they are. */
const DIGITS_SAFE = 15;
/** Types whose text usually has more than one line. */
const MULTI_LINE: ReadonlySet<string> = new Set(["text", "markdown", "json", "object", "base64"]);
const SINGLE_LINE: ReadonlySet<string> = new Set(["string", "url"]);
/** Types that are files, and what their file dialog offers. */
const FILES: Readonly<Record<string, string>> = {
  image: "image/*",
  audio: "audio/*",
  video: "video/*",
  file: "",
};

/** The widget for `variable`. `id` is unique on the page. */
export function makeField(variable: Variable, id: string, wording: Wording): Field {
  const { control, read, note } = widgetFor(variable, wording);
  const notes = [
    variable.description === "" ? null : element("p", { class: "note" }, variable.description),
    note ?? null,
  ].filter((each) => each !== null);
  control.id = id;
  const name = variable.name === "" ? "input" : variable.name;
  // A box without a tick says something, too.
  const isRequired = variable.initial === undefined && variable.type !== "boolean" &&
    variable.isOptional === undefined;
  const complaint = wording.say(
    element("p", { class: "complaint", id: `${id}-complaint`, hidden: true }),
    "required_empty",
  );
  const check = () => {
    if (!isRequired) return null;
    const isMissing = read() === null;
    control.setAttribute("aria-invalid", String(isMissing));
    complaint.hidden = !isMissing;
    return isMissing ? control : null;
  };
  if (isRequired) {
    control.setAttribute("aria-required", "true");
    control.setAttribute("aria-errormessage", complaint.id);
    control.addEventListener("input", () => complaint.hidden || check());
  }
  if (notes.length > 0) control.setAttribute("aria-describedby", `${id}-notes`);
  const label = element(
    "label",
    { for: id },
    element("span", { class: "name" }, name),
    isRequired ? wording.mark(element("span", { class: "star" }, "*"), "title", "required") : null,
    element("span", { class: "type" }, typeText(variable)),
    variable.initial === undefined ? null : defaultText(variable, wording),
  );
  const root = element(
    "div",
    { class: "field" },
    label,
    control,
    isRequired ? complaint : null,
    notes.length === 0 ? null : element("div", { id: `${id}-notes` }, ...notes),
  );
  return { variable, root, read, check };
}

function widgetFor(variable: Variable, wording: Wording): Widget {
  const { type, isList } = variable;
  if (type === "list" || isList && FILES[type] === undefined) return listWidget(variable, wording);
  if (type === "number" || type === "slider") return numberWidget(variable);
  if (type === "integer") return integerWidget(variable);
  if (type === "boolean") return booleanWidget(variable, wording);
  if (type === "select") return selectWidget(variable, wording);
  if (FILES[type] !== undefined) return fileWidget(FILES[type], isList);
  if (MULTI_LINE.has(type)) return textWidget(variable);
  const widget = lineWidget(variable);
  if (SINGLE_LINE.has(type)) return widget;
  const note = wording.say(element("p", { class: "note" }), "unsupported", type);
  return { ...widget, note };
}

function textWidget(variable: Variable): Widget {
  const control = element("textarea", { rows: variable.type === "text" ? "5" : "4" });
  if (variable.type !== "text") control.classList.add("code");
  control.value = initialText(variable);
  return { control, read: () => orNull(control.value) };
}

function lineWidget(variable: Variable): Widget {
  const control = element("input", { type: "text", autocomplete: "off" });
  control.value = initialText(variable);
  return { control, read: () => orNull(control.value) };
}

/** A text box, since a number box would refuse what does not fit without showing it. */
function integerWidget(variable: Variable): Widget {
  const { control, read } = lineWidget(variable);
  control.setAttribute("inputmode", "numeric");
  return {
    control,
    read() {
      const text = read();
      const number = Number(text);
      // What is no integer goes as it is: the workflow's own error names it.
      return text !== null && Number.isSafeInteger(number) ? number : text;
    },
  };
}

function numberWidget(variable: Variable): Widget {
  const control = element("input", { type: "number", step: "any", autocomplete: "off" });
  control.value = initialText(variable);
  return {
    control,
    read() {
      const { value } = control;
      if (value === "") return null;
      // What a number here would round goes as its digits, which the workflow keeps.
      return value.replace(/\D/g, "").length > DIGITS_SAFE ? value : control.valueAsNumber;
    },
  };
}

function booleanWidget(variable: Variable, wording: Wording): Widget {
  const control = element("input", { type: "checkbox" });
  control.checked = /^(true|1)$/i.test(initialText(variable));
  const note = wording.say(element("p", { class: "note beside" }), "yes_no");
  return { control, read: () => control.checked, note };
}

function selectWidget(variable: Variable, wording: Wording): Widget {
  const initial = initialText(variable);
  const choices = variable.subtype.split(",").map((choice) => choice.trim());
  const names = new Set(choices.filter((choice) => choice !== ""));
  const control = element("select");
  if (initial === "") {
    control.append(wording.say(element("option", { value: "" }), "nothing_chosen"));
  } else names.add(initial);
  for (const name of names) control.append(element("option", { value: name }, name));
  control.value = initial;
  return { control, read: () => orNull(control.value) };
}

function listWidget(variable: Variable, wording: Wording): Widget {
  const { initial } = variable;
  const { control } = lineWidget(variable);
  if (Array.isArray(initial)) (control as HTMLInputElement).value = initial.join(", ");
  const note = wording.say(element("p", { class: "note" }), "comma_separated");
  return {
    control,
    note,
    read() {
      const items = (control as HTMLInputElement).value.split(/[,，]/).map((item) => item.trim());
      const filled = items.filter((item) => item !== "");
      return filled.length === 0 ? null : filled;
    },
  };
}

function fileWidget(accept: string, isList: boolean): Widget {
  const control = element("input", { type: "file", accept, multiple: isList });
  return {
    control,
    read() {
      const files = [...control.files ?? []];
      if (files.length === 0) return null;
      return isList ? files : files[0];
    },
  };
}

function orNull(text: string): string | null {
  return text === "" ? null : text;
}

function initialText({ initial }: Variable): string {
  if (initial === undefined) return "";
  return typeof initial === "object" ? JSON.stringify(initial) : String(initial);
}

/** The choices of a select stand in the list itself, not in its type. */
function typeText({ type, subtype, isList }: Variable): string {
  const full = subtype === "" || type === "select" ? type : `${type}/${subtype}`;
  return isList ? `${full}[]` : full;
}

/** Most characters of a default that stand in a label. */
const DEFAULT_CHARS_MAX = 40;

function defaultText(variable: Variable, wording: Wording): HTMLElement {
  const text = initialText(variable);
  const short = text.length > DEFAULT_CHARS_MAX ? `${text.slice(0, DEFAULT_CHARS_MAX)}…` : text;
  return wording.say(element("span", { class: "default" }), "default_value", short);
}
