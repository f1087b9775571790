// Pictures of one download: its rate over time, and its pieces.

import { bytes, count, h, svg, text } from "./dom.js";

/** Seconds that the graph shows; the first that is long enough. */
const SPANS = [60, 180];
/** What the upper edge may stand for, in the unit of the rate. */
const TOPS = [1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 50, 60, 80, 100, 150, 200, 300, 400, 500, 600, 800, 1024];
const [WIDTH, HEIGHT] = [180, 60];

/** Rates over time, the newest at the right; `draw` takes one for each second. */
export function rateGraph() {
  const area = svg("path", { class: "area" });
  const curve = svg("path", { class: "curve" });
  const lines = svg("path", { class: "lines", d: `M0 0H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT}H${WIDTH}` });
  const picture = svg("svg", { class: "rate", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, lines, area, curve);
  const [most, half, ago, words] = [h("span"), h("span"), h("span"), h("p", { class: "soft small" })];
  return {
    element: h("div", {}, h("div", { class: "graph", "aria-hidden": "true" }, h("div", { class: "rates" }, most, half, h("span", {}, "0")), picture, h("div", { class: "times" }, ago, h("span", {}, "now"))), words),
    draw(rates) {
      const span = SPANS.find((length) => rates.length <= length) ?? SPANS[SPANS.length - 1];
      const shown = rates.slice(-span);
      const top = edge(Math.max(...shown, 1));
      const step = WIDTH / (span - 1);
      const x = (i) => (WIDTH - (shown.length - 1 - i) * step).toFixed(1);
      const points = shown.map((rate, i) => `${x(i)},${(HEIGHT - (HEIGHT * rate) / top).toFixed(1)}`).join(" L");
      curve.setAttribute("d", points ? `M${points}` : "");
      area.setAttribute("d", points ? `M${points} L${WIDTH},${HEIGHT} L${x(0)},${HEIGHT} Z` : "");
      text(most, `${short(top)}/s`);
      text(half, `${short(top / 2)}/s`);
      text(ago, span === 60 ? "1 min ago" : `${span / 60} min ago`);
      const said = shown.length ? `Now ${bytes(shown[shown.length - 1])}/s, at most ${bytes(Math.max(...shown))}/s` : "Nothing has moved yet.";
      text(words, said);
    },
  };
}

/** The next round rate that is not below this one. */
function edge(rate) {
  let unit = 1024;
  while (rate > unit * 1024) unit *= 1024;
  return unit * TOPS.find((top) => rate <= top * unit);
}

/** A round number of bytes without digits that say nothing. */
function short(rate) {
  return bytes(rate).replace(/\.?0+(?= )/, "");
}

/** Cells in a row: fewer on a narrow screen, so that each can be seen. */
const narrow = matchMedia("(max-width: 40rem)");

/** Which pieces are here: squares, first piece first. What is there in part is filled in part. */
export function pieceMap() {
  const layers = { none: svg("path", { class: "none" }), some: svg("path", { class: "some" }), all: svg("path", { class: "all" }) };
  const picture = svg("svg", { class: "pieces", role: "img" }, ...Object.values(layers));
  const words = h("span");
  const legend = h("p", { class: "legend small soft" }, words, ...[["all", "here"], ["some", "partly"], ["none", "missing"]].map(([kind, label]) => h("span", { class: "key" }, h("i", { class: kind }), label)));
  let drawn = null;
  return {
    element: h("div", {}, picture, legend),
    draw({ piece_map: map, pieces, pieces_total: total, piece_bytes: size }) {
      const columns = narrow.matches ? 25 : 50;
      if (map === null || drawn === `${columns}${map}`) return;
      drawn = `${columns}${map}`;
      picture.setAttribute("viewBox", `0 0 ${columns} ${Math.ceil(map.length / columns)}`);
      const cells = (marks, shape) => [...map].map((mark, i) => (marks.includes(mark) ? `M${i % columns} ${Math.floor(i / columns)}${shape}` : "")).join("");
      layers.none.setAttribute("d", cells(".+", "h.86v.86h-.86z"));
      layers.some.setAttribute("d", cells("+", "m0 .43h.86v.43h-.86z"));
      layers.all.setAttribute("d", cells("#", "h.86v.86h-.86z"));
      const said = `${pieces.toLocaleString("en")} of ${count(total, "piece")}${size ? ` of ${short(size)}` : ""}`;
      picture.setAttribute("aria-label", `Piece map: ${said}`);
      text(words, said);
    },
  };
}
