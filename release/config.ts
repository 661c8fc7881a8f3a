/**
 * Writes what follows from the tree of settings, `config.yaml` and `config.schema.json`, and from the
 * rules of fixtures, `fixtures.schema.json`.
 *
 * @module
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { exampleText, jsonSchemaText } from "../src/config/documents.ts";
import { fixturesSchemaText } from "../src/sources/fixtures/schema.ts";

const ROOT = join(import.meta.dir, "..");

writeFileSync(join(ROOT, "config.yaml"), exampleText());
writeFileSync(join(ROOT, "config.schema.json"), jsonSchemaText());
writeFileSync(join(ROOT, "fixtures.schema.json"), fixturesSchemaText());
