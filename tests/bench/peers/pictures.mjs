// What the peers in a page that send numbered pictures, or read the numbers, have in common, as
// tests/bench/peers/picture_peer.py has it of those in Python.

import { Connection } from "./chromium.mjs";
import { RATE, read, stripHeight } from "./coded.mjs";
import { run } from "./page.mjs";

const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

export class Pictures extends Connection {
  now;
  emit;
  pictures = new Map(); // when each was made or seen, by its number

  constructor(emit, now) {
    super(emit);
    [this.emit, this.now] = [emit, now];
    this.connection.onconnectionstatechange = () => {
      if (this.connection.connectionState === "connected") emit("open");
    };
  }

  // Reports what stops something that goes on beside.
  begin(going) {
    going.catch((error) => this.emit("error", { text: String(error) }));
  }

  // Adds a track of pictures that is sent in one codec, such as video/VP8.
  addPictures(track, codec) {
    const transceiver = this.connection.addTransceiver(track, { direction: "sendonly" });
    const known = RTCRtpSender.getCapabilities("video").codecs;
    const wanted = [codec, "video/rtx"];
    transceiver.setCodecPreferences(known.filter(({ mimeType }) => wanted.includes(mimeType)));
    return transceiver;
  }

  // Calls a function with the number of each picture when that is due, for ever.
  async eachDue(show) {
    const begun = this.now();
    for (let number = 0; ; number = Math.max(number + 1, Math.floor((this.now() - begun) * RATE))) {
      await sleep(Math.max(0, begun + number / RATE - this.now()));
      await show(number);
    }
  }

  // Returns a track of what a painter paints, which is handed over picture by picture.
  give(painter, width, height) {
    const track = new MediaStreamTrackGenerator({ kind: "video" });
    const writer = track.writable.getWriter();
    const size = { codedWidth: width, codedHeight: height };
    this.begin(
      this.eachDue(async (number) => {
        const init = { format: "I420", timestamp: (number * 1e6) / RATE, ...size };
        const frame = new VideoFrame(painter.paint(number), init);
        this.pictures.set(number, this.now());
        await writer.write(frame);
      }),
    );
    return track;
  }

  // Takes note of a picture that was seen, and calls sized() with its size.
  see(at, width, height, number) {
    this.sized(at, width, height);
    if (number !== null && !this.pictures.has(number)) this.pictures.set(number, at);
  }

  // Takes pictures from a track, picture by picture, until it ends.
  async takePictures(track) {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    for (;;) {
      const { done, value: frame } = await reader.read();
      if (done) return;
      const at = this.now();
      const { width, height } = frame.visibleRect;
      const rect = { ...frame.visibleRect.toJSON(), height: stripHeight(height) };
      const planes = new Uint8Array(frame.allocationSize({ rect }));
      const [{ stride }] = await frame.copyTo(planes, { rect });
      frame.close();
      this.see(at, width, height, read(planes, width, stride, height));
    }
  }
}

// Runs a peer, an object of a class of those above.
export function runPictures(Peer) {
  run((emit, now) => {
    const peer = new Peer(emit, now);
    return async (message) => {
      if (message.do === "start") await peer.start(message);
      else if (message.do === "description") await peer.describe(message.description);
      else peer[message.do]();
    };
  });
}
