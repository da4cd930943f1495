// Messages for the user: missing devices, refusals of the server, states of a call.

const WORDS = {
  "audio,video": {
    all: "camera and microphone",
    any: "camera or microphone",
    are: "are",
    them: "them",
    instead: "a drawn picture and a quiet tone",
  },
  audio: { all: "microphone", any: "microphone", are: "is", them: "it", instead: "a quiet tone" },
  video: { all: "camera", any: "camera", are: "is", them: "it", instead: "a drawn picture" },
};
const REASONS = {
  denied: ({ all, are, them }) =>
    `Your ${all} ${are} blocked; allow ${them} in the site settings, next to the address`,
  none: ({ any }) => `No ${any} was found; plug one in, and it is used at once`,
  busy: ({ all, are, them }) =>
    `Your ${all} ${are} in use by another program; close that, then try again here`,
  lost: ({ all, them }) => `Your ${all} went away; plug ${them} in, to be used at once`,
  insecure: ({ all }) =>
    `Browsers share your ${all} only with a page from https or localhost; open this one that way`,
  unsupported: ({ all }) => `This browser could not open your ${all}; try another browser`,
};

/** @param {{kinds: string[], reason: string}} missing as in `Media.missing` */
export function deviceWords({ kinds, reason }) {
  const words = WORDS[kinds.join(",")];
  return `${REASONS[reason](words)}. Until then, others get ${words.instead}.`;
}

const REFUSALS = {
  "name-taken": ({ name, room }) =>
    `Somebody called “${name}” is in “${room}” already. How about “${otherName(name)}”?`,
  "room-full": ({ room }) => `“${room}” is full. Try again later, or take another room.`,
  unauthorized: ({ room }) =>
    `“${room}” is open by invitation only. Use the link you were invited with, or ask for a new one.`,
  "token-expired": ({ room }) => `Your invitation to “${room}” has expired. Ask for a new link.`,
  "token-not-yet": ({ room }) => `Your invitation to “${room}” is for a later time.`,
  "token-name": () => "Your invitation is for another name. Join under the name that was invited.",
  "token-room": () => "Your invitation is for another room.",
  "token-rights": ({ room }) => `Your invitation does not let you join “${room}”.`,
  removed: ({ room }) => `You were removed from “${room}”.`,
  "room-locked": ({ room }) => `“${room}” is locked. Ask its host to let you in.`,
  "room-closed": ({ room }) => `“${room}” was closed by its host.`,
  "admission-failed": () => "The server cannot tell now whether you may join. Try again later.",
  version: () => "This page and its server are of different versions. Reload the page.",
  "taken-over": () => "Another connection has taken your place. Join again to come back.",
  "rate-limited": () => "The server asks for a little patience. Try again in a minute.",
};

/** The reason why joining was refused, and what to do about it. */
export function refusalWords(error, { name, room }) {
  const isToken = error.code.startsWith("token-") && !(error.code in REFUSALS);
  const code = isToken ? "unauthorized" : error.code;
  return REFUSALS[code]?.({ name, room }) ?? `The server said no: ${error.reason || error.message}`;
}

/** The next name to try: "alice" → "alice 2" → "alice 3". */
export function otherName(name) {
  const [, stem, number] = name.match(/^(.*?)(?: (\d{1,4}))?$/su);
  const suffix = ` ${number ? Number(number) + 1 : 2}`;
  return stem.slice(0, 64 - suffix.length) + suffix;
}

const QUALITIES = ["Calm", "Bright", "Gentle", "Merry", "Quiet", "Swift", "Sunny", "Curious"];
const ANIMALS = ["Puffin", "Seal", "Otter", "Narwhal", "Tern", "Fox", "Beluga", "Hare", "Owl"];

/** A random name for a user who has not given one. */
export function randomName() {
  const pick = (words) => words[Math.floor(Math.random() * words.length)];
  return `${pick(QUALITIES)} ${pick(ANIMALS)}`;
}

/** The text of a tile without a picture; empty if the call is connected. */
export function tileWords({ state, away }) {
  if (state === "connected") return "";
  if (away) return "away";
  if (state === "failed") return "no path found, trying again";
  if (state === "disconnected") return "connection interrupted";
  return "connecting";
}
