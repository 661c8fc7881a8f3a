/**
 * One event of many bytes: the same JSON with blanks in it, so that it means the same to whoever has
 * room for it.
 *
 * @module
 */

import { type EventEdit, type FaultEdit, numberOf, type PlannedFault } from "./fault_plan.ts";

/** Where the JSON of an event begins. */
const JSON_DATA = /(?:^|[\r\n])data: ?\{/;

/** How every dialect has it whose events are JSON. */
export const HUGE: FaultEdit = {
  stream: (fault) => new HugeEvent(fault),
  whole: (body, fault) =>
    /^\s*[{[]/.test(body) ? blown(body, body.search(/[{[]/) + 1, fault) : body,
};

/** The first event from its place on that has JSON. */
class HugeEvent implements EventEdit {
  hasHappened = false;
  readonly isOver = false;
  readonly #fault: PlannedFault;
  #isWanted = false;

  constructor(fault: PlannedFault) {
    this.#fault = fault;
  }

  event(event: string, isHere: boolean): string {
    this.#isWanted ||= isHere;
    const found = this.#isWanted && !this.hasHappened ? JSON_DATA.exec(event) : null;
    if (found === null) return event;
    this.hasHappened = true;
    return blown(event, found.index + found[0].length, this.#fault);
  }

  end(): string {
    return "";
  }
}

function blown(text: string, at: number, fault: PlannedFault): string {
  return text.slice(0, at) + " ".repeat(numberOf(fault, "bytes")) + text.slice(at);
}
