import { afterAll, describe, expect, test } from "bun:test";
import { type AddressInfo, createServer } from "node:net";
import { trimmer } from "../../src/memory/open.ts";
import { openPostgresMemory, POSTGRES_MIGRATIONS } from "../../src/memory/postgres.ts";
import { waitFor } from "../server/launch.ts";
import { postgresPrograms, startPostgres } from "./postgres_server.ts";
import { makeFolder, outboxBefore, removeFolder } from "./stores.ts";
import { ask, CALLER, memoryTests, said, short, type Skip, storeOptions } from "./tests.ts";

const ABSENT = "Postgres is not installed (Debian: apt-get install postgresql)";

const SKIPS: readonly Skip[] = [
  {
    reason: "the outbox before it sends the turns of a session one behind the other",
    tests: [
      "commit() keeps the order of 100 turns that nobody waited for",
      "a closed memory keeps its turns for the next opening",
    ],
  },
];

const OUTBOX_SKIPS: readonly Skip[] = [
  {
    reason: "turns on their way are pruned once they have arrived",
    tests: ["prune() forgets what is older, across many sessions"],
  },
  {
    reason: "the prompt is the store's, and does not count the turns on their way",
    tests: ["apply() tells in the prompt what is not shown"],
  },
];

const programs = postgresPrograms();
if (programs === undefined) {
  if (process.env["CI"] === "true") {
    test("Postgres is there", () => {
      throw new Error(ABSENT);
    });
  } else {
    test.skip(`memory: postgres (${ABSENT})`, () => {});
  }
} else {
  const server = await startPostgres(programs);
  afterAll(() => server.stop());

  memoryTests("postgres", async () => {
    const url = await server.makeDatabase();
    return {
      open: (options) => Promise.resolve(openPostgresMemory({ ...options, url, timeoutMs: 5000 })),
      dispose: () => Promise.resolve(),
    };
  }, SKIPS);

  memoryTests("postgres behind an outbox", async () => {
    const url = await server.makeDatabase();
    const folder = makeFolder();
    return {
      open: (options) =>
        Promise.resolve(
          outboxBefore(openPostgresMemory({ ...options, url, timeoutMs: 5000 }), folder, options, {
            trim: trimmer(options),
          }),
        ),
      dispose: () => Promise.resolve(removeFolder(folder)),
    };
  }, OUTBOX_SKIPS);

  describe("the memory in Postgres", () => {
    test("eight processes that start at once make one set of tables", async () => {
      const url = await server.makeDatabase();
      const memories = Array.from(
        { length: 8 },
        () => openPostgresMemory({ ...storeOptions(), url, timeoutMs: 5000 }),
      );
      await Promise.all(memories.map((memory, i) => memory.commit(said(`q${i}`, "a"))));
      expect((await memories[0]!.turns("s", 100)).length).toBe(8);
      await Promise.all(memories.map((memory) => memory.close()));
    });

    test(
      "sessions of an older weir are renamed by eight processes at once, and merged",
      async () => {
        const url = await server.makeDatabase();
        const old = new Bun.SQL(url, { max: 1 });
        await old.unsafe(
          "CREATE TABLE weir_migrations (version integer PRIMARY KEY);" +
            `INSERT INTO weir_migrations VALUES (1); ${POSTGRES_MIGRATIONS[0]}`,
        ).simple();
        const add = async (name: string, user: string, role: string, turns = 1) => {
          const [{ id }] = await old`
          INSERT INTO weir_sessions (name, user_id, role_id, group_id, began_ms, turn_count)
          VALUES (${name}, ${user}, ${role}, '', 0, ${turns}) RETURNING id::text`;
          for (let i = 0; i < turns; i++) {
            await old`
            INSERT INTO weir_turns (session, at_ms, is_partial, key, query, answer)
            VALUES (${id}::bigint, 0, false, ${`k${i}`}::text, ${name}::text, ${`${i}`}::text)`;
          }
        };
        await old`
        INSERT INTO weir_sessions (name, user_id, role_id, group_id, began_ms, turn_count)
        SELECT 'u' || i || '_角', 'u' || i, '角', '', 0, 0 FROM generate_series(1, 1500) AS i`;
        await add("张_r", "张", "r", 2);
        await add("s1", "u", "r");
        await add(`${"张".repeat(600)}_r`, "张".repeat(600), "r");
        const memories = Array.from(
          { length: 8 },
          () => openPostgresMemory({ ...storeOptions(), url, timeoutMs: 20_000 }),
        );
        const zhang = { userId: "张", roleId: "r" };
        const all = await Promise.all(
          memories.map((memory) => memory.apply(ask(zhang), CALLER)),
        );
        for (const { messages } of all) expect(messages).toHaveLength(4);
        expect(await memories[0]!.named("张_r")).toEqual(["user_id=%E5%BC%A0&role_id=r"]);
        expect(short(await memories[1]!.turns("s1", 9))).toEqual(["s1>0"]);
        // No index takes its new name: it is still found by its older one.
        expect(await memories[2]!.named(`${"张".repeat(600)}_r`)).toHaveLength(1);
        const [{ count }] = await old`
        SELECT count(*)::int4 AS count FROM weir_sessions WHERE joined LIKE '%\\_角'`;
        expect(count).toBe(1500);
        // A node of the older weir that still runs writes its own names.
        await memories[0]!.commit(said("new", "0", { ...zhang, key: "k9" }));
        await add("张_r", "张", "r", 3);
        const later = openPostgresMemory({ ...storeOptions(), url, timeoutMs: 5000 });
        const { messages, systemPrompt } = await later.apply(ask(zhang), CALLER);
        expect(messages.map(({ content }) => content)).toEqual(
          ["张_r", "0", "张_r", "1", "new", "0", "张_r", "2"],
        );
        expect(systemPrompt).toContain("has 4 turns so far");
        await Promise.all([...memories, later].map((memory) => memory.close()));
        await old.close();
      },
      60_000,
    );

    test("a server that crashed is used again when it is back; the outbox bridges it", async () => {
      const url = await server.makeDatabase();
      const folder = makeFolder();
      const options = storeOptions();
      const memory = outboxBefore(
        openPostgresMemory({ ...options, url, timeoutMs: 5000 }),
        folder,
        options,
      );
      await memory.commit(said("one", "1"));
      await memory.apply(ask({ sessionId: "s" }), CALLER);
      await server.crash();
      await memory.commit(said("two", "2"));
      await expect(Promise.resolve(memory.apply(ask({ sessionId: "s" }), CALLER))).rejects.toThrow(
        /Cannot .* memory in Postgres/,
      );
      await server.start();
      const { messages } = await memory.apply(ask({ sessionId: "s" }), CALLER);
      expect(messages.map(({ content }) => content)).toEqual(["one", "1", "two", "2"]);
      const later = openPostgresMemory({ ...options, url, timeoutMs: 5000 });
      // The outbox delivers when its pause is over; closing it before would keep the turn in there.
      await waitFor(async () => (await later.turns("s", 10)).length === 2);
      await memory.close();
      expect(short(await later.turns("s", 10))).toEqual(["one>1", "two>2"]);
      await later.close();
      removeFolder(folder);
    }, 60_000);

    /** What Postgres never takes → where it is said. */
    const NEVER_TAKEN: readonly (readonly [string, Parameters<typeof said>[2], RegExp])[] = [
      // Random digits: what Postgres can compress into its index it takes.
      [
        "an id over its index",
        { sessionId: Array.from({ length: 6000 }, () => Math.random().toString(16)[2]).join("") },
        /^Postgres refuses the turn: SQLSTATE 54000$/,
      ],
    ];
    for (const [what, fields, reason] of NEVER_TAKEN) {
      test(`${what} goes to the dead letters, and others are delivered`, async () => {
        const url = await server.makeDatabase();
        const folder = makeFolder();
        const options = storeOptions();
        const store = openPostgresMemory({ ...options, url, timeoutMs: 5000 });
        const memory = outboxBefore(store, folder, options);
        await memory.commit(said("bad", "1", fields));
        for (let i = 0; i < 5; i++) {
          await memory.commit(said(`q${i}`, "a", { sessionId: `good ${i}` }));
        }
        await waitFor(() => memory.backlog?.()?.turns === 0);
        for (let i = 0; i < 5; i++) {
          expect(short(await store.turns(`good ${i}`, 10))).toEqual([`q${i}>a`]);
        }
        const [dead] = options.events.filter((event) => event.kind === "turn_dead");
        expect(dead).toMatchObject({
          letter: 1,
          attempts: 1,
          cause: expect.stringMatching(reason),
        });
        await memory.close();
        removeFolder(folder);
      });
    }

    test("a server that says nothing is given up after the time limit", async () => {
      const silent = createServer(() => {});
      await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
      const { port } = silent.address() as AddressInfo;
      const url = `postgres://u:p@127.0.0.1:${port}/weir`;
      const memory = openPostgresMemory({ ...storeOptions(), url, timeoutMs: 100 });
      await expect(Promise.resolve(memory.apply(ask(), CALLER))).rejects.toThrow(
        /Cannot prepare the memory in Postgres: it gave no answer within 100 ms/,
      );
      silent.close();
      void memory.close();
    });
  });
}
