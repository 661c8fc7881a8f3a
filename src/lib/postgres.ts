/**
 * What everybody needs who asks a Postgres through `Bun.SQL`: a time limit, tables that are up to date,
 * and what its errors say.
 *
 * @module
 */

/**
 * Brings tables up to date, once for all processes that start at the same time: `migrations[i]` from
 * version i to i + 1. `table` knows the version, `lock` is the advisory lock of whoever changes them.
 *
 * @throws {Error} when they are from a newer weir, or the server says so (the promise rejects).
 */
export async function migratePostgres(
  sql: Bun.SQL,
  table: string,
  migrations: readonly string[],
  lock: number,
): Promise<void> {
  await sql.begin(async (sql) => {
    await sql`SELECT pg_advisory_xact_lock(${lock}::bigint)`;
    await sql.unsafe(`CREATE TABLE IF NOT EXISTS ${table} (version integer PRIMARY KEY)`);
    const rows: { readonly version: number }[] = await sql.unsafe(
      `SELECT coalesce(max(version), 0)::int4 AS version FROM ${table}`,
    );
    const { version } = rows[0]!;
    if (version > migrations.length) {
      throw new Error(
        `its tables are from a newer weir (version ${version}, this one knows ${migrations.length})`,
      );
    }
    for (const [i, migration] of migrations.slice(version).entries()) {
      await sql.unsafe(migration).simple();
      await sql.unsafe(`INSERT INTO ${table} (version) VALUES ($1)`, [version + i + 1]);
    }
  });
}

/**
 * What `answer` gives within `timeoutMs`. A question that is given up may still be answered: its effect
 * must be the same when it is asked again.
 */
export function within<T>(timeoutMs: number, answer: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const limit = AbortSignal.timeout(timeoutMs);
  const onTime = () => reject(new Error(`it gave no answer within ${timeoutMs} ms`));
  limit.addEventListener("abort", onTime);
  return Promise.race([answer, promise]).finally(() => limit.removeEventListener("abort", onTime));
}

/** The SQLSTATE of an error of the server; "" for one of the connection. */
export function stateOf(error: unknown): string {
  const { errno } = error as { readonly errno?: unknown };
  return typeof errno === "string" ? errno : "";
}

/** What went wrong, in its own words, which may quote a value. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** `error` without the words of the server, which may quote a text. */
export function plainOf(error: unknown): string {
  const state = stateOf(error);
  return state === "" ? reasonOf(error) : `SQLSTATE ${state}`;
}
