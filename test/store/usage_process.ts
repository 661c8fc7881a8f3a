/** A process that adds usage until it is killed, and tells of each row once that is added. */

import { openSqliteStore } from "../../src/store/sqlite.ts";
import { UsageLog } from "../../src/store/usage_log.ts";
import { used } from "./tests.ts";

const [path = "", folder = ""] = process.argv.slice(2);
const store = openSqliteStore({ path, clock: () => performance.now(), sleep: Bun.sleep });
const log = new UsageLog({ store, folder, uuid: () => Bun.randomUUIDv7(), watch: () => {} });

const encoder = new TextEncoder();
const said = Bun.stdout.writer();
for (;;) {
  for (let i = 0; i < 50; i++) {
    const id = Bun.randomUUIDv7();
    log.add(used(id));
    said.write(encoder.encode(`${id}\n`));
    said.flush();
  }
  await Bun.sleep(1);
}
