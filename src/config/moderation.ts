/**
 * What moderation looks for.
 *
 * @module
 */

/** In the order of the live API's answers. */
export const MODERATION_CATEGORIES = [
  "harassment",
  "harassment/threatening",
  "sexual",
  "hate",
  "hate/threatening",
  "illicit",
  "illicit/violent",
  "self-harm/intent",
  "self-harm/instructions",
  "self-harm",
  "sexual/minors",
  "violence",
  "violence/graphic",
] as const;

/** One of them. */
export type ModerationCategory = (typeof MODERATION_CATEGORIES)[number];
