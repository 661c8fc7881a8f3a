/**
 * The sound of an answer: a tone, for as long as it has words.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";

/** 16 bits, little-endian, one channel: bare, or behind the head of a WAV file. */
export type AudioFormat = "wav" | "pcm16";

/** As the API's own sound has it. */
const SAMPLES_PER_S = 24_000;
/** Of a piece, and of a token of sound. */
const PIECE_MS = 50;
/** Bytes of a piece: a multiple of 3, so that pieces of base64 join to one. */
const PIECE_BYTES = SAMPLES_PER_S * PIECE_MS / 1000 * 2;
/** 10 s, in all choices together: a longer answer is silent at its end. */
const PIECES_MAX = 200;
const TONE_HZ = 440;
/** Of 32 767: as loud as speech. */
const LOUDNESS = 8000;
const WAV_HEAD_BYTES = 44;

/**
 * The format that `params` ask to be answered in; undefined = in text.
 *
 * @throws {AppError} when the mock has no encoder for it.
 */
export function audioFormatOf(params: Readonly<Record<string, unknown>>): AudioFormat | undefined {
  const { modalities, audio } = params;
  if (!Array.isArray(modalities) || !modalities.includes("audio")) return undefined;
  const format = (audio as { readonly format?: unknown } | null | undefined)?.format ?? "wav";
  if (format === "wav" || format === "pcm16") return format;
  throw new AppError(
    "request_invalid",
    `The mock makes sound in wav and pcm16 only. Ask for one of these, or set llm.base_url to a ` +
      "server that really asks a model.",
    { param: "audio.format" },
  );
}

/** How many of `count` pieces of text are heard, in each of `choiceCount` choices. */
export function heardPieces(count: number, choiceCount: number): number {
  return Math.min(count, Math.max(1, Math.floor(PIECES_MAX / choiceCount)));
}

/** The sound of `count` pieces of text, each in base64 of its own; "" where it is silent. */
export function soundOf(
  format: AudioFormat,
  count: number,
  choiceCount: number,
): readonly string[] {
  const heard = heardPieces(count, choiceCount);
  const samples = tone(heard * PIECE_BYTES / 2);
  const bytes = format === "wav" ? Buffer.concat([wavHead(samples.length), samples]) : samples;
  return Array.from({ length: count }, (_, i) => {
    const end = i === heard - 1 ? bytes.length : (i + 1) * PIECE_BYTES;
    return i < heard ? bytes.toString("base64", i * PIECE_BYTES, end) : "";
  });
}

function tone(count: number): Buffer {
  const samples = Buffer.alloc(count * 2);
  for (let i = 0; i < count; i++) {
    const angle = 2 * Math.PI * TONE_HZ * i / SAMPLES_PER_S;
    samples.writeInt16LE(Math.round(LOUDNESS * Math.sin(angle)), i * 2);
  }
  return samples;
}

function wavHead(dataBytes: number): Buffer {
  const head = Buffer.alloc(WAV_HEAD_BYTES);
  head.write("RIFF", 0, "latin1");
  head.writeUInt32LE(WAV_HEAD_BYTES - 8 + dataBytes, 4);
  head.write("WAVEfmt ", 8, "latin1");
  head.writeUInt32LE(16, 16); // bytes of the format
  head.writeUInt16LE(1, 20); // PCM
  head.writeUInt16LE(1, 22); // channels
  head.writeUInt32LE(SAMPLES_PER_S, 24);
  head.writeUInt32LE(SAMPLES_PER_S * 2, 28);
  head.writeUInt16LE(2, 32); // bytes of a sample
  head.writeUInt16LE(16, 34); // bits of it
  head.write("data", 36, "latin1");
  head.writeUInt32LE(dataBytes, 40);
  return head;
}
