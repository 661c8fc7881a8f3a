/**
 * Names of a URL's options that tell of secrets.
 *
 * @module
 */

/** Whatever they stand in. Those of signed URLs are among them: X-Amz-Signature, X-Goog-Credential. */
const PARTS = /pass|pwd|secret|token|key|signature|credential|jwt/i;
/** Short words, which many a harmless name has in it: a name, or its last part. */
const WORDS = /(?:^|[^a-z\d])(?:sig|sign|code|auth|authorization|pw|hmac|sas)$/i;

/** Is what an option `name` holds nobody's business? */
export function isSecretName(name: string): boolean {
  return PARTS.test(name) || WORDS.test(name);
}
