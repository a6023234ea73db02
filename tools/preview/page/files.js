// Stills and recordings: taking them, how they go, and where they are.

import { address, call } from "./api.js";
import { byId, make, setPressed, since, toast } from "./dom.js";

const MOST = 8;

export class Files {
  constructor(settings) {
    this._settings = settings;
    this._entries = new Map();
    this._recording = null;
    byId("still").addEventListener("click", () => this.still());
    byId("record").addEventListener("click", () => this.record());
    setInterval(() => { if (this._recording) this._describeRecording(); }, 500);
  }

  /** Show the buttons where they can do something. */
  refresh() {
    const { status, mayControl } = this._settings;
    byId("still").hidden = !status?.control || status.stills === undefined;
    byId("record").hidden = !status?.control || status.recording === undefined;
    byId("still").disabled = byId("record").disabled = !mayControl;
    if (!this._began && status) {
      this._began = true;
      for (const still of status.stills ?? []) this.heard("still", still);
      if (status.recording) this.heard("recording", status.recording);
    }
  }

  async still() {
    if (byId("still").disabled || byId("still").hidden) return;
    try {
      this.heard("still", { state: "taking", ...await call("POST", "stills", { count: 1, format: "png16" }) });
    } catch (error) {
      toast(error.message);
    }
  }

  async record() {
    if (byId("record").disabled || byId("record").hidden) return;
    try {
      if (this._recording) await call("DELETE", "recording");
      else this.heard("recording", { state: "recording", ...await call("PUT", "recording", { name: timeName() }) });
    } catch (error) {
      toast(error.message);
    }
  }

  /** An event of the server: "still" or "recording". */
  heard(kind, data) {
    if (kind === "recording") this._noteRecording(data);
    const key = kind === "still" ? `still ${data.id}` : `recording ${data.name}`;
    this._entries.set(key, { kind, ...this._entries.get(key), ...data });
    while (this._entries.size > MOST) this._entries.delete(this._entries.keys().next().value);
    this._list();
    if (data.state === "failed") toast(`The ${kind} failed: ${data.reason}`);
  }

  _noteRecording(data) {
    const goesOn = data.state === "recording";
    this._recording = goesOn ? { ...data, from: performance.now() - 1000 * (data.seconds ?? 0) } : null;
    setPressed(byId("record"), goesOn);
    if (!goesOn) byId("record").textContent = "Record";
    else this._describeRecording();
  }

  _describeRecording() {
    byId("record").textContent = `Stop ${since(Math.floor((performance.now() - this._recording.from) / 1000)).replace(".0", "")}`;
  }

  _list() {
    byId("files-panel").hidden = this._entries.size === 0;
    byId("files").replaceChildren(...[...this._entries.values()].reverse().map(entry => entry.kind === "still" ? stillItem(entry) : recordingItem(entry)));
  }
}

function stillItem({ id, state, files = [] }) {
  const links = files.map(one => {
    const name = one.name ?? one;
    return make("a", { href: address(`api/v1/stills/${encodeURIComponent(id)}/${encodeURIComponent(name)}`), download: name }, name);
  });
  return make("li", {}, make("span", {}, `Still ${id}`), ...(links.length ? links : [make("span", { className: "quiet" }, state)]));
}

function recordingItem({ name, state, brackets = 0, refused = 0 }) {
  const words = `${brackets} brackets${refused ? `, ${refused} refused` : ""}, ${state === "recording" ? "recording" : state}`;
  return make("li", {}, make("span", {}, name), make("span", { className: refused || state === "failed" ? "bad" : "quiet" }, words));
}

/** A recording's name: the time, in letters that are allowed. */
function timeName() {
  return new Date().toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-");
}
