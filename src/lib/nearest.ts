/**
 * The word that somebody most probably meant, by edit distance.
 *
 * @module
 */

/** Longer words are not compared: the table below would grow with the square of their length. */
const WORD_LENGTH_MAX = 200;

/**
 * The candidate that needs the fewest edits to become `word`, the first of equals. Undefined when
 * even that one differs in more than 40 % of its characters: such a hint would only mislead.
 *
 * ```ts
 * nearest("prot", ["host", "port"]); // "port"
 * ```
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > WORD_LENGTH_MAX) return undefined;
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    if (candidate.length > WORD_LENGTH_MAX) continue;
    const distance = editDistance(word, candidate);
    if (distance > 0.4 * Math.max(word.length, candidate.length)) continue;
    if (distance >= bestDistance) continue;
    best = candidate;
    bestDistance = distance;
  }
  return best;
}

/**
 * The candidate that `word` most probably is a slip of: the same but for case and separators, or but
 * for one edit in five characters. Undefined when it is more than that, or no slip at all.
 *
 * ```ts
 * slipOf("userId", ["user_id", "role_id"]); // "user_id"
 * ```
 */
export function slipOf(word: string, candidates: readonly string[]): string | undefined {
  if (word.length > WORD_LENGTH_MAX || candidates.includes(word)) return undefined;
  const folded = fold(word);
  return candidates.find((candidate) => {
    const wanted = fold(candidate);
    const editsMax = Math.max(1, Math.floor(wanted.length / 5));
    // Most words are told apart by their lengths.
    return Math.abs(wanted.length - folded.length) <= editsMax &&
      editDistance(folded, wanted) <= editsMax;
  });
}

function fold(word: string): string {
  return word.toLowerCase().replace(/[-_ .]/g, "");
}

/**
 * Edits between `a` and `b`: a character more, less or changed, or two neighbours swapped ("optimal
 * string alignment"). Time and memory are the product of the two lengths.
 */
export function editDistance(a: string, b: string): number {
  // rows[i][j] is the distance between the first i characters of a and the first j of b.
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const above = rows[i - 1]!;
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      let distance = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (isSame ? 0 : 1));
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) distance = Math.min(distance, rows[i - 2]![j - 2]! + 1);
      row.push(distance);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
