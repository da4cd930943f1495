// What a peer of the data benchmark does in JavaScript, in Node.js or in a page;
// tests/bench/peers/program.py says what the messages mean.

const HIGH = 1024 * 1024; // bytes in the buffer at which the sender waits
const LOW = 256 * 1024; // bytes at which it goes on
const YIELD_AFTER = 64; // messages after which everything else has its turn
const SAMPLE_EVERY = 0.1;

const filled = (size) =>
  globalThis.Buffer ? Buffer.alloc(size, 0x5a) : new Uint8Array(size).fill(0x5a);
const afterTheOthers = globalThis.setImmediate ?? setTimeout;

class Traffic {
  constructor(channel, emit, now) {
    this.channel = channel;
    this.emit = emit;
    this.now = now;
    this.onMessage = () => {};
    this.report = () => emit("received", { samples: [] });
    channel.onMessage((data) => this.onMessage(data));
  }

  receive({ bytes }) {
    const samples = [[this.now(), 0, 0]];
    let [size, messages, told] = [0, 0, false];
    this.report = () => {
      if (told) return;
      told = true;
      this.emit("received", { samples: [...samples, [this.now(), size, messages]] });
    };
    this.onMessage = (data) => {
      size += data.byteLength;
      messages += 1;
      const at = this.now();
      if (at - samples.at(-1)[0] >= SAMPLE_EVERY) samples.push([at, size, messages]);
      if (bytes && size >= bytes) this.report();
    };
    this.emit("receiving");
  }

  send({ size, seconds, bytes }) {
    const message = filled(size);
    const until = this.now() + seconds;
    let [sent, done] = [0, false];
    const pour = () => {
      for (let count = 0; !done; count += 1) {
        if (this.channel.buffered() > HIGH) return; // the event calls again
        if (count === YIELD_AFTER) return void afterTheOthers(pour);
        if (this.now() >= until || (bytes && sent >= bytes)) {
          done = true;
          this.emit("sent", { bytes: sent });
          return;
        }
        this.channel.send(message);
        sent += size;
      }
    };
    this.channel.onLow(LOW, pour);
    this.emit("sending");
    pour();
  }

  echo() {
    this.onMessage = (data) => this.channel.send(data);
    this.emit("echoing");
  }

  ping({ size, seconds, count }) {
    const message = filled(size);
    const until = this.now() + seconds;
    const trips = [];
    let begun = this.now();
    this.onMessage = () => {
      const at = this.now();
      trips.push(at - begun);
      if (trips.length === count || at >= until) return this.emit("pinged", { trips });
      begun = this.now();
      this.channel.send(message);
    };
    this.channel.send(message);
  }
}

// Returns the function that does what a message says.
export function follow(peer, emit, now) {
  let traffic = null;
  peer.onChannel = (channel) => {
    traffic = new Traffic(channel, emit, now);
    emit("open");
  };
  return async (message) => {
    if (message.do === "start") await peer.start(message.offerer);
    else if (message.do === "description") await peer.describe(message.description);
    else traffic[message.do](message);
  };
}
