// A peer of the capacity benchmark in a browser's page; tests/bench/peers/capacity.py says what the
// messages mean. The page hands pictures and a tone to tracks, and takes them from tracks, itself.

import { GrainPainter } from "./grain.mjs";
import { Pictures, runPictures } from "./pictures.mjs";

const [TONE, LOUDNESS] = [400, 6000 / 32768];
const QUIET = 300 / 32768;
const BLOCK = 0.005; // seconds of sound that are looked at together

// Plays sound as it comes, as a loudspeaker does, and notes when there is none.
class Listener {
  #gaps = [];
  #end = 0;
  #heard = null;

  play(now, samples, rate) {
    const start = Math.max(now, this.#end);
    this.#end = start + samples.length / rate;
    const block = Math.round(BLOCK * rate);
    for (let first = 0; first < samples.length; first += block) {
      const part = samples.subarray(first, first + block);
      if (part.every((sample) => Math.abs(sample) < QUIET)) continue;
      const begin = start + first / rate;
      if (this.#heard !== null && begin - this.#heard > BLOCK) {
        this.#gaps.push([this.#heard, begin - this.#heard]);
      }
      this.#heard = begin + part.length / rate;
    }
  }

  until(now) {
    if (this.#heard === null || now - this.#heard <= BLOCK) return this.#gaps;
    return [...this.#gaps, [this.#heard, now - this.#heard]];
  }
}

class Capacity extends Pictures {
  #sizes = [];
  #listener = new Listener();

  async start({ offerer, size, sound }) {
    this.connection.ontrack = ({ track }) =>
      this.begin(track.kind === "video" ? this.takePictures(track) : this.#listen(track));
    if (!offerer) return;
    if (sound) this.connection.addTransceiver(await this.#hum(), { direction: "sendonly" });
    this.addPictures(this.give(new GrainPainter(...size), ...size), "video/VP8");
    await this.tell();
  }

  report() {
    const gaps = this.#listener.until(this.now());
    this.emit("pictures", { pictures: [...this.pictures], sizes: this.#sizes, gaps });
  }

  sized(at, width, height) {
    const last = this.#sizes.at(-1);
    if (last?.[1] !== width || last?.[2] !== height) this.#sizes.push([at, width, height]);
  }

  async #hum() {
    const context = new AudioContext({ sampleRate: 48000 });
    const [oscillator, volume] = [context.createOscillator(), context.createGain()];
    oscillator.frequency.value = TONE;
    volume.gain.value = LOUDNESS;
    const destination = context.createMediaStreamDestination();
    oscillator.connect(volume).connect(destination);
    oscillator.start();
    await context.resume();
    return destination.stream.getAudioTracks()[0];
  }

  async #listen(track) {
    // Sound is decoded as an element asks for it.
    const player = document.body.appendChild(document.createElement("audio"));
    player.srcObject = new MediaStream([track]);
    player.play();
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    for (;;) {
      const { done, value: data } = await reader.read();
      if (done) return;
      const samples = new Float32Array(data.numberOfFrames);
      data.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
      this.#listener.play(this.now(), samples, data.sampleRate);
      data.close();
    }
  }
}

runPictures(Capacity);
