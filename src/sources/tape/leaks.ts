/**
 * Looks for secrets in what a tape holds. It does not ask how the tape was redacted: it knows what
 * must not be there, and what keys look like.
 *
 * @module
 */

import type { RE2JS } from "re2js";
import { isSecretField } from "./redactor.ts";
import { spellings } from "./spellings.ts";
import { type SpreadText, spreadTexts } from "./spread_texts.ts";

/** What is looked for. */
export interface Forbidden {
  /** Texts that must not be there: keys of the config. */
  readonly secrets: readonly string[];
  /** Expressions for what must not be there either: `tape.redact`. None fits an empty text. */
  readonly patterns: readonly RE2JS[];
}

/** Something that should not be there. The value itself is never told. */
export interface Leak {
  /** What it looks like: "an OpenAI key". */
  readonly what: string;
  /** Where it begins, in bytes. */
  readonly at: number;
}

/** A shorter secret would turn up inside ordinary words. In UTF-16 units. */
const SECRET_CHARS_MIN = 4;
/** Of one text, so many are told. */
const LEAKS_MAX = 20;

/**
 * What keys look like, wherever they stand. They are long, and most have a digit in them: prose about
 * keys ("sk-…", "Bearer authentication", "Basic understanding") is none of them.
 */
const SHAPES: readonly (readonly [what: string, shape: RegExp, is?: (text: string) => boolean])[] =
  [
    ["an Anthropic key", /\bsk-ant-[\w-]{16,}/g],
    ["an OpenAI key", /\bsk-(?!ant-)(?=[\w-]*\d)[\w-]{16,}/g],
    ["a bearer token", /\bBearer\s+(?=[\w.~+/-]*\d)[\w.~+/-]{16,}=*/gi],
    ["an HTTP credential", /\bBasic\s+[A-Za-z0-9+/]{8,}={0,2}/g, isBasic],
    ["a JSON web token", /\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}/g],
    ["a Google key", /\bAIza[\w-]{35}(?![\w-])/g],
    ["an AWS key id", /\b(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])/g],
    ["a GitHub token", /\b(?:gh[pousr]_\w{36,}|github_pat_\w{22,})/g],
    ["a Slack token", /\bxox[abpors]-[\w-]{10,}/g],
    ["a Groq key", /\bgsk_\w{20,}/g],
    ["a Hugging Face token", /\bhf_[A-Za-z0-9]{30,}/g],
    ["a private key", /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/g],
  ];

/** The scheme of a credential says nothing; anything else in front of a blank may. */
const OPEN_CREDENTIAL = /^[A-Za-z][\w-]* *$/;

/** `text` without what looks like a key. */
export function withoutKeys(text: string): string {
  return SHAPES.reduce(
    (clean, [, shape, is = () => true]) =>
      clean.replace(shape, (found) => is(found) ? "***" : found),
    text,
  );
}

/**
 * What of `forbidden`, and what that looks like a key, stands in `bytes`, however it is spelled and
 * also where it is spread over the pieces of a stream. In order, and no place twice.
 */
export function leaksIn(bytes: Uint8Array, forbidden: Forbidden): readonly Leak[] {
  const found = leaksInText(bytes, forbidden);
  for (const text of allTexts(bytes)) {
    for (const leak of leaksInText(text.bytes, forbidden)) {
      const [first] = text.source({ at: leak.at, end: leak.at + 1 });
      found.push({ ...leak, at: first?.at ?? 0 });
    }
  }
  found.sort((one, other) => one.at - other.at);
  return found.filter(({ what, at }, i) =>
    !found.slice(Math.max(0, i - LEAKS_MAX), i).some((one) => one.what === what && one.at === at)
  ).slice(0, LEAKS_MAX);
}

/** All at once; none when there are too many of them, which no recorder would have taken. */
function allTexts(bytes: Uint8Array): readonly SpreadText[] {
  const steps = spreadTexts(bytes);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value ?? [];
  }
}

function leaksInText(bytes: Uint8Array, forbidden: Forbidden): Leak[] {
  return spellings(bytes).flatMap((spelling) => {
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(spelling.bytes);
    return leaksAsSpelled(text, forbidden).map(({ what, at }) => {
      // What is no UTF-8 has become longer.
      const byte = Math.min(Buffer.byteLength(text.slice(0, at)), spelling.bytes.length - 1);
      return { what, at: spelling.source(byte, byte + 1).at };
    });
  });
}

/** `at` counts in UTF-16 units. */
function leaksAsSpelled(text: string, forbidden: Forbidden): readonly Leak[] {
  const found: Leak[] = [];
  for (const secret of forbidden.secrets) {
    if (secret.length < SECRET_CHARS_MIN) continue;
    const at = text.indexOf(secret);
    if (at >= 0) found.push({ what: "a secret of the config", at });
  }
  for (const pattern of forbidden.patterns) {
    const matcher = pattern.matcher(text);
    // One is enough to know that the expression was not obeyed.
    if (matcher.find()) {
      found.push({ what: `what ${pattern.pattern()} stands for`, at: matcher.start() });
    }
  }
  for (const [what, shape, is] of SHAPES) {
    for (const { 0: match, index } of text.matchAll(shape).take(LEAKS_MAX)) {
      if (is === undefined || is(match)) found.push({ what, at: index });
    }
  }
  return found;
}

/** Is it a user and a password? */
function isBasic(text: string): boolean {
  const plain = Buffer.from(text.replace(/^\w+\s+/, ""), "base64").toString("latin1");
  return /^[\x20-\x39\x3b-\x7e]*:[\x20-\x7e]*$/.test(plain);
}

/**
 * Does a field of that name, in lower case, show something of a secret? `open`: its value without
 * what is redacted.
 */
export function showsSecret(name: string, open: string, isRequest: boolean): boolean {
  if (open === "" || !isSecretField(name, isRequest)) return false;
  return !(/auth(?:orization)?$/.test(name) && OPEN_CREDENTIAL.test(open));
}
