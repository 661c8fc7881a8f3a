/**
 * The certificate of `server.tls_cert_file` and its key, checked before anything listens with them.
 *
 * @module
 */

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import type { Config } from "../config/config.ts";
import { readText } from "./settings.ts";
import { Failure } from "./terminal.ts";
import { pathIn } from "./token_files.ts";

/** PEM texts: a certificate with its chain, and its key. */
export interface Tls {
  readonly cert: string;
  readonly key: string;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g;

/**
 * The files as they are now; undefined = weir speaks plain HTTP.
 *
 * @throws {Failure} when they are not a certificate and its key.
 */
export function readTls(
  { config, folder }: { readonly config: Config; readonly folder: string },
): Tls | undefined {
  const { tls_cert_file, tls_key_file } = config.server;
  if (tls_cert_file === "") return undefined;
  const cert = readText(pathIn(folder, tls_cert_file), "the certificate");
  const key = readText(pathIn(folder, tls_key_file), "the key of the certificate");
  const chain = cert.match(CERTIFICATE) ?? [];
  const [own] = chain.map((pem) => certificate(pem, tls_cert_file));
  if (own === undefined) throw unusable("cert", tls_cert_file, "it is no PEM certificate");
  if (!own.checkPrivateKey(privateKey(key, tls_key_file))) {
    throw unusable("key", tls_key_file, `it is not the key of ${tls_cert_file}`);
  }
  return { cert, key };
}

function certificate(pem: string, file: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw unusable("cert", file, "a certificate in it is broken");
  }
}

function privateKey(pem: string, file: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    const isLocked = (error as { readonly code?: string }).code === "ERR_MISSING_PASSPHRASE";
    throw unusable("key", file, isLocked ? "it has a passphrase" : "it is no PEM key");
  }
}

function unusable(which: "cert" | "key", file: string, reason: string): Failure {
  return new Failure(`Cannot use ${file} (server.tls_${which}_file): ${reason}`);
}
