// A peer of the data benchmark in Node.js: JSON lines in, JSON lines out.
// node main.mjs werift|node_datachannel

import process from "node:process";
import readline from "node:readline";
import { follow } from "./traffic.mjs";

const now = () => Number(process.hrtime.bigint()) / 1e9; // the clock of Python's time.monotonic()
const emit = (event, details = {}) =>
  process.stdout.write(JSON.stringify({ event, at: now(), ...details }) + "\n");

const { Peer } = await import(`./${process.argv[2]}.mjs`);
const handle = follow(new Peer(emit), emit, now);
emit("ready");
for await (const line of readline.createInterface({ input: process.stdin })) {
  await handle(JSON.parse(line));
}
process.exit(0);
