/**
 * What is kept between requests, put together: one ring for responses, conversations and stored
 * completions.
 *
 * @module
 */

import type { ObjectKind } from "../../core/store.ts";
import type { Turn } from "../../core/turn.ts";
import type { Wheel } from "../../lib/wheel.ts";
import type { Counter } from "../../sources/mock/counter.ts";
import { promptTokens } from "../../sources/prompt_tokens.ts";
import type { Persona } from "../../dialects/openai_chat/write_answer.ts";
import { errorEvent } from "../../dialects/openai/errors.ts";
import { RESPONSE_EDITS } from "../../dialects/openai_responses/fault_edits.ts";
import type { ToldAnswer } from "../kept_answer.ts";
import { chatLayout, readChat } from "./chat_completions.ts";
import { conversationPacking, Conversations, weightOf } from "./conversations.ts";
import { type Keep, ringKeep } from "./keep.ts";
import { type KeptDeps, KeptRows } from "./kept_objects.ts";
import { KeptResponses, responsePacking } from "./kept_responses.ts";
import { type KeptLimits, KeptStore } from "./kept_store.ts";
import { answerPacking } from "./packed_answer.ts";
import { completionPacking, StoredCompletions } from "./stored_completions.ts";
import { type ObjectStore, type Packing, storedKeep } from "./stored_keep.ts";

/** What it needs. */
export interface KeptObjectsDeps extends Omit<KeptDeps, "stream"> {
  readonly isRelaying: boolean;
  readonly persona: Persona;
  readonly validate: "spec" | "live";
  /** The model that is meant where none is named. */
  readonly model: string;
  /** The models that the mock answers for; empty = any. */
  readonly models: readonly string[];
  /** What the mock says. */
  readonly reply: string;
  readonly wheel: Wheel;
  readonly wallMs: () => number;
  readonly tokens: { of(model: string): Counter };
  readonly limits: KeptLimits;
  /** What outlives the process; undefined = nothing does. */
  readonly objects: ObjectStore | undefined;
}

/** Makes them. */
export function keptObjects(deps: KeptObjectsDeps) {
  const { stamps, peers, wheel, wallMs, validate, persona, model, isRelaying, tokens } = deps;
  // What an upstream may have is nothing to make up.
  const makesUp = validate === "spec" && !isRelaying && deps.passed === undefined;
  const madeUpReply = makesUp ? deps.reply : undefined;
  const store = new KeptStore(deps.limits);
  const rows = new KeptRows({ ...deps, stream: { errorEvent, faultEdits: RESPONSE_EDITS } });
  const answers = answerPacking({ wheel, wallMs });
  const { objects } = deps;
  /** A keep of one kind, in the store where there is one. */
  function keepOf<Kept>(
    kind: ObjectKind,
    weigh: (kept: Kept) => number,
    packing: Packing<Kept>,
  ): Keep<Kept> {
    const ring = ringKeep(store.shelf<Kept>(kind), weigh);
    return objects === undefined ? ring : storedKeep(kind, ring, objects, packing);
  }
  const conversations = new Conversations({
    keep: keepOf("conversation", weightOf, conversationPacking(wallMs)),
    rows,
    stamps,
    worker: peers.own,
    validate,
    makesUp,
  });
  const countPrompt = (turn: Turn) => promptTokens(turn, tokens.of(turn.model));
  const responses = new KeptResponses({
    keep: keepOf<ToldAnswer>("response", ({ bytes }) => bytes, responsePacking(answers)),
    rows,
    conversations,
    stamps,
    wheel,
    validate,
    model,
    models: deps.models,
    isRelaying,
    madeUpReply,
    isMocked: (model) => deps.answerer(model, "/responses/compact") === "mock",
    countPrompt,
    countText: (model, text) => tokens.of(model).count(text),
  });
  const completions = new StoredCompletions({
    keep: keepOf("completion", ({ answer }) => answer.bytes, completionPacking(answers)),
    rows,
    wheel,
    wallMs,
    validate,
    model,
    madeUpReply,
    parse: (text) => readChat(text, { persona, validate, isRelaying }),
    layout: (request) => chatLayout(request, persona),
    usageOf: (request, said) => ({
      promptTokens: countPrompt(request),
      completionTokens: tokens.of(request.model).count(said),
    }),
  });
  return { rows, conversations, responses, completions };
}
