// The state of the view, stored in the address after the hash so that a view can be linked to.

const ALL = "all";
const entries = data.boards.flatMap((board) => board.entries);
const longer = ascending(data.boards.flatMap((board) => board.lengths)).filter((s) => s !== data.base_s);

const FILTERS = [
  {key: "protocol", label: "Protocol", options: unique(data.boards.map((board) => board.protocol))},
  {key: "needles", label: "Needles", options: unique(data.boards.map((board) => board.needles))},
  {key: "haystack", label: "Haystack", options: unique(entries.map((entry) => entry.haystack))},
  {key: "snr", label: "SNR", options: unique(entries.map(levelKey)).sort(byNumber), name: levelName},
  {key: "position", label: "Needle at", options: unique(entries.map(positionKey)).sort(byNumber)},
  {key: "mode", label: "Mode", options: unique(data.boards.flatMap((b) => b.systems.map((s) => s.mode)))},
];

function levelKey(entry) { return known(entry.snr_db) ? String(entry.snr_db) : "none"; }
function levelName(key) { return key === "none" ? "no level" : `${key} dB`; }
function positionKey(entry) { return known(entry.position) ? String(entry.position) : "none"; }
function byNumber(a, b) { return (a === "none") - (b === "none") || Number(a) - Number(b); }

// Most cells have the needle at one place: a ranking starts there, not with every place mixed.
function usualPosition() {
  const cells = {};
  for (const entry of entries) {
    const key = positionKey(entry);
    cells[key] = (cells[key] ?? 0) + entry.cells.length;
  }
  const most = Math.max(...Object.values(cells));
  return cells["0.5"] === most ? "0.5" : Object.keys(cells).find((key) => cells[key] === most);
}

const DEFAULTS = {
  ...Object.fromEntries(FILTERS.map(({key}) => [key, ALL])),
  position: usualPosition() ?? ALL,
  model: "", lengths: ALL, by: "mAP", at: "shared", sort: "", up: "", open: "", a: "", b: "",
};
const state = {...DEFAULTS};

function readHash() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(DEFAULTS)) state[key] = parameters.get(key) ?? DEFAULTS[key];
  for (const {key, options} of FILTERS) {  // an old link to what is no longer there shows all
    if (state[key] !== ALL && !options.includes(state[key])) state[key] = DEFAULTS[key];
  }
  if (!["mAP", "adjusted"].includes(state.by)) state.by = DEFAULTS.by;
  if (state.at !== "shared" && !longer.includes(Number(state.at))) state.at = DEFAULTS.at;
  if (state.lengths !== ALL && !shownLengths().length) state.lengths = ALL;
}

function writeHash() {
  const changed = Object.entries(state).filter(([key, value]) => value !== DEFAULTS[key]);
  const text = new URLSearchParams(changed).toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

function shownLengths() {
  if (state.lengths === ALL) return longer;
  const chosen = state.lengths.split(" ").map(Number);
  return longer.filter((length) => chosen.includes(length));
}

const boardShown = (board) =>
  [ALL, board.protocol].includes(state.protocol) && [ALL, board.needles].includes(state.needles);

// Apart from the position: heat maps show all positions.
function sceneShown(board, entry) {
  const system = board.systems[entry.system];
  return [ALL, entry.haystack].includes(state.haystack) && [ALL, levelKey(entry)].includes(state.snr) &&
    [ALL, system.mode].includes(state.mode) && system.name.toLowerCase().includes(state.model.toLowerCase());
}
const entryShown = (board, entry) =>
  sceneShown(board, entry) && [ALL, positionKey(entry)].includes(state.position);

function buildFilters(form, change) {
  const selects = FILTERS.filter(({options}) => options.length > 1).map(({key, label, options, name}) =>
    field(label, h("select", {name: key, change: (event) => change({[key]: event.target.value})},
      h("option", {value: ALL}, "all"),
      options.map((value) => h("option", {value}, name ? name(value) : value)))));
  const search = h("input", {type: "search", name: "model", placeholder: "any", autocomplete: "off",
    input: (event) => change({model: event.target.value})});
  const rankBy = h("select", {name: "by", change: (event) => change({by: event.target.value, sort: "", up: ""})},
    h("option", {value: "mAP"}, "mAP"), h("option", {value: "adjusted"}, "chance-adjusted share"));
  const rankAt = h("select", {name: "at", change: (event) => change({at: event.target.value})},
    h("option", {value: "shared"}, "longest in common"), longer.map((s) => h("option", {value: s}, lengthName(s))));
  const lengths = h("div", {class: "field", role: "group", "aria-label": "Lengths"}, h("span", {}, "Lengths"),
    h("div", {class: "chips"}, longer.map((length) =>
    h("label", {class: "chip"}, h("input", {type: "checkbox", name: "length", value: length, change: () => {
      const on = [...form.querySelectorAll("[name=length]:checked")].map((box) => box.value);
      change({lengths: on.length === longer.length || !on.length ? ALL : on.join(" ")});
    }}), lengthName(length)))));
  form.append(...[field("Model", search), ...selects, longer.length ? field("Rank by", rankBy) : null,
    longer.length > 1 ? field("Rank and speed at", rankAt) : null,
    longer.length > 1 ? lengths : null, h("button", {type: "reset"}, "Reset"), linkButton()].filter(Boolean));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => { event.preventDefault(); change({...DEFAULTS}); });
  form.hidden = false;
}

// The address holds the whole view: filters, order, lengths, the open row and the two models that are compared.
function linkButton() {
  const button = h("button", {type: "button", name: "link", click: async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = "Link copied";
    } catch {
      button.textContent = "Copy the address above";
    }
    setTimeout(() => { button.textContent = "Link to this view"; }, 2000);
  }}, "Link to this view");
  return button;
}

const field = (label, control) => h("label", {class: "field"}, h("span", {}, label), control);

function showState(form) {
  for (const control of form.elements) {
    if (control.name === "length") control.checked = shownLengths().includes(Number(control.value));
    else if (control.name in state && control.value !== state[control.name]) control.value = state[control.name];
  }
}
