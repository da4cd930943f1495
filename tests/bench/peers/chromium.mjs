// A browser's own RTCPeerConnection.

class Channel {
  #channel;

  constructor(channel) {
    channel.binaryType = "arraybuffer";
    this.#channel = channel;
  }

  onMessage(handler) {
    this.#channel.onmessage = ({ data }) => handler(data);
  }

  send(message) {
    this.#channel.send(message);
  }

  buffered() {
    return this.#channel.bufferedAmount;
  }

  onLow(threshold, handler) {
    this.#channel.bufferedAmountLowThreshold = threshold;
    this.#channel.onbufferedamountlow = handler;
  }
}

export class Connection {
  #emit;
  connection = new RTCPeerConnection();

  constructor(emit) {
    this.#emit = emit;
  }

  async describe(description) {
    await this.connection.setRemoteDescription(description);
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
    this.#emit("description", { description: connection.localDescription.toJSON() });
  }
}

export class Peer extends Connection {
  constructor(emit) {
    super(emit);
    this.connection.ondatachannel = ({ channel }) => this.#take(channel);
  }

  #take(channel) {
    const open = () => this.onChannel(new Channel(channel));
    if (channel.readyState === "open") open();
    else channel.onopen = open;
  }

  async start(offerer) {
    if (!offerer) return;
    this.#take(this.connection.createDataChannel("bench"));
    await this.tell();
  }
}
