// Which picture is shown large, what stands beside the line, and the aids over it.

import { byId, duration, isPressed, make, setPressed } from "./dom.js";
import { field } from "./fields.js";
import { FALSE_COLOURS, OFF, Screen } from "./screen.js";

export const FUSED = "fused", MOTION = "motion";
const SPLIT = "split";

/** The field's word for an exposure of `count`, dark to bright. */
export function exposureName(index, count) {
  const words = { 1: ["Exposure"], 2: ["Short", "Long"], 3: ["Short", "Middle", "Long"] }[count];
  return words ? words[index] : `Exposure ${index + 1}`;
}

export function exposureOf(picture) {
  return picture?.source && (picture.source.measured || picture.source.requested);
}

export class Views {
  /** chosen(topics): called when other pictures are wanted large. */
  constructor(chosen) {
    this._chosen = chosen;
    this._screen = new Screen(byId("screen"));
    this._pictures = new Map();
    this._sourceWidth = 0;
    this._topics = [];
    this._line = 0.5;
    this.view = FUSED;
    this.beside = null;
    this._levels = { zebra: 95, peaking: 6, ...stored() };
    byId("legend-false").append(...FALSE_COLOURS.filter(([, colour]) => colour).map(([, colour, words]) => {
      const dot = make("i");
      dot.style.background = colour;
      return make("li", {}, dot, words);
    }));
    for (const id of ["zebra", "peaking", "false-colour"]) {
      byId(id).addEventListener("click", () => this.toggle(id));
      byId(id).disabled = !this._screen.works;
      if (!this._screen.works) byId(id).title = "This browser has no WebGL 2";
    }
    this._startLine();
    this._startLevels();
  }

  /** Topics of the exposures that are there, dark to bright. */
  get exposures() {
    return this._topics.filter(topic => topic.startsWith("exposure/"));
  }

  /** Take new pictures and draw them. The ones before are freed, where they are not the same. */
  take(message, pictures) {
    for (const [topic, { bitmap }] of this._pictures) if (pictures.get(topic)?.bitmap !== bitmap) bitmap.close();
    this._pictures = pictures;
    this._sourceWidth = message.header.width;
    const topics = [...pictures.keys()].filter(topic => topic === FUSED || topic === MOTION || topic.startsWith("exposure/"));
    if (topics.join() !== this._topics.join()) {
      this._topics = topics;
      this._offer();
    }
    this.draw();
  }

  name(topic) {
    if (topic === FUSED) return "Fused";
    if (topic === MOTION) return "Mask";
    return exposureName(this.exposures.indexOf(topic), this.exposures.length);
  }

  /** Show a topic, or "split". In the split, an exposure takes the right side. */
  choose(view) {
    if (this.view === SPLIT && view !== FUSED && view !== SPLIT) this.beside = view;
    else this.view = view;
    for (const button of byId("views").children) setPressed(button, button.value === this.view);
    this._chosen();
    this.draw();
  }

  /** The n-th button of the pictures, from 0. */
  chooseNth(n) {
    byId("views").children[n]?.click();
  }

  toggle(id) {
    if (byId(id).disabled) return;
    setPressed(byId(id), !isPressed(byId(id)));
    byId("legend-false").hidden = !isPressed(byId("false-colour"));
    this._levelFields.zebra.element.hidden = !isPressed(byId("zebra"));
    this._levelFields.peaking.element.hidden = !isPressed(byId("peaking"));
    byId("aids-panel").hidden = !isPressed(byId("zebra")) && !isPressed(byId("peaking"));
    this.draw();
  }

  /** What the aids are set to, for any Screen. */
  get aids() {
    return {
      zebra: isPressed(byId("zebra")) ? this._levels.zebra / 100 : OFF,
      peaking: isPressed(byId("peaking")) ? this._levels.peaking / 100 : OFF,
      falseColour: isPressed(byId("false-colour")),
    };
  }

  get isSplit() {
    return this.view === SPLIT && this._right !== null;
  }

  /** The topics that are shown large. */
  get large() {
    return this.view === SPLIT ? [FUSED, this._rightTopic].filter(Boolean) : [this.view];
  }

  get _rightTopic() {
    return this._topics.includes(this.beside) ? this.beside : this.exposures.at(-1) ?? null;
  }

  get _right() {
    return this.view === SPLIT ? this._pictures.get(this._rightTopic) ?? null : null;
  }

  draw() {
    const leftTopic = this.view === SPLIT ? FUSED : this.view;
    const left = this._pictures.get(leftTopic) ?? this._pictures.get(FUSED), right = this._right;
    if (!left) return;
    const aspectOf = this._pictures.get(FUSED)?.bitmap ?? left.bitmap;
    document.documentElement.style.setProperty("--aspect", aspectOf.width / aspectOf.height);
    this._screen.draw({ left: left.bitmap, right: right?.bitmap ?? null, line: this._line, ...this.aids });
    const canvas = byId("screen");
    canvas.dataset.seq = left.description.seq;
    canvas.dataset.topic = left.description.topic;
    this._label(left, right);
  }

  _label(left, right) {
    const { bitmap } = left;
    const scaled = isPressed(byId("peaking")) && this._sourceWidth > bitmap.width
      ? `, peaking at ${Math.round(100 * bitmap.width / this._sourceWidth)} % of the size` : "";
    const words = this._words(left) + scaled;
    const isPlain = left.description.topic === FUSED && !right && !scaled;
    if (byId("label-left").textContent !== words) byId("label-left").textContent = words;
    byId("label-left").hidden = isPlain;
    byId("screen").setAttribute("aria-label", `Live picture: ${right ? `${words}, beside ${this._words(right)}` : words}`);
    byId("label-right").hidden = byId("split-line").hidden = !right;
    if (right) byId("label-right").textContent = this._words(right);
  }

  _words({ description }) {
    const exposure = exposureOf(description);
    return this.name(description.topic) + (exposure ? ` ${duration(exposure.exposure_us)}` : "");
  }

  _offer() {
    const button = (value, words, key) => {
      const made = make("button", { type: "button", value, title: `${words} (${key})` }, words);
      setPressed(made, value === this.view);
      made.addEventListener("click", () => this.choose(value));
      return made;
    };
    const buttons = this._topics.map((topic, index) => button(topic, this.name(topic), index + 1));
    if (this.exposures.length && this._screen.works) buttons.push(button(SPLIT, "Split", "S"));
    byId("views").replaceChildren(...buttons);
    if (this.view !== SPLIT && !this._topics.includes(this.view)) this.choose(FUSED);
  }

  // From where zebra and peaking draw: kept by this browser, they are nobody else's.
  _startLevels() {
    const levels = {
      zebra: ["Zebra from", { type: "number", minimum: 50, maximum: 100, unit: "%", help: "Luma from which the picture is striped." }],
      peaking: ["Peaking from", { type: "number", minimum: 1, maximum: 20, unit: "%", help: "Change of luma from a pixel to the next from which an edge is coloured." }],
    };
    this._levelFields = Object.fromEntries(Object.entries(levels).map(([name, [label, about]]) => {
      const made = field(name, about, label, value => {
        this._levels[name] = Math.min(about.maximum, Math.max(about.minimum, Number(value)));
        made.update(this._levels[name], false);
        store(this._levels);
        this.draw();
      });
      made.element.hidden = true;
      made.update(this._levels[name], false);
      return [name, made];
    }));
    byId("aids-panel").append(...Object.values(this._levelFields).map(({ element }) => element));
  }

  // The line of the split is dragged, or moved by the arrow keys.
  _startLine() {
    const line = byId("split-line"), picture = byId("picture");
    const place = share => {
      this._line = Math.min(1, Math.max(0, share));
      picture.style.setProperty("--split", this._line);
      line.setAttribute("aria-valuenow", String(Math.round(100 * this._line)));
      this.draw();
    };
    picture.addEventListener("pointerdown", event => {
      if (!this.isSplit || event.target.closest("#loupe-box")) return;
      picture.setPointerCapture(event.pointerId);
      const move = moved => {
        const { left, width } = byId("screen").getBoundingClientRect();
        place((moved.clientX - left) / width);
      };
      move(event);
      picture.addEventListener("pointermove", move);
      picture.addEventListener("lostpointercapture", () => picture.removeEventListener("pointermove", move), { once: true });
    });
    line.addEventListener("keydown", event => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      place(this._line + step);
    });
    place(0.5);
  }
}

const STORED = "livemef aids";

function stored() {
  try {
    return JSON.parse(localStorage.getItem(STORED)) ?? {};
  } catch {
    return {};  // a browser that stores nothing
  }
}

function store(levels) {
  try {
    localStorage.setItem(STORED, JSON.stringify(levels));
  } catch { /* a browser that stores nothing */ }
}
