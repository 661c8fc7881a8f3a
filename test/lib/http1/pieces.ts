/** Bytes, and all the ways in which a network may cut them. */

/** The bytes of a text in which one character is one byte. */
export function latin1(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** Cuts `bytes` at `offset`. */
export function cut(bytes: Buffer, offset: number): readonly Buffer[] {
  return [Buffer.from(bytes.subarray(0, offset)), Buffer.from(bytes.subarray(offset))];
}

export function eachByte(bytes: Buffer): readonly Buffer[] {
  return Array.from(bytes, (byte) => Buffer.from([byte]));
}

/** A generator of numbers below 2^32 that repeats itself for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

const SPICE = ["\r", "\n", "\r\n", "\0", ":", " ", ";", "0", "f", "\xff", "\r\n\r\n", "chunked"];

/** `text` with up to `woundsMax` small wounds. */
export function wounded(text: string, random: () => number, woundsMax: number): Buffer {
  for (let wounds = 1 + random() % woundsMax; wounds > 0; wounds--) {
    const at = random() % (text.length + 1);
    const gone = random() % 4 === 0 ? random() % 8 : random() % 2;
    const put = random() % 3 === 0
      ? String.fromCharCode(random() % 256)
      : SPICE[random() % SPICE.length]!;
    text = text.slice(0, at) + put + text.slice(at + gone);
  }
  return latin1(text);
}

export function randomCuts(bytes: Buffer, random: () => number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const to = Math.min(bytes.length, at + 1 + random() % 24);
    pieces.push(Buffer.from(bytes.subarray(at, to)));
    at = to;
  }
  return pieces;
}
