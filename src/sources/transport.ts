/**
 * How bytes travel to an upstream and back: the seam below the proxy. One request, one response,
 * read chunk by chunk at the reader's pace.
 *
 * @module
 */

import { rootCertificates } from "node:tls";
import { AppError } from "../core/errors.ts";
import type { Abort } from "../lib/abort.ts";
import type { Field, HeaderSource } from "./upstream_headers.ts";

/** One request to an upstream. */
export interface TransportRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly Field[];
  readonly body: Uint8Array<ArrayBuffer> | null;
  /** Aborts the request in every window: connecting, waiting, reading. */
  readonly signal: Abort | AbortSignal;
}

/** An upstream's answer: its head, and its body as it comes. */
export interface TransportResponse extends HeaderSource {
  readonly status: number;
  /** The whole body when all of it is here already, else undefined. Counts as reading it. */
  whole(): Uint8Array | undefined;
  /**
   * The next chunk as the upstream sent it, or null at the end; without a promise when it is here
   * already. Rejects when the body breaks off.
   */
  read(): Uint8Array | null | Promise<Uint8Array | null>;
  /** Gives the body up and frees its connection. Never throws. */
  cancel(): void;
}

/** Sends requests. */
export interface Transport {
  /** @throws {AppError} `upstream_unreachable` when there is no response; the signal's reason. */
  send(request: TransportRequest): Promise<TransportResponse>;
  /** Closes what is pooled. */
  close(): void;
}

/** The part of `fetch` that the official client uses. */
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
  /** The key of the config that says where the upstream is, for whoever reads that it is not there. */
  readonly configKey: string;
}

/**
 * The transport on Bun's `fetch`: compressed bodies stay compressed, redirects are answers, and no
 * time limit but the caller's (facts/runtime.md 3).
 */
export function fetchTransport(options: FetchTransportOptions): Transport {
  const route = { ...routeOf(options), decompress: false, redirect: "manual" } as const;
  return {
    async send({ method, url, headers, body, signal }) {
      let response: Response;
      try {
        // Bun's options go beyond the DOM's; the cast is the one place that says so.
        const init = {
          method,
          headers: Object.fromEntries(headers),
          body,
          signal: signal instanceof AbortSignal ? signal : signal.toSignal(),
          ...route,
        };
        response = await fetch(url, init as RequestInit);
      } catch (cause) {
        if (signal.aborted) throw signal.reason;
        throw unreachable(url, options.configKey, cause);
      }
      const reader = response.body?.getReader();
      return {
        status: response.status,
        fields: response.headers,
        header: (name) => response.headers.get(name),
        whole: () => undefined,
        async read() {
          if (reader === undefined) return null;
          const { done, value } = await reader.read();
          return done ? null : value;
        },
        cancel() {
          reader?.cancel().catch(() => {}); // it is given up: how that ends is nobody's matter
        },
      };
    },
    close() {},
  };
}

/** `fetch` on the same route, for the official client. It sets its own time limits. */
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
