import { expect, test } from "bun:test";
import { runAudit } from "../../../src/load/audit/audit.ts";
import { Ledger } from "../../../src/load/audit/ledger.ts";
import { ScriptedUpstream } from "../../../src/load/audit/scripted_upstream.ts";
import { CHECKS } from "../../../src/load/audit/table.ts";
import { type Planted, startGateway } from "./gateway.ts";
import { rigFor } from "./rig.ts";

interface Piece {
  readonly atMs: number;
  readonly size: number;
  readonly bytes?: string;
}

interface Line {
  readonly kind: string;
  readonly [name: string]: unknown;
}

interface RequestLine extends Line {
  readonly check: string;
  readonly mark: string;
  readonly client: {
    readonly connection: number;
    readonly sentMs: number;
    readonly body: string;
    readonly reads: readonly Piece[];
  };
  readonly upstream: readonly {
    readonly connection: number;
    readonly head: string;
    readonly body: string;
    readonly writes: readonly Piece[];
  }[];
}

/** The lines of an audit, and its report. */
async function ledgerOf(
  planted: Planted,
  names: readonly string[],
  { seed = 7, charsMax, fields = [] }: {
    readonly seed?: number;
    readonly charsMax?: number;
    readonly fields?: readonly (readonly [string, string])[];
  } = {},
) {
  const lines: Line[] = [];
  const upstream = ScriptedUpstream.listen("127.0.0.1", 0);
  const gateway = startGateway(planted, upstream.port);
  const ledger = new Ledger({
    write: (line) => lines.push(JSON.parse(line) as Line),
    clean: (text) => text.replaceAll("hidden", "***"),
    ...(charsMax === undefined ? {} : { charsMax }),
  });
  const rig = rigFor(upstream, gateway.port, { seed, ledger, fields });
  ledger.begin("g", rig.seed, upstream);
  try {
    const report = await runAudit(rig, {
      gateway: "g",
      checks: CHECKS.filter(({ name }) => names.includes(name)),
      onCheck: () => {},
    });
    ledger.end();
    return { lines, report };
  } finally {
    rig.watch.stop();
    gateway.stop();
    upstream.close();
  }
}

const requestsOf = (lines: readonly Line[]) =>
  lines.filter(({ kind }) => kind === "request") as RequestLine[];

test(
  "a ledger tells a verdict again: what the upstream wrote, and what the client read of it",
  async () => {
    const { lines, report } = await ledgerOf("lost-byte", ["bytes"]);
    expect(lines[0]).toMatchObject({ kind: "audit", schema: 1, gateway: "g", seed: 7 });
    expect(lines.at(-1)).toMatchObject({ kind: "end", requestsLeftOut: 0, linesLeftOut: 0 });
    const textOf = (pieces: readonly Piece[]) => pieces.map(({ bytes }) => bytes).join("");
    const requests = requestsOf(lines);
    const types = report.findings.find(({ name }) => name === "bytes/content-type");
    expect(types!.measured).toBe(`of ${requests.length} answers as it was said`);
    // The texts ".3 " lose their dot: each request says so of itself.
    const losing = requests.filter(({ mark, client, upstream }) =>
      textOf(upstream[0]!.writes).includes(`${mark}.3 `) &&
      !textOf(client.reads).includes(`${mark}.3 `)
    );
    expect(losing.length).toBeGreaterThan(8);
    for (const { client, upstream } of requests) {
      expect(client.body).toBe(upstream[0]!.body);
      const firstRead = client.reads[0]!.atMs;
      expect(upstream[0]!.writes[0]!.atMs).toBeGreaterThanOrEqual(client.sentMs);
      expect(firstRead).toBeGreaterThanOrEqual(upstream[0]!.writes[0]!.atMs);
    }
  },
  60_000,
);

test("a ledger has both ends of every connection, and of which check a request was", async () => {
  const { lines } = await ledgerOf("none", ["limits", "silence"]);
  const requests = requestsOf(lines);
  expect(new Set(requests.map(({ check }) => check))).toEqual(new Set(["limits", "silence"]));
  for (const side of ["client", "upstream"]) {
    const opened = lines.filter((one) => one["side"] === side && one["event"] === "opened");
    expect(opened.length).toBeGreaterThanOrEqual(requests.length);
  }
  for (const { client } of requests) {
    const own = lines.filter((one) =>
      one["side"] === "client" && one["connection"] === client.connection
    );
    expect(own.map(({ event }) => event)[0]).toBe("opened");
  }
}, 60_000);

test("a ledger has no key of the gateway's own, nothing that is hidden, and an end", async () => {
  const { lines } = await ledgerOf("none", ["limits"], {
    fields: [["authorization", "Bearer sk-own"], ["x-note", "hidden"]],
    charsMax: 2000,
  });
  const text = JSON.stringify(lines);
  expect(text).not.toContain("sk-own");
  expect(text).not.toContain("hidden");
  expect(text.length).toBeLessThan(2600);
  expect(lines.at(-1)!["linesLeftOut"]).toBeGreaterThan(0);
}, 60_000);

test("one seed gives the same marks, another gives others", async () => {
  const marks = async (seed: number) =>
    requestsOf((await ledgerOf("none", ["limits"], { seed })).lines).map(({ mark }) => mark);
  expect(await marks(1)).toEqual(await marks(1));
  expect(await marks(1)).not.toEqual(await marks(2));
}, 60_000);
