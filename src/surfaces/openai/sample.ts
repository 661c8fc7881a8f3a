/**
 * What stands for an object that nobody has made, where the mock plays OpenAI's document
 * (`mock.validate: spec`, docs/mock.md): it is made of its id alone, so that every worker makes the
 * same, and none keeps it.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Script, Usage } from "../../core/answer.ts";
import type { StampTexts } from "../../core/frames.ts";
import { Gathering } from "../../core/gathering.ts";
import { type KeptItem, keptItem } from "../../dialects/openai_responses/kept_items.ts";
import type { ToldAnswer } from "../kept_answer.ts";
import type { Told } from "./kept_objects.ts";

/** When it was made, in seconds since 1970: at the beginning of 2025. */
export const SAMPLE_CREATED_S = 1_735_689_600;

/** What its user has said. */
export const SAMPLE_PROMPT = "Hello";

/** `count` hexadecimal digits that only `id` decides. Up to 128 of them. */
export function sampleDigits(id: string, count: number): string {
  return createHash("sha512").update(id).digest("hex").slice(0, count);
}

/** The item `id`: what the user has said. */
export function sampleItem(id: string): KeptItem {
  return keptItem({ role: "user", content: SAMPLE_PROMPT, id }, () => id);
}

/** What a made-up answer is. */
export interface Sample {
  /** Of its ids, which its own decides. */
  readonly idLengths: readonly number[];
  /** The request's body. */
  readonly body: unknown;
  readonly reply: string;
  /** undefined = whoever tells of it counts. */
  readonly usage?: Usage;
}

/** The answer `id`. */
export function sampleAnswer(
  id: string,
  { idLengths, body, reply, usage }: Sample,
): ToldAnswer {
  const script: Script = {
    name: "sample",
    steps: [
      { kind: "delta", choice: 0, block: "text", text: reply, afterMs: 0 },
      { kind: "end", choice: 0, reason: "stop", afterMs: 0 },
    ],
  };
  const said = new Gathering();
  for (const step of script.steps) said.add(step);
  const digits = sampleDigits(id, 128);
  let at = 0;
  const ids = idLengths.map((length) => digits.slice(at, at += length));
  const stamps: StampTexts = [String(SAMPLE_CREATED_S), ...ids];
  return {
    text: JSON.stringify(body),
    startMs: 0,
    totalMs: 0,
    stamps,
    labels: undefined,
    usage,
    script,
    said: { choices: said.choices, usage },
    cancelledMs: undefined,
    bytes: 0,
  };
}

/** `told` of `id`, where it tells of `made`. */
export function renamed(told: Told, made: string, id: string): Told {
  const escaped = JSON.stringify(id).slice(1, -1);
  const rename = (text: string) => text.replaceAll(made, () => escaped);
  return "json" in told
    ? { json: rename(told.json) }
    : { events: told.events.map(({ text, dueMs }) => ({ text: rename(text), dueMs })) };
}
