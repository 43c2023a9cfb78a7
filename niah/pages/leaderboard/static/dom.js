// Nodes from data. Text only ever becomes text nodes and attributes, so nothing needs escaping here.

const data = JSON.parse(document.getElementById("data").textContent);

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}
const h = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const known = (value) => value !== null && value !== undefined;
// As Python formats numbers, so that the page and the tables agree: halves that are exact go to the even digit.
function rounded(value, digits = 0) {
  const exact = Math.abs(value).toFixed(100);
  const cut = exact.length - 100 + digits;
  const [head, rest] = [exact.slice(0, cut), exact.slice(cut).replace(".", "")];
  const stays = /^50*$/.test(rest) && Number(head.replace(".", "").at(-1)) % 2 === 0;
  return (value < 0 ? "-" : "") + (stays ? head.replace(/\.$/, "") : Math.abs(value).toFixed(digits));
}
const whole = (value) => rounded(value).replace(/^-0$/, "0");
const percent = (share) => `${whole(100 * share)} %`;
const score = (value) => rounded(value, 3);
const significant = (value, digits = 3) => Number(value.toPrecision(digits)).toLocaleString("en", {
  maximumSignificantDigits: digits, useGrouping: value >= 1e4,
});
const lengthName = (seconds) => data.length_names[String(seconds)] ?? `${significant(seconds)} s`;
const positionName = (position) => (known(position) ? `needle at ${position}` : "");

function bytes(count) {
  return count >= 2 ** 30 ? `${significant(count / 2 ** 30)} GiB` : `${significant(count / 2 ** 20)} MiB`;
}
function seconds(value) {
  return value >= 1 ? `${significant(value)} s` : `${significant(1000 * value)} ms`;
}
function millions(count) {
  return count >= 1e6 ? `${significant(count / 1e6)} M` : `${significant(count / 1e3)} k`;
}
const unique = (values) => [...new Set(values)];
const ascending = (values) => unique(values).sort((a, b) => a - b);
const cellAt = (entry, length) => entry.cells.find((cell) => cell.s === length);
