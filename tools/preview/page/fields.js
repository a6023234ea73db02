// A control for one setting, built from what the server says of it: type, range, words, unit, help, when it applies.

import { make, setPressed } from "./dom.js";

const APPLIES = {
  "next-bracket": "",
  "new-epoch": "Takes a few frames.",
  "fusion-restart": "Starts the fusion process again: a gap of a second or two.",
  "capture-restart": "Starts the capture process again: a gap of about a second.",
};
const UNITS = { linear: "×" };
const STEPS = 1000;
const MOST_BUTTONS = 4;
const UNNAMED = "default";  // the word ""

let made = 0;

/** {element, update(value, disabled)}. key: "fusion.gamma"; about: its entry in GET /settings; set(value). */
export function field(key, about, label, set) {
  const id = `field-${made++}`;
  const title = [about.help, APPLIES[about.applies] ?? "", about.default === undefined ? "" : `Default: ${about.default}.`].filter(Boolean).join(" ");
  const control = about.type === "choice" ? choice(id, label, about, set)
    : about.type === "text" ? text(id, about, set)
    : number(id, label, about, set);
  const element = make("div", { className: "field", title }, make("label", { for: control.labels ?? id, id: `${id}-label` }, label), ...control.elements);
  element.dataset.key = key;
  return { element, update: control.update };
}

function choice(id, label, about, set) {
  if (about.words.length > MOST_BUTTONS) {
    const select = make("select", { id }, ...about.words.map(word => make("option", { value: word }, word || UNNAMED)));
    select.addEventListener("change", () => set(select.value));
    return { elements: [select], update(value, disabled) { select.value = value; select.disabled = disabled; } };
  }
  const buttons = about.words.map(word => {
    const button = make("button", { type: "button", value: word }, word || UNNAMED);
    button.addEventListener("click", () => set(word));
    return button;
  });
  const group = make("div", { id, className: "segmented", role: "group", "aria-labelledby": `${id}-label` }, ...buttons);
  return {
    elements: [group],
    update(value, disabled) {
      for (const button of buttons) {
        setPressed(button, button.value === value);
        button.disabled = disabled;
      }
    },
  };
}

function text(id, about, set) {
  const input = make("input", { id, type: "text", spellcheck: false, autocomplete: "off", maxLength: 200 });
  let last = "";
  input.addEventListener("change", () => { if (input.value !== last) set(input.value); });
  return {
    elements: [input],
    update(value, disabled) {
      last = String(value ?? "");
      input.disabled = disabled;
      if (document.activeElement !== input) input.value = last;
    },
  };
}

function number(id, label, about, set) {
  const scale = scaleOf(about);
  const slider = make("input", { id, type: "range", min: 0, max: STEPS, step: 1 });
  const entry = make("input", { type: "text", inputMode: "decimal", className: "entry", autocomplete: "off", "aria-label": `${label}, value` });
  const words = [...(about.words ?? []), ...(about.zero ? [0] : [])].map(word => {
    const button = make("button", { type: "button", className: "word", "aria-label": `${label}: ${wordOf(word, about)}` }, wordOf(word, about));
    // pressed again, it goes back to a number
    button.addEventListener("click", () => set(button.getAttribute("aria-pressed") === "true" ? lastNumber : word));
    return { word, button };
  });
  let current, lastNumber = typeof about.default === "number" && about.default !== 0 ? about.default : scale.value(STEPS / 2), dragging = false;

  const name = value => words.some(one => one.word === value) ? wordOf(value, about) : `${value}${about.unit ? " " + (UNITS[about.unit] ?? about.unit) : ""}`;
  function showValue(value) {
    const isWord = words.some(one => one.word === value);
    if (!isWord) slider.value = scale.place(value);
    slider.setAttribute("aria-valuetext", name(value));
    slider.classList.toggle("off", isWord);
    slider.style.setProperty("--filled", isWord ? 0 : slider.value / STEPS);
    if (document.activeElement !== entry) entry.value = name(value);
    for (const one of words) setPressed(one.button, one.word === value);
  }
  slider.addEventListener("pointerdown", () => { dragging = true; });
  slider.addEventListener("change", () => { dragging = false; });
  slider.addEventListener("input", () => {
    const value = scale.value(Number(slider.value));
    showValue(value);
    set(value);
  });
  // a click on the slider's word-less end, arrow keys: by a visible step, not by a thousandth
  slider.addEventListener("keydown", event => {
    const step = { ArrowLeft: -20, ArrowDown: -20, ArrowRight: 20, ArrowUp: 20 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    slider.value = Number(slider.value) + step;
    slider.dispatchEvent(new Event("input"));
  });
  entry.addEventListener("change", () => {
    const typed = entry.value.trim(), value = words.find(one => wordOf(one.word, about) === typed)?.word ?? parseFloat(typed);
    if (typeof value === "string" || Number.isFinite(value)) set(value);
    else showValue(current);
  });
  entry.addEventListener("blur", () => showValue(current));
  return {
    elements: [make("div", { className: "words" }, ...words.map(one => one.button), entry), slider],
    update(value, disabled) {
      current = value;
      if (typeof value === "number" && !words.some(one => one.word === value)) lastNumber = value;
      if (!dragging) showValue(value);
      for (const element of [slider, entry, ...words.map(one => one.button)]) element.disabled = disabled;
    },
  };
}

// What 0 means: the help says "full" where it is not "off".
function wordOf(word, about) {
  return word !== 0 ? word : (about.help ?? "").includes('"full"') ? "full" : "off";
}

/** Between the slider's place (0..STEPS) and a value: by ratios where the range spans a factor of ten, else by steps. */
export function scaleOf({ minimum, maximum, type }) {
  const rounded = value => {
    const within = Math.min(maximum, Math.max(minimum, value));
    return type === "integer" ? Math.round(within) : Number(within.toPrecision(3));
  };
  if (minimum > 0 && maximum / minimum >= 10) {
    const span = Math.log(maximum / minimum);
    return {
      value: place => rounded(minimum * Math.exp(span * place / STEPS)),
      place: value => Math.round(STEPS * Math.log(Math.max(value, minimum) / minimum) / span),
    };
  }
  return {
    value: place => rounded(minimum + (maximum - minimum) * place / STEPS),
    place: value => Math.round(STEPS * (value - minimum) / (maximum - minimum)),
  };
}
