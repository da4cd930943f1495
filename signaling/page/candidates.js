// A log of the ICE candidates of both sides of a call, for the connection panel.

/** The number of entries kept of each kind; older candidates are only counted. */
const KEPT_MOST = 100;

export class CandidateLog {
  #start = performance.now();
  #seen = new Set();
  #described = "";

  /** @param {RemotePeer} peer whose candidates are logged from now on */
  constructor(peer) {
    /** Candidates as `{type, protocol, address, at}`, `at` in milliseconds since the call began. */
    this.sides = { local: [], remote: [] };
    /** The number of older candidates that were dropped. */
    this.omitted = { local: 0, remote: 0 };
    /** The time of the end of candidates, in milliseconds since the call began, or null. */
    this.ended = { local: null, remote: null };
    /** Errors of STUN and TURN servers: `{url, reason, at}`. */
    this.errors = [];
    peer.addEventListener("candidate", ({ detail }) => this.#add(detail.side, detail.candidate));
    peer.addEventListener("change", () => this.#look(peer.connection.remoteDescription));
    peer.connection.addEventListener("icecandidateerror", (event) => this.#failed(event));
  }

  /** Add the candidates in a description, from a peer that does not trickle. */
  #look(description) {
    const sdp = description?.sdp ?? "";
    if (sdp === this.#described) return;
    const [before, now] = [this.#described, sdp].map((text) => text.match(/^a=ice-ufrag:.*$/m)?.[0]);
    if (before && now !== before) this.#restarted();
    this.#described = sdp;
    for (const line of sdp.split(/\r?\n/)) {
      if (line.startsWith("a=candidate:")) {
        this.#add("remote", { candidate: line.slice(2), sdpMLineIndex: 0 });
      } else if (line === "a=end-of-candidates") {
        this.ended.remote ??= this.#now();
      }
    }
  }

  #failed({ url, errorCode, errorText }) {
    if (this.errors.length >= KEPT_MOST) return;
    this.errors.push({ url, reason: `${errorCode} ${errorText}`.trim(), at: this.#now() });
  }

  #restarted() {
    this.ended = { local: null, remote: null };
    this.#seen.clear();
  }

  #add(side, init) {
    if (!init?.candidate) {
      // An empty string ends one media section, null ends all; with BUNDLE that is the same.
      this.ended[side] ??= this.#now();
      return;
    }
    const key = `${side} ${init.candidate}`;
    if (this.#seen.has(key)) return;
    const entry = describe(init);
    if (!entry) return;
    this.#seen.add(key);
    this.sides[side].push({ ...entry, key, at: this.#now() });
    if (this.sides[side].length <= KEPT_MOST) return;
    this.#seen.delete(this.sides[side].shift().key);
    this.omitted[side] += 1;
  }

  #now() {
    return Math.round(performance.now() - this.#start);
  }
}

/** An address and port as text, with brackets around an IPv6 address. */
export function endpoint(address, port) {
  if (!address) return "hidden";
  // Chromium has the brackets in the address of a candidate, but not in getStats().
  return /^[^[]*:/.test(address) ? `[${address}]:${port}` : `${address}:${port}`;
}

function describe(init) {
  let candidate;
  try {
    candidate = init instanceof RTCIceCandidate ? init : new RTCIceCandidate(init);
  } catch {
    return null;
  }
  const { type, protocol, address, port } = candidate;
  return type ? { type, protocol, address: endpoint(address, port) } : null;
}
