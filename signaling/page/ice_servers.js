// New ICE servers for a connection in use, and the relay of its path.

import { selectedPair } from "./stats.js";

/**
 * Give a connection new ICE servers. If its path has a local relay, ICE is restarted: an allocation
 * keeps its user name (RFC 8656, section 5), and may end when that expires. The new path has a new
 * allocation, and the one in use carries the data until it works.
 *
 * @param {RTCPeerConnection} pc
 * @param {RTCIceServer[]} iceServers
 * @returns {Promise<boolean>} whether ICE is restarted
 */
export async function renewServers(pc, iceServers) {
  if (pc.signalingState === "closed") return false;
  const before = pc.getConfiguration();
  if (secrets(before.iceServers) === secrets(iceServers)) return false;
  pc.setConfiguration({ ...before, iceServers });
  if (pc.connectionState !== "connected") return false;
  const pair = await selectedPair(await pc.getStats());
  if (pair?.local.type !== "relay" || pc.signalingState === "closed") return false;
  pc.restartIce();
  return true;
}

/** What of the servers says whether anything is new. */
function secrets(iceServers) {
  return JSON.stringify(
    iceServers.map(({ urls, username, credential }) => [
      [urls].flat(),
      username || null,
      credential || null,
    ]),
  );
}
