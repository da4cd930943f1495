// The frame around the call: the screens, the side panels, the status line, the device notice.

import { initial } from "./tiles.js";
import { deviceWords } from "./words.js";

/** Wide enough for the chat beside the tiles. */
const WIDE = matchMedia("(min-width: 1000px)");
/** Wide enough for the chat and the connection panel. */
const WIDER = matchMedia("(min-width: 1240px)");
const SIDES = ["chat", "panel"];

export const element = (id) => document.getElementById(id);

export class View {
  #sidesChanged;

  /** @param {(open: string[]) => void} sidesChanged called with the open sides */
  constructor(sidesChanged) {
    this.#sidesChanged = sidesChanged;
    for (const side of SIDES) {
      element(`${side}-toggle`).addEventListener("click", () => {
        if (this.#open.includes(side)) {
          this.openSides(this.#beside(side));
        } else {
          this.openSides([...(WIDER.matches ? this.#beside(side) : []), side]);
          if (side === "chat") element("chat-input").focus();
        }
      });
    }
    WIDER.addEventListener("change", () => this.openSides(this.#open.slice(0, 1)));
    for (const button of document.querySelectorAll("[data-closes]")) {
      button.addEventListener("click", () => this.#closeSide(button.dataset.closes));
    }
    element("notice-close").addEventListener("click", () => (element("notice").hidden = true));
    addEventListener("keydown", ({ key }) => {
      if (key !== "Escape") return;
      const inside = this.#open.find((side) => element(side).contains(document.activeElement));
      const side = inside ?? this.#open.at(-1);
      if (side) this.#closeSide(side);
    });
  }

  /** @param {"join"|"call"} screen own picture, buttons and status are moved to it */
  show(screen) {
    const inCall = screen === "call";
    document.body.dataset.screen = screen;
    element("join-screen").hidden = inCall;
    element("call-screen").hidden = !inCall;
    element(inCall ? "self-call-slot" : "self-preview-slot").append(element("self"));
    element(inCall ? "call-media-slot" : "preview-media-slot").append(element("media-buttons"));
    element(inCall ? "call-status-slot" : "join-status-slot").append(element("status"));
    element(inCall ? "call-notice-slot" : "join-notice-slot").append(element("notice"));
    this.openSides(inCall && WIDE.matches ? ["chat"] : []);
    // Moving a video element stops its playback.
    element("local-video").play().catch(() => {});
  }

  /** @param {string[]} open the side panels to open, of "chat" and "panel" */
  openSides(open) {
    for (const side of SIDES) {
      element(side).hidden = !open.includes(side);
      element(`${side}-toggle`).setAttribute("aria-expanded", String(open.includes(side)));
    }
    this.#sidesChanged(open);
  }

  /** @param {"info"|"busy"|"error"} kind */
  status(text, kind = "info") {
    element("status").textContent = text;
    element("status").dataset.kind = kind;
  }

  /** Update the join form: before joining, while joining, or after a call. */
  joinForm({ title, button, busy }) {
    if (title) element("join-title").textContent = title;
    element("join").textContent = button;
    element("join").disabled = busy;
    element("name").disabled = element("room").disabled = busy;
    element("cancel").hidden = !busy;
  }

  /** Show the current state of the own media. */
  own(media, name, open) {
    const { audio, video } = media.sending;
    element("self").classList.toggle("mirrored", media.hasCamera);
    element("self-cover").hidden = video && open;
    element("self-avatar").textContent = initial(name);
    element("self-muted").toggleAttribute("hidden", audio);
    toggle(element("mute"), !audio, ["Mute", "Unmute"], ["#icon-mic", "#icon-mic-off"]);
    toggle(
      element("camera"),
      !video,
      ["Camera off", "Camera on"],
      ["#icon-camera", "#icon-camera-off"],
    );
  }

  ownPicture(track) {
    element("local-video").srcObject = track && new MediaStream([track]);
  }

  /** Show which devices are missing and why, or hide the notice. */
  devices(missing) {
    element("notice").hidden = missing === null;
    if (missing) element("notice-words").textContent = deviceWords(missing);
  }

  get #open() {
    return SIDES.filter((side) => !element(side).hidden);
  }

  #beside(side) {
    return this.#open.filter((other) => other !== side);
  }

  #closeSide(side) {
    this.openSides(this.#beside(side));
    element(`${side}-toggle`).focus();
  }
}

function toggle(button, pressed, words, icons) {
  button.setAttribute("aria-pressed", String(pressed));
  button.querySelector("span").textContent = words[Number(pressed)];
  button.querySelector("use").setAttribute("href", icons[Number(pressed)]);
}
