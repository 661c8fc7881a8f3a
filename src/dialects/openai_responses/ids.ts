/**
 * Ids of the Responses API (docs/facts/openai_api.md "Ids of responses").
 *
 *     msg_ 0123456789abcdef 00 69e2f3f5 2bf8 81 9297ebb188bfe6 44d7
 *          head: shared, with the time       own  tail: shared   own
 *
 * @module
 */

/** What one answer's ids are made of: they differ in digits that only their place decides. */
export class IdMaker {
  readonly #head: string;
  readonly #tail: string;

  /** `head`: 26 hexadecimal digits, `tail`: 14. */
  constructor(head: string, tail: string) {
    this.#head = head;
    this.#tail = tail;
  }

  /** `place` 0 is the response itself, 1 its first item. */
  of(prefix: string, place: number): string {
    return `${prefix}_${this.#head}${digits(place, 0x9e37)}81${this.#tail}${digits(place, 0x85eb)}`;
  }
}

/** The id of the response that item `id` is of; undefined = it is none of a response. */
export function responseIdOf(id: string): string | undefined {
  const [, head, tail] = ITEM_ID.exec(id) ?? [];
  return head === undefined ? undefined : new IdMaker(head, tail!).of("resp", 0);
}

const ITEM_ID = /^[a-z]+_([0-9a-f]{26})[0-9a-f]{4}81([0-9a-f]{14})[0-9a-f]{4}$/;

/** Four digits that look like nothing, other ones for each place below 65 536. */
function digits(place: number, odd: number): string {
  return (((place + 1) * odd) & 0xffff).toString(16).padStart(4, "0");
}

/** Fills a made-up proof to the length of a short one. */
const FILLER = "weir_made_this_up_for_clients_that_hand_it_back_and_read_nothing_of_it-".repeat(3);

/** What stands for encrypted reasoning where nobody has encrypted any. */
export function encryptedOf(stamp: string): string {
  return `gAAAAAB${stamp}${FILLER}==`;
}
