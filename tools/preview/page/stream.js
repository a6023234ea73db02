// The stream's numbers: state, rates, stages of a frame, what is in force.

import { byId, make, show, since } from "./dom.js";

const COLOURS = ["#6d93c4", "#7fb0a2", "#c2a86b", "#b98672", "#9a86b8", "#88a06a", "#7d8894"];
const VERDICTS = { good: ["good", "good"], gap: ["frames lost", "warn"], predicted: ["predicted", "warn"] };
const SILENT_S = 2;

/** Numbers of a message of the WebSocket: {stats, header}. */
export function describe({ stats, header }) {
  show("rate", stats.fps.toFixed(stats.fps < 9.95 ? 1 : 0), "fps");
  show("latency", stats.latency_ms === null ? "–" : stats.latency_ms.toFixed(0), stats.latency_ms === null ? "" : "ms");
  const spent = Object.values(stats.after_readout_by_exposure_ms).map((ms) => ms.toFixed(1));
  byId("latency").title = spent.length ? `${spent.join(" / ")} ms of it after the last row was read, by the newest frame's exposure, dark to bright` : "";
  if (!header) return;
  show("gap", header.ev_gap === null ? "unknown" : header.ev_gap.toFixed(1), header.ev_gap === null ? "" : "EV");
  const [word, kind] = VERDICTS[header.verdict] || [header.verdict, "warn"];
  show("verdict", word, "", kind);
  show("size", `${header.width} × ${header.height}`, header.encoding === "bgr16" ? "16 bit" : "");
  show("device", header.device || "–", "", header.device.includes("failed") ? "warn" : "");
  show("model", header.model_sha256.slice(0, 8) || "–");
  byId("model").title = header.model_sha256;
  if (header.settings_rev !== undefined) {
    byId("revision").textContent = header.settings_rev;
    byId("revision-item").hidden = false;
  }
  byId("fused-caption").textContent = settings(header.fusion);
  showStages(Object.entries(header.latency_ms));
}

function settings(fusion) {
  const lines = fusion.network_lines === undefined ? "" : `network ${fusion.network_lines || "full size"}${fusion.network_lines ? " lines" : ""}`;
  const names = ["gamma", "colour", ...(fusion.colour === "tone" ? [] : ["chroma"]), "motion"];  // tone has no use for chroma
  const known = names.filter(name => fusion[name] !== undefined).map(name => `${name} ${fusion[name]}`);
  return [lines, ...known].filter(Boolean).join(", ");
}

function showStages(stages) {
  const parts = stages.filter(([name]) => name !== "total");
  byId("stages").replaceChildren(...parts.map(([, ms], index) => {
    const bar = make("i");
    bar.style.flex = String(Math.max(ms, 0));
    bar.style.background = COLOURS[index % COLOURS.length];
    return bar;
  }));
  byId("legend").replaceChildren(...stages.map(([name, ms]) => {
    const entry = make("li"), index = parts.findIndex(([other]) => other === name);
    if (index >= 0) {
      const dot = make("i");
      dot.style.background = COLOURS[index % COLOURS.length];
      entry.append(dot);
    }
    entry.append(`${name.replaceAll("_", " ")} ${ms.toFixed(1)} ms`);
    return entry;
  }));
}

/** What the page says of itself, kept true while nothing arrives. */
export function describeState(feed, everSeen) {
  const silent = feed.silence;
  let state = "live", words = "live", notice = "";
  if (!feed.isOpen) {
    [state, words] = ["lost", "reconnecting"];
    notice = "The preview server does not answer. Trying again.";
  } else if (feed.paused) {
    [state, words] = ["paused", "paused"];
  } else if (silent > SILENT_S) {
    [state, words] = ["silent", "no frames"];
    notice = everSeen ? `No frames since ${since(silent)}` : `No frames yet, waiting for ${since(silent)}`;
  }
  byId("state").className = `state ${state}`;
  if (byId("state").textContent !== words) byId("state").textContent = words;  // a screen reader reads each change
  show("shown", feed.rate.toFixed(feed.rate < 9.95 ? 1 : 0), "fps");
  byId("notice").textContent = notice;
  byId("notice").hidden = !notice;
}
