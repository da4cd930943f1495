// A lab peer that is a browser's RTCPeerConnection, with perfect negotiation (W3C webrtc-pc 10.7).
// It does and reports what tests/natlab/program.py describes; report() is the lab's binding.
"use strict";

const PERIOD = 50;
const MESSAGE = 16 * 1024;
const GAP = 0.5;
const WAITING = 1024;

class LabPeer {
  constructor() {
    this.wanted = [];
    this.last = undefined;
    this.makingOffer = false;
    this.ignoringOffer = false;
    this.settingAnswer = false;
    this.chain = Promise.resolve();
  }

  // Seconds by the machine's monotonic clock, which all peers share.
  now() {
    return performance.now() / 1000 + this.clock;
  }

  emit(event, details = {}) {
    report({ event, at: this.now(), ...details });
  }

  // One line after the other, as they came.
  handle(message) {
    this.chain = this.chain
      .then(() => this[message.do](message))
      .catch((error) => this.emit("error", { text: `${message.do}: ${error}` }));
    return this.chain;
  }

  start({ configuration, offerer, clock }) {
    this.clock = clock;
    this.polite = !offerer;
    const { tlsCa, restartWhen, ...known } = configuration;
    const pc = new RTCPeerConnection(known);
    this.pc = pc;
    pc.onnegotiationneeded = () => this.offer();
    pc.onicecandidate = ({ candidate }) =>
      this.emit("candidate", { candidate: candidate && candidate.toJSON() });
    pc.onicecandidateerror = ({ url, errorCode, errorText }) =>
      this.emit("icecandidateerror", { url, code: errorCode, text: errorText });
    pc.oniceconnectionstatechange = () => {
      this.emit("iceConnectionState", { state: pc.iceConnectionState });
      if (pc.iceConnectionState === restartWhen) pc.restartIce();
    };
    pc.onconnectionstatechange = () => {
      this.emit("connectionState", { state: pc.connectionState });
      if (pc.connectionState === "failed" && this.last === undefined) {
        this.emit("failed", { phase: null, text: "connectionState is failed", serverErrors: [] });
      }
    };
    pc.ondatachannel = ({ channel }) =>
      channel.label === "bulk" ? this.takeBulk(channel) : this.beat(channel);
    if (offerer) this.beat(pc.createDataChannel("pulse", { ordered: false, maxRetransmits: 0 }));
  }

  async offer() {
    this.makingOffer = true;
    try {
      await this.pc.setLocalDescription();
      this.emit("description", { description: this.pc.localDescription.toJSON() });
    } catch (error) {
      this.emit("error", { text: `offer: ${error}` });
    } finally {
      this.makingOffer = false;
    }
  }

  async description({ description }) {
    const { pc } = this;
    const ready =
      !this.makingOffer && (pc.signalingState === "stable" || this.settingAnswer);
    this.ignoringOffer = !this.polite && description.type === "offer" && !ready;
    if (this.ignoringOffer) return;
    this.settingAnswer = description.type === "answer";
    await pc.setRemoteDescription(description);
    this.settingAnswer = false;
    if (description.type === "offer") {
      await pc.setLocalDescription();
      this.emit("description", { description: pc.localDescription.toJSON() });
    }
  }

  async candidate({ candidate }) {
    try {
      await this.pc.addIceCandidate(candidate ?? undefined);
    } catch (error) {
      if (!this.ignoringOffer) throw error;
    }
  }

  restart() {
    this.pc.restartIce();
  }

  async pair() {
    const stats = await this.pc.getStats();
    let found = null;
    stats.forEach((entry) => {
      if (entry.type === "transport" && entry.selectedCandidatePairId) {
        found = stats.get(entry.selectedCandidatePairId);
      }
    });
    const end = (id) => {
      const { candidateType, protocol, address, port, relayProtocol = null } = stats.get(id);
      return { type: candidateType, protocol, address, port, relayProtocol };
    };
    const pair = found && {
      local: end(found.localCandidateId),
      remote: end(found.remoteCandidateId),
    };
    this.emit("pair", { pair });
  }

  flows({ after }) {
    this.wanted.push(after);
  }

  beat(channel) {
    let timer;
    const opened = () => {
      this.emit("open");
      timer = setInterval(() => {
        if (channel.readyState === "open" && channel.bufferedAmount < WAITING) {
          channel.send(JSON.stringify(this.now()));
        }
      }, PERIOD);
    };
    channel.onclose = () => clearInterval(timer);
    channel.onmessage = ({ data }) => this.heard(JSON.parse(data));
    if (channel.readyState === "open") opened();
    else channel.onopen = opened;
  }

  heard(sent) {
    const now = this.now();
    if (this.last !== undefined && now - this.last > GAP) {
      this.emit("gap", { seconds: now - this.last });
    }
    this.last = now;
    for (const after of this.wanted.filter((wanted) => sent >= wanted)) {
      this.wanted.splice(this.wanted.indexOf(after), 1);
      this.emit("flowing", { after, sent });
    }
  }

  takeBulk(channel) {
    channel.binaryType = "arraybuffer";
    const parts = [];
    channel.onmessage = async ({ data }) => {
      if (typeof data !== "string") {
        parts.push(data);
        return;
      }
      const whole = await new Blob(parts).arrayBuffer();
      const digest = await sha256(whole);
      this.emit("received", { bytes: whole.byteLength, intact: JSON.parse(data) === digest });
      channel.send(JSON.stringify({ bytes: whole.byteLength, sha256: digest }));
    };
  }

  transfer({ bytes }) {
    const channel = this.pc.createDataChannel("bulk");
    channel.bufferedAmountLowThreshold = 16 * MESSAGE;
    const whole = new Uint8Array(bytes);
    for (let at = 0; at < bytes; at += 65536) {
      crypto.getRandomValues(whole.subarray(at, Math.min(at + 65536, bytes)));
    }
    channel.onopen = async () => {
      const begun = this.now();
      for (let at = 0; at < bytes; at += MESSAGE) {
        if (channel.bufferedAmount > 64 * MESSAGE) {
          await new Promise((resolve) => {
            channel.onbufferedamountlow = resolve;
          });
        }
        channel.send(whole.subarray(at, Math.min(at + MESSAGE, bytes)));
      }
      const digest = await sha256(whole);
      channel.onmessage = ({ data }) => {
        const answer = JSON.parse(data);
        const intact = answer.bytes === bytes && answer.sha256 === digest;
        this.emit("transferred", { bytes, seconds: this.now() - begun, intact });
        channel.close();
      };
      channel.send(JSON.stringify(digest));
    };
  }
}

async function sha256(buffer) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", buffer));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

window.lab = new LabPeer();
