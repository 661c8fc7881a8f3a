/**
 * The rows for whoever operates weir or looks at it: health, metrics, and the pages.
 *
 * @module
 */

import type { Surface } from "../../core/surface.ts";
import { JSON_TYPE, type Page, type Route, TEXT_TYPE } from "../route.ts";

/** What the rows serve. */
export interface OperationPages {
  readonly health: Page;
  /** undefined = `ops.metrics_port` has them. */
  readonly metrics: Surface | undefined;
  readonly page: Page;
  readonly document: Page;
  readonly docs: Page;
  readonly docsFile: Page;
  readonly redoc: Page;
}

/** Health, metrics, and the pages. */
export function operationRoutes(pages: OperationPages): readonly Route[] {
  const { health, metrics, page, document, docs, docsFile, redoc } = pages;
  return [
    {
      method: "get",
      path: "/health",
      serve: health,
      tag: "Operation",
      summary: "Is this process ready for traffic?",
      auth: "none",
      holds: "nothing",
      responses: {
        "200": { description: "Yes; OK as plain text on request", types: [JSON_TYPE, TEXT_TYPE] },
        "503": { description: "It is starting, or it is draining", types: [JSON_TYPE, TEXT_TYPE] },
      },
    },
    ...(metrics === undefined ? [] : [
      {
        method: "get",
        path: "/metrics",
        serve: metrics,
        tag: "Operation",
        summary: "What weir counts, for Prometheus; not here when ops.metrics_port is set",
        auth: "bearer",
        holds: "nothing",
        opens: "admin",
        responses: {
          "200": { description: "Prometheus' text format, version 0.0.4", types: [TEXT_TYPE] },
          "401": { description: "No valid bearer token", types: [JSON_TYPE] },
        },
      } as const,
    ]),
    {
      method: "get",
      path: "/",
      serve: page,
      tag: "Operation",
      summary: "The web page: workflows and a chat playground",
      auth: "none",
      holds: "nothing",
      responses: { "200": { description: "The page", types: ["text/html"] } },
    },
    {
      method: "get",
      path: "/ui/{file}",
      isOpenEnded: true,
      serve: page,
      tag: "Operation",
      summary: "A file of the web page",
      auth: "none",
      holds: "nothing",
      parameters: [{ name: "file", in: "path", description: "its name" }],
      responses: {
        "200": { description: "The file", types: ["text/javascript", "text/css"] },
        "404": { description: "There is no such file", types: [JSON_TYPE] },
      },
    },
    {
      method: "get",
      path: "/openapi.json",
      serve: document,
      tag: "Operation",
      summary: "This document",
      auth: "none",
      holds: "nothing",
      responses: { "200": { description: "OpenAPI 3.1", types: [JSON_TYPE] } },
    },
    {
      method: "get",
      path: "/docs",
      serve: docs,
      tag: "Operation",
      summary: "This page",
      auth: "none",
      holds: "nothing",
      responses: { "200": { description: "The page", types: ["text/html"] } },
    },
    {
      method: "get",
      path: "/docs/{file}",
      serve: docsFile,
      tag: "Operation",
      summary: "A file of this page",
      auth: "none",
      holds: "nothing",
      parameters: [{ name: "file", in: "path", description: "its name", example: "start.js" }],
      responses: {
        "200": { description: "The file", types: ["text/javascript", "text/css", TEXT_TYPE] },
        "404": { description: "There is no such file", types: [TEXT_TYPE] },
      },
    },
    {
      method: "get",
      path: "/redoc",
      serve: redoc,
      tag: "Operation",
      summary: "Go to /docs",
      auth: "none",
      holds: "nothing",
      responses: { "307": { description: "To /docs" } },
    },
  ];
}
