/**
 * Draws the pictures of a report in the browser, with uPlot: when they come to be seen, when the window
 * or the colours change, and anew for paper.
 *
 * It is put into the page as it is, as a module, behind uPlot itself.
 *
 * @typedef {import("./picture.ts").Picture} Picture
 * @typedef {import("./picture.ts").PictureSeries} PictureSeries
 * @typedef {import("uplot")} Plot
 * @typedef {import("uplot").Series} Series
 * @typedef {import("uplot").Series.PathBuilder} PathBuilder
 * @typedef {import("uplot").Series.Value} ShowValue
 * @typedef {import("uplot").Axis.DynamicValues} ShowTicks
 * @typedef {import("uplot").AlignedData} Table
 */

const { uPlot: Plot } = /** @type {{ readonly uPlot: typeof import("uplot") }} */ (
  /** @type {unknown} */ (globalThis)
);
const { pictures } = /** @type {{ readonly pictures: readonly Picture[] }} */ (
  JSON.parse(document.getElementById("data")?.textContent ?? "{}")
);
const root = document.documentElement;
const FONT = "12px system-ui, sans-serif";
/** Widths on paper, in pixels: A4 and Letter have room for more. */
const PAPER_WIDTH = 640;
const PAPER_WIDTH_HALF = 310;

/** @type {Map<string, Plot>} */
const drawn = new Map();

/** @param {string} name */
const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

/**
 * Three digits that count.
 *
 * @param {number} value
 */
function shown(value) {
  const text = String(Number(value.toPrecision(3)));
  return /^\d{5,}$/.test(text) ? text.replace(/\B(?=(\d{3})+$)/g, "\u202f") : text;
}

/**
 * Ticks of a logarithmic axis: 1, 2, 5, 10, …, or the powers of ten alone where there is no room.
 *
 * @param {number} from
 * @param {number} to
 * @param {number} most
 */
function logTicks(from, to, most) {
  for (const steps of [[1, 2, 5], [1, 3], [1]]) {
    const ticks = [];
    for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power++) {
      for (const step of steps) {
        const tick = step * 10 ** power;
        if (tick >= from && tick <= to) ticks.push(tick);
      }
    }
    if (ticks.length <= most) return ticks;
    if (steps.length === 1) return ticks.filter((_, at) => at % 2 === 0);
  }
  return [];
}

/**
 * A series as points of its own: circles, or crosses at the bottom.
 *
 * @param {boolean} isCross
 * @returns {PathBuilder}
 */
function marksOf(isCross) {
  return (plot, index, from, to) => {
    const path = new Path2D();
    const size = (isCross ? 3.5 : 1.8) * devicePixelRatio;
    const xs = plot.data[0];
    const ys = plot.data[index] ?? [];
    const bottom = plot.bbox.top + plot.bbox.height - 2 * size;
    for (let at = from; at <= to; at++) {
      const y = ys[at];
      if (y === null || y === undefined) continue;
      const left = plot.valToPos(/** @type {number} */ (xs[at]), "x", true);
      if (isCross) {
        path.moveTo(left - size, bottom - size);
        path.lineTo(left + size, bottom + size);
        path.moveTo(left - size, bottom + size);
        path.lineTo(left + size, bottom - size);
      } else {
        const top = plot.valToPos(y, "y", true);
        path.moveTo(left + size, top);
        path.arc(left, top, size, 0, 2 * Math.PI);
      }
    }
    return isCross ? { stroke: path, fill: null } : { stroke: null, fill: path };
  };
}

/**
 * @param {PictureSeries} series
 * @param {string} unit
 * @returns {Series}
 */
function seriesOf({ label, tone, shape }, unit) {
  const stroke = colour(tone);
  const isDashed = shape.startsWith("dash");
  const hasPoints = shape.endsWith("points");
  const base = {
    label,
    stroke,
    width: 2,
    ...(isDashed ? { dash: [6, 4] } : {}),
    points: { show: hasPoints, size: 8, width: 2, fill: isDashed ? colour("bg") : stroke },
    /** @type {ShowValue} */
    value: (_, value) => value === null || value === undefined ? "" : `${shown(value)} ${unit}`,
  };
  if (shape === "dots") return { ...base, fill: stroke, paths: marksOf(false) };
  if (shape === "crosses") {
    return { ...base, width: 1, scale: "crosses", paths: marksOf(true), value: () => "" };
  }
  if (shape === "steps") {
    const paths = Plot.paths.stepped?.({ align: 1 });
    return { ...base, width: 1.5, fill: colour(`${tone}-wash`), ...(paths ? { paths } : {}) };
  }
  return base;
}

/**
 * The lines across a picture, with their words.
 *
 * @param {Plot} plot
 * @param {Picture} picture
 */
function drawMarks(plot, { marks }) {
  const { ctx, bbox } = plot;
  const pixel = devicePixelRatio;
  const right = bbox.left + bbox.width;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour("dim");
  ctx.lineWidth = pixel;
  ctx.setLineDash([2 * pixel, 3 * pixel]);
  ctx.font = FONT.replace("12", String(11 * pixel));
  let taken = -Infinity;
  for (const { axis, at, label } of marks) {
    const { min = 0, max = 0 } = plot.scales[axis] ?? {};
    if (at < /** @type {number} */ (min) || at > /** @type {number} */ (max)) continue;
    const place = Math.round(plot.valToPos(at, axis, true)) + 0.5;
    ctx.beginPath();
    if (axis === "x") {
      ctx.moveTo(place, bbox.top);
      ctx.lineTo(place, bbox.top + bbox.height);
    } else {
      ctx.moveTo(bbox.left, place);
      ctx.lineTo(right, place);
    }
    ctx.stroke();
    const width = ctx.measureText(label).width + 4 * pixel;
    const isLeft = axis === "y" || place + width > right;
    const textAt = axis === "y" ? right : isLeft ? place - 4 * pixel : place + 4 * pixel;
    ctx.textAlign = isLeft ? "right" : "left";
    // A word that would stand on the one before goes a line down.
    const isTaken = axis === "x" && textAt - (isLeft ? width : 0) < taken;
    const top = axis === "y" ? place - 4 * pixel : bbox.top + (isTaken ? 24 : 11) * pixel;
    ctx.fillText(label, textAt, top);
    if (axis === "x") taken = isLeft ? textAt : textAt + width;
  }
  ctx.restore();
}

/**
 * @param {Picture} picture
 * @param {HTMLElement} element
 * @param {number} width
 */
function draw(picture, element, width) {
  drawn.get(picture.id)?.destroy();
  const { series, xIsLog, yIsLog, xLabel, yLabel } = picture;
  const xs = series.flatMap(({ x }) => x);
  const ys = series.filter(({ shape }) => shape !== "crosses").flatMap(({ y }) => y);
  const high = ys.reduce((most, y) => Math.max(most, y), 0) || 1;
  const low = ys.reduce((least, y) => y > 0 ? Math.min(least, y) : least, high);
  const yRange = yIsLog ? [low / 1.3, high * 1.3] : [0, high * 1.08];
  const [left, right] = [
    xs.reduce((a, b) => Math.min(a, b)),
    xs.reduce((a, b) => Math.max(a, b)),
  ];
  const room = (right - left) * 0.04 || 1;
  const xRange = picture.xRange ??
    (xIsLog ? [left / 1.15, right * 1.15] : [Math.max(0, left - room), right + room]);
  const axis = {
    stroke: colour("dim"),
    font: FONT,
    labelFont: FONT,
    labelSize: 18,
    labelGap: 0,
    gap: 4,
    ticks: { show: false },
    grid: { stroke: colour("line"), width: 1 },
    /** @type {ShowTicks} */
    values: (_, ticks) => ticks.map((tick) => tick === null ? null : shown(tick)),
  };
  const height = 190;
  const logAxis = (/** @type {number} */ most) => ({
    splits: (
      /** @type {Plot} */ _,
      /** @type {number} */ __,
      /** @type {number} */ from,
      /** @type {number} */ to,
    ) => logTicks(from, to, most),
    filter: (/** @type {Plot} */ _, /** @type {number[]} */ ticks) => ticks,
  });
  const tables = series.map(({ x, y }) => /** @type {Table} */ ([[...x], [...y]]));
  const plot = new Plot(
    {
      width,
      height,
      padding: [8, 24, 0, 0],
      scales: {
        x: { time: false, distr: xIsLog ? 3 : 1, range: [xRange[0] ?? 0, xRange[1] ?? 1] },
        y: { distr: yIsLog ? 3 : 1, range: [yRange[0] ?? 0, yRange[1] ?? 1] },
        crosses: { range: [0, 1] },
      },
      axes: [
        { ...axis, label: xLabel, size: 24, space: 56, ...(xIsLog ? logAxis(width / 56) : {}) },
        { ...axis, label: yLabel, size: 44, space: 34, ...(yIsLog ? logAxis(height / 26) : {}) },
      ],
      series: [
        { label: xLabel, value: (_, x) => x === null || x === undefined ? "" : shown(x) },
        ...series.map((one) => seriesOf(one, yLabel)),
      ],
      legend: {
        markers: {
          width: 2,
          dash: (_, index) => series[index - 1]?.shape.startsWith("dash") ? "dashed" : "solid",
        },
      },
      cursor: {
        y: false,
        drag: { x: false, y: false, setScale: false },
        points: { show: false },
        dataIdx: nearest,
      },
      hooks: { draw: [(self) => drawMarks(self, picture)] },
    },
    series.length === 1 ? /** @type {Table} */ (tables[0]) : Plot.join(tables),
    element,
  );
  drawn.set(picture.id, plot);
}

/**
 * The place of the nearest value of a series: the series do not have theirs at the same x.
 *
 * @param {Plot} plot
 * @param {number} index
 * @param {number} at
 */
function nearest(plot, index, at) {
  const values = plot.data[index] ?? [];
  for (let off = 0; off < values.length; off++) {
    for (const place of [at - off, at + off]) {
      if (values[place] !== null && values[place] !== undefined) return place;
    }
  }
  return at;
}

/** @param {(picture: Picture, element: HTMLElement) => void} visit */
function each(visit) {
  for (const picture of pictures) {
    const element = document.getElementById(picture.id);
    if (element !== null) visit(picture, element);
  }
}

const sizes = new ResizeObserver((entries) => {
  if ("paper" in root.dataset) return;
  for (const { target, contentRect } of entries) {
    const width = Math.floor(contentRect.width);
    const picture = pictures.find(({ id }) => id === target.id);
    if (picture === undefined || width === 0) continue;
    if (drawn.get(picture.id)?.width === width) continue;
    draw(picture, /** @type {HTMLElement} */ (target), width);
  }
});
each((_, element) => sizes.observe(element));

function again() {
  each((picture, element) => {
    if (element.clientWidth === 0) return;
    const paper = element.parentElement?.closest(".pair") ? PAPER_WIDTH_HALF : PAPER_WIDTH;
    draw(picture, element, "paper" in root.dataset ? paper : element.clientWidth);
  });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
addEventListener("beforeprint", () => {
  root.dataset["paper"] = "";
  again();
});
addEventListener("afterprint", () => {
  delete root.dataset["paper"];
  again();
});
