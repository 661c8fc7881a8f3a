/**
 * How bytes travel to an upstream and back: the seam below the proxy. One request, one response,
 * read chunk by chunk at the reader's pace.
 *
 * @module
 */

import { rootCertificates } from "node:tls";
import { AppError } from "../../core/errors.ts";
import type { Abort } from "../../lib/abort.ts";
import type { BodyReader } from "../../lib/http1/body.ts";
import type { WireTap } from "../../lib/http1/call.ts";
import { Fields } from "../../lib/http1/fields.ts";
import type { Http1Upload } from "../../lib/http1/upload.ts";

/** One request to an upstream. */
export interface TransportRequest {
  readonly method: string;
  /** Below the base URL, with the query: "/chat/completions". */
  readonly path: string;
  /** To be taken before `send` returns. */
  readonly fields: Fields;
  readonly body: Uint8Array<ArrayBuffer> | null;
  /** In place of `body`: one that still comes. Only on our own HTTP/1.1 client. */
  readonly upload?: Http1Upload | undefined;
  /** Aborts the request in every window: connecting, waiting, reading. */
  readonly signal: Abort | AbortSignal;
  /** Sees what crosses the wire. */
  readonly tap?: WireTap | undefined;
}

/** An upstream's answer: its head, and its body as it comes. */
export interface TransportResponse {
  readonly status: number;
  readonly fields: Fields;
  /** True when the body ends with the connection. */
  readonly isUntilClose: boolean;
  /** True when the last piece has been read: `read` gives null. */
  readonly isOver: boolean;
  /** The whole body when all of it is here already, else undefined. Counts as reading it. */
  whole(): Uint8Array | undefined;
  /**
   * The next chunk as the upstream sent it; null at the end; undefined when `reader` is told of it
   * later. Throws when the body has broken off.
   */
  next(reader: BodyReader): Uint8Array | null | undefined;
  /** Gives the body up and frees its connection. Never throws. */
  cancel(): void;
}

/**
 * Takes what becomes of a request: exactly one of the last two is called, once. No promise, which would
 * be 1 % of a proxied request. None may throw.
 */
export interface TransportReceiver {
  /** The last byte of the request has left, as far as that is known; once more when it is sent again. */
  onSent?(): void;
  onResponse(response: TransportResponse): void;
  /** An `AppError`, `upstream_unreachable` when there is no response; or the signal's reason. */
  onError(error: unknown): void;
  /** Before either: the request is sent once more, as its kept connection was closed already. */
  onResend?(): void;
}

/** Sends requests to one upstream. */
export interface Transport {
  /** May call back at once. */
  send(request: TransportRequest, receiver: TransportReceiver): void;
  /** Closes what is pooled. */
  close(): void;
}

/**
 * Whether a request may be sent again that the upstream has perhaps read, though it said nothing:
 * never, or auto, where it most likely has not.
 */
export type Resend = "auto" | "never";

/** The part of `fetch` that others than model upstreams are asked with. */
export type FetchLike = (
  url: Parameters<typeof fetch>[0],
  init?: RequestInit,
) => Promise<Response>;

/** How `fetch` reaches an upstream; from the `llm` section of the config. */
export interface FetchRoute {
  /** An HTTP proxy's URL; "" = none, whatever the environment says. */
  readonly proxy: string;
  /** PEM text of the certificate authority to trust besides the built-in ones; "" = none. */
  readonly ca: string;
}

/** How `fetch` reaches which upstream. */
export interface FetchTransportOptions extends FetchRoute {
  /** Without a trailing slash. */
  readonly base_url: string;
  /**
   * The key of the config that says where the upstream is, for whoever reads that it is not there.
   */
  readonly configKey: string;
  /** Default auto. */
  readonly resend?: Resend;
}

/**
 * The transport on Bun's `fetch`: compressed bodies stay compressed, redirects are answers, and no
 * time limit but the caller's (docs/facts/runtime.md "fetch: bodies, redirects, time limits").
 */
export function fetchTransport(options: FetchTransportOptions): Transport {
  const { base_url, configKey, resend } = options;
  const below = urlBelow(base_url);
  const route = { ...routeOf(options), decompress: false, redirect: "manual" } as const;

  async function ask(request: TransportRequest): Promise<TransportResponse> {
    const { method, path, fields, body, upload, signal, tap } = request;
    if (upload !== undefined) throw new TypeError("Cannot send a body that is still coming");
    let response: Response;
    try {
      // Bun's options go beyond the DOM's; the cast is the one place that says so.
      const init = {
        method,
        headers: [...fields].map(([name, value]): [string, string] => [name, value]),
        body,
        signal: signal instanceof AbortSignal ? signal : signal.toSignal(),
        ...route,
      };
      const asked = fetch(below(path), init as RequestInit);
      tap?.onSent(); // `fetch` does not tell
      response = await asked;
    } catch (cause) {
      if (signal.aborted) {
        tap?.onGivenUp(signal.reason);
        throw signal.reason;
      }
      const { code } = cause as { readonly code?: unknown };
      const error = resend === "never" && code === "ECONNRESET"
        ? closedUnsaid(base_url, cause)
        : unreachable(base_url, configKey, cause);
      tap?.onBroken(error);
      throw error;
    }
    const { status, statusText, body: answer } = response;
    const head = { status, fields: Fields.of(response.headers), isUntilClose: false };
    tap?.onHead({ ...head, statusText });
    const reader = answer?.getReader();
    return {
      ...head,
      isOver: false,
      whole: () => undefined,
      next(waiting) {
        if (reader === undefined) {
          tap?.onWhole();
          return null;
        }
        reader.read().then(
          ({ done, value }) => {
            if (done) tap?.onWhole();
            else tap?.onBytes(value);
            waiting.onPiece(done ? null : value);
          },
          (error) => {
            if (signal.aborted) tap?.onGivenUp(signal.reason);
            else tap?.onBroken(error);
            waiting.onBroken(error);
          },
        );
        return undefined;
      },
      cancel() {
        tap?.onGivenUp();
        reader?.cancel().catch(() => {}); // it is given up: how that ends is nobody's matter
      },
    };
  }

  return {
    send(request, receiver) {
      const asked = ask(request);
      receiver.onSent?.(); // `fetch` does not tell
      asked.then(
        (response) => receiver.onResponse(response),
        (error) => receiver.onError(error),
      );
    },
    close() {},
  };
}

/**
 * The URL of a path below `base_url`, which may have a query: that goes with each path, but for names
 * that the path has in its own query.
 */
export function urlBelow(base_url: string): (path: string) => string {
  const at = base_url.indexOf("?");
  if (at < 0) return (path) => base_url + path;
  const base = base_url.slice(0, at);
  const fields = base_url.slice(at + 1).split("&");
  return (path) => {
    const asked = path.indexOf("?");
    if (asked < 0) return `${base}${path}?${fields.join("&")}`;
    const own = new Set(path.slice(asked + 1).split("&").map(nameIn));
    const rest = fields.filter((field) => !own.has(nameIn(field)));
    return base + path + rest.map((field) => `&${field}`).join("");
  };
}

function nameIn(field: string): string {
  return field.split("=", 1)[0]!;
}

/** `fetch` on the same route, for whoever sets time limits of their own. */
export function routedFetch(options: FetchRoute): FetchLike {
  const route = routeOf(options);
  return (url, init) => fetch(url, { ...init, ...route } as RequestInit);
}

function routeOf({ proxy, ca }: FetchRoute) {
  return {
    timeout: false, // Bun's own idle limit of 5 minutes is shorter than some models think
    proxy: proxy === "" ? false : proxy, // false: whatever HTTP_PROXY says
    ...(ca === "" ? {} : { tls: { ca: [...rootCertificates, ca] } }),
  } as const;
}

/**
 * The error for an upstream that gave no response. Names its host and the key of the config that
 * says where it is, never its path or secret.
 */
export function unreachable(url: string, configKey: string, cause: unknown): AppError {
  const reason = cause instanceof Error ? ((cause as { code?: string }).code ?? cause.message) : "";
  return new AppError(
    "upstream_unreachable",
    `Cannot reach the upstream ${new URL(url).host}: ${reason || "no response"}. ` +
      `Check ${configKey} and that the upstream is running.`,
    { cause },
  );
}

/** The error for an upstream that closed without a word, and must not be asked again. */
export function closedUnsaid(url: string, cause: unknown): AppError {
  return new AppError(
    "upstream_broken",
    `The upstream ${new URL(url).host} closed the connection without an answer. ` +
      "It is not asked again, as its setting resend: never wants it.",
    { cause },
  );
}

/** True when the upstream has said nothing, so that it may be asked again. */
export function isUnreachable(error: unknown): error is AppError {
  return error instanceof AppError && error.code === "upstream_unreachable";
}
