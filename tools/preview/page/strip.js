// The small pictures below the large one: each exposure with its histogram, the mask, histogram and waveform of the fused picture.

import { byId, duration, make, percent } from "./dom.js";
import { exposureOf, MOTION } from "./views.js";
import { drawHistogram, drawWaveform } from "./scopes.js";

export class Strip {
  constructor(views) {
    this._views = views;
    this._figures = new Map();
  }

  /** Draw what has come. */
  take(message, pictures) {
    const scopes = message.scopes ?? {};
    const wanted = [...this._views.exposures, ...(pictures.has(MOTION) ? [MOTION] : [])];
    if (wanted.join() !== [...this._figures.keys()].join()) this._arrange(wanted);
    for (const topic of wanted) {
      const figure = this._figures.get(topic), { bitmap, description } = pictures.get(topic);
      drawBitmap(figure.canvas, bitmap);
      figure.canvas.dataset.seq = description.seq;
      if (topic === MOTION) describeMotion(figure, description.motion);
      else describeExposure(figure, description, scopes[topic], topic === this._views.exposures.at(-1));
    }
    this._fused(scopes.fused, pictures.get("waveform/fused")?.bitmap);
  }

  _arrange(topics) {
    this._figures.clear();
    const strip = byId("strip");
    strip.replaceChildren(...topics.map(topic => {
      const canvas = make("canvas", { id: topic.replace("/", "-"), width: 16, height: 9, "aria-hidden": "true" });
      const name = this._views.name(topic);
      const button = make("button", { type: "button", className: "thumb", "aria-label": `${name}: show large` }, canvas);
      button.addEventListener("click", () => this._views.choose(topic));
      const histogram = make("canvas", { className: "histogram", width: 256, height: 56, hidden: true, role: "img" });
      histogram.setAttribute("aria-label", `Histogram, ${name}`);
      const caption = make("figcaption", {}, make("b", {}, name), make("span"));
      const figure = make("figure", {}, button, histogram, caption);
      this._figures.set(topic, { canvas, histogram, name: caption.firstChild, detail: caption.lastChild });
      return figure;
    }));
    const histogram = make("canvas", { id: "fused-histogram", className: "histogram", width: 256, height: 128, role: "img", "aria-label": "Histogram, fused" });
    const waveform = make("canvas", { id: "fused-waveform", className: "waveform", width: 512, height: 256, role: "img", "aria-label": "Waveform, fused" });
    this._histogram = make("figure", { className: "scope", hidden: true }, histogram, make("figcaption", {}, make("b", {}, "Fused"), make("span", {}, "histogram")));
    this._waveform = make("figure", { className: "scope", hidden: true }, waveform, make("figcaption", {}, make("b", {}, "Fused"), make("span", {}, "waveform")));
    strip.append(this._histogram, this._waveform);
  }

  _fused(scope, waveform) {
    if (!this._histogram) return;
    this._histogram.hidden = !scope;
    this._waveform.hidden = !waveform;
    if (scope) drawHistogram(this._histogram.firstChild, scope.histogram);
    if (waveform) drawWaveform(this._waveform.firstChild, waveform);
  }
}

function drawBitmap(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
}

// In short: of the brightest exposure the dark share counts, of the others the clipped one; the title has both.
function describeExposure(figure, picture, scope, isBrightest) {
  const exposure = exposureOf(picture);
  const gain = exposure && exposure.gain !== 1 ? `gain ${exposure.gain.toFixed(1)}` : "";
  const share = !scope ? "" : isBrightest ? `dark ${percent(scope.dark)}` : `clip ${percent(scope.clipped)}`;
  const known = exposure && !picture.source.measured ? "requested" : "";
  figure.detail.textContent = [exposure ? duration(exposure.exposure_us) : "", gain, known, share].filter(Boolean).join(", ");
  const both = scope ? `Clipped ${percent(scope.clipped)}, dark ${percent(scope.dark)}. ` : "";
  figure.detail.title = `${both}${picture.source?.measured ? "Exposure as the camera measured it." : "Exposure as it was asked of the camera."}`;
  figure.histogram.hidden = !scope;
  if (scope) drawHistogram(figure.histogram, scope.histogram);
}

function describeMotion(figure, motion) {
  if (!motion) return;
  const [right, down] = motion.shift_px;
  const shift = right || down ? `, shift ${right.toFixed(1)}, ${down.toFixed(1)} px` : "";
  figure.detail.textContent = `${(100 * motion.share).toFixed(1)} % alone${shift}`;
  figure.detail.title = "White: where the picture shows the newest exposure alone. Shift: how far the other one was moved.";
}
