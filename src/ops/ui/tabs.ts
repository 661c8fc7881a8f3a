/**
 * The tabs (WAI-ARIA tabs pattern: arrow keys move, Home and End jump). The address keeps the tab.
 *
 * @module
 */

/** Joins the tabs inside `list` to the panels they control. `onShow` is told which one is seen. */
export function joinTabs(list: HTMLElement, onShow: (panel: HTMLElement) => void): void {
  const tabs = [...list.querySelectorAll<HTMLElement>("[role=tab]")];

  function show(chosen: HTMLElement): void {
    for (const tab of tabs) {
      const isChosen = tab === chosen;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      panelOf(tab).hidden = !isChosen;
    }
    onShow(panelOf(chosen));
  }

  function showAddressed(): void {
    const name = location.hash.slice(1);
    const addressed = tabs.find((tab) => panelOf(tab).id === name);
    // A link to a section inside a panel is left to the browser.
    if (addressed !== undefined || name === "") show(addressed ?? tabs[0]!);
  }

  function choose(tab: HTMLElement): void {
    history.replaceState(null, "", `#${panelOf(tab).id}`);
    show(tab);
    tab.focus();
  }

  list.addEventListener("click", (event) => {
    const tab = (event.target as HTMLElement).closest<HTMLElement>("[role=tab]");
    if (tab !== null) choose(tab);
  });
  list.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(event.target as HTMLElement);
    const target = {
      ArrowRight: at + 1,
      ArrowLeft: at - 1 + tabs.length,
      Home: 0,
      End: tabs.length - 1,
    }[event.key];
    if (at < 0 || target === undefined) return;
    event.preventDefault();
    choose(tabs[target % tabs.length]!);
  });
  addEventListener("hashchange", showAddressed);
  showAddressed();
}

function panelOf(tab: HTMLElement): HTMLElement {
  return document.getElementById(tab.getAttribute("aria-controls")!)!;
}
