// The frame around the call: which screen and which side panel is open, status, device notice.

import { initial } from "./tiles.js";
import { deviceWords } from "./words.js";

/** From this width on the chat has a place beside the pictures. */
const WIDE = matchMedia("(min-width: 1000px)");
const SIDES = ["chat", "panel"];

export const element = (id) => document.getElementById(id);

export class View {
  #sideChanged;

  /** @param {(open: ?string) => void} sideChanged told which of "chat" and "panel" is open */
  constructor(sideChanged) {
    this.#sideChanged = sideChanged;
    for (const side of SIDES) {
      element(`${side}-toggle`).addEventListener("click", () => {
        this.openSide(element(side).hidden ? side : null);
        if (side === "chat" && !element(side).hidden) element("chat-input").focus();
      });
    }
    for (const button of document.querySelectorAll("[data-closes]")) {
      button.addEventListener("click", () => this.#closeSide(button.dataset.closes));
    }
    element("notice-close").addEventListener("click", () => (element("notice").hidden = true));
    addEventListener("keydown", ({ key }) => {
      const open = SIDES.find((side) => !element(side).hidden);
      if (key === "Escape" && open) this.#closeSide(open);
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
    this.openSide(inCall && WIDE.matches ? "chat" : null);
    // An element that was moved has stopped playing.
    element("local-video").play().catch(() => {});
  }

  /** @param {?string} open "chat", "panel" or none */
  openSide(open) {
    for (const side of SIDES) {
      element(side).hidden = side !== open;
      element(`${side}-toggle`).setAttribute("aria-expanded", String(side === open));
    }
    this.#sideChanged(open);
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

  #closeSide(side) {
    this.openSide(null);
    element(`${side}-toggle`).focus();
  }
}

function toggle(button, pressed, words, icons) {
  button.setAttribute("aria-pressed", String(pressed));
  button.querySelector("span").textContent = words[Number(pressed)];
  button.querySelector("use").setAttribute("href", icons[Number(pressed)]);
}
