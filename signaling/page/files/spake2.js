// SPAKE2 password-authenticated key exchange, compatible with the Python library spake2.
//
// Two parties with the same password derive the same key. An attacker can only test one guess of
// the password per exchange. It follows RFC 9382 in the group of Ed25519, with the constants and
// the transcript of that library.

import { hkdf } from "../vendor/noble-hashes/hkdf.js";
import { sha256 } from "../vendor/noble-hashes/sha2.js";
import { concatBytes, hexToBytes, utf8ToBytes } from "../vendor/noble-hashes/utils.js";
import { BASE, bigEndian, L, Point } from "./ed25519.js";

/** The points M and N, whose discrete logarithms are unknown: hashes of "M" and "N". */
const BLINDS = {
  A: "15cfd18e385952982b6a8f8c7854963b58e34388c8e6dae891db756481a02312",
  B: "f04f2e7eb734b2a8f8b472eaf9c3c632576ac64aea650b496a8a20ff00e583c3",
};

export class Spake2 {
  #side;
  #secret;
  #password;
  #blind;
  #ids;
  #sent;

  /**
   * @param {"A"|"B"} side the role of this party
   * @param {string} password the shared password
   * @param {{A: string, B: string}} ids the identities of both parties
   */
  constructor(side, password, ids) {
    this.#side = side;
    this.#ids = ids;
    this.#password = utf8ToBytes(password);
    const stretched = hkdf(sha256, this.#password, new Uint8Array(0), utf8ToBytes("SPAKE2 pw"), 48);
    this.#blind = bigEndian(stretched) % L;
    // Twice as many random bits as L has make the bias of the reduction negligible.
    this.#secret = bigEndian(crypto.getRandomValues(new Uint8Array(64))) % L;
    const own = Point.decode(hexToBytes(BLINDS[side])).times(this.#blind);
    this.#sent = BASE.times(this.#secret).plus(own).encode();
  }

  /** The message for the other party. */
  get message() {
    return concatBytes(utf8ToBytes(this.#side), this.#sent);
  }

  /**
   * @param {Uint8Array} message the message of the other party
   * @returns {Uint8Array} the key, 32 bytes; the keys differ if the passwords do
   * @throws {RangeError} the message is invalid
   */
  finish(message) {
    const other = this.#side === "A" ? "B" : "A";
    if (message[0] !== other.charCodeAt(0)) throw new RangeError("not from the other side");
    const received = message.subarray(1);
    const blinded = Point.decode(received);
    if (received.every((byte, i) => byte === this.#sent[i])) throw new RangeError("reflected");
    const unblind = Point.decode(hexToBytes(BLINDS[other])).times(L - this.#blind);
    const shared = blinded.plus(unblind).times(this.#secret).encode();
    const [x, y] = this.#side === "A" ? [this.#sent, received] : [received, this.#sent];
    const told = [this.#password, utf8ToBytes(this.#ids.A), utf8ToBytes(this.#ids.B)];
    return sha256(concatBytes(...told.map((part) => sha256(part)), x, y, shared));
  }
}
