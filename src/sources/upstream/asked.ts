/**
 * What an upstream is asked: the client's own request where it speaks the same dialect, else one
 * that is written for the turn.
 *
 * @module
 */

import type { Ask, DialectName, Wire } from "../../core/answer.ts";
import type { UpstreamDialect } from "../../core/dialect.ts";
import { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";
import type { Turn } from "../../core/turn.ts";
import type { Upload } from "../../core/upload.ts";
import { withModel } from "../../dialects/openai_chat/peek_model.ts";
import { Fields } from "../../lib/http1/fields.ts";
import type { Speaks } from "./speaks.ts";
import type { StreamOptions } from "./stream_options.ts";

/** A request for an upstream, before it has the headers that are weir's own. */
export interface Asked {
  readonly dialect: DialectName;
  readonly method: string;
  /** Below the base URL, with the query: "/chat/completions". */
  readonly path: string;
  /** The client's, or what weir says when it asks by itself. */
  readonly fields: Fields;
  readonly body: Uint8Array<ArrayBuffer> | null;
  /** In place of `body`: one that still comes. */
  readonly upload: Upload | undefined;
  /** True: it is the client's own request. */
  readonly isOwn: boolean;
}

/** Writes what one upstream is asked. */
export class AskWriter {
  readonly #modelId: string;
  readonly #speaks: Speaks;
  readonly #streamOptions: StreamOptions;

  /** `modelId`: the model when a request names none; "" = none. */
  constructor(modelId: string, speaks: Speaks, streamOptions: StreamOptions) {
    this.#modelId = modelId;
    this.#speaks = speaks;
    this.#streamOptions = streamOptions;
  }

  /** @throws {AppError} when it cannot be asked so. */
  of(ask: Ask, call: Call): Asked {
    const wire = this.#speaks.has(ask.wire?.dialect) ? ask.wire : undefined;
    // What is passed without being read is passed as it is.
    const model = wire?.dialect === "openai" ? "" : this.#modelId;
    if (wire?.body !== null) call.model ||= model;
    const { dialect, method, path, fields, body, upload } = wire ?? this.#wireOf(ask, call);
    return {
      dialect,
      method,
      path,
      fields,
      body: upload === undefined ? withModel(body, model) : null,
      upload,
      isOwn: wire !== undefined,
    };
  }

  /** A request for a turn that came in another dialect. */
  #wireOf(ask: Ask, call: Call): Wire {
    const { asked } = this.#speaks;
    if (asked === undefined) throw new TypeError("Cannot ask this upstream for a turn");
    const turn = ask.turn();
    if (turn.prompts !== undefined) checkCompletion(turn);
    const modelId = this.#modelId;
    const model = turn.isDefaultModel ? modelId || turn.model : turn.model || modelId;
    call.model = model;
    return {
      dialect: asked.name,
      method: "POST",
      path: asked.path,
      fields: TURN_FIELDS,
      body: new TextEncoder().encode(this.#written(asked, { ...turn, model })),
    };
  }

  /** The body that asks for `turn`. What cannot be asked is refused by the name that its client has for it. */
  #written(asked: UpstreamDialect, turn: Turn): string {
    try {
      return asked.writeRequest(turn, this.#streamOptions.areSent);
    } catch (error) {
      const own = error instanceof AppError ? turn.spelled?.[error.param ?? ""] : undefined;
      if (!(error instanceof AppError) || own === undefined) throw error;
      const message = error.message.replaceAll(`'${error.param}'`, `'${own}'`);
      throw new AppError(error.code, message, { param: own });
    }
  }
}

/** @throws {AppError} when no conversation can stand for a request of completions. */
function checkCompletion({ prompts, params }: Turn): void {
  const what = prompts!.length > 1
    ? "several prompts at once: send one request for each"
    : params["suffix"] !== undefined
    ? "a suffix: leave it out"
    : undefined;
  if (what === undefined) return;
  throw new AppError(
    "request_invalid",
    `The upstream has no /completions, and its conversations cannot take ${what}`,
    { param: prompts!.length > 1 ? "prompt" : "suffix" },
  );
}

/** What weir says when it asks by itself. */
const TURN_FIELDS = Fields.of([
  ["content-type", "application/json"],
  ["accept", "text/event-stream, application/json"],
  ["user-agent", "weir"],
]);
