// The tracks that this page sends: camera and microphone, or substitutes for missing devices.
//
// There is always a track of each kind, so joining does not wait for a device or for permission.
// When a device appears or disappears, the track in the calls is replaced.

import { DrawnPicture, Tone } from "./standin.js";

const WANTED = {
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  video: { width: { ideal: 960 }, height: { ideal: 540 }, frameRate: { ideal: 30, max: 30 } },
};
const PERMISSIONS = { audio: "microphone", video: "camera" };
const KINDS = ["audio", "video"];

export class Media {
  #on;
  #devices = { audio: null, video: null };
  #picture = null;
  #tone = null;
  #opening = null;
  #wanted = false;
  #sending = { audio: true, video: true };

  /** The text in the drawn picture. */
  name = "";

  /** The missing devices, `{kinds: ["audio", "video"], reason: "denied"|…}`, or null. */
  missing = null;

  /**
   * @param {{track: Function, devices: Function}} on callbacks: `track(track)` when the track to
   *   send has changed, `devices()` when devices were opened or lost.
   */
  constructor(on) {
    this.#on = on;
    navigator.mediaDevices?.addEventListener("devicechange", () => {
      if (this.#wanted && this.missing) this.open();
    });
  }

  /** The kinds that are switched on: `{audio: boolean, video: boolean}`. */
  get sending() {
    return { ...this.#sending };
  }

  /** Whether the browser is asking the user for permission. */
  get asking() {
    return this.#opening !== null;
  }

  /** Whether `open()` was called, and not `close()` after it. */
  get isOpen() {
    return this.#wanted;
  }

  /** Whether the video is that of a camera. */
  get hasCamera() {
    return this.#devices.video !== null;
  }

  /** Open the devices that are not open yet; may be called again at any time. */
  open() {
    this.#wanted = true;
    this.#opening ??= this.#openMissing().finally(() => {
      this.#opening = null;
      if (this.#tone) this.#tone.audible = this.missing !== null;
      this.#on.devices();
    });
    return this.#opening;
  }

  /** The tracks to send, one of each kind. The tone requires a click before. */
  tracks() {
    return KINDS.map((kind) => this.track(kind));
  }

  track(kind) {
    const track = this.#devices[kind] ?? (kind === "video" ? this.#drawn() : this.#toned());
    track.enabled = this.#sending[kind];
    return track;
  }

  setSending(kind, on) {
    this.#sending[kind] = on;
    if (this.#devices[kind]) this.#devices[kind].enabled = on;
    else if (kind === "video" && this.#picture) this.#picture.track.enabled = on;
    else if (kind === "audio" && this.#tone) this.#tone.track.enabled = on;
  }

  /** Close the camera, the microphone and their substitutes. */
  close() {
    this.#wanted = false;
    this.missing = null;
    for (const kind of KINDS) this.#devices[kind]?.stop();
    this.#devices = { audio: null, video: null };
    this.#dropStandIn("audio");
    this.#dropStandIn("video");
  }

  #drawn() {
    this.#picture ??= new DrawnPicture(() => this.name);
    return this.#picture.track;
  }

  #toned() {
    if (!this.#tone) {
      this.#tone = new Tone();
      // Silent while the browser asks for permission: the microphone may start at any moment.
      this.#tone.audible = !this.asking;
    }
    return this.#tone.track;
  }

  #dropStandIn(kind) {
    if (kind === "video") {
      this.#picture?.close();
      this.#picture = null;
    } else {
      this.#tone?.close();
      this.#tone = null;
    }
  }

  async #openMissing() {
    const kinds = KINDS.filter((kind) => !this.#devices[kind]);
    const { tracks, reason } = await capture(kinds);
    if (!this.#wanted) {
      for (const track of tracks) track.stop();
      return;
    }
    for (const track of tracks) this.#adopt(track);
    const missing = KINDS.filter((kind) => !this.#devices[kind]);
    this.missing = missing.length ? { kinds: missing, reason } : null;
    if (missing.includes("video")) this.#on.track(this.track("video"));
  }

  #adopt(track) {
    const { kind } = track;
    this.#devices[kind] = track;
    track.enabled = this.#sending[kind];
    track.onended = () => this.#lost(track);
    this.#on.track(track);
    this.#dropStandIn(kind);
  }

  #lost(track) {
    const { kind } = track;
    if (this.#devices[kind] !== track) return;
    this.#devices[kind] = null;
    this.missing = { kinds: KINDS.filter((each) => !this.#devices[each]), reason: "lost" };
    this.#on.track(this.track(kind));
    if (this.#tone) this.#tone.audible = true;
    this.#on.devices();
  }
}

/** Open the devices of these kinds that can be opened; ask the user at most once. */
async function capture(kinds) {
  if (!navigator.mediaDevices?.getUserMedia) {
    return { tracks: [], reason: isSecureContext ? "unsupported" : "insecure" };
  }
  const ask = (wanted) =>
    navigator.mediaDevices.getUserMedia(
      Object.fromEntries(wanted.map((kind) => [kind, WANTED[kind]])),
    );
  try {
    return { tracks: (await ask(kinds)).getTracks(), reason: null };
  } catch (error) {
    const reason = reasonFor(error);
    const tracks = [];
    for (const kind of await worthAlone(kinds, reason)) {
      try {
        tracks.push(...(await ask([kind])).getTracks());
      } catch {
        // The user is told the reason of the request for both kinds.
      }
    }
    return { tracks, reason };
  }
}

/** The kinds to request alone. After a refusal only those already granted: do not ask twice. */
async function worthAlone(kinds, reason) {
  if (kinds.length < 2) return [];
  if (reason !== "denied") return kinds;
  const granted = await Promise.all(
    kinds.map((kind) =>
      navigator.permissions.query({ name: PERMISSIONS[kind] }).then(
        ({ state }) => state === "granted",
        () => false, // the browser does not support this query
      ),
    ),
  );
  return kinds.filter((_, index) => granted[index]);
}

const REASONS = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "none",
  OverconstrainedError: "none",
  NotReadableError: "busy",
  AbortError: "busy",
};

function reasonFor(error) {
  return REASONS[error.name] ?? "unsupported";
}
