// What this page sends: the camera and the microphone, or the stand-ins where there is none.
//
// There is always a track of each kind, so that joining never waits for a device or for an answer
// to the browser's question. When a device comes or goes, calls swap the track.

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

  /** What to write into the drawn picture. */
  name = "";

  /** Why devices are missing: `{kinds: ["audio", "video"], reason: "denied"|…}`, or null. */
  missing = null;

  /**
   * @param {{track: Function, devices: Function}} on `track(track)` when another one is to be
   *   sent, `devices()` when it has become known which devices there are.
   */
  constructor(on) {
    this.#on = on;
    navigator.mediaDevices?.addEventListener("devicechange", () => {
      if (this.#wanted && this.missing) this.open();
    });
  }

  /** Which kinds are on: `{audio: boolean, video: boolean}`. */
  get sending() {
    return { ...this.#sending };
  }

  /** Whether the browser's question has not been answered yet. */
  get asking() {
    return this.#opening !== null;
  }

  /** Whether `open()` was called, and `close()` not since. */
  get isOpen() {
    return this.#wanted;
  }

  /** Whether the picture is the camera's. */
  get hasCamera() {
    return this.#devices.video !== null;
  }

  /** Ask for the devices that are not open yet; safe to call again at any time. */
  open() {
    this.#wanted = true;
    this.#opening ??= this.#openMissing().finally(() => {
      this.#opening = null;
      if (this.#tone) this.#tone.audible = this.missing !== null;
      this.#on.devices();
    });
    return this.#opening;
  }

  /** The track of each kind to send. The tone needs a click to have happened before. */
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

  /** Let go of the camera, the microphone and the stand-ins. */
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
      // While the browser still asks, silence: the voice may come at any moment.
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

/** Open what can be opened of these kinds, asking the person once at most. */
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
        // The reason is that of both together, which the person is told.
      }
    }
    return { tracks, reason };
  }
}

/** After a refusal only what is granted already is tried alone: nobody is asked twice. */
async function worthAlone(kinds, reason) {
  if (kinds.length < 2) return [];
  if (reason !== "denied") return kinds;
  const granted = await Promise.all(
    kinds.map((kind) =>
      navigator.permissions.query({ name: PERMISSIONS[kind] }).then(
        ({ state }) => state === "granted",
        () => false, // a browser that cannot tell
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
