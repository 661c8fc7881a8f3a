/**
 * Reads an upstream's answer for whoever speaks another dialect: its bytes become steps while they
 * come, and its refusal becomes an error. Where nobody said what an upstream speaks, it is found
 * out: requests go up as they are until it says that it has no such URL.
 *
 * @module
 */

import type { Answer, Ask, DialectName, Relay, Source, Usage } from "../../core/answer.ts";
import type { AnswerLimits, UpstreamDialect } from "../../core/dialect.ts";
import { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";
import { gatherBody, KnownBody } from "../../core/relay_body.ts";
import type { Turn } from "../../core/turn.ts";
import { readError } from "../../dialects/openai_chat/read_answer.ts";
import { decoded } from "./decoded.ts";
import { LiveSteps } from "./live_steps.ts";
import type { Speaks } from "./speaks.ts";
import type { StreamOptions } from "./stream_options.ts";

/** Bytes of a refusal that are read for its sentence. */
const REFUSAL_BYTES_MAX = 65_536;

/** No response can be made with a higher status (WHATWG Fetch). */
const STATUS_MAX = 599;

/** Headers of a refusal that say when to come again (docs/facts/openai_api.md "Retries of the official clients"). */
const AGAIN_FIELDS = ["retry-after", "retry-after-ms", "x-should-retry"] as const;
/** What may stand in one. */
const AGAIN_VALUE = /^[\x20-\x7e]{1,64}$/;

/** Takes secrets out of a text. */
export type Mask = (text: string) => string;

/** What an answer cost, counted by what was asked and what was said. */
export type CountUsage = (turn: Turn, said: string) => Usage;

/**
 * What an upstream answers that has no such URL. Only where nobody said what it speaks: an upstream
 * that ought to know the dialect is told of.
 */
const UNKNOWN_PATH: ReadonlySet<number> = new Set([404, 405, 501]);

/**
 * `relay`, an answer to `ask`; undefined when it says that its upstream has no such URL. A 404 that
 * names the model is one of the model.
 */
export async function unlessUnknown(
  relay: Relay,
  ask: Ask,
  call: Call,
): Promise<Relay | undefined> {
  const { status, fields } = relay;
  if (!UNKNOWN_PATH.has(status)) return relay;
  const { bytes, error } = await gatherBody(relay.body, call.signal, REFUSAL_BYTES_MAX);
  const model = ask.model();
  const isOfModel = status === 404 && isAbout(new TextDecoder().decode(bytes), model);
  if (!isOfModel && error === undefined) return undefined;
  const body = new KnownBody([{ bytes, atUs: 0 }], "end", call.engine.wheel);
  return { kind: "relay", status, fields, body };
}

/** True when an error's `body` says that `model` is at fault: its sentence or its words name it. */
function isAbout(body: string, model: string): boolean {
  const { message, param, told } = readError(404, body);
  return param === "model" || told?.code === "model_not_found" ||
    (model !== "" && wordOf(model).test(message));
}

/** Finds `name` where it is no part of a longer one, such as gpt-4o of gpt-4o-mini. */
function wordOf(name: string): RegExp {
  const before = String.raw`(?<![\p{L}\p{N}_]|[\p{L}\p{N}_][./-])`;
  const after = String.raw`(?![\p{L}\p{N}_]|[./-][\p{L}\p{N}_])`;
  return new RegExp(before + RegExp.escape(name) + after, "u");
}

/** What reading needs besides. */
export interface RespeakOptions {
  /** For answers whose usage is not told; absent = nobody is told then. */
  readonly count?: CountUsage;
  /** Takes weir's own keys out of what an error quotes; absent = there are none. */
  readonly mask?: Mask;
  /** How answers in another dialect than was asked for are read, as tapes may be; undefined = they cannot be. */
  readonly dialectOf?: (name: DialectName) => UpstreamDialect | undefined;
}

/**
 * `source`, whose relays are read wherever it does not speak the client's dialect, as far as `limits`
 * let them be; what it turns out not to know is asked again in the dialect that it does.
 * `streamOptions` are those of the upstream behind it: it learns from what comes back.
 */
export function respeak(
  source: Source,
  speaks: Speaks,
  limits: AnswerLimits,
  streamOptions: StreamOptions,
  options: RespeakOptions = {},
): Source {
  const { asked } = speaks;
  if (asked === undefined) return source;

  function answer(ask: Ask, call: Call): Answer | Promise<Answer> {
    if (!speaks.has(ask.wire?.dialect)) return reading(ask, call).ask();
    const given = source.answer(ask, call);
    return given instanceof Promise
      ? given.then((settled) => take(settled, ask, call))
      : take(given, ask, call);
  }

  function reading(ask: Ask, call: Call): Reading {
    return new Reading(source, asked!, limits, streamOptions, options, ask, call);
  }

  function take(given: Answer, ask: Ask, call: Call): Answer | Promise<Answer> {
    const { dialect, upload } = ask.wire!;
    if (isForeign(given, dialect)) return reading(ask, call).read(given);
    const isSure = speaks.isSureOf(dialect) || upload !== undefined;
    return isSure ? given : checked(given, ask, call);
  }

  /** `relay`, or what the upstream says in its own dialect when it does not know that one. */
  async function checked(relay: Answer, ask: Ask, call: Call): Promise<Answer> {
    if (relay.kind !== "relay") return relay;
    const known = await unlessUnknown(relay, ask, call);
    if (known !== undefined) return known;
    speaks.forget(ask.wire!.dialect);
    return await answer(ask, call);
  }

  return { name: source.name, answer };
}

/** True when `answer` says that it is in another dialect than its client's. */
function isForeign(answer: Answer, own: DialectName): boolean {
  return answer.kind === "relay" && answer.dialect !== undefined && answer.dialect !== own;
}

/** One turn asked and read. */
class Reading {
  readonly #source: Source;
  readonly #dialect: UpstreamDialect;
  readonly #limits: AnswerLimits;
  readonly #streamOptions: StreamOptions;
  readonly #options: RespeakOptions;
  readonly #mask: Mask;
  readonly #ask: Ask;
  readonly #call: Call;
  /** True when the request had `stream_options`. */
  #hasOptions = false;
  /** True when it is asked again without them. */
  #isSecond = false;

  constructor(
    source: Source,
    dialect: UpstreamDialect,
    limits: AnswerLimits,
    streamOptions: StreamOptions,
    options: RespeakOptions,
    ask: Ask,
    call: Call,
  ) {
    this.#source = source;
    this.#dialect = dialect;
    this.#limits = limits;
    this.#streamOptions = streamOptions;
    this.#options = options;
    this.#mask = options.mask ?? ((text) => text);
    this.#ask = ask;
    this.#call = call;
  }

  /** The answer as steps. @throws {AppError} when it is a refusal (the promise rejects). */
  ask(): Answer | Promise<Answer> {
    this.#hasOptions = this.#streamOptions.areSent;
    const answer = this.#source.answer(this.#ask, this.#call);
    return answer instanceof Promise
      ? answer.then((settled) => this.read(settled))
      : this.read(answer);
  }

  /** `answer` as steps, unless it is in its client's own dialect. */
  read(answer: Answer): Answer | Promise<Answer> {
    if (answer.kind !== "relay") return answer;
    const { status, dialect: name = this.#dialect.name } = answer;
    if (name === this.#ask.wire?.dialect) return answer;
    const dialect = name === this.#dialect.name ? this.#dialect : this.#options.dialectOf?.(name);
    if (dialect === undefined) {
      answer.body.cancel();
      throw new AppError("upstream_broken", `Cannot read an answer in the dialect ${name}`);
    }
    if (status >= 400 && status <= STATUS_MAX) return this.#refused(decoded(answer), dialect);
    if (status >= 200 && status < 300) {
      if (this.#hasOptions || this.#isSecond) this.#streamOptions.onTaken();
      const { count: counted } = this.#options;
      const count = counted && ((said: string) => counted(this.#ask.turn(), said));
      const steps = new LiveSteps(
        decoded(answer),
        dialect,
        this.#limits,
        this.#call,
        this.#mask,
        count,
      );
      return { kind: "live", steps, model: this.#call.model, fields: answer.fields };
    }
    answer.body.cancel();
    throw new AppError(
      "upstream_broken",
      `The upstream answered with the status ${status}: no answer`,
    );
  }

  /** Reads why the upstream refuses, as far as it says so: half a sentence is better than none. */
  async #refused(
    { status, fields, body }: Relay,
    dialect: UpstreamDialect,
  ): Promise<Answer> {
    const { bytes } = await gatherBody(body, this.#call.signal, REFUSAL_BYTES_MAX);
    const text = new TextDecoder().decode(bytes);
    if (this.#isSecond) this.#streamOptions.onRefusedWithout();
    else if (this.#hasOptions && this.#streamOptions.onRefused(status, text)) {
      this.#isSecond = true;
      this.#call.engine.watch({
        kind: "upstream_retried",
        attempt: 1,
        delayMs: 0,
        cause: `status ${status}, perhaps to stream_options`,
      });
      return await this.ask();
    }
    // Both: the sentence is cut at a length, and JSON may spell a key with escapes.
    const error = dialect.readError(status, this.#mask(text));
    const again = AGAIN_FIELDS.flatMap((name) => {
      const value = fields.get(name);
      return value !== null && AGAIN_VALUE.test(value) ? [[name, value] as const] : [];
    });
    throw error.with(Object.fromEntries(again)).masked(this.#mask);
  }
}
