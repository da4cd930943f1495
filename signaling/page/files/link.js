// The connection with the peer that has the code: an RTCPeerConnection with authenticated
// descriptions. The sender is polite, and the receiver makes the first offer.

import { Negotiator, selectedPair } from "../icefloe.js";
import { Channel } from "./channel.js";
import { TransferError } from "./errors.js";

/** The subprotocol of the data channel that carries a transfer. */
export const PROTOCOL = "icefloe-transfer-1";

const CONNECT_TIMEOUT_MS = 30_000;
/** The id of a negotiated channel, which browsers do not assign themselves. */
const NEGOTIATED_ID = 1000;

export class Link {
  #side;
  #negotiator;
  #timer;
  #channel = null;
  #arriving = Promise.withResolvers();

  /** Called with each new `connectionState`. */
  onstate = () => {};

  /**
   * @param {"sender"|"receiver"} side the role of this page
   * @param {Pairing} pairing authenticates the descriptions of this side
   * @param {RTCIceServer[]} iceServers the STUN and TURN servers of the signaling server
   * @param {(message: object) => void} send sends a message to the peer, over signaling
   */
  constructor(side, pairing, iceServers, send) {
    this.#side = side;
    this.hasEnded = false;
    this.wasConnected = false;
    this.#arriving.promise.catch(() => {}); // channel() may not have been called
    const pc = (this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" }));
    const signaler = {
      description: (description) => {
        const mac = pairing.sign(description.sdp);
        send({ type: "message", data: { pairing: "fingerprints", mac } });
        send({ type: "description", description });
      },
      candidate: (candidate) => send({ type: "candidate", candidate }),
    };
    this.#negotiator = new Negotiator(pc, { polite: side === "sender", signaler });
    pc.ondatachannel = ({ channel }) => {
      if (side === "receiver" && channel.protocol === PROTOCOL) this.#arrived(channel);
      else channel.close();
    };
    pc.onconnectionstatechange = () => this.#stateChanged();
    this.#timer = setTimeout(() => this.#notConnected(), CONNECT_TIMEOUT_MS);
    if (side === "receiver") {
      // Gives the offer a media section for data; the sender opens the channel of the transfer.
      pc.createDataChannel("", { negotiated: true, id: NEGOTIATED_ID });
    }
  }

  /** Whether the connection is lost, temporarily or for good. */
  get isBroken() {
    return this.hasEnded || ["disconnected", "failed", "closed"].includes(this.pc.connectionState);
  }

  /**
   * The channel of the transfer.
   *
   * @returns {Promise<Channel>} in a sender it is not open yet
   * @throws {TransferError} `connection` or `broken`
   */
  channel() {
    if (this.#side === "sender" && !this.hasEnded) {
      this.#arrived(this.pc.createDataChannel("files", { protocol: PROTOCOL }));
    }
    return this.#arriving.promise;
  }

  /** @returns {Promise<?{relayed: boolean, local: object, rtt: ?number}>} the selected pair */
  async path() {
    return this.pc.signalingState === "closed" ? null : selectedPair(await this.pc.getStats());
  }

  /** Apply a description whose fingerprints were verified. */
  description(description) {
    return this.#negotiator.receive({ description });
  }

  candidate(candidate) {
    return this.#negotiator.receive({ candidate });
  }

  /** Close the connection. Further calls have no effect. */
  close(error = new TransferError("broken", "The connection was closed.")) {
    if (this.hasEnded) return;
    this.hasEnded = true;
    clearTimeout(this.#timer);
    this.#arriving.reject(error);
    this.#negotiator.close();
    this.pc.close();
    this.#channel?.end();
  }

  #arrived(channel) {
    // The channel must be wrapped at once, or messages are lost.
    this.#channel = new Channel(channel);
    this.#arriving.resolve(this.#channel);
  }

  #stateChanged() {
    const { connectionState } = this.pc;
    this.onstate(connectionState);
    if (connectionState === "connected") {
      this.wasConnected = true;
      clearTimeout(this.#timer);
    } else if (connectionState === "failed") {
      if (this.wasConnected) this.pc.restartIce();
      else this.#notConnected();
    }
  }

  #notConnected() {
    this.close(new TransferError("connection", "There is no path between the two."));
  }
}
