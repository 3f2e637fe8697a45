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
      if (button.querySelector("math")) button.setAttribute("aria-label", button.textContent);
      button.addEventListener("click", () => {
        const down = heading.getAttribute("aria-sort") === "ascending";
        for (const other of headings) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table, column, down);
      });
      heading.append(button);
    });
  }

  // The filter: shows findings, claims and questions with the chosen values that contain all the words.
  const filter = document.querySelector(".filter");
  const main = document.querySelector("main");
  const chapters = [...main.querySelectorAll("details.chapter")];
  const items = [...main.querySelectorAll("details.item")];
  const selects = [...filter.querySelectorAll("select")];
  const words = document.getElementById("filter-words");
  const greek = { η: "eta", ε: "eps", λ: "lambda", μ: "mu", κ: "kappa", ρ: "rho" };
  // B_v and C^4 are typed on one line, and so is what they are compared with.
  const plain = (text) => text.toLowerCase().replace(/[_^{}*·−-]/g, "").replace(/[ηελμκρ]/g, (one) => greek[one]);
  const texts = new Map();
  let before = null; // the chapters that were open before anything was filtered
  const apply = () => {
    const wanted = plain(words.value).split(/\s+/).filter(Boolean);
    const chosen = selects.filter((select) => select.value);
    const active = wanted.length + chosen.length > 0;
    let left = 0;
    for (const item of items) {
      if (!texts.has(item)) texts.set(item, plain(item.textContent));
      item.hidden = !(
        chosen.every((select) => item.dataset[select.dataset.of] === select.value)
        && wanted.every((word) => texts.get(item).includes(word))
      );
      left += item.hidden ? 0 : 1;
    }
    for (const box of [...chapters, ...main.querySelectorAll(".group")]) {
      box.hidden = active && !box.querySelector(".item:not([hidden])");
    }
    if (active && !before) before = new Set(chapters.filter((chapter) => chapter.open));
    if (before) for (const chapter of chapters) chapter.open = active || before.has(chapter);
    if (!active) before = null;
    main.classList.toggle("filtered", active);
    document.getElementById("filter-count").textContent = `${left} of ${items.length} findings, claims and questions`;
  };
  const clear = () => {
    for (const field of [words, ...selects]) field.value = "";
    apply();
  };
  // The address has what is chosen, so that it can be sent: #find?bearing=error&words=Lemma+6.
  const find = document.getElementById("find");
  const fields = new Map([...selects, words].map((field) => [field.id.replace("filter-", ""), field]));
  let typing = false; // whether the last change was typed, too: a word is one entry of the history
  const write = (typed) => {
    const filled = [...fields].map(([name, field]) => [name, field.value.trim()]).filter(([, value]) => value);
    const hash = filled.length ? `#find?${new URLSearchParams(filled)}` : "#find";
    const same = hash === (location.hash || "#find");
    try {
      if (!same) history[typed && typing ? "replaceState" : "pushState"]({ filtered: true }, "", hash);
    } catch {
      // A page without an address of its own, or a browser that counts changes: it filters all the same.
    }
    typing = typed;
  };
  const read = (query) => {
    const chosen = new URLSearchParams(query);
    for (const [name, field] of fields) {
      field.value = chosen.get(name) ?? "";
      if (field.selectedIndex === -1) field.value = ""; // a value that this page does not have
    }
    typing = false;
    apply();
  };
  const change = (typed) => { apply(); write(typed); };
  for (const select of selects) select.addEventListener("change", () => change(false));
  words.addEventListener("input", () => change(true));
  document.getElementById("filter-clear").addEventListener("click", () => { clear(); write(false); });
  for (const link of document.querySelectorAll("a.count")) {
    link.hash = `#find?verdict=${encodeURIComponent(link.dataset.status)}`;
  }
  filter.hidden = false;
  apply();

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

  // Contents: open in a wide window, closed in a narrow one.
  const contents = document.querySelector("#contents details");
  const wide = matchMedia("(min-width: 64rem)");
  const fit = () => { contents.open = wide.matches; };
  wide.addEventListener("change", fit);
  fit();
  contents.addEventListener("click", (event) => {
    if (event.target.closest("a") && !wide.matches) contents.open = false;
  });

  // Links: what an address names is opened, with all that it lies in, whatever the filter hides.
  const reveal = () => {
    const [place, query = ""] = location.hash.split("?");
    if (place === "" || place === "#find") {
      read(query);
      if (place && !history.state?.filtered) find.scrollIntoView(); // by a link, not back to an own choice
      return;
    }
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target || !main.contains(target)) return;
    if (target.closest("[hidden]")) clear();
    for (let box = target; box; box = box.parentElement.closest("details")) if (box.localName === "details") box.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  document.addEventListener("click", (event) => {
    // A second click on the same link changes no address.
    if (event.target.closest?.('a[href^="#"]')?.hash === location.hash) reveal();
  });
  reveal();

  // Boxes that scroll can be reached by the keyboard, others need not be.
  const measured = new ResizeObserver((changes) => {
    for (const { target } of changes) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  for (const box of document.querySelectorAll(".scroll")) measured.observe(box);

  // On paper everything is open.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...main.querySelectorAll("details:not([open])")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
  });
})();
