/**
 * How `/v1/response` says an answer and keeps it: a script or a live one, streamed or in one piece.
 *
 * @module
 */

import type { Answer, Script } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import type { Engine, Exchange } from "../../core/exchange.ts";
import { encodeScript, type Frames } from "../../core/frames.ts";
import { reply } from "../../core/reply.ts";
import type { Keeper, RecordLateness, Voice } from "../../core/voice.ts";
import { speak } from "../../core/speak.ts";
import type { Stamps } from "../../core/stamp.ts";
import {
  contentEnvelope,
  EnvelopeDialect,
  envelopeResponse,
} from "../../dialects/envelope/envelope.ts";

/** What becomes of one answer besides being said. */
export interface Saving {
  /** Keeps the turn whose answer is `text`. */
  readonly keep: (text: string, isPartial: boolean) => Promise<void>;
  /** Called once the turn is kept, or will never be. */
  readonly finish: () => void;
}

/** What saying needs. */
export interface SpeechDeps {
  readonly engine: Engine;
  readonly stamps: Stamps;
  readonly recordLateness: RecordLateness;
  /** drain: an answer whose client left is finished and kept whole; cancel: what was sent is kept. */
  readonly onDisconnect: "drain" | "cancel";
}

type Live = Extract<Answer, { kind: "live" }>;

/** A script in this dialect, and its texts. */
interface Lines {
  readonly frames: Frames;
  /** One per frame but the last. */
  readonly texts: readonly string[];
  readonly text: string;
}

/** Says answers. One for the surface. */
export class Speech {
  readonly #engine: Engine;
  readonly #isDraining: boolean;
  readonly #dialect = new EnvelopeDialect();
  readonly #headers = new Headers({
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "connection": "keep-alive",
    "x-accel-buffering": "no",
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "Cache-Control",
  });
  readonly #voice: Voice;
  readonly #lines = new WeakMap<Script, Lines>();

  constructor({ engine, stamps, recordLateness, onDisconnect }: SpeechDeps) {
    this.#engine = engine;
    this.#isDraining = onDisconnect === "drain";
    this.#voice = {
      stamps,
      headers: () => this.#headers,
      errorEvent: (error) => this.#dialect.error(error),
      recordLateness,
    };
  }

  /** Streams a script; its end mark waits until the turn is kept. */
  stream(
    script: Script,
    exchange: Exchange,
    { keep, finish }: Saving,
  ): Response | Promise<Response> {
    const { frames, texts, text } = this.#linesOf(script);
    const keeper: Keeper = {
      whole: () => keep(text, false).finally(finish),
      cut: (frameCount) => {
        if (exchange.outcome !== "client_left") return finish();
        const said = this.#isDraining ? text : texts.slice(0, frameCount).join("");
        if (said === "") return finish();
        this.#settle(keep(said, !this.#isDraining), exchange, finish);
      },
    };
    return reply(frames, exchange, this.#voice, keeper);
  }

  /** A script in one piece, not before its last word would have left. */
  async whole(script: Script, exchange: Exchange, { keep, finish }: Saving): Promise<Response> {
    const { frames, text } = this.#linesOf(script);
    const totalMs = frames.dueMs.at(-1)!;
    if (totalMs > 0) {
      const signal = this.#isDraining ? undefined : exchange.signal;
      const isTime = await this.#engine.wheel.until(exchange.startMs + totalMs, signal);
      // Nothing was sent to a client that left before its one answer, so nothing is kept of it.
      if (!isTime) {
        finish();
        return this.#oneAnswer(text, exchange);
      }
    }
    await keep(text, false).finally(finish);
    return this.#oneAnswer(text, exchange);
  }

  /** Streams what the model says while it says it; the end mark waits until the turn is kept. */
  streamLive(live: Live, exchange: Exchange, { keep, finish }: Saving): Promise<Response> {
    let isOver = false;
    const onEnd = async (text: string, isWhole: boolean) => {
      if (isOver) return;
      isOver = true;
      try {
        const isPart = !isWhole && exchange.outcome === "client_left" && text !== "";
        if (isWhole || isPart) await keep(text, !isWhole);
      } finally {
        finish();
      }
    };
    return speak(live.steps, {
      exchange,
      dialect: this.#dialect,
      headers: this.#headers,
      isDraining: this.#isDraining,
      abort: () => {}, // the source itself hears of the leaving
      onEnd,
    });
  }

  /** What the model says, in one piece. */
  async wholeLive(live: Live, exchange: Exchange, { keep, finish }: Saving): Promise<Response> {
    let text = "";
    for await (const step of live.steps) if (step.kind === "text") text += step.text;
    await keep(text, false).finally(finish);
    return this.#oneAnswer(text, exchange);
  }

  /** An answer that was kept before. */
  again(text: string, exchange: Exchange): Response | Promise<Response> {
    if (!exchange.isStream) return this.#oneAnswer(text, exchange);
    const script: Script = {
      name: "kept",
      steps: [{ kind: "text", text, afterMs: 0 }, { kind: "end", reason: "stop", afterMs: 0 }],
    };
    return reply(this.#linesOf(script).frames, exchange, this.#voice);
  }

  /** A stream that failed before it began: its one event (facts 000.4). */
  failed(error: AppError): Response {
    return new Response(this.#dialect.error(error), { headers: this.#headers });
  }

  #oneAnswer(text: string, exchange: Exchange): Response {
    const body = contentEnvelope(text);
    exchange.complete(200, Buffer.byteLength(body) + 1);
    return envelopeResponse(body);
  }

  /** The frames of a script, encoded once. */
  #linesOf(script: Script): Lines {
    const known = this.#lines.get(script);
    if (known !== undefined) return known;
    const texts = script.steps.flatMap((step) =>
      step.kind === "text" && step.text !== "" ? [step.text] : []
    );
    const frames = encodeScript(script, this.#dialect);
    const made = { frames, texts, text: texts.join("") };
    this.#lines.set(script, made);
    return made;
  }

  /** Waits for a save that nobody else waits for. A full disk has told of itself. */
  #settle(saved: Promise<void>, { surface }: Exchange, finish: () => void): void {
    saved.then(finish, (error) => {
      finish();
      if (error instanceof AppError) return;
      this.#engine.watch({ kind: "bug", where: surface, error });
    });
  }
}
