/**
 * Reads a streamed chat completion.
 *
 * @module
 */

import { eventBatches } from "./event_reader.ts";
import { messageOf, ReadableError } from "./readable_error.ts";

/** What one piece of the stream said. */
export interface ChatPiece {
  /** The text to append. */
  readonly text: string;
  /** How many deltas it is made of. */
  readonly deltas: number;
  readonly finishReason: string | null;
  readonly usage: { readonly tokensIn: number; readonly tokensOut: number } | null;
}

/** The part of a chunk that this page reads. */
interface Chunk {
  readonly error?: unknown;
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null; readonly refusal?: string | null };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
}

/**
 * The pieces of `body` as they come.
 *
 * @throws {ReadableError} the stream carries an error.
 * @throws {TypeError} it ends without its mark: what came is not the whole answer.
 */
export async function* chatPieces(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<ChatPiece> {
  for await (const batch of eventBatches(body)) {
    const end = batch.indexOf("[DONE]");
    yield pieceOf(end < 0 ? batch : batch.slice(0, end));
    if (end >= 0) return;
  }
  throw new TypeError("the stream ended without [DONE]");
}

function pieceOf(batch: readonly string[]): ChatPiece {
  let text = "";
  let deltas = 0;
  let finishReason: string | null = null;
  let usage: ChatPiece["usage"] = null;
  for (const data of batch) {
    const chunk = JSON.parse(data) as Chunk;
    if (chunk.error !== undefined) throw new ReadableError(messageOf(data) ?? data);
    const [choice] = chunk.choices ?? [];
    const said = choice?.delta?.content ?? choice?.delta?.refusal ?? "";
    if (said !== "") {
      text += said;
      deltas++;
    }
    finishReason = choice?.finish_reason ?? finishReason;
    if (chunk.usage) {
      usage = { tokensIn: chunk.usage.prompt_tokens, tokensOut: chunk.usage.completion_tokens };
    }
  }
  return { text, deltas, finishReason, usage };
}
