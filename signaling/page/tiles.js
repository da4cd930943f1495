// Video tiles: one per participant, in a grid that fills the available area.

import { Control } from "./control.js";
import { tileWords } from "./words.js";

const GAP_PX = 12;
const LANDSCAPE = 16 / 9;
/** The aspect ratio of tiles in a portrait window, where wide tiles would be too flat. */
const PORTRAIT = 4 / 3;

export class Tiles {
  #area;
  #container;
  #template;
  #alone;
  #tiles = new Map();

  /** @param {object} parts elements: `area`, `container`, `template`, `alone` */
  constructor({ area, container, template, alone }) {
    this.#area = area;
    this.#container = container;
    this.#template = template;
    this.#alone = alone;
    new ResizeObserver(() => this.#layOut()).observe(area);
  }

  /** Update the tile of a participant, or create it. */
  update(participant) {
    let tile = this.#tiles.get(participant);
    if (!tile) {
      tile = new Tile(participant, this.#template, () => this.#hearAll());
      this.#tiles.set(participant, tile);
      this.#container.append(tile.root);
      this.#layOut();
    }
    tile.update();
  }

  remove(participant) {
    this.#tiles.get(participant)?.close();
    this.#tiles.delete(participant);
    this.#layOut();
  }

  /** @param {?{relayed: boolean}} pair the selected candidate pair of the participant's call */
  path(participant, pair) {
    this.#tiles.get(participant)?.path(pair);
  }

  /** @param {DataChannel} channel the input channel that the participant has opened */
  input(participant, channel) {
    this.#tiles.get(participant)?.input(channel);
  }

  #hearAll() {
    for (const tile of this.#tiles.values()) tile.play();
  }

  /** Choose the number of columns that makes the tiles largest. */
  #layOut() {
    const count = this.#tiles.size;
    this.#alone.hidden = count > 0;
    this.#container.hidden = count === 0;
    const { clientWidth: width, clientHeight: height } = this.#area;
    if (count === 0 || width === 0) return;
    const aspect = width < height ? PORTRAIT : LANDSCAPE;
    let best = 0;
    for (let columns = 1; columns <= count; columns += 1) {
      const rows = Math.ceil(count / columns);
      const across = (width - GAP_PX * (columns - 1)) / columns;
      const down = (height - GAP_PX * (rows - 1)) / rows;
      best = Math.max(best, Math.min(across, down * aspect));
    }
    this.#container.style.setProperty("--tile-width", `${Math.floor(best)}px`);
    this.#container.style.setProperty("--tile-aspect", String(aspect));
  }
}

class Tile {
  #participant;
  #video;
  #hear;
  #control = null;

  constructor(participant, template, hearAll) {
    this.#participant = participant;
    this.root = template.content.firstElementChild.cloneNode(true);
    this.#video = this.#part("video");
    this.#video.dataset.peerName = participant.name;
    this.#video.setAttribute("aria-label", `Picture of ${participant.name}`);
    this.#part(".name").textContent = participant.name;
    this.#part(".avatar").textContent = initial(participant.name);
    this.#hear = this.#part(".hear");
    this.#hear.addEventListener("click", hearAll);
  }

  update() {
    const { stream, sending, away, state } = this.#participant;
    if (this.#video.srcObject !== stream) this.#video.srcObject = stream;
    // Some browsers do not start a stream that had no track when it was set.
    if (stream?.getTracks().length && this.#video.paused) this.play();
    const words = tileWords({ state, away });
    const picture = stream?.getVideoTracks().some(({ muted }) => !muted) && sending.video;
    this.#part(".cover").hidden = Boolean(picture) && words === "";
    this.#part(".words").textContent = words;
    this.#part('[data-off="audio"]').toggleAttribute("hidden", sending.audio);
    this.#part('[data-off="video"]').toggleAttribute("hidden", sending.video);
    this.#part(".away").hidden = !away || words !== "";
    this.root.dataset.state = state;
  }

  path(pair) {
    const badge = this.#part(".path");
    badge.hidden = !pair;
    badge.dataset.path = pair ? (pair.relayed ? "relayed" : "direct") : "none";
    badge.textContent = pair ? badge.dataset.path : "";
  }

  input(channel) {
    this.#control?.close();
    this.#control = new Control(this.root, this.#participant.name, channel);
  }

  async play() {
    try {
      await this.#video.play();
      this.#hear.hidden = true;
    } catch (error) {
      // AbortError: the stream has changed, and the next update plays it.
      this.#hear.hidden = error.name !== "NotAllowedError";
    }
  }

  close() {
    this.#control?.close();
    this.#video.srcObject = null;
    this.root.remove();
  }

  #part(selector) {
    return this.root.querySelector(selector);
  }
}

/** The first letter of a name, shown without a picture. */
export function initial(name) {
  return [...name.trim()][0]?.toUpperCase() ?? "?";
}
