import { describe, expect, test } from "bun:test";
import { vectorOf } from "../../../src/sources/endpoints/vectors.ts";

const DIMENSIONS = 1536;

const DOCUMENTS = [
  "The cat sleeps on the sofa all day.",
  "Bread is baked from flour, water, salt and yeast.",
  "The train to Berlin leaves at nine in the morning.",
  "Photosynthesis turns sunlight into sugar.",
  "Interest rates were raised by the central bank.",
  "How to reset a forgotten password.",
  "The museum is closed on Mondays.",
  "A volcano on Iceland erupted last night.",
  "Die Katze schläft den ganzen Tag auf dem Sofa.",
  "Der Zug nach München hat zwanzig Minuten Verspätung.",
  "Für den Kuchen braucht man Mehl, Eier und Zucker.",
  "Das Fahrrad steht mit plattem Reifen im Keller.",
  "Morgen regnet es im ganzen Norden.",
  "Die Rechnung muss innerhalb von vierzehn Tagen bezahlt werden.",
  "猫在沙发上睡了一整天。",
  "开往上海的火车晚点二十分钟。",
  "这个蛋糕需要面粉、鸡蛋和糖。",
  "如何重置忘记的密码？",
  "明天北方全境有雨。",
  "博物馆星期一不开门。",
] as const;

const QUERIES: readonly (readonly [query: string, found: string])[] = [
  ["where does my cat sleep?", "The cat sleeps on the sofa all day."],
  ["I FORGOT MY PASSWORD", "How to reset a forgotten password."],
  ["trains to berlin", "The train to Berlin leaves at nine in the morning."],
  ["baking bread with yeast", "Bread is baked from flour, water, salt and yeast."],
  ["volcanoes in Iceland", "A volcano on Iceland erupted last night."],
  ["What did the central bank do?", "Interest rates were raised by the central bank."],
  ["is the museum open on Monday", "The museum is closed on Mondays."],
  ["Zugverspätung München", "Der Zug nach München hat zwanzig Minuten Verspätung."],
  ["Kuchen mit Mehl und Eiern", "Für den Kuchen braucht man Mehl, Eier und Zucker."],
  ["Wo schläft meine Katze?", "Die Katze schläft den ganzen Tag auf dem Sofa."],
  ["Fahrräder mit plattem Reifen", "Das Fahrrad steht mit plattem Reifen im Keller."],
  [
    "Wann ist die Rechnung zu bezahlen?",
    "Die Rechnung muss innerhalb von vierzehn Tagen bezahlt werden.",
  ],
  ["火车晚点了吗", "开往上海的火车晚点二十分钟。"],
  ["忘记密码怎么办", "如何重置忘记的密码？"],
  ["猫睡在哪里", "猫在沙发上睡了一整天。"],
  ["蛋糕要几个鸡蛋", "这个蛋糕需要面粉、鸡蛋和糖。"],
];

function near(one: Float64Array, other: Float64Array): number {
  return one.reduce((sum, value, i) => sum + value * other[i]!, 0);
}

function found(query: string, dimensions: number): string {
  const asked = vectorOf(query, DIMENSIONS, dimensions);
  const scores = DOCUMENTS.map((text) => near(asked, vectorOf(text, DIMENSIONS, dimensions)));
  return DOCUMENTS[scores.indexOf(Math.max(...scores))]!;
}

describe("vectorOf()", () => {
  for (const dimensions of [DIMENSIONS, 512, 256]) {
    for (const [query, document] of QUERIES) {
      test(`a search among ${dimensions} numbers finds "${document}" for "${query}"`, () => {
        expect(found(query, dimensions)).toBe(document);
      });
    }
  }

  for (
    const text of ["a", "Hello 你好 🌊", "🌊", "   ", "?!", "the", "\u{d800}", "word ".repeat(5000)]
  ) {
    for (const [max, dimensions] of [[1536, 1536], [3072, 3072], [1536, 128], [3072, 1]] as const) {
      test(`${JSON.stringify(text.slice(0, 12))}: ${dimensions} of ${max} numbers have length 1`, () => {
        const vector = vectorOf(text, max, dimensions);
        expect(vector.length).toBe(dimensions);
        expect(near(vector, vector)).toBeCloseTo(1, 6);
        expect(vectorOf(text, max, dimensions)).toEqual(vector);
        expect(vector.every((value) => String(value).length <= 22 && value !== 0)).toBe(true);
      });
    }
  }

  test("numbers have 8 or 9 digits", () => {
    const digits = [...vectorOf("Hello", DIMENSIONS, DIMENSIONS)].map((value) =>
      Math.abs(value).toFixed(15).replace(/^0\.0*/, "").replace(/0+$/, "").length
    );
    expect(Math.max(...digits)).toBe(9);
    expect(digits.filter((count) => count >= 8).length).toBeGreaterThan(0.9 * DIMENSIONS);
  });

  test("texts without a common word are far from each other, the same words near", () => {
    const of = (text: string) => vectorOf(text, DIMENSIONS, DIMENSIONS);
    expect(near(of(DOCUMENTS[0]), of(DOCUMENTS[4]))).toBeLessThan(0.2);
    expect(near(of("Red wine and cheese"), of("cheese and red wine!"))).toBeGreaterThan(0.95);
    expect(near(of("The weather in Paris"), of("The weather of Paris"))).toBeGreaterThan(0.9);
  });
});
