// Receive fused frames in node and write the first as PPM: npm install zeromq && node subscribe.mjs ENDPOINT out.ppm
// docs/wire.md describes the message.
import { writeFileSync } from "node:fs";
import { Subscriber } from "zeromq";

const [endpoint, output] = process.argv.slice(2);
const socket = new Subscriber({ receiveHighWaterMark: 2, receiveTimeout: 30000 });
socket.connect(endpoint);
socket.subscribe("fused");

const [, text, payload] = await socket.receive();
const header = JSON.parse(text.toString());
const { width, height, step, seq } = header;
if (header.codec !== "raw" || header.encoding !== "bgr8") throw new Error(`not a raw 8-bit picture: ${text}`);

const rgb = Buffer.alloc(3 * width * height);
for (let row = 0; row < height; row++)
  for (let column = 0; column < width; column++) {
    const from = row * step + 3 * column;
    const to = 3 * (row * width + column);
    for (let channel = 0; channel < 3; channel++) rgb[to + channel] = payload[from + 2 - channel];
  }
writeFileSync(output, Buffer.concat([Buffer.from(`P6 ${width} ${height} 255\n`), rgb]));
console.log(`frame ${seq}: ${width}x${height}`);
socket.close();
