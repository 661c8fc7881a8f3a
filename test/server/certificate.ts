/**
 * Certificates for tests, made by the `openssl` program.
 *
 * @module
 */

import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makeFolder } from "./launch.ts";

/** A self-signed certificate and its key, as PEM text. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** False where `openssl` is missing: such tests are skipped visibly, but never in CI. */
export function canMakeCertificates(): boolean {
  if (Bun.which("openssl") !== null) return true;
  if (process.env["CI"] === "true") throw new Error("The tests of TLS need the program openssl");
  return false;
}

/** A certificate for `names`: "DNS:localhost", "IP:127.0.0.1". */
export function makeCertificate(names: readonly string[]): Certificate {
  const folder = makeFolder();
  try {
    const keyFile = join(folder, "key.pem");
    const certFile = join(folder, "cert.pem");
    const { exitCode, stderr } = Bun.spawnSync([
      ...["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=weir test"],
      ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
      ...["-addext", `subjectAltName=${names.join(",")}`],
      ...["-keyout", keyFile, "-out", certFile],
    ]);
    if (exitCode !== 0) throw new Error(`openssl made no certificate: ${stderr.toString()}`);
    return { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
