// One call: the RTCPeerConnection with one other participant.
//
// Negotiation is the "perfect negotiation" of W3C webrtc-pc, section 10.7. The participant that was
// in the room first is polite; the newcomer is impolite and makes the first offer.

import { CandidateLog } from "./candidates.js";
import { takesInput } from "./control.js";
import { renewServers } from "./ice_servers.js";

/** The fingerprint in a description (RFC 8122), or null. */
function fingerprint(description) {
  return description?.sdp?.match(/^a=fingerprint:(\S+ \S+)/m)?.[1] ?? null;
}

/** The largest number of candidates that wait for their description; further ones are dropped. */
const EARLY_CANDIDATES_MOST = 256;

export class Call {
  #polite;
  #maySend;
  #tracks;
  #on;
  #makingOffer = false;
  /** The number of media sections of an offer that was too large to be sent. */
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
   * @param {boolean} options.polite whether this side yields when two offers collide
   * @param {boolean} options.maySend whether the participant may send media
   * @param {RTCIceServer[]} options.iceServers the STUN and TURN servers of the signaling server
   * @param {() => MediaStreamTrack[]} options.tracks returns the tracks to send
   * @param {object} on callbacks: `send(message)` to the other participant; `changed()` when a
   *   state or a track has changed; `iceFailed()`; `chat(text)` for a chat message; `chatOpen()`
   *   when a chat channel opens or closes; `input(channel)` when the participant shares a desktop
   */
  constructor({ polite, maySend, iceServers, tracks }, on) {
    this.#polite = polite;
    this.#maySend = maySend;
    this.#tracks = tracks;
    this.#on = on;
    this.stream = new MediaStream();
    this.candidates = new CandidateLog();
    this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.#listen();
  }

  /** Start the call, as the newcomer; `negotiationneeded` then makes the offer. */
  start() {
    this.#addTracks();
    this.#openChat();
  }

  get connected() {
    return this.pc.connectionState === "connected";
  }

  /** The certificate fingerprints of both sides, which identify this call. */
  get certificates() {
    const { localDescription, remoteDescription } = this.pc;
    return { own: fingerprint(localDescription), theirs: fingerprint(remoteDescription) };
  }

  /** Whether a description of the participant belongs to this call, and not to a new one. */
  isMeant(description) {
    const { theirs } = this.certificates;
    return theirs === null || fingerprint(description) === theirs;
  }

  /**
   * The chat channel to write to, or undefined while there is none. Both sides may have opened one.
   * Messages are received from both, but are sent only on the first, so that they stay in order.
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
      // Some programs open the chat themselves, others wait for the page to open it.
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
      // Errors are expected for candidates of an ignored offer, and after the call was closed.
      if (!this.#ignoreOffer && this.pc.signalingState !== "closed") throw error;
    }
  }

  /** Take over new ICE servers; replaces a path whose relay would expire with the old ones. */
  async renew(iceServers) {
    if (await renewServers(this.pc, iceServers)) this.candidates.restarted();
  }

  /** Restart ICE with the current servers; no-op if the call is closed. */
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
    pc.ontrack = ({ track }) => {
      if (this.#maySend) this.#show(track);
      else track.stop();
    };
    pc.ondatachannel = ({ channel }) => {
      if (channel.label === "chat") this.#adoptChat(channel);
      else if (takesInput(channel)) this.#on.input(channel);
    };
    pc.onconnectionstatechange = pc.oniceconnectionstatechange = () => this.#stateChanged();
  }

  #stateChanged() {
    const { connectionState, iceConnectionState } = this.pc;
    // In Chromium iceConnectionState may stay "disconnected" although connectionState is "failed".
    const failed = connectionState === "failed" || iceConnectionState === "failed";
    const news = failed && !this.#failed;
    this.#failed = failed;
    if (news) this.#on.iceFailed();
    this.#on.changed();
  }

  async #offer() {
    const sections = this.pc.getTransceivers().length;
    if (sections === this.#tooMany) return; // the event is caused by the rollback below
    try {
      this.#makingOffer = true;
      await this.pc.setLocalDescription();
      this.#sendDescription();
      this.#tooMany = 0;
    } catch (error) {
      if (error instanceof RangeError) {
        // The call continues without the new media sections.
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

  // One stream for all tracks, so that the receiver synchronizes audio and video.
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
