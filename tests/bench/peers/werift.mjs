// werift: WebRTC in TypeScript.

import { RTCPeerConnection } from "werift";

class Channel {
  #channel;

  constructor(channel) {
    this.#channel = channel;
  }

  onMessage(handler) {
    this.#channel.onMessage.subscribe(handler);
  }

  send(message) {
    this.#channel.send(message);
  }

  buffered() {
    return this.#channel.bufferedAmount;
  }

  onLow(threshold, handler) {
    this.#channel.bufferedAmountLowThreshold = threshold;
    this.#channel.bufferedAmountLow.subscribe(handler);
  }
}

export class Peer {
  #emit;
  #connection = new RTCPeerConnection({ iceServers: [], bundlePolicy: "max-bundle" });

  constructor(emit) {
    this.#emit = emit;
    this.#connection.onDataChannel.subscribe((channel) => this.#take(channel));
  }

  #take(channel) {
    const open = () => this.onChannel(new Channel(channel));
    if (channel.readyState === "open") open();
    else channel.stateChanged.subscribe((state) => state === "open" && open());
  }

  async start(offerer) {
    if (!offerer) return;
    this.#take(this.#connection.createDataChannel("bench"));
    await this.#connection.setLocalDescription(await this.#connection.createOffer());
    this.#tell();
  }

  async describe(description) {
    await this.#connection.setRemoteDescription(description);
    if (description.type !== "offer") return;
    await this.#connection.setLocalDescription(await this.#connection.createAnswer());
    this.#tell();
  }

  #tell() {
    const { type, sdp } = this.#connection.localDescription;
    this.#emit("description", { description: { type, sdp } });
  }
}
