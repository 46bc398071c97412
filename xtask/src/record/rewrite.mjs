// Writes a recording anew with the MCAP package of npm: it finds the messages by the index, in the order of their log
// times, and puts them into chunks of its own. The recording is one without compression.
//
// usage: rewrite.mjs PACKAGES FROM TO CHUNK
import { createRequire } from "node:module";
import { open } from "node:fs/promises";

const [packages, from, to, chunk] = process.argv.slice(2);
const { McapIndexedReader, McapWriter } = createRequire(`${packages}/`)("@mcap/core");

class Input {
  constructor(file) {
    this.file = file;
  }
  async size() {
    return BigInt((await this.file.stat()).size);
  }
  async read(offset, length) {
    const buffer = new Uint8Array(Number(length));
    const { bytesRead } = await this.file.read(buffer, 0, buffer.length, Number(offset));
    if (bytesRead !== buffer.length) {
      throw new Error(`${bytesRead} of ${length} bytes at ${offset}`);
    }
    return buffer;
  }
}

class Output {
  constructor(file) {
    this.file = file;
    this.at = 0n;
  }
  position() {
    return this.at;
  }
  async write(buffer) {
    await this.file.write(buffer, 0, buffer.length, Number(this.at));
    this.at += BigInt(buffer.length);
  }
}

const input = await open(from, "r");
const output = await open(to, "w");
const reader = await McapIndexedReader.Initialize({ readable: new Input(input) });
const writer = new McapWriter({ writable: new Output(output), chunkSize: Number(chunk) });
await writer.start({ profile: "", library: "somebody else" });
const schemas = new Map();
const channels = new Map();
let count = 0;
for await (const message of reader.readMessages()) {
  const channel = reader.channelsById.get(message.channelId);
  const schema = reader.schemasById.get(channel.schemaId);
  if (!schemas.has(schema.id)) {
    schemas.set(schema.id, await writer.registerSchema(schema));
  }
  if (!channels.has(channel.id)) {
    channels.set(channel.id, await writer.registerChannel({ ...channel, schemaId: schemas.get(schema.id) }));
  }
  await writer.addMessage({ ...message, channelId: channels.get(channel.id) });
  count += 1;
}
await writer.end();
await input.close();
await output.close();
console.log(`${count} messages`);
