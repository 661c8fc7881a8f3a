/**
 * What is kept between requests, put together: one ring for responses, conversations and stored
 * completions.
 *
 * @module
 */

import type { Turn } from "../../core/turn.ts";

import type { Wheel } from "../../lib/wheel.ts";
import type { Counter } from "../../sources/mock/counter.ts";
import { promptTokens } from "../../sources/prompt_tokens.ts";
import type { Persona } from "../../dialects/openai_chat/write_answer.ts";
import { errorEvent } from "../../dialects/openai/errors.ts";
import { RESPONSE_EDITS } from "../../dialects/openai_responses/fault_edits.ts";
import { chatLayout, readChat } from "./chat_completions.ts";
import { Conversations } from "./conversations.ts";
import { type KeptDeps, KeptRows } from "./kept_objects.ts";
import { KeptResponses } from "./kept_responses.ts";
import { type KeptLimits, KeptStore } from "./kept_store.ts";
import { StoredCompletions } from "./stored_completions.ts";

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
}

/** Makes them. */
export function keptObjects(deps: KeptObjectsDeps) {
  const { stamps, peers, wheel, wallMs, validate, persona, model, isRelaying, tokens } = deps;
  // What an upstream may have is nothing to make up.
  const makesUp = validate === "spec" && !isRelaying && deps.passed === undefined;
  const madeUpReply = makesUp ? deps.reply : undefined;
  const store = new KeptStore(deps.limits);
  const rows = new KeptRows({ ...deps, stream: { errorEvent, faultEdits: RESPONSE_EDITS } });
  const conversations = new Conversations({
    shelf: store.shelf("conversation"),
    rows,
    stamps,
    worker: peers.own,
    validate,
    makesUp,
  });
  const countPrompt = (turn: Turn) => promptTokens(turn, tokens.of(turn.model));
  const responses = new KeptResponses({
    shelf: store.shelf("response"),
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
    shelf: store.shelf("completion"),
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
