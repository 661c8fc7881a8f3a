/** Opens the memory file `path` at the moment `atMs`, writes to it, and says so: for database_test. */

import { openDatabase } from "../../src/memory/database.ts";
import { MIGRATIONS } from "../../src/memory/sqlite_statements.ts";

const [, , path, atMs] = process.argv;
Bun.sleepSync(Math.max(0, Number(atMs) - Date.now()));
const database = openDatabase(path!, "process", MIGRATIONS);
for (let i = 0; i < 50; i++) {
  try {
    database.run("INSERT OR REPLACE INTO probe (id, filler) VALUES (1, randomblob(4096))");
  } catch {
    // busy: another one writes
  }
}
database.close();
process.stdout.write("open");
