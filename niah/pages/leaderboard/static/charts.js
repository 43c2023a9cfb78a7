// What the charts share: a model's colour and marker, axes, the tip, and series that a keyboard can walk.

const MARKERS = [
  "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "M-3.5-3.5h7v7h-7z", "M0-4.6L4.6 0L0 4.6L-4.6 0z",
  "M0-4.6L4.4 3.4H-4.4z", "M0 4.6L4.4-3.4H-4.4z", "M-4.5-1.5h3v-3h3v3h3v3h-3v3h-3v-3h-3z",
  "M-3-4.6L0-1.6L3-4.6L4.6-3L1.6 0L4.6 3L3 4.6L0 1.6L-3 4.6L-4.6 3L-1.6 0L-4.6-3z",
];
const DASHES = [null, "6 3", "2 2", "8 3 2 3"];
const looks = (index) => ({
  class: `series c${index % 7}`, marker: MARKERS[index % 7], dash: DASHES[Math.floor(index / 7) % DASHES.length],
});

function marker(index, x, y, attributes = {}) {
  return svg("path", {d: looks(index).marker, class: "marker", transform: `translate(${round(x)} ${round(y)})`,
    ...attributes});
}

function swatch(index) {
  const {dash, class: kind} = looks(index);
  return svg("svg", {viewBox: "0 0 26 12", class: `swatch ${kind}`, "aria-hidden": "true"},
    svg("path", {d: "M0 6H26", class: "line", "stroke-dasharray": dash}), marker(index, 13, 6));
}

function legend(board, shown, extra = []) {
  const indices = ascending(shown.map((entry) => entry.system));
  return h("ul", {class: "legend"}, indices.map((index) => h("li", {}, swatch(index), board.systems[index].name)),
    extra.map(([node, text]) => h("li", {}, node, text)));
}

const dashes = () => svg("svg", {viewBox: "0 0 26 12", class: "swatch", "aria-hidden": "true"},
  svg("path", {d: "M0 6H26", class: "chance"}));

const round = (value) => Math.round(10 * value) / 10;
const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${round(x)} ${round(y)}`).join("");

// A plot's frame: pixel positions of values, gridlines, tick labels and axis titles.
function frame({x, y, xTicks, yTicks, xTitle, yTitle, log}) {
  const box = {left: 40, right: 350, top: 26, bottom: 214};
  const along = log ? Math.log : (value) => value;
  const span = along(x[1]) - along(x[0]) || 1;
  const px = (value) => box.left + 10 + (along(value) - along(x[0])) / span * (box.right - box.left - 22);
  const py = (value) => box.bottom - (value - y[0]) / (y[1] - y[0]) * (box.bottom - box.top);
  const grid = [
    yTicks.map(([value, text]) => [
      svg("path", {class: value === y[0] ? "axis" : "grid", d: `M${box.left} ${round(py(value))}H${box.right}`}),
      svg("text", {x: box.left - 6, y: round(py(value)) + 4, "text-anchor": "end"}, text)]),
    xTicks.map(([value, text]) => [
      svg("path", {class: "axis", d: `M${round(px(value))} ${box.bottom}v4`}),
      svg("text", {x: round(px(value)), y: box.bottom + 17, "text-anchor": "middle"}, text)]),
    svg("text", {class: "title", x: box.right, y: box.bottom + 34, "text-anchor": "end"}, xTitle),
    svg("text", {class: "title", x: 2, y: 12}, yTitle),
  ];
  return {px, py, box, grid};
}

// Ticks that do not overlap, the outer ones first.
function thinned(values, px, apart = 36) {
  const ticks = [];
  for (const value of [...new Set([values[0], values.at(-1), ...values])]) {
    if (ticks.every((other) => Math.abs(px(other) - px(value)) >= apart)) ticks.push(value);
  }
  return ticks.sort((a, b) => a - b);
}

let figures = 0;
function figure(title, description, viewBox, ...content) {
  figures += 1;
  const [heading, summary] = [`figure${figures}`, `figure${figures}-summary`];
  return h("figure", {}, h("figcaption", {}, title),
    svg("svg", {viewBox, role: "group", "aria-labelledby": heading, "aria-describedby": summary, class: "plot"},
      svg("title", {id: heading}, title), svg("desc", {id: summary}, description), content));
}

// A group of points that takes the focus once; the arrows walk along them, and each tells itself.
function series(kind, name, points, ...content) {
  const marks = points.map(({node}) => node);
  let at = -1;
  const group = svg("g", {class: kind, tabindex: 0, role: "img",
    "aria-label": `${name}: ${points.map(({text}) => text).join("; ")}`,
    keydown: (event) => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (event.key === "Escape") hideTip();
      if (!step || !points.length) return;
      event.preventDefault();
      at = (at + step + points.length) % points.length;
      showTip(marks[at], name, points[at].text);
    },
    blur: () => { at = -1; hideTip(); }}, content, marks);
  for (const {node, text} of points) {
    node.addEventListener("pointerenter", () => showTip(node, name, text));
    node.addEventListener("pointerleave", hideTip);
  }
  return group;
}

const tip = document.getElementById("tip");
function showTip(node, name, text) {
  tip.replaceChildren(h("strong", {}, name), h("span", {}, text));
  tip.hidden = false;
  const box = node.getBoundingClientRect();
  const left = Math.min(box.left + box.width / 2 + 12, innerWidth - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${Math.max(8, box.top - tip.offsetHeight - 8)}px`;
}
function hideTip() { tip.hidden = true; }
