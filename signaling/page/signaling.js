// The signaling connection: join a room, stay in it across broken sockets, leave it.
//
// It speaks version 1 of the wire protocol and knows nothing of WebRTC. When the socket breaks,
// it connects again with growing pauses and resumes its seat, so that calls go on undisturbed.
// Both sides number what goes from peer to peer; what a broken socket took with it is sent again.

const PAUSE_FIRST_MS = 300;
const PAUSE_MOST_MS = 7000;
const KEPT_MOST = 256;
/** The bytes that the server takes of a message, and of a description. */
const MESSAGE_MOST = 64 * 1024;
const DESCRIPTION_MOST = 256 * 1024;
/** The close code after which another connection has the seat, and connecting again is no use. */
const TAKEN_OVER = 4000;

/** The credentials of TURN servers are renewed so long before they lapse, and no more often. */
const RENEW_AHEAD_MS = 60_000;
const TIMER_MOST_MS = 2 ** 31 - 1;

/** For how long a lost seat may hold this page's name: until the server notices, and 30 s more. */
const SEAT_KEPT_MS = 95_000;

/** Codes after which trying again with the same words cannot help. */
const REFUSALS = new Set(["version", "unauthorized", "room-full", "name-taken", "bad-message"]);

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
   * @param {URL} url of the WebSocket
   * @param {{room: string, name: string, token: ?string}} join whom to join as, and where
   * @param {{joined: Function, message: Function, state: Function, refused: Function}} on
   *   `joined(message)` after each join or resume; `message(message)` for all that follows;
   *   `state("connecting"|"unreachable"|"joined"|"reconnecting"|"closed")`; `refused(error)` once, at the end.
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
   * Send a message to a peer, now or at the moment the seat is resumed.
   *
   * The last 256 messages are kept, to be sent again if they turn out to be lost.
   *
   * @throws {RangeError} the server would not take a message as large
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

  /** Give the seat back and close; the server answers `leave` by closing the socket. */
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
      if (code === TAKEN_OVER) this.#refuse({ code: "taken-over" });
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
    else if (!this.#isRepeated(message)) this.#on.message(message);
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

  /** New credentials come with `joined`, so the seat is resumed over a new socket in time. */
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
      // The seat that holds the name is this page's own, and its time runs out.
      this.#socket.close();
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
    // Half of the pause is random: a restarted server is not met by everybody at once.
    this.#timer = setTimeout(() => this.#connect(), most / 2 + (Math.random() * most) / 2);
    this.#socket = null;
  }

  /** The network is back: do not sit out the rest of the pause. */
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
