document.querySelectorAll("table.sortable th button").forEach((button) => {
  button.addEventListener("click", () => {
    const head = button.parentElement, row = head.parentElement;
    const body = row.closest("table").tBodies[0], column = [...row.children].indexOf(head);
    const up = head.getAttribute("aria-sort") !== "ascending";
    [...row.children].forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (tr) => tr.children[column].dataset.value ?? "";
    const order = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");  // what is not known goes last
      const difference = Number(x) - Number(y);
      return (Number.isNaN(difference) ? x.localeCompare(y) : difference) * (up ? 1 : -1);
    };
    body.append(...[...body.rows].sort(order));
  });
});
// A table as tab-separated text: exact values where a field has one; a text that a spreadsheet would take for a
// formula gets an apostrophe in front.
const fields = (row) => [...row.children].map((cell) => {
  const text = (cell.dataset.value ?? cell.textContent).replace(/\s+/g, " ").trim();
  const formula = /^[=+@\t\r-]/.test(text) && Number.isNaN(Number(text));
  return formula ? `'${text}` : text;
});
async function copy(button) {
  const quote = button.parentElement.querySelector(".quote");
  const table = button.parentElement.querySelector("table");
  const text = quote ? quote.textContent : [...table.rows].map((row) => fields(row).join("\t")).join("\n");
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.body.appendChild(Object.assign(document.createElement("textarea"), {value: text}));
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
}
document.querySelectorAll("button.copy").forEach((button) => button.addEventListener("click", () => copy(button)));
