import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { unitText } from "../../src/deploy/unit.ts";
import { makeFolder, REPOSITORY } from "../server/launch.ts";
import { hasProgram } from "./program.ts";

const SHIPPED = readFileSync(join(REPOSITORY, "src/deploy/weir.service"), "utf8");
const CAN_RUN = hasProgram("systemd-analyze");

/** systemd's own scale is 0 (locked up) to 10. */
const EXPOSURE_MAX = 2.0;

const FACTS = {
  program: "/usr/local/bin/weir",
  configFile: "/etc/weir/config.yaml",
  drainMs: 30_000,
  variables: {},
  siteVariables: {
    WEIR_SERVER_TRUSTED_PROXIES: "[127.0.0.1,::1]",
    WEIR_OPS_METRICS_PORT: "9464",
  },
  credentials: {},
};

describe("unitText()", () => {
  test("gives the shipped weir.service for the settings that hold by default", () => {
    expect(unitText(FACTS)).toBe(SHIPPED);
  });

  test("fills in paths, times, variables and keys, quoted where systemd wants it", () => {
    const text = unitText({
      program: "/opt/my weir/weir",
      configFile: "/etc/100%/weir.yaml",
      drainMs: 90_500,
      variables: { WEIR_A: "x y", WEIR_B: "50%" },
      siteVariables: { WEIR_SERVER_HOSTS: `["*.a.example"]` },
      credentials: { llm_api_key: "/etc/weir/llm_api_key", token: "/run/keys/token" },
    });
    for (
      const line of [
        'ExecStart="/opt/my weir/weir" serve --config /etc/100%%/weir.yaml',
        "TimeoutStopSec=106",
        'Environment="WEIR_A=x y"',
        "Environment=WEIR_B=50%%",
        "LoadCredential=llm_api_key:/etc/weir/llm_api_key",
        "LoadCredential=token:/run/keys/token",
      ]
    ) expect(text).toContain(`\n${line}\n`);
    expect(text).not.toContain("#LoadCredential=");
  });

  test("leaves the JIT compiler its pages", () => {
    expect(SHIPPED).not.toMatch(/^MemoryDenyWriteExecute=/m);
  });
});

describe.skipIf(!CAN_RUN)("weir.service", () => {
  const folder = makeFolder();
  const file = join(folder, "weir.service");
  beforeAll(() => {
    // A program that exists: the built one, where it was built.
    const program = process.env["WEIR_BINARY"] ?? "/bin/true";
    writeFileSync(file, unitText({ ...FACTS, program, credentials: { llm_api_key: "/etc/key" } }));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("is one that systemd has nothing to say about", () => {
    const { exitCode, stdout, stderr } = Bun.spawnSync(["systemd-analyze", "verify", file]);
    expect([exitCode, stdout.toString(), stderr.toString()]).toEqual([0, "", ""]);
  });

  test(`has an exposure of ${EXPOSURE_MAX} at most`, () => {
    const { exitCode, stdout } = Bun.spawnSync([
      "systemd-analyze",
      "security",
      "--offline=true",
      `--threshold=${EXPOSURE_MAX * 10}`,
      "--no-pager",
      file,
    ]);
    const exposure = /Overall exposure level for weir\.service: ([\d.]+)/.exec(stdout.toString());
    expect(Number(exposure?.[1])).toBeLessThanOrEqual(EXPOSURE_MAX);
    expect(exitCode).toBe(0);
  });
});

if (!CAN_RUN) test.skip("systemd-analyze is not installed: apt-get install systemd", () => {});
