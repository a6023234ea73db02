// As what the pictures are sent: H.264 where it can be shown, JPEG where not, or where the person prefers it.

import { byId, show } from "./dom.js";
import { lackOfVideo } from "./video.js";

const STORED = "livemef codec";
const NAMES = { "video/h264": "H.264", "image/jpeg": "JPEG" };

export class Codec {
  constructor() {
    this._lack = this._serverLacks = "";
    this._sent = null;
    this._prefersJpeg = stored() === "jpeg";
    byId("codec").addEventListener("click", () => this._toggle());
  }

  /** Ask for what can be shown. */
  async start(feed) {
    this._feed = feed;
    this._lack = await lackOfVideo();
    this._wish();
  }

  /** A decoder failed: JPEG from now on. */
  broken(error) {
    this._lack = `it could not be decoded: ${error.message}`;
    this._wish();
  }

  /** Note what a view came as. */
  take(message) {
    this._serverLacks = message.no_h264;
    this._sent = NAMES[message.pictures[0].type] ?? message.pictures[0].type;
  }

  /** Say what is sent, how much, and why it is not H.264. */
  describe() {
    if (!this._sent) return;
    const rate = this._feed.bitRate / 1e6, lack = this._lack || (this._prefersJpeg ? "" : this._serverLacks);
    show("codec", `${this._sent}, ${rate.toFixed(rate < 9.95 ? 1 : 0)}`, "Mbit/s", "plain");
    byId("codec").disabled = lack !== "";
    byId("codec").title = lack ? "" : this._prefersJpeg ? "Press for H.264: less on the network, more to compute" : "Press for JPEG: more on the network, less to compute";
    const words = lack ? `No H.264: ${lack}` : "";
    if (byId("codec-lack").textContent !== words) byId("codec-lack").textContent = words;
  }

  _toggle() {
    this._prefersJpeg = !this._prefersJpeg;
    try {
      localStorage.setItem(STORED, this._prefersJpeg ? "jpeg" : "h264");
    } catch { /* a browser that stores nothing */ }
    this._wish();
  }

  _wish() {
    this._feed.wish("codec", this._lack || this._prefersJpeg ? "jpeg" : "h264");
  }
}

function stored() {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null;  // a browser that stores nothing
  }
}
