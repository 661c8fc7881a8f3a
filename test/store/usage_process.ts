/** A process that adds usage until it is killed, and tells of each row once the turn is over that added it. */

import { openSqliteStore } from "../../src/store/sqlite.ts";
import { UsageLog } from "../../src/store/usage_log.ts";
import { used } from "./tests.ts";

const [path = "", folder = ""] = process.argv.slice(2);
const store = openSqliteStore({ path, clock: () => performance.now(), sleep: Bun.sleep });
const log = new UsageLog({ store, folder, uuid: () => Bun.randomUUIDv7(), watch: () => {} });

const encoder = new TextEncoder();
const said = Bun.stdout.writer();
for (;;) {
  for (let i = 0; i < 25; i++) {
    const ids = [Bun.randomUUIDv7(), Bun.randomUUIDv7()];
    for (const id of ids) log.add(used(id));
    await new Promise<void>((resolve) => setImmediate(resolve)); // behind the log's own
    said.write(encoder.encode(`${ids.join("\n")}\n`));
    said.flush();
  }
  await Bun.sleep(1);
}
