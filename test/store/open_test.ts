import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Store } from "../../src/core/store.ts";
import { openUsageLog } from "../../src/store/open.ts";
import { makeFolder, removeFolder } from "../memory/stores.ts";
import { used } from "./tests.ts";

const POSTGRES = "postgres://db/weir";

describe("openUsageLog()", () => {
  const PLACES: readonly (readonly [store: string, memory: string, outbox: string, at: string])[] =
    [
      ["sqlite://state/keys.db", "sqlite://other/weir.db", "", "state"],
      ["", "sqlite://state/weir.db", "", "state"],
      [POSTGRES, "sqlite://state/weir.db", "", "state"],
      [POSTGRES, POSTGRES, "state/outbox.db", "state"],
      ["", POSTGRES, "state/outbox.db", "state"],
      ["", POSTGRES, "", "."],
      ["sqlite://:memory:", "http://memory:9000", "state/outbox.db", "state"],
    ];
  for (const [store, memory, outbox, at] of PLACES) {
    test(`${store || "the memory's store"}, ${memory}, ${outbox || "no outbox"}: ${at}`, async () => {
      const folder = makeFolder();
      try {
        for (const name of ["state", "other"]) mkdirSync(join(folder, name));
        const log = openUsageLog(
          { store: { url: store }, memory: { url: memory, outbox, timeout_ms: 1000 } },
          { addUsage: () => Promise.resolve() } as unknown as Store,
          { folder, uuid: () => "one", watch: () => {} },
        );
        log.add(used("r1"));
        expect(existsSync(join(folder, at, "weir-usage", "one.lines"))).toBe(true);
        await log.close();
      } finally {
        removeFolder(folder);
      }
    });
  }
});
