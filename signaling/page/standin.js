// Substitutes for a missing camera or microphone: a drawn picture and a quiet tone.

const WIDTH = 640;
const HEIGHT = 360;
const FRAMES_PER_SECOND = 15;
const TONE_HZ = 330;
const TONE_GAIN = 0.03;

/** A video track with an animated picture, a name and a clock. */
export class DrawnPicture {
  #canvas = document.createElement("canvas");
  #context;
  #name;
  #timer;

  /** @param {() => string} name returns the text in the picture; called for each frame */
  constructor(name) {
    this.#name = name;
    this.#canvas.width = WIDTH;
    this.#canvas.height = HEIGHT;
    this.#context = this.#canvas.getContext("2d", { alpha: false });
    this.#draw();
    // Not requestAnimationFrame(), which stops while the page is in the background.
    this.#timer = setInterval(() => this.#draw(), 1000 / FRAMES_PER_SECOND);
    [this.track] = this.#canvas.captureStream(FRAMES_PER_SECOND).getVideoTracks();
  }

  close() {
    clearInterval(this.#timer);
    this.track.stop();
  }

  #draw() {
    const context = this.#context;
    const now = new Date();
    const seconds = now.getTime() / 1000;
    const sky = context.createLinearGradient(0, 0, 0, HEIGHT);
    sky.addColorStop(0, "#10364f");
    sky.addColorStop(1, "#2f7ea8");
    context.fillStyle = sky;
    context.fillRect(0, 0, WIDTH, HEIGHT);
    this.#wave(seconds * 0.5, 268, 12, "#8fcdeb");
    this.#floe(seconds);
    this.#wave(seconds * 0.8 + 2, 304, 10, "#4ea3cf");
    context.fillStyle = "#ffffff";
    context.textAlign = "center";
    context.font = "600 52px system-ui, sans-serif";
    context.fillText(this.#name(), WIDTH / 2, 122, WIDTH - 60);
    context.font = "400 34px ui-monospace, monospace";
    context.fillText(now.toLocaleTimeString("en-GB"), WIDTH / 2, 178);
  }

  #wave(phase, level, height, colour) {
    const context = this.#context;
    context.fillStyle = colour;
    context.beginPath();
    context.moveTo(0, HEIGHT);
    for (let x = 0; x <= WIDTH; x += 16) context.lineTo(x, level + height * Math.sin(x / 70 + phase));
    context.lineTo(WIDTH, HEIGHT);
    context.fill();
  }

  #floe(seconds) {
    const context = this.#context;
    const x = ((seconds * 40) % (WIDTH + 200)) - 100;
    const y = 262 + 7 * Math.sin(seconds * 1.3);
    context.fillStyle = "#eef9ff";
    context.beginPath();
    for (const [dx, dy] of [[-80, 10], [-46, -28], [6, -40], [58, -18], [84, 12], [40, 30], [-50, 28]]) {
      context.lineTo(x + dx, y + dy);
    }
    context.fill();
  }
}

/** An audio track with a quiet pulsating tone. Create it after a click: browsers require one. */
export class Tone {
  #context = new AudioContext();
  #gain = this.#context.createGain();

  constructor() {
    const output = this.#context.createMediaStreamDestination();
    const tone = new OscillatorNode(this.#context, { frequency: TONE_HZ });
    const swell = new OscillatorNode(this.#context, { frequency: 0.4 });
    const depth = new GainNode(this.#context, { gain: 0.5 });
    const level = new GainNode(this.#context, { gain: 0.5 });
    this.#gain.gain.value = 0;
    swell.connect(depth).connect(level.gain);
    tone.connect(level).connect(this.#gain).connect(output);
    tone.start();
    swell.start();
    [this.track] = output.stream.getAudioTracks();
  }

  set audible(audible) {
    this.#gain.gain.setTargetAtTime(audible ? TONE_GAIN : 0, this.#context.currentTime, 0.05);
  }

  close() {
    this.track.stop();
    this.#context.close();
  }
}
