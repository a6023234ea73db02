// Small helpers for elements and for words.

export const byId = id => document.getElementById(id);

/** An element: make("button", { className: "plain" }, "Text", child, ...). */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

export function setPressed(button, pressed) {
  button.setAttribute("aria-pressed", String(pressed));
}

export const isPressed = button => button.getAttribute("aria-pressed") === "true";

/** A value with its unit in small letters, and a kind ("good", "warn", "bad") that colours it. */
export function show(id, value, unit = "", kind = "") {
  const element = byId(id), words = unit ? `${value} ${unit}` : String(value);
  if (element.className !== kind) element.className = kind;
  if (element.textContent === words) return;
  element.replaceChildren(String(value));
  if (unit) element.append(make("small", {}, " " + unit));
}

/** 0.25 ms, 16 ms, 1.5 s: an exposure time. */
export function duration(us) {
  if (us < 1000) return trimmed(us, 3) + " µs";
  if (us < 1e6) return trimmed(us / 1000, 3) + " ms";
  return trimmed(us / 1e6, 3) + " s";
}

function trimmed(value, digits) {
  const text = value.toPrecision(digits);
  return text.includes("e") ? value.toFixed(0) : text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** "3.2 s", "4 min 2 s". */
export function since(seconds) {
  if (seconds < 60) return seconds.toFixed(1) + " s";
  return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}

export const percent = share => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;

/** A line at the bottom of the page for a few seconds: what went wrong, or what was done. */
export function toast(words, kind = "bad") {
  const element = byId("toast");
  clearTimeout(toast.timer);
  element.textContent = words;
  element.className = kind;
  element.hidden = false;
  toast.timer = setTimeout(() => { element.hidden = true; }, kind === "bad" ? 8000 : 4000);
}

/** Resolves to whether the person said yes. */
export function confirmed(title, words, yes) {
  const dialog = byId("confirm-dialog");
  byId("confirm-title").textContent = title;
  byId("confirm-words").textContent = words;
  byId("confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise(resolve => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
