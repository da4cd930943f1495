// The other side of the interoperation tests, in a browser or in Node.js: W3C's RTCPeerConnection.
// tests/interop/aiortc_far.py says what the messages mean.

const HIGH = 4 * 1024 * 1024; // bytes in the buffer at which a sender waits
const LOW = 1024 * 1024;

const hex = (buffer) =>
  [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const digest = async (bytes) => hex(await crypto.subtle.digest("SHA-256", bytes));

// The content of a message, which the other side makes as well: its number, again and again.
function content(number, size) {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 1) bytes[at] = (number >>> (24 - 8 * (at % 4))) & 0xff;
  return bytes;
}

export class Far {
  constructor(emit) {
    this.emit = emit;
    this.channels = new Map();
    this.sums = new Map();
    this.chain = Promise.resolve();
  }

  // One after the other, as they came.
  handle(message) {
    this.chain = this.chain
      .then(() => this[message.do](message))
      .catch((error) => this.emit("error", { text: `${message.do}: ${error}` }));
  }

  async start({ label }) {
    this.connection = new RTCPeerConnection({ iceServers: [] });
    this.connection.ondatachannel = ({ channel }) => {
      const { label, protocol, ordered, maxRetransmits, maxPacketLifeTime } = channel;
      this.take(channel);
      this.emit("channel", { label, protocol, ordered, maxRetransmits, maxPacketLifeTime });
    };
    if (label === null) return;
    this.open({ label, options: {} });
    await this.tell();
  }

  async description({ description }) {
    await this.connection.setRemoteDescription(description);
    this.emit("described");
    if (description.type === "offer") await this.tell();
  }

  async tell() {
    const connection = this.connection;
    await connection.setLocalDescription();
    while (connection.iceGatheringState !== "complete") {
      await new Promise((done) => {
        connection.addEventListener("icegatheringstatechange", done, { once: true });
      });
    }
    const { type, sdp } = connection.localDescription;
    this.emit("description", { description: { type, sdp } });
  }

  open({ label, options }) {
    this.take(this.connection.createDataChannel(label, options));
  }

  take(channel) {
    const { label } = channel;
    channel.binaryType = "arraybuffer";
    this.channels.set(label, channel);
    let order = Promise.resolve(); // hashing takes its time, the next message does not wait for it
    channel.onmessage = ({ data }) => {
      order = order.then(() => this.onMessage(label, data));
    };
    channel.onclose = () => {
      order = order.then(() => this.emit("closed", { label }));
    };
    if (channel.readyState === "open") this.emit("open", { label });
    else channel.onopen = () => this.emit("open", { label });
  }

  async onMessage(label, data) {
    const sum = this.sums.get(label);
    if (sum === undefined) {
      const kind = typeof data === "string" ? "text" : "binary";
      const bytes = kind === "text" ? new TextEncoder().encode(data) : new Uint8Array(data);
      this.emit("message", { label, kind, size: bytes.length, digest: await digest(bytes) });
      return;
    }
    sum.parts.push(new Uint8Array(data));
    sum.size += data.byteLength;
    if (sum.size < sum.enough) return;
    const all = new Uint8Array(sum.size);
    let at = 0;
    for (const part of sum.parts) {
      all.set(part, at);
      at += part.length;
    }
    this.sums.delete(label);
    this.emit("summed", { label, size: sum.size, digest: await digest(all) });
  }

  sum({ label, bytes }) {
    this.sums.set(label, { parts: [], size: 0, enough: bytes });
    this.emit("summing", { label });
  }

  send({ label, kind, number, size, text }) {
    const bytes = text === null ? content(number, size) : new TextEncoder().encode(text);
    this.channels.get(label).send(kind === "text" ? new TextDecoder().decode(bytes) : bytes);
  }

  pour({ label, count, size }) {
    const channel = this.channels.get(label);
    channel.bufferedAmountLowThreshold = LOW;
    let number = 0;
    const pour = () => {
      while (number < count && channel.bufferedAmount <= HIGH) {
        channel.send(content(number, size));
        number += 1;
      }
      if (number === count) channel.onbufferedamountlow = null;
    };
    channel.onbufferedamountlow = pour;
    pour();
  }

  close({ label }) {
    this.channels.get(label).close();
  }
}
