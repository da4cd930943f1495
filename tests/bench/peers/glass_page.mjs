// A peer of the glass-to-glass benchmark in a browser's page; tests/bench/peers/glass.py says what
// the messages mean. With `screen` pictures come from a canvas and are seen when a video element
// shows them; otherwise the page hands them to a track, and takes them from one, itself.

import { Connection } from "./chromium.mjs";
import { HEIGHT, Painter, RATE, WIDTH, read, stripHeight } from "./coded.mjs";
import { run } from "./page.mjs";

const BEGIN = "x-google-start-bitrate=2000"; // kbit/s: what the others begin with at this size

// Returns a description that has this browser begin with this rate instead of 300 kbit/s, from which
// it takes some 20 s to rise to it.
function beginning(sdp) {
  const types = [...sdp.matchAll(/^a=rtpmap:(\d+) (?:VP8|H264)\//gm)].map(([, type]) => type);
  return types.reduce((text, type) => {
    const line = new RegExp(`^a=fmtp:${type} .*`, "m");
    if (line.test(text)) return text.replace(line, `$&;${BEGIN}`);
    return text.replace(new RegExp(`^a=rtpmap:${type} .*`, "m"), `$&\r\na=fmtp:${type} ${BEGIN}`);
  }, sdp);
}

const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

class Glass extends Connection {
  #now;
  #emit;
  #pictures = new Map();
  #size = [WIDTH, HEIGHT];

  constructor(emit, now) {
    super(emit);
    [this.#emit, this.#now] = [emit, now];
    this.connection.onconnectionstatechange = () => {
      if (this.connection.connectionState === "connected") emit("open");
    };
  }

  async start({ offerer, codec, screen }) {
    const look = screen ? (track) => this.#watch(track) : (track) => this.#take(track);
    this.connection.ontrack = ({ track }) =>
      look(track).catch((error) => this.#emit("error", { text: String(error) }));
    if (!offerer) return;
    const track = screen ? this.#draw() : this.#give();
    const transceiver = this.connection.addTransceiver(track, { direction: "sendonly" });
    const known = RTCRtpSender.getCapabilities("video").codecs;
    const wanted = [`video/${codec}`, "video/rtx"];
    transceiver.setCodecPreferences(known.filter(({ mimeType }) => wanted.includes(mimeType)));
    const parameters = transceiver.sender.getParameters();
    parameters.degradationPreference = "maintain-resolution"; // the others do not scale either
    await transceiver.sender.setParameters(parameters);
    await this.tell();
  }

  async take({ type, sdp }) {
    await this.describe({ type, sdp: beginning(sdp) });
  }

  report() {
    this.#emit("pictures", { pictures: [...this.#pictures], size: this.#size });
  }

  // --- pictures that are made

  async #eachDue(show) {
    const begun = this.#now();
    for (let number = 0; ; number = Math.max(number + 1, Math.floor((this.#now() - begun) * RATE))) {
      await sleep(Math.max(0, begun + number / RATE - this.#now()));
      await show(number);
    }
  }

  #give() {
    const track = new MediaStreamTrackGenerator({ kind: "video" });
    const writer = track.writable.getWriter();
    const painter = new Painter();
    const size = { codedWidth: WIDTH, codedHeight: HEIGHT };
    this.#eachDue(async (number) => {
      const init = { format: "I420", timestamp: (number * 1e6) / RATE, ...size };
      const frame = new VideoFrame(painter.paint(number), init);
      this.#pictures.set(number, this.#now());
      await writer.write(frame);
    });
    return track;
  }

  #draw() {
    const canvas = document.body.appendChild(document.createElement("canvas"));
    [canvas.width, canvas.height] = [WIDTH, HEIGHT];
    const painter = new Painter();
    const context = canvas.getContext("2d");
    const [track] = canvas.captureStream().getVideoTracks();
    this.#eachDue((number) => {
      painter.draw(context, number);
      this.#pictures.set(number, this.#now());
    });
    return track;
  }

  // --- pictures that come

  #see(at, size, number) {
    this.#size = size;
    if (number !== null && !this.#pictures.has(number)) this.#pictures.set(number, at);
  }

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
      this.#see(at, [width, height], read(planes, width, stride, height));
    }
  }

  async #watch(track) {
    const video = document.body.appendChild(document.createElement("video"));
    [video.width, video.height, video.muted] = [WIDTH / 2, HEIGHT / 2, true];
    video.srcObject = new MediaStream([track]);
    const seen = new OffscreenCanvas(WIDTH, HEIGHT).getContext("2d", { willReadFrequently: true });
    const onFrame = () => {
      const at = this.#now();
      video.requestVideoFrameCallback(onFrame);
      const [width, height] = [video.videoWidth, video.videoHeight];
      const rect = [0, 0, width, stripHeight(height)];
      seen.drawImage(video, ...rect, ...rect);
      const { data } = seen.getImageData(...rect);
      // Gray comes back as the full range of RGB; green has most of it.
      const luma = Uint8Array.from({ length: data.length / 4 }, (_, i) => data[4 * i + 1]);
      this.#see(at, [width, height], read(luma, width, width, height));
    };
    video.requestVideoFrameCallback(onFrame);
    await video.play();
  }
}

run((emit, now) => {
  const peer = new Glass(emit, now);
  return async (message) => {
    if (message.do === "start") await peer.start(message);
    else if (message.do === "description") await peer.take(message.description);
    else peer[message.do]();
  };
});
