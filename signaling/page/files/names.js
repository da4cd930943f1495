// Safe names for received files. Names from the remote peer are not trusted: paths that lead out of
// the chosen folder are refused, and names that cause trouble on some system are changed.

import { blake2b } from "../vendor/noble-hashes/blake2.js";
import { bytesToHex, utf8ToBytes } from "../vendor/noble-hashes/utils.js";
import { failed, violation } from "./errors.js";
import { MOST_ENTRIES } from "./protocol.js";

/** Bytes of a name; browsers first write to a file with a longer name. */
const LONGEST = 233;
const DEPTH = 64;
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|:|$)/i;
/** Controls, line breaks, unassigned and bidirectional formatting characters, separators. */
const UNSAFE =
  /[\p{Cc}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069/\\<>:"|?*]/gu;

/**
 * @param {string} name one component of a path
 * @returns {string} the safe name; a safe name is returned unchanged
 * @throws {TransferError} `unsafe-name`
 */
export function safeName(name) {
  if (["", ".", ".."].includes(name)) throw unsafe(name, "it is no name");
  let safe = name.normalize("NFC").replace(UNSAFE, "_");
  if (/[. ]$/.test(safe)) safe = `${safe.slice(0, -1)}_`; // Windows drops them
  if (DEVICE.test(safe)) safe = `_${safe}`;
  return shortened(safe);
}

function shortened(name) {
  if (utf8ToBytes(name).length <= LONGEST) return name;
  const dot = name.lastIndexOf(".");
  const hasSuffix = dot > 0 && utf8ToBytes(name.slice(dot)).length <= 32;
  const suffix = hasSuffix ? name.slice(dot) : "";
  const mark = `~${bytesToHex(blake2b(utf8ToBytes(name), { dkLen: 4 }))}${suffix}`;
  const stem = hasSuffix ? name.slice(0, dot) : name;
  const room = new Uint8Array(LONGEST - utf8ToBytes(mark).length);
  const end = new TextEncoder().encodeInto(stem, room).read;
  return stem.slice(0, end).replace(/[. ]+$/, "") + mark;
}

/**
 * The place of each entry. Entries that would have the same name get a number each. The time is
 * linear in the length of the paths, even if many names are equal.
 *
 * @param {{path: string, folder?: boolean}[]} entries the offered entries
 * @param {Set<string>} taken names that exist already, as keys of `keyOf`
 * @returns {string[][]} for each entry the components of its path relative to the folder
 * @throws {TransferError} `unsafe-name`: a path is absolute, contains `..`, or is nested too
 *   deeply; `protocol`: there are too many folders
 */
export function arrange(entries, taken = new Set()) {
  const top = new Folder([]);
  for (const key of taken) top.taken.set(key, 2);
  let made = 0;
  const inner = (folder, name) => {
    let found = folder.folders.get(name);
    if (!found) {
      made += 1;
      if (made > MOST_ENTRIES) throw violation("too many folders are offered");
      found = new Folder([...folder.place, folder.free(safeName(name))]);
      folder.folders.set(name, found);
    }
    return found;
  };
  return entries.map(({ path, folder }) => {
    const parts = partsOf(path);
    const last = parts.pop();
    const parent = parts.reduce(inner, top);
    if (folder) return inner(parent, last).place;
    return [...parent.place, parent.free(safeName(last))];
  });
}

/** A folder that is offered, or that is a parent of an offered entry. */
class Folder {
  folders = new Map();
  /** The names in the folder, each with the number to try next if it occurs again. */
  taken = new Map();

  constructor(place) {
    this.place = place;
  }

  /** Return the wanted name, or a numbered one if it is taken, and mark it as taken. */
  free(wanted) {
    const key = keyOf([wanted]);
    let name = wanted;
    while (this.taken.has(keyOf([name]))) {
      // Continues at the last number: counting from 2 each time would take quadratic time.
      const number = this.taken.get(key);
      this.taken.set(key, number + 1);
      name = numbered(wanted, number);
    }
    this.taken.set(keyOf([name]), 2);
    return name;
  }
}

/** The key of a name for comparison: names that differ only in case are equal on many systems. */
export const keyOf = (parts) => parts.join("/").toLowerCase();

function numbered(name, number) {
  const dot = name.lastIndexOf(".");
  const at = dot > 0 ? dot : name.length;
  return safeName(`${name.slice(0, at)} (${number})${name.slice(at)}`);
}

function partsOf(path) {
  const parts = path.split("/");
  if (parts.length > DEPTH) throw unsafe(path, "it is nested too deeply");
  if (parts[0] === "" || /^[A-Za-z]:[\\/]/.test(path)) throw unsafe(path, "it is absolute");
  for (const part of parts) {
    if (["", ".", ".."].includes(part)) throw unsafe(path, "it leads out of the folder");
  }
  return parts;
}

function unsafe(path, reason) {
  return failed("unsafe-name", `the name is refused because ${reason}`, path.slice(0, 200));
}
