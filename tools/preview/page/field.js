// Field capture: the panel of an open session (livemef shoot open). Without one it stays hidden.

import { call } from "./api.js";
import { byId, isPressed, make, setPressed, since, toast } from "./dom.js";

const ENDED = "The session has ended.";
const THUMB_RETRY_MS = 3000;
const DOING = { taking: "Taking …", storing: "Storing …", "measuring the target": "Measuring the target …" };

export class Field {
  constructor() {
    this._state = null;
    this._ended = false;
    this._thumbs = new Map();
    this._build();
  }

  /** The session's state, and what its terminal prints: there is a session only where these come. */
  heard(name, data) {
    if (name === "session") this._show(data);
    else if (data.event === "closed") this.lost(ENDED);
  }

  /** Nothing can be taken, since no state comes any more. */
  lost(words = "The camera cannot be reached.") {
    if (!this._state || this._ended) return;
    this._ended = words === ENDED;
    this._showRed([words]);
    this._enable(false);
  }

  _build() {
    this._id = make("input", { type: "text", id: "object-id", autocomplete: "off", spellcheck: false, maxLength: 400, placeholder: "scan or type" });
    this._take = make("button", { type: "submit", id: "take", title: "Take (Enter). With no id: the next part of the last object" }, "Take");
    this._retake = make("button", { type: "button", id: "retake", "aria-pressed": "false", title: "Once more; what is there stays" }, "Retake");
    this._code = make("button", { type: "button", id: "code", hidden: true, title: "Take the object whose id is in a code (QR, Code 128, ...) in the picture" }, "By code");
    this._target = make("button", { type: "button", id: "target", title: "A ColorChecker lies in the object's place" }, "Target");
    this._clipping = make("button", { type: "button", id: "clipping", "aria-pressed": "false", title: "Red where even the darkest exposure clips" }, "Clipping");
    this._note = make("input", { type: "text", id: "object-note", autocomplete: "off", maxLength: 4000, placeholder: "goes into the object's record" });
    this._red = make("ul", { id: "field-red", role: "alert", hidden: true });
    this._now = make("p", { id: "field-now", role: "status" });
    this._badge = make("div", { id: "badge" });
    this._warnings = make("ul", { id: "field-warnings", "aria-label": "Warnings" });
    this._space = make("p", { id: "field-space", className: "quiet" });
    this._last = make("ul", { id: "last-objects", "aria-label": "Last objects" });
    this._overlay = make("img", { id: "clipping-overlay", alt: "", hidden: true });
    this._title = make("h2", { id: "field-title" }, "Session");
    const form = make("form", { id: "take-form" },
      make("label", { for: "object-id" }, "Object"), this._id,
      make("label", { for: "object-note" }, "Note"), this._note,
      this._take, make("div", { className: "row buttons" }, this._code, this._retake, this._target, this._clipping));
    byId("field").append(this._title, this._red, form, this._now, this._badge, this._warnings, this._space, this._last);
    byId("picture").append(this._overlay);
    form.addEventListener("submit", event => { event.preventDefault(); this._submit(); });
    this._retake.addEventListener("click", () => setPressed(this._retake, !isPressed(this._retake)));
    this._target.addEventListener("click", () => this._ask("session/target"));
    this._code.addEventListener("click", () => this._submit(true));
    this._clipping.addEventListener("click", () => {
      setPressed(this._clipping, !isPressed(this._clipping));
      this._overlay.hidden = true;
      this._refresh();
    });
    // A scanner types into whatever has the focus: so it comes back to the id after every click elsewhere.
    document.addEventListener("click", event => {
      if (this._state && !event.target.closest("input, select, textarea, dialog, summary")) this._focus();
    });
    // And where nothing has the focus, letters are an id, not the page's keys.
    document.addEventListener("keydown", event => {
      const letter = event.key.length === 1 && !event.ctrlKey && !event.altKey && !event.metaKey;
      if (!this._state || !letter || event.target !== document.body) return;
      this._focus();
      event.stopPropagation();
    }, true);
  }

  _focus() {
    if (!document.querySelector("dialog[open]")) this._id.focus({ preventScroll: true });
  }

  async _showClipping() {
    const { png } = await call("GET", "session/clipping");
    if (!isPressed(this._clipping)) return;  // it was switched off meanwhile
    this._overlay.hidden = !png;
    if (png) this._overlay.src = `data:image/png;base64,${png}`;
  }

  async _submit(code = false) {
    if (this._take.disabled) return;
    const id = code ? "" : this._id.value.trim();
    const body = { id: id || null, code, part: !id && !code && !isPressed(this._retake), retake: isPressed(this._retake), note: this._note.value.trim() };
    if (await this._ask("session/take", body)) {
      this._id.value = "";
      this._note.value = "";
      setPressed(this._retake, false);
    } else {
      this._id.select();
    }
  }

  async _ask(path, body) {
    this._enable(false);
    try {
      await call("POST", path, body);
      return true;
    } catch (error) {
      toast(error.status === 403 ? "To take objects, open the page by the address with the token that livemef shoot open prints." : error.message);
      return false;
    } finally {
      this._focus();
      this._refresh();
    }
  }

  async _refresh() {
    try { this._show(await call("GET", "session")); } catch { /* the next event says it */ }
  }

  _enable(ready) {
    const red = this._state?.red ?? [];
    const onlyTarget = red.length === 0 || red.every(reason => reason.startsWith("no target yet"));
    this._take.disabled = this._code.disabled = !ready || red.length > 0;
    this._target.disabled = !ready || !onlyTarget;
  }

  _show(state) {
    const first = this._state === null;
    const refused = state.refused && state.refused !== this._state?.refused ? state.refused : "";
    this._state = state;
    this._ended = false;
    byId("field").hidden = false;
    this._code.hidden = !state.codes;
    this._title.replaceChildren("Session ", make("small", {}, [state.rig, state.operator].filter(Boolean).join(", ")));
    this._showRed(state.red);
    this._enable(!state.doing);
    const ready = state.red.length ? "Not ready" : "Ready";
    const words = DOING[state.doing] ?? (state.doing || ready);
    if (this._now.textContent !== words) this._now.textContent = words;
    this._now.className = state.doing ? "busy" : state.red.length ? "bad" : "good";
    this._showBadge(state);
    fill(this._warnings, state.warnings.join("\n"), () => state.warnings.map(text => make("li", { className: "warn" }, text)));
    this._space.textContent = spaceWords(state);
    this._showLast(state.last);
    if (refused) toast(refused);
    if (isPressed(this._clipping)) this._showClipping().catch(() => { /* with the next state */ });
    if (first) this._focus();
  }

  _showRed(reasons) {
    fill(this._red, reasons.join("\n"), () => reasons.map(text => make("li", {}, text)));
    this._red.hidden = reasons.length === 0;
  }

  _showBadge({ target, live }) {
    if (!target) return fill(this._badge, "none", () => [make("p", { className: "quiet" }, "No target in this session yet.")]);
    const levels = target.levels.map(level => make("li", { className: level.within ? "" : "warn" },
      `${level.name}: ${level.within ? "within" : "not within"}`,
      make("small", {}, level.worst ? `; nearest to its limit: ${level.worst.replaceAll("_", " ")}` : "",
        level.status === "secondary" ? "; limits not checked against the publisher's text" : "")));
    const facts = [`ΔE00 mean ${target.de00_mean}, largest ${target.de00_max}`];
    if (target.mtf50) facts.push(`MTF50 ${target.mtf50.toFixed(2)} cycles/px`);
    if (target.pixels_per_inch) facts.push(`${Math.round(target.pixels_per_inch)} ppi`);
    const now = live === null ? "" : live.in_view
      ? `Now: ΔE00 ${live.de00_mean}, white ${signed(live.white_dl)} L*, moved ${live.moved_px} px` + (live.mtf50_share === null ? "" : `, MTF50 ${percent(live.mtf50_share)}`)
      : live.moved_px === null ? "Now: the target is not in view" : `Now: the target lies ${live.moved_px} px away`;
    fill(this._badge, JSON.stringify([target, live]), () => [
      make("p", {}, make("b", {}, "Indicative quality"), make("small", {}, ` ${target.name}, ${since(target.age_s).replace(".0", "")} ago`)),
      make("ul", {}, ...levels), make("p", {}, facts.join(" · ")), make("p", { className: "quiet" }, now),
    ]);
  }

  _showLast(entries) {
    fill(this._last, JSON.stringify(entries), () => entries.map(entry => this._entry(entry)));
    for (const name of this._thumbs.keys()) if (!entries.some(entry => entry.name === name)) this._thumbs.delete(name);
  }

  _entry(entry) {
    const marks = [entry.copied ? "copied" : "stored"];
    if (/\.r[0-9]+$/.test(entry.name)) marks.push("retake");
    const words = make("div", {}, make("b", {}, entry.object), entry.part > 1 ? ` part ${entry.part}` : "",
      make("small", {}, ` ${marks.join(", ")}`), ...entry.warnings.map(text => make("p", { className: "warn" }, text)));
    return make("li", {}, make("div", { className: "thumb-box" }, this._thumb(entry.name)), words);
  }

  _thumb(name) {
    if (!this._thumbs.has(name)) {
      const image = make("img", { alt: "", hidden: true });
      this._thumbs.set(name, image);
      this._load(image, name);
    }
    return this._thumbs.get(name);
  }

  async _load(image, name) {
    while (this._thumbs.get(name) === image) {
      try {
        const { jpeg } = await call("GET", `session/objects/${name}/thumb`);
        image.src = `data:image/jpeg;base64,${jpeg}`;
        image.hidden = false;
        return;
      } catch {
        await new Promise(later => setTimeout(later, THUMB_RETRY_MS));
      }
    }
  }
}

/** Replace an element's children, made by `children()`, only where what they show is new: a selection stays. */
function fill(element, key, children) {
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  element.replaceChildren(...children());
}

const percent = share => `${Math.round(100 * share)} % of the target's`;
const signed = value => (value > 0 ? "+" : "") + String(value).replace("-", "−");

function spaceWords({ objects, objects_left: left, second }) {
  const words = [`${objects} ${objects === 1 ? "object" : "objects"} in this session`];
  if (left !== null) words.push(`room for ${left} more`);
  if (second) words.push(second.behind ? `second copy: ${second.behind} behind` : "second copies complete");
  return words.join(" · ");
}
