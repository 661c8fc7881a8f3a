/**
 * Judges manifests of Kubernetes by their own schemas.
 *
 * @module
 */

import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { makeFolder, REPOSITORY } from "../server/launch.ts";

/** What every manifest says. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
}

/** The manifests of a file. */
export function manifestsOf(text: string): readonly Manifest[] {
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

/** A judge, with a folder of its own to work in. */
export interface ManifestJudge {
  /**
   * What is wrong with a manifest; "" = nothing. The schema of its kind judges values, but lets any name
   * pass; names are judged by the type that is made of the same document.
   */
  readonly faultsOf: (manifest: Manifest) => Promise<string>;
  readonly close: () => void;
}

/** Makes one. */
export function manifestJudge(): ManifestJudge {
  const folder = makeFolder();
  symlinkSync(join(REPOSITORY, "node_modules"), join(folder, "node_modules"));
  return {
    close: () => rmSync(folder, { recursive: true, force: true }),
    async faultsOf(manifest) {
      const { apiVersion, kind } = manifest;
      const { [kind]: Kind } = await import(`kubernetes-models/${apiVersion}/${kind}`) as Record<
        string,
        new (data: unknown) => { validate(): void }
      >;
      try {
        new Kind!(manifest).validate();
      } catch (error) {
        return (error as Error).message;
      }
      writeFileSync(
        join(folder, "manifest.ts"),
        `import type { I${kind} } from "kubernetes-models/${apiVersion}/${kind}";\n` +
          `export const manifest: I${kind} = ${JSON.stringify(manifest, null, 1)};\n`,
      );
      const { stdout } = Bun.spawnSync([
        join(REPOSITORY, "node_modules/.bin/tsc"),
        ...["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "manifest.ts"],
      ], { cwd: folder });
      return stdout.toString();
    },
  };
}
