// The loupe: a part of the newest full-size picture, one picture pixel to one screen pixel, with the same aids.

import { address } from "./api.js";
import { byId, isPressed, setPressed } from "./dom.js";
import { Screen } from "./screen.js";
import { FUSED } from "./views.js";

const SHORTEST_INTERVAL_MS = 150;
const MOST = 1024;

export class Loupe {
  constructor(views, feed) {
    this._views = views;
    this._feed = feed;
    this._at = { x: 0.5, y: 0.5 };
    this._size = { width: 0, height: 0 };
    this._bitmap = null;
    this._screen = null;
    byId("loupe").addEventListener("click", () => this.toggle());
    const picture = byId("picture");
    picture.addEventListener("pointermove", event => { if (event.pointerType === "mouse" || event.buttons) this._point(event); });
    picture.addEventListener("pointerdown", event => this._point(event));
  }

  get isOn() {
    return isPressed(byId("loupe"));
  }

  toggle() {
    setPressed(byId("loupe"), !this.isOn);
    byId("loupe-box").hidden = !this.isOn;
    if (this.isOn) {
      this._screen ??= new Screen(byId("loupe-canvas"), true);
      this._place();
      this._run();
    }
  }

  /** Note the size of the full picture. */
  take({ header }) {
    this._shown = { stream: header.stream, seq: header.seq };
    this._size = { width: header.width, height: header.height };
  }

  /** Move by a share of the picture. */
  nudge(x, y) {
    if (this.isOn) this._moveTo(this._at.x + x, this._at.y + y);
  }

  _point(event) {
    if (!this.isOn || event.target.closest("#loupe-box") || (this._views.isSplit && event.buttons)) return;
    const box = pictureBox(byId("screen"));
    this._moveTo((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }

  _moveTo(x, y) {
    this._at = { x: Math.min(1, Math.max(0, x)), y: Math.min(1, Math.max(0, y)) };
    this._place();
  }

  // On the other side of the picture than the place that is looked at.
  _place() {
    byId("loupe-box").classList.toggle("right", this._at.x < 0.5);
  }

  async _run() {
    if (this._running) return;
    this._running = true;
    try {
      while (this.isOn) {
        const began = performance.now();
        if (!document.hidden) await this._fetch();
        if (this._bitmap) this._draw();
        await new Promise(resolve => setTimeout(resolve, Math.max(20, SHORTEST_INTERVAL_MS - (performance.now() - began))));
      }
    } finally {
      this._running = false;
    }
  }

  async _fetch() {
    const paused = this._feed.paused, { width, height } = this._size;
    const topic = paused ? FUSED : this._views.large.at(-1);  // of a paused page the server keeps the fused picture
    if (!width) return;
    const side = Math.round(byId("loupe-canvas").clientWidth * devicePixelRatio);
    const w = Math.min(side, MOST, width), h = Math.min(side, MOST, height);
    const x = Math.round(Math.min(width - w, Math.max(0, this._at.x * width - w / 2)));
    const y = Math.round(Math.min(height - h, Math.max(0, this._at.y * height - h / 2)));
    const asked = JSON.stringify([paused, x, y, w, h, paused ? this._shown.seq : performance.now()]);
    if (asked === this._asked) return;  // a paused picture does not change
    this._asked = asked;
    try {
      const response = await fetch(address("api/v1/crop", { topic, x, y, w, h, ...(paused ? this._shown : {}) }), { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (!response.ok) throw new Error(`the camera answered ${response.status}`);
      this._bitmap?.close();
      this._bitmap = await createImageBitmap(await response.blob());
      byId("loupe-label").textContent = `${this._views.name(topic)} 1:1 at ${x + (w >> 1)}, ${y + (h >> 1)}`;
    } catch (error) {
      this._asked = null;
      byId("loupe-label").textContent = `No full-size picture: ${error.message}`;
    }
  }

  _draw() {
    this._screen.draw({ left: this._bitmap, ...this._views.aids });
  }
}

/** Where the picture lies in its canvas' box, which it fills but for bars at two sides. */
export function pictureBox(canvas) {
  const box = canvas.getBoundingClientRect(), scale = Math.min(box.width / canvas.width, box.height / canvas.height);
  const width = canvas.width * scale, height = canvas.height * scale;
  return { left: box.left + (box.width - width) / 2, top: box.top + (box.height - height) / 2, width, height };
}
