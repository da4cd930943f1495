// The other side in Node.js, on libdatachannel: JSON lines in, JSON lines out.

import { webcrypto } from "node:crypto";
import process from "node:process";
import readline from "node:readline";
import { initLogger } from "node-datachannel";
import { RTCPeerConnection } from "node-datachannel/polyfill";
import { Far } from "./far.mjs";

globalThis.crypto ??= webcrypto;
globalThis.RTCPeerConnection = RTCPeerConnection;

const now = () => Number(process.hrtime.bigint()) / 1e9; // the clock of Python's time.monotonic()
const emit = (event, details = {}) =>
  process.stdout.write(JSON.stringify({ event, at: now(), ...details }) + "\n");

const level = process.env.ICEFLOE_LAB_LOG === "DEBUG" ? "Verbose" : "Warning";
initLogger(level, (level, text) => process.stderr.write(`${now().toFixed(3)} ${level} ${text}\n`));

const far = new Far(emit);
emit("ready");
for await (const line of readline.createInterface({ input: process.stdin })) {
  far.handle(JSON.parse(line));
}
process.exit(0);
