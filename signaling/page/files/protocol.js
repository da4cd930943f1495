// Codec of the file transfer protocol, version 1: validation, encoding, limits. No I/O.

import { TransferError, violation } from "./errors.js";

/** Bytes that may be sent without being acknowledged. */
export const WINDOW = 4 * 1024 * 1024;
/** Bytes that a file counts in the window until it is done, in addition to its data. */
export const FILE_COST = 4096;
/** The largest data message, in bytes, including its header; less if the remote peer takes less. */
export const BLOCK = 64 * 1024;
/** Bytes of a file after which the receiver acknowledges them. */
export const ACK_EVERY = 256 * 1024;
/** Index of the file in 32 bits, and offset of the data in it in 64, both big-endian. */
export const HEADER = 12;
export const MOST_ENTRIES = 100_000;
/** Bytes of the paths of all entries in UTF-8, with `ENTRY_COST` for each. */
export const MOST_OFFERED = 16 * 1024 * 1024;
/** Bytes that an entry counts in an offer in addition to its path. */
export const ENTRY_COST = 64;

/** Characters of the entries in one message, approximately. */
const BATCH = 24 * 1024;
/** Bytes of a message; of text in UTF-8. */
const MESSAGE_LIMIT = 256 * 1024;
/** Bytes of a path in UTF-8. */
const LONGEST_PATH = 4096;
const BATCH_MOST = 5000;
const LAST_TIME_MS = Number(2n ** 62n / 1_000_000n);

const isInteger = (value, most) => Number.isInteger(value) && value >= 0 && value <= most;
const isIndex = (value) => isInteger(value, MOST_ENTRIES - 1);
const isLength = (value) => isInteger(value, 2 ** 53 - 1);
/** Bytes of a text in UTF-8; each UTF-16 code unit takes at most three. */
export const bytesOf = (text) => new TextEncoder().encode(text).length;
const hasBytes = (text, most) =>
  text.length <= most && (text.length * 3 <= most || bytesOf(text) <= most);
const isText = (value, most) => typeof value === "string" && value.length <= most;
const isHash = (value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
const isAbsent = (value) => value === undefined || value === null;

const isEntry = (entry) =>
  typeof entry === "object" &&
  entry !== null &&
  typeof entry.path === "string" &&
  hasBytes(entry.path, LONGEST_PATH) &&
  entry.path !== "" &&
  (isAbsent(entry.size) || isLength(entry.size)) &&
  (isAbsent(entry.folder) || typeof entry.folder === "boolean") &&
  (isAbsent(entry.mtime) || Number.isInteger(entry.mtime));
const isKept = (kept) =>
  typeof kept === "object" &&
  kept !== null &&
  isIndex(kept.index) &&
  isLength(kept.size) &&
  isHash(kept.hash);
const isListOf = (value, isOne) =>
  Array.isArray(value) && value.length <= BATCH_MOST && value.every(isOne);

const isFailed = ({ code, detail, path }) =>
  isText(code, 64) && (isAbsent(detail) || isText(detail, 1000)) && (isAbsent(path) || isText(path, 4096));

/** The messages of each side, with the validation of their fields. */
const FROM_SENDER = {
  entries: ({ entries }) => isListOf(entries, isEntry),
  offer: ({ count, size }) => isInteger(count, MOST_ENTRIES) && isLength(size),
  begin: ({ index, offset }) => isIndex(index) && isLength(offset),
  end: ({ index, size, hash }) => isIndex(index) && isLength(size) && isHash(hash),
  finish: () => true,
  failed: isFailed,
};
const FROM_RECEIVER = {
  decline: ({ reason }) => isAbsent(reason) || isText(reason, 1000),
  kept: ({ kept }) => isListOf(kept, isKept),
  accept: () => true,
  ack: ({ index, offset }) => isIndex(index) && isLength(offset),
  done: ({ index }) => isIndex(index),
  finished: () => true,
  failed: isFailed,
};

/**
 * @param {string|ArrayBuffer} message a message from a sender
 * @returns {object} with a `type`; that of data is "data", with `index`, `offset` and `data`
 * @throws {TransferError} the message is invalid
 */
export function decodeFromSender(message) {
  if (typeof message === "string") return decode(message, FROM_SENDER);
  if (message.byteLength <= HEADER || message.byteLength > MESSAGE_LIMIT) {
    throw violation(`a data message of ${message.byteLength} bytes`);
  }
  const view = new DataView(message);
  const offset = view.getUint32(4) * 2 ** 32 + view.getUint32(8);
  const data = new Uint8Array(message, HEADER);
  return { type: "data", index: view.getUint32(0), offset, data };
}

/**
 * @param {string|ArrayBuffer} message a message from a receiver
 * @returns {object} with a `type`
 * @throws {TransferError} the message is invalid
 */
export function decodeFromReceiver(message) {
  if (typeof message !== "string") throw violation("a receiver sends no data");
  return decode(message, FROM_RECEIVER);
}

function decode(text, known) {
  let message;
  try {
    message = hasBytes(text, MESSAGE_LIMIT) ? JSON.parse(text) : null;
  } catch {
    message = null;
  }
  const isRight = Object.hasOwn(known, message?.type) && known[message.type](message);
  if (!isRight) throw violation(`a message cannot be read: ${text.slice(0, 200)}`);
  return message;
}

/** @returns {string|Uint8Array} the encoded message */
export function encode(message) {
  if (message.type === "entries") {
    return `{"type":"entries","entries":[${message.entries.map(encodeEntry).join(",")}]}`;
  }
  if (message.type !== "data") return JSON.stringify(message);
  const { index, offset, data } = message;
  const bytes = new Uint8Array(HEADER + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, index);
  view.setUint32(4, Math.floor(offset / 2 ** 32));
  view.setUint32(8, offset % 2 ** 32);
  bytes.set(data, HEADER);
  return bytes;
}

/** Encode an entry. Nanoseconds exceed the exact integers of JavaScript, hence the BigInt. */
function encodeEntry({ path, size, lastModified }) {
  const entry = JSON.stringify({ path: path.toWellFormed?.() ?? path, size });
  // The protocol has no times before 1823 and after 2116.
  if (lastModified === undefined || Math.abs(lastModified) > LAST_TIME_MS) return entry;
  return `${entry.slice(0, -1)},"mtime":${BigInt(lastModified) * 1_000_000n}}`;
}

/** @returns {object[]} messages with the entries, each of about `BATCH` characters */
export function batches(entries) {
  const found = [];
  let batch = [];
  let size = 0;
  for (const entry of entries) {
    batch.push(entry);
    size += encodeEntry(entry).length;
    if (size < BATCH) continue;
    found.push({ type: "entries", entries: batch });
    batch = [];
    size = 0;
  }
  if (batch.length > 0) found.push({ type: "entries", entries: batch });
  return found;
}

/** The message for an error of this side. */
export function failedMessage({ code, detail, path }) {
  return { type: "failed", code, detail: detail.slice(0, 1000), path: path.slice(0, 4096) };
}

/** The error for a `failed` message of the remote peer. */
export function errorOf({ code, detail, path }) {
  return new TransferError("failed", detail ?? "", { code, path: path ?? "", here: false });
}
