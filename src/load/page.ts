/**
 * The frame of all reports that are pages: one file that asks nobody for anything, readable on a phone,
 * in the dark and on paper. What comes from elsewhere goes in through `escaped` or `inlineJson` only.
 *
 * @module
 */

/** Colours come in pairs; those of verdicts and of lines can be told apart by the colour-blind. */
const SHEET = `
:root { color-scheme: light dark; --bg: #fff; --ink: #1b1f24; --dim: #59636e; --line: #d8dee4;
  --soft: #f6f8fa; --fail: #c1121f; --void: #9a5b00; --note: #0b62c4; --pass: #18794e; }
@media screen and (prefers-color-scheme: dark) { :root { --bg: #101418; --ink: #e6e9ed;
  --dim: #9aa5b1; --line: #2c343d; --soft: #191f26; --fail: #ff7b7b; --void: #f0b357;
  --note: #7db8ff; --pass: #5fd39a; } }
@media print { :root { color-scheme: light; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.25rem 1rem 4rem; background: var(--bg);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2rem 0 .6rem; }
p { margin: .4rem 0; } .dim { color: var(--dim); }
.counts { display: grid; grid-template-columns: repeat(auto-fit, minmax(4.5rem, 1fr)); gap: .6rem;
  margin: 1rem 0; }
.counts div { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem .8rem; }
.counts b { display: block; font-size: 1.7rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.fail b, .word.fail { color: var(--fail); } .void b, .word.void { color: var(--void); }
.note b, .word.note { color: var(--note); } .pass b, .word.pass { color: var(--pass); }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .4rem 0; }
summary { cursor: pointer; padding: .5rem .8rem; overflow-wrap: anywhere; }
summary:focus-visible { outline: 2px solid var(--note); outline-offset: 2px; border-radius: .5rem; }
.word, .name { font-weight: 650; } .name { overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } details { break-inside: avoid; } }
`;

/** What is on a page. All of it is HTML but for `title`. */
export interface PageParts {
  readonly title: string;
  readonly header: string;
  readonly main: string;
  /** Rules that only this kind of page has. */
  readonly sheet: string;
  /** Nothing else runs. Undefined = nothing does. */
  readonly program?: PageProgram | undefined;
}

/** What runs on a page. */
export interface PageProgram {
  readonly library: string;
  /** A module that comes behind it. */
  readonly script: string;
  /** What the script reads, as the JSON that is the text of the element `data`. */
  readonly data: unknown;
}

/**
 * The page. Its policy knows its sheet and its scripts by their hashes: nothing that has slipped into it
 * runs, and nothing is ever fetched.
 */
export function page({ title, header, main, sheet, program }: PageParts): string {
  const style = SHEET + sheet;
  const sources = program === undefined
    ? "'none'"
    : `${hashOf(program.library)} ${hashOf(program.script)}`;
  const policy = `default-src 'none'; style-src ${hashOf(style)}; script-src ${sources}; ` +
    "base-uri 'none'; form-action 'none'";
  const running = program === undefined
    ? ""
    : `<script type="application/json" id="data">${inlineJson(program.data)}</script>
<script>${program.library}</script>
<script type="module">${program.script}</script>
`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${style}</style>
<body>
<header>
${header}
</header>
<main>
${main}
</main>
${running}</body>
</html>
`;
}

/** Text as it may stand between tags and in quoted attributes. What no page can show is U+FFFD. */
export function escaped(text: string): string {
  return text.replace(UNPRINTABLE, "\ufffd").replace(
    /[&<>"']/g,
    (char) => `&#${char.charCodeAt(0)};`,
  );
}

/** Controls but for tab and line feed. */
// deno-lint-ignore no-control-regex
const UNPRINTABLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** A value as JSON that neither ends a script element nor opens a comment in it. */
export function inlineJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function hashOf(text: string): string {
  return `'sha256-${new Bun.CryptoHasher("sha256").update(text).digest("base64")}'`;
}
