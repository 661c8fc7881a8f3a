/**
 * What the heads of compared answers say of their bodies, and what their model is called: each told
 * once for all of them.
 *
 * @module
 */

import type { Compared, Tried } from "../comparison.ts";
import type { Finding } from "../finding.ts";
import { counted } from "../../../lib/counted.ts";
import type { ClientExchange } from "../probe_client.ts";
import { finding } from "../rig.ts";

/** Findings on all answers together. */
export function headFindings(tried: readonly Tried[]): readonly Finding[] {
  const answers = tried.flatMap(({ exchange, compared }) =>
    compared === undefined || exchange.status !== 200 ? [] : [{ exchange, ...compared }]
  );
  return [
    encodingFinding(tried.map(({ exchange }) => exchange)),
    typeFinding(answers),
    cacheFinding(answers.filter(({ type }) => type === "text/event-stream")),
    modelFinding(tried.flatMap(({ compared }) => compared ?? [])),
  ];
}

type Answer = Compared & { readonly exchange: ClientExchange };

/** What is encoded is decoded and judged all the same. */
function encodingFinding(exchanges: readonly ClientExchange[]): Finding {
  const encoded = exchanges.filter(({ encoding }) => encoding !== undefined);
  const unasked = encoded.filter(({ isEncodingAsked }) => !isEncodingAsked);
  const told = unasked.length > 0 ? unasked : encoded;
  const lines = told.map(({ encoding }) => `content-encoding: ${encoding}`);
  return finding("bytes", {
    part: "encoding",
    verdict: unasked.length > 0 ? "fail" : "pass",
    limit: "no content-encoding that the client has not asked for",
    measured: told.length === 0
      ? "no answer is encoded"
      : `${lines[0]} that ${unasked.length > 0 ? "nobody" : "the client"} asked for, in ${
        counted(told.length, "answer")
      }`,
    evidence: once(lines),
    mend:
      "Compress for clients that say accept-encoding, and no event streams: each event has to leave at once.",
  });
}

function typeFinding(answers: readonly Answer[]): Finding {
  const lines = answers.flatMap(({ exchange, type }) => {
    const said = exchange.field("content-type");
    return isType(said, type) ? [] : [`content-type: ${said ?? "none"} instead of ${type}`];
  });
  return finding("bytes", {
    part: "content-type",
    verdict: lines.length === 0 ? "pass" : "fail",
    limit: "text/event-stream of streams and application/json of JSON, both in UTF-8",
    measured: lines.length === 0
      ? `of ${counted(answers.length, "answer")} as it was said`
      : `${once(lines).join("; ")}, in ${lines.length} of ${counted(answers.length, "answer")}`,
    evidence: once(lines),
    mend:
      "Pass the upstream's content-type on: browsers and clients refuse what does not say text/event-stream, and read it in the charset that is said.",
  });
}

/** True of "text/event-stream; charset=UTF-8" for that type: with another charset it is another text. */
function isType(said: string | undefined, type: Compared["type"]): boolean {
  const [name, ...parameters] = (said ?? "").toLowerCase().split(";").map((part) => part.trim());
  return name === type && parameters.every((parameter) => {
    const [key, value] = parameter.split("=").map((part) => part.trim());
    return key !== "charset" || /^"?utf-?8"?$/.test(value ?? "");
  });
}

/** Answers to a POST are kept by nobody who is not told to, so that it is no failure. */
function cacheFinding(streams: readonly Answer[]): Finding {
  const lines = streams.flatMap(({ exchange }) => {
    const said = exchange.field("cache-control");
    return /\bno-(?:cache|store)\b/i.test(said ?? "")
      ? []
      : [`cache-control: ${said ?? "none"} instead of no-cache`];
  });
  return finding("bytes", {
    part: "cache-control",
    verdict: lines.length === 0 ? "pass" : "note",
    limit: "streams that are not to be kept still say so",
    measured: lines.length === 0
      ? `of ${counted(streams.length, "stream")} as it was said`
      : `${once(lines).join("; ")}, in ${lines.length} of ${counted(streams.length, "stream")}`,
    evidence: once(lines),
    mend: "Pass the upstream's cache-control on: what stands between may keep an answer otherwise.",
  });
}

function modelFinding(compared: readonly Compared[]): Finding {
  const renamed = compared.flatMap((one) => one.renamed ?? []);
  return finding("bytes", {
    part: "model",
    verdict: renamed.length === 0 ? "pass" : "note",
    limit: "a model that answers under another name is known",
    measured: renamed.length === 0
      ? "the name that the upstream says"
      : `${once(renamed).join("; ")}, in ${counted(renamed.length, "answer")}`,
    evidence: once(renamed),
    mend: "Nothing, where the gateway's configuration says so.",
  });
}

function once(lines: readonly string[]): readonly string[] {
  return [...new Set(lines)];
}
