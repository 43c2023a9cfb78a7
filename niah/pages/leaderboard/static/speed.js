// Accuracy against speed at one length, with the Pareto front.
// Speeds of two machines are not comparable: each machine has its own front.

function speedPanels(board, shown, at) {
  const drawn = shown.filter((entry) => speedCell(entry, at));
  const scenes = unique(drawn.map(sceneKey));
  if (!scenes.length) return h("p", {class: "none"}, `Nothing was both scored and timed at ${lengthName(at)}.`);
  const speeds = drawn.map((entry) => speedCell(entry, at).rtf);
  const range = [Math.min(...speeds) / 1.5, Math.max(...speeds) * 1.5];
  const machines = unique(drawn.map((entry) => speedCell(entry, at).machine));
  const note = h("p", {class: "note"}, machines.length > 1
    ? `Speeds are of ${machines.length} machines, and are not comparable between them; each has its own front: ` +
      `${machines.join("; ")}.`
    : `Measured on ${machines[0] || "a machine that is not stated"}.`);
  return [note, legend(board, drawn, [[frontSwatch(), "Pareto front"], [dashes(), "chance"]]),
    h("div", {class: "panels speed"}, scenes.map((scene) =>
      speedPanel(board, scene, drawn.filter((entry) => sceneKey(entry) === scene), at, range)))];
}

const frontSwatch = () => svg("svg", {viewBox: "0 0 26 12", class: "swatch", "aria-hidden": "true"},
  svg("path", {d: "M2 2H14V10H24", class: "front"}));

function speedCell(entry, at) {
  const cell = cellAt(entry, at);
  return cell && known(cell.mAP) && known(cell.rtf) ? cell : null;
}

function front(cells) {
  return cells.filter((cell) => !cells.some((other) => other !== cell && other.rtf >= cell.rtf &&
    other.mAP >= cell.mAP && (other.rtf > cell.rtf || other.mAP > cell.mAP))).sort((a, b) => a.rtf - b.rtf);
}

function powers(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    ticks.push(...[1, 2, 5].map((step) => step * 10 ** power));
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}

function speedPanel(board, scene, here, at, range) {
  const shape = {x: range, y: [0, 1], log: true, xTitle: "seconds of audio a second (faster →)",
    yTitle: `mAP at ${lengthName(at)}`};
  const yTicks = [0, 0.25, 0.5, 0.75, 1].map((value) => [value, String(value)]);
  const {px} = frame({...shape, xTicks: [], yTicks});
  const ticks = powers(...range);
  const xTicks = (ticks.length ? thinned(ticks, px, 34) : []).map((tick) => [tick, significant(tick, 1)]);
  const plot = frame({...shape, xTicks, yTicks});
  const {py, box} = plot;
  const cells = here.map((entry) => speedCell(entry, at));
  const fronts = unique(cells.map((cell) => cell.machine)).map((machine) =>
    front(cells.filter((cell) => cell.machine === machine)));
  const steps = fronts.map((best) => {
    const corners = best.flatMap((cell, i) => [[px(cell.rtf), py(cell.mAP)],
      ...(best[i + 1] ? [[px(cell.rtf), py(best[i + 1].mAP)]] : [])]);
    const ends = [[box.left, py(best[0].mAP)], ...corners, [px(best.at(-1).rtf), box.bottom]];
    return svg("path", {class: "front", d: path(ends)});
  });
  const text = (cell) => `mAP ${score(cell.mAP)} at ${significant(cell.rtf)} × real time` +
    (fronts.some((best) => best.includes(cell)) ? ", on the front" : "") + (cell.machine ? `, ${cell.machine}` : "");
  const floor = board.chance;
  const chanceLine = known(floor) ? svg("path", {class: "chance", d: `M${box.left} ${round(py(floor))}H${box.right}`})
    : null;
  const described = here.map((entry, i) => `${board.systems[entry.system].name}: ${text(cells[i])}.`).join(" ");
  return figure(`${scene}, ${lengthName(at)}`, described, "0 0 360 252", plot.grid, chanceLine, steps,
    here.map((entry, i) => series(looks(entry.system).class, board.systems[entry.system].name,
      [{node: marker(entry.system, px(cells[i].rtf), py(cells[i].mAP)), text: text(cells[i])}],
      known(cells[i].mAP_lo) ? svg("path", {class: "whisker",
        d: `M${round(px(cells[i].rtf))} ${round(py(cells[i].mAP_lo))}V${round(py(cells[i].mAP_hi))}`}) : null)));
}
