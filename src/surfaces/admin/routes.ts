/**
 * The rows for whoever operates weir or looks at it: health, metrics, and the pages.
 *
 * @module
 */

import { JSON_TYPE, type Route, TEXT_TYPE } from "../openapi.ts";

/** Health, metrics, and the pages. */
export const OPERATION_ROUTES: readonly Route[] = [
  {
    method: "get",
    path: "/health",
    tag: "Operation",
    summary: "Is this process ready for traffic?",
    auth: "none",
    responses: {
      "200": { description: "Yes; OK as plain text on request", types: [JSON_TYPE, TEXT_TYPE] },
      "503": { description: "It is starting, or it is draining", types: [JSON_TYPE, TEXT_TYPE] },
    },
  },
  {
    method: "get",
    path: "/metrics",
    tag: "Operation",
    summary: "What weir counts, for Prometheus; not here when ops.metrics_port is set",
    auth: "token",
    responses: {
      "200": { description: "Prometheus' text format, version 0.0.4", types: [TEXT_TYPE] },
      "401": { description: "No valid bearer token", types: [JSON_TYPE] },
    },
  },
  {
    method: "get",
    path: "/",
    tag: "Operation",
    summary: "The web page: workflows and a chat playground",
    auth: "none",
    responses: { "200": { description: "The page", types: ["text/html"] } },
  },
  {
    method: "get",
    path: "/ui/{file}",
    tag: "Operation",
    summary: "A file of the web page",
    auth: "none",
    parameters: [{ name: "file", in: "path", description: "its name" }],
    responses: {
      "200": { description: "The file", types: ["text/javascript", "text/css"] },
      "404": { description: "There is no such file", types: [JSON_TYPE] },
    },
  },
  {
    method: "get",
    path: "/openapi.json",
    tag: "Operation",
    summary: "This document",
    auth: "none",
    responses: { "200": { description: "OpenAPI 3.1", types: [JSON_TYPE] } },
  },
  {
    method: "get",
    path: "/docs",
    tag: "Operation",
    summary: "This page",
    auth: "none",
    responses: { "200": { description: "The page", types: ["text/html"] } },
  },
  {
    method: "get",
    path: "/docs/{file}",
    tag: "Operation",
    summary: "A file of this page",
    auth: "none",
    parameters: [{ name: "file", in: "path", description: "its name", example: "start.js" }],
    responses: {
      "200": { description: "The file", types: ["text/javascript", "text/css", TEXT_TYPE] },
      "404": { description: "There is no such file", types: [TEXT_TYPE] },
    },
  },
  {
    method: "get",
    path: "/redoc",
    tag: "Operation",
    summary: "Go to /docs",
    auth: "none",
    responses: { "307": { description: "To /docs" } },
  },
];
