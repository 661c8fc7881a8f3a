/**
 * The same promises where another upstream could still be asked, so that each answer is held until its
 * first word. How it is held there, and what moves on, fallback_test.ts knows.
 */
import { surround } from "./surroundings.ts";

surround(["llm", "away"]);
await import("./proxy_leaving_test.ts");
await import("./proxy_headers_test.ts");
await import("./proxy_upload_test.ts");
