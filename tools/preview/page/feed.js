// The pictures' WebSocket. One request, one answer: a browser that draws slowly asks seldom, and always gets the newest.

import { socketAddress } from "./api.js";
import { Video } from "./video.js";

const LONGEST_RETRY_MS = 2000;
const RATE_WINDOW_MS = 2000;

export class Feed {
  /** shown(description, pictures): a new view is to be drawn; pictures: Map of topic to {description, bitmap}.
   *  idle(message): no new picture, but numbers. Both may be async. broken(error): H.264 could not be decoded. */
  constructor(shown, idle, broken) {
    this._shown = shown;
    this._idle = idle;
    this._broken = broken;
    this._video = new Video();
    this._received = [];
    this._socket = null;
    this._waiting = this._drawing = this._paused = false;
    this._wishes = new Map();
    this._retryMs = 300;
    this._drawnAt = [];
    this.silentS = 0;
    this.heardAt = performance.now();
    document.addEventListener("visibilitychange", () => this._continue());
    this._connect();
  }

  get isOpen() {
    return this._socket !== null && this._socket.readyState === WebSocket.OPEN;
  }

  get paused() {
    return this._paused;
  }

  set paused(value) {
    this._paused = value;
    this._continue();
  }

  /** Pictures drawn a second, lately. */
  get rate() {
    const now = performance.now();
    while (this._drawnAt.length && now - this._drawnAt[0] > RATE_WINDOW_MS) this._drawnAt.shift();
    return this._drawnAt.length * 1000 / RATE_WINDOW_MS;
  }

  /** Bits received a second, lately. */
  get bitRate() {
    const now = performance.now();
    while (this._received.length && now - this._received[0].at > RATE_WINDOW_MS) this._received.shift();
    return this._received.reduce((sum, { bytes }) => sum + 8 * bytes, 0) * 1000 / RATE_WINDOW_MS;
  }

  /** Seconds since the pipeline's last frame. */
  get silence() {
    return this.silentS + (performance.now() - this.heardAt) / 1000;
  }

  /** Say now, and after each new connection, that `words` are wanted; a later wish with the same name replaces it. */
  wish(name, words) {
    if (this._wishes.get(name) === words) return;
    this._wishes.set(name, words);
    if (this.isOpen) this._socket.send(words);
  }

  _connect() {
    const socket = this._socket = new WebSocket(socketAddress());
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this._retryMs = 300;
      this._waiting = false;
      this._video.reset();
      for (const words of this._wishes.values()) socket.send(words);
      this._ask();
    };
    socket.onmessage = event => this._take(event.data);
    socket.onclose = () => {
      this._socket = null;
      setTimeout(() => this._connect(), this._retryMs);
      this._retryMs = Math.min(LONGEST_RETRY_MS, this._retryMs * 1.7);
    };
  }

  async _take(data) {
    this._waiting = false;
    this._drawing = true;
    try {
      const message = typeof data === "string" ? JSON.parse(data) : description(data);
      this.heardAt = performance.now();
      this.silentS = message.stats.silent_s;
      if (typeof data === "string") {
        await this._idle(message);
      } else {
        this._received.push({ at: performance.now(), bytes: data.byteLength });
        const pictures = await this._unpacked(message, data);
        if (!pictures) return;
        await new Promise(resolve => document.hidden ? resolve() : requestAnimationFrame(resolve));
        await this._shown(message, pictures);
        this._drawnAt.push(performance.now());
      }
    } finally {
      this._drawing = false;
      this._ask();
    }
  }

  // Null where H.264 could not be decoded.
  async _unpacked(message, buffer) {
    let at = 4 + new DataView(buffer).getUint32(0);
    try {
      return new Map(await Promise.all(message.pictures.map(async picture => {
        const data = new Uint8Array(buffer, at, picture.bytes);
        at += picture.bytes;
        const bitmap = picture.chunks
          ? await this._video.bitmap(picture, data)
          : await createImageBitmap(new Blob([data], { type: picture.type ?? "image/jpeg" }));
        return [picture.topic, { description: picture, bitmap }];
      })));
    } catch (error) {
      if (!message.pictures.some(({ chunks }) => chunks)) throw error;
      this._video.reset();
      this._broken(error);
      return null;
    }
  }

  _ask() {
    if (this._waiting || this._drawing || this._paused || document.hidden || !this.isOpen) return;
    this._waiting = true;
    this._socket.send("next");
  }

  // Nothing is sent, nor encoded, for a page that nobody looks at.
  _continue() {
    if (!this._paused && !document.hidden) this._ask();
    else if (this.isOpen) this._socket.send("pause");
  }
}

function description(buffer) {
  return JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, new DataView(buffer).getUint32(0))));
}
