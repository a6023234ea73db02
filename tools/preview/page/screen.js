// The large picture: one WebGL2 shader draws one picture or two beside a line, with zebra, peaking and false colour.

const VERTEX = `#version 300 es
out vec2 at;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0;
  at = vec2(corner.x, 1.0 - corner.y);
  gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}`;

// Steps of false colour in per cent of luma; the colours are those that cameras commonly use.
export const FALSE_COLOURS = [
  [2.5, "#6f3fb5", "black"], [10, "#2f6fd6", "near black"], [38, null, ""], [42, "#39a845", "middle grey"],
  [52, null, ""], [56, "#e88fb0", "skin"], [97, null, ""], [99, "#ead43c", "near white"], [Infinity, "#e03a2f", "white"],
];

const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D leftPicture, rightPicture;
uniform float line, zebra, peaking, period;
uniform bool falseColour;
in vec2 at;
out vec4 colour;

float luma(vec3 rgb) { return dot(rgb, vec3(0.2126, 0.7152, 0.0722)); }

// Length of Sobel's gradient of the luma, in luma per pixel.
float edge(sampler2D picture, vec2 where) {
  vec2 step = 1.0 / vec2(textureSize(picture, 0));
  float near[9];
  for (int i = 0; i < 9; i++) near[i] = luma(texture(picture, where + step * vec2(i % 3 - 1, i / 3 - 1)).rgb);
  float across = near[2] + 2.0 * near[5] + near[8] - near[0] - 2.0 * near[3] - near[6];
  float down = near[6] + 2.0 * near[7] + near[8] - near[0] - 2.0 * near[1] - near[2];
  return length(vec2(across, down)) / 8.0;
}

vec3 falseColourOf(float y) {
  FALSE_STEPS
}

void main() {
  bool isLeft = at.x < line;
  vec3 rgb = isLeft ? texture(leftPicture, at).rgb : texture(rightPicture, at).rgb;
  float y = luma(rgb);
  vec3 drawn = falseColour ? falseColourOf(y) : rgb;
  if (zebra <= 1.0 && y >= zebra && mod(gl_FragCoord.x + gl_FragCoord.y, period) < 0.5 * period) drawn = vec3(y > 0.5 ? 0.05 : 0.95);
  if (peaking <= 1.0 && (isLeft ? edge(leftPicture, at) : edge(rightPicture, at)) >= peaking) drawn = vec3(1.0, 0.15, 0.1);
  colour = vec4(drawn, 1.0);
}`;

function fragment() {
  const steps = FALSE_COLOURS.map(([limit, colour]) => {
    const drawn = colour === null ? "vec3(y)" : `vec3(${[1, 3, 5].map(i => (parseInt(colour.slice(i, i + 2), 16) / 255).toFixed(4))})`;
    return Number.isFinite(limit) ? `if (y < ${(limit / 100).toFixed(4)}) return ${drawn};` : `return ${drawn};`;
  });
  return FRAGMENT.replace("FALSE_STEPS", steps.join("\n  "));
}

const STRIPES_CSS_PX = 10;

export const OFF = 2;  // of zebra and peaking: a threshold that nothing reaches

export class Screen {
  /** canvas: where to draw, at the left picture's own size. `works` is false without WebGL2: then only the left
   *  picture is drawn, without aids. overlaid: whether it lies over another canvas: then it must not claim to be opaque,
   *  or Chromium leaves out more of the one below than it covers. */
  constructor(canvas, overlaid = false) {
    this.canvas = canvas;
    this._wanted = { left: null, right: null, line: 1, zebra: OFF, peaking: OFF, falseColour: false };
    this._gl = canvas.getContext("webgl2", { alpha: overlaid, antialias: false, depth: false, preserveDrawingBuffer: true });
    this.works = this._gl !== null;
    new ResizeObserver(([entry]) => { this._width = entry.contentRect.width; }).observe(canvas);
    if (!this.works) {
      this._plain = canvas.getContext("2d", { alpha: false });
      return;
    }
    this._prepare();
    canvas.addEventListener("webglcontextlost", event => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => this._prepare());
  }

  /** Draw. left, right: bitmaps (right may be null); line: where the right one begins, 0..1 of the width; zebra: luma,
   *  0..1, from which stripes are drawn; peaking: luma per pixel from which an edge is coloured; OFF for neither. */
  draw(wanted) {
    Object.assign(this._wanted, wanted);
    const { left, right, line, zebra, peaking, falseColour } = this._wanted;
    if (left === null) return;
    if (this.canvas.width !== left.width || this.canvas.height !== left.height) {
      this.canvas.width = left.width;
      this.canvas.height = left.height;
    }
    if (!this.works) {
      this._plain.drawImage(left, 0, 0);
      return;
    }
    const gl = this._gl;
    if (gl.isContextLost()) return;
    gl.viewport(0, 0, left.width, left.height);
    this._upload(0, left);
    if (right !== null) this._upload(1, right);
    gl.uniform1f(this._places.line, right === null ? 2 : line);
    gl.uniform1f(this._places.zebra, zebra);
    gl.uniform1f(this._places.peaking, peaking);
    gl.uniform1f(this._places.period, Math.max(4, STRIPES_CSS_PX * left.width / (this._width || left.width)));
    gl.uniform1i(this._places.falseColour, falseColour ? 1 : 0);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  _prepare() {
    const gl = this._gl, program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment()]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(gl.getProgramInfoLog(program) || "the picture's shader does not link");
    }
    gl.useProgram(program);
    this._places = Object.fromEntries(
      ["line", "zebra", "peaking", "period", "falseColour"].map(name => [name, gl.getUniformLocation(program, name)]));
    gl.uniform1i(gl.getUniformLocation(program, "leftPicture"), 0);
    gl.uniform1i(gl.getUniformLocation(program, "rightPicture"), 1);
    this._uploaded = [null, null];
    for (const unit of [0, 1]) {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
      for (const [name, value] of [["MIN_FILTER", "LINEAR"], ["MAG_FILTER", "LINEAR"], ["WRAP_S", "CLAMP_TO_EDGE"], ["WRAP_T", "CLAMP_TO_EDGE"]]) {
        gl.texParameteri(gl.TEXTURE_2D, gl[`TEXTURE_${name}`], gl[value]);
      }
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    }
  }

  _upload(unit, bitmap) {
    if (this._uploaded[unit] === bitmap) return;
    const gl = this._gl;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    this._uploaded[unit] = bitmap;
  }
}
