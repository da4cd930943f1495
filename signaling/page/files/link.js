// The connection to the side that has the code: an RTCPeerConnection whose descriptions are signed.
//
// Negotiation is the "perfect negotiation" of W3C webrtc-pc, section 10.7: the sender is polite, and
// the receiver makes the first offer.

import { selectedPair } from "../stats.js";
import { Channel } from "./channel.js";
import { TransferError } from "./errors.js";

/** The subprotocol of the data channel that carries a transfer. */
export const PROTOCOL = "icefloe-transfer-1";

const CONNECT_TIMEOUT_MS = 30_000;
/** What may wait for the description it belongs to. */
const EARLY_CANDIDATES_MOST = 256;
/** A number that nobody chooses by itself, for a channel that is not announced. */
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

  /** Told each `connectionState`. */
  onstate = () => {};

  /**
   * @param {"sender"|"receiver"} side which side this is
   * @param {Pairing} pairing signs what goes out
   * @param {RTCIceServer[]} iceServers as the server named them
   * @param {(message: object) => void} send to the other side, over signaling
   */
  constructor(side, pairing, iceServers, send) {
    this.#side = side;
    this.#pairing = pairing;
    this.#send = send;
    this.hasEnded = false;
    this.wasConnected = false;
    this.#arriving.promise.catch(() => {}); // nobody may be waiting
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
      // So that the offer has a section for data; the sender opens the channel that counts.
      pc.createDataChannel("", { negotiated: true, id: NEGOTIATED_ID });
    }
  }

  /** Whether there is no connection any more, for now or for good. */
  get isBroken() {
    return this.hasEnded || ["disconnected", "failed", "closed"].includes(this.pc.connectionState);
  }

  /**
   * The channel of the transfer, once it is there.
   *
   * @returns {Promise<Channel>} for a sender not open yet
   * @throws {TransferError} `connection` or `broken`
   */
  channel() {
    if (this.#side === "sender" && !this.hasEnded) {
      this.#arrived(this.pc.createDataChannel("files", { protocol: PROTOCOL }));
    }
    return this.#arriving.promise;
  }

  /** @returns {Promise<?{relayed: boolean, local: object, rtt: ?number}>} the way that data takes */
  async path() {
    return this.pc.signalingState === "closed" ? null : selectedPair(await this.pc.getStats());
  }

  /** Take a description whose fingerprints were verified. */
  description(description) {
    return this.#inOrder(() => this.#apply(description));
  }

  candidate(candidate) {
    return this.#inOrder(() => this.#addCandidate(candidate));
  }

  /** End the connection; calling it again is harmless. */
  close(error = new TransferError("broken", "The connection was closed.")) {
    if (this.hasEnded) return;
    this.hasEnded = true;
    clearTimeout(this.#timer);
    this.#arriving.reject(error);
    this.pc.close();
    this.#channel?.end();
  }

  #arrived(channel) {
    // Wrapped at once, so that no message is lost.
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
    // The receiver makes the first offer, and it has what the sender needs.
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
