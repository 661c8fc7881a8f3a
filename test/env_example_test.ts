import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { loadConfig } from "../src/config/config.ts";
import { KNOWN_VARIABLES } from "../src/config/schema.ts";

const TEXT = readFileSync(join(import.meta.dir, "..", ".env.example"), "utf8");
const VARIABLES = parseEnv(TEXT) as Record<string, string>;

describe(".env.example", () => {
  test("names every variable that people already have, and no other", () => {
    expect(Object.keys(VARIABLES).sort()).toEqual([...KNOWN_VARIABLES.keys()].sort());
  });

  test("as it stands changes nothing", () => {
    const plain = loadConfig({ env: {}, dotenv: {}, flags: [] });
    const copied = loadConfig({ env: {}, dotenv: VARIABLES, flags: [] });
    expect(copied.kind).toBe("ok");
    if (plain.kind === "ok" && copied.kind === "ok") expect(copied.config).toEqual(plain.config);
  });

  test("filled in, is taken", () => {
    const filled = parseEnv(TEXT.replace("OPENAI_API_KEY=", "OPENAI_API_KEY=sk-mine")) as Record<
      string,
      string
    >;
    const loaded = loadConfig({ env: {}, dotenv: filled, flags: [] });
    if (loaded.kind !== "ok") throw new Error(loaded.problems.join("\n"));
    expect(loaded.config.llm.api_key).toBe("sk-mine");
  });
});
