/**
 * Vectors for texts, without a model: texts that share words, or parts of words, are near each
 * other. Every word, every three letters of it, and in scripts without blanks every sign and pair of
 * signs adds to a few numbers, which its hash chooses.
 *
 * @module
 */

/** A word, or one sign that is no part of one. */
const WORDS =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]|[\p{L}\p{M}\p{N}]+|[^\s\p{P}]/gu;
const UNSPACED = /^[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]$/u;

/** Words that say little of what a text is about: English, German, Chinese. */
const FUNCTION_WORDS: ReadonlySet<string> = new Set(
  ("a an and are as at be been but by can could did do does for from had has have he her his how i if in " +
    "into is it its me my no not of on or our she should so than that the their them then there these they " +
    "this those to us was we were what when where which who whose why will with would you your " +
    "aber als am an auch auf aus bei bin bis das dass dem den der des die du ein eine einem einen einer " +
    "eines er es für hat hatte ich ihr im in ist ja kann man mein mit nach nicht noch nur oder sein seine " +
    "sich sie sind so über um und uns von vom vor war warum was wann wem wen wenn wer werden wie wir wird " +
    "wo zu zum zur 的 了 是 在 和 吗 呢 我 你 他 她 它 们 这 那 有 不 也 就 都 很 什 么 谁 哪 个 与 及")
    .split(" "),
);

/** How much each kind of feature adds to the square of a vector's length. */
const WORD_SHARE = 1;
const FUNCTION_WORD_SHARE = 0.04;
/** Of all three-letter parts of a word together. */
const PARTS_SHARE = 0.5;
const PAIR_SHARE = 1;
/** Of what tells any two texts apart, so that no number is 0. */
const OWN_SHARE = 0.02;

/**
 * Each feature adds to two numbers of the first 64, two of the first 128, and so on: a vector that is
 * cut keeps most of what it says.
 */
const RANGES = [64, 128, 256, 512, 1024] as const;
const PLACES_PER_RANGE = 2;

/**
 * The vector of `text`: `dimensions` numbers of the `dimensionsMax` that it has, and of length 1
 * still. The same text has the same vector, always. Each number has up to 9 digits.
 */
export function vectorOf(text: string, dimensionsMax: number, dimensions: number): Float64Array {
  const features = featuresOf(text.normalize("NFKC").toLowerCase());
  const vector = new Float64Array(dimensionsMax);
  let square = 0;
  for (const [hash, share] of features) {
    const weight = Math.sqrt(share);
    square += share;
    let bits = hash;
    for (const range of [...RANGES, dimensionsMax]) {
      for (let i = 0; i < PLACES_PER_RANGE; i++) {
        bits = mixed(bits);
        const at = (bits >>> 1) % Math.min(range, dimensionsMax);
        vector[at]! += (bits & 1) === 0 ? weight : -weight;
      }
    }
  }
  const places = PLACES_PER_RANGE * (RANGES.length + 1);
  // Spread evenly; `square` is 0 for a text of blanks.
  const own = Math.sqrt((square * places || 1) * OWN_SHARE * 3 / dimensionsMax);
  let bits = hashOf(text, 0);
  for (let i = 0; i < dimensionsMax; i++) {
    bits = mixed(bits);
    vector[i]! += own * (bits / 2 ** 31 - 1);
  }
  return unit(vector.subarray(0, dimensions));
}

/** What is in `text`, by hash, each with its share. A feature that is there often counts as often. */
function featuresOf(text: string): ReadonlyMap<number, number> {
  const features = new Map<number, number>();
  const add = (hash: number, share: number) =>
    void features.set(hash, (features.get(hash) ?? 0) + share);
  let before = "";
  for (const [word] of text.matchAll(WORDS)) {
    const isFunctionWord = FUNCTION_WORDS.has(word);
    const share = isFunctionWord ? FUNCTION_WORD_SHARE : WORD_SHARE;
    add(hashOf(word, 1), share);
    const isUnspaced = UNSPACED.test(word);
    if (isUnspaced) {
      if (before !== "") add(hashOf(before + word, 2), isFunctionWord ? share : PAIR_SHARE);
      before = word;
      continue;
    }
    before = "";
    if (word.length < 3 || isFunctionWord) continue;
    const framed = `<${word}>`;
    const count = framed.length - 2;
    for (let i = 0; i < count; i++) add(hashOf(framed.slice(i, i + 3), 3), PARTS_SHARE / count);
  }
  return features;
}

/** FNV-1a over UTF-16 units, for one kind of feature. */
function hashOf(text: string, kind: number): number {
  let hash = 0x811c_9dc5 ^ kind;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
  return hash >>> 0;
}

/** The next number of 32 bits behind `bits` (splitmix32). */
function mixed(bits: number): number {
  let next = (bits + 0x9e37_79b9) >>> 0;
  next = Math.imul(next ^ (next >>> 16), 0x85eb_ca6b);
  next = Math.imul(next ^ (next >>> 13), 0xc2b2_ae35);
  return (next ^ (next >>> 16)) >>> 0;
}

/** `vector` with length 1, in numbers that print short. */
function unit(vector: Float64Array): Float64Array {
  let square = 0;
  for (const each of vector) square += each * each;
  const length = Math.sqrt(square);
  return vector.map((each) => rounded(each / length));
}

/** `value` to 8 or 9 digits, as a number of four bytes has them; `value` is −1 to 1. */
function rounded(value: number): number {
  const size = Math.abs(value);
  const scale = size >= 0.1 ? 1e9 : size >= 0.01 ? 1e10 : size >= 0.001 ? 1e11 : 1e12;
  return Math.round(value * scale) / scale;
}
