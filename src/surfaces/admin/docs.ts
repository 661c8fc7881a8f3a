/**
 * `/docs`: the API page, and `/openapi.json` beneath it. The page is Swagger UI from inside the
 * executable; it asks no other host for anything.
 *
 * @module
 */

import { openapiDocument, type Page, type Route } from "../route.ts";

/** What the surface needs. */
export interface DocsDeps {
  /** The whole table; asked for once it is complete. */
  readonly routes: () => readonly Route[];
  readonly version: string;
}

/** The handlers. */
export interface Docs {
  readonly document: Page;
  readonly page: Page;
  readonly file: Page;
  readonly redoc: Page;
}

const HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>weir: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
`;

/**
 * Neither a validator badge nor a configuration from the query, both of which would reach for other
 * hosts. The document's address is relative, so the page works behind any prefix.
 */
const START = `SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  validatorUrl: null,
  queryConfigEnabled: false,
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: -1,
  tryItOutEnabled: true,
});
`;

/** What the page may do, so that even a flaw in the viewer asks nobody else. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const CACHE_S = 3600;

/** Makes the handlers. The document is made on first use: nothing of it costs the start. */
export function docs({ routes, version }: DocsDeps): Docs {
  let json: string | undefined;

  function textFile(text: string, type: string): Response {
    return new Response(text, {
      headers: { "content-type": type, "cache-control": `max-age=${CACHE_S}` },
    });
  }

  return {
    document() {
      json ??= JSON.stringify(openapiDocument(routes(), version));
      return new Response(json, {
        headers: {
          "content-type": "application/json",
          "cache-control": "no-cache",
          "access-control-allow-origin": "*",
        },
      });
    },
    page: () =>
      new Response(HTML, {
        headers: {
          "content-type": "text/html; charset=utf-8",
          "content-security-policy": POLICY,
          "cache-control": "no-cache",
          "referrer-policy": "no-referrer",
        },
      }),
    async file(_request, { file: name = "" }) {
      if (name === "start.js") return textFile(START, "text/javascript; charset=utf-8");
      const viewer = await import("./docs_viewer.ts");
      switch (name) {
        case "swagger-ui-bundle.js":
          return textFile(viewer.SCRIPT, "text/javascript; charset=utf-8");
        case "swagger-ui.css":
          return textFile(viewer.STYLE, "text/css; charset=utf-8");
        case "LICENSE":
          return textFile(viewer.LICENSE, "text/plain; charset=utf-8");
        case "NOTICE":
          return textFile(viewer.NOTICE, "text/plain; charset=utf-8");
        case "swagger-ui-bundle.js.LICENSE.txt":
          return textFile(viewer.SCRIPT_LICENSES, "text/plain; charset=utf-8");
        default:
          return new Response("There is no such file\n", {
            status: 404,
            headers: { "content-type": "text/plain; charset=utf-8" },
          });
      }
    },
    redoc: () => new Response(null, { status: 307, headers: { location: "docs" } }),
  };
}
