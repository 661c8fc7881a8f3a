/** examples/load: against its schema, and with as many real processes as it has pods. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { IJob } from "kubernetes-models/batch/v1/Job";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "../../src/lib/seeded.ts";
import { arrivals, steady } from "../../src/load/shape/arrivals.ts";
import {
  cleanEnv,
  launch,
  makeFolder,
  REPOSITORY,
  run,
  TEST_MS_MAX,
  type Weir,
  weirCommand,
} from "../server/launch.ts";
import { manifestJudge, manifestsOf } from "./manifest_judge.ts";

setDefaultTimeout(TEST_MS_MAX);

const TEXT = readFileSync(join(REPOSITORY, "examples/load/job.yaml"), "utf8");
const [JOB] = manifestsOf(TEXT) as unknown as readonly [IJob];
const { completions, parallelism, template } = JOB.spec!;
const [CONTAINER] = template.spec!.containers;

describe("job.yaml", () => {
  const { faultsOf, close } = manifestJudge();
  afterAll(close);

  test("is as Kubernetes' own schema wants it", async () => {
    expect(await faultsOf(manifestsOf(TEXT)[0]!)).toBe("");
  });

  const WRONG: readonly (readonly [text: string, instead: string, fault: RegExp])[] = [
    ["completionMode", "completionModus", /"completionModus"/],
    ["parallelism: 4", 'parallelism: "4"', /parallelism.*integer/],
    ["backoffLimitPerIndex", "backoffLimitForIndex", /"backoffLimitForIndex"/],
  ];
  for (const [text, instead, fault] of WRONG) {
    test(`the judge finds ${instead}`, async () => {
      expect(await faultsOf(manifestsOf(TEXT.replace(text, instead))[0]!)).toMatch(fault);
    });
  }

  test("all parts of the load have a pod, and all pods are there at once", () => {
    expect(JOB.spec!.completionMode).toBe("Indexed");
    expect(CONTAINER!.args).toContain(`--shard=job/${completions}`);
    expect(parallelism).toBe(completions);
    expect(TEXT).toContain(`--max-log-requests=${completions} `);
    expect(TEXT).toContain(`job-name=${JOB.metadata!.name} `);
    expect(TEXT.match(/MOMENT/g)!.length).toBe(2);
  });

  describe("with real processes", () => {
    const TOKEN = "load-example-token";
    /** Nobody waits a minute here: only where it goes and how long it takes are others. */
    const TIMES = { "--duration=60s": "--duration=2s", "--warmup=5s": "--warmup=500ms" };
    let weir: Weir;
    const folder = makeFolder();
    let logs: readonly string[];
    beforeAll(async () => {
      weir = await launch({
        set: { "mock.delay_ms": 5, "auth.token_file": "token" },
        files: { token: TOKEN },
      });
      const moment = new Date(Date.now() + 6000).toISOString();
      const args = CONTAINER!.args!.map((word) =>
        (TIMES as Readonly<Record<string, string>>)[word] ??
          word.replace("http://weir", weir.url).replace("MOMENT", moment)
            .replace(`$(${CONTAINER!.env![0]!.name})`, TOKEN)
      );
      // A container's log has both of its outputs.
      logs = await Promise.all(Array.from({ length: completions! }, async (_, index) => {
        const child = Bun.spawn([...weirCommand(), ...args], {
          cwd: folder,
          env: cleanEnv({ JOB_COMPLETION_INDEX: String(index) }),
          stdout: "pipe",
          stderr: "pipe",
        });
        const [output, errors] = await Promise.all([
          new Response(child.stdout).text(),
          new Response(child.stderr).text(),
        ]);
        return errors + output;
      }));
    }, TEST_MS_MAX);
    afterAll(async () => {
      await weir.stop();
      rmSync(folder, { recursive: true });
    });

    /** Merges logs of pods. */
    async function merged(parts: readonly string[], ...words: readonly string[]) {
      const file = join(folder, "parts.log");
      writeFileSync(file, parts.join(""));
      return await run(["load", "merge", file, ...words]);
    }

    test("the pods have sent together what one would have sent, each request once", async () => {
      const out = join(folder, "all.json");
      const ended = await merged(logs, "--json", "-o", out);
      const report = JSON.parse(ended.output);
      const due: number[] = [];
      for (const ms of arrivals({ kind: "poisson" }, steady(200), seeded(1))) {
        if (ms >= 2500) break;
        due.push(ms);
      }
      const measured = due.filter((ms) => ms >= 500);
      expect(report.requests).toMatchObject({ sent: measured.length, completed: measured.length });
      expect(report.warmup_requests).toBe(due.length - measured.length);
      expect(report).toMatchObject({ processes: 4, load: "4 parts: 200/s poisson" });
      expect(report.goodput.slo_ms).toEqual({ ttft: 1000, tpot: 50 });
      expect(report.ttft_ms.p50).toBeLessThanOrEqual(report.ttft_ms.max);
      const { stages: [stage], parts } = JSON.parse(readFileSync(out, "utf8"));
      expect(parts).toEqual({ count: 4, have: [0, 1, 2, 3] });
      const { rows } = stage.rounds[0].tally;
      const found = rows.number.map((number: number, i: number) => [number, rows.due[i]] as const)
        .sort(([a]: readonly [number], [b]: readonly [number]) => a - b);
      expect(found).toEqual(
        measured.map((ms, i) => [due.length - measured.length + i, Math.round(1000 * ms) / 1000]),
      );
      expect([0, 1, 3]).toContain(ended.code);
    });

    test("a pod whose log is missing is told, and one that is there twice refused", async () => {
      const three = await merged([logs[3]!, logs[0]!, logs[1]!]);
      expect(three.output).toContain(
        "part 3 of 4 is missing: what was sent from there is in no figure",
      );
      expect(three.code).not.toBe(0);
      const five = await merged([...logs, logs[2]!]);
      expect(five.errors).toMatch(
        /Cannot merge: run 3 of \S+ and run 5 of \S+ are both part 3 of 4/,
      );
      expect(five.code).toBe(2);
    });

    test("a pod that the Job has not counted is told what it lacks", async () => {
      const asked = ["load", weir.url, "--shard", "job/4"];
      const wrong = await run(asked, { env: { JOB_COMPLETION_INDEX: "4" } });
      expect(wrong.errors).toContain("--shard job/4 is for pods 0 to 3: JOB_COMPLETION_INDEX is 4");
      expect(wrong.code).toBe(2);
    });
  });
});
