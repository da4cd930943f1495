/*! icefloe.js, copyright its authors, BSD-3-Clause */
// Longer than 400 lines: pages load one file, and nothing builds it out of several.
//
// Rooms, peer connections and data channels for browsers: what `icefloe.peer` is for Python, with
// the same names in camel case. Sections: limits, errors, waiting, signaling, statistics, data
// channels, requests, negotiation, peers, rooms. Times are milliseconds, sizes are bytes.
//
// What is private is in the scope of a constructor, where a minifier shortens its names.

// --- limits: what another machine decides has one of these, see docs/security.md

/** Messages to peers that are kept for a resume, or wait for the server. */
const KEPT_MOST = 256;
/** The largest message, and the largest description, that the server accepts. */
const MESSAGE_MOST = 64 * 1024;
const DESCRIPTION_MOST = 256 * 1024;
/** The largest message that is taken from the server, in characters. */
const SERVER_MESSAGE_MOST = 1024 * 1024;
/** Participants with whom there is a connection. */
const PEERS_MOST = 256;
/** URLs of STUN and TURN servers that are used of those that the server names. */
const SERVERS_MOST = 32;
/** Candidates that wait for their description. */
const EARLY_CANDIDATES_MOST = 256;
/** Descriptions and candidates of a peer that wait to be applied. */
const INBOX_MOST = 256;
/** Candidates of each side, and errors of STUN and TURN servers, that are kept for a diagnosis. */
const EVIDENCE_MOST = 100;
/** Peers, channels or tracks that wait to be taken. */
const ARRIVALS_MOST = 256;
/** New connections with a participant that are made at once; a further one a second. */
const CALLS_MOST = 8;
/** Requests of the remote peer that are handled at the same time. */
const CONCURRENT_MOST = 64;
/** Refusals, replies and withdrawals of requests that wait to be sent. */
const ERRANDS_MOST = 256;
/** Bytes that may wait to be read, by default; and where messages may be lost. */
const RECEIVE_BUFFER_LIMIT = 16 * 1024 * 1024;
const LOSSY_BUFFER_LIMIT = 2 * 1024 * 1024;
/** Characters of foreign text in an error. */
const TEXT_MOST = 500;

/** Bytes that may wait in a channel before `send()` waits, by default. */
const SEND_BUFFER = 1024 * 1024;
/** What a message that waits takes beside its bytes. */
const OVERHEAD = 100;
/** How long the server may take to answer. */
const ANSWER_MS = 10_000;
const PAUSE_FIRST_MS = 300;
const PAUSE_LAST_MS = 7000;
/** The time before the expiry of TURN credentials at which they are renewed. */
const RENEW_AHEAD_MS = 60_000;
const TIMER_LONGEST_MS = 2 ** 31 - 1;
/** How long the own lost seat may hold its name: until the server notices, and 30 s. */
const SEAT_KEPT_MS = 95_000;
/** How long a participant has to confirm that a call continues before another one is made. */
const GO_ON_MS = 2000;
/** The pause after the first ICE restart while there is no path, which then grows; the longest. */
const RESTART_PAUSE_MS = 1000;
const RESTART_PAUSE_LONGEST_MS = 30_000;
/** How long a path has to work before the pauses begin anew. */
const STABLE_MS = 20_000;
/** What the polite side leaves to the other, which notices a silent path as well. */
const COURTESY_MS = 300;
/** The id of the channel that only gives an offer its section for data. */
const SECTION_ID = 1023;
/** The subprotocol of file transfers, each of which has a channel of its own. */
const TRANSFER = "icefloe-transfer-1";

// --- errors

/** @param {unknown} text foreign text @returns {string} it, cut, without what cannot be printed */
const printable = (text) => {
  return String(text).slice(0, TEXT_MOST).replace(/[\p{C}\u2028\u2029]/gu, "\uFFFD");
};

/** @param {unknown} text */
const quoted = (text) => `“${printable(text)}”`;

/** @param {unknown} error */
const reasonOf = (error) => (error instanceof Error ? error.message : String(error));

/**
 * What is known about an error, beside its code.
 *
 * @typedef {object} Facts
 * @property {string} [reason] what went wrong, as the server, the other side or the browser says it
 * @property {string} [url] the address of the signaling server
 * @property {string} [peer] the name of the peer
 * @property {string} [label] the label of the channel
 * @property {ClosedBy} [by] who closed the channel
 * @property {number} [size] bytes of what is too large
 * @property {number} [limit] bytes that are possible
 * @property {?number} [timeout] milliseconds that were waited
 * @property {string} [phase] where connecting stopped: `signaling`, `gathering`,
 *   `connectivity-checks` or `dtls`
 * @property {{seconds: number, local: string[], remote: string[], serverErrors: string[]}} [evidence]
 *   what was known when connecting failed
 *
 * @typedef {"us" | "them" | "connection"} ClosedBy the side that closed a channel
 */

/** The base class of all errors here. */
export class IcefloeError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {Facts} [facts]
   */
  constructor(code, message, facts = {}) {
    super(message);
    this.name = new.target.name;
    /** A word for programs. */
    this.code = code;
    /** What is known about it. */
    this.facts = facts;
  }

  /** What went wrong, as the server, the other side or the browser says it; may be empty. */
  get reason() {
    return this.facts.reason ?? "";
  }
}

/** The base class of the errors of signaling. */
export class SignalingError extends IcefloeError {}
/** The address of the signaling server is not a WebSocket URL. */
export class InvalidUrl extends SignalingError {}
/** A message is not valid in the signaling protocol. */
export class MessageError extends SignalingError {}
/** The signaling server does not answer. */
export class Unreachable extends SignalingError {}
/** The server did not let this page into the room; `code` is that of the signaling protocol. */
export class JoinRefused extends SignalingError {}
/** The function that gives the token has failed. */
export class TokenUnavailable extends SignalingError {}
/** The server did not do what was asked of it as a moderator; `code` says why. */
export class ModerationRefused extends SignalingError {}
/** The connection to the server is down, and as many messages wait for it as may. */
export class SendQueueFull extends SignalingError {}
/** The seat in the room is lost for good. */
export class SignalingLost extends SignalingError {}
/** A moderator has removed this page from the room. */
export class RemovedFromRoom extends SignalingLost {}
/** A moderator has closed the room. */
export class RoomClosed extends SignalingLost {}
/** The room was left, or its seat is lost for good. */
export class SignalingClosed extends SignalingError {}

/** The base class of the errors of peers and their channels. */
export class PeerError extends IcefloeError {}
/** An offer or answer is larger than signaling carries; what was added is not negotiated. */
export class DescriptionTooLarge extends PeerError {}
/** The connection to a peer could not be established; its facts say how far it came. */
export class ConnectFailed extends PeerError {}
/** The peer is not in the room any more, or the connection with it was ended. */
export class PeerLeft extends PeerError {}
/** Nobody of this name is in the room. */
export class PeerNotHere extends PeerError {}

/** The base class of the errors of data channels. */
export class ChannelError extends PeerError {}
/** The channel is closed. */
export class ChannelClosed extends ChannelError {}
/** A channel is used in two ways that exclude each other. */
export class ChannelMisused extends ChannelError {}
/** An option of a data channel is invalid, so the channel is not created. */
export class InvalidChannel extends ChannelError {}
/** A message cannot be sent, or is not JSON; the channel is as good as before. */
export class InvalidMessage extends ChannelError {}
/** The message is larger than the remote peer takes. */
export class MessageTooLarge extends ChannelError {}
/** Messages came faster than they were read, and the channel was closed over it. */
export class ReceiveOverflow extends ChannelError {}
/** No reply to a request came in time. */
export class RequestTimeout extends ChannelError {}
/** A request was refused, or its handler failed. A handler throws it to refuse. */
export class RequestFailed extends ChannelError {
  /**
   * @param {string} code a word for programs: `error`, `unserved`, `overloaded`, `cancelled`, …
   * @param {string} reason
   */
  constructor(code, reason, label = "") {
    super(code, `the request failed (${printable(code)}): ${printable(reason)}`, { reason, label });
  }
}

/** @type {Record<string, string>} */
const REMEDIES = {
  unauthorized: "Ask for a new token",
  "token-missing": "Ask for a token",
  "token-expired": "Ask for a new token",
  "admission-failed": "Try again later",
  "room-locked": "Ask a moderator",
  "room-full": "Try later, or take another room",
  "name-taken": "Take another name",
  version: "Use the icefloe.js of the server",
};

/** @type {Record<string, string>} */
const ADVICE = {
  signaling: "It never answered: is it still in the room?",
  gathering: "This device has no network address.",
  "connectivity-checks": "No pair of addresses answered. Give both sides a TURN server.",
  dtls: "The path works, the encryption does not.",
};

/** @type {Record<ClosedBy, string>} */
const CLOSED = {
  us: "was closed by this side",
  them: "was closed by the other side",
  connection: "is over with its connection",
};

/** @param {string} code @param {string} reason the sentence of the server */
const refusal = (code, reason) => {
  const remedy = Object.hasOwn(REMEDIES, code) ? ` ${REMEDIES[code]}` : "";
  const sentence = `Joining was refused (${printable(code)}): ${printable(reason)}${remedy}`;
  return new JoinRefused(code, sentence, { reason });
};

/** @param {string} url @param {string} reason */
const unreachable = (url, reason) => {
  const sentence = `The signaling server at ${printable(url)} cannot be reached: ${reason}. ` +
    "Check its address, and that it runs";
  return new Unreachable("unreachable", sentence, { url, reason });
};

/** @param {typeof SignalingLost} kind @param {string} code @param {string} reason */
const lost = (kind, code, reason) => {
  return new kind(code, `The seat in the room is lost: ${reason}. Join again`, { reason });
};

const signalingClosed = () => {
  return new SignalingClosed("signaling-closed", "This room is over. Join again");
};

/** @param {string} peer @param {?number} timeout null if the room was left */
const notHere = (peer, timeout) => {
  const when = timeout === null ? "the room was left" : `not within ${timeout} ms`;
  return new PeerNotHere("peer-not-here", `${quoted(peer)} is not in the room (${when})`, { peer, timeout });
};

/** @param {string} label @param {ClosedBy} by */
const channelClosed = (label, by) => {
  return new ChannelClosed("channel-closed", `channel ${quoted(label)} ${CLOSED[by]}`, { label, by });
};

/** @param {string} label @param {string} reason */
const misused = (label, reason) => {
  return new ChannelMisused("channel-misused", `channel ${quoted(label)} ${reason}`, { label, reason });
};

/** @param {string} label @param {unknown} error */
const invalidChannel = (label, error) => {
  const reason = reasonOf(error);
  const sentence = `channel ${quoted(label)} cannot be so: ${printable(reason)}`;
  return new InvalidChannel("invalid-channel", sentence, { label, reason });
};

/** @param {string} label @param {string} reason */
const invalidMessage = (label, reason) => {
  const sentence = `a message on channel ${quoted(label)} is invalid: ${printable(reason)}`;
  return new InvalidMessage("invalid-message", sentence, { label, reason });
};

// --- waiting

/**
 * @template T
 * @typedef {{promise: Promise<T>, resolve: (value: T) => void, reject: (error: unknown) => void}} Deferred
 */

/** @template T @returns {Deferred<T>} */
const deferred = () => {
  const made = Promise.withResolvers();
  made.promise.catch(() => {}); // it is no fault if nobody waits for it
  return /** @type {any} */ (made);
};

/** @typedef {ReturnType<typeof bell>} Bell wakes everybody who waits for something to change */

const bell = () => {
  /** @type {?Deferred<void>} */
  let next = null;
  const ring = () => {
    next?.resolve();
    next = null;
  };
  /**
   * Wait until a condition holds.
   *
   * @param {() => boolean} condition
   * @param {?number} [timeout]
   * @returns {Promise<boolean>} false if the time was over before
   */
  const until = async (condition, timeout = null) => {
    let isLate = false;
    const late = () => {
      isLate = true;
      ring();
    };
    const timer = timeout === null ? 0 : setTimeout(late, Math.min(timeout, TIMER_LONGEST_MS));
    try {
      while (!condition()) {
        if (isLate) return false;
        next ??= deferred();
        await next.promise;
      }
      return true;
    } finally {
      clearTimeout(timer);
    }
  };
  return { ring, until };
};

/**
 * A bounded queue of peers, channels or tracks; each is taken once.
 *
 * @template T
 */
const arrivals = () => {
  /** @type {T[]} */
  let items = [];
  let hasEnded = false;
  /** @type {unknown} */
  let failure = null;
  const { ring, until } = bell();
  return {
    /** @param {T} item @returns {boolean} whether there was room */
    put(item) {
      const hasRoom = !hasEnded && items.length < ARRIVALS_MOST;
      if (hasRoom) items.push(item);
      ring();
      return hasRoom;
    },

    /** @param {T} item */
    withdraw(item) {
      items = items.filter((other) => other !== item);
    },

    /** End the queue after what waits; readers then get the error, if there is one. */
    end(/** @type {unknown} */ error = null) {
      failure ??= error;
      hasEnded = true;
      ring();
    },

    /** @returns {AsyncGenerator<T, void, void>} */
    async *take() {
      for (;;) {
        await until(() => items.length > 0 || hasEnded);
        if (items.length === 0) break;
        yield /** @type {T} */ (items.shift());
      }
      if (failure !== null) throw failure;
    },
  };
};

/** @param {EventTarget} target @param {string} type @param {unknown} [detail] */
const emit = (target, type, detail) => {
  target.dispatchEvent(new CustomEvent(type, { detail }));
};

/** @param {EventTarget} target @param {Record<string, (event: any) => void>} handlers */
const listen = (target, handlers) => {
  for (const [type, handler] of Object.entries(handlers)) target.addEventListener(type, handler);
};

/** @param {unknown} text a sentence that may have foreign text in it */
const warn = (text) => console.warn(printable(text));

// --- signaling (docs/protocol.md)

/**
 * @typedef {"connecting" | "unreachable" | "joined" | "reconnecting" | "closed"} SignalingState
 * @typedef {{id: string, name: string, away: boolean, may: string[]}} PeerInfo
 * @typedef {string | (() => string | Promise<string>)} TokenSource a token, or what gives one for
 *   each connection to the server
 * @typedef {object} SignalingOptions
 * @property {string} room the room, 1 to 64 characters
 * @property {string} name the own name, unique in the room, 1 to 64 characters
 * @property {?TokenSource} [token] the token that admits, if the server asks for one
 * @property {boolean} [rename] whether the server may add a number to the name if it is taken
 * @property {boolean} [retry] whether to keep trying while the server cannot be reached at first
 * @property {?AbortSignal} [signal] gives up joining
 * @property {(state: SignalingState) => void} [onState] called with each new state
 * @property {(joined: {id: string, peers: PeerInfo[]}, resumed: boolean) => void} [onJoined] called
 *   after each join, and each resume of the seat
 * @property {(message: Record<string, any>) => void} [onMessage] called with all other messages
 * @property {(error: SignalingError) => void} [onLost] called once, if the seat is lost for good
 */

/** The codes of a closed socket after which the client does not connect again. */
const FINAL = new Map([
  [4000, () => lost(SignalingLost, "taken-over", "another connection took it up")],
  [4003, () => lost(RemovedFromRoom, "removed", "a moderator has removed this participant")],
  [4004, () => lost(RoomClosed, "room-closed", "a moderator has closed the room")],
]);

/** @param {unknown} may @returns {string[]} the rights; `send` where nothing is said */
const rightsOf = (may) => {
  if (!Array.isArray(may)) return ["send"];
  return may.filter((right) => typeof right === "string").slice(0, 16);
};

/** @param {any} info @returns {?PeerInfo} a participant, or null if it is none */
const peerInfo = (info) => {
  if (typeof info?.id !== "string" || typeof info.name !== "string") return null;
  const { id, name, away, may } = info;
  return { id, name: name.slice(0, 128), away: Boolean(away), may: rightsOf(may) };
};

/** @param {string | URL} url also relative to the page, and of http @returns {string} */
const socketUrl = (url) => {
  try {
    const found = new URL(url, globalThis.location?.href);
    found.protocol = found.protocol.replace("http", "ws");
    found.hash = "";
    if (/^wss?:$/.test(found.protocol)) return found.href;
  } catch {
    // It is none at all.
  }
  throw new InvalidUrl("invalid-url", `${quoted(url)} is not the URL of a signaling server. Write ` +
    "it like ws://host:8080/ws, or wss://host/ws for a server with TLS", { url: String(url) });
};

/** @param {string} text @returns {number} bytes of it in UTF-8 */
const sizeOf = (text) => new TextEncoder().encode(text).length;

/**
 * A client with a seat in a room, without any WebRTC.
 *
 * When the socket breaks, it connects again with growing pauses and resumes its seat, so that calls
 * go on. Messages between peers are numbered in both directions; those lost with a broken socket
 * are sent again.
 */
export class SignalingClient {
  /**
   * @param {string | URL} url the server, as `ws://127.0.0.1:8080/ws`, or relative to the page
   * @param {SignalingOptions} options
   * @throws {InvalidUrl}
   */
  constructor(url, { room, name, token, rename, retry, signal, ...on }) {
    const self = this;
    const address = socketUrl(url);
    /** @type {?WebSocket} */
    let socket = null;
    /** The secret that resumes the seat. @type {?string} */
    let secret = null;
    /** The number of the attempt to connect that counts. */
    let attempt = 0;
    let failures = 0;
    /** @type {unknown} */
    let admission = token;
    /** @type {?number | any} */
    let retrying;
    /** @type {?number | any} */
    let waiting;
    /** @type {?number | any} */
    let renewing;
    /** @type {{seq: number, text: string}[]} */
    let kept = [];
    let sent = 0;
    let received = 0;
    let lostAt = -Infinity;
    let lastRef = 0;
    /** @type {Map<unknown, Deferred<void>>} */
    const asked = new Map();
    /** @type {Deferred<void>} */
    const opened = deferred();

    /** The state of the connection. @type {SignalingState} */
    this.state = "closed";
    /** The own id in the room, or null before it is joined. @type {?string} */
    this.id = null;
    /** The own name in the room, which may have got a number. */
    this.name = name;
    /** The STUN and TURN servers to use; another array when they are renewed. @type {RTCIceServer[]} */
    this.iceServers = [];
    /** The time at which these expire, in seconds since the epoch, if they do. @type {?number} */
    this.expires = null;
    /** The own rights: `join`, `send`, `moderate`. @type {Set<string>} */
    this.rights = new Set();

    /** @param {SignalingState} state */
    const enter = (state) => {
      if (state === self.state) return;
      self.state = state;
      on.onState?.(state);
    };

    /** @param {Record<string, any> | string} message */
    const write = (message) => {
      if (socket?.readyState !== 1) return;
      socket.send(typeof message === "string" ? message : JSON.stringify(message));
    };

    /** @param {SignalingError} error */
    const failAsked = (error) => {
      for (const { reject } of asked.values()) reject(error);
    };

    /** @param {SignalingError} error for whoever waits */
    const finish = (error) => {
      attempt += 1;
      for (const timer of [retrying, waiting, renewing]) clearTimeout(timer);
      globalThis.removeEventListener("online", onOnline);
      globalThis.removeEventListener("pagehide", self.close);
      const last = socket;
      socket = null;
      opened.reject(error);
      failAsked(error);
      enter("closed");
      last?.close(1000);
    };

    /** @param {SignalingError} error */
    const lose = (error) => {
      if (self.state === "closed") return;
      finish(error);
      if (self.id !== null) on.onLost?.(error);
    };

    /** The socket is broken: connect again after a pause. */
    const drop = () => {
      clearTimeout(waiting);
      const last = socket;
      socket = null;
      if (self.state === "joined") lostAt = performance.now();
      last?.close();
      failAsked(unreachable(address, "the connection broke"));
      if (self.id === null && !retry) {
        lose(unreachable(address, "it does not answer"));
        return;
      }
      enter(self.id === null ? "unreachable" : "reconnecting");
      const most = Math.min(PAUSE_FIRST_MS * 2 ** failures, PAUSE_LAST_MS);
      failures += 1;
      // Half of the pause is random, so that not all clients connect again at the same time.
      retrying = setTimeout(connectAgain, most / 2 + (Math.random() * most) / 2);
    };

    /** @returns {Promise<void>} resolved when there is a token, if that is possible */
    const fetchToken = async () => {
      if (typeof token !== "function") return;
      try {
        admission = await token();
      } catch (error) {
        admission = null;
        if (secret !== null) return; // the secret of the seat is enough
        const reason = reasonOf(error);
        const sentence = `There is no token: ${printable(reason)}. See to what gives it`;
        throw new TokenUnavailable("token-unavailable", sentence, { reason });
      }
    };

    const connectAgain = async () => {
      attempt += 1;
      const number = attempt;
      try {
        await fetchToken();
      } catch (error) {
        if (number !== attempt) return;
        if (self.id === null) lose(/** @type {TokenUnavailable} */ (error));
        else drop();
        return;
      }
      if (number !== attempt) return;
      const opening = (socket = new WebSocket(address));
      waiting = setTimeout(drop, ANSWER_MS);
      opening.onopen = sendJoin;
      opening.onmessage = ({ data }) => opening === socket && take(data);
      opening.onclose = ({ code }) => {
        const final = FINAL.get(code);
        if (opening !== socket) return;
        if (final) lose(final());
        else drop();
      };
    };

    const sendJoin = () => {
      const resume = secret === null ? {} : { resume: secret, ack: received };
      const given = { rename: rename || undefined, token: admission || undefined };
      write({ type: "join", version: 1, room, name: self.name, ...given, ...resume });
    };

    /** @param {unknown} data */
    const take = (data) => {
      /** @type {any} */
      let message = null;
      try {
        if (typeof data === "string" && data.length <= SERVER_MESSAGE_MOST) message = JSON.parse(data);
      } catch {
        // It is no JSON.
      }
      if (typeof message?.type !== "string") {
        warn("The server sent what is no message.");
        return;
      }
      const { type, seq, ref } = message;
      const answered = asked.get(ref);
      if (type === "joined") onJoined(message);
      else if (type === "error" && self.state !== "joined") joinFailed(message);
      else if (type === "done") answered?.resolve();
      else if (type === "error" && answered) {
        const { code, message: reason } = message;
        const sentence = `The server refused (${printable(code)}): ${printable(reason)}`;
        answered.reject(new ModerationRefused(String(code), sentence, { reason: String(reason) }));
      } else if (typeof seq !== "number" || seq > received) {
        if (typeof seq === "number") received = seq;
        if (type === "ice-servers") setServers(message);
        if (type === "rights" && message.id === self.id) setRights(message.may);
        on.onMessage?.(message);
      }
    };

    /** @param {unknown} may */
    const setRights = (may) => {
      self.rights = new Set(["join", ...rightsOf(may)]);
    };

    /**
     * Take ICE servers; connect again before they expire, unless the server sends new ones before.
     *
     * @param {Record<string, any>} message
     */
    const setServers = ({ iceServers, expires }) => {
      const isNew = JSON.stringify(iceServers) !== JSON.stringify(self.iceServers);
      if (isNew) self.iceServers = Array.isArray(iceServers) ? iceServers : [];
      self.expires = typeof expires === "number" ? expires : null;
      clearTimeout(renewing);
      if (self.expires === null) return;
      const left = self.expires * 1000 - Date.now() - RENEW_AHEAD_MS;
      const pause = Math.min(Math.max(left, RENEW_AHEAD_MS), TIMER_LONGEST_MS);
      renewing = setTimeout(() => socket?.close(4001), pause);
    };

    /** @param {Record<string, any>} message */
    const onJoined = (message) => {
      clearTimeout(waiting);
      const { id, name: given, resume, ack, may, peers } = message;
      const isResumed = secret !== null && id === self.id;
      const has = typeof ack === "number" ? ack : sent;
      if (isResumed && (kept[0]?.seq ?? sent + 1) > has + 1) {
        // Messages are lost that the server lacks: take another seat.
        secret = null;
        write({ type: "leave" });
        return;
      }
      secret = typeof resume === "string" ? resume : null;
      self.id = String(id);
      if (typeof given === "string") self.name = given;
      setRights(may);
      setServers(message);
      failures = 0;
      kept = isResumed ? kept.filter(({ seq }) => seq > has) : [];
      if (!isResumed) sent = received = 0;
      enter("joined");
      for (const { text } of kept) write(text);
      const others = (Array.isArray(peers) ? peers : []).slice(0, PEERS_MOST).flatMap((info) => peerInfo(info) ?? []);
      on.onJoined?.({ id: self.id, peers: others }, isResumed);
      opened.resolve();
    };

    /** @param {Record<string, any>} error */
    const joinFailed = ({ code, message }) => {
      const isLost = performance.now() - lostAt < SEAT_KEPT_MS;
      if (code === "resume-failed") {
        secret = null;
        drop();
      } else if ((code === "name-taken" && isLost) || (code === "admission-failed" && lostAt > 0)) {
        // The own lost seat may still hold the name; what decides may answer again.
        drop();
      } else if (code !== "rate-limited") {
        lose(refusal(String(code), String(message)));
      }
    };

    /** The network is back: whatever socket there was is of the network before. */
    const onOnline = () => {
      if (self.state === "joined") drop();
      self.suspect();
    };

    /**
     * Join the room.
     *
     * @returns {Promise<void>} resolved when the seat is taken
     * @throws {Unreachable | JoinRefused | TokenUnavailable | SignalingClosed}
     */
    this.open = async () => {
      signal?.throwIfAborted();
      signal?.addEventListener("abort", () => {
        opened.reject(signal.reason);
        if (self.id === null) self.close();
      });
      enter("connecting");
      globalThis.addEventListener("online", onOnline);
      globalThis.addEventListener("pagehide", self.close);
      connectAgain();
      await opened.promise;
    };

    /**
     * Send a message to a peer, now or when the seat is resumed.
     *
     * @param {{type: string, to: string} & Record<string, any>} message a `description`,
     *   `candidate`, `message` or `bye`
     * @throws {MessageError} it is larger than the server accepts
     * @throws {SendQueueFull} the server is out of reach, and as much waits for it as may
     * @throws {SignalingClosed}
     */
    this.send = (message) => {
      const isJoined = self.state === "joined";
      if (self.state === "closed" || self.id === null) throw signalingClosed();
      const seq = sent + 1;
      const text = JSON.stringify({ ...message, seq });
      const size = sizeOf(text);
      const most = message.type === "description" ? DESCRIPTION_MOST : MESSAGE_MOST;
      if (size > most) {
        throw new MessageError("bad-message", `a ${message.type} of ${size} bytes is over ${most}`);
      }
      if (!isJoined && kept.length >= KEPT_MOST) {
        throw new SendQueueFull("send-queue-full", `The signaling connection is down and ` +
          `${kept.length} messages wait for it. Send this one again when it is back`);
      }
      kept.push({ seq, text });
      if (kept.length > KEPT_MOST) kept.shift();
      sent = seq;
      if (isJoined) write(text);
    };

    /**
     * Ask the server, as a moderator.
     *
     * @param {Record<string, any>} message a `remove`, `lock`, `close-room` or `hand-over`
     * @returns {Promise<void>} resolved when it is done
     * @throws {ModerationRefused | Unreachable | SignalingClosed}
     */
    this.moderate = async (message) => {
      if (self.state === "closed") throw signalingClosed();
      if (self.state !== "joined") throw unreachable(address, "the connection is lost");
      lastRef += 1;
      const ref = lastRef;
      const answered = deferred();
      asked.set(ref, answered);
      const late = () => answered.reject(unreachable(address, "it did not answer in time"));
      const timer = setTimeout(late, ANSWER_MS);
      write({ ...message, ref });
      try {
        await answered.promise;
      } finally {
        clearTimeout(timer);
        asked.delete(ref);
      }
    };

    /** Connect again now if the connection is lost; call this when the network may be back. */
    this.suspect = () => {
      if (socket !== null || self.state === "closed") return;
      clearTimeout(retrying);
      connectAgain();
    };

    /** Take another seat, since messages to peers were lost; calls go on. */
    this.giveUpSeat = () => {
      secret = null;
      write({ type: "leave" }); // the server closes the socket
      if (self.state === "joined") enter("reconnecting");
    };

    /** Leave the room. Further calls have no effect. */
    this.close = () => {
      if (self.state === "joined") write({ type: "leave" });
      finish(signalingClosed());
    };
  }
}

/**
 * Join a room without any WebRTC.
 *
 * @param {string | URL} url the server, as `ws://127.0.0.1:8080/ws`, or relative to the page
 * @param {SignalingOptions} options
 * @returns {Promise<SignalingClient>}
 */
export async function connect(url, options) {
  const client = new SignalingClient(url, options);
  await client.open();
  return client;
}

// --- statistics

/**
 * @typedef {{type: string, protocol: string, address: ?string, port: number, relayProtocol?: string, url?: string}} PathEnd
 * @typedef {object} CandidatePair the selected candidate pair
 * @property {PathEnd} local
 * @property {PathEnd} remote
 * @property {boolean} relayed
 * @property {?number} rtt the round-trip time in milliseconds
 * @property {?number} available what can be sent, as estimated, in bits per second
 */

/** @param {any} entry @returns {PathEnd} */
const pathEnd = ({ candidateType, protocol, address, ip, port, relayProtocol, url }) => {
  return { type: candidateType, protocol, address: address ?? ip ?? null, port, relayProtocol, url };
};

/**
 * @param {RTCStatsReport} report as `RTCPeerConnection.getStats()` gives it
 * @returns {?CandidatePair} the selected candidate pair, or null while there is none
 */
export function selectedPair(report) {
  /** @type {any} */
  let pair = null;
  report.forEach((entry) => {
    // Firefox marks the candidate pair, others name it in the transport.
    if (entry.type === "transport") pair ??= report.get(entry.selectedCandidatePairId);
    if (entry.type === "candidate-pair" && entry.selected) pair = entry;
  });
  const local = report.get(pair?.localCandidateId);
  const remote = report.get(pair?.remoteCandidateId);
  if (!local || !remote) return null;
  const { currentRoundTripTime: seconds, availableOutgoingBitrate } = pair;
  return {
    local: pathEnd(local),
    remote: pathEnd(remote),
    relayed: local.candidateType === "relay" || remote.candidateType === "relay",
    rtt: seconds === undefined ? null : Math.round(seconds * 1000),
    available: availableOutgoingBitrate ?? null,
  };
}

/** @param {CandidatePair} pair @returns {string} as `host/udp -> srflx/udp, rtt 12 ms, direct` */
const pathWords = ({ local, remote, rtt, relayed }) => {
  const [from, to] = [local, remote].map(({ type, protocol, relayProtocol, url }) => {
    const server = url ? ` (${printable(url)})` : "";
    return type === "relay" ? `relay/${relayProtocol ?? protocol}${server}` : `${type}/${protocol}`;
  });
  return `${from} -> ${to}${rtt === null ? "" : `, rtt ${rtt} ms`}, ${relayed ? "relayed" : "direct"}`;
};

// --- data channels

/**
 * @typedef {string | ArrayBuffer | ArrayBufferView} Message what is sent
 * @typedef {string | Uint8Array} Received what was sent as text, or as bytes
 * @typedef {object} ChannelOptions
 * @property {boolean} [ordered] whether messages arrive in order
 * @property {number} [maxRetransmits] retransmissions before a message is given up
 * @property {number} [maxPacketLifeTime] milliseconds before a message is given up; not both
 * @property {string} [protocol] the subprotocol
 * @property {boolean} [negotiated] whether the other side opens a channel of the same `id` itself
 * @property {number} [id] its number
 * @property {number} [sendBuffer] bytes that may wait before `send()` waits
 * @property {number} [receiveBuffer] bytes that may wait to be read; a channel is closed beyond
 *   them, and one that may lose messages drops the oldest
 * @property {boolean} [shared] false opens another channel in any case
 *
 * @typedef {object} ChannelBuffers
 * @property {number} [sendBuffer] as in `ChannelOptions`
 * @property {number} [receiveBuffer] likewise
 * @property {() => number} [maxMessageSize] tells the largest message that the remote peer takes; 0
 *   is no limit
 */

/** @param {RTCDataChannel} channel */
const isLossy = (channel) => channel.maxRetransmits !== null || channel.maxPacketLifeTime !== null;

/**
 * A data channel with back-pressure. Iterating gives the messages in the order in which they come,
 * and ends when the channel is closed.
 */
export class DataChannel {
  /**
   * @param {RTCDataChannel} channel its messages are kept from now on
   * @param {ChannelBuffers} [buffers]
   */
  constructor(channel, { sendBuffer = SEND_BUFFER, receiveBuffer, maxMessageSize = () => 0 } = {}) {
    const self = this;
    const { label, protocol } = channel;
    const lossy = isLossy(channel);
    let sendLimit = checkBuffer(label, sendBuffer);
    let readLimit = checkBuffer(label, receiveBuffer ?? (lossy ? LOSSY_BUFFER_LIMIT : RECEIVE_BUFFER_LIMIT));
    /** The other half, if both sides have opened it at the same time. @type {?RTCDataChannel} */
    let twin = null;
    /** @type {Set<RTCDataChannel>} */
    const live = new Set();
    let isOpen = false;
    /** @type {?ChannelError} */
    let failure = null;
    /** @type {Received[]} */
    const inbox = [];
    let unread = 0;
    /** @type {Promise<unknown>} */
    let turn = Promise.resolve();
    let senders = 0;
    /** @type {?Requests} */
    let requests = null;
    const { ring, until } = bell();

    /** The label, in any language. */
    this.label = label;
    /** The subprotocol. */
    this.protocol = protocol;
    /** The channel underneath; of two that were joined, the one over which is sent. */
    this.channel = channel;
    /** Whether nothing can be sent any more. */
    this.closed = false;
    /** The side that closed the channel; null while it is open. @type {?ClosedBy} */
    this.closedBy = null;
    /** Tells the largest message that the remote peer takes; 0 is no limit. */
    this.maxMessageSize = maxMessageSize;
    /**
     * Counters: messages and bytes `sent` and `received`, messages that `trySend()` `refused`, and
     * those that were `dropped` because nobody read them.
     */
    this.counts = { sent: 0, bytesSent: 0, received: 0, bytesReceived: 0, refused: 0, dropped: 0 };
    const { counts } = self;

    const error = () => failure ?? channelClosed(label, self.closedBy ?? "connection");

    const check = () => {
      if (self.closed || self.closedBy) throw error();
    };

    const checkUse = () => {
      if (requests) throw misused(label, "carries requests; open another one for messages");
    };

    const hasRoom = () => isOpen && senders === 0 && self.bufferedAmount < sendLimit;

    const pop = () => {
      const message = inbox.shift() ?? null;
      if (message !== null) unread -= message.length + OVERHEAD;
      return message;
    };

    /** @param {string | ArrayBuffer} data */
    const put = (data) => {
      if (failure) return;
      const message = typeof data === "string" ? data : new Uint8Array(data);
      counts.received += 1;
      counts.bytesReceived += message.length;
      inbox.push(message);
      unread += message.length + OVERHEAD;
      while (unread > readLimit && lossy && pop() !== null) counts.dropped += 1;
      if (unread > readLimit) {
        const sentence = `over ${readLimit} bytes wait in channel ${quoted(label)}; read faster, or ` +
          "raise receiveBuffer";
        failure = new ReceiveOverflow("receive-overflow", sentence, { label, limit: readLimit });
        self.close();
        self.abandon();
      }
      ring();
    };

    /** @param {Message} message @returns {number} its size */
    const checkMessage = (message) => {
      const isText = typeof message === "string";
      if (!isText && !(message instanceof ArrayBuffer) && !ArrayBuffer.isView(message)) {
        throw invalidMessage(label, "give text, an ArrayBuffer or a view of one");
      }
      if (isText && /\p{Surrogate}/u.test(message)) {
        throw invalidMessage(label, "it has half a surrogate pair");
      }
      const size = isText ? sizeOf(message) : message.byteLength;
      const limit = maxMessageSize();
      if (!limit || size <= limit) return size;
      const sentence = `a message of ${size} bytes is over the ${limit} that the other side of channel ` +
        `${quoted(label)} takes; send it in parts`;
      throw new MessageTooLarge("message-too-large", sentence, { label, size, limit });
    };

    /** @param {Message} message @param {number} size */
    const handOver = (message, size) => {
      check();
      if (self.channel.readyState !== "open") throw channelClosed(label, "them");
      self.channel.send(/** @type {any} */ (message));
      counts.sent += 1;
      counts.bytesSent += size;
    };

    /** @param {number} amount */
    const untilLow = async (amount) => {
      self.channel.bufferedAmountLowThreshold = amount;
      await until(() => self.closed || self.bufferedAmount <= amount);
      if (self.closed) throw error();
    };

    const onOpen = () => {
      isOpen = true;
      ring();
    };

    /** @param {RTCDataChannel} half it is closed */
    const onEnd = (half) => {
      if (!live.delete(half)) return;
      const other = twin;
      twin = null;
      if (!other) {
        self.abandon();
      } else if (half === self.channel) {
        // Its other half may still have messages under way: it is read until it is closed, too.
        self.closedBy ??= "them";
        self.channel = other;
        other.close();
        ring();
      }
    };

    /** @param {RTCDataChannel} half */
    const adopt = (half) => {
      live.add(half);
      half.binaryType = "arraybuffer";
      half.bufferedAmountLowThreshold = sendLimit >> 1;
      listen(half, {
        open: onOpen,
        bufferedamountlow: ring,
        message: ({ data }) => put(data),
        closing: () => {
          if (half === self.channel) self.closedBy ??= "them";
        },
        close: () => onEnd(half),
      });
      if (half.readyState === "open") onOpen();
    };

    const exchange = () => {
      if (!requests) check();
      return (requests ??= requestsOn(self));
    };

    /** Wait until the channel is open. @throws {ChannelClosed} it was closed instead */
    this.opened = async () => {
      await until(() => isOpen || self.closed);
      if (!isOpen) throw error();
    };

    /**
     * Send a message, as soon as fewer than `sendBuffer` bytes wait to be sent. Messages of several
     * callers go out in the order in which they called.
     *
     * @param {Message} message
     * @returns {Promise<void>}
     * @throws {ChannelClosed | MessageTooLarge | InvalidMessage}
     */
    this.send = async (message) => {
      check();
      const size = checkMessage(message);
      if (hasRoom()) return handOver(message, size);
      const kept = /** @type {any} */ (message).slice?.() ?? message; // its caller may change it
      const before = turn;
      /** @type {Deferred<void>} */
      const mine = deferred();
      turn = mine.promise;
      senders += 1;
      try {
        await before;
        await self.opened();
        while (self.bufferedAmount >= sendLimit) await untilLow(sendLimit >> 1);
        handOver(kept, checkMessage(kept));
      } finally {
        senders -= 1;
        mine.resolve();
      }
    };

    /**
     * Send a message if there is room for it now, and nobody waits in `send()`.
     *
     * @param {Message} message
     * @returns {boolean} whether it was sent
     * @throws {ChannelClosed | MessageTooLarge | InvalidMessage}
     */
    this.trySend = (message) => {
      check();
      const size = checkMessage(message);
      const isSent = hasRoom();
      if (isSent) handOver(message, size);
      else counts.refused += 1;
      return isSent;
    };

    /** Wait until the browser has sent everything. @throws {ChannelClosed} */
    this.drain = async () => {
      await turn;
      await self.opened();
      while (self.bufferedAmount > 0) await untilLow(0);
    };

    /** @returns {Promise<Received>} the next message @throws {ChannelClosed | ReceiveOverflow | ChannelMisused} */
    this.receive = async () => {
      checkUse();
      return self._take();
    };

    /** @returns {?Received} the next message, or null if none is here @throws {ChannelMisused} */
    this.tryReceive = () => {
      checkUse();
      return pop();
    };

    /**
     * Ask the remote peer; many requests may run at the same time. From the first request on the
     * channel carries requests and replies alone, in both directions.
     *
     * @param {unknown} value anything that JSON can express
     * @param {{timeout?: ?number, signal?: ?AbortSignal}} [options] `timeout` in milliseconds, 30,000
     *   by default, or null
     * @returns {Promise<any>} the reply
     * @throws {RequestFailed | RequestTimeout | InvalidMessage | ChannelClosed | MessageTooLarge}
     */
    this.request = async (value, { timeout = 30_000, signal = null } = {}) =>
      exchange().request(value, timeout, signal);

    /**
     * Answer the remote peer's requests until the channel is closed.
     *
     * @param {(request: any, signal: AbortSignal) => unknown} handler takes a request and returns the
     *   reply, or throws `RequestFailed`; the signal is aborted when nobody waits for it any more
     * @param {{concurrent?: number}} [options] requests that are handled at the same time
     * @returns {Promise<void>}
     * @throws {ChannelMisused | ReceiveOverflow}
     */
    this.serveRequests = async (handler, { concurrent = CONCURRENT_MOST } = {}) =>
      exchange().serve(handler, concurrent);

    /** Close the channel once what was sent is out. */
    this.close = () => {
      if (self.closed) return;
      self.closedBy ??= "us";
      for (const half of live) half.close();
    };

    /**
     * Send what waits, close, and wait until the remote peer has closed too.
     *
     * @param {number} [timeout] milliseconds after which it is taken as closed
     */
    this.aclose = async (timeout = 10_000) => {
      self.channel.bufferedAmountLowThreshold = 0;
      const isOut = () => self.closed || (senders === 0 && self.bufferedAmount === 0);
      if (isOpen && !self.closedBy) await until(isOut, timeout);
      self.close();
      await until(() => self.closed, timeout);
      self.abandon();
    };

    /**
     * Take in the channel that the remote peer opened for the same purpose at the same time. What is
     * sent goes over theirs if nothing was sent so far, and otherwise over the local one.
     *
     * @internal
     * @param {RTCDataChannel} theirs
     */
    this._join = (theirs) => {
      twin = theirs;
      if (counts.sent === 0) [twin, self.channel] = [self.channel, theirs];
      adopt(theirs);
    };

    /** @internal @param {ChannelBuffers} buffers */
    this._setBuffers = (buffers) => {
      sendLimit = checkBuffer(label, buffers.sendBuffer ?? sendLimit);
      readLimit = checkBuffer(label, buffers.receiveBuffer ?? readLimit);
    };

    /** Take it as over because its connection is; wakes all who wait. */
    this.abandon = () => {
      self.closedBy ??= self.channel.readyState === "closed" ? "them" : "connection";
      self.closed = true;
      ring();
    };

    /** Whether another caller may use it. @internal */
    this._isUsable = () => !self.closedBy && /^(connecting|open)$/.test(self.channel.readyState);

    /** @internal @returns {Promise<Received>} */
    this._take = async () => {
      await until(() => inbox.length > 0 || self.closed);
      const message = pop();
      if (message === null) throw error();
      return message;
    };

    adopt(channel);
    if (channel.readyState === "closed") self.abandon();
  }

  /** Bytes that wait to be sent. */
  get bufferedAmount() {
    return this.channel.bufferedAmount;
  }

  /** @returns {AsyncGenerator<Received, void, void>} */
  async *[Symbol.asyncIterator]() {
    for (;;) {
      let message;
      try {
        message = await this.receive();
      } catch (error) {
        if (error instanceof ChannelClosed) return;
        throw error;
      }
      yield message;
    }
  }

  /**
   * Send a value as JSON.
   *
   * @param {unknown} value
   * @throws {ChannelClosed | MessageTooLarge | InvalidMessage}
   */
  async sendJson(value) {
    await this.send(asJson(this.label, value));
  }

  /** @returns {Promise<any>} the next message, read as JSON @throws {InvalidMessage | ChannelClosed | ReceiveOverflow} */
  async receiveJson() {
    return fromJson(this.label, await this.receive());
  }

  /** @returns {AsyncGenerator<any, void, void>} the messages, read as JSON */
  async *messages() {
    for await (const message of this) yield fromJson(this.label, message);
  }
}

/** @param {string} label @param {number} size @returns {number} */
const checkBuffer = (label, size) => {
  if (Number.isInteger(size) && size > 0 && size < 2 ** 32) return size;
  throw invalidChannel(label, `a buffer is a number of bytes, not ${size}`);
};

/** @param {string} label @param {unknown} value @returns {string} */
const asJson = (label, value) => {
  const text = JSON.stringify(value);
  if (text === undefined) throw invalidMessage(label, "JSON has no form for it");
  return text;
};

/** @param {string} label @param {Received} message @returns {any} */
const fromJson = (label, message) => {
  try {
    return JSON.parse(typeof message === "string" ? message : new TextDecoder().decode(message));
  } catch (error) {
    throw invalidMessage(label, reasonOf(error));
  }
};

// --- requests and replies; the messages are those of icefloe.peer.connection.request_reply

/** @typedef {ReturnType<typeof requestsOn>} Requests */

/** Both directions of requests on one channel. @param {DataChannel} channel */
const requestsOn = (channel) => {
  const { label } = channel;
  let last = 0;
  let errands = 0;
  let most = 0;
  /** @type {Map<number, Deferred<any>>} */
  const waiting = new Map();
  /** @type {Map<number, AbortController>} */
  const handling = new Map();
  /** @type {?(request: any, signal: AbortSignal) => unknown} */
  let handler = null;
  /** @type {unknown} */
  let failure = null;

  /** @param {Record<string, unknown>} message */
  const tell = (message) => {
    // Beyond this the remote peer floods this side, and does not read what it answers.
    if (failure || errands >= ERRANDS_MOST) return;
    errands += 1;
    const done = () => {
      errands -= 1;
    };
    channel.send(JSON.stringify(message)).then(done, done);
  };

  /** @param {number} number @param {string} code @param {string} reason */
  const refuse = (number, code, reason) => tell({ failure: number, code, reason: printable(reason) });

  /** @param {number} number @param {unknown} data @param {AbortSignal} signal */
  const handle = async (number, data, signal) => {
    try {
      const value = (await handler?.(data, signal)) ?? null;
      signal.throwIfAborted();
      await channel.send(`{"reply":${number},"data":${asJson(label, value)}}`);
    } catch (error) {
      if (signal.aborted) refuse(number, "cancelled", "the handler was cancelled");
      else if (error instanceof RequestFailed) refuse(number, error.code, error.reason);
      else if (error instanceof MessageTooLarge) refuse(number, "too-large", error.message);
      else if (!(error instanceof ChannelClosed)) {
        // What a handler throws is its own affair; the remote peer gets no more than its name.
        console.error(`A handler of ${quoted(label)} failed.`, error);
        refuse(number, "error", error instanceof Error ? error.name : "error");
      }
    } finally {
      handling.delete(number);
    }
  };

  /** @param {number} number @param {unknown} data */
  const onRequest = (number, data) => {
    if (handling.has(number)) return; // the answer could not be told from the other one's
    if (!handler) refuse(number, "unserved", "nobody serves requests here");
    else if (handling.size >= most) refuse(number, "overloaded", `${most} requests run already`);
    else {
      const control = new AbortController();
      handling.set(number, control);
      handle(number, data, control.signal);
    }
  };

  /** @param {Received} text */
  const take = (text) => {
    let message = null;
    try {
      message = fromJson(label, text);
    } catch {
      // It is no JSON.
    }
    const { request, reply, failure: failed, cancel, data = null, code, reason } = message ?? {};
    if (request > 0) onRequest(request, data);
    else if (reply > 0) waiting.get(reply)?.resolve(data);
    else if (cancel > 0) handling.get(cancel)?.abort();
    else if (failed > 0) {
      const error = new RequestFailed(String(code ?? "error"), String(reason ?? ""), label);
      waiting.get(failed)?.reject(error);
    } else warn(`Dropped what is no request on ${quoted(label)}.`);
  };

  const pump = async () => {
    try {
      for (;;) take(await channel._take());
    } catch (error) {
      failure = error;
      for (const { reject } of waiting.values()) reject(error);
      for (const control of handling.values()) control.abort();
    }
  };
  const pumping = pump();

  return {
    /** @param {unknown} value @param {?number} timeout @param {?AbortSignal} signal */
    async request(value, timeout, signal) {
      if (failure) throw failure;
      signal?.throwIfAborted();
      last += 1;
      const number = last;
      const text = `{"request":${number},"data":${asJson(label, value)}}`;
      /** @type {Deferred<any>} */
      const reply = deferred();
      waiting.set(number, reply);
      /** @param {unknown} error */
      const takeBack = (error) => {
        reply.reject(error);
        tell({ cancel: number });
      };
      const abort = () => takeBack(signal?.reason);
      const sentence = `no reply on channel ${quoted(label)} within ${timeout} ms`;
      const late = () => takeBack(new RequestTimeout("request-timeout", sentence, { label, timeout }));
      const timer = timeout === null ? 0 : setTimeout(late, timeout);
      signal?.addEventListener("abort", abort);
      channel.send(text).catch(reply.reject);
      try {
        return await reply.promise;
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        waiting.delete(number);
      }
    },

    /** @param {(request: any, signal: AbortSignal) => unknown} serving @param {number} concurrent */
    async serve(serving, concurrent) {
      if (handler) throw misused(label, "is served already");
      handler = serving;
      most = concurrent;
      await pumping;
      if (!(failure instanceof ChannelClosed)) throw failure;
    },
  };
};

// --- negotiation

/** @param {any} value @returns {value is {type: "offer" | "answer", sdp: string}} */
const isDescription = (value) => /^(offer|answer)$/.test(value?.type) && typeof value.sdp === "string";

/** @param {?RTCSessionDescriptionInit} description @returns {?string} its fingerprint (RFC 8122) */
const fingerprint = (description) => {
  return description?.sdp?.match(/^a=fingerprint:(\S+ \S+)/m)?.[1] ?? null;
};

/**
 * @typedef {object} NegotiatorOptions
 * @property {boolean} polite whether this side yields when two offers collide
 * @property {{description: (description: {type: RTCSdpType, sdp: string}) => void, candidate: (candidate: ?RTCIceCandidateInit) => void}} signaler
 *   sends to the remote peer; the candidate null is the end of candidates
 * @property {(error: Error) => void} [onError] called with what could not be negotiated
 */

/**
 * Makes and answers offers, resolves their collisions, and trickles candidates: the "perfect
 * negotiation" of W3C webrtc-pc 10.7. The impolite side, the newcomer, makes the first offer.
 */
export class Negotiator {
  /**
   * @param {RTCPeerConnection} connection
   * @param {NegotiatorOptions} options
   */
  constructor(connection, { polite, signaler, onError = (error) => warn(error.message) }) {
    const self = this;
    let makingOffer = false;
    let ignoresOffer = false;
    /** The number of media sections of an offer that was too large to be sent. */
    let tooMany = -1;
    /** Candidates that came before their description. @type {?(RTCIceCandidateInit | null)[]} */
    let early = [];
    let waiting = 0;
    let work = Promise.resolve();
    let hasEnded = false;
    /** @type {?Error} */
    let failure = null;
    const { ring, until } = bell();

    /** Whether this side yields when two offers collide. */
    this.polite = polite;

    /** @param {unknown} error */
    const fail = (error) => {
      if (hasEnded) return;
      failure = /** @type {Error} */ (error);
      ring();
      onError(failure);
    };

    const sendDescription = () => {
      const { type, sdp } = connection.localDescription ?? {};
      if (hasEnded || !type || !sdp) return;
      const size = sizeOf(JSON.stringify(sdp)) + 256; // and what is around it
      if (size <= DESCRIPTION_MOST) return signaler.description({ type, sdp });
      const sentence = `the ${type} of ${size} bytes is over ${DESCRIPTION_MOST}. Stop some ` +
        "transceivers, or prefer fewer codecs";
      throw new DescriptionTooLarge("description-too-large", sentence, { size, limit: DESCRIPTION_MOST });
    };

    const offer = async () => {
      // The newcomer's offer comes first; what was added here is in the answer.
      if (hasEnded || (self.polite && !connection.remoteDescription)) return;
      const sections = connection.getTransceivers().length;
      if (sections === tooMany) return; // the event is caused by the rollback below
      makingOffer = true;
      try {
        await connection.setLocalDescription();
        sendDescription();
        tooMany = -1;
      } catch (error) {
        if (error instanceof DescriptionTooLarge) {
          // The connection goes on without the new media sections.
          tooMany = sections;
          await connection.setLocalDescription({ type: "rollback" });
        }
        fail(error);
      } finally {
        makingOffer = false;
        ring();
      }
    };

    /** @param {RTCSessionDescriptionInit} description */
    const describe = async (description) => {
      if (hasEnded) return;
      const isOffer = description.type === "offer";
      const collides = isOffer && (makingOffer || connection.signalingState !== "stable");
      ignoresOffer = collides && !self.polite;
      if (ignoresOffer || (!isOffer && connection.signalingState !== "have-local-offer")) return;
      await connection.setRemoteDescription(description);
      const candidates = early ?? [];
      early = null;
      for (const candidate of candidates) await addCandidate(candidate);
      if (connection.signalingState !== "have-remote-offer") return;
      await connection.setLocalDescription();
      sendDescription();
    };

    /** @param {?RTCIceCandidateInit} candidate */
    const addCandidate = async (candidate) => {
      if (hasEnded) return;
      if (early) {
        if (early.length < EARLY_CANDIDATES_MOST) early.push(candidate);
        return;
      }
      try {
        await connection.addIceCandidate(candidate ?? undefined);
      } catch (error) {
        if (!ignoresOffer) throw error; // expected for candidates of an offer that was ignored
      }
    };

    const isSettled = () =>
      !makingOffer &&
      connection.signalingState === "stable" &&
      connection.getTransceivers().every(({ mid, direction, currentDirection }) => {
        if (mid === null || currentDirection === null) return currentDirection === "stopped";
        return direction.startsWith("send") || !currentDirection.startsWith("send");
      });

    /**
     * Take what the remote peer has sent.
     *
     * @param {{description?: ?RTCSessionDescriptionInit, candidate?: ?RTCIceCandidateInit}} message
     * @returns {Promise<void>} resolved when it was applied, or could not be
     */
    this.receive = async ({ description, candidate }) => {
      if (waiting >= INBOX_MOST) {
        const sentence = "too much signaling";
        return onError(new MessageError("bad-message", sentence));
      }
      waiting += 1;
      work = work
        .then(() => (description ? describe(description) : addCandidate(candidate ?? null)))
        .catch(fail)
        .finally(() => {
          waiting -= 1;
          ring();
        });
      await work;
    };

    /** Wait until the remote peer has agreed to what was added here. @throws {DescriptionTooLarge} */
    this.negotiated = async () => {
      failure = null;
      await new Promise((done) => setTimeout(done)); // `negotiationneeded` is an event of its own
      await until(() => hasEnded || failure !== null || isSettled());
      if (failure) throw failure;
    };

    /** Send the offer that waits for an answer again: it, or the answer, may be lost. */
    this.repeat = () => {
      if (connection.signalingState === "have-local-offer") sendDescription();
    };

    /** Stop. Further calls have no effect. */
    this.close = () => {
      hasEnded = true;
      ring();
    };

    listen(connection, {
      negotiationneeded: offer,
      signalingstatechange: ring,
      icecandidate: ({ candidate }) => hasEnded || signaler.candidate(candidate?.toJSON() ?? null),
    });
  }
}

// --- peers

/**
 * Give a connection new ICE servers. If its path has a local relay, ICE is restarted: an allocation
 * keeps its user name (RFC 8656, section 5), and may end when that expires.
 *
 * @param {RTCPeerConnection} connection
 * @param {RTCIceServer[]} iceServers
 * @returns {Promise<void>}
 */
export async function renewServers(connection, iceServers) {
  if (/** @type {string} */ (connection.signalingState) === "closed") return;
  connection.setConfiguration({ ...connection.getConfiguration(), iceServers });
  if (connection.connectionState !== "connected") return;
  const pair = selectedPair(await connection.getStats());
  if (pair?.local.type === "relay") connection.restartIce();
}

/**
 * The ICE servers that the signaling server names, without invalid ones.
 *
 * @param {RTCIceServer[]} servers
 * @returns {RTCIceServer[]}
 */
export function usableServers(servers) {
  let left = SERVERS_MOST;
  return servers.flatMap((named) => {
    const { urls: some, username, credential } = named ?? {};
    const urls = [some].flat().filter((url) => /^(stun|turn)s?:/.test(url)).slice(0, left);
    const server = username && credential ? { urls, username, credential } : { urls };
    left -= urls.length;
    try {
      if (urls.length > 0) new RTCPeerConnection({ iceServers: [server] }).close();
    } catch (error) {
      warn(`An ICE server is left out: ${reasonOf(error)}`);
      return [];
    }
    return urls.length > 0 ? [server] : [];
  });
}

/**
 * @typedef {object} PeerHost what a peer needs of its room
 * @property {() => RTCConfiguration} configuration
 * @property {number} connectTimeout
 * @property {(peer: RemotePeer, message: Record<string, any>) => void} send
 * @property {() => boolean} canSignal
 * @property {(peer: RemotePeer) => void} changed
 */

/**
 * @param {{label: string, protocol?: string, ordered?: boolean, maxRetransmits?: ?number, maxPacketLifeTime?: ?number}} channel
 * @returns {string} what makes two shared channels the same
 */
const kindOf = ({ label, protocol = "", ordered = true, maxRetransmits, maxPacketLifeTime }) => {
  return JSON.stringify([label, protocol, ordered, maxRetransmits ?? null, maxPacketLifeTime ?? null]);
};

/**
 * Another participant of a room, and the peer connection to it. A room makes these.
 *
 * Dispatches `change` when anything about it has changed, and `candidate` with `detail: {side,
 * candidate}` for each ICE candidate of the `local` and the `remote` side; null is the end of them.
 */
export class RemotePeer extends EventTarget {
  /**
   * @internal
   * @param {PeerInfo} info
   * @param {boolean} polite
   * @param {PeerHost} host
   */
  constructor(info, polite, host) {
    super();
    const self = this;
    const startedAt = performance.now();
    const { ring, until } = bell();
    let wasConnected = false;
    let reason = "";
    /** @type {?CandidatePair} */
    let pair = null;
    /** @type {ReturnType<typeof arrivals<MediaStreamTrack>>} */
    const tracks = arrivals();
    /** @type {ReturnType<typeof arrivals<DataChannel>>} */
    const channels = arrivals();
    /** @type {Set<DataChannel>} */
    const live = new Set();
    /** The shared channels by their kind. @type {Map<string, DataChannel>} */
    const sharedOnes = new Map();
    /** Those that were opened here and that the remote peer has not opened. @type {Set<DataChannel>} */
    const alone = new Set();
    const outgoing = new MediaStream();
    /** What a failure is explained with. @type {{local: string[], remote: string[], serverErrors: string[]}} */
    const evidence = { local: [], remote: [], serverErrors: [] };
    // The automatic ICE restarts.
    let restarts = 0;
    let restartedAt = -Infinity;
    let healthySince = -Infinity;
    let restartWaits = false;
    /** @type {any} */
    let timer;

    /** Its id in the room; another one after it has joined anew. */
    this.id = info.id;
    /** Its name in the room. */
    this.name = info.name;
    /** Whether this side is the polite one, which was in the room first. */
    this.polite = polite;
    /** Whether it has lost its connection to the server and may be back; the call goes on. */
    this.away = info.away;
    /** Whether it has the right to send audio and video: its tracks are refused if not. */
    this.maySend = info.may.includes("send");
    /** Its newest track of each kind, for the `srcObject` of an element. */
    this.stream = new MediaStream();
    /** An `RTCPeerConnectionState`; `closed` when the connection is over. @type {string} */
    this.state = "new";
    /** Whether the connection is over. */
    this.hasEnded = false;
    /** The path in words, as `host/udp -> srflx/udp, rtt 12 ms, direct`; null before it is known. @type {?string} */
    this.path = null;
    /** The connection, for everything that is not wrapped here. */
    this.connection = new RTCPeerConnection(host.configuration());
    const { connection } = self;

    /** @param {string[]} list @param {string} text */
    const note = (list, text) => {
      if (list.length < EVIDENCE_MOST) list.push(printable(text));
    };

    /** @param {"local" | "remote"} side @param {?RTCIceCandidateInit} candidate */
    const onCandidate = (side, candidate) => {
      const [, , protocol, , address, port, , type] = String(candidate?.candidate).split(" ");
      if (type) note(evidence[side], `${type}/${protocol} ${address}:${port}`);
      emit(self, "candidate", { side, candidate });
    };

    const negotiator = new Negotiator(connection, {
      polite,
      signaler: {
        description: (description) => host.send(self, { type: "description", description }),
        candidate: (candidate) => {
          onCandidate("local", candidate);
          host.send(self, { type: "candidate", candidate });
        },
      },
      onError: (error) => warn(`${quoted(self.name)}: ${error.message}`),
    });

    const changed = () => {
      ring();
      host.changed(self);
      emit(self, "change");
    };

    const assertHere = () => {
      const sentence = `${quoted(self.name)} is gone (${printable(reason)})`;
      if (self.hasEnded) throw new PeerLeft("peer-left", sentence, { peer: self.name, reason });
    };

    const connectFailed = () => {
      const { local, remote, serverErrors } = evidence;
      let phase = "connectivity-checks";
      if (!connection.remoteDescription) phase = "signaling";
      else if (local.length === 0) phase = "gathering";
      else if (/^co/.test(connection.iceConnectionState)) phase = "dtls"; // connected or completed
      const seconds = (performance.now() - startedAt) / 1000;
      const details = [`${local.length} local and ${remote.length} remote candidates`, ...serverErrors];
      const sentence = `No connection to ${quoted(self.name)} after ${seconds.toFixed(1)} s, stopped at ` +
        `${phase}. ${ADVICE[phase]} (${printable(details.join("; "))})`;
      const facts = { peer: self.name, phase, evidence: { seconds, ...evidence } };
      return new ConnectFailed("connect-failed", sentence, facts);
    };

    // ICE restarts, since a path that is lost does not come back by itself.

    const trouble = () => {
      const now = performance.now();
      if (now - healthySince >= STABLE_MS) restarts = 0;
      healthySince = Infinity;
      const pause = Math.min(RESTART_PAUSE_MS * restarts ** 2, RESTART_PAUSE_LONGEST_MS);
      const earliest = now + (self.polite ? COURTESY_MS : 0);
      clearTimeout(timer);
      timer = setTimeout(restart, Math.max(earliest, restartedAt + pause) - now);
    };

    const restart = () => {
      if (self.hasEnded || self.state === "connected" || !connection.remoteDescription) return;
      // It is signaling that a restart takes: of this side, and of the other one.
      restartWaits = self.away || !host.canSignal();
      if (restartWaits) return;
      restarts += 1;
      restartedAt = performance.now();
      const { iceServers } = host.configuration();
      connection.setConfiguration({ ...connection.getConfiguration(), iceServers });
      connection.restartIce();
      trouble();
    };

    const onState = async () => {
      const { connectionState, iceConnectionState } = connection;
      // In Chromium iceConnectionState may stay "disconnected" although connectionState is "failed".
      const state = iceConnectionState === "failed" ? "failed" : connectionState;
      if (self.hasEnded) return;
      if (state === "connected") {
        restartWaits = false;
        clearTimeout(timer);
        healthySince = Math.min(healthySince, performance.now());
        await self.selectedPair();
        if (self.hasEnded || connection.connectionState !== state) return;
        wasConnected = true;
      }
      const isTrouble = /^(disconnected|failed)$/.test(state) && state !== self.state;
      self.state = state;
      if (isTrouble) trouble();
      changed();
    };

    /** @param {RTCTrackEvent} event */
    const onTrack = ({ track }) => {
      if (!self.maySend) {
        warn(`${quoted(self.name)} may not send tracks: one was refused`);
        return track.stop();
      }
      for (const old of self.stream.getTracks()) {
        if (old.kind === track.kind) self.stream.removeTrack(old);
      }
      self.stream.addTrack(track);
      track.onmute = track.onunmute = changed;
      tracks.put(track); // `stream` has it if nobody takes them
      changed();
    };

    /** @param {RTCDataChannel} raw @param {ChannelBuffers} buffers */
    const wrap = (raw, buffers) => {
      const maxMessageSize = () => {
        const size = connection.sctp?.maxMessageSize ?? 0;
        return Number.isFinite(size) ? size : 0;
      };
      const channel = new DataChannel(raw, { ...buffers, maxMessageSize });
      live.add(channel);
      return channel;
    };

    const forgetClosed = () => {
      for (const channel of live) {
        if (!channel.closed) continue;
        live.delete(channel);
        alone.delete(channel);
        for (const [kind, other] of sharedOnes) if (other === channel) sharedOnes.delete(kind);
      }
    };

    /** @param {RTCDataChannelEvent} event */
    const onChannel = ({ channel: raw }) => {
      forgetClosed();
      const kind = kindOf(raw);
      let channel = sharedOnes.get(kind);
      if (channel?._isUsable() && alone.delete(channel)) {
        channel._join(raw);
      } else {
        const isTaken = channel?._isUsable() || raw.protocol === TRANSFER;
        channel = wrap(raw, {});
        if (!isTaken) sharedOnes.set(kind, channel);
      }
      if (channels.put(channel)) return;
      warn(`${quoted(self.name)}: nobody takes channel ${quoted(raw.label)}`);
      channel.close();
    };

    /**
     * Send a track; may be called at any time.
     *
     * @param {MediaStreamTrack} track
     * @returns {RTCRtpSender}
     * @throws {PeerLeft}
     */
    this.addTrack = (track) => {
      assertHere();
      // One stream for all tracks, so that the receiver synchronizes audio and video.
      return connection.addTrack(track, outgoing);
    };

    /** Stop sending what `addTrack()` added. @param {RTCRtpSender} sender @throws {PeerLeft} */
    this.removeTrack = (sender) => {
      assertHere();
      connection.removeTrack(sender);
    };

    /**
     * Send another track in the place of one; nothing is negotiated.
     *
     * @param {RTCRtpSender} sender what `addTrack()` returned
     * @param {?MediaStreamTrack} track one of the same kind, or null
     * @returns {Promise<void>}
     * @throws {PeerLeft}
     */
    this.replaceTrack = async (sender, track) => {
      assertHere();
      await sender.replaceTrack(track);
    };

    /** @returns {AsyncGenerator<MediaStreamTrack, void, void>} the tracks that the remote peer sends, until it is gone */
    this.tracks = tracks.take;

    /** @returns {AsyncGenerator<DataChannel, void, void>} the channels that the remote peer opens, until it is gone */
    this.channels = channels.take;

    /**
     * Open a data channel, or take the one that there is, and wait until it can be used. A label is
     * one channel, whoever opens it, as long as protocol and reliability are the same too.
     *
     * @param {string} label
     * @param {ChannelOptions} [options]
     * @returns {Promise<DataChannel>}
     * @throws {ConnectFailed | PeerLeft | ChannelClosed | InvalidChannel}
     */
    this.openChannel = async (label, { sendBuffer, receiveBuffer, shared = true, ...init } = {}) => {
      assertHere();
      forgetClosed();
      const buffers = { sendBuffer, receiveBuffer };
      const isShared = shared && !init.negotiated && init.id === undefined && init.protocol !== TRANSFER;
      const kind = kindOf({ ...init, label });
      let channel = isShared ? sharedOnes.get(kind) : undefined;
      const isThere = channel?._isUsable();
      if (!channel || !isThere) {
        try {
          channel = wrap(connection.createDataChannel(label, init), buffers);
        } catch (error) {
          throw error instanceof ChannelError ? error : invalidChannel(label, error);
        }
        if (isShared) {
          sharedOnes.set(kind, channel);
          alone.add(channel);
        }
      }
      try {
        await self.connected();
        await channel.opened();
      } catch (error) {
        if (!isThere) channel.close();
        throw error;
      }
      if (isThere) channel._setBuffers(buffers);
      return channel;
    };

    /**
     * Wait until the connection works.
     *
     * @returns {Promise<void>}
     * @throws {ConnectFailed} not within the room's `connectTimeout`; it keeps trying all the same
     * @throws {PeerLeft}
     */
    this.connected = async () => {
      const timeout = Math.max(host.connectTimeout + startedAt - performance.now(), 0);
      await until(() => wasConnected || self.hasEnded || self.state === "failed", timeout);
      assertHere();
      if (!wasConnected) throw connectFailed();
    };

    /**
     * Wait until the remote peer has agreed to what was added here.
     *
     * @returns {Promise<void>}
     * @throws {DescriptionTooLarge | PeerLeft}
     */
    this.negotiated = async () => {
      await negotiator.negotiated();
      assertHere();
    };

    /**
     * Wait until the connection is over.
     *
     * @returns {Promise<string>} why: `left`, `timeout` or `removed` as signaling says it, `bye` if
     *   the other side ended it, `hung-up`, `rejoined` or `room-closed`
     */
    this.ended = async () => {
      await until(() => self.hasEnded);
      return reason;
    };

    /** End the connection with this peer, who stays in the room and may call again. */
    this.hangUp = () => self._end("hung-up");

    /** @returns {Promise<?CandidatePair>} the selected candidate pair as it is now */
    this.selectedPair = async () => {
      if (!self.hasEnded) pair = selectedPair(await connection.getStats()) ?? pair;
      self.path = pair && pathWords(pair);
      return pair;
    };

    // What the room does.

    /** Make the first offer, as the newcomer does. @internal */
    this._start = () => {
      connection.createDataChannel("", { negotiated: true, id: SECTION_ID });
    };

    /** @internal @param {{description?: RTCSessionDescriptionInit, candidate?: ?RTCIceCandidateInit}} message */
    this._receive = (message) => {
      const { description, candidate = null } = message;
      if (!description) onCandidate("remote", candidate);
      negotiator.receive(message);
    };

    /** Go on under another seat of the participant. @internal @param {PeerInfo} there @param {boolean} yields */
    this._move = (there, yields) => {
      self.id = there.id;
      self.polite = negotiator.polite = yields;
      self._update(there);
      negotiator.repeat();
    };

    /** @internal @param {{away?: boolean, may?: string[]}} news */
    this._update = ({ away = self.away, may }) => {
      self.away = away;
      if (may) self.maySend = may.includes("send");
      if (restartWaits) restart();
      changed();
    };

    /** @internal @param {string} why */
    this._end = (why) => {
      if (self.hasEnded) return;
      reason = why;
      self.hasEnded = true;
      self.state = "closed";
      clearTimeout(timer);
      negotiator.close();
      connection.close();
      for (const track of self.stream.getTracks()) track.stop();
      for (const channel of live) channel.abandon();
      tracks.end();
      channels.end();
      changed();
    };

    listen(connection, {
      track: onTrack,
      datachannel: onChannel,
      connectionstatechange: onState,
      iceconnectionstatechange: onState,
      icecandidateerror: ({ url, errorCode, errorText }) =>
        note(evidence.serverErrors, `${url}: ${errorCode} ${errorText}`),
    });
  }

  /** The fingerprints of both sides, which identify this connection. @internal */
  get _certificates() {
    const { localDescription, remoteDescription } = this.connection;
    return { own: fingerprint(localDescription), theirs: fingerprint(remoteDescription) };
  }
}

// --- rooms

/**
 * @typedef {object} RoomOptions
 * @property {string} room the room, 1 to 64 characters
 * @property {string} name the own name, unique in the room, 1 to 64 characters; see `rename`
 * @property {?TokenSource} [token] the token that admits, if the server asks for one
 * @property {boolean} [rename] whether another name will do if this one is taken: a second `bot` is
 *   `bot-2`, as `Room.name` tells; true by default
 * @property {RTCConfiguration} [configuration] for every connection; where it names no `iceServers`,
 *   the signaling server's are used
 * @property {number} [connectTimeout] milliseconds that a peer has to become connected before
 *   waiting for it fails; 30,000 by default
 * @property {boolean} [retry] whether to keep trying while the server cannot be reached at first
 * @property {?AbortSignal} [signal] gives up joining
 * @property {(state: SignalingState) => void} [onState] called with each state of signaling
 */

/**
 * A participant of the room, with its connection if there is one.
 *
 * @typedef {{info: PeerInfo, polite: boolean, peer: ?RemotePeer, asked: any, calls: number, calledAt: number}} Seat
 */

/**
 * The participants of a room. Iterating gives each one as it comes, once; made by `join()`.
 *
 * Calls do not depend on the signaling connection once they run: while it is lost and comes back,
 * they go on, also when the server was started anew. If it is lost for good, iterating throws what
 * signaling threw.
 *
 * Dispatches `change` when somebody came or went, `state` with each state of signaling, `message`
 * with `detail: {peer, data}` for data of other participants, `rights`, `locked` with
 * `detail: boolean`, and `problem` with `detail: {code, message}` when the server refuses a message.
 */
export class Room extends EventTarget {
  /**
   * @internal
   * @param {string | URL} url
   * @param {RoomOptions} options
   */
  constructor(url, { configuration, connectTimeout = 30_000, onState, rename = true, ...options }) {
    super();
    const self = this;
    /** @type {Map<string, Seat>} */
    const seats = new Map();
    /** Calls that go on without a seat, and why they end. @type {Map<RemotePeer, string>} */
    const outlived = new Map();
    /** @type {ReturnType<typeof arrivals<RemotePeer>>} */
    const came = arrivals();
    const { ring, until } = bell();
    /** @type {?string} */
    let ownId = null;
    let isOver = false;
    /** What the server names, and what of it is used. @type {RTCIceServer[]} */
    let named = [];
    /** @type {RTCIceServer[]} */
    let iceServers = [];

    /** Everybody else to whom there is, or is to be, a connection. @type {RemotePeer[]} */
    this.peers = [];

    const changed = () => {
      const all = [...[...seats.values()].map(({ peer }) => peer), ...outlived.keys()];
      self.peers = all.flatMap((peer) => (peer && !peer.hasEnded ? peer : []));
      ring();
      emit(self, "change");
    };

    /** @param {string} name @returns {RemotePeer | undefined} the call that has outlived its seat */
    const survivor = (name) => [...outlived.keys()].find((peer) => peer.name === name);

    /** @param {Record<string, any>} message to a peer; what cannot be sent is told */
    const send = (message) => {
      try {
        self.client.send(/** @type {any} */ (message));
      } catch (error) {
        // What is lost cannot be repeated later: with another seat the calls are sorted out.
        if (error instanceof SendQueueFull) self.client.giveUpSeat();
        warn(reasonOf(error));
      }
    };

    /** @param {Seat} seat @param {boolean} begins whether this side makes the first offer now */
    const connectWith = (seat, begins) => {
      const peer = new RemotePeer(seat.info, seat.polite, {
        configuration: () => ({ bundlePolicy: "max-bundle", iceServers, ...configuration }),
        connectTimeout,
        send: (to, message) => {
          if (seats.get(to.id)?.peer === to) send({ ...message, to: to.id });
        },
        canSignal: () => self.client.state === "joined",
        changed: onPeerChanged,
      });
      seat.peer = peer;
      if (begins) peer._start();
      if (!came.put(peer)) warn("Nobody takes the peers of this room.");
      changed();
    };

    /** @param {Seat} seat @param {RemotePeer} peer the call that goes on in this seat */
    const adopt = (seat, peer) => {
      outlived.delete(peer);
      seat.peer?._end("rejoined");
      seat.peer = peer;
      peer._move(seat.info, seat.polite);
      changed();
    };

    /** @param {RemotePeer} peer @param {string} reason */
    const keepOrEnd = (peer, reason) => {
      if (peer.state !== "connected") return peer._end(reason);
      outlived.set(peer, reason);
      peer._update({ away: true });
    };

    /** @param {RemotePeer} peer */
    const onPeerChanged = (peer) => {
      const reason = outlived.get(peer);
      if (peer.hasEnded) {
        outlived.delete(peer);
        came.withdraw(peer);
        const seat = seats.get(peer.id);
        if (seat?.peer === peer) {
          seat.peer = null;
          // The remote peer cannot know of it by itself.
          if (!isOver) send({ type: "bye", to: peer.id });
        }
        changed();
      } else if (reason) {
        if (peer.state === "failed") peer._end(reason);
      } else if (peer.state === "connected") {
        survivor(peer.name)?._end("rejoined");
      }
    };

    const setServers = () => {
      if (named === self.client.iceServers) return;
      named = self.client.iceServers;
      iceServers = usableServers(named);
      if (configuration?.iceServers) return;
      for (const { connection } of self.peers) renewServers(connection, iceServers).catch(warn);
    };

    /** @param {PeerInfo} info @param {boolean} polite @returns {Seat | undefined} */
    const addSeat = (info, polite) => {
      if (seats.has(info.id)) return;
      if (seats.size >= PEERS_MOST) {
        warn(`Over ${PEERS_MOST} participants: one is ignored.`);
        return;
      }
      const seat = { info, polite, peer: null, asked: 0, calls: 0, calledAt: 0 };
      seats.set(info.id, seat);
      return seat;
    };

    /** @param {PeerInfo} info */
    const onCame = (info) => {
      const seat = addSeat(info, true);
      // One whose earlier call still works asks whether it goes on, or offers another one.
      if (seat && !survivor(info.name)) connectWith(seat, false);
    };

    /** @param {string} id @param {boolean} away */
    const onPresence = (id, away) => {
      const seat = seats.get(id);
      if (!seat || seat.info.away === away) return;
      seat.info = { ...seat.info, away };
      seat.peer?._update({ away });
      // The newcomer makes its offer when the other one is back.
      if (!away && !seat.polite && seat.peer?.connection.localDescription === null) seat.peer._start();
    };

    /** @param {string} id @param {string} reason */
    const onLeft = (id, reason) => {
      const seat = seats.get(id);
      if (!seat) return;
      seats.delete(id);
      clearTimeout(seat.asked);
      const peer = seat.peer ?? survivor(seat.info.name);
      if (peer && reason === "timeout") keepOrEnd(peer, reason);
      else peer?._end(reason);
      changed();
    };

    /** Each new connection takes sockets and allocations. @param {Seat} seat */
    const mayCall = (seat) => {
      const now = performance.now();
      const calls = Math.max(seat.calls - (now - seat.calledAt) / 1000, 0) + 1;
      if (calls > CALLS_MOST) {
        warn(`${quoted(seat.info.name)} calls too often: an offer was dropped.`);
        return false;
      }
      Object.assign(seat, { calls, calledAt: now });
      return true;
    };

    /** @param {Record<string, any>} message */
    const onDescription = ({ from, description }) => {
      const seat = seats.get(from);
      if (!seat || !isDescription(description)) return;
      const isOffer = description.type === "offer";
      const { peer } = seat;
      const known = peer && peer._certificates.theirs;
      if (peer && isOffer && known && known !== fingerprint(description)) {
        // It has made another connection, because this one was over for it.
        seat.peer = null;
        keepOrEnd(peer, "rejoined");
      }
      if (!seat.peer && isOffer && mayCall(seat)) {
        clearTimeout(seat.asked);
        seat.asked = 0;
        connectWith(seat, false);
      }
      seat.peer?._receive({ description });
    };

    /** Answer whether an earlier call goes on: it does if both know the same call. @param {Seat} seat @param {any} theirs */
    const onGoOn = (seat, theirs) => {
      const before = survivor(seat.info.name);
      const ours = before?._certificates;
      const goesOn = Boolean(ours && ours.own === theirs.theirs && ours.theirs === theirs.own);
      send({ type: "message", to: seat.info.id, data: { goesOn } });
      if (before && goesOn) adopt(seat, before);
    };

    /** @param {Seat} seat @param {boolean} goesOn */
    const onGoesOn = (seat, goesOn) => {
      if (!seat.asked) return;
      clearTimeout(seat.asked);
      seat.asked = 0;
      const before = survivor(seat.info.name);
      if (goesOn && before) adopt(seat, before);
      else connectWith(seat, true);
    };

    /** @param {Record<string, any>} message */
    const onData = ({ from, data }) => {
      const seat = seats.get(from);
      if (!seat) return;
      if (data?.goOn) onGoOn(seat, data.goOn);
      else if (typeof data?.goesOn === "boolean") onGoesOn(seat, data.goesOn);
      else emit(self, "message", { peer: seat.peer ?? survivor(seat.info.name), data });
    };

    /** @param {{id: string, peers: PeerInfo[]}} joined @param {boolean} resumed */
    const onJoined = ({ id, peers }, resumed) => {
      setServers();
      if (resumed) onResumed(peers);
      else onNewSeat(peers);
      ownId = id;
      changed();
    };

    /** @param {PeerInfo[]} infos */
    const onNewSeat = (infos) => {
      const before = [...seats.values()];
      seats.clear();
      for (const { peer, asked } of before) {
        clearTimeout(asked);
        if (peer) keepOrEnd(peer, "rejoined");
      }
      for (const info of infos) {
        const seat = addSeat(info, false);
        const earlier = survivor(info.name);
        if (seat && earlier && !info.away) {
          send({ type: "message", to: info.id, data: { goOn: earlier._certificates } });
          seat.asked = setTimeout(() => onGoesOn(seat, false), GO_ON_MS);
        } else if (seat) {
          connectWith(seat, !info.away);
        }
      }
    };

    /** Who came, left or was away in the meantime. @param {PeerInfo[]} infos */
    const onResumed = (infos) => {
      const present = new Set(infos.map(({ id }) => id));
      for (const id of [...seats.keys()]) if (!present.has(id)) onLeft(id, "left");
      for (const info of infos) {
        onCame(info); // a participant that is new after a resume joined after this page
        onPresence(info.id, info.away);
        seats.get(info.id)?.peer?._update(info);
      }
    };

    /** @type {Record<string, (message: Record<string, any>) => void>} */
    const handlers = {
      "ice-servers": setServers,
      "peer-joined": ({ peer }) => {
        const info = peerInfo(peer);
        if (info) onCame(info);
      },
      "peer-away": ({ id }) => onPresence(id, true),
      "peer-back": ({ id }) => onPresence(id, false),
      "peer-left": ({ id, reason }) => onLeft(id, printable(reason)),
      bye: ({ from }) => {
        const seat = seats.get(from);
        const peer = seat?.peer;
        if (!peer) return;
        seat.peer = null;
        peer._end("bye");
      },
      description: onDescription,
      candidate: ({ from, candidate }) => seats.get(from)?.peer?._receive({ candidate }),
      message: onData,
      rights: ({ id, may }) => {
        seats.get(id)?.peer?._update({ may: rightsOf(may) });
        if (id === ownId) emit(self, "rights");
      },
      "room-locked": ({ locked }) => emit(self, "locked", Boolean(locked)),
      error: ({ code, message }) =>
        emit(self, "problem", { code: printable(code), message: printable(message) }),
    };

    /** @param {?SignalingError} error @param {?string} reason ends all calls, unless it is null */
    const end = (error, reason) => {
      isOver = true;
      for (const { asked } of seats.values()) clearTimeout(asked);
      if (reason) for (const peer of self.peers) peer._end(reason);
      came.end(error);
      changed();
    };

    /** The signaling connection. */
    this.client = new SignalingClient(url, {
      ...options,
      rename,
      onState: (state) => {
        onState?.(state);
        emit(self, "state", state);
      },
      onJoined,
      onMessage: (message) => Object.hasOwn(handlers, message.type) && handlers[message.type]?.(message),
      onLost: (error) => {
        const isOrder = error instanceof RemovedFromRoom || error instanceof RoomClosed;
        end(error, isOrder ? "removed" : null);
      },
    });

    /**
     * Wait for the participant of this name.
     *
     * @param {string} name
     * @param {{timeout?: ?number}} [limits] `timeout` in milliseconds
     * @returns {Promise<RemotePeer>}
     * @throws {PeerNotHere} it did not come in time, or the room was left
     */
    this.peer = async (name, { timeout = null } = {}) => {
      const here = () => self.peers.find((peer) => peer.name === name);
      const isInTime = await until(() => Boolean(here()) || isOver, timeout);
      const found = here();
      if (!found) throw notHere(name, isInTime ? null : timeout);
      return found;
    };

    /** Leave the room and end all calls. Further calls have no effect. */
    this.leave = () => {
      self.client.close();
      end(null, "room-closed");
    };

    /** @internal */
    this._enter = async () => {
      try {
        await self.client.open();
      } catch (error) {
        self.leave();
        throw error;
      }
    };

    /** @internal @param {string} name @returns {string} */
    this._idOf = (name) => {
      const seat = [...seats.values()].find(({ info }) => info.name === name);
      if (!seat) throw notHere(name, 0);
      return seat.info.id;
    };

    /** @internal */
    this._arrivals = came.take;
  }

  /** The state of the signaling connection. */
  get state() {
    return this.client.state;
  }

  /** The own id in the room. */
  get id() {
    return this.client.id;
  }

  /** The own name in the room, which may have got a number. */
  get name() {
    return this.client.name;
  }

  /** The own rights: `join`, `send`, `moderate`. */
  get rights() {
    return this.client.rights;
  }

  /** @returns {AsyncGenerator<RemotePeer, void, void>} */
  async *[Symbol.asyncIterator]() {
    for await (const peer of this._arrivals()) if (!peer.hasEnded) yield peer;
  }

  /**
   * Call a function with each participant as it comes, until the room is left. What goes wrong with
   * one is logged and leaves the others alone.
   *
   * @param {(peer: RemotePeer) => unknown} hold
   * @throws {SignalingError} the server is lost for good
   */
  async attend(hold) {
    /** @param {RemotePeer} peer */
    const holdOne = async (peer) => {
      try {
        await hold(peer);
      } catch (error) {
        if (error instanceof IcefloeError) warn(`${quoted(peer.name)}: ${error.message}`);
        else console.error(`${quoted(peer.name)}: the call broke off.`, error);
      }
    };
    for await (const peer of this) holdOne(peer);
  }

  /**
   * Remove a participant from the room, as a moderator.
   *
   * @param {string} name
   * @throws {ModerationRefused | PeerNotHere | Unreachable}
   */
  async remove(name) {
    return this.client.moderate({ type: "remove", to: this._idOf(name) });
  }

  /** Lock the room, as a moderator: only moderators enter it. @throws {ModerationRefused | Unreachable} */
  async lock() {
    return this.client.moderate({ type: "lock", locked: true });
  }

  /** Unlock the room. @throws {ModerationRefused | Unreachable} */
  async unlock() {
    return this.client.moderate({ type: "lock", locked: false });
  }

  /** Remove everybody from the room, this page included. @throws {ModerationRefused | Unreachable} */
  async closeRoom() {
    return this.client.moderate({ type: "close-room" });
  }

  /**
   * Give the right to moderate to another participant, and give it up.
   *
   * @param {string} name
   * @throws {ModerationRefused | PeerNotHere | Unreachable}
   */
  async handOver(name) {
    return this.client.moderate({ type: "hand-over", to: this._idOf(name) });
  }
}

/**
 * Join a room, and connect with everybody in it.
 *
 * @param {string | URL} url the signaling server, as `ws://127.0.0.1:8080/ws`, or relative to the page
 * @param {RoomOptions} options
 * @returns {Promise<Room>}
 * @throws {Unreachable | JoinRefused | TokenUnavailable | InvalidUrl}
 */
export async function join(url, options) {
  const room = new Room(url, options);
  await room._enter();
  return room;
}
