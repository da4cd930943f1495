// A peer of the data benchmark in Node.js; tests/bench/peers/program.py says what its lines mean.
// node main.mjs werift|node_datachannel

import process from "node:process";
import readline from "node:readline";

const HIGH = 1024 * 1024; // bytes in the buffer at which the sender waits
const LOW = 256 * 1024; // bytes at which it goes on
const YIELD_AFTER = 64; // messages after which everything else has its turn
const SAMPLE_EVERY = 0.1;

const now = () => Number(process.hrtime.bigint()) / 1e9; // the clock of Python's time.monotonic()
const emit = (event, details = {}) =>
  process.stdout.write(JSON.stringify({ event, at: now(), ...details }) + "\n");

class Traffic {
  constructor(channel) {
    this.channel = channel;
    this.onMessage = () => {};
    this.report = () => emit("received", { samples: [] });
    channel.onMessage((data) => this.onMessage(data));
  }

  receive({ bytes }) {
    const samples = [[now(), 0, 0]];
    let [size, messages, told] = [0, 0, false];
    this.report = () => {
      if (told) return;
      told = true;
      emit("received", { samples: [...samples, [now(), size, messages]] });
    };
    this.onMessage = (data) => {
      size += data.length;
      messages += 1;
      const at = now();
      if (at - samples.at(-1)[0] >= SAMPLE_EVERY) samples.push([at, size, messages]);
      if (bytes && size >= bytes) this.report();
    };
    emit("receiving");
  }

  send({ size, seconds, bytes }) {
    const message = Buffer.alloc(size, 0x5a);
    const until = now() + seconds;
    let [sent, done] = [0, false];
    const pour = () => {
      for (let count = 0; !done; count += 1) {
        if (this.channel.buffered() > HIGH) return; // the event calls again
        if (count === YIELD_AFTER) return void setImmediate(pour);
        if (now() >= until || (bytes && sent >= bytes)) {
          done = true;
          emit("sent", { bytes: sent });
          return;
        }
        this.channel.send(message);
        sent += size;
      }
    };
    this.channel.onLow(LOW, pour);
    emit("sending");
    pour();
  }

  echo() {
    this.onMessage = (data) => this.channel.send(data);
    emit("echoing");
  }

  ping({ size, seconds, count }) {
    const message = Buffer.alloc(size, 0x5a);
    const until = now() + seconds;
    const trips = [];
    let begun = now();
    this.onMessage = () => {
      const at = now();
      trips.push(at - begun);
      if (trips.length === count || at >= until) return emit("pinged", { trips });
      begun = now();
      this.channel.send(message);
    };
    this.channel.send(message);
  }
}

const { Peer } = await import(`./${process.argv[2]}.mjs`);
const peer = new Peer(emit);
let traffic = null;
peer.onChannel = (channel) => {
  traffic = new Traffic(channel);
  emit("open");
};
emit("ready");
for await (const line of readline.createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.do === "start") await peer.start(message.offerer);
  else if (message.do === "description") await peer.describe(message.description);
  else traffic[message.do](message);
}
process.exit(0);
