// The table of a board: one body a scene, because only rows of one scene are ranked together.

const effectiveHint = (share) => `The longest length at which ${share} % of the 10 s score is left, between ` +
  "measured lengths on a log axis";

function columns(board, lengths, at) {
  const system = (entry) => board.systems[entry.system];
  const speed = (name) => (entry) => cellAt(entry, at)?.[name];
  return [
    {key: "model", title: "Model", text: true, first: true, value: (e) => system(e).name},
    {key: "base", title: lengthName(data.base_s), about: "mAP", hint: "mAP of the needle alone",
      value: (e) => cellAt(e, data.base_s)?.mAP, draw: (e) => withInterval(cellAt(e, data.base_s), "mAP", score)},
    ...lengths.map((s) => ({key: `mAP${s}`, title: lengthName(s), about: "mAP, left", always: true,
      hint: "mAP at this length; below, per cent of the 10 s mAP that is left; adjusted: of its part above chance",
      value: (e) => cellAt(e, s)?.mAP, draw: (e) => withShare(cellAt(e, s))})),
    ...Object.keys(board.entries[0].effective).map((name) => ({key: name, title: name, about: "length",
      hint: effectiveHint(name.slice(1)), value: (e) => e.effective[name]?.s,
      draw: (e) => effective(e.effective[name])})),
    ...board.rates.map((rate) => ({key: `recall${rate}`, title: `Recall at ${rate}/h`, about: `at ${lengthName(at)}`,
      hint: `Mean recall over classes with thresholds that raise ${rate} false alarms an hour and class`,
      value: (e) => cellAt(e, at)?.recalls[rate]?.recall,
      draw: (e) => withInterval(cellAt(e, at)?.recalls[rate], "recall", score)})),
    {key: "rtf", title: "× real time", about: `at ${lengthName(at)}`, hint: "Seconds of audio processed in a second",
      value: speed("rtf"), show: (v) => significant(v)},
    {key: "latency", title: "Latency", about: `at ${lengthName(at)}`, hint: "Seconds of forward pass a clip",
      value: speed("latency_s"), show: seconds},
    {key: "memory", title: "Memory", about: `at ${lengthName(at)}`, hint: "At the peak", value: speed("memory"),
      show: bytes},
    {key: "parameters", title: "Parameters", value: (e) => system(e).parameters, show: millions},
    {key: "trained", title: "Trained on", about: "at a time", hint: "Seconds of audio in a training example",
      value: (e) => system(e).trained_on_s, show: (v) => `${significant(v, 4)} s`},
    {key: "mode", title: "Mode", text: true, value: (e) => system(e).mode},
    {key: "protocol", title: "Protocol", text: true, value: () => board.protocol},
  ];
}

function withInterval(cell, name, show) {
  if (!cell || !known(cell[name])) return null;
  const [low, high] = [cell[`${name}_lo`], cell[`${name}_hi`]];
  const interval = known(low) && known(high);
  const between = interval ? `${show(low).replace(" %", "")}–${show(high)}` : null;
  return [show(cell[name]), interval ? h("small", {}, between) : null];
}

function effective(length) {
  if (!length) return null;
  const dips = length.dips ? h("small", {title: "The curve was below it before, and recovered"}, "with dips") : null;
  return [length.text, length.interval ? h("small", {}, length.interval) : null, dips];
}

const failure = (cell) => (cell.status === "oom" ? "out of memory" : "error");

function withShare(cell) {
  if (!cell) return null;
  if (cell.status !== "ok") return h("span", {class: "bad", title: cell.error}, failure(cell));
  if (!known(cell.mAP)) return null;
  if (!known(cell.share)) return withInterval(cell, "mAP", score);
  const bar = h("i", {class: "bar"});
  bar.style.width = `${Math.min(100, 100 * Math.max(0, cell.adjusted ?? cell.share))}%`;
  const above = known(cell.adjusted) ? `, adjusted ${percent(cell.adjusted)}` : "";
  const floor = cell.at_chance ? h("small", {class: "bad"}, "at chance") : null;
  const mark = cell.mark ? ` ${cell.mark}` : null;
  return [withInterval(cell, "mAP", score), mark, h("small", {}, `${percent(cell.share)} left${above}`), floor, bar];
}

// The ranks of an entry's scene: by what is chosen, at the chosen length or at the longest that all have.
function rankingOf(board, entry) {
  const scene = board.scenes.find((each) => each.scene === entry.scene && each.position === entry.position);
  const length = state.at === "shared" ? scene.common : Number(state.at);
  const by = scene.ranks[state.by] ? state.by : "mAP";
  return {length, by, ranks: scene.ranks[by]?.[String(length)] ?? {}};
}

function rankCell(board, entry) {
  const {ranks, length} = rankingOf(board, entry);
  const rank = ranks[board.entries.indexOf(entry)];
  if (rank === undefined) return h("span", {class: "none", title: `no score at ${lengthName(length)}`}, "–");
  if (rank === null) return h("small", {class: "bad", title: "not significantly above chance: no rank"}, "at chance");
  const [first, last] = rank;
  const range = first === last ? null : h("small", {title: "possible ranks"}, `${first}–${last}`);
  return [String(first), range];
}

function byRank(board, list) {
  const value = (entry) => {
    const {length, by} = rankingOf(board, entry);
    return cellAt(entry, length)?.[by];
  };
  const unranked = (entry) => {
    const rank = rankingOf(board, entry).ranks[board.entries.indexOf(entry)];
    return rank === undefined ? 2 : rank === null ? 1 : 0;
  };
  return [...list].sort((a, b) => unranked(a) - unranked(b) || (value(b) ?? 0) - (value(a) ?? 0));
}

function sorted(list, column, up) {
  const order = (a, b) => {
    const [x, y] = [column.value(a), column.value(b)];
    if (!known(x) || !known(y)) return known(y) - known(x);  // what is not known goes last
    return (typeof x === "string" ? x.localeCompare(y) : x - y) * (up ? 1 : -1);
  };
  return [...list].sort(order);
}

function boardTable(board, number, shown, lengths, at, change) {
  const all = columns(board, lengths, at).filter((column) =>
    column.first || column.always || shown.some((entry) => known(column.value(entry))));
  const by = all.find(({key}) => key === state.sort);  // none: by rank
  const up = by && state.up === "1";
  const heads = all.map((column) => {
    const active = column === by;
    const turn = () => change({sort: column.key, up: (active ? !up : Boolean(column.text)) ? "1" : "0"});
    return h("th", {scope: "col", class: column.text ? "text" : null, title: column.hint,
      "aria-sort": active ? (up ? "ascending" : "descending") : null},
    h("button", {type: "button", click: turn, "data-key": `${number}/sort/${column.key}`},
      column.title, column.about ? h("small", {}, column.about) : null));
  });
  const scenes = unique(shown.map(sceneKey));
  const bodies = scenes.map((scene) => {
    const own = shown.filter((entry) => sceneKey(entry) === scene);
    const here = by ? sorted(own, by, up) : byRank(board, own);
    const ranking = rankingOf(board, here[0]);
    const ranked = `ranked by ${ranking.by === "mAP" ? "mAP" : "chance-adjusted share"} at ${lengthName(ranking.length)}`;
    const title = h("tr", {class: "scene"}, h("th", {colspan: all.length + 1, scope: "rowgroup"},
      h("span", {"data-ranked": ranked}, scene)));
    return h("tbody", {}, title, here.map((entry) => rows(board, number, entry, all, change)));
  });
  return h("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": `Results, ${board.needles}`,
    "data-key": `${number}/table`},
  h("table", {}, h("caption", {}, "Models without a significant difference share a rank; below it, the ranks " +
      "that it may have. Select a heading to sort, a model to see where its numbers are from."),
    h("thead", {}, h("tr", {}, h("th", {scope: "col", class: "rank", "aria-sort": by ? null : "ascending"},
      h("button", {type: "button", click: () => change({sort: "", up: ""}), "data-key": `${number}/sort/rank`,
        title: "Order by rank"}, "#")), heads)), bodies));
}

const sceneKey = (entry) => [entry.scene === "none" ? "no haystack" : entry.scene, positionName(entry.position)]
  .filter(Boolean).join(", ");

function rows(board, number, entry, all, change) {
  const name = `${number}.${board.entries.indexOf(entry)}`;
  const open = state.open === name;
  const id = `detail-${name}`;
  const cells = all.map((column) => {
    const value = column.value(entry);
    const content = column.draw ? column.draw(entry) : known(value) ? (column.show ?? String)(value) : null;
    if (!column.first) return h("td", {class: column.text ? "text" : null}, content ?? h("span", {class: "none"}, "–"));
    const turn = h("button", {type: "button", class: "open", "aria-expanded": String(open),
      "aria-controls": open ? id : null, "data-key": `${number}/open/${name}`,
      click: () => change({open: open ? "" : name})}, content);
    return h("th", {scope: "row", class: "text"}, h("div", {class: "who"}, swatch(entry.system), turn));
  });
  const row = h("tr", {"data-entry": name}, h("td", {class: "rank"}, rankCell(board, entry)), cells);
  if (!open) return [row];
  return [row, h("tr", {class: "detail", id}, h("td", {colspan: all.length + 1}, provenance(board, entry)))];
}

function provenance(board, entry) {
  const system = board.systems[entry.system];
  const first = entry.cells.at(-1);
  const facts = [
    ["model", system.model], ["weights, sha256", system.weights], ["licence", system.licence],
    ["paper", system.paper], ["mode", system.mode], ["precision", system.dtype], ["seed", system.seed], ["noise seed", system.noise_seed],
    ["kernel", first.kernel], ["machine", first.machine], ["niah", first.niah_version],
    ["protocol", [board.protocol, board.level].filter(Boolean).join(", level ")],
    ["needles", `${board.needles} (${board.clips} clips)`], ["clip ids, sha256", board.ids_sha256 ?? "not stated"],
    ["scores of the clips", [...new Set(entry.runs.map((run) => data.runs[run].scores))].join("; ")],
  ].filter(([, value]) => known(value) && value !== "");
  const cells = entry.cells.map((cell) => [lengthName(cell.s), [
    `cell ${cell.cell}`, cell.status === "ok" ? null : `${failure(cell)} ${cell.error ?? ""}`,
    known(cell.auc) ? `AUC ${score(cell.auc)}` : null, known(cell.d_prime) ? `d′ ${rounded(cell.d_prime, 2)}` : null,
    known(cell.needle_free) ? `mAP without the needle ${score(cell.needle_free)}` : null,
  ].filter(Boolean).join("; ")]);
  const runs = entry.runs.map((run) => {
    const sections = data.runs[run].sections;
    if (!sections.length) return h("p", {}, `${run}: a bare cells.csv; nothing is known of how it was made.`);
    return h("details", {}, h("summary", {}, `Run ${run}: run.json`),
      sections.map(([name, values]) => [h("h4", {}, name), pairs(values)]));
  });
  return h("div", {class: "provenance"}, pairs(facts), h("h4", {}, "cells"), pairs(cells), runs);
}

const pairs = (list) => h("dl", {}, list.map(([name, value]) =>
  [h("dt", {}, name || "value"), h("dd", {}, String(value))]));
