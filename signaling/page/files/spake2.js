// SPAKE2 as the Python library of that name has it: two that know the same password get the same
// key, and whoever does not know it learns nothing but that a guess was wrong.
//
// It follows RFC 9382 in the group of Ed25519, with that library's constants and transcript.

import { hkdf } from "../vendor/noble-hashes/hkdf.js";
import { sha256 } from "../vendor/noble-hashes/sha2.js";
import { concatBytes, hexToBytes, utf8ToBytes } from "../vendor/noble-hashes/utils.js";
import { BASE, bigEndian, L, Point } from "./ed25519.js";

/** Points of which nobody knows the logarithm: hashes of the words "M" and "N". */
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
   * @param {"A"|"B"} side which side this is
   * @param {string} password what both know
   * @param {{A: string, B: string}} ids who the two are
   */
  constructor(side, password, ids) {
    this.#side = side;
    this.#ids = ids;
    this.#password = utf8ToBytes(password);
    const stretched = hkdf(sha256, this.#password, new Uint8Array(0), utf8ToBytes("SPAKE2 pw"), 48);
    this.#blind = bigEndian(stretched) % L;
    // Twice as many random bits as there are in L make the bias too small to be seen.
    this.#secret = bigEndian(crypto.getRandomValues(new Uint8Array(64))) % L;
    const own = Point.decode(hexToBytes(BLINDS[side])).times(this.#blind);
    this.#sent = BASE.times(this.#secret).plus(own).encode();
  }

  /** What to tell the other side. */
  get message() {
    return concatBytes(utf8ToBytes(this.#side), this.#sent);
  }

  /**
   * @param {Uint8Array} message what the other side told
   * @returns {Uint8Array} the key, 32 bytes; the other side's is another one if its password is
   * @throws {RangeError} it is not what another side could have told
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
