// The signaling client of the pages (protocol version 1, docs/protocol.md); no WebRTC.
//
// When the socket breaks, the client reconnects with exponential backoff and resumes its seat, so
// that calls continue. Messages between peers are numbered in both directions; those lost with a
// broken socket are sent again.

const PAUSE_FIRST_MS = 300;
const PAUSE_MOST_MS = 7000;
const KEPT_MOST = 256;
/** The largest message, and the largest description, that the server accepts, in bytes. */
const MESSAGE_MOST = 64 * 1024;
const DESCRIPTION_MOST = 256 * 1024;
/** The close codes after which the page does not reconnect. */
const FINAL = new Map([
  [4000, "taken-over"],
  [4003, "removed"],
  [4004, "room-closed"],
]);

/** The time before the expiry of TURN credentials at which they are renewed; also the interval. */
const RENEW_AHEAD_MS = 60_000;
const TIMER_MOST_MS = 2 ** 31 - 1;

/** How long this page's own lost seat may hold its name: until the server notices, and 30 s. */
const SEAT_KEPT_MS = 95_000;

/** Error codes after which the same `join` cannot succeed. */
const REFUSALS = new Set([
  "version",
  "unauthorized",
  "room-full",
  "name-taken",
  "bad-message",
  "token-missing",
  "token-malformed",
  "token-algorithm",
  "token-signature",
  "token-expired",
  "token-not-yet",
  "token-audience",
  "token-room",
  "token-name",
  "token-rights",
  "removed",
  "room-locked",
  "room-closed",
  "admission-failed",
]);

export class Signaling {
  #url;
  #join;
  #on;
  #socket = null;
  #state = "closed";
  #resume = null;
  #timer = 0;
  #renewal = 0;
  #attempts = 0;
  #kept = [];
  #sent = 0;
  #received = 0;
  #lostAt = -Infinity;

  /**
   * @param {URL} url the WebSocket URL
   * @param {{room: string, name: string, token: ?string}} join the fields of the `join` message
   * @param {{joined: Function, message: Function, state: Function, refused: Function}} on
   *   callbacks: `joined(message)` after each join or resume; `message(message)` for all other
   *   messages; `state("connecting"|"unreachable"|"joined"|"reconnecting"|"closed")`;
   *   `refused(error)` once, when the server refuses for good.
   */
  constructor(url, join, on) {
    this.#url = url;
    this.#join = join;
    this.#on = on;
  }

  get state() {
    return this.#state;
  }

  open() {
    this.#enter("connecting");
    this.#connect();
    addEventListener("online", this.#hurry);
  }

  /**
   * Send a message to a peer, now or when the seat is resumed.
   *
   * The last 256 messages are kept for retransmission.
   *
   * @throws {RangeError} the message is larger than the server accepts
   */
  send(message) {
    if (this.#state === "closed") return;
    const numbered = { ...message, seq: this.#sent + 1 };
    const size = new TextEncoder().encode(JSON.stringify(numbered)).length;
    const most = message.type === "description" ? DESCRIPTION_MOST : MESSAGE_MOST;
    if (size > most) throw new RangeError(`A ${message.type} of ${size} bytes is over ${most}.`);
    this.#sent += 1;
    this.#kept.push(numbered);
    if (this.#kept.length > KEPT_MOST) this.#kept.shift();
    if (this.#state === "joined") this.#write(numbered);
  }

  /** Leave the room and close; the server answers `leave` by closing the socket. */
  leave() {
    if (this.#state === "joined") this.#write({ type: "leave" });
    this.#finish();
  }

  #connect() {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => this.#sendJoin();
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#take(data);
    };
    socket.onclose = ({ code }) => {
      if (socket !== this.#socket) return;
      if (FINAL.has(code)) this.#refuse({ code: FINAL.get(code) });
      else this.#broken();
    };
  }

  #sendJoin() {
    const { room, name, token } = this.#join;
    const join = { type: "join", version: 1, room, name };
    if (token) join.token = token;
    if (this.#resume) Object.assign(join, { resume: this.#resume, ack: this.#received });
    this.#write(join);
  }

  #write(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #take(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      console.warn("The signaling server sent something that is not JSON; it was skipped.");
      return;
    }
    if (message.type === "joined") this.#joined(message);
    else if (message.type === "error" && this.#state !== "joined") this.#joinFailed(message);
    else if (!this.#isRepeated(message)) {
      if (message.type === "ice-servers") this.#renewBefore(message.expires);
      this.#on.message(message);
    }
  }

  #isRepeated({ seq }) {
    if (seq === undefined) return false;
    if (seq <= this.#received) return true;
    this.#received = seq;
    return false;
  }

  #joined(message) {
    const resumed = this.#resume !== null;
    this.#resume = message.resume ?? null;
    this.#attempts = 0;
    this.#enter("joined");
    if (resumed) {
      this.#kept = this.#kept.filter(({ seq }) => seq > message.ack);
      for (const numbered of this.#kept) this.#write(numbered);
    } else {
      this.#kept = [];
      this.#sent = this.#received = 0;
    }
    this.#on.joined(message, resumed);
    this.#renewBefore(message.expires);
  }

  /**
   * Reconnect before the credentials expire, unless the server sends new ones before that: each
   * `joined` message brings new ones.
   */
  #renewBefore(expires) {
    clearTimeout(this.#renewal);
    if (typeof expires !== "number") return;
    const left = expires * 1000 - Date.now() - RENEW_AHEAD_MS;
    const pause = Math.min(Math.max(left, RENEW_AHEAD_MS), TIMER_MOST_MS);
    this.#renewal = setTimeout(() => this.#socket?.close(4001, "renewing credentials"), pause);
  }

  #joinFailed(error) {
    if (error.code === "resume-failed") {
      this.#resume = null;
      this.#sendJoin();
    } else if (error.code === "name-taken" && performance.now() - this.#lostAt < SEAT_KEPT_MS) {
      // This page's own lost seat may still hold the name; the server will remove it.
      this.#socket.close();
    } else if (error.code === "admission-failed" && this.#lostAt > 0) {
      this.#socket.close(); // what decides may answer again when the page reconnects
    } else if (REFUSALS.has(error.code)) {
      this.#refuse(error);
    }
  }

  #refuse(error) {
    this.#finish();
    this.#on.refused(error);
  }

  #broken() {
    if (this.#state === "joined") this.#lostAt = performance.now();
    this.#enter(this.#lostAt > 0 ? "reconnecting" : "unreachable");
    const most = Math.min(PAUSE_FIRST_MS * 2 ** this.#attempts, PAUSE_MOST_MS);
    this.#attempts += 1;
    // Half of the pause is random, so that not all clients reconnect at the same time.
    this.#timer = setTimeout(() => this.#connect(), most / 2 + (Math.random() * most) / 2);
    this.#socket = null;
  }

  /** The network is back: reconnect without waiting for the rest of the pause. */
  #hurry = () => {
    if (this.#socket !== null || this.#state === "closed") return;
    clearTimeout(this.#timer);
    this.#connect();
  };

  #finish() {
    clearTimeout(this.#timer);
    clearTimeout(this.#renewal);
    removeEventListener("online", this.#hurry);
    this.#kept = [];
    this.#resume = null;
    const socket = this.#socket;
    this.#socket = null;
    this.#enter("closed");
    socket?.close(1000);
  }

  #enter(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#on.state(state);
  }
}
