/**
 * Tapes in the place of an upstream: what was recorded answers, and what was not is asked for,
 * recorded or refused, as the mode says.
 *
 * @module
 */

import type { Ask, Relay } from "../../core/answer.ts";
import { replays, type TapeMode } from "../../config/tape_rules.ts";
import { AppError } from "../../core/errors.ts";
import type { Event } from "../../core/events.ts";
import type { Call } from "../../core/exchange.ts";
import { checkStatus } from "../../core/relay.ts";
import { noteUsage, type UsageMeter } from "../../core/usage.ts";
import type { Asked, AskWriter } from "../upstream/asked.ts";
import type { RelayReceiver } from "../upstream/attempt.ts";
import { decoded } from "../upstream/decoded.ts";
import { redirectError } from "../upstream/redirect.ts";
import type { EagerSource, Upstream } from "../upstream/upstream.ts";
import { freshFields } from "./fresh_ids.ts";
import type { LaidTape } from "./laid.ts";
import { dueMs, errorOfTape, isAtOnce, type PlayOptions, TimedTape, WholeTape } from "./play.ts";
import type { Recorder, TapePlace } from "./recorder.ts";
import type { Seeker, TapeShelf } from "./shelf.ts";

/** What is done with tapes at all. */
export type UsedMode = Exclude<TapeMode, "off">;

/** What it needs. */
export interface TapeDeps {
  readonly mode: UsedMode;
  /** The name of the upstream. */
  readonly name: string;
  /** The setting that says where the upstream is: "llm.base_url". */
  readonly urlKey: string;
  /** Writes what the upstream would be asked. */
  readonly asks: AskWriter;
  /** Absent: there is none, and only tapes answer. */
  readonly upstream?: Upstream | undefined;
  readonly place: TapePlace;
  readonly shelf: TapeShelf;
  readonly recorder: Recorder;
  /** `tape.fresh_ids` */
  readonly isFresh: boolean;
  readonly play: PlayOptions;
}

const REPLAYED: Event = { kind: "tape_replayed" };
const MISSED: Event = { kind: "tape_missed" };

/** A source that plays and records tapes of one upstream. */
export function tape(deps: TapeDeps): EagerSource {
  return new TapeSource(deps);
}

class TapeSource implements EagerSource {
  readonly name = "proxy";
  readonly #deps: TapeDeps;
  readonly #replays: boolean;
  readonly #seeker: Seeker;
  /** Answers that are due at once, by their tapes. */
  readonly #wholes = new WeakMap<LaidTape, WholeTape>();
  #lastWhole: WholeTape | undefined;

  constructor(deps: TapeDeps) {
    this.#deps = deps;
    const { mode, name, upstream } = deps;
    this.#replays = replays(mode);
    this.#seeker = { upstream: name, wantsWhole: mode === "auto" && upstream !== undefined };
  }

  /** Rejects with an `AppError` when there is no answer. */
  answer(ask: Ask, call: Call): Promise<Relay> {
    return new Promise((resolve, reject) => {
      this.begin(ask, call, { onAnswer: resolve, onError: reject });
    });
  }

  begin(ask: Ask, call: Call, receiver: RelayReceiver): void {
    try {
      const asked = this.#deps.asks.of(ask, call);
      if (!this.#replays) return this.#ask(asked, call, receiver, true);
      const found = this.#deps.shelf.find(asked, ask, call, this.#seeker);
      if (!(found instanceof Promise)) return this.#take(found, asked, call, receiver);
      found.then((tape) => this.#take(tape, asked, call, receiver))
        .catch((error) => receiver.onError(error));
    } catch (error) {
      receiver.onError(error);
    }
  }

  #take(
    tape: LaidTape | undefined,
    asked: Asked,
    call: Call,
    receiver: RelayReceiver,
  ): void {
    if (tape !== undefined) return this.#play(tape, asked, call, receiver);
    const { mode, upstream } = this.#deps;
    call.engine.watch(MISSED);
    if (mode === "strict" || upstream === undefined) throw this.#missing(asked);
    this.#ask(asked, call, receiver, mode === "auto");
  }

  /** Asks the upstream. */
  #ask(asked: Asked, call: Call, receiver: RelayReceiver, isRecorded: boolean): void {
    const { upstream, recorder, place } = this.#deps;
    if (upstream === undefined) throw this.#missing(asked);
    const tap = isRecorded ? recorder.tap(place, asked.dialect) : undefined;
    upstream.send(asked, call, receiver, tap);
  }

  #play(tape: LaidTape, asked: Asked, call: Call, receiver: RelayReceiver): void {
    const { play, shelf, urlKey, isFresh } = this.#deps;
    const startMs = play.wheel.nowMs;
    call.engine.watch(REPLAYED);
    call.tape = tape.id;
    call.source = "tape";
    const { usage, status, dialect } = tape;
    if (usage !== undefined) noteUsage(call, usage);
    const isRedirect = status >= 300 && status < 400 && dialect !== "chatgpt_web";
    const error = status < 0
      ? errorOfTape(tape)
      : isRedirect
      ? redirectError(tape, tape.url, urlKey)
      : undefined;
    const give = (relay: Relay & UsageMeter) => {
      if (call.isMetered) call.meter = relay;
      receiver.onAnswer(readable(isFresh ? renewed(relay, play) : relay, tape, asked));
    };
    if (error === undefined && isAtOnce(tape, play.speed)) return give(this.#wholeOf(tape));
    shelf.notePlayed(tape.id);
    if (error === undefined) checkStatus(status);
    const settle = () => {
      if (error !== undefined) receiver.onError(error);
      else give(new TimedTape(tape, startMs, play));
    };
    const headMs = startMs + dueMs(tape.headUs, play.speed);
    if (headMs <= play.wheel.nowMs) return settle();
    play.wheel.until(headMs, call.signal).then((isTime) => {
      if (isTime) settle();
      else receiver.onError(call.signal.reason);
    });
  }

  #wholeOf(tape: LaidTape): WholeTape {
    if (this.#lastWhole?.tape === tape) return this.#lastWhole;
    this.#deps.shelf.notePlayed(tape.id);
    let whole = this.#wholes.get(tape);
    if (whole === undefined) this.#wholes.set(tape, whole = new WholeTape(tape, this.#deps.play));
    return this.#lastWhole = whole;
  }

  #missing(asked: Asked): AppError {
    const { mode, shelf, upstream, urlKey } = this.#deps;
    const plain = "No tape answers this request";
    const nobody = upstream === undefined && mode !== "strict"
      ? `, and there is no upstream to ask (${urlKey})`
      : "";
    const message = `${plain}${nobody}: ${shelf.whyMissing(asked)}`;
    return new AppError("tape_missing", message, { plain: plain + nobody });
  }
}

/** `relay` with an id of its own in its head. */
function renewed(relay: Relay, { randomBytes }: PlayOptions): Relay {
  const fields = freshFields(relay.fields, randomBytes);
  if (fields === relay.fields) return relay;
  const { kind, status, body, isUntilClose, dialect } = relay;
  return {
    ...{ kind, status, fields, body },
    ...(isUntilClose === undefined ? {} : { isUntilClose }),
    ...(dialect === undefined ? {} : { dialect }),
    ...(relay.tail === undefined ? {} : { tail: (end) => relay.tail!(end) }),
  };
}

/** `relay`, without its content encoding where that is one the client has not asked for. */
function readable(relay: Relay, { encoding, dialect }: LaidTape, { fields, isOwn }: Asked): Relay {
  if (encoding === "" || !isOwn || accepts(fields.get("accept-encoding"), encoding)) return relay;
  const { kind, status, body } = decoded(relay);
  return { kind, status, fields: relay.fields.with({ "content-encoding": null }), body, dialect };
}

/** True when `accepted`, the value of `accept-encoding`, takes `encoding`. */
function accepts(accepted: string | null, encoding: string): boolean {
  const codings = (accepted ?? "").toLowerCase().split(",").map((one) => one.split(";"));
  const found = codings.find(([name]) => name!.trim() === encoding) ??
    codings.find(([name]) => name!.trim() === "*");
  return found !== undefined &&
    !found.slice(1).some((weight) => /^\s*q=0(?:\.0*)?\s*$/.test(weight));
}
