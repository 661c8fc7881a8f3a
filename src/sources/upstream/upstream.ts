/**
 * An upstream: a real server behind weir, asked once. It always answers with a relay, its own
 * bytes: whoever wants steps reads them out of those (`respeak.ts`), and whoever is patient asks
 * again (`retry.ts`).
 *
 * @module
 */

import type { Answer, Ask, Relay, Source } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";
import { UpstreamCall } from "../../core/upstream_call.ts";
import { Abort } from "../../lib/abort.ts";
import { basicOf } from "../../lib/userinfo.ts";
import type { WireTap } from "../../lib/http1/call.ts";
import { type Asked, AskWriter } from "./asked.ts";
import { Attempt, type AttemptLimits, type HeadCheck, type RelayReceiver } from "./attempt.ts";
import { hasPassedWeir, HeadersUp } from "./headers_up.ts";
import { redirectError } from "./redirect.ts";
import type { Speaks } from "./speaks.ts";
import type { StreamOptions } from "./stream_options.ts";
import type { Transport, TransportRequest } from "./transport.ts";

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

/** Sees one request and its answer cross the wire. */
export interface RequestTap extends WireTap {
  /** The request as it will be sent: gives what is to be sent in its place. */
  begin(request: TransportRequest): TransportRequest;
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
  /** Writes what it is asked. */
  readonly asks: AskWriter;
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
    this.asks = new AskWriter(options.model_id, speaks, streamOptions);
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
    try {
      this.send(this.asks.of(ask, call), call, receiver);
    } catch (error) {
      receiver.onError(error);
    }
  }

  /**
   * Asks what `asks` has written. `tap` sees what crosses the wire.
   *
   * @throws {AppError} when it must not be asked.
   */
  send(asked: Asked, call: Call, receiver: RelayReceiver, tap?: RequestTap): void {
    const { dialect, method, path, fields, body, upload } = asked;
    if (asked.isOwn && hasPassedWeir(fields)) throw loopDetected();
    const up = UpstreamCall.of(call, this.#host);
    up.method = method;
    const signal = new Abort();
    const request = {
      method,
      path,
      fields: this.#headersFor(up).of(fields),
      body,
      upload,
      signal,
      tap,
    };
    new Attempt(
      tap === undefined ? request : tap.begin(request),
      dialect,
      signal,
      this.#transport,
      this.#options,
      call,
      up,
      receiver,
      this.#check,
    ).run();
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

function loopDetected(): AppError {
  return new AppError(
    "loop_detected",
    "This request has already passed a weir: its upstream in the config is weir itself",
  );
}

/** Host and port of `url`, with the port that its protocol stands for. */
export function hostOf(url: string): string {
  const { protocol, hostname, port } = new URL(url);
  return `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}
