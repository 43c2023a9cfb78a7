// Two systems of a board side by side: every scene and length that both have, with the difference and its p-value.

function comparison(board, number, change) {
  if (board.systems.length < 2) return null;
  const names = board.systems.map((system) => system.name);
  const chosen = [state.a, state.b].map((name) => names.indexOf(name));
  const selects = ["a", "b"].map((key, i) => field(i ? "and" : "Compare",
    h("select", {"data-key": `${number}/compare/${key}`, "data-side": key,
      change: (event) => change({[key]: event.target.value})},
    h("option", {value: ""}, "choose a model"),
    names.map((name) => h("option", {value: name, selected: name === state[key]}, name)))));
  const [a, b] = chosen;
  const ready = a >= 0 && b >= 0 && a !== b;
  return [h("h3", {}, "Two models"), h("div", {class: "pair"}, selects),
    ready ? pairTable(board, number, a, b) : h("p", {class: "none"}, "Choose two to see every scene that both have.")];
}

function pairTable(board, number, a, b) {
  const rows = board.entries.filter((entry) => entry.system === a && entryShown(board, entry)).flatMap((one) => {
    const other = board.entries.find((e) => e.system === b && sceneKey(e) === sceneKey(one));
    const scored = (cell) => known(cell.mAP) && known(other && cellAt(other, cell.s)?.mAP);
    return one.cells.filter(scored).map((cell) => pairRow(board, one, other, cell, cellAt(other, cell.s)));
  });
  if (!rows.length) return h("p", {class: "none"}, "No scene that the filters leave was measured with both.");
  const [first, second] = [a, b].map((index) => board.systems[index].name);
  return h("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": `${first} and ${second}`,
    "data-key": `${number}/pair`},
  h("table", {class: "pairs"}, h("caption", {}, "mAP of both on the same clips. p: of no difference, corrected for all " +
    "comparisons of the scene and length (Holm); below 0.05 it is significant."),
  h("thead", {}, h("tr", {}, ["Scene", "Length", first, second, "Difference", "p"].map((text, i) =>
    h("th", {scope: "col", class: i ? null : "text"}, text)))),
  h("tbody", {}, rows)));
}

function pairRow(board, one, other, cell, against) {
  const scene = board.scenes.find((each) => each.scene === one.scene && each.position === one.position);
  const p = pValue(scene?.p?.[String(cell.s)], one, other, board);
  const difference = cell.mAP - against.mAP;
  const shown = `${difference < 0 ? "−" : "+"}${score(Math.abs(difference))}`;
  return h("tr", {}, h("th", {scope: "row", class: "text"}, sceneKey(one)), h("td", {}, lengthName(cell.s)),
    h("td", {}, score(cell.mAP)), h("td", {}, score(against.mAP)),
    h("td", {class: known(p) && p < 0.05 ? "clear" : null}, shown),
    h("td", {}, known(p) ? (p < 0.001 ? "< 0.001" : rounded(p, 3)) : h("span", {class: "none"}, "–")));
}

// p of "no difference" between two entries, from the triangle of the ranked ones of a scene and length.
function pValue(triangle, one, other, board) {
  const places = [one, other].map((entry) => triangle?.of.indexOf(board.entries.indexOf(entry)) ?? -1);
  const [first, second] = places.sort((x, y) => x - y);
  return first < 0 ? null : triangle.against[first][second - first - 1];
}
