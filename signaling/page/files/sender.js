// State machine of the sender of a file transfer. No I/O.
//
// Pass the messages of the receiver to `receive()`. Carry out the steps that `next()` returns, one
// after the other, until it returns null; then wait for the next message. The steps never exceed
// the window.

import { TransferError, violation } from "./errors.js";
import { batches, errorOf, failedMessage, FILE_COST, HEADER, WINDOW } from "./protocol.js";

export class Sender {
  #payload;
  #waiting;
  #kept = new Map();
  #nextIndex = 0;
  #open = null;
  #isAsked = false;
  #offset = 0;
  #unfinished = new Map();

  /** `offering`, `sending`, `finishing`, `finished` or `failed`. */
  state = "offering";
  /** The reason of the failure. */
  error = null;
  /** Bytes that the receiver has, including those kept from an earlier attempt. */
  acknowledged = 0;
  /** Those of the bytes that were kept from an earlier attempt. */
  resumed = 0;

  /**
   * @param {{path: string, size: number, lastModified: number}[]} entries the files to send
   * @param {number} block the largest data message, in bytes, including its header
   */
  constructor(entries, block) {
    this.entries = entries;
    this.#payload = block - HEADER;
    const size = entries.reduce((sum, entry) => sum + entry.size, 0);
    this.size = size;
    const offer = { type: "offer", count: entries.length, size };
    this.#waiting = [...batches(entries), offer].map((message) => ({ do: "say", message }));
  }

  /** The index of the file that is being sent, or was sent last. */
  get index() {
    return Math.max(this.#nextIndex - 1, 0);
  }

  /**
   * @returns {?object} the next step: `{do: "say", message}`: send it; `{do: "open", index, kept}`,
   *   then call `opened()`; `{do: "read", index, size}`, then call `read()`; or null
   */
  next() {
    if (this.#waiting.length > 0) return this.#waiting.shift();
    if (this.state !== "sending" || this.#isAsked) return null;
    const left = WINDOW - this.#inFlight;
    if (this.#open === null) {
      if (this.#unfinished.size > 0 && left < FILE_COST) return null;
      if (this.#nextIndex === this.entries.length) {
        this.state = "finishing";
        return { do: "say", message: { type: "finish" } };
      }
      this.#isAsked = true;
      const index = this.#nextIndex++;
      return { do: "open", index, kept: this.#kept.get(index) ?? null };
    }
    const file = this.#unfinished.get(this.#open);
    if (left < this.#payload && file.sent > file.acknowledged) return null;
    this.#isAsked = true;
    return { do: "read", index: this.#open, size: this.#payload };
  }

  /** Record that a file is open, and whether the part that the receiver has kept is valid. */
  opened(index, keptIsRight) {
    this.#isAsked = false;
    if (this.state !== "sending") return;
    const kept = this.#kept.get(index);
    this.#offset = kept && keptIsRight ? kept.size : 0;
    this.#open = index;
    this.#unfinished.set(index, { sent: this.#offset, acknowledged: this.#offset });
    this.acknowledged += this.#offset;
    this.resumed += this.#offset;
    this.#say({ type: "begin", index, offset: this.#offset });
  }

  /** Record the bytes read; `digest` is the hash of the file at its end, and null before. */
  read(data, digest) {
    this.#isAsked = false;
    if (this.state !== "sending") return;
    const index = this.#open;
    if (data.length > 0) {
      this.#say({ type: "data", index, offset: this.#offset, data });
      this.#offset += data.length;
      this.#unfinished.get(index).sent = this.#offset;
    }
    if (digest !== null) {
      this.#say({ type: "end", index, size: this.#offset, hash: digest });
      this.#open = null;
    }
  }

  /** End the transfer with an error; the receiver is told if it happened on this side. */
  fail(error) {
    if (this.state === "finished" || this.state === "failed") return;
    this.state = "failed";
    this.error = error;
    this.#waiting = error.here ? [{ do: "say", message: failedMessage(error) }] : [];
  }

  /** Process a message of the receiver; one that violates the protocol fails the transfer. */
  receive(message) {
    if (this.state === "finished" || this.state === "failed") return;
    try {
      this.#receive(message);
    } catch (error) {
      if (!(error instanceof TransferError)) throw error;
      this.fail(error);
    }
  }

  #receive(message) {
    const { type } = message;
    const isOffering = this.state === "offering";
    if (type === "failed") this.fail(errorOf(message));
    else if (type === "decline" && isOffering) this.#declined(message.reason ?? "");
    else if (type === "kept" && isOffering) this.#keep(message.kept);
    else if (type === "accept" && isOffering && this.#waiting.length === 0) this.state = "sending";
    else if (type === "ack") this.#acknowledge(message);
    else if (type === "done") this.#done(message.index);
    else if (type === "finished" && this.state === "finishing" && this.#unfinished.size === 0) {
      this.state = "finished";
    } else throw violation(`${type} came while ${this.state}`);
  }

  #declined(reason) {
    this.state = "failed";
    this.error = new TransferError("declined", reason, { here: false });
    this.#waiting = [];
  }

  #keep(all) {
    for (const kept of all) {
      if (kept.index >= this.entries.length) throw violation(`there is no file ${kept.index}`);
      this.#kept.set(kept.index, kept);
    }
  }

  #acknowledge({ index, offset }) {
    const file = this.#file(index);
    if (offset < file.acknowledged || offset > file.sent) {
      throw violation(`bytes were acknowledged that were not sent: ${offset}`);
    }
    this.acknowledged += offset - file.acknowledged;
    file.acknowledged = offset;
  }

  #done(index) {
    const file = this.#file(index);
    const isComing = ({ message }) => message.type === "end" && message.index === index;
    if (index === this.#open || this.#waiting.some(isComing)) {
      throw violation("a file was done before it was sent");
    }
    this.acknowledged += file.sent - file.acknowledged;
    this.#unfinished.delete(index);
  }

  #file(index) {
    const file = this.#unfinished.get(index);
    if (!file) throw violation(`file ${index} is not being sent`);
    return file;
  }

  #say(message) {
    this.#waiting.push({ do: "say", message });
  }

  get #inFlight() {
    let sum = 0;
    for (const { sent, acknowledged } of this.#unfinished.values()) {
      sum += sent - acknowledged + FILE_COST;
    }
    return sum;
  }
}
