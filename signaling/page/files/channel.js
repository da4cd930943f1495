// A data channel of icefloe.js as transfers use it: it can be stopped, and its errors are theirs.

import { DataChannel, IcefloeError } from "../icefloe.js";
import { TransferError } from "./errors.js";

/** Bytes in the send buffer of the browser above which `send()` waits. */
const BUFFER_MOST = 2 * 1024 * 1024;
const CLOSE_TIMEOUT_MS = 5000;

export class Channel {
  #channel;
  /** A message that was looked at, and not taken. */
  #next = null;
  #arriving = null;
  #isStopped = false;
  #stopped = Promise.withResolvers();

  /** @param {RTCDataChannel} raw its messages are kept from now on */
  constructor(raw) {
    this.#channel = new DataChannel(raw, { sendBuffer: BUFFER_MOST });
  }

  /** Whether a message has arrived that was not read yet. */
  get hasMore() {
    if (this.#next === null && this.#arriving === null) this.#next = this.#channel.tryReceive();
    return this.#next !== null;
  }

  /** Whether sending is no longer possible. */
  get hasEnded() {
    return this.#channel.closed || this.#isStopped;
  }

  async opened() {
    await this.#unlessStopped(this.#channel.opened());
  }

  /** Wait for room in the send buffer, then send. */
  async send(message) {
    this.#check();
    await this.#unlessStopped(this.#channel.send(message));
  }

  /** Send without waiting. */
  trySend(message) {
    this.#check();
    this.#channel.channel.send(message);
  }

  /** Wait until a message has arrived or the channel has ended. */
  async readable() {
    while (!this.hasMore && !this.hasEnded) {
      this.#arriving ??= this.#arrive();
      await Promise.race([this.#arriving, this.#stopped.promise]);
    }
  }

  /**
   * @returns {Promise<string|ArrayBuffer>} the next message
   * @throws {TransferError} `broken`: the channel has ended
   */
  async receive() {
    await this.readable();
    if (!this.hasMore) this.#check();
    return this.take();
  }

  /** The next message, which must have arrived. */
  take() {
    const message = this.#next;
    this.#next = null;
    return typeof message === "string" ? message : message.buffer;
  }

  /** Close the channel after all messages are sent; wait until the remote peer has closed it. */
  async close() {
    this.#channel.close();
    await this.#channel.aclose(CLOSE_TIMEOUT_MS);
  }

  /** Mark the channel as ended; messages that have arrived can still be read. */
  end() {
    this.#channel.abandon();
  }

  /** Stop sending: this side has sent its last message. Wakes waiting callers. */
  stop() {
    this.#isStopped = true;
    this.#stopped.resolve();
  }

  async #arrive() {
    try {
      this.#next = await this.#channel.receive();
    } catch (error) {
      if (!(error instanceof IcefloeError)) throw error;
    } finally {
      this.#arriving = null;
    }
  }

  async #unlessStopped(work) {
    try {
      await Promise.race([work, this.#stopped.promise]);
    } catch (error) {
      if (!(error instanceof IcefloeError)) throw error;
      throw broken();
    }
    this.#check();
  }

  #check() {
    if (this.hasEnded || this.#channel.closedBy !== null) throw broken();
  }
}

function broken() {
  return new TransferError("broken", "The connection ended.");
}
