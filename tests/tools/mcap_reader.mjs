// The reader of MCAP that Foxglove's own programs use (npm: @mcap/core): node mcap_reader.mjs FOLDER-OF-NODE_MODULES FILE
// Prints one line of JSON: topics with their schema, encoding, times, and the last message's bytes (base64).

import { open } from "node:fs/promises";
import { createRequire } from "node:module";

const [folder, path] = process.argv.slice(2);
const { McapIndexedReader } = createRequire(`${folder}/`)("@mcap/core");
const file = await open(path);
const readable = {
  size: async () => BigInt((await file.stat()).size),
  read: async (offset, length) => {
    const buffer = new Uint8Array(Number(length));
    await file.read(buffer, 0, Number(length), Number(offset));
    return buffer;
  },
};
const reader = await McapIndexedReader.Initialize({ readable });
const topics = {};
for await (const message of reader.readMessages()) {
  const channel = reader.channelsById.get(message.channelId), schema = reader.schemasById.get(channel.schemaId);
  const found = topics[channel.topic] ??= { schema: schema?.name, encoding: channel.messageEncoding, times: [] };
  found.times.push(String(message.logTime));
  found.last = Buffer.from(message.data).toString("base64");
}
console.log(JSON.stringify(topics));
