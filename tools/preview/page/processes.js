// The pipeline's processes: how they are, and starting one again.

import { byId, confirmed, make } from "./dom.js";

const STARTED_AGAIN = {
  capture: "No pictures for about a second. Settings stay as they are.",
  fusion: "No pictures for about two seconds. Settings stay as they are; receivers reconnect by themselves.",
  gate: "This page's server. The page reconnects by itself; the pipeline goes on.",
};

/** Show what GET /status says of them. */
export function describeProcesses(settings) {
  const { status, mayControl } = settings, list = byId("processes");
  list.hidden = !status.control || !status.processes;
  byId("camera").textContent = byId("camera").title = status.camera?.name ?? "–";
  if (list.hidden) return;
  const key = JSON.stringify([status.processes, mayControl]);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...Object.entries(status.processes).map(([name, process]) => {
    const restarts = process.restarts ? `, started again ${process.restarts} ${process.restarts === 1 ? "time" : "times"}` : "";
    const words = make("span", { className: process.state === "working" ? "quiet" : "warn", title: process.reason ?? "" }, `${process.state ?? "?"}${restarts}`);
    const button = make("button", { type: "button", className: "small", disabled: !mayControl, "aria-label": `Restart ${name}` }, "Restart");
    const asked = name === "preview" ? "gate" : name;
    button.addEventListener("click", async () => {
      if (await confirmed(`Restart ${name}?`, STARTED_AGAIN[asked] ?? "", "Restart")) settings.act("POST", "restart", { process: asked });
    });
    return make("li", {}, make("span", {}, name), words, button);
  }));
}
