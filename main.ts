/**
 * weir's entry point.
 *
 * @module
 */

import { main } from "./src/cli.ts";

await main();
