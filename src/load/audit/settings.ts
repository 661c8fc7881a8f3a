/**
 * What is set, and where, so that a finding goes away: for programs whose own documentation has such
 * a setting.
 *
 * @module
 */

import type { Finding, Settings } from "./finding.ts";
import { ENDS } from "./rig.ts";

/** Nothing waits until there is enough of it. */
const UNBUFFERED: Settings = {
  nginx: "proxy_buffering off;",
  haproxy: "option http-no-delay",
  Envoy: "no envoy.filters.http.buffer on this route",
  Caddy: "reverse_proxy { flush_interval -1 }",
  Traefik: "no buffering middleware; responseForwarding.flushInterval: -1ms",
  Node: "response.flushHeaders() and socket.setNoDelay(true); no compression() of event streams",
};

const UNCOMPRESSED: Settings = {
  nginx: "gzip off; in this location",
  haproxy: "no text/event-stream in compression type",
  Envoy: "no text/event-stream in the compressor's content_type",
  Caddy: "encode with a match that leaves text/event-stream out",
  Traefik: "compress.excludedContentTypes: text/event-stream",
  Node: "compression({ filter }) that leaves event streams out",
};

const ABORTED: Settings = {
  nginx: "proxy_ignore_client_abort off (the default)",
  haproxy: "option abortonclose",
  Node: 'response.on("close", () => controller.abort()), and the signal given to fetch',
};

const NOT_AGAIN: Settings = {
  nginx: "proxy_next_upstream off;",
  haproxy: "retries 0",
  Envoy: "no retry_policy on this route",
  Caddy: "lb_retries 0 and no lb_try_duration",
  Traefik: "no retry middleware",
};

const KEPT: Settings = {
  nginx:
    'keepalive 64; in the upstream, proxy_http_version 1.1; and proxy_set_header Connection "";',
  haproxy: "http-reuse always",
  Envoy: "no max_requests_per_connection: 1 in the cluster",
  Caddy: "transport http { keepalive 2m }",
  Traefik: "serversTransport.maxIdleConnsPerHost",
  Node: "new http.Agent({ keepAlive: true })",
};

const CLOSED_SOONER: Settings = {
  nginx:
    "keepalive_timeout in the upstream below the provider's; proxy_next_upstream … non_idempotent",
  haproxy: "retry-on conn-failure empty-response",
  Envoy: "common_http_protocol_options.idle_timeout of the cluster; retry_on: reset-before-request",
  Caddy: "transport http { keepalive 30s }",
  Traefik: "serversTransport.forwardingTimeouts.idleConnTimeout: 30s",
  Node: "new Agent({ keepAliveTimeout }) of undici below the provider's",
};

const PATIENT: Settings = {
  nginx: "proxy_read_timeout 300s;",
  haproxy: "timeout server 300s and timeout client 300s",
  Envoy: "stream_idle_timeout: 300s in the connection manager, timeout: 0s on the route",
  Caddy: "transport http without read_timeout, reverse_proxy without stream_timeout",
  Traefik: "entryPoints.NAME.transport.respondingTimeouts.writeTimeout: 0",
  Node: "new Agent({ bodyTimeout: 0 }) of undici",
};

const NO_HEADERS_UP: Settings = {
  nginx: 'proxy_set_header NAME "";',
  haproxy: "http-request del-header NAME",
  Envoy: "request_headers_to_remove: [NAME]",
  Caddy: "header_up -NAME",
  Traefik: 'headers.customRequestHeaders.NAME: ""',
};

const NO_HEADERS_DOWN: Settings = {
  nginx: "proxy_hide_header NAME;",
  haproxy: "http-response del-header NAME",
  Envoy: "response_headers_to_remove: [NAME]",
  Caddy: "header_down -NAME",
  Traefik: 'headers.customResponseHeaders.NAME: ""',
};

const BOUNDED: Settings = {
  nginx: "proxy_buffering off;, or proxy_max_temp_file_size 0;",
  Envoy: "per_connection_buffer_limit_bytes of listener and cluster",
  Traefik: "no buffering middleware",
  Node: "stream.pipeline(), or a wait for drain where write() gives false",
};

/** By the beginning of a finding's name; the first one that fits. */
const TABLE: readonly (readonly [name: string, settings: Settings])[] = [
  ["bytes/encoding", UNCOMPRESSED],
  ["hold-back", UNBUFFERED],
  ["coalescing", UNBUFFERED],
  ["first-byte/way-up", {}],
  ["first-byte", UNBUFFERED],
  ["event-lateness", UNBUFFERED],
  ["cancel", ABORTED],
  ["retries", NOT_AGAIN],
  ["keep-alive/reuse", KEPT],
  ["keep-alive/close-idle", CLOSED_SOONER],
  ["silence", PATIENT],
  ["headers/x-accel", { nginx: "proxy_ignore_headers X-Accel-Redirect;" }],
  ["headers/hop-up", NO_HEADERS_UP],
  ["headers/credentials-up", NO_HEADERS_UP],
  ["headers/key-up", NO_HEADERS_UP],
  ["headers/hop-down", NO_HEADERS_DOWN],
  ["back-pressure/taken", BOUNDED],
  ["back-pressure/memory", BOUNDED],
];

/** What mends `one`, where programs have a setting for it; undefined for what need not be mended. */
export function settingsFor({ check, name, verdict, value }: Finding): Settings | undefined {
  // A silence with a number was not cut: the comments are what is missing.
  if (verdict !== "fail" || check === "silence" && value !== undefined) return undefined;
  if (name === `${check}/${ENDS}`) return undefined;
  return TABLE.find(([beginning]) => name.startsWith(beginning))?.[1];
}
