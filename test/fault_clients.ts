/**
 * Measures what clients make of faults, and writes the tables of docs/fault_clients.md: a minute.
 *
 * @module
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  clientTable,
  dialectTables,
  PAGE,
  startBench,
  TABLES,
  versionTable,
  withTables,
} from "./server/fault_tables.ts";

const path = join(import.meta.dir, "..", PAGE);
const bench = await startBench();
let page = withTables(readFileSync(path, "utf8"), "Which dialect has which", dialectTables());
page = withTables(page, "Clients", versionTable());
for (const [dialect, title] of TABLES) {
  page = withTables(page, title, await clientTable(dialect, bench));
}
writeFileSync(path, page);
await bench.weir.stop();
process.exit(0); // a client that hangs would keep the process
