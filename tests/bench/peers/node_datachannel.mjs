// node-datachannel: libdatachannel, whose SCTP is usrsctp.

import { PeerConnection } from "node-datachannel";

class Channel {
  #channel;

  constructor(channel) {
    this.#channel = channel;
  }

  onMessage(handler) {
    this.#channel.onMessage(handler);
  }

  send(message) {
    this.#channel.sendMessageBinary(message);
  }

  buffered() {
    return this.#channel.bufferedAmount();
  }

  onLow(threshold, handler) {
    this.#channel.setBufferedAmountLowThreshold(threshold);
    this.#channel.onBufferedAmountLow(handler);
  }
}

export class Peer {
  #connection = new PeerConnection("bench", { iceServers: [] });
  #kept = []; // what nothing refers to is collected, and its callbacks with it

  constructor(emit) {
    this.#connection.onDataChannel((channel) => this.#take(channel));
    this.#connection.onGatheringStateChange((state) => {
      if (state !== "complete") return;
      const { type, sdp } = this.#connection.localDescription();
      emit("description", { description: { type, sdp } });
    });
  }

  #take(channel) {
    this.#kept.push(channel);
    if (channel.isOpen()) this.onChannel(new Channel(channel));
    else channel.onOpen(() => this.onChannel(new Channel(channel)));
  }

  async start(offerer) {
    if (offerer) this.#take(this.#connection.createDataChannel("bench"));
  }

  async describe({ type, sdp }) {
    this.#connection.setRemoteDescription(sdp, type);
  }
}
