// What the pages need beyond htmx.
"use strict";
(() => {
  // A part that renews itself waits while a person is about to use it: a ticked box, or the focus inside.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const part = event.detail.target;
    const ticked = part.querySelector("input[type=checkbox]:checked");
    const focused = document.activeElement !== part && part.contains(document.activeElement);
    if (event.detail.requestConfig.verb === "get" && (ticked || focused)) event.detail.shouldSwap = false;
  });

  // What takes seconds says so, and is not sent twice.
  document.addEventListener("submit", (event) => {
    const form = event.target, button = form.querySelector("button[type=submit]");
    if (!form.dataset.busy || !button) return;
    button.setAttribute("aria-busy", "true");
    button.textContent = form.dataset.busy;
  });
})();
