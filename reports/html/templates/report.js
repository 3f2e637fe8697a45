"use strict";
(() => {
  // Tables: a button in each heading sorts by it, up and then down; blanks stay last.
  const key = (cell) => {
    const text = cell.dataset.sort ?? cell.querySelector("data")?.value ?? cell.textContent.trim();
    return text === "" || text === "–" ? null : Number.isNaN(Number(text)) ? text : Number(text);
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return a.localeCompare(b, "en", { numeric: true });
  };
  const sort = (table, column, down) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row.cells[column]), row]);
    rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : down ? compare(b, a) : compare(a, b)));
    body.append(...rows.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => {
        const down = heading.getAttribute("aria-sort") === "ascending";
        for (const other of headings) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table, column, down);
      });
      heading.append(button);
    });
  }

  // Verdicts: show only those with the chosen status that contain all the words.
  const filter = document.querySelector(".filter");
  if (filter) {
    const status = document.getElementById("filter-status");
    const words = document.getElementById("filter-text");
    const rows = [...document.getElementById("all-verdicts").tBodies[0].rows];
    const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const apply = () => {
      const wanted = words.value.toLowerCase().split(/\s+/);
      let left = 0;
      for (const row of rows) {
        row.hidden = !(
          (!status.value || row.dataset.status === status.value) && wanted.every((word) => texts.get(row).includes(word))
        );
        left += row.hidden ? 0 : 1;
      }
      document.getElementById("filter-count").textContent = `${left} of ${rows.length} verdicts`;
    };
    status.addEventListener("change", apply);
    words.addEventListener("input", apply);
    for (const link of document.querySelectorAll("a.count")) {
      link.addEventListener("click", () => {
        const there = [...status.options].some((option) => option.value === link.dataset.status);
        status.value = there ? link.dataset.status : "";
        words.value = "";
        apply();
      });
    }
    filter.hidden = false;
    apply();
  }

  // Commands: a button copies each; where copying is not allowed, it selects the text.
  for (const box of document.querySelectorAll(".command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy the command ${box.textContent.trim()}`);
    button.addEventListener("click", async () => {
      const code = box.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    box.append(button);
  }

  // Contents: open in a wide window, closed in a narrow one; a link to a number in closed details opens them.
  const contents = document.querySelector("#contents details");
  const wide = matchMedia("(min-width: 64rem)");
  const fit = () => { contents.open = wide.matches; };
  wide.addEventListener("change", fit);
  fit();
  contents.addEventListener("click", (event) => {
    if (event.target.closest("a") && !wide.matches) contents.open = false;
  });
  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const closed = target && target.closest("main details:not([open])");
    if (closed) {
      closed.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", reveal);
  reveal();
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("main details")) details.open = true;
  });
})();
