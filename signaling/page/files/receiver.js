// State machine of the receiver of a file transfer. No I/O.
//
// Pass the messages of the sender to `receive()`, and carry out the returned steps in order. Report
// each write with `written()`: bytes are acknowledged only after they are written.

import { TransferError, violation } from "./errors.js";
import {
  ACK_EVERY,
  bytesOf,
  ENTRY_COST,
  errorOf,
  failedMessage,
  MOST_ENTRIES,
  MOST_OFFERED,
} from "./protocol.js";

const KEPT_IN_A_MESSAGE = 200;

export class Receiver {
  #cost = 0;
  #open = null;
  #offset = 0;
  #written = 0;
  #acknowledged = 0;
  #seen = new Set();
  #kept = new Map();
  #toCome = 0;
  #isFinishing = false;

  /** `listening`, `offered`, `receiving`, `finished` or `failed`. */
  state = "listening";
  /** The reason of the failure. */
  error = null;
  /** The offered entries; complete from state `offered` on. */
  entries = [];
  /** Bytes that are written, including those kept from an earlier attempt. */
  writtenBytes = 0;
  /** Those of the bytes that were kept from an earlier attempt. */
  resumed = 0;
  /** The index of the file that is being received, or was received last. */
  index = 0;

  /** Bytes of all files, or null if one is a stream of unknown size. */
  get size() {
    const files = this.entries.filter(({ folder }) => !folder);
    return files.some(({ size }) => size === undefined || size === null) ? null : this.#knownSize;
  }

  get #knownSize() {
    return this.entries.reduce((sum, { size }) => sum + (size ?? 0), 0);
  }

  /**
   * Accept the files.
   *
   * @param {{index: number, size: number, hash: string}[]} kept parts of earlier attempts
   * @returns {object[]} the steps to carry out, as `receive()`
   */
  accept(kept) {
    if (this.state !== "offered") return [];
    this.state = "receiving";
    this.#kept = new Map(kept.map(({ index, size }) => [index, size]));
    this.#toCome = this.entries.filter(({ folder }) => !folder).length;
    const told = [];
    for (let i = 0; i < kept.length; i += KEPT_IN_A_MESSAGE) {
      told.push(say({ type: "kept", kept: kept.slice(i, i + KEPT_IN_A_MESSAGE) }));
    }
    return [...told, say({ type: "accept" })];
  }

  /** Decline the files; return the steps. */
  decline(reason) {
    if (this.state !== "offered") return [];
    this.state = "failed";
    return [say({ type: "decline", reason })];
  }

  /** Record that the open file is written up to an offset; return the steps. */
  written(index, offset) {
    this.writtenBytes += offset - this.#written;
    this.#written = offset;
    if (offset - this.#acknowledged < ACK_EVERY) return [];
    this.#acknowledged = offset;
    return [say({ type: "ack", index, offset })];
  }

  /** Record that a file is verified and in its place; return the steps. */
  closed(index) {
    return [say({ type: "done", index })];
  }

  /** Record that all files are complete; return the steps. */
  completed() {
    this.state = "finished";
    return [say({ type: "finished" })];
  }

  /** End the transfer with an error; return the steps. */
  fail(error) {
    if (this.state === "finished" || this.state === "failed") return [];
    this.state = "failed";
    this.error = error;
    return error.here ? [say(failedMessage(error))] : [];
  }

  /**
   * Process a message of the sender; one that violates the protocol fails the transfer.
   *
   * @returns {object[]} the steps: `{do: "say", message}`: send it; `{do: "open", index, offset}`;
   *   `{do: "write", index, offset, data}`, then call `written()`; `{do: "close", index, size,
   *   hash}`: verify the file and move it to its place, then call `closed()`; `{do: "complete"}`,
   *   then call `completed()`
   */
  receive(message) {
    if (this.state === "finished" || this.state === "failed") return [];
    try {
      return this.#receive(message);
    } catch (error) {
      if (!(error instanceof TransferError)) throw error;
      return this.fail(error);
    }
  }

  #receive(message) {
    const { type } = message;
    const isListening = this.state === "listening";
    if (type === "failed") return this.fail(errorOf(message));
    if (type === "entries" && isListening) return this.#add(message.entries);
    if (type === "offer" && isListening) return this.#offered(message);
    if (this.state !== "receiving" || this.#isFinishing) {
      throw violation(`${type} came while ${this.state}`);
    }
    if (type === "data") return this.#data(message);
    if (type === "begin") return this.#begin(message);
    if (type === "end") return this.#end(message);
    if (type === "finish") return this.#finish();
    throw violation("more files are offered after the offer");
  }

  #add(entries) {
    // Other fields of an entry are not kept.
    for (const { path, size, folder, mtime } of entries) {
      this.#cost += bytesOf(path) + ENTRY_COST;
      this.entries.push({ path, size, folder, mtime });
    }
    if (this.entries.length > MOST_ENTRIES || this.#cost > MOST_OFFERED) {
      throw violation("too many files are offered");
    }
    return [];
  }

  #offered({ count, size }) {
    if (count !== this.entries.length || size !== this.#knownSize) {
      throw violation("the offer does not add up");
    }
    this.state = "offered";
    return [];
  }

  #begin({ index, offset }) {
    if (this.#open !== null) throw violation("a file begins within another one");
    const entry = this.entries[index];
    if (!entry || entry.folder || this.#seen.has(index)) {
      throw violation(`there is no file ${index} to begin`);
    }
    if (offset !== 0 && offset !== this.#kept.get(index)) {
      throw violation(`file ${index} cannot go on at ${offset}`);
    }
    this.#seen.add(index);
    this.#open = this.index = index;
    this.#offset = this.#acknowledged = this.#written = offset;
    this.writtenBytes += offset;
    this.resumed += offset;
    return [{ do: "open", index, offset }];
  }

  #data({ index, offset, data }) {
    if (index !== this.#open || offset !== this.#offset) {
      throw violation(`data for file ${index} at ${offset} is out of place`);
    }
    this.#offset += data.length;
    const { size } = this.entries[index];
    if (size !== undefined && size !== null && this.#offset > size) {
      throw violation(`file ${index} is longer than it was offered`);
    }
    return [{ do: "write", index, offset, data }];
  }

  #end({ index, size, hash }) {
    if (index !== this.#open || size !== this.#offset) {
      throw violation(`file ${index} ends where it should not`);
    }
    this.#open = null;
    this.#toCome -= 1;
    return [{ do: "close", index, size, hash }];
  }

  #finish() {
    if (this.#open !== null || this.#toCome > 0) throw violation("files are missing");
    this.#isFinishing = true;
    return [{ do: "complete" }];
  }
}

function say(message) {
  return { do: "say", message };
}
