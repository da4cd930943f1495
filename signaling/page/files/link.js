// The connection with the peer that has the code: an RTCPeerConnection with authenticated
// descriptions.
//
// Negotiation is the "perfect negotiation" of W3C webrtc-pc, section 10.7: the sender is polite,
// and the receiver makes the first offer.

import { selectedPair } from "../stats.js";
import { Channel } from "./channel.js";
import { TransferError } from "./errors.js";

/** The subprotocol of the data channel that carries a transfer. */
export const PROTOCOL = "icefloe-transfer-1";

const CONNECT_TIMEOUT_MS = 30_000;
/** The largest number of candidates that wait for their description. */
const EARLY_CANDIDATES_MOST = 256;
/** The id of a negotiated channel, which browsers do not assign themselves. */
const NEGOTIATED_ID = 1000;

export class Link {
  #side;
  #pairing;
  #send;
  #makingOffer = false;
  #ignoreOffer = false;
  #isAnswerPending = false;
  #early = [];
  #work = Promise.resolve();
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
    this.#pairing = pairing;
    this.#send = send;
    this.hasEnded = false;
    this.wasConnected = false;
    this.#arriving.promise.catch(() => {}); // channel() may not have been called
    const pc = (this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" }));
    pc.onnegotiationneeded = () => this.#offer();
    pc.onicecandidate = ({ candidate }) =>
      send({ type: "candidate", candidate: candidate ? candidate.toJSON() : null });
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
    return this.#inOrder(() => this.#apply(description));
  }

  candidate(candidate) {
    return this.#inOrder(() => this.#addCandidate(candidate));
  }

  /** Close the connection. Further calls have no effect. */
  close(error = new TransferError("broken", "The connection was closed.")) {
    if (this.hasEnded) return;
    this.hasEnded = true;
    clearTimeout(this.#timer);
    this.#arriving.reject(error);
    this.pc.close();
    this.#channel?.end();
  }

  #arrived(channel) {
    // The channel must be wrapped at once, or messages are lost.
    this.#channel = new Channel(channel);
    this.#arriving.resolve(this.#channel);
  }

  async #apply(description) {
    const { pc } = this;
    const readyForOffer =
      !this.#makingOffer && (pc.signalingState === "stable" || this.#isAnswerPending);
    const collision = description.type === "offer" && !readyForOffer;
    this.#ignoreOffer = this.#side === "receiver" && collision;
    if (this.#ignoreOffer) return;
    this.#isAnswerPending = description.type === "answer";
    try {
      await pc.setRemoteDescription(description);
    } finally {
      this.#isAnswerPending = false;
    }
    for (const candidate of this.#early.splice(0)) await this.#addCandidate(candidate);
    if (description.type !== "offer") return;
    await pc.setLocalDescription();
    this.#sendDescription();
  }

  async #addCandidate(candidate) {
    if (this.pc.remoteDescription === null) {
      if (this.#early.length < EARLY_CANDIDATES_MOST) this.#early.push(candidate);
      return;
    }
    try {
      await this.pc.addIceCandidate(candidate ?? undefined);
    } catch (error) {
      if (!this.#ignoreOffer && !this.hasEnded) throw error;
    }
  }

  #inOrder(work) {
    this.#work = this.#work.then(work).catch((error) => {
      if (!this.hasEnded) console.warn(`What the other side sent was not applied: ${error.message}`);
    });
    return this.#work;
  }

  async #offer() {
    // The receiver makes the first offer, which has the media section for data.
    if (this.#side === "sender" && this.pc.remoteDescription === null) return;
    try {
      this.#makingOffer = true;
      await this.pc.setLocalDescription();
      this.#sendDescription();
    } catch (error) {
      if (!this.hasEnded) throw error;
    } finally {
      this.#makingOffer = false;
    }
  }

  #sendDescription() {
    const { localDescription } = this.pc;
    if (!localDescription || this.hasEnded) return;
    const mac = this.#pairing.sign(localDescription.sdp);
    this.#send({ type: "message", data: { pairing: "fingerprints", mac } });
    this.#send({ type: "description", description: localDescription.toJSON() });
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
