// A wrapper of RTCDataChannel with flow control for sending and a queue for receiving.

import { TransferError } from "./errors.js";

/** Bytes in the send buffer of the browser above which `send()` waits. */
const BUFFER_MOST = 2 * 1024 * 1024;
const BUFFER_LOW = 512 * 1024;
const CLOSE_TIMEOUT_MS = 5000;

export class Channel {
  #raw;
  #inbox = [];
  #waiting = null;
  #hasEnded = false;
  #isStopped = false;

  /** @param {RTCDataChannel} raw its messages are queued from now on; the protocol bounds them */
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

  /** Whether a message has arrived that was not read yet. */
  get hasMore() {
    return this.#inbox.length > 0;
  }

  /** Whether sending is no longer possible. */
  get hasEnded() {
    return this.#hasEnded || this.#isStopped;
  }

  async opened() {
    while (this.#raw.readyState === "connecting" && !this.hasEnded) await this.#news();
    this.#check();
  }

  /** Wait for room in the send buffer, then send. */
  async send(message) {
    while (this.#raw.bufferedAmount > BUFFER_MOST && !this.hasEnded) await this.#news();
    this.trySend(message);
  }

  /** Send without waiting. */
  trySend(message) {
    this.#check();
    this.#raw.send(message);
  }

  /** Wait until a message has arrived or the channel has ended. */
  async readable() {
    while (this.#inbox.length === 0 && !this.hasEnded) await this.#news();
  }

  /**
   * @returns {Promise<string|ArrayBuffer>} the next message
   * @throws {TransferError} `broken`: the channel has ended
   */
  async receive() {
    await this.readable();
    if (this.#inbox.length === 0) this.#check();
    return this.take();
  }

  /** The next message, which must have arrived. */
  take() {
    return this.#inbox.shift();
  }

  /** Close the channel after all messages are sent; wait until the remote peer has closed it. */
  async close() {
    this.#raw.close();
    const late = setTimeout(() => this.end(), CLOSE_TIMEOUT_MS);
    while (!this.#hasEnded) await this.#news();
    clearTimeout(late);
  }

  /** Mark the channel as ended; messages that have arrived can still be read. */
  end() {
    this.#hasEnded = true;
    this.#wake();
  }

  /** Stop sending: this side has sent its last message. Wakes waiting callers. */
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
