// The signaling connection: join a room, stay in it across broken sockets, leave it.
//
// It speaks version 1 of the wire protocol and knows nothing of WebRTC. When the socket breaks,
// it connects again with growing pauses and resumes its seat, so that calls go on undisturbed.

const PAUSE_FIRST_MS = 300;
const PAUSE_MOST_MS = 7000;
const WAITING_MOST = 256;

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
  #waiting = [];
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
   * Send a message, or keep it for the moment the seat is resumed.
   *
   * At most 256 messages wait; what comes after them is dropped. Whoever negotiates looks at each
   * unfinished call when the seat is resumed, which mends that gap too.
   */
  send(message) {
    if (this.#state === "joined") {
      this.#socket.send(JSON.stringify(message));
    } else if (this.#state !== "closed" && this.#waiting.length < WAITING_MOST) {
      this.#waiting.push(message);
    }
  }

  /** Give the seat back and close; the server answers `leave` by closing the socket. */
  leave() {
    if (this.#state === "joined") this.send({ type: "leave" });
    this.#finish();
  }

  #connect() {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => this.#sendJoin();
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#received(data);
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#broken();
    };
  }

  #sendJoin() {
    const { room, name, token } = this.#join;
    const join = { type: "join", version: 1, room, name };
    if (token) join.token = token;
    if (this.#resume) join.resume = this.#resume;
    this.#socket.send(JSON.stringify(join));
  }

  #received(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      console.warn("The signaling server sent something that is not JSON; it was skipped.");
      return;
    }
    if (message.type === "joined") this.#joined(message);
    else if (message.type === "error" && this.#state !== "joined") this.#joinFailed(message);
    else this.#on.message(message);
  }

  #joined(message) {
    const resumed = this.#resume !== null;
    this.#resume = message.resume ?? null;
    this.#attempts = 0;
    const waiting = resumed ? this.#waiting : [];
    this.#waiting = [];
    this.#enter("joined");
    for (const kept of waiting) this.send(kept);
    this.#on.joined(message, resumed);
    this.#renewBefore(message.expires);
  }

  /** New credentials come with `joined`, so the seat is resumed over a new socket in time. */
  #renewBefore(expires) {
    clearTimeout(this.#renewal);
    if (typeof expires !== "number") return;
    const left = expires * 1000 - Date.now() - RENEW_AHEAD_MS;
    const pause = Math.min(Math.max(left, RENEW_AHEAD_MS), TIMER_MOST_MS);
    this.#renewal = setTimeout(() => this.#socket?.close(4000, "renewing credentials"), pause);
  }

  #joinFailed(error) {
    if (error.code === "resume-failed") {
      this.#resume = null;
      this.#sendJoin();
    } else if (error.code === "name-taken" && performance.now() - this.#lostAt < SEAT_KEPT_MS) {
      // The seat that holds the name is this page's own, and its time runs out.
      this.#socket.close();
    } else if (REFUSALS.has(error.code)) {
      this.#finish();
      this.#on.refused(error);
    }
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
    this.#waiting = [];
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
