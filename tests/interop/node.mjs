// The other side in Node.js, on libdatachannel or on werift: JSON lines in, JSON lines out.
// node node.mjs node-datachannel|werift [STUN URL]

import { webcrypto } from "node:crypto";
import process from "node:process";
import readline from "node:readline";
import { Far } from "./far.mjs";

const now = () => Number(process.hrtime.bigint()) / 1e9; // the clock of Python's time.monotonic()
const emit = (event, details = {}) =>
  process.stdout.write(JSON.stringify({ event, at: now(), ...details }) + "\n");
const log = (level, text) => process.stderr.write(`${now().toFixed(3)} ${level} ${text}\n`);

async function libdatachannel() {
  const { initLogger } = await import("node-datachannel");
  initLogger(process.env.ICEFLOE_LAB_LOG === "DEBUG" ? "Verbose" : "Warning", log);
  return import("node-datachannel/polyfill");
}

const load = { "node-datachannel": libdatachannel, werift: () => import("./werift.mjs") };
globalThis.crypto ??= webcrypto;
globalThis.RTCPeerConnection = (await load[process.argv[2]]()).RTCPeerConnection;

const far = new Far(emit);
emit("ready");
for await (const line of readline.createInterface({ input: process.stdin })) {
  far.handle(JSON.parse(line));
}
process.exit(0);
