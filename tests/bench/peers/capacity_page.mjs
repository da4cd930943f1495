// A peer of the capacity benchmark in a browser's page; tests/bench/peers/capacity.py says what the
// messages mean. The page hands pictures and a tone to tracks, and takes them from tracks, itself.

import { Connection } from "./chromium.mjs";
import { RATE, read, stripHeight } from "./coded.mjs";
import { GrainPainter } from "./grain.mjs";
import { run } from "./page.mjs";

const [TONE, LOUDNESS] = [400, 6000 / 32768];
const QUIET = 300 / 32768;
const BLOCK = 0.005; // seconds of sound that are looked at together

const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

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

class Capacity extends Connection {
  #now;
  #emit;
  #pictures = new Map();
  #sizes = [];
  #listener = new Listener();

  constructor(emit, now) {
    super(emit);
    [this.#emit, this.#now] = [emit, now];
    this.connection.onconnectionstatechange = () => {
      if (this.connection.connectionState === "connected") emit("open");
    };
  }

  async start({ offerer, size, sound }) {
    this.connection.ontrack = ({ track }) => {
      const taking = track.kind === "video" ? this.#take(track) : this.#listen(track);
      taking.catch((error) => this.#emit("error", { text: String(error) }));
    };
    if (!offerer) return;
    if (sound) this.connection.addTransceiver(await this.#hum(), { direction: "sendonly" });
    const transceiver = this.connection.addTransceiver(this.#give(size), { direction: "sendonly" });
    const known = RTCRtpSender.getCapabilities("video").codecs;
    const wanted = ["video/VP8", "video/rtx"];
    transceiver.setCodecPreferences(known.filter(({ mimeType }) => wanted.includes(mimeType)));
    await this.tell();
  }

  report() {
    const gaps = this.#listener.until(this.#now());
    this.#emit("pictures", { pictures: [...this.#pictures], sizes: this.#sizes, gaps });
  }

  // --- what is sent

  #give([width, height]) {
    const track = new MediaStreamTrackGenerator({ kind: "video" });
    this.#paint(track.writable.getWriter(), width, height).catch((error) =>
      this.#emit("error", { text: String(error) }),
    );
    return track;
  }

  async #paint(writer, width, height) {
    const painter = new GrainPainter(width, height);
    const size = { codedWidth: width, codedHeight: height };
    const begun = this.#now();
    for (let number = 0; ; number = Math.max(number + 1, Math.floor((this.#now() - begun) * RATE))) {
      await sleep(Math.max(0, begun + number / RATE - this.#now()));
      const init = { format: "I420", timestamp: (number * 1e6) / RATE, ...size };
      const frame = new VideoFrame(painter.paint(number), init);
      this.#pictures.set(number, this.#now());
      await writer.write(frame);
    }
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

  // --- what comes

  async #take(track) {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    for (;;) {
      const { done, value: frame } = await reader.read();
      if (done) return;
      const at = this.#now();
      const { width, height } = frame.visibleRect;
      const rect = { ...frame.visibleRect.toJSON(), height: stripHeight(height) };
      const planes = new Uint8Array(frame.allocationSize({ rect }));
      const [{ stride }] = await frame.copyTo(planes, { rect });
      frame.close();
      const last = this.#sizes.at(-1);
      if (last?.[1] !== width || last?.[2] !== height) this.#sizes.push([at, width, height]);
      const number = read(planes, width, stride, height);
      if (number !== null && !this.#pictures.has(number)) this.#pictures.set(number, at);
    }
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
      this.#listener.play(this.#now(), samples, data.sampleRate);
      data.close();
    }
  }
}

run((emit, now) => {
  const peer = new Capacity(emit, now);
  return async (message) => {
    if (message.do === "start") await peer.start(message);
    else if (message.do === "description") await peer.describe(message.description);
    else peer[message.do]();
  };
});
