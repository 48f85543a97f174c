/* Lists that are filtered by category and by words. */
(() => {
  for (const ledger of document.querySelectorAll(".ledger")) {
    const form = ledger.querySelector("form");
    const entries = [...ledger.querySelectorAll(".entry")].map((element) => ({ element, category: element.dataset.category, text: element.textContent.toLowerCase() }));
    const output = ledger.querySelector("output");
    const apply = () => {
      const data = new FormData(form);
      const categories = new Set(data.getAll("category"));
      const words = data.get("text").toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const { element, category, text } of entries) {
        element.hidden = !categories.has(category) || !words.every((word) => text.includes(word));
        if (!element.hidden) shown += 1;
      }
      output.textContent = shown;
    };
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    /* With Alt, or by double click, a category alone. */
    const alone = (event) => {
      const box = event.target.closest(".chip")?.querySelector("input");
      if (!box) return;
      event.preventDefault();
      for (const other of form.querySelectorAll("input[name=category]")) other.checked = other === box;
      apply();
    };
    form.addEventListener("dblclick", alone);
    form.addEventListener("click", (event) => { if (event.altKey) alone(event); });
    form.addEventListener("reset", () => setTimeout(apply));
    form.querySelector("fieldset").append(make("button", { type: "reset", class: "chip all" }, "all"));
  }
})();

