import { afterAll, describe, expect, test } from "bun:test";
import { openPostgresMemory } from "../../src/memory/postgres.ts";
import { openPostgresStore } from "../../src/store/postgres.ts";
import { postgresPrograms, startPostgres } from "../memory/postgres_server.ts";
import { said, storeOptions } from "../memory/tests.ts";
import { NOW_MS, stored, storeTests, used } from "./tests.ts";

const ABSENT = "Postgres is not installed (Debian: apt-get install postgresql)";

const programs = postgresPrograms();
if (programs === undefined) {
  if (process.env["CI"] === "true") {
    test("Postgres is there", () => {
      throw new Error(ABSENT);
    });
  } else {
    test.skip(`store: postgres (${ABSENT})`, () => {});
  }
} else {
  const server = await startPostgres(programs);
  afterAll(() => server.stop());
  const open = (url: string) => openPostgresStore({ url, timeoutMs: 5000 });

  storeTests("postgres", async () => {
    const url = await server.makeDatabase();
    return { open: () => open(url), dispose: () => {} };
  });

  describe("the store in Postgres", () => {
    test("lies beside the memory, and eight who start at once make one set of tables", async () => {
      const url = await server.makeDatabase();
      const memory = openPostgresMemory({ ...storeOptions(), url, timeoutMs: 5000 });
      const stores = Array.from({ length: 8 }, () => open(url));
      await Promise.all([
        memory.commit(said("q", "a")),
        ...stores.map((store, i) => store.addUsage([used(`r${i}`)])),
      ]);
      expect((await stores[0]!.spent(NOW_MS))[0]!.dayTokens).toBe(7 * 8);
      expect((await memory.turns("s", 9)).length).toBe(1);
      for (const store of stores) await store.close();
      await memory.close();
    });

    test("says so while the server is away, and goes on when it is back", async () => {
      const url = await server.makeDatabase();
      const store = open(url);
      await store.changeKeys({ kind: "add", key: stored("ci", "a1") });
      await server.crash();
      await expect(Promise.resolve(store.keys())).rejects.toMatchObject({ code: "store_failed" });
      await expect(Promise.resolve(store.addUsage([used("a")]))).rejects.toMatchObject({
        code: "store_failed",
      });
      await server.start();
      expect((await store.keys()).length).toBe(1);
      await store.addUsage([used("a")]);
      expect((await store.spent(NOW_MS))[0]!.dayTokens).toBe(7);
      await store.close();
    });

    test("an error's plain words quote neither a key nor the server's address", async () => {
      const store = open("postgres://u:secret-word@127.0.0.1:1/db");
      const error = await Promise.resolve(store.keys()).catch((error) => error);
      expect(error.plain).toStartWith("Cannot read the store in Postgres: ");
      expect(error.plain).not.toContain("secret-word");
      expect(error.message).not.toContain("secret-word");
      await store.close();
    });
  });
}
