// Length x position: per cent of the 10 s score that is left, a panel a model and scene.

// cividis in ten steps: brightness rises all the way, with and without colour vision
const HEAT = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55",
  "#fee838"];
const heat = (value) => HEAT[Math.min(9, Math.floor(10 * Math.max(0, value)))];
const light = (value) => value < 0.5;  // the ink on it

function heatPanels(board, shown, lengths) {
  const groups = new Map();
  for (const entry of shown.filter((each) => known(each.position))) {
    const key = `${entry.system} ${entry.scene}`;
    groups.set(key, [...(groups.get(key) ?? []), entry]);
  }
  const panels = [...groups.values()].map((group) => heatPanel(board, group, lengths)).filter(Boolean);
  if (!panels.length) {
    return h("p", {class: "none"}, "No model was measured with the needle at two places of one scene: ",
      "there is no map. Try ", h("code", {}, "niah run --positions 0,0.25,0.5,0.75,1"), ".");
  }
  return [heatKey(), h("div", {class: "panels small"}, panels)];
}

function heatKey() {
  const steps = HEAT.map((fill, index) => svg("rect", {x: 14 * index, y: 0, width: 14, height: 12, fill}));
  return h("p", {class: "legend"}, h("span", {}, "0 %"), svg("svg", {viewBox: "0 0 140 12", class: "key",
    "aria-hidden": "true"}, steps), h("span", {}, "100 % of the 10 s score is left"));
}

function heatPanel(board, group, lengths) {
  const scored = (entry) => entry.cells.filter((cell) => lengths.includes(cell.s) && known(cell.share));
  const counts = {};
  for (const entry of group) for (const cell of scored(entry)) counts[cell.s] = (counts[cell.s] ?? 0) + 1;
  const across = ascending(Object.keys(counts).map(Number)).filter((length) => counts[length] > 1);
  if (!across.length) return null;
  const down = ascending(group.map((entry) => entry.position)).filter((position) =>
    scored(group.find((entry) => entry.position === position)).some((cell) => across.includes(cell.s)));
  const [width, height, left, top] = [Math.max(46, Math.min(64, 260 / across.length)), 26, 40, 22];
  const place = (position) => top + height * (down.length - 1 - down.indexOf(position));
  const name = board.systems[group[0].system].name;
  const texts = [];
  const fields = group.flatMap((entry) => scored(entry).filter((c) => across.includes(c.s)).map((cell) => {
    const x = left + width * across.indexOf(cell.s);
    const text = `${positionName(entry.position)}, ${curveText(cell)}`;
    texts.push(text);
    const node = svg("g", {}, svg("rect", {x: round(x), y: place(entry.position), width: width - 2, height: height - 2,
      rx: 3, fill: heat(cell.share)}), svg("text", {x: round(x + width / 2 - 1), y: place(entry.position) + 16,
      "text-anchor": "middle", class: light(cell.share) ? "field light" : "field"}, whole(100 * cell.share)));
    return {node, text};
  }));
  const bottom = top + height * down.length;
  const labels = [
    down.map((p) => svg("text", {x: left - 8, y: place(p) + 16, "text-anchor": "end"}, String(p))),
    across.map((s, i) => svg("text", {x: round(left + width * (i + 0.5)), y: bottom + 14, "text-anchor": "middle"},
      lengthName(s))),
    svg("text", {class: "title", x: 2, y: 12}, "needle at"),
  ];
  const full = Math.max(310, left + width * across.length + 4);
  return figure(`${name}: ${group[0].scene}`, `${texts.join(". ")}.`, `0 0 ${full} ${bottom + 22}`, labels,
    series("heat", name, fields));
}
