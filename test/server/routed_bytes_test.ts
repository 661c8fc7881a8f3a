/**
 * The promises that a proxy makes of bytes, kept behind everything that a route puts around an
 * upstream: the tests of one upstream, with a route to it behind one that is not there.
 */
import { surround } from "./surroundings.ts";

surround(["away", "llm"]);
await import("./proxy_bytes_test.ts");
await import("./proxy_leaving_test.ts");
await import("./proxy_failures_test.ts");
await import("./proxy_headers_test.ts");
await import("./proxy_upload_test.ts");
await import("./streaming_surfaces_test.ts");
