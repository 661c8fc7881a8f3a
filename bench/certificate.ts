/**
 * A self-signed certificate for the TLS case, made for one run by the program `openssl`.
 *
 * @module
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programPath } from "./machine.ts";

/** Two PEM files in a folder that `remove` deletes. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly remove: () => void;
}

/** Why none can be made here; undefined when one can. */
export function certificateAbsent(): string | undefined {
  return programPath("openssl") === undefined ? "openssl is not installed" : undefined;
}

/**
 * Makes one on the curve P-256: its signature is cheap, so that a run is not spent on handshakes.
 *
 * @throws {Error} with what openssl said, when it made none.
 */
export function makeCertificate(): Certificate {
  const folder = mkdtempSync(join(tmpdir(), "weir-bench-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const certFile = join(folder, "cert.pem");
  const keyFile = join(folder, "key.pem");
  const { success, stderr } = Bun.spawnSync([
    ...[programPath("openssl")!, "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=weir bench"],
    ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
    ...["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", keyFile, "-out", certFile],
  ]);
  if (success) return { certFile, keyFile, remove };
  remove();
  throw new Error(`openssl made no certificate: ${stderr.toString()}`);
}

/**
 * Runs `ask` with a client that takes any certificate. Only this process is told so, and only for
 * as long: a server that is started meanwhile would inherit it.
 */
export async function trustingAnyone<T>(ask: () => Promise<T>): Promise<T> {
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
  try {
    return await ask();
  } finally {
    delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
  }
}
