/**
 * What the Responses API answers: its events, and the `response` object
 * (docs/facts/openai_api.md "Responses: events").
 *
 * @module
 */

import type { EndReason, Labels, Moderation, Step, Usage } from "../../core/answer.ts";
import type { AnswerWriter } from "../../core/dialect.ts";
import { AppError } from "../../core/errors.ts";
import { labelsKey, type Layout, type StampTexts } from "../../core/frames.ts";
import type { Gathered, GatheredCall, GatheredChoice } from "../../core/gathering.ts";
import { RESPONSE_ID_LENGTHS } from "../../core/stamp.ts";
import { callId } from "../openai_chat/write_answer.ts";
import { encryptedOf, IdMaker } from "./ids.ts";
import {
  CallItem,
  MessageItem,
  padOf,
  ReasoningItem,
  type Writing,
  type WritingItem,
} from "./items.ts";
import { indented, type Moment, ResponseObject } from "./response_object.ts";
import { customToolsOf } from "./tools.ts";
import type { ResponsesRequest } from "./request.ts";

const INCLUDE_LOGPROBS = "message.output_text.logprobs";
const INCLUDE_ENCRYPTED = "reasoning.encrypted_content";

/** What the bytes of an answer depend on, besides what it says. */
export type Answered = Pick<
  ResponsesRequest,
  "model" | "asked" | "include" | "wantsObfuscation" | "wantsReasoning"
>;

/** Lays and speaks answers as events, or in one piece. */
export class ResponsesLayout implements Layout {
  readonly key: string;
  readonly idLengths = RESPONSE_ID_LENGTHS;
  readonly isForOne: boolean;
  readonly #options: WriterOptions;
  readonly #answered: Answered;

  /** `labels`: what the answer says of itself. */
  constructor(answered: Answered, labels?: Labels) {
    const { model, asked, include, wantsObfuscation } = answered;
    const wantsReasoning = answered.wantsReasoning === true || labels?.hasWords === true;
    this.#answered = { model, asked, include, wantsObfuscation, wantsReasoning };
    const isBackground = asked["background"] === true;
    const object = new ResponseObject(model, asked, labels);
    const hasLogprobs = include.includes(INCLUDE_LOGPROBS);
    const hasEncrypted = include.includes(INCLUDE_ENCRYPTED);
    const flags = [wantsObfuscation, wantsReasoning, hasLogprobs, hasEncrypted].map(Number);
    this.key = `openai_responses ${flags.join("")} ${model} ${object.key}${labelsKey(labels)}`;
    this.isForOne = object.isLarge;
    this.#options = {
      object,
      // Streams of background responses have none (docs/facts/openai_api.md "Responses: events").
      hasPad: wantsObfuscation && !isBackground,
      hasWords: wantsReasoning,
      hasLogprobs,
      hasEncrypted,
      customTools: customToolsOf(asked["tools"]),
      isBackground,
      role: labels?.role ?? "assistant",
    };
  }

  labelled(labels: Labels): ResponsesLayout {
    return new ResponsesLayout(this.#answered, labels);
  }

  writer(stamps: StampTexts): AnswerWriter {
    return new ResponseWriter(this.#options, stamps);
  }

  /** What a client is told at once: the answer, or that it will come in the background. */
  whole(said: Gathered, stamps: StampTexts): string {
    return this.#options.isBackground
      ? this.unfinished("queued", stamps)
      : this.answered(said, stamps);
  }

  /** The object while there is no answer. */
  unfinished(status: "queued" | "in_progress" | "cancelled", stamps: StampTexts): string {
    return indented(new ResponseWriter(this.#options, stamps).unfinished(status));
  }

  /** The object with its answer. */
  answered({ choices: [choice], usage }: Gathered, stamps: StampTexts): string {
    const writer = new ResponseWriter(this.#options, stamps);
    for (const step of stepsOf(choice!, usage)) writer.step(step);
    return indented(writer.whole());
  }
}

/** A gathered answer as the steps it was gathered from. */
export function* stepsOf(choice: GatheredChoice, usage: Usage | undefined): Iterable<Step> {
  const { text, reasoning, refusal, signature, calls, parts, citations, logprobs } = choice;
  const { reason, moderation } = choice;
  const hasReasoned = reasoning !== "" || signature !== undefined ||
    (usage?.reasoningTokens ?? 0) > 0;
  if (hasReasoned) yield { kind: "delta", choice: 0, block: "reasoning", text: reasoning };
  if (signature !== undefined) yield { kind: "signature", choice: 0, text: signature };
  const told = logprobs === undefined ? {} : { logprobs };
  if (parts !== undefined) {
    for (const part of parts) {
      if (part.kind === "call") yield* callSteps(calls[part.index]!, part.index);
      else yield { kind: "delta", choice: 0, block: "text", text: part.text };
    }
  } else if (text !== "") yield { kind: "delta", choice: 0, block: "text", text, ...told };
  for (const citation of citations) yield { kind: "citation", choice: 0, citation };
  if (refusal !== "") yield { kind: "delta", choice: 0, block: "refusal", text: refusal, ...told };
  if (parts === undefined) {
    for (const [index, call] of calls.entries()) yield* callSteps(call, index);
  }
  if (moderation !== undefined) yield { kind: "moderation", choice: 0, moderation };
  yield { kind: "end", choice: 0, reason };
  if (usage !== undefined) yield { kind: "usage", usage };
}

function* callSteps(call: GatheredCall, index: number): Iterable<Step> {
  const { id, name, tool } = call;
  yield { kind: "call", choice: 0, index, id, name, ...(tool === undefined ? {} : { tool }) };
  yield { kind: "arguments", choice: 0, index, text: call.arguments };
}

interface WriterOptions {
  readonly object: ResponseObject;
  readonly hasPad: boolean;
  /** True: reasoning is told in words. */
  readonly hasWords: boolean;
  readonly hasLogprobs: boolean;
  readonly hasEncrypted: boolean;
  /** True: it waits in a line before it is answered. */
  readonly isBackground: boolean;
  /** Tools that take text, and that an upstream may know as functions of one parameter. */
  readonly customTools: ReadonlySet<string>;
  /** Of messages. */
  readonly role: string;
}

/** Clients want numbers, whether or not an upstream has told any. */
const NO_USAGE: Usage = { promptTokens: 0, completionTokens: 0 };

/** Writes one answer, item by item. */
class ResponseWriter implements AnswerWriter, Writing {
  readonly #options: WriterOptions;
  readonly #created: string;
  readonly #callStamp: string;
  readonly ids: IdMaker;
  #sequence = 0;
  /** The item that is being said, unless it is a call. */
  #item: MessageItem | ReasoningItem | undefined = undefined;
  /** Calls by their index, and those of them that go on. */
  readonly #calls = new Map<number, CallItem>();
  readonly #openCalls = new Set<CallItem>();
  /** Finished items by their place. */
  readonly #output: string[] = [];
  #itemCount = 0;
  /** True once there is more than thoughts. */
  #hasSpoken = false;
  #reason: EndReason = "stop";
  #usage: Usage = NO_USAGE;
  #moderation: Moderation | undefined = undefined;

  constructor(options: WriterOptions, [created, head, tail, calls]: StampTexts) {
    this.#options = options;
    this.#created = created;
    this.#callStamp = calls!;
    this.ids = new IdMaker(head!, tail!);
  }

  get hasPhase(): boolean {
    return this.#options.object.family.hasPhase;
  }

  get role(): string {
    return this.#options.role;
  }

  /** Of an item: one more event. `before` and `after` are its fields around `sequence_number`. */
  event(type: string, before: string, after = ""): string {
    return `event: ${type}\ndata: {"type":"${type}",${before}"sequence_number":${this
      .#sequence++}${after}}\n\n`;
  }

  /** Of an item: the pad of a delta, as a field. */
  pad(text: string): string {
    return this.#options.hasPad ? `"obfuscation":"${padOf(text)}",` : "";
  }

  /** Nothing, when it has begun. */
  open(): string {
    if (this.#sequence > 0) return "";
    const object = this.#object({ status: "in_progress" });
    if (this.#options.isBackground) {
      const queued = this.#object({ status: "queued" });
      return this.event("response.created", `"response":${queued},`) +
        this.event("response.queued", `"response":${queued},`) +
        this.event("response.in_progress", `"response":${object},`);
    }
    return this.event("response.created", `"response":${object},`) +
      this.event("response.in_progress", `"response":${object},`);
  }

  step(step: Step): string {
    return this.open() + this.#say(step);
  }

  close(): string {
    const { status } = this.#end;
    return `${this.open()}${
      this.event(`response.${status}`, `"response":${this.#object(this.#end)},`)
    }`;
  }

  /** The answer in one piece. */
  whole(): string {
    return this.#object({ ...this.#end, isWhole: true });
  }

  /** The object while there is no answer. */
  unfinished(status: "queued" | "in_progress" | "cancelled"): string {
    return this.#object({ status, isWhole: true });
  }

  #object(moment: Pick<Moment, "status" | "incomplete" | "isWhole">): string {
    return this.#options.object.text({
      ...moment,
      id: this.ids.of("resp", 0),
      created: this.#created,
      output: this.#output,
      usage: this.#usage,
      moderation: this.#moderation,
    });
  }

  get #end(): Pick<Moment, "status" | "incomplete"> {
    if (this.#reason === "length") return { status: "incomplete", incomplete: "max_output_tokens" };
    if (this.#reason === "content_filter") {
      return { status: "incomplete", incomplete: "content_filter" };
    }
    return { status: "completed" };
  }

  #say(step: Step): string {
    switch (step.kind) {
      case "delta":
        if (step.block === "reasoning") return this.#reasoning(step.text);
        return this.#message((item) =>
          item.delta(
            step.block === "refusal" ? "refusal" : "output_text",
            step.text,
            this.#options.hasLogprobs ? step.logprobs : undefined,
          )
        );
      case "signature": {
        if (!(this.#item instanceof ReasoningItem)) return this.#reasoning("") + this.#say(step);
        this.#item.sign(step.text);
        return "";
      }
      case "citation":
        return this.#message((item) => item.cite(step.citation));
      case "call":
        return this.#call(step);
      case "arguments":
        return this.#arguments(step.index, step.text);
      case "end":
        return this.#finish(step.reason);
      case "usage":
        this.#usage = step.usage;
        return "";
      case "moderation":
        this.#moderation = step.moderation;
        return ""; // the last event tells it
      case "audio":
      case "redacted":
        return ""; // the API has no sound, and other secrets
    }
  }

  #reasoning(text: string): string {
    const { hasWords, hasEncrypted } = this.#options;
    let events = "";
    if (!(this.#item instanceof ReasoningItem)) {
      events = this.#closeAll();
      const made = hasEncrypted ? encryptedOf(this.#callStamp) : undefined;
      const item = new ReasoningItem(this, this.#itemCount++, made);
      this.#item = item;
      events += item.open();
    }
    return hasWords && text !== "" ? events + (this.#item as ReasoningItem).delta(text) : events;
  }

  #message(say: (item: MessageItem) => string): string {
    if (this.#item instanceof MessageItem) return say(this.#item);
    const events = this.#closeAll();
    this.#hasSpoken = true;
    const item = new MessageItem(this, this.#itemCount++);
    this.#item = item;
    return events + item.open() + say(item);
  }

  #call({ index, id, name, tool }: Extract<Step, { kind: "call" }>): string {
    // Calls that go on may go on beside this one.
    const events = this.#closeItem("completed", "commentary") + this.#closeWholeCalls();
    this.#hasSpoken = true;
    const isWrapped = tool !== "custom" && this.#options.customTools.has(name);
    const item = new CallItem(this, this.#itemCount++, {
      id: id || callId(this.#callStamp, 0, index),
      name,
      kind: tool === "custom" || isWrapped ? "custom_tool_call" : "function_call",
      isWrapped,
    });
    this.#calls.set(index, item);
    this.#openCalls.add(item);
    return events + item.open();
  }

  #arguments(index: number, text: string): string {
    const item = this.#calls.get(index);
    if (item === undefined || text === "") return "";
    if (!this.#openCalls.has(item)) {
      throw new AppError("upstream_broken", "The upstream went on with a call that was finished");
    }
    return item.delta(text);
  }

  #finish(reason: EndReason): string {
    this.#reason = reason;
    const isEmpty = reason === "stop" && !this.#hasSpoken;
    const events = isEmpty ? this.#message((item) => item.delta("output_text", "")) : "";
    const isWhole = reason !== "length" && reason !== "content_filter";
    return events + this.#closeAll(isWhole ? "completed" : "incomplete");
  }

  #closeAll(status: "completed" | "incomplete" = "completed"): string {
    let events = this.#closeItem(status, "final_answer");
    for (const item of this.#openCalls) events += this.#closed(item, status);
    this.#openCalls.clear();
    return events;
  }

  #closeItem(status: "completed" | "incomplete", phase: "commentary" | "final_answer"): string {
    const item = this.#item;
    if (item === undefined) return "";
    this.#item = undefined;
    if (item instanceof MessageItem) item.phase = phase;
    return this.#closed(item, status);
  }

  #closeWholeCalls(): string {
    let events = "";
    for (const item of this.#openCalls) {
      if (!item.isWhole) continue;
      this.#openCalls.delete(item);
      events += this.#closed(item, "completed");
    }
    return events;
  }

  #closed(item: WritingItem, status: "completed" | "incomplete"): string {
    const events = item.close(status);
    this.#output[item.index] = item.json;
    return events;
  }
}
