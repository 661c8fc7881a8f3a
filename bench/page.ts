import type { Results } from "./results.ts";
export function htmlPage(_: Results): string {
  return "";
}
