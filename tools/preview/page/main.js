const byId = id => document.getElementById(id);
const query = location.search;
const colours = ["#6d93c4", "#7fb0a2", "#c2a86b", "#b98672", "#9a86b8", "#88a06a", "#7d8894"];
const verdicts = { good: ["good", "good"], gap: ["frames missing", "warn"], predicted: ["predicted", "warn"] };
const SILENT_S = 2;

let socket = null, paused = false, heardAt = performance.now(), silentS = 0, everSeen = false, retryMs = 300;
let waiting = false, drawing = false;
const drawnAt = [];

byId("snapshot").href = "snapshot.png" + query;

function connect() {
  const line = new URL(`ws${query}`, location.href);  // beside the page: a proxy may have put it below another path
  line.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  line.hash = "";
  socket = new WebSocket(line);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { retryMs = 300; waiting = false; ask(); };
  socket.onmessage = async event => {
    waiting = false;
    drawing = true;
    try {
      if (typeof event.data === "string") note(JSON.parse(event.data));
      else await draw(event.data);
    } finally {
      drawing = false;
    }
    ask();
  };
  socket.onclose = () => {
    socket = null;
    setTimeout(connect, retryMs);
    retryMs = Math.min(2000, retryMs * 1.7);
  };
}

// One request, one answer: a browser that draws slowly asks seldom, and always gets the newest picture.
function ask() {
  if (waiting || drawing || paused || document.hidden || !isOpen()) return;
  waiting = true;
  socket.send("next");
}

function isOpen() {
  return socket !== null && socket.readyState === WebSocket.OPEN;
}

// Nothing is sent, nor encoded, for a page that nobody looks at.
function rest() {
  if (isOpen()) socket.send("pause");
}

async function draw(buffer) {
  const length = new DataView(buffer).getUint32(0);
  const description = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  const bitmaps = await Promise.all(description.pictures.map(picture => {
    const jpeg = new Blob([new Uint8Array(buffer, at, picture.bytes)], { type: "image/jpeg" });
    at += picture.bytes;
    return createImageBitmap(jpeg);
  }));
  await new Promise(resolve => document.hidden ? resolve() : requestAnimationFrame(resolve));
  description.pictures.forEach((picture, index) => paint(picture, bitmaps[index]));
  drawnAt.push(performance.now());
  note(description);
}

function paint(picture, bitmap) {
  const canvas = canvasOf(picture);
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
  canvas.dataset.seq = picture.seq;
  bitmap.close();
}

function canvasOf(picture) {
  const id = picture.topic.replace("/", "-");
  if (id === "fused") return byId(id);
  let canvas = byId(id);
  if (!canvas) {
    const figure = document.createElement("figure");
    canvas = document.createElement("canvas");
    canvas.id = id;
    const caption = document.createElement("figcaption");
    caption.append(document.createElement("b"), document.createElement("span"));
    figure.append(canvas, caption);
    figure.dataset.index = picture.topic === "motion" ? Infinity : picture.topic.split("/")[1];
    const column = byId("exposures");
    const after = [...column.children].find(other => Number(other.dataset.index) > Number(figure.dataset.index));
    column.insertBefore(figure, after || null);
  }
  const caption = canvas.parentElement.querySelector("figcaption");
  picture.topic === "motion" ? describeMotion(caption, picture.motion) : describeExposure(caption, picture);
  return canvas;
}

function describeExposure(caption, picture) {
  const [name, detail] = caption.children;
  const exposure = picture.source && (picture.source.measured || picture.source.requested);
  name.textContent = exposure ? duration(exposure.exposure_us) : "Exposure " + picture.topic.split("/")[1];
  const known = exposure ? (picture.source.measured ? "measured" : "requested") : "";
  const gain = exposure && exposure.gain !== 1 ? `gain ${exposure.gain.toFixed(1)}, ` : "";
  detail.textContent = gain + known;
}

function describeMotion(caption, motion) {
  const [name, detail] = caption.children;
  name.textContent = "Motion";
  const [right, down] = motion.shift_px;
  const shift = right || down ? `, shift ${right.toFixed(1)}, ${down.toFixed(1)} px` : "";
  detail.textContent = `${(100 * motion.share).toFixed(1)} % newest exposure alone${shift}`;
  detail.title = "White: where the picture shows the newest exposure alone. Shift: how far the other one was moved.";
}

function duration(us) {
  if (us < 1000) return us.toFixed(0) + " µs";
  if (us < 1e6) return (us / 1000).toPrecision(3).replace(/\.?0+$/, "") + " ms";
  return (us / 1e6).toFixed(2) + " s";
}

function note(message) {
  heardAt = performance.now();
  const { stats, header } = message;
  silentS = stats.silent_s;
  show("rate", stats.fps.toFixed(1), "fps");
  show("latency", stats.latency_ms === null ? "–" : stats.latency_ms.toFixed(0), stats.latency_ms === null ? "" : "ms");
  if (header) describe(header, stats);
  everSeen = everSeen || header !== null;
  refresh();
}

function describe(header, stats) {
  show("gap", header.ev_gap === null ? "unknown" : header.ev_gap.toFixed(1), header.ev_gap === null ? "" : "EV");
  const [word, kind] = verdicts[header.verdict] || [header.verdict, "warn"];
  show("verdict", word, "", kind);
  show("drops", header.pipeline.dropped.toLocaleString("en"));
  byId("drops").title = `Camera frames lost before fusion. Fused frames lost on the way to this page: ${stats.gaps}`;
  show("size", `${header.width} × ${header.height}`, header.encoding === "bgr16" ? "16 bit" : "");
  show("device", header.device || "–");
  show("model", header.model_sha256.slice(0, 8) || "–");
  byId("model").title = header.model_sha256;
  byId("fused-caption").textContent = settings(header.fusion);
  showStages(Object.entries(header.latency_ms));
}

function settings(fusion) {
  const lines = fusion.network_lines === undefined ? "" : `network ${fusion.network_lines || "full size"}${fusion.network_lines ? " lines" : ""}`;
  const names = ["gamma", "colour", ...(fusion.colour === "tone" ? [] : ["chroma"]), "motion"];  // tone has no use for chroma
  const known = names.filter(name => fusion[name] !== undefined).map(name => `${name} ${fusion[name]}`);
  return [lines, ...known].filter(Boolean).join(", ");
}

function show(id, value, unit = "", kind = "") {
  const element = byId(id);
  element.className = kind;
  element.replaceChildren(value);
  if (unit) {
    const small = document.createElement("small");
    small.textContent = " " + unit;
    element.append(small);
  }
}

function showStages(stages) {
  const parts = stages.filter(([name]) => name !== "total");
  byId("stages").replaceChildren(...parts.map(([, ms], index) => {
    const bar = document.createElement("i");
    bar.style.flex = String(Math.max(ms, 0));
    bar.style.background = colours[index % colours.length];
    return bar;
  }));
  byId("legend").replaceChildren(...stages.map(([name, ms]) => {
    const entry = document.createElement("span"), dot = document.createElement("i");
    const index = parts.findIndex(([other]) => other === name);
    if (index >= 0) { dot.style.background = colours[index % colours.length]; entry.append(dot); }
    entry.append(`${name.replaceAll("_", " ")} ${ms.toFixed(1)} ms`);
    return entry;
  }));
}

// What the page says of itself, kept true while nothing arrives.
function refresh() {
  const now = performance.now();
  while (drawnAt.length && now - drawnAt[0] > 2000) drawnAt.shift();
  const silent = silentS + (now - heardAt) / 1000;
  const lost = !isOpen();
  let state = "live", words = `live, ${(drawnAt.length / 2).toFixed(0)} fps shown`, notice = "";
  if (lost) {
    [state, words] = ["lost", "reconnecting"];
    notice = "The preview server does not answer. Trying again.";
  } else if (paused) {
    [state, words] = ["paused", "paused"];
  } else if (silent > SILENT_S) {
    [state, words] = ["silent", "no frames"];
    notice = everSeen ? `No frames since ${since(silent)}` : `No frames yet, waiting for ${since(silent)}`;
  }
  byId("state").className = state;
  byId("state").textContent = words;
  byId("notice").textContent = notice;
  byId("notice").hidden = !notice;
}

function since(seconds) {
  if (seconds < 60) return seconds.toFixed(1) + " s";
  return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}

function setPaused(value) {
  paused = value;
  byId("pause").textContent = paused ? "Resume" : "Pause";
  byId("pause").setAttribute("aria-pressed", String(paused));
  paused ? rest() : ask();
  refresh();
}

byId("pause").addEventListener("click", () => setPaused(!paused));
document.addEventListener("keydown", event => {
  if (event.code === "Space" && event.target === document.body) { event.preventDefault(); setPaused(!paused); }
});
document.addEventListener("visibilitychange", () => { document.hidden ? rest() : ask(); });
setInterval(refresh, 250);
connect();
