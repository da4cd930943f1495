// A summary of getStats() for one call: selected candidate pair, bitrates, streams.

import { endpoint } from "./candidates.js";
import { selectedPair } from "./icefloe.js";

/** A pair in one line, such as "host/udp 192.0.2.1:5000 → srflx/udp 198.51.100.7:6000". */
export function pairWords({ local, remote }) {
  const words = ({ type, protocol, address, port }) =>
    `${type}/${protocol} ${endpoint(address, port)}`;
  return `${words(local)} → ${words(remote)}`;
}

/** Reads the statistics of a connection repeatedly and computes rates from its counters. */
export class StatsReader {
  #last = new Map();

  /**
   * @param {RTCPeerConnection} pc
   * @returns {Promise<{pair: ?object, inbound: Flow, outbound: Flow}>} where a flow is
   *   `{bitrate, audio, video}`: bits per second or null, and descriptions of the streams
   */
  async read(pc) {
    const report = await pc.getStats();
    const all = [...report.values()];
    const flow = (type, counter) => {
      const streams = all.filter((entry) => entry.type === type && entry[counter] > 0);
      return {
        bitrate: this.#rate(type, streams, counter),
        ...Object.fromEntries(streams.map((entry) => [entry.kind, describe(entry, report)])),
      };
    };
    return {
      pair: selectedPair(report),
      inbound: flow("inbound-rtp", "bytesReceived"),
      outbound: flow("outbound-rtp", "bytesSent"),
    };
  }

  #rate(key, streams, counter) {
    if (streams.length === 0) return null;
    const bytes = streams.reduce((sum, entry) => sum + entry[counter], 0);
    const at = streams[0].timestamp;
    const last = this.#last.get(key);
    this.#last.set(key, { bytes, at });
    if (!last || at <= last.at || bytes < last.bytes) return null;
    return ((bytes - last.bytes) * 8000) / (at - last.at);
  }
}

function describe(entry, report) {
  const codec = report.get(entry.codecId)?.mimeType?.split("/")[1];
  const size = entry.frameWidth ? `${entry.frameWidth}×${entry.frameHeight}` : null;
  const rate = entry.framesPerSecond ? `${Math.round(entry.framesPerSecond)}\u00a0fps` : null;
  const lost = entry.packetsLost > 0 ? `${entry.packetsLost}\u00a0lost` : null;
  const limit = entry.qualityLimitationReason ?? "none";
  const limited = limit === "none" ? null : `limited by ${limit}`;
  return [codec, size, rate, lost, limited].filter(Boolean).join(" ");
}

/** A bitrate as text. */
export function bitrateWords(bitrate) {
  if (bitrate === null) return "–";
  if (bitrate >= 1e6) return `${(bitrate / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bitrate / 1000)} kbit/s`;
}
