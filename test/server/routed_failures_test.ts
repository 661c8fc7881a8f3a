/** What an upstream may do to a proxy, and what 500 streams at once do to both, behind a route. */
import { surround } from "./surroundings.ts";

surround(["away", "llm"]);
await import("./chaos_test.ts");
await import("./endless_upstream_test.ts");
await import("./proxy_load_test.ts");
await import("./proxy_retries_test.ts");
await import("./respoken_errors_test.ts");
