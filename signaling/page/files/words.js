// Error messages for the user: what happened, and what to do about it.

const KINDS = {
  "invalid-code": ({ detail }) => ["That is no code", `${detail} A code looks like 7-amber-falcon.`],
  "wrong-code": () => [
    "The codes differ",
    "Compare the code with the one on the other device, letter by letter. If they are the same, " +
      "somebody in between is guessing at it: make a new one.",
  ],
  "used-up": () => [
    "The code is void",
    "Somebody tried wrong codes for this transfer. Start it again, with a new code.",
  ],
  fingerprints: () => [
    "Somebody is in between",
    "The server changed the keys of the connection, so that somebody could have listened in. " +
      "Nothing was sent. Use another server.",
  ],
  signaling: ({ detail }) => ["The server said no", detail],
  connection: () => [
    "No path between the two devices",
    "Their networks do not let them reach each other directly. Bring both into one network, or " +
      "use a server that names a TURN server.",
  ],
  declined: ({ detail, here }) =>
    here
      ? ["Declined", "You did not take the files, and nothing was received."]
      : ["The other side said no", detail ? `It said: ${detail}` : "It did not take the files."],
  broken: () => ["The connection broke", "The other side went away in the middle."],
};

const CODES = {
  changed: ["A file was changed", "It was written to, moved or removed since it was offered. Send it again."],
  unreadable: ["A file cannot be read", "See whether the sender may read it. A folder cannot be sent as a file."],
  "disk-full": ["No room for it", "Make room where it is received, then start again."],
  permission: ["It may not be written there", "Choose a place that may be written to."],
  "unsafe-name": ["A name was refused", "It would lead out of the chosen folder, or is no name. Nothing was written there."],
  unwritable: ["It could not be written", "Choose another place, and start again."],
  mismatch: ["It arrived damaged", "What arrived is not what was sent, and was removed. Send it again."],
  cancelled: ["Stopped", "The transfer was stopped before it was complete."],
  protocol: ["The two do not understand each other", "Use versions of icefloe that belong together."],
};

/**
 * @param {TransferError} error
 * @returns {{title: string, text: string, detail: string}}
 */
export function errorWords(error) {
  if (error.kind !== "failed") {
    const [title, text] = KINDS[error.kind](error);
    return { title, text, detail: "" };
  }
  const [title, advice] = CODES[error.code] ?? ["It could not be completed", ""];
  if (error.code === "cancelled") {
    const who = error.here ? "You" : "The other side";
    return { title, text: `${who} stopped the transfer before it was complete.`, detail: "" };
  }
  const about = [error.path && `“${error.path}”`, error.detail].filter(Boolean).join(": ");
  return { title, text: advice, detail: `${error.here ? "" : "The other side reports: "}${about}` };
}
