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
import { hasPassedWeir, HeadersUp, type KeyHeader } from "./headers_up.ts";
import type { KeyTurns } from "./key_turns.ts";
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
  /** Further keys, used in turn with it; absent = none. */
  readonly api_keys?: readonly string[];
  /** Where the key goes; absent = auto. */
  readonly api_key_header?: KeyHeader;
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
  /** For each key. */
  readonly #untraced: readonly HeadersUp[];
  readonly #keys: readonly string[];
  readonly #turns: KeyTurns | undefined;

  constructor(
    options: UpstreamOptions,
    transport: Transport,
    speaks: Speaks,
    streamOptions: StreamOptions,
    turnsOf?: (count: number) => KeyTurns,
  ) {
    this.#options = options;
    this.asks = new AskWriter(options.model_id, speaks, streamOptions);
    this.#transport = transport;
    this.#speaks = speaks;
    this.#host = hostOf(options.base_url);
    const { base_url, urlKey } = options;
    const isOfModels = !speaks.has("chatgpt_web");
    this.#check = isOfModels ? (head) => redirectError(head, base_url, urlKey) : undefined;
    this.#keys = keysOf(options);
    this.#untraced = this.#keys.map((key) => this.#headersUp(key, {}));
    if (this.#keys.length > 1) this.#turns = turnsOf?.(this.#keys.length);
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
    if (asked.isOwn && hasPassedWeir(asked.fields)) throw loopDetected();
    if (this.#turns === undefined) this.#sendWith(0, asked, call, receiver, tap);
    else this.#sendInTurn(this.#keys.length - 1, asked, call, receiver, tap);
  }

  /** Asks with the next key, and then with `left` others at most. */
  #sendInTurn(
    left: number,
    asked: Asked,
    call: Call,
    receiver: RelayReceiver,
    tap: RequestTap | undefined,
  ): void {
    const key = this.#turns!.next();
    this.#sendWith(key, asked, call, {
      onAnswer: (relay) => this.#take(relay, key, left, asked, call, receiver, tap),
      onError: (error) => receiver.onError(error),
    }, tap);
  }

  /** `relay`, an answer to `key`; what that key may not ask is asked with another one at once. */
  #take(
    relay: Relay,
    key: number,
    left: number,
    asked: Asked,
    call: Call,
    receiver: RelayReceiver,
    tap: RequestTap | undefined,
  ): void {
    const turns = this.#turns!;
    // A rest of no time at all ends at once: no key is asked twice all the same.
    const mayGoOn = turns.rests(key, relay.status, relay.fields) && turns.isAwake && left > 0 &&
      asked.upload?.canStart !== false && tap === undefined && !call.leaving.aborted;
    if (!mayGoOn) return receiver.onAnswer(relay);
    relay.body.cancel();
    this.#sendInTurn(left - 1, asked, call, receiver, undefined);
  }

  /** Asks with one of the keys. */
  #sendWith(
    key: number,
    asked: Asked,
    call: Call,
    receiver: RelayReceiver,
    tap: RequestTap | undefined,
  ): void {
    const { dialect, method, path, fields, body, upload } = asked;
    const up = UpstreamCall.of(call, this.#host);
    up.method = method;
    const signal = new Abort();
    const request = {
      method,
      path,
      fields: this.#headersFor(key, up).of(fields),
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

  #headersFor(key: number, { traceHeaders }: UpstreamCall): HeadersUp {
    return traceHeaders === undefined
      ? this.#untraced[key]!
      : this.#headersUp(this.#keys[key]!, traceHeaders);
  }

  /** `api_key`: the key that is shown; "" = none. */
  #headersUp(api_key: string, trace: Readonly<Record<string, string>>): HeadersUp {
    const { base_url, passesClientKey, passesClient, headers, headers_up } = this.#options;
    const isAnthropic = this.#speaks.asked?.name === "anthropic_messages";
    const credentials = {
      apiKey: api_key,
      passesClientKey,
      passesClient,
      names: headers_up,
      isAnthropic,
      keyHeader: this.#options.api_key_header,
    };
    const basic = api_key === "" ? basicOf(base_url) : "";
    const own = basic === "" ? headers : { authorization: basic, ...headers };
    return new HeadersUp(credentials, { ...trace, ...own });
  }
}

/** The keys of an upstream, each once; "" alone = it has none. */
export function keysOf({ api_key, api_keys = [] }: Pick<UpstreamOptions, "api_key" | "api_keys">) {
  const keys = [...new Set([api_key, ...api_keys])].filter((key) => key !== "");
  return keys.length === 0 ? [""] : keys;
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
