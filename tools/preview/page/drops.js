// What was dropped, why, and what helps.

import { byId, make, show } from "./dom.js";

const WINDOW_MS = 10000;
const STATUS_SLACK_MS = 4000;  // the status is asked for every three seconds

const ROWS = [
  ["captured", "came from the camera"],
  ["transitional", "dropped while the exposure changed"],
  ["dropped", "lost or left out before fusion"],
  ["fused", "fused"],
  ["published", "published"],
  ["gaps", "lost on the way to this page's server"],
];

/** Reasons and remedies, from counts of the last seconds. Pure.
 *  recent: {captured, transitional, dropped, fused, gaps, seconds}, and where it is known {restarted}: names of processes, and
 *  {byCamera}: share of the drops that camera or driver lost, 0..1; fusionMs: time that fusion takes for a frame. */
export function explained(recent, fusionMs) {
  const { captured, dropped, transitional, gaps, seconds, restarted = [], byCamera = null } = recent;
  const share = captured > 0 ? dropped / captured : 0;
  const cameraFps = seconds > 0 ? captured / seconds : 0;
  if (restarted.length) {
    return {
      words: `${restarted.join(" and ")} started again a moment ago. Frames that came meanwhile were left out.`,
      help: ["nothing, if somebody asked for it; else the reason stands at the process, at the end of this page"],
    };
  }
  if (dropped > 0 && byCamera !== null && byCamera > 0.5) {
    return {
      words: "The camera or its driver lost frames before livemef had them.",
      help: ["for USB cameras: a port of its own, USB 3, a shorter cable", "a smaller picture size of the camera", "fewer frames a second of the camera",
        "end other programs on this machine"],
    };
  }
  if (dropped > 0 && share > 0.02 && fusionMs !== null && cameraFps > 0 && fusionMs > 900 / cameraFps) {
    return {
      words: `Fusion takes ${fusionMs.toFixed(0)} ms a frame, but the camera delivers one every ${(1000 / cameraFps).toFixed(0)} ms. ` +
        "Frames are left out so that the picture stays current: nothing waits in a queue.",
      help: ["a lower number of network lines", "motion global, or off where nothing moves", "a smaller picture size of the camera",
        "fewer frames a second of the camera", "a GPU, or a machine with more cores (see livemef doctor)"],
    };
  }
  const camera = byCamera === null ? ["for USB cameras: a port of its own, USB 3, a shorter cable"] : [];
  if (dropped > 0 && share > 0.1) {
    return {
      words: `${(100 * share).toFixed(0)} % of the frames are left out, though fusion computes only ${fusionMs === null ? "a part of the time" : `${fusionMs.toFixed(0)} ms a frame`}: ` +
        "the machine has too little time for it, beside capture and whatever else runs.",
      help: ["end other programs on this machine", "fewer frames a second, or a smaller picture size of the camera", "JPEG for this page (Sent as), or close other pages", ...camera],
    };
  }
  if (dropped > 0) {
    return {
      words: `Single frames were left out, though fusion is fast enough on average: the machine was busy with something else for a moment${byCamera === null ? ", or the camera's driver lost them" : ""}.`,
      help: ["end other programs on this machine", ...camera, "livemef doctor names what is in the way"],
    };
  }
  const often = captured > 0 && transitional > 0.1 * captured;
  if (gaps > 0 && (!often || gaps > transitional)) {
    return {
      words: "All frames were fused, but some did not reach this page's server. Recordings and other receivers are not concerned.",
      help: ["codec jpeg for receivers across a network (publish.codec)", "a faster network, or fewer receivers"],
    };
  }
  if (often) {
    return {
      words: "The exposure changes often: frames between two exposures belong to neither and are left out.",
      help: ["hold the exposures, once auto has found them"],
    };
  }
  return { words: "Nothing was dropped in the last ten seconds.", help: [] };
}

export class Drops {
  constructor() {
    this._history = [];
    this._statuses = [];
    byId("drops").addEventListener("click", () => {
      this._fill();
      byId("drops-dialog").showModal();
    });
  }

  /** Note the counters of a message: {stats, header}. */
  take({ stats, header }) {
    if (!header) return;
    const now = performance.now();
    const counts = { ...header.pipeline, gaps: stats.gaps, at: now };
    const stages = Object.entries(header.latency_ms).filter(([name]) => !["exposure", "readout", "wait", "total"].includes(name));
    this._fusionMs = stages.length ? stages.reduce((sum, [, ms]) => sum + ms, 0) : null;
    const before = this._history.at(-1);
    if (before && ROWS.some(([name]) => counts[name] < before[name])) this._history = [];  // a process began anew
    this._history.push(counts);
    while (now - this._history[0].at > WINDOW_MS) this._history.shift();
    const lost = counts.dropped + counts.gaps, recent = this._recent();
    show("drops", lost.toLocaleString("en"), recent.dropped + recent.gaps > 0 ? "rising" : "", recent.dropped + recent.gaps > 0 ? "plain warn" : "plain");
    if (byId("drops-dialog").open) this._fill();
  }

  /** Note what GET /status says: where frames were lost, and which process started again. */
  note(status) {
    if (!status?.counters || !status.processes) return;
    const now = performance.now(), { dropped, superseded, not_taken: notTaken } = status.counters;
    const restarts = Object.entries(status.processes).map(([name, { restarts }]) => [name, restarts ?? 0]);
    this._statuses.push({ at: now, camera: dropped, after: superseded + notTaken, restarts: new Map(restarts) });
    while (now - this._statuses[0].at > WINDOW_MS + STATUS_SLACK_MS) this._statuses.shift();
  }

  _recent() {
    const [first, last] = [this._history[0], this._history.at(-1)];
    const recent = Object.fromEntries(ROWS.map(([name]) => [name, last[name] - first[name]]));
    return { ...recent, seconds: (last.at - first.at) / 1000, ...this._details() };
  }

  _details() {
    if (!this._statuses.length) return {};
    const [first, last] = [this._statuses[0], this._statuses.at(-1)];
    const camera = last.camera - first.camera, lost = camera + last.after - first.after;
    const restarted = ["capture", "fusion"].filter(name => last.restarts.get(name) > first.restarts.get(name));
    return { restarted, byCamera: lost > 0 ? camera / lost : null };
  }

  _fill() {
    if (!this._history.length) return;
    const recent = this._recent(), { words, help } = explained(recent, this._fusionMs);
    byId("drops-words").textContent = words;
    byId("drops-rows").replaceChildren(...ROWS.map(([name, meaning]) => make("tr", {},
      make("th", { scope: "row" }, meaning),
      make("td", {}, this._history.at(-1)[name].toLocaleString("en")),
      make("td", {}, recent[name].toLocaleString("en")))));
    byId("drops-help").replaceChildren(...(help.length ? help : ["nothing is needed"]).map(words => make("li", {}, words)));
  }
}
