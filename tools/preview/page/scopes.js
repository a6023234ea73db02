// Histogram and waveform, as measured by the server in the real exposures.

const COLOURS = { r: "#c8473f", g: "#3f9048", b: "#3c63c8" };
const QUIET = "rgba(255, 255, 255, .16)";

/** histogram: {r, g, b, y}: counts by level, of 256. */
export function drawHistogram(canvas, histogram) {
  const { width, height } = canvas, context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  grid(context, width, height, [0.25, 0.5, 0.75], true);
  // The two ends are often a hundred times the rest: they must not flatten it.
  const inner = ["r", "g", "b", "y"].flatMap(name => histogram[name].slice(1, -1));
  const most = Math.max(1, ...inner) * 1.05;
  const lineOf = counts => {
    const path = new Path2D();
    path.moveTo(0, height);
    counts.forEach((count, level) => path.lineTo((level + 0.5) * width / counts.length, height * (1 - Math.min(1, Math.sqrt(count / most)))));
    path.lineTo(width, height);
    return path;
  };
  context.globalCompositeOperation = "lighter";
  for (const [name, colour] of Object.entries(COLOURS)) {
    context.fillStyle = colour;
    context.globalAlpha = 0.5;
    context.fill(lineOf(histogram[name]));
  }
  context.globalAlpha = 1;
  context.strokeStyle = "rgba(255, 255, 255, .35)";
  context.stroke(lineOf(histogram.y));
  context.globalCompositeOperation = "source-over";
}

/** bitmap: grey, 256 columns by 128 rows, brightness the number of pixels. */
export function drawWaveform(canvas, bitmap) {
  const { width, height } = canvas, context = canvas.getContext("2d");
  context.globalCompositeOperation = "source-over";
  context.drawImage(bitmap, 0, 0, width, height);
  context.globalCompositeOperation = "multiply";
  context.fillStyle = "#b5f0c4";
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = "source-over";
  grid(context, width, height, [0.25, 0.5, 0.75], false);
}

function grid(context, width, height, shares, upright) {
  context.fillStyle = QUIET;
  for (const share of shares) {
    if (upright) context.fillRect(Math.round(share * width), 0, 1, height);
    else context.fillRect(0, Math.round(share * height), width, 1);
  }
}
