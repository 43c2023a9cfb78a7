// Accuracy, speed and length in one figure: a system's scenes from short to long, a marker that grows with the length.
// Speeds of two machines are not comparable: each machine has a figure of its own.

function tradePanels(board, shown, lengths) {
  const machines = unique(shown.flatMap((entry) => tradeCells(entry, lengths)).map((cell) => cell.machine));
  const panels = machines.flatMap((machine) => {
    const drawn = shown.filter((entry) => tradeCells(entry, lengths, machine).length > 1);
    const speeds = drawn.flatMap((entry) => tradeCells(entry, lengths, machine)).map((cell) => cell.rtf);
    const range = [Math.min(...speeds) / 1.5, Math.max(...speeds) * 1.5];
    return unique(drawn.map(sceneKey)).map((scene) => tradePanel(board, scene, machine, machines.length > 1,
      drawn.filter((entry) => sceneKey(entry) === scene), lengths, range));
  });
  if (!panels.length) return h("p", {class: "none"}, "No scene was scored and timed at two lengths on one machine.");
  return [legend(board, shown.filter((entry) => tradeCells(entry, lengths).length > 1), [[dashes(), "chance"]]),
    h("div", {class: "panels trade"}, panels)];
}

function tradeCells(entry, lengths, machine) {
  return entry.cells.filter((cell) => known(cell.mAP) && known(cell.rtf) && lengths.includes(cell.s) &&
    (machine === undefined || cell.machine === machine));
}

const tradeText = (cell) => `${lengthName(cell.s)}: mAP ${score(cell.mAP)} at ${significant(cell.rtf)} × real time`;

function tradePanel(board, scene, machine, several, here, lengths, range) {
  const shape = {x: range, y: [0, 1], log: true, xTitle: "seconds of audio a second (faster →)",
    yTitle: "mAP; larger markers are longer scenes"};
  const yTicks = [0, 0.25, 0.5, 0.75, 1].map((value) => [value, String(value)]);
  const {px} = frame({...shape, xTicks: [], yTicks});
  const ticks = powers(...range);
  const xTicks = (ticks.length ? thinned(ticks, px, 34) : []).map((tick) => [tick, significant(tick, 1)]);
  const {grid, py, box} = frame({...shape, xTicks, yTicks});
  const size = (length) => 0.6 + 1.1 * lengths.indexOf(length) / Math.max(1, lengths.length - 1);
  const drawn = here.map((entry) => {
    const cells = tradeCells(entry, lengths, machine);
    const points = cells.map((cell) => {
      const place = `translate(${round(px(cell.rtf))} ${round(py(cell.mAP))}) scale(${round(size(cell.s))})`;
      return {node: marker(entry.system, 0, 0, {transform: place}), text: tradeText(cell)};
    });
    const look = looks(entry.system);
    return series(look.class, board.systems[entry.system].name, points,
      svg("path", {class: "line", d: path(cells.map((c) => [px(c.rtf), py(c.mAP)])), "stroke-dasharray": look.dash}));
  });
  const described = here.map((entry) => `${board.systems[entry.system].name}: ` +
    `${tradeCells(entry, lengths, machine).map(tradeText).join("; ")}.`).join(" ");
  const chanceLine = known(board.chance)
    ? svg("path", {class: "chance", d: `M${box.left} ${round(py(board.chance))}H${box.right}`}) : null;
  return figure(several ? `${scene}; ${machine || "a machine that is not stated"}` : scene, described, "0 0 360 252",
    grid, chanceLine, drawn);
}
