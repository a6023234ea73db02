// The panels "Exposure" and "Look", save and revert: all of it built from GET /settings and GET /status.

import { cameWithWrongToken } from "./api.js";
import { byId, duration, make, percent, setPressed, toast } from "./dom.js";
import { field, scaleOf } from "./fields.js";
import { exposureName } from "./views.js";

const LABELS = {
  "fusion.gamma": "Gamma", "fusion.adaptive_target": "Adaptive target", "fusion.white": "White", "fusion.chroma": "Chroma",
  "fusion.colour": "Colour", "fusion.motion": "Motion", "fusion.network_lines": "Network lines", "fusion.shoulder": "Shoulder",
  "fusion.window_radius": "Window radius", "fusion.window_eps": "Window noise", "capture.gain": "Gain",
  "capture.exposures": "Times", "capture.mains_hz": "Mains", "capture.bracket_mode": "Brackets", "publish.codec": "Codec",
  "runtime.device": "Device", "runtime.threads": "Threads", "control.camera": "Camera",
};
const LOOK = ["fusion.gamma", "fusion.colour", "fusion.chroma", "fusion.motion", "fusion.network_lines", "fusion.white"];
const EXPOSURE = ["capture.gain"];
const LEAST_RATIO = 1.31;  // of an exposure to the next darker one; the camera's side refuses less than 1.3

export class Controls {
  constructor(settings) {
    this._settings = settings;
    this._fields = new Map();
    this._built = "";
    this._shares = [];
    byId("save").addEventListener("click", () => settings.act("POST", "settings/save", {}, "Settings saved."));
    byId("revert").addEventListener("click", () => settings.act("POST", "settings/revert", {}, "Back to the configuration file's settings."));
    setInterval(() => this._describeChange(), 5000);
  }

  /** Show what the settings are now. */
  refresh() {
    const { answer, status, mayControl } = this._settings;
    if (!answer || !status) return;
    const keys = JSON.stringify(answer.keys);
    if (keys !== this._built) {
      this._build(answer.keys);
      this._built = keys;
    }
    for (const [key, { update }] of this._fields) update(this._settings.value(key), !mayControl || this._isFixed(key));
    this._fields.get("fusion.chroma")?.element.toggleAttribute("hidden", this._settings.value("fusion.colour") === "tone");  // no use for it
    this._times();
    byId("save").disabled = byId("revert").disabled = !mayControl || answer.changed.length === 0;
    this._describeRights();
    this._describeChange();
  }

  /** Who changed something last: an event of the server. */
  note(event) {
    this._last = { ...event, at: performance.now() };
    this._describeChange();
  }

  /** Shares of clipped and dark pixels, by exposure, for the rows of the exposures. */
  scopes(scopes) {
    this._shares = Object.keys(scopes).filter(topic => topic.startsWith("exposure/")).sort().map(topic => scopes[topic]);
    for (const [index, row] of (this._rows ?? []).entries()) describeShares(row, this._shares[index]);
  }

  auto() {
    const isAuto = this._settings.status?.auto;
    this._settings.act("POST", isAuto ? "exposures/hold" : "exposures/auto", {});
  }

  /** Change the gap between darkest and brightest by `stops`, around their middle. */
  widen(stops) {
    const plan = this._plan;
    if (!plan || plan.length < 2 || this._cannotSet) return;
    const last = plan.length - 1;
    this._setTimes(plan.map((one, index) => one.exposure_us * 2 ** (stops * (index / last - 0.5))));
  }

  /** Multiply gamma, where it is a number. */
  brighten(factor) {
    const gamma = this._settings.value("fusion.gamma"), about = this._settings.answer?.keys["fusion.gamma"];
    if (!this._settings.mayControl || typeof gamma !== "number" || !about) return;
    this._settings.set("fusion.gamma", Number(Math.min(about.maximum, Math.max(about.minimum, gamma * factor)).toPrecision(3)));
    this.refresh();
  }

  get _plan() {
    return this._settings.status?.plan ?? null;
  }

  get _cannotSet() {
    const { status, mayControl } = this._settings;
    return !mayControl || status?.camera?.can_request === false;
  }

  _isFixed(key) {
    return (key === "capture.exposures" || key === "capture.gain") && this._settings.status?.camera?.can_request === false;
  }

  _build(keys) {
    this._fields.clear();
    const one = key => {
      const made = field(key, keys[key], LABELS[key] ?? key.split(".")[1].replaceAll("_", " "), value => {
        this._settings.set(key, value);
        this.refresh();
      });
      this._fields.set(key, made);
      return made.element;
    };
    const known = name => Object.keys(keys).filter(key => key.startsWith(name + "."));
    const cameras = known("control").filter(key => key === "control.camera" && keys[key].words.length > 1);
    const exposure = known("capture").filter(key => EXPOSURE.includes(key));
    const look = LOOK.filter(key => key in keys);
    const more = list => list.length ? [make("details", {}, make("summary", {}, "More"), ...list.map(one))] : [];
    this._auto = make("button", { type: "button", title: "The exposures follow the scene (A)" }, "Auto");
    this._hold = make("button", { type: "button", title: "Keep the present exposures (A)" }, "Hold");
    this._auto.addEventListener("click", () => this._settings.act("POST", "exposures/auto", {}));
    this._hold.addEventListener("click", () => this._settings.act("POST", "exposures/hold", {}));
    this._timesPlace = make("div", { id: "times" });
    this._gap = make("p", { className: "quiet" });
    this._rows = [];
    byId("exposure-panel").replaceChildren(
      make("div", { className: "row head" }, make("h2", { id: "exposure-title" }, "Exposure"),
        make("div", { className: "segmented", role: "group", "aria-label": "Automatic exposure" }, this._auto, this._hold)),
      ...cameras.map(one), this._timesPlace, this._gap, ...exposure.map(one), ...more(known("capture").filter(key => !EXPOSURE.includes(key))));
    byId("look-panel").replaceChildren(make("h2", { id: "look-title" }, "Look"), ...look.map(one),
      ...more([...known("fusion").filter(key => !LOOK.includes(key)), ...known("publish"), ...known("runtime")]));
    for (const id of ["exposure-panel", "look-panel", "settings-panel"]) byId(id).hidden = false;
  }

  // A row for each exposure of the plan: its time, by slider or typed, and how much of it is clipped or dark.
  _times() {
    const plan = this._plan, limits = this._settings.status.camera?.limits?.exposure_us, { auto } = this._settings.status;
    const fixed = this._cannotSet;
    setPressed(this._auto, auto === true);
    setPressed(this._hold, auto === false);
    this._auto.disabled = this._hold.disabled = fixed;
    if (!plan || !limits) {
      this._timesPlace.replaceChildren();
      this._rows = [];
      this._gap.textContent = this._settings.status.camera?.can_request === false ? "This camera's exposures cannot be set: they are a recording's." : "";
      return;
    }
    const key = JSON.stringify([limits, plan.length]);
    if (this._rowsKey !== key || !this._rows.length) {
      this._rowsKey = key;
      this._rows = plan.map((_, index) => this._row(index, plan.length, limits));
      this._timesPlace.replaceChildren(...this._rows.map(row => row.element));
    }
    for (const [index, row] of this._rows.entries()) {
      row.update(plan[index].exposure_us, fixed);
      describeShares(row, this._shares[index]);
    }
    const gap = Math.log2(plan.at(-1).exposure_us * plan.at(-1).gain / (plan[0].exposure_us * plan[0].gain));
    const state = auto ? "following the scene" : "held";
    this._gap.textContent = `${plan.length > 1 ? `Gap ${gap.toFixed(1)} EV, ` : ""}${state}` +
      (this._settings.status.camera?.can_request === false ? "; a recording's exposures cannot be set" : "");
  }

  _row(index, count, [minimum, maximum]) {
    const name = exposureName(index, count), id = `time-${index}`;
    const scale = scaleOf({ minimum, maximum, type: "number" });
    const slider = make("input", { id, type: "range", min: 0, max: 1000, step: 1 });
    const entry = make("input", { type: "text", className: "entry", autocomplete: "off", "aria-label": `${name} exposure, time` });
    const shares = make("span", { className: "shares" });
    let current = minimum, dragging = false;
    const showTime = us => {
      slider.value = scale.place(us);
      slider.style.setProperty("--filled", slider.value / 1000);
      slider.setAttribute("aria-valuetext", duration(us));
      if (document.activeElement !== entry) entry.value = duration(us);
    };
    // a slider ends where the next exposure would be too near
    const set = us => {
      const low = (this._plan[index - 1]?.exposure_us ?? 0) * LEAST_RATIO, high = (this._plan[index + 1]?.exposure_us ?? Infinity) / LEAST_RATIO;
      this._setTimes(this._plan.map((one, other) => other === index ? Math.min(high, Math.max(low, us)) : one.exposure_us));
    };
    slider.addEventListener("pointerdown", () => { dragging = true; });
    slider.addEventListener("change", () => { dragging = false; });
    slider.addEventListener("input", () => {
      const us = scale.value(Number(slider.value));
      showTime(us);
      set(us);
    });
    slider.addEventListener("keydown", event => {
      const sixths = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (sixths === undefined) return;
      event.preventDefault();
      set(Math.min(maximum, Math.max(minimum, current * 2 ** (sixths / 6))));
    });
    entry.addEventListener("change", () => {
      const us = microseconds(entry.value);
      if (us === null) toast(`"${entry.value}" is not a time: write 800us, 16ms or 0.5s.`);
      else set(us);
    });
    entry.addEventListener("blur", () => showTime(current));
    const element = make("div", { className: "field time" }, make("label", { for: id }, name),
      make("div", { className: "words" }, shares, entry), slider);
    return {
      element, shares,
      update(us, disabled) {
        current = us;
        slider.disabled = entry.disabled = disabled;
        if (!dragging) showTime(us);
      },
    };
  }

  _setTimes(times) {
    const [minimum, maximum] = this._settings.status.camera.limits.exposure_us;
    const plan = times.map((us, index) => ({ ...this._plan[index], exposure_us: Math.min(maximum, Math.max(minimum, us)) }));
    const gained = plan.some(one => one.gain !== plan[0].gain);
    this._settings.status.plan = plan;
    this._settings.status.auto = false;
    this._settings.set("capture.exposures", plan.map(one => `${Number(one.exposure_us.toPrecision(4))}us${gained ? `@${one.gain}` : ""}`).join(","));
    this.refresh();
  }

  _describeRights() {
    const { status } = this._settings;
    let words = "";
    if (!status.control) words = "This page shows another machine's or program's stream: it can look, not change.";
    else if (status.role !== "control" && cameWithWrongToken) {
      words = "Looking only: the token of this address is not this run's, which makes a new one at each start. livemef ctl page, on the camera's machine, prints the present address.";
    } else if (status.role !== "control") words = "Looking only. To change something, open the page by the address that livemef ctl page prints on the camera's machine.";
    byId("looking-words").textContent = words;
    byId("looking").hidden = !words;
    const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
    byId("encryption").hidden = status.encrypted !== false || local || location.protocol === "https:";
  }

  _describeChange() {
    if (!this._last) {
      const [key, who] = Object.entries(this._settings.answer?.by ?? {}).at(-1) ?? [];
      byId("changed-by").textContent = key ? `${key} changed by ${who}` : "";
      return;
    }
    const { who, changed, action, at } = this._last;
    const what = Object.entries(changed ?? {}).map(([key, value]) => `${LABELS[key] ?? key} ${value}`).join(", ") || action;
    const minutes = Math.floor((performance.now() - at) / 60000);
    byId("changed-by").textContent = `${what}: ${who}${minutes ? `, ${minutes} min ago` : ""}`;
  }
}

function describeShares(row, scope) {
  row.shares.textContent = scope ? `clip ${percent(scope.clipped)} · dark ${percent(scope.dark)}` : "";
}

/** Microseconds of "16ms", "800 µs", "0.5s", "16" (milliseconds); null for no time. */
export function microseconds(text) {
  const found = /^\s*(\d+(?:\.\d*)?|\.\d+)\s*(us|µs|μs|ms|s)?\s*$/.exec(text);
  if (!found) return null;
  const us = Number(found[1]) * { us: 1, µs: 1, μs: 1, ms: 1e3, s: 1e6 }[found[2] ?? "ms"];
  return us > 0 ? us : null;
}
