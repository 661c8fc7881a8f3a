/**
 * Which routes a key may use.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";

/** @throws {AppError} 403 when the key may not use the route; "" = the request is none's. */
export function checkRoute(route: string, { key, engine }: Call): void {
  const routes = key?.rules.routes ?? [];
  if (routes.length === 0 || routes.includes(route)) return;
  engine.watch({ kind: "key_refused", by: "route" });
  const what = route === "" ? "no route that has a name" : `the route ${route}`;
  throw new AppError(
    "key_forbidden",
    `The key ${key!.name} may use some routes only, and this request takes ${what}`,
  );
}
