// What is left against length: a panel a scene, a band a 95 % interval, dashes where chance would be.
// By the choice of ranking: of the 10 s score, or of its part above chance (where chance is 0).

function curvePanels(board, shown, lengths) {
  const drawn = shown.filter((entry) => curvePoints(entry, lengths).length > 1);
  const scenes = unique(drawn.map(sceneKey));
  if (!scenes.length) return h("p", {class: "none"}, "No two lengths of one scene are shown: there is no curve.");
  const range = extent(drawn.flatMap((entry) => endpoints(entry, lengths)));
  const top = Math.max(1, ...drawn.flatMap((e) => curvePoints(e, lengths).map((c) => left(c)[2])));
  return [legend(board, drawn, [[dashes(), "chance"]]), h("div", {class: "panels"}, scenes.map((scene) =>
    curvePanel(board, scene, drawn.filter((entry) => sceneKey(entry) === scene), lengths, range, top)))];
}

const extent = (values) => [Math.min(...values), Math.max(...values)];
// [value, low, high] of what is left; no band where no interval is known
function left(cell) {
  const name = state.by === "adjusted" ? "adjusted" : "share";
  return [cell[name], cell[`${name}_lo`] ?? cell[name], cell[`${name}_hi`] ?? cell[name]];
}
const curvePoints = (entry, lengths) =>
  entry.cells.filter((cell) => known(left(cell)[0]) && (cell.s === data.base_s || lengths.includes(cell.s)));
const failures = (entry, lengths) => entry.cells.filter((cell) => cell.status !== "ok" && lengths.includes(cell.s));
const endpoints = (entry, lengths) =>
  [...curvePoints(entry, lengths), ...failures(entry, lengths)].map((cell) => cell.s);
const curveText = (cell) => `${lengthName(cell.s)}: ${percent(cell.share)}` +
  (known(cell.share_lo) && cell.s !== data.base_s ? ` (${percent(cell.share_lo)} to ${percent(cell.share_hi)})` : "") +
  `, mAP ${score(cell.mAP)}` +
  (known(cell.adjusted) && cell.s !== data.base_s ? `, chance-adjusted ${percent(cell.adjusted)}` : "");

function curvePanel(board, scene, here, lengths, range, top) {
  const measured = ascending(here.flatMap((entry) => endpoints(entry, lengths)));
  const shape = {x: range, y: [0, top], log: true, xTitle: "length", 
    yTitle: `share of the 10 s score${state.by === "adjusted" ? " above chance" : ""} that is left`};
  const {px} = frame({...shape, xTicks: [], yTicks: []});
  const yTicks = [0, 0.25, 0.5, 0.75, 1].map((value) => [value, percent(value)]);
  const xTicks = thinned(measured, px).map((value) => [value, lengthName(value)]);
  const plot = frame({...shape, xTicks, yTicks});
  const described = here.map((entry) =>
    `${board.systems[entry.system].name}: ${curvePoints(entry, lengths).map(curveText).join("; ")}.`).join(" ");
  return figure(scene, described, "0 0 360 252", plot.grid,
    here.map((entry) => curve(board, entry, lengths, plot)));
}

function curve(board, entry, lengths, {px, py, box}) {
  const cells = curvePoints(entry, lengths);
  const look = looks(entry.system);
  const low = (cell) => [px(cell.s), py(Math.max(0, left(cell)[1]))];
  const high = (cell) => [px(cell.s), py(Math.max(0, left(cell)[2]))];
  const band = path([...cells.map(high), ...cells.map(low).reverse()]) + "Z";
  const byChance = cells.find((cell) => known(cell.share_by_chance))?.share_by_chance;
  const floor = state.by === "adjusted" && known(byChance) ? 0 : byChance;
  const failed = failures(entry, lengths)[0];
  const points = cells.map((cell) =>
    ({node: marker(entry.system, px(cell.s), py(Math.max(0, left(cell)[0]))), text: curveText(cell)}));
  return series(look.class, board.systems[entry.system].name, points,
    svg("path", {class: "band", d: band}),
    known(floor) ? svg("path", {class: "chance", d: `M${box.left} ${round(py(floor))}H${box.right}`}) : null,
    svg("path", {class: "line", d: path(cells.map((cell) => [px(cell.s), py(Math.max(0, left(cell)[0]))])),
      "stroke-dasharray": look.dash}),
    failed ? svg("text", {class: "failed", x: round(px(failed.s)) + 3, y: box.bottom - 5, "text-anchor": "end"},
      `${failure(failed)} ×`) : null);
}
