/**
 * An upstream: a real server behind weir, asked once. It always answers with a relay, its own
 * bytes: whoever wants steps reads them out of those (`respeak.ts`), and whoever is patient asks
 * again (`retry.ts`).
 *
 * @module
 */

import type { Turn } from "../../core/turn.ts";
import type { Answer, Ask, Relay, Source, Wire } from "../../core/answer.ts";
import type { UpstreamDialect } from "../../core/dialect.ts";
import { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";
import { UpstreamCall } from "../../core/upstream_call.ts";
import { Abort } from "../../lib/abort.ts";
import { basicOf } from "../../lib/userinfo.ts";
import { Fields } from "../../lib/http1/fields.ts";
import { Attempt, type AttemptLimits, type HeadCheck, type RelayReceiver } from "./attempt.ts";
import { hasPassedWeir, HeadersUp } from "./headers_up.ts";
import { withModel } from "../../dialects/openai_chat/peek_model.ts";
import { redirectError } from "./redirect.ts";
import type { Speaks } from "./speaks.ts";
import type { StreamOptions } from "./stream_options.ts";
import type { Transport } from "./transport.ts";

/** Where an upstream is and how patient weir is with it; an entry of `upstreams`, or `llm`. */
export interface UpstreamOptions extends AttemptLimits {
  /**
   * Without a trailing slash: "https://api.openai.com/v1". A user and a password in it are sent as
   * Basic where there is no `api_key`.
   */
  readonly base_url: string;
  /** The config key that says so. */
  readonly urlKey: string;
  readonly api_key: string;
  /** The model when a request names none; "" = none. */
  readonly model_id: string;
  readonly headers: Readonly<Record<string, string>>;
  /** True: without `api_key`, the client's `Authorization` goes up (only on `/v1/*`). */
  readonly passesClientKey: boolean;
  /** True: what tells of the client itself, such as its cookies and addresses, goes up too. */
  readonly passesClient: boolean;
  /** The only fields of the client's that go up, in lower case; none = there is no such list. */
  readonly headers_up: readonly string[];
}

/** Takes an answer, or the error that says why there is none: one of the two, once. */
export interface AnswerReceiver {
  onAnswer(answer: Answer): void;
  onError(error: unknown): void;
}

/** A source that answers without a promise as well, which is 1 % of a proxied request. */
export interface EagerSource extends Source {
  /** As `answer`. May call back at once; never throws. */
  begin(ask: Ask, call: Call, receiver: AnswerReceiver): void;
}

/** Answers by asking a real server. */
export class Upstream implements EagerSource {
  readonly name = "proxy";
  readonly #options: UpstreamOptions;
  readonly #transport: Transport;
  readonly #speaks: Speaks;
  readonly #streamOptions: StreamOptions;
  /** Host and port, for whoever reads about a call. */
  readonly #host: string;
  /** Redirects are answers of what is no API of a model, and errors of what is. */
  readonly #check: HeadCheck | undefined;
  readonly #untraced: HeadersUp;

  constructor(
    options: UpstreamOptions,
    transport: Transport,
    speaks: Speaks,
    streamOptions: StreamOptions,
  ) {
    this.#options = options;
    this.#streamOptions = streamOptions;
    this.#transport = transport;
    this.#speaks = speaks;
    this.#host = hostOf(options.base_url);
    const { base_url, urlKey } = options;
    const isOfModels = !speaks.has("chatgpt_web");
    this.#check = isOfModels ? (head) => redirectError(head, base_url, urlKey) : undefined;
    this.#untraced = this.#headersUp({});
  }

  /** Rejects with an `AppError` when the upstream gave nothing that could be passed down. */
  answer(ask: Ask, call: Call): Promise<Relay> {
    return new Promise((resolve, reject) => {
      this.begin(ask, call, { onAnswer: resolve, onError: reject });
    });
  }

  begin(ask: Ask, call: Call, receiver: RelayReceiver): void {
    const { model_id } = this.#options;
    const wire = this.#speaks.has(ask.wire?.dialect) ? ask.wire : undefined;
    // What is passed without being read is passed as it is.
    const modelUp = wire?.dialect === "openai" ? "" : model_id;
    if (wire?.body !== null) call.model ||= modelUp;
    try {
      if (wire !== undefined && hasPassedWeir(wire.fields)) throw loopDetected();
      const { dialect, method, path, fields, body, upload } = wire ?? this.#wireOf(ask, call);
      const up = UpstreamCall.of(call, this.#host);
      up.method = method;
      const signal = new Abort();
      const request = {
        method,
        path,
        fields: this.#headersFor(up).of(fields),
        body: upload === undefined ? withModel(body, modelUp) : null,
        upload,
        signal,
      };
      new Attempt(
        request,
        dialect,
        signal,
        this.#transport,
        this.#options,
        call,
        up,
        receiver,
        this.#check,
      ).run();
    } catch (error) {
      receiver.onError(error);
    }
  }

  /** A request for a turn that came in another dialect. */
  #wireOf(ask: Ask, call: Call): Wire {
    const { asked } = this.#speaks;
    if (asked === undefined) throw new TypeError(`Cannot ask ${this.#host} for a turn`);
    const turn = ask.turn();
    if (turn.prompts !== undefined) checkCompletion(turn);
    const { model_id } = this.#options;
    const model = turn.isDefaultModel ? model_id || turn.model : turn.model || model_id;
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

  #headersFor({ traceHeaders }: UpstreamCall): HeadersUp {
    return traceHeaders === undefined ? this.#untraced : this.#headersUp(traceHeaders);
  }

  #headersUp(trace: Readonly<Record<string, string>>): HeadersUp {
    const { base_url, api_key, passesClientKey, passesClient, headers, headers_up } = this.#options;
    const isAnthropic = this.#speaks.asked?.name === "anthropic_messages";
    const credentials = {
      apiKey: api_key,
      passesClientKey,
      passesClient,
      names: headers_up,
      isAnthropic,
    };
    const basic = api_key === "" ? basicOf(base_url) : "";
    const own = basic === "" ? headers : { authorization: basic, ...headers };
    return new HeadersUp(credentials, { ...trace, ...own });
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

function loopDetected(): AppError {
  return new AppError(
    "loop_detected",
    "This request has already passed a weir: its upstream in the config is weir itself",
  );
}

/** Host and port of `url`, with the port that its protocol stands for. */
function hostOf(url: string): string {
  const { protocol, hostname, port } = new URL(url);
  return `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}
