/**
 * Keys that end at the gateway: those that its clients show it, which must not reach the upstream,
 * and those that it shows the upstream, which must not reach a client. Looks for them in every
 * request and answer, in whatever check.
 *
 * @module
 */

import { CANARY } from "./finding.ts";
import { headFields } from "./head_fields.ts";
import type { ClientExchange } from "./probe_client.ts";
import { isOwnWord, lineAt, type Reader, type Sighting, type Watched } from "./watched.ts";

/** Names of headers, in lower case, that hold secrets. */
export const SECRET_NAME =
  /authorization|cookie|(?<!idempotency-)key|token|secret|password|credential/;
/** Parameters of a URL that do. */
const SECRET_PARAMETER = /[?&][^=&\s]*(?:key|token|secret)[^=&\s]*=([^&\s]+)/gi;
/** What is shorter may stand anywhere. */
const SECRET_CHARS_MIN = 8;
/** Requests that are looked at for keys of the gateway's own: those do not change. */
const HEADS_MAX = 2000;
/** Errors that are kept, and of each. */
const ERRORS_MAX = 2000;
const ERROR_CHARS_MAX = 64 * 1024;
/** Sightings that are kept; what is more is counted. */
const KEPT_MAX = 1000;

/** What stands in a report in place of a key. */
export const KEY_SHOWN = "<KEY>";

/** How many were looked at, in how many of them there is a key, and the first of those. */
export interface Sightings {
  readonly all: number;
  readonly count: number;
  readonly found: readonly Sighting[];
}

/** Remembers keys, and where they were seen. */
export class OwnKeys {
  /** Of the gateway's own, each with the mark of the request that it came with first. */
  readonly #firsts = new Map<string, string>();
  readonly #secrets = new Words();
  /** Those that came with another one, too: what is new each time may be no key. */
  readonly #constant = new Words();
  /** The client's, and those of them that are for the gateway alone. */
  readonly #clients = new Words();
  readonly #guarded = new Words();
  readonly #errors = new Map<string, Pick<Sighting, "check" | "mark">>();
  readonly #inRequests = new Tally();
  readonly #inAnswers = new Tally();
  #heads = 0;

  /** The client shows `value` to the gateway: no report says it, and no error should. */
  shown(value: string): void {
    this.#clients.add(value);
  }

  /** The client shows `value` to the gateway, and it is for nobody else. */
  guard(value: string): void {
    this.shown(value);
    this.#guarded.add(value);
  }

  /** A request has come to the upstream as `text`. */
  arrived(watched: Watched, text: string): void {
    const words = secretWords(text.slice(0, text.indexOf("\r\n\r\n")));
    this.#learn(words.map(({ word }) => word), watched);
    if (this.#guarded.size === 0) return;
    const at = this.#guarded.placeIn(text);
    // A short key may be a part of anything, and is one only where keys stand.
    const whole = words.find(({ word }) => this.#guarded.has(word));
    const short = whole === undefined ? undefined : `${whole.place}: ${KEY_SHOWN}`;
    this.#inRequests.add(watched, at === undefined ? short : lineAt(text, at));
  }

  #learn(words: readonly string[], { mark, exchange }: Watched): void {
    if (this.#heads++ > HEADS_MAX) return;
    for (const word of words) {
      if (word.length < SECRET_CHARS_MIN || word.includes(CANARY)) continue;
      if (exchange.sentHead.includes(word)) continue;
      this.#secrets.add(word);
      const first = this.#firsts.get(word);
      if (first === undefined) this.#firsts.set(word, mark);
      else if (first !== mark) this.#constant.add(word);
    }
  }

  /** A request is sent through the gateway, whose answer is to be read. */
  asked(watched: Watched): Reader {
    let shown: string | undefined;
    return {
      read: (text) => {
        const at = this.#constant.placeIn(text, (form) => isOwnWord(watched, form));
        if (at !== undefined) shown ??= lineAt(text, at);
      },
      over: () => {
        if (!isError(watched.exchange)) this.#inAnswers.add(watched, shown);
      },
    };
  }

  /** An answer has ended. Errors are kept: a key may be known only later. */
  answered({ check, mark, exchange }: Watched): void {
    if (!isError(exchange) || this.#errors.size >= ERRORS_MAX) return;
    const whole = exchange.encoding === undefined
      ? exchange.wireText
      : `${exchange.headsText}\r\n\r\n${exchange.body.toString("latin1")}`;
    const text = whole.slice(0, ERROR_CHARS_MAX);
    if (!this.#errors.has(text)) this.#errors.set(text, { check, mark });
  }

  /** How many keys of the gateway's own are known. */
  get count(): number {
    return this.#secrets.size;
  }

  /** How many errors differ. */
  get errors(): number {
    return this.#errors.size;
  }

  /** The errors that hold a key of the gateway's, hidden. */
  leaks(): readonly Sighting[] {
    return this.#errorsWith(this.#secrets);
  }

  /** The errors that hold what the client has shown, hidden. */
  echoes(): readonly Sighting[] {
    return this.#errorsWith(this.#clients);
  }

  /** The answers besides errors that hold a key of the gateway's, hidden. */
  inAnswers(): Sightings {
    return this.#hidden(this.#inAnswers);
  }

  /** The requests at the upstream that hold a guarded key, hidden. */
  inRequests(): Sightings {
    return this.#hidden(this.#inRequests);
  }

  /** `text` with `KEY_SHOWN` in place of each key, so that a report does not leak what it finds. */
  hide(text: string): string {
    return [...this.#secrets.forms, ...this.#clients.forms]
      .reduce((hidden, form) => hidden.replaceAll(form, KEY_SHOWN), text);
  }

  #hidden({ all, count, found }: Sightings): Sightings {
    return { all, count, found: found.map((one) => ({ ...one, shown: this.hide(one.shown) })) };
  }

  #errorsWith(words: Words): readonly Sighting[] {
    return [...this.#errors].filter(([text]) => words.placeIn(text) !== undefined)
      .map(([text, from]) => ({ ...from, shown: this.hide(text) }));
  }
}

/** Keys, and how they may be written. */
class Words {
  readonly #words = new Set<string>();
  #forms: readonly string[] | undefined;

  get size(): number {
    return this.#words.size;
  }

  has(word: string): boolean {
    return this.#words.has(word);
  }

  add(word: string): void {
    if (this.#words.has(word)) return;
    this.#words.add(word);
    this.#forms = undefined;
  }

  /** Of all but short ones, the longest first: one may be a part of another. */
  get forms(): readonly string[] {
    return this.#forms ??= [...this.#words].filter(({ length }) => length >= SECRET_CHARS_MIN)
      .flatMap(formsOf).sort((a, b) => b.length - a.length);
  }

  /** Where one of them is in `text`; undefined = nowhere, or only such a one as `mayBe`. */
  placeIn(text: string, mayBe: (form: string) => boolean = () => false): number | undefined {
    for (const form of this.forms) {
      const at = text.indexOf(form);
      if (at >= 0 && !mayBe(form)) return at;
    }
    return undefined;
  }
}

/** Counts what was looked at. */
class Tally implements Sightings {
  all = 0;
  count = 0;
  readonly found: Sighting[] = [];

  /** One more; `shown`: what was found in it. */
  add({ check, mark }: Watched, shown: string | undefined): void {
    this.all++;
    if (shown === undefined) return;
    this.count++;
    if (this.found.length < KEPT_MAX) this.found.push({ check, mark, shown });
  }
}

function isError({ status, end }: ClientExchange): boolean {
  return status >= 400 || end === "broken";
}

/** A word of a request's head that may be a key, and where it stands. */
interface SecretWord {
  readonly word: string;
  /** The name of the header, or "the target". */
  readonly place: string;
}

function secretWords(head: string): readonly SecretWord[] {
  const target = head.slice(0, head.indexOf("\r\n"));
  return [
    ...headFields(head).filter(([name]) => SECRET_NAME.test(name)).flatMap(([place, value]) =>
      // "Bearer sk-1", "session=1; other=2": the last word is the secret, and so is each of several.
      value.split(/[\s;,]+/).map((word) => ({ word: word.replace(/^[\w-]+=/, ""), place }))
    ),
    ...[...target.matchAll(SECRET_PARAMETER)].map(([, word]) => ({
      word: word!,
      place: "the target",
    })),
  ];
}

/**
 * A secret as it is and as it is written in a URL, in JSON, in hexadecimal digits, and in Base64 of
 * both alphabets, of which there is what is the same wherever it begins there.
 */
export function formsOf(secret: string): readonly string[] {
  const bytes = Buffer.from(secret);
  const inBase64 = [0, 1, 2].map((before) =>
    Buffer.concat([Buffer.alloc(before), bytes]).toString("base64").slice(
      Math.ceil(before * 8 / 6),
      Math.floor((before + bytes.length) * 8 / 6),
    )
  );
  const inUrl = encodeURIComponent(secret);
  const inJson = JSON.stringify(secret).slice(1, -1);
  return [
    ...new Set([
      secret,
      inUrl,
      inUrl.replace(/%../g, (escape) => escape.toLowerCase()),
      inJson,
      inJson.replaceAll("/", "\\/"),
      bytes.toString("hex"),
      ...inBase64,
      ...inBase64.map((text) => text.replaceAll("+", "-").replaceAll("/", "_")),
    ]),
  ];
}
