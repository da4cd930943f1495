// Worker that hashes and writes received files.

import { blake2b } from "../vendor/noble-hashes/blake2.js";
import { bytesToHex } from "../vendor/noble-hashes/utils.js";
import { failed } from "./errors.js";
import { serve } from "./thread.js";

/** Bytes written in one call. */
const CHUNK = 1024 * 1024;
/** Bytes of one blob, which the browser can keep outside of the memory of the page. */
const BLOB = 8 * 1024 * 1024;

/** A file on the disk that the user has chosen. */
class ChosenFile {
  constructor(handle) {
    this.handle = handle;
  }

  async begin() {
    await this.writable?.abort();
    // The browser writes to a temporary file, which replaces this one when it is closed.
    this.writable = await this.handle.createWritable();
  }

  write(bytes) {
    return this.writable.write(bytes);
  }

  async finish() {
    await this.writable.close();
    return null;
  }

  discard() {
    return this.writable.abort();
  }
}

/** A file in the origin private file system, which is downloaded in the end. */
class StoredFile {
  constructor(folder, name) {
    this.folder = folder;
    this.name = name;
    this.at = 0;
  }

  async begin() {
    this.access?.close();
    this.handle = await this.folder.getFileHandle(this.name, { create: true });
    this.access = await this.handle.createSyncAccessHandle();
    this.access.truncate(0);
    this.at = 0;
  }

  write(bytes) {
    let left = bytes;
    while (left.length > 0) {
      const count = this.access.write(left, { at: this.at });
      if (count === 0) throw new DOMException("nothing more was taken", "QuotaExceededError");
      this.at += count;
      left = left.subarray(count);
    }
  }

  finish() {
    this.access.flush();
    this.access.close();
    return this.handle.getFile();
  }

  discard() {
    this.access.close();
    return this.folder.removeEntry(this.name);
  }
}

/** Blobs, for browsers without other storage for this page. */
class HeldFile {
  begin() {
    this.blobs = [];
    this.parts = [];
    this.waiting = 0;
  }

  write(bytes) {
    this.parts.push(bytes);
    this.waiting += bytes.length;
    if (this.waiting < BLOB) return;
    this.blobs.push(new Blob(this.parts));
    this.parts = [];
    this.waiting = 0;
  }

  finish() {
    return new Blob([...this.blobs, ...this.parts]);
  }

  discard() {
    this.begin();
  }
}

let file = null;
let hash = null;
let size = 0;
let written = 0;
let pending = [];

async function flush() {
  if (size > written) {
    const bytes = new Uint8Array(size - written);
    let at = 0;
    for (const part of pending) {
      bytes.set(part, at);
      at += part.length;
    }
    pending = [];
    await file.write(bytes);
    written = size;
  }
  return written;
}

const digest = () => bytesToHex(hash.clone().digest());

async function begin() {
  await file.begin();
  hash = blake2b.create({ dkLen: 32 });
  size = written = 0;
  pending = [];
}

serve(
  {
    /** Open a file: by its `handle`, by `folder` and `name`, or as blobs. */
    async open({ handle, folder, name }) {
      if (handle) file = new ChosenFile(handle);
      else file = folder ? new StoredFile(folder, name) : new HeldFile();
      await begin();
    },

    /** Start the same file again from its beginning. */
    restart: begin,

    /** Append data; return the offset up to which the file is written. */
    async write({ data }) {
      hash.update(data);
      pending.push(data);
      size += data.length;
      return size - written >= CHUNK ? flush() : written;
    },

    /** Write all pending data; return the offset up to which the file is written. */
    flush,

    /** Return the size and hash of the data of the open file. */
    async part() {
      await flush();
      return { size, hash: digest() };
    },

    /** Verify and complete the file; return it if it still has to be downloaded. */
    async finish(right) {
      await flush();
      if (size !== right.size || digest() !== right.hash) {
        await file.discard();
        file = null;
        throw failed("mismatch", "what arrived is not what was sent");
      }
      const whole = await file.finish();
      file = null;
      return whole;
    },

    /** Remove the open file. */
    async discard() {
      await file?.discard();
      file = null;
    },
  },
  (error) => {
    const code = {
      NotAllowedError: "permission",
      NoModificationAllowedError: "permission",
      QuotaExceededError: "disk-full",
    };
    return failed(code[error.name] ?? "unwritable", error.message);
  },
);
