/**
 * Whether the errors of the upstream reach the client as they are. What is limited (429) is a check
 * of its own, and how often the upstream is asked for each is told by `retries`.
 *
 * @module
 */

import { counted } from "../../../lib/counted.ts";
import type { Finding } from "../finding.ts";
import { type OwnAnswer, ownAnswer } from "../own_answer.ts";
import {
  bodyChange,
  fieldChanges,
  type Form,
  FORMS,
  HTML,
  type Refusal,
  refusalBody,
  REFUSALS,
  refuse,
  refuseInHtml,
  statusChange,
  tellForm,
  UNAVAILABLE,
} from "../refusals.ts";
import { type Asked, type Check, finding, type Rig, shownBytes, timeline } from "../rig.ts";

/** An error, and what came of it. */
interface Told {
  /** "503", as reports call it. */
  readonly name: string;
  readonly status: number;
  readonly form: Form;
  readonly asked: Asked;
  /** Undefined where it is a page. */
  readonly refusal: Refusal | undefined;
  readonly own: OwnAnswer | undefined;
}

/** A fault of one of them, or what is to note. */
interface Change {
  readonly told: Told;
  readonly verdict: "fail" | "note";
  readonly text: string;
  readonly evidence: readonly string[];
}

/** Every kind of error at once, to a client that wants a stream and to one that does not. */
export const errors: Check = {
  name: "errors",
  title: "Do the upstream's errors reach the client as they are?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const all = await Promise.all(FORMS.flatMap((form) => [
      ...[...REFUSALS, UNAVAILABLE].map((refusal) => tellRefusal(rig, form, refusal)),
      tellPage(rig, form),
    ]));
    // What has no answer at all is told with the statuses.
    const came = all.filter(({ own, asked }) => own === undefined && asked.exchange.status > 0);
    const inJson = came.filter(({ refusal }) => refusal !== undefined);
    const pages = came.filter(({ refusal }) => refusal === undefined);
    const own = all.flatMap(({ own, asked }) =>
      own !== undefined && asked.exchange.status > 0 ? [own] : []
    );
    return [
      summary(own, all.flatMap(statusChanges), {
        part: "status",
        limit: "each error has the status that the upstream has said",
        same: `${counted(all.length - own.length, "error")}, each as it was said`,
        mend:
          "Pass the status on: clients decide by it whether to ask again, and take 200 for an answer.",
      }),
      summary(own, inJson.flatMap(jsonChange), {
        part: "body",
        limit: "message, type, param and code of each error are there and unchanged",
        same: `${counted(inJson.length, "body", "bodies")}, the same`,
        mend: "Pass the upstream's error on: clients read its code, and people its message.",
      }),
      summary(own, pages.flatMap(pageChange), {
        part: "html",
        limit: "an error that is a page stays one, or becomes JSON",
        same: `${counted(pages.length, "page")}, the same`,
        mend: "Pass such a body on with its content-type, or give JSON in place of it.",
      }),
      summary(own, inJson.flatMap(headerChanges), {
        part: "headers",
        limit: "retry-after and x-should-retry as they were said; JSON is application/json",
        same: `of ${counted(inJson.length, "error")}, as they were said`,
        mend: "Let these headers pass with every error: official clients wait as long as they say.",
      }),
    ];
  },
};

async function tellRefusal(rig: Rig, form: Form, refusal: Refusal): Promise<Told> {
  const asked = await tellForm(rig, form, (attempt, mark) => refuse(attempt, mark, refusal));
  const { status } = refusal;
  return { name: String(status), status, form, asked, refusal, own: ownAnswer(asked) };
}

async function tellPage(rig: Rig, form: Form): Promise<Told> {
  const asked = await tellForm(rig, form, refuseInHtml);
  const own = ownAnswer(asked);
  return { name: "502 of HTML", status: 502, form, asked, refusal: undefined, own };
}

/** What the gateway answers by itself says nothing; that it does not answer is a fault. */
function statusChanges(told: Told): readonly Change[] {
  const { asked, status, own } = told;
  if (own !== undefined && asked.exchange.status > 0) return [];
  const text = statusChange(asked.exchange, status);
  return text === undefined ? [] : [{ told, verdict: "fail", text, evidence: timeline(asked) }];
}

function jsonChange(told: Told): readonly Change[] {
  const { exchange, mark } = told.asked;
  const said = refusalBody(told.refusal!, mark);
  const came = exchange.body.toString();
  // Without the mark, by which the same change of each would be another one.
  const change = bodyChange(said.replaceAll(mark, "…"), came.replaceAll(mark, "…"));
  return change === undefined ? [] : [{ told, ...change, evidence: bodies(said, came) }];
}

function pageChange(told: Told): readonly Change[] {
  const { exchange } = told.asked;
  const came = exchange.body.toString();
  if (came === HTML) return [];
  const isJson = isParsed(came);
  const isMislabelled = !isJson && isJsonType(exchange.field("content-type"));
  return [{
    told,
    verdict: isMislabelled ? "fail" : "note",
    text: isMislabelled
      ? "no JSON, though content-type says so"
      : isJson
      ? "JSON of the gateway's own in its place"
      : "another text in its place",
    evidence: bodies(HTML, came),
  }];
}

function headerChanges(told: Told): readonly Change[] {
  const { exchange } = told.asked;
  const type = exchange.field("content-type");
  return [
    ...fieldChanges(exchange, told.refusal!.fields),
    // Another body is told as such.
    ...(isJsonType(type) || !isParsed(exchange.body.toString())
      ? []
      : [`content-type: ${type ?? "none"}`]),
  ].map((text) => ({
    told,
    verdict: "fail",
    text,
    evidence: [shownBytes(exchange.headText)],
  }));
}

function isParsed(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** True of `application/json` and what is written in it, as `application/problem+json`. */
function isJsonType(type: string | undefined): boolean {
  return /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(type ?? "");
}

function bodies(said: string, came: string): readonly string[] {
  return [`sent ${shownBytes(Buffer.from(said))}`, `got  ${shownBytes(Buffer.from(came))}`];
}

/** What a finding says in any case. `same`: in words, that nothing has changed. */
interface Words {
  readonly part: string;
  readonly limit: string;
  readonly same: string;
  readonly mend: string;
}

/** `own`: what the gateway has answered by itself, which is not judged. */
function summary(own: readonly OwnAnswer[], changes: readonly Change[], words: Words): Finding {
  const { part, limit, same, mend } = words;
  const faults = changes.filter(({ verdict }) => verdict === "fail");
  const shown = faults.length > 0 ? faults : changes;
  const measured = shown.length > 0 ? changesText(shown) : same;
  return finding("errors", {
    part,
    verdict: shown[0]?.verdict === "fail" || own.length === 0
      ? shown[0]?.verdict ?? "pass"
      : "void",
    limit,
    measured: own.length === 0 ? measured : `${measured}; ${own.length} more ${own[0]!.measured}`,
    value: faults.length,
    unit: "errors",
    evidence: shown.flatMap(({ told, evidence }) => [
      `${told.name}, ${FORM_TEXTS[told.form]}:`,
      ...evidence,
    ]),
    mend,
  });
}

const FORM_TEXTS: Readonly<Record<Form, string>> = {
  stream: "to a client that asks for a stream",
  whole: "to a client that asks for no stream",
};

/** "200 instead of 401, 403; 500 …": each text with the errors that it is said of. */
function changesText(changes: readonly Change[]): string {
  const texts = [...new Set(changes.map(({ text }) => text))];
  return texts.map((text) => {
    const those = changes.filter((one) => one.text === text).map(({ told }) => told);
    const names = [...new Set(those.map(({ name }) => name))].join(", ");
    const forms = new Set(those.map(({ form }) => form));
    const [form] = forms;
    return `${names}: ${text}${forms.size > 1 ? "" : ` ${FORM_TEXTS[form!]}`}`;
  }).join("; ");
}
