// SPAKE2 key exchange from a code, and authentication of DTLS fingerprints with its key. No I/O.
//
// Each side authenticates the fingerprints of its DTLS certificate with the key, so that a server
// that replaces them is detected before the connection is made.

import { hmac } from "../vendor/noble-hashes/hmac.js";
import { sha256 } from "../vendor/noble-hashes/sha2.js";
import { bytesToHex, hexToBytes, utf8ToBytes } from "../vendor/noble-hashes/utils.js";
import { Spake2 } from "./spake2.js";

const IDS = { A: "icefloe sender", B: "icefloe receiver" };
const FINGERPRINT = /^a=fingerprint:([A-Za-z0-9-]+) ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*)$/;

export const otherSide = (side) => (side === "sender" ? "receiver" : "sender");

/** One side of one key exchange; the remote peer can test one guess of the code with it. */
export class Pairing {
  #spake;
  #side;
  #key = null;

  /** Whether the remote peer has proved that it has the key. */
  isPaired = false;

  /**
   * @param {string} code
   * @param {"sender"|"receiver"} side the role of this page
   */
  constructor(code, side) {
    this.#side = side;
    this.#spake = new Spake2(side === "sender" ? "A" : "B", code, IDS);
  }

  /** The SPAKE2 message of this side, to be sent first. */
  get pake() {
    return bytesToHex(this.#spake.message);
  }

  /** Whether the SPAKE2 message of the remote peer has arrived; its key may be another one. */
  get hasKey() {
    return this.#key !== null;
  }

  /**
   * Process the SPAKE2 message of the remote peer; only the first one is accepted.
   *
   * @param {string} data
   * @returns {boolean} whether it was valid
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

  /** The key confirmation of this side. */
  get confirmation() {
    return this.#mac("confirm", this.#side);
  }

  /** @returns {boolean} whether this is the key confirmation of a peer with the same key */
  check(mac) {
    this.isPaired = isSame(mac, this.#mac("confirm", otherSide(this.#side)));
    return this.isPaired;
  }

  /** The authentication of the fingerprints in a description of this side. */
  sign(sdp) {
    return this.#mac("fingerprints", this.#side, ...fingerprints(sdp));
  }

  /** @returns {boolean} whether the fingerprints in a description are authentic */
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
 * The fingerprints in a description, or null if the browser might parse a fingerprint line
 * differently: it must not find another fingerprint there.
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

/** Compares in constant time. */
function isSame(told, right) {
  if (typeof told !== "string" || told.length !== right.length) return false;
  let difference = 0;
  for (let i = 0; i < right.length; i += 1) {
    difference |= told.charCodeAt(i) ^ right.charCodeAt(i);
  }
  return difference === 0;
}
