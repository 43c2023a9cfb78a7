// Draws the boards that the filters leave, again at every change; the focus and scroll stay where they are.

const form = document.getElementById("filters");
const target = document.getElementById("boards");

function change(changes) {
  Object.assign(state, changes);
  writeHash();
  render();
}

function boardSection(board, number) {
  const lengths = shownLengths().filter((length) => board.lengths.includes(length));
  const shown = board.entries.filter((entry) => entryShown(board, entry));
  const scenes = board.entries.filter((entry) => sceneShown(board, entry));
  if (!shown.length) return null;
  const at = state.at === "shared" ? sharedLength(shown, lengths) : Number(state.at);
  const about = [boardWords(board),
    known(board.chance) ? `chance mAP ${score(board.chance)}: read a fall against it, not against zero` : null,
    board.ids_sha256 ? `clip list ${board.ids_sha256.slice(0, 12)}` : "clip list not stated"].filter(Boolean);
  return h("section", {"aria-labelledby": `board${number}`, class: "board"},
    h("h2", {id: `board${number}`, tabindex: -1}, board.needles), h("p", {class: "about"}, about.join(" · ")),
    board.notes.map((note) => h("p", {class: "warning"}, note)),
    boardTable(board, number, shown, lengths, at, change),
    h("h3", {}, state.by === "adjusted" ? "What is left above chance, against length" : "Relative score against length"), curvePanels(board, shown, lengths),
    h("h3", {}, "Length and position"), heatPanels(board, scenes, lengths),
    h("h3", {}, "Accuracy against speed"), speedPanels(board, shown, at),
    h("h3", {}, "Accuracy, speed and length"), tradePanels(board, shown, [data.base_s, ...lengths]),
    comparison(board, number, change));
}

function boardWords(board) {
  const level = board.level && board.level !== "surround" ? `, level ${board.level}` : "";
  return `${board.clips} clips · protocol ${board.protocol}${level}`;
}

// Where the boards are. Links would replace the view, which the address holds: these are buttons.
function contents(sections) {
  const goTo = (section) => () => {
    const heading = section.querySelector("h2");
    heading.scrollIntoView();
    heading.focus({preventScroll: true});
  };
  return h("nav", {class: "contents", "aria-label": "Boards"}, h("ul", {}, sections.map(([board, section]) => h("li", {},
    h("button", {type: "button", click: goTo(section)}, board.needles),
    h("span", {class: "about"}, ` ${boardWords(board)} · `, `${section.querySelectorAll("tr[data-entry]").length} rows`)))));
}

// The longest length at which every model shown was timed, so that their speeds can be compared.
function sharedLength(shown, lengths) {
  const systems = unique(shown.map((entry) => entry.system));
  const timed = (length) => new Set(shown.filter((e) => known(cellAt(e, length)?.rtf)).map((e) => e.system)).size;
  return lengths.filter((length) => timed(length) === systems.length).at(-1) ?? data.base_s;
}

function render() {
  const focused = document.activeElement?.dataset?.key;
  const scrolled = Object.fromEntries([...target.querySelectorAll(".scroll")].map((s) => [s.dataset.key, s.scrollLeft]));
  hideTip();
  showState(form);
  const sections = data.boards.map((board, i) => [board, boardShown(board) ? boardSection(board, i) : null])
    .filter(([, section]) => section);
  const several = data.boards.length > 1 ? h("p", {class: "note"}, `${data.boards.length} boards. Rows of different ` +
    "protocols or lists of clips are not comparable and are never ranked together.") : null;
  const nothing = sections.length ? null : h("p", {class: "warning"}, "No row matches these filters. ",
    h("button", {type: "button", click: () => change({...DEFAULTS})}, "Show all"));
  const list = sections.length > 1 ? contents(sections) : null;
  target.replaceChildren(...[h("span", {id: "boards-start", tabindex: -1}), several, list, nothing,
    ...sections.map(([, section]) => section)].filter(Boolean));
  const rowsShown = target.querySelectorAll("tr[data-entry]").length;
  document.getElementById("count").textContent = `${rowsShown} of ${entries.length} rows`;
  for (const scroll of target.querySelectorAll(".scroll")) scroll.scrollLeft = scrolled[scroll.dataset.key] ?? 0;
  if (focused) [...target.querySelectorAll("[data-key]")].find((n) => n.dataset.key === focused)
    ?.focus({preventScroll: true});
}

buildFilters(form, change);
addEventListener("hashchange", () => { readHash(); render(); });
readHash();
render();
