/**
 * Whether the client gets the bytes that the upstream has written, under every shape that events may
 * have and wherever its writes end.
 *
 * @module
 */

import { judged, LIMIT, type Tried } from "../comparison.ts";
import type { Finding } from "../finding.ts";
import { counted } from "../../../lib/counted.ts";
import { ownAnswer, tellWithRoom } from "../own_answer.ts";
import { type Check, finding, type Rig, Unended } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import {
  chunk,
  chunkJson,
  DONE,
  event,
  finishEvent,
  LAST_CHUNK,
  roleEvent,
  streamHead,
  textEvent,
} from "../stream.ts";
import { headFindings } from "./bytes_heads.ts";
import { otherPaths, wholeAnswers } from "./bytes_others.ts";
import { PIECES, type Shape } from "./bytes_pieces.ts";

/** Pause between the writes of a `split`. */
const SPLIT_PAUSE_MS = 4;

/** What is no end of a line here, and what looks the same in other bytes: NFC, NFD, joined and alone. */
const ODD_TEXT =
  "\u2028 \u2029 \u0085 \ufeff é e\u0301 \u212b ﬁ 😀 👩\u200d👩\u200d👧 ✈\ufe0f \u200b \u00a0 漢字";

const SHAPES: readonly Shape[] = [
  { name: "plain", body: (mark) => frame(mark, (i) => textEvent(mark, i), 20) },
  { name: "many", body: (mark) => frame(mark, (i) => textEvent(mark, i), 3000) },
  {
    name: "unicode",
    body: (mark) => frame(mark, (i) => said(mark, i, ODD_TEXT), 6),
  },
  {
    name: "split",
    body: (mark) => frame(mark, (i) => said(mark, i, "é😀漢").replaceAll("\n", "\r\n"), 6),
    cuts: splits,
  },
  {
    name: "numbers",
    body: (mark) =>
      frame(mark, (i) =>
        said(mark, i, "n").replace(
          '"created":1790000000',
          '"created":1790000000,"seed":12345678901234567890,"logprob":-0.10000000000000000555,"zero":1.0,"big":1e400',
        ), 4),
  },
  {
    name: "unknown-fields",
    body: (mark) =>
      frame(mark, (i) =>
        event(
          chunkJson(mark, {
            delta: { content: `${mark}.${i}`, x_weir_delta: { deep: [null, true, { a: 1 }] } },
            more: { x_weir_audit: ["kept", { "ключ": 1 }], system_fingerprint: null },
          }),
        ), 4),
  },
  {
    name: "spelling",
    body: (mark) =>
      frame(
        mark,
        (i) =>
          `data: { "object" : "chat.completion.chunk", "id":"chatcmpl-${mark}",  "choices":[ {"index":0, "delta":{"content":"${mark}.${i} \\u00e9\\/ "},"finish_reason":null} ], "created":1790000000, "model":"audit" }\n\n`,
        4,
      ),
  },
  {
    name: "crlf",
    body: (mark) => frame(mark, (i) => textEvent(mark, i), 6).replaceAll("\n", "\r\n"),
  },
  { name: "cr", body: (mark) => frame(mark, (i) => textEvent(mark, i), 6).replaceAll("\n", "\r") },
  { name: "bom", body: (mark) => `\ufeff${frame(mark, (i) => textEvent(mark, i), 4)}` },
  {
    name: "comments",
    body: (mark) => frame(mark, (i) => `: comment ${i}\n\n:\n${textEvent(mark, i)}`, 6),
  },
  {
    name: "fields",
    body: (mark) =>
      frame(
        mark,
        (i) => `event: message\nid: ${mark}-${i}\nretry: 3000\nx-unknown: 1\n${textEvent(mark, i)}`,
        4,
      ),
  },
  {
    name: "data-lines",
    body: (mark) =>
      frame(mark, (i) => textEvent(mark, i).replace(',"choices"', ',\ndata: "choices"'), 4),
  },
  {
    name: "no-blank",
    body: (mark) => frame(mark, (i) => textEvent(mark, i).replace("data: ", "data:"), 4),
  },
  { name: "no-last-line", body: (mark) => frame(mark, (i) => textEvent(mark, i), 3).slice(0, -1) },
  {
    name: "large-event",
    body: (mark) => frame(mark, (i) => said(mark, i, "w".repeat(300_000)), 2),
  },
  ...PIECES,
];

/** Every shape. */
export const byteIntegrity: Check = {
  name: "bytes",
  title: "Are the bytes that arrive those that were written?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const findings: Tried[] = [];
    const told = () => [...headFindings(findings), ...toldOnce(findings.map((one) => one.finding))];
    try {
      for (const shape of SHAPES) findings.push(await tryShape(rig, shape));
      findings.push(...await wholeAnswers(rig), ...await otherPaths(rig));
    } catch (error) {
      throw error instanceof Unended ? error.keep(told()) : error;
    }
    return told();
  },
};

/** Failures, and what is void, that say the same of several shapes are one, the first, with the names of the others. */
function toldOnce(findings: readonly Finding[]): readonly Finding[] {
  const failures = Map.groupBy(
    findings.filter(isTogether),
    ({ measured }) => measured.replace(/wa-[0-9a-f]+|\d+/g, "#"),
  );
  const others = new Map([...failures.values()].map(([first, ...rest]) => [first, rest]));
  return findings.flatMap((one) => {
    if (!isTogether(one)) return [one];
    const rest = others.get(one);
    if (rest === undefined) return [];
    if (rest.length === 0) return [one];
    const names = rest.map(({ name }) => name.replace(/^.*\//, "")).join(", ");
    const text = `the same of ${counted(rest.length, "other shape")}: ${names}`;
    return [{ ...one, measured: `${one.measured}; ${text}` }];
  });
}

function isTogether({ verdict }: Finding): boolean {
  return verdict === "fail" || verdict === "void";
}

async function tryShape(rig: Rig, shape: Shape): Promise<Tried> {
  let sent = Buffer.alloc(0);
  const asked = await tellWithRoom(rig, async (attempt: Attempt, mark: string) => {
    sent = Buffer.from(shape.body(mark));
    attempt.write(streamHead());
    let from = 0;
    for (const cut of [...(shape.cuts?.(sent) ?? []), sent.length]) {
      attempt.write(chunk(sent.subarray(from, cut)));
      from = cut;
      if (cut < sent.length) await attempt.pause(SPLIT_PAUSE_MS);
    }
    attempt.write(LAST_CHUNK);
  }, { body: (mark) => JSON.stringify({ ...JSON.parse(rig.chatBody(mark)), ...shape.asks }) });
  const { exchange } = asked;
  const own = ownAnswer(asked);
  if (shape.asks === undefined || own?.kind !== "refused") return judged(shape.name, asked, sent);
  return {
    exchange,
    finding: finding("bytes", {
      part: shape.name,
      verdict: "note",
      limit: LIMIT,
      measured: `not tried: the gateway refuses ${
        Object.keys(shape.asks).join(", ")
      } with ${exchange.status}`,
      mend: own.mend,
    }),
  };
}

/** Role, `count` events of `text`, finish, end mark. */
function frame(mark: string, text: (sequence: number) => string, count: number): string {
  const texts = Array.from({ length: count }, (_, i) => text(i + 1));
  return roleEvent(mark) + texts.join("") + finishEvent(mark) + DONE;
}

function said(mark: string, sequence: number, text: string): string {
  return event(chunkJson(mark, { delta: { content: `${mark}.${sequence} ${text}` } }));
}

/** Inside every character of several bytes, inside `data:`, and between CR and LF. */
function splits(body: Buffer): readonly number[] {
  const cuts: number[] = [];
  for (let i = 1; i < body.length; i++) {
    const isInside = (body[i]! & 0xc0) === 0x80;
    const isInCrLf = body[i - 1] === 0x0d && body[i] === 0x0a;
    const isInField = body.subarray(i - 2, i + 3).equals(Buffer.from("data:"));
    if (isInside || isInCrLf || isInField) cuts.push(i);
  }
  return cuts;
}
