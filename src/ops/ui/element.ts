/**
 * Makes elements. Text goes in as text, never as HTML: what a model says stays text.
 *
 * @module
 */

/** What an element holds. null is left out. */
export type Child = Node | string | null;

/** A new `tag` with `attributes` (true = present without a value, false = absent) and `children`. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, string | boolean>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** The element of index.html with this id. It is there: the page is one piece. */
export function byId(id: string): HTMLElement {
  return document.getElementById(id)!;
}
