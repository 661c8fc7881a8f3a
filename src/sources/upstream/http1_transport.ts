/**
 * The transport on our own HTTP/1.1 client: what the proxy stands on wherever no HTTP proxy lies
 * between it and the upstream.
 *
 * @module
 */

import { rootCertificates } from "node:tls";
import { AppError } from "../../core/errors.ts";
import { Http1Client } from "../../lib/http1/client.ts";
import { Http1Error, type Http1ErrorCode } from "../../lib/http1/error.ts";
import type { Wheel } from "../../lib/wheel.ts";
import { closedUnsaid, type Resend, type Transport, unreachable, urlBelow } from "./transport.ts";

/** Where the upstream is; from the `llm` section of the config. */
export interface Http1TransportOptions {
  /** Requests go to its origin only. */
  readonly base_url: string;
  /**
   * The key of the config that says where the upstream is, for whoever reads that it is not there.
   */
  readonly configKey: string;
  /** PEM text of the certificate authority to trust besides the built-in ones; "" = none. */
  readonly ca: string;
  /** Default auto. */
  readonly resend?: Resend;
  readonly wheel: Wheel;
  /** Milliseconds until a connection must be ready, TLS included. Default 10 000. */
  readonly connectMs?: number;
}

/** The transport on pooled sockets, without any cap on streams but the pool's. */
export function http1Transport(options: Http1TransportOptions): Transport {
  const { base_url, configKey, ca, resend = "auto", wheel, connectMs } = options;
  const client = new Http1Client({
    origin: base_url,
    wheel,
    resend,
    ...(connectMs === undefined ? {} : { connectMs }),
    ca: ca === "" ? undefined : [...rootCertificates, ca].join("\n"),
    connectionsMax: 65_535,
    // As many as nginx is given beside it. With the 256 of the client, 512 clients at once had every
    // second answer open a connection: 48 µs of processor time in place of 33.
    idleMax: 4_096,
    explain(error) {
      if (error.code === "aborted") return error.cause;
      const isUnsaid = error.code === "closed_early" && !error.hasBegun;
      if (isUnsaid && resend === "never") return closedUnsaid(base_url, error);
      return failed(base_url, configKey, error);
    },
  });
  const base = new URL(base_url);
  const basePath = base.pathname.replace(/\/$/, "");
  const below = urlBelow(base_url);

  /** As `URL` would spell it, which takes its time for what most often is nothing to be done. */
  function fullPath(path: string): string {
    if (PLAIN_PATH.test(path)) return basePath + path + base.search;
    const { pathname, search } = new URL(below(path));
    return pathname + search;
  }

  return {
    send(request, receiver) {
      client.send({ ...request, path: fullPath(request.path) }, receiver);
    },
    close: () => client.close(),
  };
}

/** Has neither dots nor anything that could want to be encoded. */
const PLAIN_PATH = /^[\w/-]*$/;

/** What to say where the system has no word of its own, like ECONNREFUSED. */
const REASONS: Partial<Record<Http1ErrorCode, string>> = {
  closed_early: "it closed the connection without an answer",
  timeout_connect: "it accepted no connection in time",
  pool_full: "too many requests are under way",
  client_closed: "weir is shutting down",
};

/** Unreachable when the upstream has said nothing, else broken: it must not be asked again. */
function failed(url: string, configKey: string, error: Http1Error): AppError {
  const { code, cause, message } = error;
  const isUnreachable = error.isRetryable || code === "tls_failed" || code === "client_closed";
  if (!isUnreachable) return new AppError("upstream_broken", message, { cause: error });
  const hasWord = cause instanceof Error && "code" in cause;
  const reason = hasWord ? cause : new Error(REASONS[code] ?? message, { cause: error });
  return unreachable(url, configKey, reason);
}
