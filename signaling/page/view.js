// The frame around the call: which screen and which side panel is open, status, device notice.

import { initial } from "./tiles.js";
import { deviceWords } from "./words.js";

/** From this width on the chat has a place beside the pictures. */
const WIDE = matchMedia("(min-width: 1000px)");
/** From this one on the connection panel has its own place, too. */
const WIDER = matchMedia("(min-width: 1240px)");
const SIDES = ["chat", "panel"];

export const element = (id) => document.getElementById(id);

export class View {
  #sidesChanged;

  /** @param {(open: string[]) => void} sidesChanged told which of "chat" and "panel" are open */
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

  /** @param {"join"|"call"} screen what they share moves along: own picture, buttons, status */
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
    // An element that was moved has stopped playing.
    element("local-video").play().catch(() => {});
  }

  /** @param {string[]} open of "chat" and "panel" */
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

  /** The join form while nothing happens, while joining, and after a call. */
  joinForm({ title, button, busy }) {
    if (title) element("join-title").textContent = title;
    element("join").textContent = button;
    element("join").disabled = busy;
    element("name").disabled = element("room").disabled = busy;
    element("cancel").hidden = !busy;
  }

  /** Show what this page sends, as it is now. */
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

  /** Say which device is missing and why, or nothing. */
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
