// The candidates of both sides of one call, as they come, for the connection panel.

/** A peer cannot make the page grow: of more than these, the oldest are counted and not kept. */
const KEPT_MOST = 100;

export class CandidateLog {
  #start = performance.now();
  #seen = new Set();

  constructor() {
    /** Each `{type, protocol, address, at}`, `at` in milliseconds since the call began. */
    this.sides = { local: [], remote: [] };
    /** How many older ones there were. */
    this.omitted = { local: 0, remote: 0 };
    /** When each side said that it has no more, in milliseconds since the call began, or null. */
    this.ended = { local: null, remote: null };
    /** What STUN and TURN servers answered instead of a candidate: `{url, reason, at}`. */
    this.errors = [];
  }

  local(candidate) {
    this.#add("local", candidate);
  }

  remote(candidate) {
    this.#add("remote", candidate);
  }

  /** A peer that does not trickle has its candidates in the description. */
  remoteDescription({ sdp }) {
    for (const line of sdp.split(/\r?\n/)) {
      if (line.startsWith("a=candidate:")) {
        this.#add("remote", { candidate: line.slice(2), sdpMLineIndex: 0 });
      } else if (line === "a=end-of-candidates") {
        this.ended.remote ??= this.#now();
      }
    }
  }

  error({ url, errorCode, errorText }) {
    if (this.errors.length >= KEPT_MOST) return;
    this.errors.push({ url, reason: `${errorCode} ${errorText}`.trim(), at: this.#now() });
  }

  restarted() {
    this.ended = { local: null, remote: null };
    this.#seen.clear();
  }

  #add(side, init) {
    if (!init?.candidate) {
      // An empty string ends one media section, null ends all; with one bundle they are the same.
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

/** An address and port as one writes them: an IPv6 address goes into brackets. */
export function endpoint(address, port) {
  if (!address) return "hidden";
  // Chromium puts the brackets around the address of a candidate, and leaves them out in getStats().
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
