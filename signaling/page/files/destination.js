// The destination of received files: the best that the browser supports for this page.
//
// * a file or folder that the user chooses: Chromium on a computer, over https or on localhost
// * the origin private file system, followed by a download: other browsers, over https or localhost
// * blobs, followed by a download: pages without https

import { failed } from "./errors.js";
import { arrange, keyOf } from "./names.js";
import { Storage } from "./storage.js";
import { Thread } from "./thread.js";

/** The largest transfer into blobs, which the browser may keep in memory, in bytes. */
export const HELD_MOST = 1024 ** 3;

/**
 * The kind of destination for some entries: "file" or "folder" (chosen by the user), "stored" (in
 * the origin private file system) or "held" (blobs).
 *
 * @param {object[]} entries the offered entries
 */
export function way(entries) {
  const isOne = entries.length === 1 && !entries[0].folder;
  if (isOne && "showSaveFilePicker" in window) return "file";
  if (!isOne && "showDirectoryPicker" in window) return "folder";
  return Storage.isThere ? "stored" : "held";
}

export class Destination {
  #way;
  #entries;
  #handle;
  #thread = new Thread("./sink-worker.js");
  #done = new Map();
  #open = null;
  #storage = null;

  /** For each entry the components of its path relative to the chosen folder. */
  places;

  constructor(chosen, entries, handle, places) {
    this.#way = chosen;
    this.#entries = entries;
    this.#handle = handle;
    this.places = places;
  }

  /**
   * Let the user choose a file or folder, if necessary. Browsers allow this only after a click.
   *
   * @param {object[]} entries the offered entries
   * @returns {Promise<?Destination>} null if the user cancelled
   * @throws {TransferError} there is not enough space, or a name is refused
   */
  static async choose(entries) {
    const chosen = way(entries);
    let places = arrange(entries);
    let handle = null;
    try {
      if (chosen === "file") {
        handle = await window.showSaveFilePicker({ suggestedName: places[0][0] });
      } else if (chosen === "folder") {
        handle = await window.showDirectoryPicker({ id: "icefloe", mode: "readwrite" });
      }
    } catch (error) {
      if (error.name === "AbortError") return null;
      throw failed("permission", error.message);
    }
    // Existing files are never replaced.
    if (chosen === "folder") places = arrange(entries, await namesIn(handle));
    await checkRoom(chosen, entries);
    return new Destination(chosen, entries, handle, places);
  }

  /** Whether the files become downloads, which the user has to save one by one. */
  get isDownload() {
    return this.#way === "stored" || this.#way === "held";
  }

  /** The files and parts received before the connection broke. */
  async kept() {
    const kept = [...this.#done].map(([index, { size, hash }]) => ({ index, size, hash }));
    if (this.#open !== null) {
      const part = await this.#thread.call("part");
      if (part.size > 0) kept.push({ index: this.#open, ...part });
    }
    return kept;
  }

  /** Whether these are the same entries, so that the transfer can be resumed. */
  isFor(entries) {
    const same = (entry, i) =>
      ["path", "size", "mtime", "folder"].every((key) => entry[key] === this.#entries[i]?.[key]);
    return entries.length === this.#entries.length && entries.every(same);
  }

  async open(index, offset) {
    const done = this.#done.get(index);
    if (done && done.size === offset) return;
    this.#done.delete(index);
    if (this.#open === index && offset > 0) return;
    if (this.#open === index) await this.#thread.call("restart");
    else await this.#begin(index);
    this.#open = index;
  }

  /** @returns {Promise<number>} the offset up to which the file is written */
  write(data) {
    return this.#thread.call("write", { data }, [data.buffer]);
  }

  /** @returns {Promise<number>} the offset up to which the file is written: all data so far */
  flush() {
    return this.#thread.call("flush");
  }

  async close(index, size, hash) {
    const done = this.#done.get(index);
    if (done) {
      if (done.size === size && done.hash === hash) return;
      throw failed("mismatch", "what arrived is not what was sent", this.#entries[index].path);
    }
    this.#open = null;
    const blob = await this.#thread.call("finish", { size, hash });
    this.#done.set(index, { size, hash, blob });
  }

  /** Create the folders that contain no files. */
  async complete() {
    if (this.#way !== "folder") return;
    for (const [i, { folder }] of this.#entries.entries()) {
      if (folder) await folderAt(this.#handle, this.places[i]);
    }
  }

  /** @returns {{name: string, size: number, blob: ?Blob}[]} with a blob if it is a download */
  get files() {
    return [...this.#done].map(([index, { size, blob }]) => ({
      name: this.#name(index),
      size,
      blob,
    }));
  }

  /** Remove the incomplete file. Complete files are kept. */
  async discard() {
    try {
      if (this.#open !== null) await this.#thread.call("discard");
    } finally {
      this.release();
    }
  }

  release() {
    this.#thread.close();
  }

  #name(index) {
    return this.#way === "file" ? this.#handle.name : this.places[index].at(-1);
  }

  async #begin(index) {
    const argument = {};
    try {
      if (this.#way === "file") {
        argument.handle = this.#handle;
      } else if (this.#way === "folder") {
        const place = this.places[index];
        const folder = await folderAt(this.#handle, place.slice(0, -1));
        argument.handle = await folder.getFileHandle(place.at(-1), { create: true });
      } else if (this.#way === "stored") {
        this.#storage ??= await Storage.open();
        Object.assign(argument, { folder: this.#storage.folder, name: this.#storage.freshName() });
      }
    } catch (error) {
      const code = error.name === "NotAllowedError" ? "permission" : "unwritable";
      throw failed(code, error.message, this.#entries[index].path);
    }
    await this.#thread.call("open", argument);
  }
}

async function checkRoom(chosen, entries) {
  const size = entries.reduce((sum, entry) => sum + (entry.size ?? 0), 0);
  if (chosen === "held" && size > HELD_MOST) {
    throw failed("disk-full", "without https the browser lets this page keep 1 GB at most");
  }
  if (chosen !== "stored") return;
  const { quota = Infinity, usage = 0 } = await navigator.storage.estimate();
  if (size > quota - usage) {
    throw failed("disk-full", "the browser has not as much room for this page");
  }
}

async function namesIn(folder) {
  const names = new Set();
  for await (const name of folder.keys()) names.add(keyOf([name]));
  return names;
}

async function folderAt(folder, parts) {
  let at = folder;
  for (const part of parts) at = await at.getDirectoryHandle(part, { create: true });
  return at;
}
