// Captures mouse, touch and keyboard input for a shared desktop, as messages of docs/desktop.md.
//
// A hidden text field has the focus, so that input methods, dead keys and on-screen keyboards work,
// whose characters do not belong to single keys.

/** Bytes waiting in the channel above which pointer moves are delayed; only the newest is sent. */
const BACKLOG_MOST = 4096;
const ALIVE_EVERY_MS = 500;
const TEXT_MOST = 64;
const NOTCHES_MOST = 20;
/** The size of a wheel notch by `deltaMode`: pixels, lines, pages. */
const NOTCH = [100, 3, 1];
/** `MouseEvent.button` by the bits of `MouseEvent.buttons`. */
const BUTTONS = new Map([[1, 0], [2, 2], [4, 1], [8, 3], [16, 4]]);
const MODIFIERS = /^(Control|Alt|Shift|Meta|OS)(Left|Right)$/;
/** Keys of input methods, whose characters come as `input` events. */
const COMPOSING = new Set(["Dead", "Process", "Unidentified"]);
/** Keys that only select another character; their effect is part of the characters sent. */
const OWN_LAYOUT = new Set(["AltGraph", "CapsLock", "ModeChange", "Fn", "FnLock"]);
/** On a Mac the Option key selects characters, like AltGr. */
const OPTION_IS_ALTGR = /Mac|iPhone|iPad/.test(navigator.platform);

/**
 * Converts a point to the coordinates of a video that is letterboxed in its element.
 *
 * @param {{width: number, height: number}} picture the size of the picture, in any unit
 * @param {DOMRect} box the box of the element
 * @param {{x: number, y: number}} point the point in the window
 * @returns {?{x: number, y: number, inside: boolean}} coordinates from 0 to 1, those of the nearest
 *   point if it is outside of the picture; null without a picture
 */
export function placeIn(picture, box, point) {
  const scale = Math.min(box.width / picture.width, box.height / picture.height);
  if (!(scale > 0) || !Number.isFinite(scale)) return null;
  const width = picture.width * scale;
  const height = picture.height * scale;
  const x = (point.x - box.left - (box.width - width) / 2) / width;
  const y = (point.y - box.top - (box.height - height) / 2) / height;
  const near = (share) => Math.min(Math.max(share, 0), 1);
  return { x: near(x), y: near(y), inside: near(x) === x && near(y) === y };
}

export class Input {
  #video;
  #keys;
  #on;
  #listening = null;
  #timer = 0;
  #frame = 0;
  #move = null;
  #last = { x: 0.5, y: 0.5 };
  #down = new Map();
  #buttons = 0;
  #turned = { x: 0, y: 0 };
  #pointerType = "mouse";

  /**
   * @param {{video: HTMLVideoElement, keys: HTMLTextAreaElement}} parts
   * @param {object} on callbacks: `send(message)`; `backlog()` returns the bytes that wait to be
   *   sent; `stop()` when the user ends control with the keyboard
   */
  constructor({ video, keys }, on) {
    this.#video = video;
    this.#keys = keys;
    this.#on = on;
  }

  start() {
    if (this.#listening) return;
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    const listen = (element, types, handler) => {
      for (const type of types) element.addEventListener(type, handler, { signal, passive: false });
    };
    const video = this.#video;
    const keys = this.#keys;
    const pointer = ["pointerdown", "pointermove", "pointerup", "pointercancel"];
    listen(video, pointer, (event) => this.#pointed(event));
    // Keeps the focus in the hidden field, and the fourth button from navigating back.
    const mouse = ["mousedown", "mouseup", "auxclick"];
    listen(video, mouse, (event) => event.preventDefault());
    listen(video, ["click"], (event) => this.#tapped(event, 0));
    listen(video, ["contextmenu"], (event) => this.#tapped(event, 2));
    listen(video, ["wheel"], (event) => this.#wheeled(event));
    listen(keys, ["keydown"], (event) => this.#keyDown(event));
    listen(keys, ["keyup"], (event) => this.#keyUp(event));
    listen(keys, ["input", "compositionend"], (event) => this.#written(event));
    listen(keys, ["blur"], () => this.letGo());
    listen(window, ["blur", "pagehide"], () => this.letGo());
    this.#timer = setInterval(() => this.#on.send({ type: "alive" }), ALIVE_EVERY_MS);
  }

  stop() {
    if (!this.#listening) return;
    this.letGo();
    this.#listening.abort();
    this.#listening = null;
    clearInterval(this.#timer);
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#move = null;
    this.#keys.value = "";
    this.#keys.blur();
  }

  /** Release all keys and buttons. */
  letGo() {
    for (const code of [...this.#down.keys()].reverse()) this.#release(code);
    this.#press(0, this.#last);
  }

  // --- the pointer

  #pointed(event) {
    this.#pointerType = event.pointerType;
    // Touch scrolls the page; a tap becomes a click.
    if (event.pointerType === "touch") return;
    const place = this.#place(event);
    if (!place) return;
    if (event.type === "pointerdown") {
      if (!place.inside) return;
      this.#video.setPointerCapture(event.pointerId);
      this.#keys.focus({ preventScroll: true });
    }
    const buttons = event.type === "pointercancel" ? 0 : event.buttons;
    // Buttons cannot be pressed outside of the picture, but can be released there.
    if (place.inside || this.#buttons) this.#goTo(place);
    this.#press(place.inside ? buttons : buttons & this.#buttons, place);
  }

  #tapped(event, button) {
    event.preventDefault();
    const place = this.#place(event);
    if (this.#pointerType !== "touch" || !place?.inside) return;
    this.#button(button, true, place);
    this.#button(button, false, place);
  }

  #wheeled(event) {
    event.preventDefault();
    this.#flush();
    const notches = {};
    for (const axis of ["x", "y"]) {
      const delta = event[`delta${axis.toUpperCase()}`] / NOTCH[event.deltaMode];
      // The rest of a turn in the other direction is dropped.
      if (delta * this.#turned[axis] < 0) this.#turned[axis] = 0;
      this.#turned[axis] += delta;
      const whole = Math.trunc(this.#turned[axis]);
      this.#turned[axis] -= whole;
      notches[axis] = Math.min(Math.max(whole, -NOTCHES_MOST), NOTCHES_MOST);
    }
    if (notches.x || notches.y) this.#on.send({ type: "wheel", ...notches });
  }

  #place({ clientX, clientY }) {
    const { videoWidth: width, videoHeight: height } = this.#video;
    const box = this.#video.getBoundingClientRect();
    return placeIn({ width, height }, box, { x: clientX, y: clientY });
  }

  /** Send the position of the pointer, at most once per frame and only as fast as the network. */
  #goTo({ x, y }) {
    this.#move = this.#last = { x, y };
    this.#frame ||= requestAnimationFrame(() => this.#atFrame());
  }

  #atFrame() {
    this.#frame = 0;
    if (this.#on.backlog() < BACKLOG_MOST) this.#flush();
    else this.#frame = requestAnimationFrame(() => this.#atFrame());
  }

  #flush() {
    if (this.#move) this.#on.send({ type: "move", ...this.#move });
    this.#move = null;
  }

  /** Send the buttons that have changed. */
  #press(buttons, place) {
    for (const [bit, button] of BUTTONS) {
      if ((buttons ^ this.#buttons) & bit) this.#button(button, Boolean(buttons & bit), place);
    }
    this.#buttons = buttons;
  }

  #button(button, down, { x, y }) {
    this.#move = null;
    this.#on.send({ type: "button", button, down, x, y });
  }

  // --- the keys

  #keyDown(event) {
    // The key must not trigger shortcuts of this page.
    event.stopPropagation();
    const { key, code, ctrlKey, altKey, shiftKey } = event;
    if (ctrlKey && altKey && shiftKey && /^(Control|Alt|Shift)$/.test(key)) {
      event.preventDefault();
      this.#on.stop();
      return;
    }
    if (event.isComposing || COMPOSING.has(key)) return;
    event.preventDefault();
    if (event.repeat) return;
    if (OWN_LAYOUT.has(key) || (OPTION_IS_ALTGR && key === "Alt")) {
      // Windows reports AltGr as Ctrl and Alt.
      if (key === "AltGraph") this.#release("ControlLeft");
      return;
    }
    const single = [...key].length === 1;
    const text = single ? key : "";
    const place = placeOf(event);
    if (place) {
      this.#down.set(code || place, place);
      this.#on.send({ type: "key", code: place, down: true, text });
    } else if (single) {
      this.#on.send({ type: "text", text });
    }
  }

  #keyUp(event) {
    event.stopPropagation();
    this.#release(event.code || event.key);
    // On a Mac there is no `keyup` for keys released while Command is down.
    if (event.key === "Meta") {
      for (const code of [...this.#down.keys()]) {
        if (!MODIFIERS.test(code)) this.#release(code);
      }
    }
  }

  #release(code) {
    const place = this.#down.get(code);
    if (!place) return;
    this.#down.delete(code);
    this.#on.send({ type: "key", code: place, down: false });
  }

  /** Send text that did not come from single keys. */
  #written(event) {
    if (event.isComposing && event.type !== "compositionend") return;
    const characters = [...this.#keys.value];
    this.#keys.value = "";
    while (characters.length) {
      this.#on.send({ type: "text", text: characters.splice(0, TEXT_MOST).join("") });
    }
  }
}

/** The physical key of an event. Some on-screen keyboards report only the function of the key. */
function placeOf({ key, code }) {
  // Without Num Lock the keys of the number pad are arrows and the like.
  if (code.startsWith("Numpad") && key.length > 1 && key !== "Enter") return key;
  return code || (key.length > 1 ? key : "");
}
