/**
 * The nginx site.
 *
 * @module
 */

import { fill } from "./fill.ts";
import TEMPLATE from "./nginx.conf" with { type: "text" };

/** What a site is filled in with. */
export interface SiteFacts {
  /** Where weir listens: "127.0.0.1:8080", "[::1]:8080", "unix:/run/weir/weir.sock". */
  readonly upstream: string;
  /** `server.body_max_bytes` */
  readonly bodyBytesMax: number;
  /** Where nginx listens: "80", "127.0.0.1:8443". Absent: 80, or 443 with a certificate. */
  readonly listen?: string;
  /** Host names, or "_" for any. */
  readonly serverName: string;
  /** Absent: plain HTTP. */
  readonly tls?: { readonly certificate: string; readonly key: string };
}

/** The site, shipped as `nginx.conf`, for these facts. */
export function siteText({ upstream, bodyBytesMax, listen, serverName, tls }: SiteFacts): string {
  return fill(TEMPLATE, [
    { start: "server 127.0.0.1:8080;", lines: [`server ${word(upstream)};`] },
    {
      start: "listen 80;",
      lines: tls === undefined ? [`listen ${listen ?? 80};`] : [
        `listen ${listen ?? 443} ssl;`,
        `ssl_certificate ${word(tls.certificate)};`,
        `ssl_certificate_key ${word(tls.key)};`,
        "# A small event travels in a small record, and not behind 16 KiB that come first.",
        "ssl_buffer_size 4k;",
      ],
    },
    { start: "server_name _;", lines: [`server_name ${serverName};`] },
    { start: "client_max_body_size", lines: [`client_max_body_size ${bodyBytesMax};`] },
  ]);
}

function word(text: string): string {
  return /[\s"';{}$\\]/.test(text) ? `"${text.replace(/["\\]/g, "\\$&")}"` : text;
}
