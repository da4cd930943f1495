// Rendezvous: peers that share a code meet at a signaling server and connect to each other.
//
// The peers authenticate each other's DTLS fingerprints, so the server cannot intercept. A peer
// learns the addresses of this device only after it has shown that it has the code.

import { renewServers, SignalingClient, usableServers } from "../icefloe.js";
import { roomOf } from "./code.js";
import { TransferError } from "./errors.js";
import { Link } from "./link.js";
import { Pairing } from "./pairing.js";
import { ownToken } from "./token.js";
import { Turns } from "./turns.js";

/** Wrong codes after which a code is void. */
const GUESSES = 3;
/** The time after which a receiver asks a busy sender again. */
const BUSY_PAUSE_MS = 2000;
/** Key exchanges kept open at the same time; beyond it the oldest is dropped. */
const STRANGERS_MOST = 32;
/** Key exchanges that one participant may ask for without a pause. */
const FREE = 3;
/** The pause before the next exchange; it doubles with each further one. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
/** Exchanges with a participant that does not show that it has the code; more are not answered. */
const ATTEMPTS = 20;

export class Meeting {
  #code;
  #side;
  #on;
  #signaling;
  /** The ICE servers that the server names, and those of them that are used. */
  #named = [];
  #iceServers = [];
  #others = new Map();
  #peers = new Map();
  #away = new Set();
  /** For each participant the number of exchanges it has asked for, and its waiting message. */
  #attempts = new Map();
  /** The queue of key exchange computations. */
  #turns = new Turns();
  #guesses = 0;
  #hasJoined = false;
  #hasEnded = false;

  /**
   * @param {URL} url the URL of the signaling WebSocket
   * @param {string} code
   * @param {"sender"|"receiver"} side the role of this page
   * @param {object} on callbacks:
   *   `paired(link)` each time that the remote peer has come and shown that it has the code;
   *   `isBusy()` returns whether this sender is transferring to the connected receiver;
   *   `busy()` when the sender has answered that it is busy with another receiver;
   *   `changed()` when participants or the signaling state have changed;
   *   `taken()` when a sender finds another sender in the room of its code;
   *   `failed(error)` once, when the meeting has failed for good
   */
  constructor(url, code, side, on) {
    this.#code = code;
    this.#side = side;
    this.#on = on;
    const random = [...crypto.getRandomValues(new Uint8Array(4))];
    const name = `${side}-${random.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    this.#signaling = new SignalingClient(url, {
      room: roomOf(code),
      name,
      token: ownToken(),
      retry: true,
      onJoined: (joined, resumed) => this.#joined(joined, resumed),
      onMessage: (message) => this.#receive(message),
      onState: () => on.changed(),
      onLost: (error) => this.#refused(error),
    });
    this.#signaling.open().catch((error) => this.#refused(error));
  }

  /** The state of the signaling connection, as `SignalingClient.state`. */
  get state() {
    return this.#signaling.state;
  }

  /** Whether a participant of the other role is in the room. */
  get isSomebodyHere() {
    return [...this.#peers.values()].some((name) => !name.startsWith(`${this.#side}-`));
  }

  get #isTaken() {
    return [...this.#peers.values()].some((name) => name.startsWith(`${this.#side}-`));
  }

  /** Leave the room and close all connections. */
  close() {
    this.#hasEnded = true;
    for (const id of [...this.#others.keys()]) this.#forget(id);
    for (const id of [...this.#attempts.keys()]) this.#forgetAttempts(id);
    this.#turns.close();
    this.#signaling.close();
  }

  #refused(error) {
    this.#fail(new TransferError("signaling", error.reason || error.message));
  }

  #fail(error) {
    if (this.#hasEnded) return;
    this.close();
    this.#on.failed(error);
  }

  // Messages of the server.

  #receive(message) {
    if (Object.hasOwn(this.#handlers, message.type)) this.#handlers[message.type](message);
  }

  #handlers = {
    "ice-servers": () => this.#renew(),
    "peer-joined": ({ peer }) => this.#greet(peer),
    "peer-away": ({ id }) => this.#away.add(id),
    "peer-back": ({ id }) => this.#away.delete(id),
    "peer-left": ({ id }) => {
      this.#forgetAttempts(id);
      this.#away.delete(id);
      this.#peers.delete(id);
      this.#forget(id);
      this.#on.changed();
    },
    bye: ({ from }) => this.#forget(from),
    message: ({ from, data }) => this.#heard(from, data),
    description: ({ from, description }) => this.#described(from, description),
    candidate: ({ from, candidate }) => this.#others.get(from)?.link?.candidate(candidate),
  };

  /** Give new servers and credentials to all connections. */
  #renew() {
    if (this.#named === this.#signaling.iceServers) return;
    this.#named = this.#signaling.iceServers;
    const iceServers = (this.#iceServers = usableServers(this.#named));
    for (const { link } of this.#others.values()) if (link) renewServers(link.pc, iceServers);
  }

  #joined(message, resumed) {
    this.#renew();
    this.#away = new Set(message.peers.filter(({ away }) => away).map(({ id }) => id));
    const present = new Set(message.peers.map(({ id }) => id));
    for (const id of [...this.#peers.keys()]) {
      if (resumed && present.has(id)) continue;
      this.#peers.delete(id);
      this.#forgetAttempts(id);
      this.#forget(id);
    }
    for (const peer of message.peers) if (!this.#peers.has(peer.id)) this.#greet(peer);
    const isFirst = !this.#hasJoined;
    this.#hasJoined = true;
    if (isFirst && this.#side === "sender" && this.#isTaken) this.#on.taken();
    else this.#on.changed();
  }

  /** Add a participant; the receiver begins a key exchange with each possible sender. */
  #greet({ id, name }) {
    if (typeof name !== "string") return;
    this.#peers.set(id, name);
    this.#on.changed();
    if (this.#side === "receiver" && name.startsWith("sender-")) {
      this.#turns.add(id, () =>
        this.#say(id, { pairing: "pake", data: this.#meet(id).pairing.pake }),
      );
    }
  }

  #meet(id) {
    this.#forget(id);
    const strangers = [...this.#others].filter(([, other]) => other.link === null);
    if (strangers.length >= STRANGERS_MOST) this.#forget(strangers[0][0]);
    const pairing = new Pairing(this.#code, this.#side);
    const other = { id, pairing, signed: null, link: null, shown: false };
    this.#others.set(id, other);
    return other;
  }

  #forget(id) {
    const other = this.#others.get(id);
    this.#others.delete(id);
    this.#turns.drop(id);
    other?.link?.close();
  }

  #say(id, data) {
    this.#send({ type: "message", to: id, data });
  }

  #send(message) {
    try {
      this.#signaling.send(message);
    } catch (error) {
      // The meeting is over, or the server is out of reach for long: the pairing begins anew then.
      if (!this.#hasEnded) console.warn(error.message);
    }
  }

  // Messages of participants.

  #heard(id, data) {
    if (this.#hasEnded || typeof data !== "object" || data === null) return;
    const other = this.#others.get(id);
    const { pairing, mac } = data;
    if (pairing === "pake" && typeof data.data === "string") this.#heardPake(id, data.data);
    else if (!other) return;
    else if (pairing === "confirm" && other.pairing.hasKey) this.#heardConfirm(other, mac);
    else if (pairing === "fingerprints" && other.pairing.isPaired) other.signed = mac;
    else if (pairing === "refused") this.#heardRefused(other, data.reason);
  }

  #heardPake(id, data) {
    if (this.#side === "sender") {
      if (this.#mayTry(id, data)) this.#turns.add(id, () => this.#answer(id, data));
      return;
    }
    const other = this.#others.get(id);
    if (!other || other.pairing.hasKey) return;
    if (!other.pairing.receive(data)) {
      this.#refuse(other);
      return;
    }
    // The confirmation lets its reader test one code, so it counts as a guess until it is answered.
    this.#guesses += 1;
    if (this.#guesses > GUESSES) this.#fail(new TransferError("used-up"));
    else this.#say(id, { pairing: "confirm", mac: other.pairing.confirmation });
  }

  #answer(id, data) {
    const other = this.#meet(id);
    if (other.pairing.receive(data)) {
      this.#say(id, { pairing: "pake", data: other.pairing.pake });
    } else {
      this.#refuse(other);
    }
  }

  /** Rate limit for each participant: every key exchange takes some computing time. */
  #mayTry(id, data) {
    const now = performance.now();
    let line = this.#attempts.get(id);
    if (!line) {
      line = { count: 0, notBefore: 0, data: null, timer: null };
      this.#attempts.set(id, line);
    }
    if (line.count >= ATTEMPTS) return false;
    if (now < line.notBefore) {
      line.data = data;
      line.timer ??= setTimeout(() => {
        line.timer = null;
        if (!this.#hasEnded) this.#heardPake(id, line.data);
      }, line.notBefore - now + 1);
      return false;
    }
    line.count += 1;
    if (line.count >= FREE) {
      line.notBefore = now + Math.min(FIRST_PAUSE_MS * 2 ** (line.count - FREE), LONGEST_PAUSE_MS);
    }
    return true;
  }

  #forgetAttempts(id) {
    clearTimeout(this.#attempts.get(id)?.timer);
    this.#attempts.delete(id);
  }

  #heardConfirm(other, mac) {
    if (other.pairing.isPaired) return;
    if (!other.pairing.check(mac)) {
      this.#refuse(other);
      return;
    }
    this.#forgetAttempts(other.id);
    if (this.#side === "sender") {
      this.#say(other.id, { pairing: "confirm", mac: other.pairing.confirmation });
      if (this.#on.isBusy() && this.#isConnected) {
        this.#say(other.id, { pairing: "refused", reason: "busy" });
        this.#forget(other.id);
        return;
      }
    } else {
      this.#guesses -= 1;
    }
    for (const id of [...this.#others.keys()]) if (id !== other.id) this.#forget(id);
    other.link = new Link(this.#side, other.pairing, this.#iceServers, (message) =>
      this.#send({ ...message, to: other.id }),
    );
    this.#on.paired(other.link);
  }

  /** Whether there is a connection, or one is being made. */
  get #isConnected() {
    return [...this.#others.values()].some(
      ({ id, link }) => link !== null && !link.isBroken && !this.#away.has(id),
    );
  }

  #refuse(other) {
    this.#say(other.id, { pairing: "refused", reason: "wrong-code" });
    this.#forget(other.id);
    if (this.#side === "receiver") {
      this.#fail(new TransferError("wrong-code"));
      return;
    }
    this.#guesses += 1;
    if (this.#guesses >= GUESSES) this.#fail(new TransferError("used-up"));
    else this.#on.changed();
  }

  /** Handle a refusal. Before pairing anyone may send it to a sender, which then waits on. */
  #heardRefused(other, reason) {
    const counts = this.#side === "receiver" || other.pairing.isPaired;
    this.#forget(other.id);
    if (!counts) return;
    if (reason === "busy" && other.pairing.isPaired) {
      this.#on.busy();
      setTimeout(() => this.#askAgain(other.id), BUSY_PAUSE_MS);
      return;
    }
    const kind = reason === "fingerprints" || reason === "used-up" ? reason : "wrong-code";
    this.#fail(new TransferError(kind));
  }

  #askAgain(id) {
    const name = this.#peers.get(id);
    if (!this.#hasEnded && name !== undefined && !this.#others.has(id)) this.#greet({ id, name });
  }

  #described(id, description) {
    const other = this.#others.get(id);
    if (!other?.link || typeof description?.sdp !== "string") return;
    if (!["offer", "answer"].includes(description.type)) return;
    if (!other.pairing.verify(other.signed, description.sdp)) {
      this.#say(id, { pairing: "refused", reason: "fingerprints" });
      this.#fail(new TransferError("fingerprints"));
      return;
    }
    other.link.description(description);
  }
}
