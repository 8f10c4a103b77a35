// Verdicts by single keys, while no field has the focus; the choice to use them is remembered.
"use strict";
(() => {
  const form = document.getElementById("verdict");
  if (!form) return;
  const keys = document.getElementById("keys");
  keys.checked = localStorage.getItem("inhouse-review-keys") !== "off";
  keys.addEventListener("change", () => localStorage.setItem("inhouse-review-keys", keys.checked ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
    if (!keys.checked || typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    // The place on the keyboard, so that the keys are right with a Korean layout as well.
    const key = event.code.replace("Key", "").toLowerCase();
    const button = form.querySelector(`button[value="${CSS.escape(key)}"]`);
    if (button) form.requestSubmit(button);
  });
})();
