/**
 * Bars and lines as inline SVG, in the colours of the page that holds them.
 *
 * @module
 */

/** One bar, and how far the rounds are spread around it. */
export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  /** A CSS colour. */
  readonly color: string;
}

/** Bars beneath a heading. */
export interface BarGroup {
  readonly title: string;
  readonly bars: readonly Bar[];
}

/** One line; the points of all lines stand at the same places. */
export interface Line {
  readonly name: string;
  readonly color: string;
  readonly isDashed: boolean;
  readonly points: readonly { readonly x: string; readonly y: number }[];
}

/** Narrow enough for its letters to be read on a phone. */
const WIDTH = 450;
const LABEL_WIDTH = 198;
const VALUE_WIDTH = 72;
const BAR_HEIGHT = 20;
const TITLE_HEIGHT = 24;

/** Text that is safe between tags and in attributes. */
export function escape(text: string): string {
  const names: Readonly<Record<string, string>> = { "&": "amp", "<": "lt", ">": "gt", '"': "quot" };
  return text.replace(/[&<>"]/g, (sign) => `&${names[sign]};`);
}

/** Horizontal bars. `goal` is a dashed line at a value. */
export function barChart(
  groups: readonly BarGroup[],
  { format, isLog, goal }: {
    readonly format: (value: number) => string;
    readonly isLog: boolean;
    readonly goal: number | undefined;
  },
): string {
  const bars = groups.flatMap((group) => group.bars);
  const most = Math.max(...bars.map(({ max }) => max), goal ?? 0);
  const room = WIDTH - LABEL_WIDTH - VALUE_WIDTH;
  const least = isLog
    ? Math.min(...bars.map(({ min }) => min).filter((value) => value > 0)) / 2
    : 0;
  const at = (value: number) => {
    if (most <= 0) return LABEL_WIDTH;
    const share = isLog
      ? Math.log(Math.max(value, least) / least) / Math.log(most / least)
      : value / most;
    return LABEL_WIDTH + share * room;
  };
  const shapes: string[] = [];
  const texts: string[] = [];
  let top = 0;
  for (const group of groups) {
    texts.push(text(0, top + 16, group.title, `class="soft"`));
    top += TITLE_HEIGHT;
    for (const { name, value, min, max, color } of group.bars) {
      const middle = top + BAR_HEIGHT / 2 - 1;
      const width = Math.max(1, at(value) - LABEL_WIDTH);
      texts.push(
        text(LABEL_WIDTH - 8, middle + 4, name, `text-anchor="end"`),
        text(at(Math.max(value, max)) + 6, middle + 4, format(value), ""),
      );
      shapes.push(
        `<rect x="${LABEL_WIDTH}" y="${top + 2}" width="${px(width)}" height="${
          BAR_HEIGHT - 6
        }" rx="2" fill="${color}"><title>${
          escape(`${name}: ${format(value)} (${format(min)} to ${format(max)})`)
        }</title></rect>`,
      );
      if (max > min) {
        shapes.push(
          `<path class="spread" d="M${px(at(min))} ${middle}H${px(at(max))}M${px(at(min))} ${
            middle - 3
          }v6M${px(at(max))} ${middle - 3}v6"/>`,
        );
      }
      top += BAR_HEIGHT;
    }
    top += 6;
  }
  if (goal !== undefined) shapes.push(`<path class="goal" d="M${px(at(goal))} 0V${top}"/>`);
  return svg(top, [...shapes, ...texts]);
}

/** Lines over places of equal distance, on a scale of powers of two. */
export function lineChart(
  lines: readonly Line[],
  { format, goal, unit }: {
    readonly format: (value: number) => string;
    readonly goal: number;
    /** What the places are numbers of. */
    readonly unit: string;
  },
): string {
  const [left, right, top, bottom] = [40, 140, 12, 230];
  const values = [...lines.flatMap(({ points }) => points.map(({ y }) => y)), goal];
  const low = Math.floor(Math.log2(Math.max(0.1, Math.min(...values))));
  const high = Math.max(low + 1, Math.ceil(Math.log2(Math.max(...values))));
  const y = (value: number) =>
    bottom - (Math.log2(Math.max(value, 2 ** low)) - low) / (high - low) * (bottom - top);
  const places = lines[0]!.points.length;
  const x = (i: number) => left + 12 + (i * (WIDTH - left - right - 24)) / Math.max(1, places - 1);
  const parts: string[] = [];
  for (let power = low; power <= high; power++) {
    const at = y(2 ** power);
    parts.push(
      `<path class="axis" d="M${left} ${px(at)}H${WIDTH - right}"/>`,
      text(left - 6, at + 4, String(2 ** power), `text-anchor="end" class="soft"`),
    );
  }
  lines[0]!.points.forEach((point, i) =>
    parts.push(text(x(i), bottom + 18, point.x, `text-anchor="middle" class="soft"`))
  );
  parts.push(
    text(WIDTH - right + 8, bottom + 18, unit, `class="soft"`),
    `<path class="goal" d="M${left} ${px(y(goal))}H${WIDTH - right}"/>`,
    text(left + 4, y(goal) - 4, `wanted at p99: ${format(goal)}`, `class="soft"`),
  );
  for (const { points, color, isDashed, name } of lines) {
    const path = points.map((point, i) => `${px(x(i))} ${px(y(point.y))}`).join("L");
    parts.push(
      `<path d="M${path}" fill="none" stroke="${color}" stroke-width="2"${
        isDashed ? ` stroke-dasharray="5 4"` : ""
      }/>`,
      ...points.map((point, i) =>
        `<circle cx="${px(x(i))}" cy="${px(y(point.y))}" r="3" fill="${color}"><title>${
          escape(`${name}, ${point.x} ${unit}: ${format(point.y)}`)
        }</title></circle>`
      ),
    );
  }
  for (const [i, at] of spreadOut(lines.map(({ points }) => y(points.at(-1)!.y)), 15).entries()) {
    const { name, color, points } = lines[i]!;
    const label = `${name} ${format(points.at(-1)!.y)}`;
    parts.push(text(WIDTH - right - 6, at + 4, label, `style="fill:${color}"`));
  }
  return svg(bottom + 26, parts);
}

/** Moves labels apart that would lie on each other, in the order of their heights. */
function spreadOut(heights: readonly number[], distance: number): readonly number[] {
  const order = heights.map((at, i) => ({ at, i })).toSorted((one, other) => one.at - other.at);
  const moved = [...heights];
  let last = -Infinity;
  for (const { at, i } of order) {
    last = Math.max(at, last + distance);
    moved[i] = last;
  }
  return moved;
}

function svg(height: number, parts: readonly string[]): string {
  return `<svg viewBox="0 0 ${WIDTH} ${Math.ceil(height)}" role="img">${parts.join("")}</svg>`;
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${px(x)}" y="${px(y)}" ${attributes}>${escape(content)}</text>`;
}

function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}
