/**
 * A strict reader of Prometheus' text format 0.0.4: it takes what the specification allows, and no
 * more. What it gives is what a scraper would store.
 *
 * @module
 */

/** One metric as the text has it. */
export interface ParsedFamily {
  readonly help: string;
  readonly type: string;
  readonly samples: readonly ParsedSample[];
}

/** One line with a value. */
export interface ParsedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const VALUE = /^(?:[+-]?Inf|NaN|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/;

/** @throws {Error} at the first line that is not in order. */
export function parseMetrics(text: string): ReadonlyMap<string, ParsedFamily> {
  if (!text.endsWith("\n")) throw new Error("The last line has no end");
  const families = new Map<string, { help: string; type: string; samples: ParsedSample[] }>();
  let current = "";
  for (const line of text.slice(0, -1).split("\n")) {
    const comment = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (comment !== null) {
      const [, word, name, rest] = comment as unknown as [string, string, string, string];
      if (word === "HELP") {
        if (families.has(name)) throw new Error(`${name} comes twice`);
        families.set(name, { help: unescape(rest, false), type: "", samples: [] });
        current = name;
      } else {
        if (name !== current) throw new Error(`TYPE of ${name} is not behind its HELP`);
        if (!["counter", "gauge", "histogram"].includes(rest)) throw new Error(`${name}: ${rest}`);
        families.get(name)!.type = rest;
      }
      continue;
    }
    const sample = parseSample(line);
    const family = families.get(current);
    const isOwn = sample.name === current ||
      (family?.type === "histogram" && sample.name.replace(/_(bucket|sum|count)$/, "") === current);
    if (family === undefined || !isOwn) throw new Error(`${line}: stands with ${current}`);
    family.samples.push(sample);
  }
  for (const [name, family] of families) checkFamily(name, family);
  return families;
}

function parseSample(line: string): ParsedSample {
  const name = NAME.exec(line)?.[0];
  if (name === undefined) throw new Error(`No name: ${line}`);
  let rest = line.slice(name.length);
  const labels: Record<string, string> = {};
  if (rest.startsWith("{")) {
    rest = rest.slice(1);
    for (;;) {
      const pair = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"([,}])/.exec(rest);
      if (pair === null) throw new Error(`Bad label: ${line}`);
      const [whole, key, value, end] = pair as unknown as [string, string, string, string];
      if (key in labels) throw new Error(`Label twice: ${line}`);
      labels[key] = unescape(value, true);
      rest = rest.slice(whole.length);
      if (end === "}") break;
    }
  }
  if (!rest.startsWith(" ") || !VALUE.test(rest.slice(1))) throw new Error(`Bad value: ${line}`);
  return { name, labels, value: Number(rest.slice(1).replace("Inf", "Infinity")) };
}

function unescape(text: string, isLabel: boolean): string {
  return text.replace(/\\(.)/g, (_all, letter: string) => {
    if (letter === "n") return "\n";
    if (letter === "\\" || (isLabel && letter === '"')) return letter;
    throw new Error(`Bad escape: ${text}`);
  });
}

/** Rules beyond the syntax: naming, and what the parts of a histogram promise each other. */
function checkFamily(name: string, { help, type, samples }: ParsedFamily): void {
  if (help === "" || type === "") throw new Error(`${name} lacks its help or its type`);
  if ((type === "counter") !== name.endsWith("_total")) throw new Error(`${name} is a ${type}`);
  const seen = new Set<string>();
  for (const sample of samples) {
    const key = sample.name + JSON.stringify(Object.entries(sample.labels).sort());
    if (seen.has(key)) throw new Error(`${name}: a series comes twice: ${key}`);
    seen.add(key);
    if (type === "counter" && !(sample.value >= 0)) throw new Error(`${name} is below 0`);
  }
  if (type === "histogram") checkHistogram(name, samples);
}

function checkHistogram(name: string, samples: readonly ParsedSample[]): void {
  const groups = new Map<string, ParsedSample[]>();
  for (const sample of samples) {
    const { le: _le, ...labels } = sample.labels;
    const key = JSON.stringify(Object.entries(labels).sort());
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  for (const [key, group] of groups) {
    const buckets = group.filter((sample) => sample.name === `${name}_bucket`);
    const one = (suffix: string) => {
      const found = group.filter((sample) => sample.name === name + suffix);
      if (found.length !== 1) throw new Error(`${name}${suffix} ${key}: ${found.length} of it`);
      return found[0]!.value;
    };
    const bounds = buckets.map(({ labels }) => Number(labels["le"]!.replace("Inf", "Infinity")));
    const isRising = bounds.every((bound, i) => i === 0 || bound > bounds[i - 1]!);
    const isGrowing = buckets.every(({ value }, i) => i === 0 || value >= buckets[i - 1]!.value);
    if (!isRising || !isGrowing) throw new Error(`${name} ${key}: the buckets fall`);
    if (bounds.at(-1) !== Infinity) throw new Error(`${name} ${key}: there is no bucket +Inf`);
    if (buckets.at(-1)!.value !== one("_count")) throw new Error(`${name} ${key}: _count differs`);
    if (!(one("_sum") >= 0)) throw new Error(`${name} ${key}: _sum is below 0`);
  }
}
