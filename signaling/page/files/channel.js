// A data channel that waits for room before it sends, and is read one message at a time.

import { TransferError } from "./errors.js";

/** Bytes that may wait in the browser before `send()` waits. */
const BUFFER_MOST = 2 * 1024 * 1024;
const BUFFER_LOW = 512 * 1024;
const CLOSE_TIMEOUT_MS = 5000;

export class Channel {
  #raw;
  #inbox = [];
  #waiting = null;
  #hasEnded = false;
  #isStopped = false;

  /** @param {RTCDataChannel} raw messages are kept from now on; the protocol bounds them */
  constructor(raw) {
    this.#raw = raw;
    raw.binaryType = "arraybuffer";
    raw.bufferedAmountLowThreshold = BUFFER_LOW;
    raw.onmessage = ({ data }) => {
      this.#inbox.push(data);
      this.#wake();
    };
    raw.onopen = raw.onbufferedamountlow = () => this.#wake();
    raw.onclose = () => this.end();
  }

  /** Whether a message waits to be read. */
  get hasMore() {
    return this.#inbox.length > 0;
  }

  /** Whether nothing can be sent any more. */
  get hasEnded() {
    return this.#hasEnded || this.#isStopped;
  }

  async opened() {
    while (this.#raw.readyState === "connecting" && !this.hasEnded) await this.#news();
    this.#check();
  }

  /** Send, when there is room. */
  async send(message) {
    while (this.#raw.bufferedAmount > BUFFER_MOST && !this.hasEnded) await this.#news();
    this.trySend(message);
  }

  /** Send at once. */
  trySend(message) {
    this.#check();
    this.#raw.send(message);
  }

  /** Wait until there is something to read, or the end. */
  async readable() {
    while (this.#inbox.length === 0 && !this.hasEnded) await this.#news();
  }

  /**
   * @returns {Promise<string|ArrayBuffer>} the next message
   * @throws {TransferError} `broken`: there is none any more
   */
  async receive() {
    await this.readable();
    if (this.#inbox.length === 0) this.#check();
    return this.take();
  }

  /** The next message, which is there. */
  take() {
    return this.#inbox.shift();
  }

  /** Close it when all is sent, and wait for the other side to have done so. */
  async close() {
    this.#raw.close();
    const late = setTimeout(() => this.end(), CLOSE_TIMEOUT_MS);
    while (!this.#hasEnded) await this.#news();
    clearTimeout(late);
  }

  /** It is over: the connection is, or the other side closed it. What came can still be read. */
  end() {
    this.#hasEnded = true;
    this.#wake();
  }

  /** This side has said its last words: whoever waits to send or to read is told so. */
  stop() {
    this.#isStopped = true;
    this.#wake();
  }

  #check() {
    if (this.hasEnded || this.#raw.readyState !== "open") {
      throw new TransferError("broken", "The connection ended.");
    }
  }

  #news() {
    this.#waiting ??= Promise.withResolvers();
    return this.#waiting.promise;
  }

  #wake() {
    this.#waiting?.resolve();
    this.#waiting = null;
  }
}
