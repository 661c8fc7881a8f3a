/**
 * Makes an HTTP request of a pattern: URL, query, headers, and the body in its content type.
 *
 * @module
 */

import { Attachment } from "../core/workflow.ts";
import { shown } from "../lib/shown.ts";
import { failed } from "./call.ts";
import { textOfValue } from "./convert.ts";
import type { Component, RequestPattern } from "./definition.ts";
import { renderUrl, withoutUserinfo } from "./url.ts";
import { render, type Scope } from "./interpolate.ts";

/** What `fetch` takes as a body. */
type RequestBody = NonNullable<RequestInit["body"]>;
/** `URL` is a value only, without the DOM's types. */
type Url = InstanceType<typeof URL>;

/** A request that can be sent. */
export interface ReadyRequest {
  readonly method: string;
  readonly url: string;
  /** The path or endpoint as it was configured, for failures. */
  readonly shownUrl: string;
  readonly headers: Headers;
  readonly body: RequestBody | null;
  /** The body before it was encoded. */
  readonly value: unknown;
}

/** OpenAI's host: a request without a key is not worth sending there. */
const OPENAI_HOST = "api.openai.com";

/**
 * The request that `pattern` makes with `scope`.
 *
 * @throws {AppError} `workflow_failed` when a value cannot stand where it is.
 */
export function makeRequest(
  component: Component,
  pattern: RequestPattern,
  scope: Scope,
): ReadyRequest {
  const { kind } = pattern.target;
  const target = renderUrl(pattern.target.pattern, scope, kind);
  const base = component.baseUrl === null ? "" : renderUrl(component.baseUrl, scope, "endpoint");
  const joined = kind === "endpoint"
    ? target
    : `${base.replace(/\/+$/, "")}/${target.replace(/^\/+/, "")}`;
  const params = pattern.params === null ? null : render(pattern.params, scope);
  const url = withParams(parseUrl(joined), params);
  const headers = new Headers();
  for (const part of [component.headers, pattern.headers]) {
    if (part !== null) setHeaders(headers, render(part, scope));
  }
  if (url.host === OPENAI_HOST) requireKey(headers);
  const value = pattern.body === null ? null : render(pattern.body, scope);
  const hasBody = value !== null && pattern.method !== "GET";
  return {
    method: pattern.method,
    url: url.href,
    shownUrl: withoutUserinfo(target),
    headers,
    body: hasBody ? encodeBody(value, headers) : null,
    value,
  };
}

function parseUrl(text: string): Url {
  const url = URL.parse(text);
  if (url !== null && /^(https?|weir):$/.test(url.protocol)) return url;
  const safe = shown(withoutUserinfo(text), 200);
  throw failed(`Cannot call ${safe}: it must be a URL with http:// or https://`);
}

function withParams(url: Url, params: unknown): Url {
  for (const [key, value] of entriesOf(params)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== null && item !== undefined) url.searchParams.append(key, textOfValue(item));
    }
  }
  return url;
}

function setHeaders(headers: Headers, fields: unknown): void {
  for (const [name, value] of entriesOf(fields)) {
    if (value === null || value === undefined) continue;
    try {
      headers.set(name, textOfValue(value));
    } catch (cause) {
      // The value may be a key: it is not shown.
      throw failed(
        `Cannot send the header ${shown(name)}: its value is not allowed`,
        cause,
      );
    }
  }
}

function requireKey(headers: Headers): void {
  const key = headers.get("authorization")?.replace(/^Bearer\b/i, "").trim() ?? "";
  if (key !== "") return;
  throw failed(
    `Cannot call ${OPENAI_HOST} without a key: set OPENAI_API_KEY in the environment or in .env`,
  );
}

/** Encodes by the request's content type; without one it is JSON, and says so. */
function encodeBody(value: unknown, headers: Headers): RequestBody {
  const type = (headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
  if (value instanceof Attachment) {
    if (type === "") headers.set("content-type", value.contentType);
    return value.bytes;
  }
  switch (type) {
    case "multipart/form-data":
      headers.delete("content-type"); // fetch sets it, with the boundary
      return formOf(value);
    case "application/x-www-form-urlencoded":
      return new URLSearchParams(
        pairsOf(value).map(([key, item]) => [key, textOfValue(item)] as [string, string]),
      ).toString();
    case "":
      headers.set("content-type", "application/json");
      return JSON.stringify(value);
    default:
      return typeof value === "string" && !type.endsWith("json") ? value : JSON.stringify(value);
  }
}

function formOf(value: unknown): FormData {
  const form = new FormData();
  for (const [key, item] of pairsOf(value)) {
    if (item instanceof Attachment) {
      form.append(key, new Blob([item.bytes], { type: item.contentType }), item.filename || key);
    } else {
      form.append(key, textOfValue(item));
    }
  }
  return form;
}

/** Fields of a form: a list gives one pair per item, null gives none. */
function pairsOf(value: unknown): readonly (readonly [string, unknown])[] {
  return entriesOf(value).flatMap(([key, item]) =>
    (Array.isArray(item) ? item : [item])
      .filter((one) => one !== null && one !== undefined)
      .map((one: unknown) => [key, one] as const)
  );
}

function entriesOf(value: unknown): readonly (readonly [string, unknown])[] {
  if (value === null || value === undefined) return [];
  if (typeof value !== "object" || Array.isArray(value)) {
    throw failed(`Cannot take ${shown(value)} as fields: it is no mapping`);
  }
  return Object.entries(value);
}
