// The keyboard.

import { byId, make } from "./dom.js";

/** keys: [[key, words, action], ...]. Fills the help dialog too. */
export function startKeys(keys) {
  byId("help-keys").append(...keys.filter(([, words]) => words).map(([key, words]) =>
    make("div", {}, make("dt", {}, make("kbd", {}, key === " " ? "Space" : key)), make("dd", {}, words))));
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat && !["[", "]", "-", "="].includes(event.key)) return;
    if (document.querySelector("dialog[open]") || event.defaultPrevented) return;
    const target = event.target;
    if (target.matches("input[type=text], select, textarea")) return;
    // these keys already do something to what has the focus
    if ([" ", "Enter"].includes(event.key) && target.matches("button, a, summary, [role=slider]")) return;
    if (event.key.startsWith("Arrow") && target !== document.body) return;
    const found = keys.find(([key]) => key.toLowerCase() === event.key.toLowerCase());
    if (!found) return;
    event.preventDefault();
    found[2]();
  });
}
