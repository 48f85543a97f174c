"use strict";
/* The page itself: theme, contents, commands to copy, print. */
window.addEventListener("error", (event) => { document.documentElement.dataset.error = event.message; });

/* Makes an element with attributes and children. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

(() => {
  const root = document.documentElement;
  const preference = window.matchMedia("(prefers-color-scheme: dark)");
  const stored = (() => { try { return localStorage.getItem("linstab-theme"); } catch { return null; } })();
  const asked = /^#theme=(dark|light)$/.exec(location.hash);
  if (asked || stored) root.dataset.theme = asked ? asked[1] : stored;
  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : preference.matches);
  const tell = () => button.setAttribute("aria-pressed", String(isDark()));
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("linstab-theme", root.dataset.theme); } catch { /* private windows forget */ }
    tell();
  });
  preference.addEventListener("change", tell);
  tell();

  const contents = document.querySelector(".contents details");
  if (contents && window.innerWidth <= 1020) contents.open = false;
  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const visible = new Set();
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) visible[isIntersecting ? "add" : "delete"](target.id);
    const current = [...links.keys()].filter((id) => visible.has(id)).pop();
    for (const [id, link] of links) link.toggleAttribute("aria-current", id === current);
  }, { rootMargin: "-20% 0px -55% 0px" });
  for (const id of links.keys()) {
    const target = document.getElementById(id);
    if (target) watcher.observe(target);
  }

  for (const code of document.querySelectorAll("code.command")) {
    code.tabIndex = 0;
    code.setAttribute("role", "button");
    code.title = "Copy";
    const copy = async () => {
      try { await navigator.clipboard.writeText(code.textContent); } catch {
        const range = document.createRange();
        range.selectNodeContents(code);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        return;
      }
      code.classList.add("copied");
      setTimeout(() => code.classList.remove("copied"), 1200);
    };
    code.addEventListener("click", copy);
    code.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); copy(); } });
  }

  /* Paper cannot be opened: what is folded is printed open, and folded again afterwards. */
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const details of folded) details.open = true;
  });
  window.addEventListener("afterprint", () => { for (const details of folded) details.open = false; });
})();

