// A peer of the glass-to-glass benchmark in a browser's page; tests/bench/peers/glass.py says what
// the messages mean. With `screen` pictures come from a canvas and are seen when a video element
// shows them; otherwise the page hands them to a track, and takes them from one, itself.

import { HEIGHT, Painter, WIDTH, read, stripHeight } from "./coded.mjs";
import { Pictures, runPictures } from "./pictures.mjs";

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

class Glass extends Pictures {
  #size = [WIDTH, HEIGHT];

  async start({ offerer, codec, screen }) {
    this.connection.ontrack = ({ track }) =>
      this.begin(screen ? this.#watch(track) : this.takePictures(track));
    if (!offerer) return;
    const track = screen ? this.#draw() : this.give(new Painter(), WIDTH, HEIGHT);
    const { sender } = this.addPictures(track, `video/${codec}`);
    const parameters = sender.getParameters();
    parameters.degradationPreference = "maintain-resolution"; // the others do not scale either
    await sender.setParameters(parameters);
    await this.tell();
  }

  async describe({ type, sdp }) {
    await super.describe({ type, sdp: beginning(sdp) });
  }

  report() {
    this.emit("pictures", { pictures: [...this.pictures], size: this.#size });
  }

  sized(at, width, height) {
    this.#size = [width, height];
  }

  #draw() {
    const canvas = document.body.appendChild(document.createElement("canvas"));
    [canvas.width, canvas.height] = [WIDTH, HEIGHT];
    const painter = new Painter();
    const context = canvas.getContext("2d");
    const [track] = canvas.captureStream().getVideoTracks();
    this.begin(
      this.eachDue((number) => {
        painter.draw(context, number);
        this.pictures.set(number, this.now());
      }),
    );
    return track;
  }

  async #watch(track) {
    const video = document.body.appendChild(document.createElement("video"));
    [video.width, video.height, video.muted] = [WIDTH / 2, HEIGHT / 2, true];
    video.srcObject = new MediaStream([track]);
    const seen = new OffscreenCanvas(WIDTH, HEIGHT).getContext("2d", { willReadFrequently: true });
    const onFrame = () => {
      const at = this.now();
      video.requestVideoFrameCallback(onFrame);
      const [width, height] = [video.videoWidth, video.videoHeight];
      const rect = [0, 0, width, stripHeight(height)];
      seen.drawImage(video, ...rect, ...rect);
      const { data } = seen.getImageData(...rect);
      // Gray comes back as the full range of RGB; green has most of it.
      const luma = Uint8Array.from({ length: data.length / 4 }, (_, i) => data[4 * i + 1]);
      this.see(at, width, height, read(luma, width, width, height));
    };
    video.requestVideoFrameCallback(onFrame);
    await video.play();
  }
}

runPictures(Glass);
