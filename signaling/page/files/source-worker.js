// Worker that reads and hashes files that are sent.

import { blake2b } from "../vendor/noble-hashes/blake2.js";
import { bytesToHex } from "../vendor/noble-hashes/utils.js";
import { failed } from "./errors.js";
import { serve } from "./thread.js";

/** Bytes read in one call; the page divides them into messages. */
const CHUNK = 1024 * 1024;

let file = null;
let offset = 0;
let hash = null;

function begin() {
  offset = 0;
  hash = blake2b.create({ dkLen: 32 });
}

async function next(most) {
  const data = new Uint8Array(await file.slice(offset, offset + most).arrayBuffer());
  const expected = Math.min(most, file.size - offset);
  if (data.length !== expected) throw failed("changed", "it got shorter since it was offered");
  hash.update(data);
  offset += data.length;
  return data;
}

serve(
  {
    /** Open a file; return whether `kept`, if there is any, is its beginning. */
    async open(argument) {
      file = argument.file;
      begin();
      const { kept } = argument;
      if (kept === null || kept.size > file.size) return false;
      while (offset < kept.size) await next(Math.min(CHUNK, kept.size - offset));
      if (bytesToHex(hash.clone().digest()) === kept.hash) return true;
      begin();
      return false;
    },

    /** Read the next bytes; `digest` is the hash of the file at its end, and null before. */
    async read() {
      const data = await next(CHUNK);
      const digest = offset === file.size ? bytesToHex(hash.digest()) : null;
      return [{ data, digest }, [data.buffer]];
    },
  },
  (error) =>
    error.name === "NotReadableError"
      ? failed("changed", "it was written to, moved or removed since it was chosen")
      : failed("unreadable", error.message),
);
