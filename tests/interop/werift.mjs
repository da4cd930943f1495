// werift's connection, with the little that W3C's has and it lacks, for far.mjs.

import { RTCPeerConnection as Connection } from "werift";

export class RTCPeerConnection extends Connection {
  constructor(configuration) {
    super({ ...configuration, bundlePolicy: "max-bundle" });
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
