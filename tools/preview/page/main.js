// The page: what each part does is in a module of its own; here they are put together.

import { address, call } from "./api.js";
import { Codec } from "./codec.js";
import { Controls } from "./controls.js";
import { byId, setPressed, toast } from "./dom.js";
import { Drops } from "./drops.js";
import { follow } from "./events.js";
import { Feed } from "./feed.js";
import { Field } from "./field.js";
import { Files } from "./files.js";
import { startKeys } from "./keys.js";
import { Loupe } from "./loupe.js";
import { describeProcesses } from "./processes.js";
import { Settings } from "./settings.js";
import { describe, describeState } from "./stream.js";
import { Strip } from "./strip.js";
import { Views } from "./views.js";

const STATUS_PERIOD_MS = 3000;
const SCOPES_FROM_PX = 500;

const drops = new Drops();
const settings = new Settings(() => {
  controls.refresh();
  files.refresh();
  drops.note(settings.status);
  describeProcesses(settings);
});
const controls = new Controls(settings);
const files = new Files(settings);
const views = new Views(() => feed.wish("large", `large ${views.large.join(" ")}`));
const strip = new Strip(views);
const field = new Field();
let everSeen = false;

const codec = new Codec();
const feed = new Feed(shown, idle, error => codec.broken(error));
const loupe = new Loupe(views, feed);

function shown(message, pictures) {
  codec.take(message);
  idle(message);
  loupe.take(message);
  views.take(message, pictures);
  strip.take(message, pictures);
  if (message.scopes) controls.scopes(message.scopes);
  nameSnapshot(message.header);
}

function idle(message) {
  everSeen = everSeen || message.header !== null;
  describe(message);
  drops.take(message);
  describeState(feed, everSeen);
}

// What is saved is the frame that is seen: while the page is paused, the server keeps that one.
function nameSnapshot({ stream, seq }) {
  byId("snapshot").href = address("snapshot.png", feed.paused ? { stream, seq } : {});
  nameSnapshot.last = { stream, seq };
}

function pause(value) {
  feed.paused = value;
  byId("pause").textContent = value ? "Resume" : "Pause";
  setPressed(byId("pause"), value);
  if (nameSnapshot.last) nameSnapshot(nameSnapshot.last);
  describeState(feed, everSeen);
}

async function fullscreen() {
  try {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await byId("stage").requestFullscreen();
  } catch {
    toast("This browser does not allow full screen here.");
  }
}

async function startControl() {
  try {
    if (!(await call("GET", "status")).control) return;  // it belongs to no pipeline: the page only looks
    await settings.read();
  } catch (error) {
    if (error.status === 0 || error.status === 503) setTimeout(startControl, STATUS_PERIOD_MS);
    return;
  }
  follow(heard, () => field.lost());
  setInterval(() => {
    if (!document.hidden) settings.readStatus().catch(() => {});
  }, STATUS_PERIOD_MS);
}

function heard(name, data) {
  if (name === "session" || name === "session_event") {
    field.heard(name, data);
    return;
  }
  if (name === "still" || name === "recording") files.heard(name, data);
  else if (name === "settings") controls.note(data);
  if (name === "hello" || name === "settings") settings.read().catch(() => {});
  else settings.readStatus().catch(() => {});
}

// Histograms cost the camera's machine time and the network bytes: only where there is room for them.
function wishScopes() {
  feed.wish("scopes", document.documentElement.clientWidth >= SCOPES_FROM_PX ? "scopes" : "no scopes");
}

byId("snapshot").href = address("snapshot.png");
byId("pause").addEventListener("click", () => pause(!feed.paused));
byId("fullscreen").addEventListener("click", fullscreen);
byId("help").addEventListener("click", () => byId("help-dialog").showModal());
document.addEventListener("fullscreenchange", () => setPressed(byId("fullscreen"), document.fullscreenElement !== null));
setInterval(() => {
  describeState(feed, everSeen);
  codec.describe();
}, 250);
startKeys([
  ["1", "fused; 2, 3, 4: exposures and mask", () => views.chooseNth(0)],
  ...[1, 2, 3, 4, 5, 6].map(n => [String(n + 1), "", () => views.chooseNth(n)]),
  ["S", "split: fused beside an exposure", () => views.choose(views.view === "split" ? "fused" : "split")],
  ["Z", "zebra: stripes where it is too bright", () => views.toggle("zebra")],
  ["P", "peaking: sharp edges in red", () => views.toggle("peaking")],
  ["F", "false colour: brightness as colours", () => views.toggle("false-colour")],
  ["L", "loupe, pixel for pixel; arrow keys move it", () => loupe.toggle()],
  ["A", "exposures: auto or hold", () => controls.auto()],
  ["[", "smaller exposure gap", () => controls.widen(-1 / 3)],
  ["]", "larger exposure gap", () => controls.widen(1 / 3)],
  ["-", "smaller gamma: brighter", () => controls.brighten(1 / 1.05)],
  ["=", "larger gamma: darker", () => controls.brighten(1.05)],
  [" ", "pause", () => pause(!feed.paused)],
  ["D", "save this frame", () => byId("snapshot").click()],
  ["Enter", "still: full resolution, 16 bits", () => files.still()],
  ["R", "record, stop", () => files.record()],
  ["X", "full screen", fullscreen],
  ["?", "this help", () => byId("help-dialog").showModal()],
  ["ArrowLeft", "", () => loupe.nudge(-0.02, 0)],
  ["ArrowRight", "", () => loupe.nudge(0.02, 0)],
  ["ArrowUp", "", () => loupe.nudge(0, -0.02)],
  ["ArrowDown", "", () => loupe.nudge(0, 0.02)],
]);
codec.start(feed);
wishScopes();
addEventListener("resize", wishScopes);
startControl();
