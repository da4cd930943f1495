// One call: the RTCPeerConnection with one other participant.
//
// Negotiation is the "perfect negotiation" of W3C webrtc-pc, section 10.7. Whoever was in the room
// first is polite; the newcomer is impolite and makes the first offer.

import { CandidateLog } from "./candidates.js";
import { takesInput } from "./control.js";

/** The fingerprint in a description (RFC 8122), or null. */
function fingerprint(description) {
  return description?.sdp?.match(/^a=fingerprint:(\S+ \S+)/m)?.[1] ?? null;
}

/** What may wait for the description it belongs to; a peer that sends more is not in earnest. */
const EARLY_CANDIDATES_MOST = 256;

export class Call {
  #polite;
  #tracks;
  #on;
  #makingOffer = false;
  /** The media sections of an offer that was too large to be sent. */
  #tooMany = 0;
  #ignoreOffer = false;
  #isSettingRemoteAnswerPending = false;
  #described = false;
  #failed = false;
  #early = [];
  #senders = new Map();
  #chats = new Set();
  #written = null;
  #chatted = false;

  /**
   * @param {object} options
   * @param {boolean} options.polite whether this side gives way when two offers meet
   * @param {RTCIceServer[]} options.iceServers STUN and TURN servers, as the server named them
   * @param {() => MediaStreamTrack[]} options.tracks what to send, asked for when it is needed
   * @param {object} on `send(message)` to the other participant, `changed()` when a state or the
   *   picture did, `iceFailed()`, `chat(text)` for a line of chat, `chatOpen()` when it opens or
   *   closes, `input(channel)` when the other side shares a desktop
   */
  constructor({ polite, iceServers, tracks }, on) {
    this.#polite = polite;
    this.#tracks = tracks;
    this.#on = on;
    this.stream = new MediaStream();
    this.candidates = new CandidateLog();
    this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.#listen();
  }

  /** The newcomer's first step; `negotiationneeded` does the rest. */
  start() {
    this.#addTracks();
    this.#openChat();
  }

  get connected() {
    return this.pc.connectionState === "connected";
  }

  /** The certificates of both sides, by which each knows whether the other means this call. */
  get certificates() {
    const { localDescription, remoteDescription } = this.pc;
    return { own: fingerprint(localDescription), theirs: fingerprint(remoteDescription) };
  }

  /** Whether a description of the other side is about this call, and not about a new one. */
  isMeant(description) {
    const { theirs } = this.certificates;
    return theirs === null || fingerprint(description) === theirs;
  }

  /**
   * The chat channel to write to, or undefined while there is none. Both sides may have opened one:
   * both are read, and what is written stays on the first, so that it arrives in order.
   */
  get chat() {
    if (this.#written?.readyState !== "open") {
      this.#written = [...this.#chats].find((channel) => channel.readyState === "open");
    }
    return this.#written;
  }

  async description(description) {
    const { pc } = this;
    const readyForOffer =
      !this.#makingOffer && (pc.signalingState === "stable" || this.#isSettingRemoteAnswerPending);
    const offerCollision = description.type === "offer" && !readyForOffer;
    this.#ignoreOffer = !this.#polite && offerCollision;
    if (this.#ignoreOffer) return;

    this.#isSettingRemoteAnswerPending = description.type === "answer";
    this.#described = true;
    this.candidates.remoteDescription(description);
    const applied = pc.setRemoteDescription(description);
    for (const candidate of this.#early.splice(0)) this.candidate(candidate);
    try {
      await applied;
    } finally {
      this.#isSettingRemoteAnswerPending = false;
    }
    if (description.type === "offer") {
      if (this.#senders.size === 0) this.#addTracks();
      // A program that waits for a chat, and one that opens it, are both answered.
      if (!this.#chatted) this.#openChat();
      await pc.setLocalDescription();
      this.#sendDescription();
    }
  }

  /** @param {?RTCIceCandidateInit} candidate `null` ends the candidates of all media sections */
  async candidate(candidate) {
    if (!this.#described) {
      if (this.#early.length < EARLY_CANDIDATES_MOST) this.#early.push(candidate);
      return;
    }
    this.candidates.remote(candidate);
    try {
      await (candidate ? this.pc.addIceCandidate(candidate) : this.pc.addIceCandidate());
    } catch (error) {
      // Candidates of an offer that was ignored, or of a call that just ended, belong nowhere.
      if (!this.#ignoreOffer && this.pc.signalingState !== "closed") throw error;
    }
  }

  /** Look for a new path, with the servers of the day; a no-op on a closed call. */
  restartIce(iceServers) {
    if (this.pc.signalingState === "closed") return;
    this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers });
    this.candidates.restarted();
    this.pc.restartIce();
  }

  replaceTrack(track) {
    return this.#senders.get(track.kind)?.replaceTrack(track);
  }

  close() {
    for (const channel of this.#chats) channel.close();
    this.pc.close();
    for (const track of this.stream.getTracks()) track.stop();
  }

  #listen() {
    const { pc } = this;
    pc.onnegotiationneeded = () => this.#offer();
    pc.onicecandidate = ({ candidate }) => {
      this.candidates.local(candidate);
      this.#on.send({ type: "candidate", candidate: candidate ? candidate.toJSON() : null });
    };
    pc.onicecandidateerror = (event) => this.candidates.error(event);
    pc.ontrack = ({ track }) => this.#show(track);
    pc.ondatachannel = ({ channel }) => {
      if (channel.label === "chat") this.#adoptChat(channel);
      else if (takesInput(channel)) this.#on.input(channel);
    };
    pc.onconnectionstatechange = pc.oniceconnectionstatechange = () => this.#stateChanged();
  }

  #stateChanged() {
    const { connectionState, iceConnectionState } = this.pc;
    // Chromium may leave iceConnectionState at "disconnected" for good and fail the other alone.
    const failed = connectionState === "failed" || iceConnectionState === "failed";
    const news = failed && !this.#failed;
    this.#failed = failed;
    if (news) this.#on.iceFailed();
    this.#on.changed();
  }

  async #offer() {
    const sections = this.pc.getTransceivers().length;
    if (sections === this.#tooMany) return; // asked for again by the rollback alone
    try {
      this.#makingOffer = true;
      await this.pc.setLocalDescription();
      this.#sendDescription();
      this.#tooMany = 0;
    } catch (error) {
      if (error instanceof RangeError) {
        // The call goes on as it was.
        console.warn(`What was added to the call is left out. ${error.message}`);
        this.#tooMany = sections;
        await this.pc.setLocalDescription({ type: "rollback" });
      } else if (this.pc.signalingState !== "closed") throw error;
    } finally {
      this.#makingOffer = false;
    }
  }

  #sendDescription() {
    const { localDescription } = this.pc;
    if (localDescription) {
      this.#on.send({ type: "description", description: localDescription.toJSON() });
    }
  }

  #addTracks() {
    for (const track of this.#tracks()) {
      this.#senders.set(track.kind, this.pc.addTrack(track, this.#outgoing));
    }
  }

  // One stream for all: the other side then keeps the picture and the sound in step.
  #outgoing = new MediaStream();

  #show(track) {
    for (const old of this.stream.getTracks()) {
      if (old.kind === track.kind) this.stream.removeTrack(old);
    }
    this.stream.addTrack(track);
    track.onmute = track.onunmute = () => this.#on.changed();
    this.#on.changed();
  }

  #openChat() {
    this.#adoptChat(this.pc.createDataChannel("chat"));
  }

  #adoptChat(channel) {
    this.#chatted = true;
    this.#chats.add(channel);
    channel.onopen = () => this.#on.chatOpen();
    channel.onclose = () => {
      this.#chats.delete(channel);
      this.#on.chatOpen();
    };
    channel.onmessage = ({ data }) => {
      if (typeof data === "string") this.#on.chat(data);
    };
  }
}
