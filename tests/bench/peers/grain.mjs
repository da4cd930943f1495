// Pictures with a number and the grain of a camera; tests/bench/peers/grain.py says what for.

import { PERIOD, STEP, background, stamp } from "./coded.mjs";

const GRAIN = 8;
const SPREAD = 512;

export class GrainPainter {
  #size;
  #below; // the background, four pixels at a time
  #grain; // likewise, 0 to twice the most: no sum has a carry
  #chances = 1;

  constructor(width, height) {
    this.#size = [width, height];
    const below = background(width, height);
    for (let i = 0; i < below.length; i += 1) below[i] -= GRAIN;
    const grain = new Uint8Array((width + SPREAD) * (height + SPREAD));
    for (let i = 0; i < grain.length; i += 1) grain[i] = this.#chance(2 * GRAIN + 1);
    this.#below = new Uint32Array(below.buffer);
    this.#grain = new Uint32Array(grain.buffer);
  }

  // Returns a whole number of 0 to below a limit.
  #chance(limit) {
    this.#chances = (Math.imul(this.#chances, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#chances / 2 ** 32) * limit);
  }

  // Returns the planes of a new picture, I420.
  paint(number) {
    const [width, height] = this.#size;
    const planes = new Uint8Array((width * height * 3) / 2).fill(128, width * height);
    const pixels = new Uint32Array(planes.buffer, 0, (width * height) / 4);
    const left = ((number * STEP) % PERIOD) / 4;
    const [right, down] = [this.#chance(SPREAD / 4), this.#chance(SPREAD)];
    const [wide, below, grain] = [width / 4, this.#below, this.#grain];
    for (let [y, at] = [0, 0]; y < height; y += 1) {
      let from = (y * (width + PERIOD)) / 4 + left;
      let noise = ((y + down) * (width + SPREAD)) / 4 + right;
      for (let x = 0; x < wide; x += 1) pixels[at++] = below[from++] + grain[noise++];
    }
    stamp(planes, number, width, height);
    return planes;
  }
}
