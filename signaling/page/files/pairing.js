// How two that know the same code find out that they do, and nobody else. No I/O.
//
// SPAKE2 makes a key of the code. With it each side signs the fingerprints of its DTLS certificate,
// so that a server that puts its own in their place is found out before a connection is tried.

import { hmac } from "../vendor/noble-hashes/hmac.js";
import { sha256 } from "../vendor/noble-hashes/sha2.js";
import { bytesToHex, hexToBytes, utf8ToBytes } from "../vendor/noble-hashes/utils.js";
import { Spake2 } from "./spake2.js";

const IDS = { A: "icefloe sender", B: "icefloe receiver" };
const FINGERPRINT = /^a=fingerprint:([A-Za-z0-9-]+) ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*)$/;

export const otherSide = (side) => (side === "sender" ? "receiver" : "sender");

/** One side of one exchange, good for one guess. */
export class Pairing {
  #spake;
  #side;
  #key = null;

  /** Whether the other side has shown that it has the key. */
  isPaired = false;

  /**
   * @param {string} code
   * @param {"sender"|"receiver"} side which side this is
   */
  constructor(code, side) {
    this.#side = side;
    this.#spake = new Spake2(side === "sender" ? "A" : "B", code, IDS);
  }

  /** What to say first. */
  get pake() {
    return bytesToHex(this.#spake.message);
  }

  /** Whether the other side's half came; it may have another key. */
  get hasKey() {
    return this.#key !== null;
  }

  /**
   * Take the other side's half, once.
   *
   * @param {string} data
   * @returns {boolean} whether it was one
   */
  receive(data) {
    if (this.#key !== null) return false;
    try {
      this.#key = this.#spake.finish(hexToBytes(data));
    } catch {
      return false;
    }
    return true;
  }

  /** What shows that this side has the key. */
  get confirmation() {
    return this.#mac("confirm", this.#side);
  }

  /** @returns {boolean} whether this shows that the other side has the same key */
  check(mac) {
    this.isPaired = isSame(mac, this.#mac("confirm", otherSide(this.#side)));
    return this.isPaired;
  }

  /** What signs the fingerprints in a description of this side. */
  sign(sdp) {
    return this.#mac("fingerprints", this.#side, ...fingerprints(sdp));
  }

  /** @returns {boolean} whether the fingerprints in a description are those that were signed */
  verify(mac, sdp) {
    const told = fingerprints(sdp);
    if (told === null || told.length === 0) return false;
    return isSame(mac, this.#mac("fingerprints", otherSide(this.#side), ...told));
  }

  #mac(...parts) {
    return bytesToHex(hmac(sha256, this.#key, utf8ToBytes(parts.join("\0"))));
  }
}

/**
 * The fingerprints in a description, or null if a line about one could be read in another way: what
 * reads the description after this must not find another one there.
 */
function fingerprints(sdp) {
  const found = new Set();
  for (const line of sdp.split(/\r?\n/)) {
    if (!/fingerprint/i.test(line)) continue;
    const [, kind, value] = FINGERPRINT.exec(line) ?? [];
    if (!value) return null;
    found.add(`${kind.toLowerCase()} ${value.toUpperCase()}`);
  }
  return [...found].sort();
}

/** Compares all of it, however early it differs. */
function isSame(told, right) {
  if (typeof told !== "string" || told.length !== right.length) return false;
  let difference = 0;
  for (let i = 0; i < right.length; i += 1) {
    difference |= told.charCodeAt(i) ^ right.charCodeAt(i);
  }
  return difference === 0;
}
