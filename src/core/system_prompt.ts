/**
 * The system prompt: a template that a user may replace, filled in for every turn.
 *
 * @module
 */

/** What a template may name between {{ and }}. */
export const PLACEHOLDERS = [
  "summary",
  "current_time",
  "role_prompt",
  "session_id",
  "user_id",
  "role_id",
  "group_id",
] as const;

/** A name in a template. */
export type Placeholder = typeof PLACEHOLDERS[number];

/** A value for every name; "" = nothing to say. */
export type PromptValues = Readonly<Record<Placeholder, string>>;

/** Fills a template in. */
export type FillPrompt = (values: PromptValues) => string;

/** The template that is used when the config names none. The role comes last: it weighs most. */
export const DEFAULT_TEMPLATE = `# The Conversation
You talk with one person in a conversation that may go on for days. Stay in your role, keep to what
was said before, and answer in the language of the other side.

## What Is Known
{{summary}}

## Current Time
{{current_time}} (UTC)

## Role Setting
{{role_prompt}}
`;

type Part = string | { readonly name: Placeholder };

/**
 * Compiles `template` once. Values go in as they are and are not looked into again, so a role's own
 * {{user}} and {{char}} stay. A paragraph whose placeholders are all empty is left out. Lines may end
 * as they do on any system.
 */
export function compilePrompt(template: string): FillPrompt {
  const lines = template.replaceAll(/\r\n?/g, "\n");
  const paragraphs = lines.trim().split(/\n[ \t]*\n/).map(partsOf);
  return (values) => {
    let prompt = "";
    for (const parts of paragraphs) {
      const text = fill(parts, values);
      if (text !== null) prompt += prompt === "" ? text : `\n\n${text}`;
    }
    return prompt;
  };
}

/** The parts of one paragraph as text, or null when it has placeholders and all are empty. */
function fill(parts: readonly Part[], values: PromptValues): string | null {
  let text = "";
  let hasPlaceholder = false;
  let hasValue = false;
  for (const part of parts) {
    if (typeof part === "string") {
      text += part;
      continue;
    }
    const value = values[part.name];
    hasPlaceholder = true;
    if (value !== "") hasValue = true;
    text += value;
  }
  return hasPlaceholder && !hasValue ? null : text;
}

function partsOf(paragraph: string): readonly Part[] {
  return paragraph.split(/(\{\{[a-z_]+\}\})/).filter((piece) => piece !== "").map((piece) => {
    const name = PLACEHOLDERS.find((known) => piece === `{{${known}}}`);
    return name === undefined ? piece : { name };
  });
}

/** What is known of a conversation besides the turns that the model sees. */
export interface Known {
  /** Turns of the session so far. */
  readonly turnCount: number;
  /** When the session began, in milliseconds since 1970. */
  readonly beganMs: number;
  /** Turns that the model sees. */
  readonly shownCount: number;
}

/** The summary of what is known, in sentences; "" for a session without turns. */
export function summaryOf({ turnCount, beganMs, shownCount }: Known): string {
  if (turnCount === 0) return "";
  const began = `The conversation began on ${utcTime(beganMs)} (UTC)`;
  const turns = turnCount === 1 ? "1 turn" : `${turnCount} turns`;
  const shown = shownCount < turnCount ? `; the last ${shownCount} of them follow` : "";
  return `${began} and has ${turns} so far${shown}.`;
}

/**
 * `ms` since 1970 as "YYYY-MM-DD HH:MM:SS" in UTC, as the streaming response service says it
 * (docs/facts/systems.md "System prompt").
 */
export function utcTime(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace("T", " ");
}
