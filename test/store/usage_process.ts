/** A process that adds usage until it is killed, and tells of each row once that is added. */

import { writeSync } from "node:fs";
import { openSqliteStore } from "../../src/store/sqlite.ts";
import { UsageLog } from "../../src/store/usage_log.ts";
import { used } from "./tests.ts";

const [path = "", folder = ""] = process.argv.slice(2);
const store = openSqliteStore({ path, clock: () => performance.now(), sleep: Bun.sleep });
const log = new UsageLog({ store, folder, uuid: () => Bun.randomUUIDv7(), watch: () => {} });

for (;;) {
  for (let i = 0; i < 50; i++) {
    const id = Bun.randomUUIDv7();
    log.add(used(id));
    // Waits while the pipe is full: a writer of Bun would keep what its reader has no time for.
    writeSync(1, `${id}\n`);
  }
  await Bun.sleep(1);
}
