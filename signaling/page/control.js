// Control of a shared desktop: the buttons in its tile, and the input data channel.

import { Input } from "./input.js";

/** The subprotocol of the input channel; docs/desktop.md specifies its messages. */
const PROTOCOL = "icefloe.input.v1";
/** Bytes that may wait to be sent: input typed during an outage must not be applied all at once. */
const BACKLOG_MOST = 16384;
const ENDING = new Set(["take", "release"]);
const TOUCH = matchMedia("(pointer: coarse)");

/** Whether a data channel is an input channel. */
export function takesInput({ label, protocol }) {
  return label === "input" && protocol === PROTOCOL;
}

export class Control {
  #tile;
  #name;
  #channel;
  #parts;
  #input;
  #state = { control: "none" };
  #asked = false;
  #refused = false;
  #closed = new AbortController();

  /**
   * @param {HTMLElement} tile the tile of the participant, with its `.desk`
   * @param {string} name the name of the participant
   * @param {DataChannel} channel the input channel
   */
  constructor(tile, name, channel) {
    this.#tile = tile;
    this.#name = name;
    this.#channel = channel;
    const part = (selector) => tile.querySelector(selector);
    this.#parts = {
      bar: part(".desk"),
      words: part(".desk-words"),
      hint: part(".desk-hint"),
      keyboard: part(".desk-keyboard"),
      full: part(".desk-full"),
      button: part(".desk-control"),
      keys: part(".desk-keys"),
    };
    this.#input = new Input(
      { video: part("video"), keys: this.#parts.keys },
      {
        send: (message) => this.#send(message),
        backlog: () => channel.bufferedAmount,
        stop: () => this.#giveBack(),
      },
    );
    this.#listen();
    tile.classList.add("desktop");
    this.#show();
  }

  /** Restore the tile to that of a participant without a desktop. */
  close() {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    this.#state = { control: "none" };
    this.#input.stop();
    this.#show();
    this.#tile.classList.remove("desktop");
  }

  #listen() {
    const { signal } = this.#closed;
    const { button, full, keyboard, keys } = this.#parts;
    const listen = (element, type, handler) => element.addEventListener(type, handler, { signal });
    this.#read();
    listen(button, "click", () => (this.#mine ? this.#giveBack() : this.#ask()));
    listen(keyboard, "click", () => keys.focus());
    listen(full, "click", () => this.#toggleFull());
    listen(document, "fullscreenchange", () => this.#show());
    listen(keys, "focus", () => this.#show());
    listen(keys, "blur", () => this.#show());
  }

  async #read() {
    try {
      for await (const message of this.#channel) this.#told(message);
    } catch (error) {
      console.warn(error.message);
    }
    this.close();
  }

  get #mine() {
    return this.#state.control === "yours";
  }

  get #isFull() {
    return document.fullscreenElement === this.#tile;
  }

  /** Toggle full screen, in which Chromium also passes Ctrl+W, Alt+Tab and Escape to the page. */
  async #toggleFull() {
    try {
      if (this.#isFull) {
        await document.exitFullscreen();
      } else {
        await this.#tile.requestFullscreen({ navigationUI: "hide" });
        await navigator.keyboard?.lock?.();
      }
    } catch (error) {
      console.info(`The browser keeps its keys, or its window: ${error.message}`);
    }
    if (this.#mine) this.#parts.keys.focus({ preventScroll: true });
  }

  #ask() {
    this.#asked = true;
    this.#send({ type: "take" });
  }

  #giveBack() {
    this.#input.stop();
    this.#send({ type: "release" });
    this.#state = { control: "free" };
    this.#show();
    this.#parts.button.focus();
  }

  #told(data) {
    if (this.#closed.signal.aborted) return;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return; // not a message of this protocol
    }
    if (message?.type !== "state") return;
    const before = this.#mine;
    // Input is sent only if the user has asked for control.
    if (message.control === "yours" && !before && !this.#asked) return;
    this.#refused = message.control === "taken" && (this.#asked || this.#refused);
    if (this.#refused) this.#asked = false;
    this.#state = message;
    if (!this.#mine) {
      this.#input.stop();
      this.#show();
      return;
    }
    this.#asked = false;
    this.#show();
    if (before) return;
    this.#input.start();
    // On a phone the focus would open the keyboard, which covers half of the screen.
    if (!TOUCH.matches) this.#parts.keys.focus({ preventScroll: true });
  }

  #send(message) {
    if (this.#channel.closedBy !== null) return;
    const adds = !ENDING.has(message.type) && message.down !== false;
    if (adds && this.#channel.bufferedAmount > BACKLOG_MOST) return;
    this.#channel.trySend(JSON.stringify(message));
  }

  #show() {
    const { bar, words, hint, keyboard, full, button, keys } = this.#parts;
    const { control, by } = this.#state;
    const typing = document.activeElement === keys;
    bar.hidden = control === "none";
    this.#tile.classList.toggle("controlled", this.#mine);
    button.textContent = this.#mine ? "Stop" : "Control";
    keyboard.hidden = keys.hidden = !this.#mine;
    hint.hidden = !this.#mine;
    full.hidden = !this.#mine || !document.fullscreenEnabled;
    full.textContent = this.#isFull ? "Leave full screen" : "Full screen";
    if (this.#isFull && !this.#mine) document.exitFullscreen();
    hint.textContent = typing ? "Ctrl+Alt+Shift ends it" : "Click the picture to type";
    words.textContent = {
      yours: `You control ${this.#name}`,
      taken: this.#refused ? `${by} is still using it` : `${by} is in control`,
    }[control] ?? "";
  }
}
