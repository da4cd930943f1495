// werift's connection, with the little that W3C's has and it lacks, for far.mjs.

import process from "node:process";
import { RTCPeerConnection as Connection } from "werift";

export class RTCPeerConnection extends Connection {
  constructor(configuration) {
    // Where it is given no server it asks one of Google's, and waits 5 s for the answer.
    const iceServers = [{ urls: process.argv[3] }];
    super({ ...configuration, iceServers, bundlePolicy: "max-bundle" });
  }

  set ondatachannel(take) {
    super.ondatachannel = ({ channel }) => take({ channel: complete(channel) });
  }

  get ondatachannel() {
    return super.ondatachannel;
  }

  createDataChannel(label, options) {
    return complete(super.createDataChannel(label, options));
  }
}

// It has the event, and not the property.
function complete(channel) {
  channel.addEventListener("bufferedamountlow", () => channel.onbufferedamountlow?.());
  return channel;
}
