/**
 * Join a room without any WebRTC.
 *
 * @param {string | URL} url the server, as `ws://127.0.0.1:8080/ws`, or relative to the page
 * @param {SignalingOptions} options
 * @returns {Promise<SignalingClient>}
 */
export function connect(url: string | URL, options: SignalingOptions): Promise<SignalingClient>;
/**
 * @param {RTCStatsReport} report as `RTCPeerConnection.getStats()` gives it
 * @returns {?CandidatePair} the selected candidate pair, or null while there is none
 */
export function selectedPair(report: RTCStatsReport): CandidatePair | null;
/**
 * Give a connection new ICE servers. If its path has a local relay, ICE is restarted: an allocation
 * keeps its user name (RFC 8656, section 5), and may end when that expires.
 *
 * @param {RTCPeerConnection} connection
 * @param {RTCIceServer[]} iceServers
 * @returns {Promise<void>}
 */
export function renewServers(connection: RTCPeerConnection, iceServers: RTCIceServer[]): Promise<void>;
/**
 * The ICE servers that the signaling server names, without invalid ones.
 *
 * @param {RTCIceServer[]} servers
 * @returns {RTCIceServer[]}
 */
export function usableServers(servers: RTCIceServer[]): RTCIceServer[];
/**
 * Join a room, and connect with everybody in it.
 *
 * @param {string | URL} url the signaling server, as `ws://127.0.0.1:8080/ws`, or relative to the page
 * @param {RoomOptions} options
 * @returns {Promise<Room>}
 * @throws {Unreachable | JoinRefused | TokenUnavailable | InvalidUrl}
 */
export function join(url: string | URL, options: RoomOptions): Promise<Room>;
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
    constructor(code: string, message: string, facts?: Facts);
    /** A word for programs. */
    code: string;
    /** What is known about it. */
    facts: Facts;
    /** What went wrong, as the server, the other side or the browser says it; may be empty. */
    get reason(): string;
}
/** The base class of the errors of signaling. */
export class SignalingError extends IcefloeError {
}
/** The address of the signaling server is not a WebSocket URL. */
export class InvalidUrl extends SignalingError {
}
/** A message is not valid in the signaling protocol. */
export class MessageError extends SignalingError {
}
/** The signaling server does not answer. */
export class Unreachable extends SignalingError {
}
/** The server did not let this page into the room; `code` is that of the signaling protocol. */
export class JoinRefused extends SignalingError {
}
/** The function that gives the token has failed. */
export class TokenUnavailable extends SignalingError {
}
/** The server did not do what was asked of it as a moderator; `code` says why. */
export class ModerationRefused extends SignalingError {
}
/** The connection to the server is down, and as many messages wait for it as may. */
export class SendQueueFull extends SignalingError {
}
/** The seat in the room is lost for good. */
export class SignalingLost extends SignalingError {
}
/** A moderator has removed this page from the room. */
export class RemovedFromRoom extends SignalingLost {
}
/** A moderator has closed the room. */
export class RoomClosed extends SignalingLost {
}
/** The room was left, or its seat is lost for good. */
export class SignalingClosed extends SignalingError {
}
/** The base class of the errors of peers and their channels. */
export class PeerError extends IcefloeError {
}
/** An offer or answer is larger than signaling carries; what was added is not negotiated. */
export class DescriptionTooLarge extends PeerError {
}
/** The connection to a peer could not be established; its facts say how far it came. */
export class ConnectFailed extends PeerError {
}
/** The peer is not in the room any more, or the connection with it was ended. */
export class PeerLeft extends PeerError {
}
/** Nobody of this name is in the room. */
export class PeerNotHere extends PeerError {
}
/** The base class of the errors of data channels. */
export class ChannelError extends PeerError {
}
/** The channel is closed. */
export class ChannelClosed extends ChannelError {
}
/** A channel is used in two ways that exclude each other. */
export class ChannelMisused extends ChannelError {
}
/** An option of a data channel is invalid, so the channel is not created. */
export class InvalidChannel extends ChannelError {
}
/** A message cannot be sent, or is not JSON; the channel is as good as before. */
export class InvalidMessage extends ChannelError {
}
/** The message is larger than the remote peer takes. */
export class MessageTooLarge extends ChannelError {
}
/** Messages came faster than they were read, and the channel was closed over it. */
export class ReceiveOverflow extends ChannelError {
}
/** No reply to a request came in time. */
export class RequestTimeout extends ChannelError {
}
/** A request was refused, or its handler failed. A handler throws it to refuse. */
export class RequestFailed extends ChannelError {
    /**
     * @param {string} code a word for programs: `error`, `unserved`, `overloaded`, `cancelled`, …
     * @param {string} reason
     */
    constructor(code: string, reason: string, label?: string);
}
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
    constructor(url: string | URL, { room, name, token, rename, retry, signal, ...on }: SignalingOptions);
    /** The state of the connection. @type {SignalingState} */
    state: SignalingState;
    /** The own id in the room, or null before it is joined. @type {?string} */
    id: string | null;
    /** The own name in the room, which may have got a number. */
    name: string;
    /** The STUN and TURN servers to use; another array when they are renewed. @type {RTCIceServer[]} */
    iceServers: RTCIceServer[];
    /** The time at which these expire, in seconds since the epoch, if they do. @type {?number} */
    expires: number | null;
    /** The own rights: `join`, `send`, `moderate`. @type {Set<string>} */
    rights: Set<string>;
    /**
     * Join the room.
     *
     * @returns {Promise<void>} resolved when the seat is taken
     * @throws {Unreachable | JoinRefused | TokenUnavailable | SignalingClosed}
     */
    open: () => Promise<void>;
    /**
     * Send a message to a peer, now or when the seat is resumed.
     *
     * @param {{type: string, to: string} & Record<string, any>} message a `description`,
     *   `candidate`, `message` or `bye`
     * @throws {MessageError} it is larger than the server accepts
     * @throws {SendQueueFull} the server is out of reach, and as much waits for it as may
     * @throws {SignalingClosed}
     */
    send: (message: {
        type: string;
        to: string;
    } & Record<string, any>) => void;
    /**
     * Ask the server, as a moderator.
     *
     * @param {Record<string, any>} message a `remove`, `lock`, `close-room` or `hand-over`
     * @returns {Promise<void>} resolved when it is done
     * @throws {ModerationRefused | Unreachable | SignalingClosed}
     */
    moderate: (message: Record<string, any>) => Promise<void>;
    /** Connect again now if the connection is lost; call this when the network may be back. */
    suspect: () => void;
    /** Take another seat, since messages to peers were lost; calls go on. */
    giveUpSeat: () => void;
    /** Leave the room. Further calls have no effect. */
    close: () => void;
}
/**
 * A data channel with back-pressure. Iterating gives the messages in the order in which they come,
 * and ends when the channel is closed.
 */
export class DataChannel {
    /**
     * @param {RTCDataChannel} channel its messages are kept from now on
     * @param {ChannelBuffers} [buffers]
     */
    constructor(channel: RTCDataChannel, { sendBuffer, receiveBuffer, maxMessageSize }?: ChannelBuffers);
    /** The label, in any language. */
    label: string;
    /** The subprotocol. */
    protocol: string;
    /** The channel underneath; of two that were joined, the one over which is sent. */
    channel: RTCDataChannel;
    /** Whether nothing can be sent any more. */
    closed: boolean;
    /** The side that closed the channel; null while it is open. @type {?ClosedBy} */
    closedBy: ClosedBy | null;
    /** Tells the largest message that the remote peer takes; 0 is no limit. */
    maxMessageSize: () => number;
    /**
     * Counters: messages and bytes `sent` and `received`, messages that `trySend()` `refused`, and
     * those that were `dropped` because nobody read them.
     */
    counts: {
        sent: number;
        bytesSent: number;
        received: number;
        bytesReceived: number;
        refused: number;
        dropped: number;
    };
    /** Wait until the channel is open. @throws {ChannelClosed} it was closed instead */
    opened: () => Promise<void>;
    /**
     * Send a message, as soon as fewer than `sendBuffer` bytes wait to be sent. Messages of several
     * callers go out in the order in which they called.
     *
     * @param {Message} message
     * @returns {Promise<void>}
     * @throws {ChannelClosed | MessageTooLarge | InvalidMessage}
     */
    send: (message: Message) => Promise<void>;
    /**
     * Send a message if there is room for it now, and nobody waits in `send()`.
     *
     * @param {Message} message
     * @returns {boolean} whether it was sent
     * @throws {ChannelClosed | MessageTooLarge | InvalidMessage}
     */
    trySend: (message: Message) => boolean;
    /** Wait until the browser has sent everything. @throws {ChannelClosed} */
    drain: () => Promise<void>;
    /** @returns {Promise<Received>} the next message @throws {ChannelClosed | ReceiveOverflow | ChannelMisused} */
    receive: () => Promise<Received>;
    /** @returns {?Received} the next message, or null if none is here @throws {ChannelMisused} */
    tryReceive: () => Received | null;
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
    request: (value: unknown, { timeout, signal }?: {
        timeout?: number | null;
        signal?: AbortSignal | null;
    }) => Promise<any>;
    /**
     * Answer the remote peer's requests until the channel is closed.
     *
     * @param {(request: any, signal: AbortSignal) => unknown} handler takes a request and returns the
     *   reply, or throws `RequestFailed`; the signal is aborted when nobody waits for it any more
     * @param {{concurrent?: number}} [options] requests that are handled at the same time
     * @returns {Promise<void>}
     * @throws {ChannelMisused | ReceiveOverflow}
     */
    serveRequests: (handler: (request: any, signal: AbortSignal) => unknown, { concurrent }?: {
        concurrent?: number;
    }) => Promise<void>;
    /** Close the channel once what was sent is out. */
    close: () => void;
    /**
     * Send what waits, close, and wait until the remote peer has closed too.
     *
     * @param {number} [timeout] milliseconds after which it is taken as closed
     */
    aclose: (timeout?: number) => Promise<void>;
    /**
     * Take in the channel that the remote peer opened for the same purpose at the same time. What is
     * sent goes over theirs if nothing was sent so far, and otherwise over the local one.
     *
     * @internal
     * @param {RTCDataChannel} theirs
     */
    _join: (theirs: RTCDataChannel) => void;
    /** @internal @param {ChannelBuffers} buffers */
    _setBuffers: (buffers: ChannelBuffers) => void;
    /** Take it as over because its connection is; wakes all who wait. */
    abandon: () => void;
    /** Whether another caller may use it. @internal */
    _isUsable: () => boolean;
    /** @internal @returns {Promise<Received>} */
    _take: () => Promise<Received>;
    /** Bytes that wait to be sent. */
    get bufferedAmount(): number;
    /**
     * Send a value as JSON.
     *
     * @param {unknown} value
     * @throws {ChannelClosed | MessageTooLarge | InvalidMessage}
     */
    sendJson(value: unknown): Promise<void>;
    /** @returns {Promise<any>} the next message, read as JSON @throws {InvalidMessage | ChannelClosed | ReceiveOverflow} */
    receiveJson(): Promise<any>;
    /** @returns {AsyncGenerator<any, void, void>} the messages, read as JSON */
    messages(): AsyncGenerator<any, void, void>;
    /** @returns {AsyncGenerator<Received, void, void>} */
    [Symbol.asyncIterator](): AsyncGenerator<Received, void, void>;
}
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
    constructor(connection: RTCPeerConnection, { polite, signaler, onError }: NegotiatorOptions);
    /** Whether this side yields when two offers collide. */
    polite: boolean;
    /**
     * Take what the remote peer has sent.
     *
     * @param {{description?: ?RTCSessionDescriptionInit, candidate?: ?RTCIceCandidateInit}} message
     * @returns {Promise<void>} resolved when it was applied, or could not be
     */
    receive: ({ description, candidate }: {
        description?: RTCSessionDescriptionInit | null;
        candidate?: RTCIceCandidateInit | null;
    }) => Promise<void>;
    /** Wait until the remote peer has agreed to what was added here. @throws {DescriptionTooLarge} */
    negotiated: () => Promise<void>;
    /** Send the offer that waits for an answer again: it, or the answer, may be lost. */
    repeat: () => void;
    /** Stop. Further calls have no effect. */
    close: () => void;
}
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
    constructor(info: PeerInfo, polite: boolean, host: PeerHost);
    /** Its id in the room; another one after it has joined anew. */
    id: string;
    /** Its name in the room. */
    name: string;
    /** Whether this side is the polite one, which was in the room first. */
    polite: boolean;
    /** Whether it has lost its connection to the server and may be back; the call goes on. */
    away: boolean;
    /** Whether it has the right to send audio and video: its tracks are refused if not. */
    maySend: boolean;
    /** Its newest track of each kind, for the `srcObject` of an element. */
    stream: MediaStream;
    /** An `RTCPeerConnectionState`; `closed` when the connection is over. @type {string} */
    state: string;
    /** Whether the connection is over. */
    hasEnded: boolean;
    /** The path in words, as `host/udp -> srflx/udp, rtt 12 ms, direct`; null before it is known. @type {?string} */
    path: string | null;
    /** The connection, for everything that is not wrapped here. */
    connection: RTCPeerConnection;
    /**
     * Send a track; may be called at any time.
     *
     * @param {MediaStreamTrack} track
     * @returns {RTCRtpSender}
     * @throws {PeerLeft}
     */
    addTrack: (track: MediaStreamTrack) => RTCRtpSender;
    /** Stop sending what `addTrack()` added. @param {RTCRtpSender} sender @throws {PeerLeft} */
    removeTrack: (sender: RTCRtpSender) => void;
    /**
     * Send another track in the place of one; nothing is negotiated.
     *
     * @param {RTCRtpSender} sender what `addTrack()` returned
     * @param {?MediaStreamTrack} track one of the same kind, or null
     * @returns {Promise<void>}
     * @throws {PeerLeft}
     */
    replaceTrack: (sender: RTCRtpSender, track: MediaStreamTrack | null) => Promise<void>;
    /** @returns {AsyncGenerator<MediaStreamTrack, void, void>} the tracks that the remote peer sends, until it is gone */
    tracks: () => AsyncGenerator<MediaStreamTrack, void, void>;
    /** @returns {AsyncGenerator<DataChannel, void, void>} the channels that the remote peer opens, until it is gone */
    channels: () => AsyncGenerator<DataChannel, void, void>;
    /**
     * Open a data channel, or take the one that there is, and wait until it can be used. A label is
     * one channel, whoever opens it, as long as protocol and reliability are the same too.
     *
     * @param {string} label
     * @param {ChannelOptions} [options]
     * @returns {Promise<DataChannel>}
     * @throws {ConnectFailed | PeerLeft | ChannelClosed | InvalidChannel}
     */
    openChannel: (label: string, { sendBuffer, receiveBuffer, shared, ...init }?: ChannelOptions) => Promise<DataChannel>;
    /**
     * Wait until the connection works.
     *
     * @returns {Promise<void>}
     * @throws {ConnectFailed} not within the room's `connectTimeout`; it keeps trying all the same
     * @throws {PeerLeft}
     */
    connected: () => Promise<void>;
    /**
     * Wait until the remote peer has agreed to what was added here.
     *
     * @returns {Promise<void>}
     * @throws {DescriptionTooLarge | PeerLeft}
     */
    negotiated: () => Promise<void>;
    /**
     * Wait until the connection is over.
     *
     * @returns {Promise<string>} why: `left`, `timeout` or `removed` as signaling says it, `bye` if
     *   the other side ended it, `hung-up`, `rejoined` or `room-closed`
     */
    ended: () => Promise<string>;
    /** End the connection with this peer, who stays in the room and may call again. */
    hangUp: () => void;
    /** @returns {Promise<?CandidatePair>} the selected candidate pair as it is now */
    selectedPair: () => Promise<CandidatePair | null>;
    /** Make the first offer, as the newcomer does. @internal */
    _start: () => void;
    /** @internal @param {{description?: RTCSessionDescriptionInit, candidate?: ?RTCIceCandidateInit}} message */
    _receive: (message: {
        description?: RTCSessionDescriptionInit;
        candidate?: RTCIceCandidateInit | null;
    }) => void;
    /** Go on under another seat of the participant. @internal @param {PeerInfo} there @param {boolean} yields */
    _move: (there: PeerInfo, yields: boolean) => void;
    /** @internal @param {{away?: boolean, may?: string[]}} news */
    _update: ({ away, may }: {
        away?: boolean;
        may?: string[];
    }) => void;
    /** @internal @param {string} why */
    _end: (why: string) => void;
    /** The fingerprints of both sides, which identify this connection. @internal */
    get _certificates(): {
        own: string | null;
        theirs: string | null;
    };
}
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
    constructor(url: string | URL, { configuration, connectTimeout, onState, rename, ...options }: RoomOptions);
    /** Everybody else to whom there is, or is to be, a connection. @type {RemotePeer[]} */
    peers: RemotePeer[];
    /** The signaling connection. */
    client: SignalingClient;
    /**
     * Wait for the participant of this name.
     *
     * @param {string} name
     * @param {{timeout?: ?number}} [limits] `timeout` in milliseconds
     * @returns {Promise<RemotePeer>}
     * @throws {PeerNotHere} it did not come in time, or the room was left
     */
    peer: (name: string, { timeout }?: {
        timeout?: number | null;
    }) => Promise<RemotePeer>;
    /** Leave the room and end all calls. Further calls have no effect. */
    leave: () => void;
    /** @internal */
    _enter: () => Promise<void>;
    /** @internal @param {string} name @returns {string} */
    _idOf: (name: string) => string;
    /** @internal */
    _arrivals: () => AsyncGenerator<RemotePeer, void, void>;
    /** The state of the signaling connection. */
    get state(): SignalingState;
    /** The own id in the room. */
    get id(): string | null;
    /** The own name in the room, which may have got a number. */
    get name(): string;
    /** The own rights: `join`, `send`, `moderate`. */
    get rights(): Set<string>;
    /**
     * Call a function with each participant as it comes, until the room is left. What goes wrong with
     * one is logged and leaves the others alone.
     *
     * @param {(peer: RemotePeer) => unknown} hold
     * @throws {SignalingError} the server is lost for good
     */
    attend(hold: (peer: RemotePeer) => unknown): Promise<void>;
    /**
     * Remove a participant from the room, as a moderator.
     *
     * @param {string} name
     * @throws {ModerationRefused | PeerNotHere | Unreachable}
     */
    remove(name: string): Promise<void>;
    /** Lock the room, as a moderator: only moderators enter it. @throws {ModerationRefused | Unreachable} */
    lock(): Promise<void>;
    /** Unlock the room. @throws {ModerationRefused | Unreachable} */
    unlock(): Promise<void>;
    /** Remove everybody from the room, this page included. @throws {ModerationRefused | Unreachable} */
    closeRoom(): Promise<void>;
    /**
     * Give the right to moderate to another participant, and give it up.
     *
     * @param {string} name
     * @throws {ModerationRefused | PeerNotHere | Unreachable}
     */
    handOver(name: string): Promise<void>;
    /** @returns {AsyncGenerator<RemotePeer, void, void>} */
    [Symbol.asyncIterator](): AsyncGenerator<RemotePeer, void, void>;
}
/**
 * What is known about an error, beside its code.
 */
export type Facts = {
    /**
     * what went wrong, as the server, the other side or the browser says it
     */
    reason?: string | undefined;
    /**
     * the address of the signaling server
     */
    url?: string | undefined;
    /**
     * the name of the peer
     */
    peer?: string | undefined;
    /**
     * the label of the channel
     */
    label?: string | undefined;
    /**
     * who closed the channel
     */
    by?: ClosedBy | undefined;
    /**
     * bytes of what is too large
     */
    size?: number | undefined;
    /**
     * bytes that are possible
     */
    limit?: number | undefined;
    /**
     * milliseconds that were waited
     */
    timeout?: number | null | undefined;
    /**
     * where connecting stopped: `signaling`, `gathering`,
     * `connectivity-checks` or `dtls`
     */
    phase?: string | undefined;
    /**
     * what was known when connecting failed
     */
    evidence?: {
        seconds: number;
        local: string[];
        remote: string[];
        serverErrors: string[];
    } | undefined;
};
/**
 * the side that closed a channel
 */
export type ClosedBy = "us" | "them" | "connection";
export type Deferred<T> = {
    promise: Promise<T>;
    resolve: (value: T) => void;
    reject: (error: unknown) => void;
};
/**
 * wakes everybody who waits for something to change
 */
export type Bell = ReturnType<typeof bell>;
export type SignalingState = "connecting" | "unreachable" | "joined" | "reconnecting" | "closed";
export type PeerInfo = {
    id: string;
    name: string;
    away: boolean;
    may: string[];
};
/**
 * a token, or what gives one for
 * each connection to the server
 */
export type TokenSource = string | (() => string | Promise<string>);
export type SignalingOptions = {
    /**
     * the room, 1 to 64 characters
     */
    room: string;
    /**
     * the own name, unique in the room, 1 to 64 characters
     */
    name: string;
    /**
     * the token that admits, if the server asks for one
     */
    token?: TokenSource | null | undefined;
    /**
     * whether the server may add a number to the name if it is taken
     */
    rename?: boolean | undefined;
    /**
     * whether to keep trying while the server cannot be reached at first
     */
    retry?: boolean | undefined;
    /**
     * gives up joining
     */
    signal?: AbortSignal | null | undefined;
    /**
     * called with each new state
     */
    onState?: ((state: SignalingState) => void) | undefined;
    /**
     * called
     * after each join, and each resume of the seat
     */
    onJoined?: ((joined: {
        id: string;
        peers: PeerInfo[];
    }, resumed: boolean) => void) | undefined;
    /**
     * called with all other messages
     */
    onMessage?: ((message: Record<string, any>) => void) | undefined;
    /**
     * called once, if the seat is lost for good
     */
    onLost?: ((error: SignalingError) => void) | undefined;
};
export type PathEnd = {
    type: string;
    protocol: string;
    address: string | null;
    port: number;
    relayProtocol?: string;
    url?: string;
};
/**
 * the selected candidate pair
 */
export type CandidatePair = {
    local: PathEnd;
    remote: PathEnd;
    relayed: boolean;
    /**
     * the round-trip time in milliseconds
     */
    rtt: number | null;
    /**
     * what can be sent, as estimated, in bits per second
     */
    available: number | null;
};
/**
 * what is sent
 */
export type Message = string | ArrayBuffer | ArrayBufferView;
/**
 * what was sent as text, or as bytes
 */
export type Received = string | Uint8Array;
export type ChannelOptions = {
    /**
     * whether messages arrive in order
     */
    ordered?: boolean | undefined;
    /**
     * retransmissions before a message is given up
     */
    maxRetransmits?: number | undefined;
    /**
     * milliseconds before a message is given up; not both
     */
    maxPacketLifeTime?: number | undefined;
    /**
     * the subprotocol
     */
    protocol?: string | undefined;
    /**
     * whether the other side opens a channel of the same `id` itself
     */
    negotiated?: boolean | undefined;
    /**
     * its number
     */
    id?: number | undefined;
    /**
     * bytes that may wait before `send()` waits
     */
    sendBuffer?: number | undefined;
    /**
     * bytes that may wait to be read; a channel is closed beyond
     * them, and one that may lose messages drops the oldest
     */
    receiveBuffer?: number | undefined;
    /**
     * false opens another channel in any case
     */
    shared?: boolean | undefined;
};
export type ChannelBuffers = {
    /**
     * as in `ChannelOptions`
     */
    sendBuffer?: number | undefined;
    /**
     * likewise
     */
    receiveBuffer?: number | undefined;
    /**
     * tells the largest message that the remote peer takes; 0
     * is no limit
     */
    maxMessageSize?: (() => number) | undefined;
};
export type Requests = ReturnType<typeof requestsOn>;
export type NegotiatorOptions = {
    /**
     * whether this side yields when two offers collide
     */
    polite: boolean;
    /**
     *   sends to the remote peer; the candidate null is the end of candidates
     */
    signaler: {
        description: (description: {
            type: RTCSdpType;
            sdp: string;
        }) => void;
        candidate: (candidate: RTCIceCandidateInit | null) => void;
    };
    /**
     * called with what could not be negotiated
     */
    onError?: ((error: Error) => void) | undefined;
};
/**
 * what a peer needs of its room
 */
export type PeerHost = {
    configuration: () => RTCConfiguration;
    connectTimeout: number;
    send: (peer: RemotePeer, message: Record<string, any>) => void;
    canSignal: () => boolean;
    changed: (peer: RemotePeer) => void;
};
export type RoomOptions = {
    /**
     * the room, 1 to 64 characters
     */
    room: string;
    /**
     * the own name, unique in the room, 1 to 64 characters; see `rename`
     */
    name: string;
    /**
     * the token that admits, if the server asks for one
     */
    token?: TokenSource | null | undefined;
    /**
     * whether another name will do if this one is taken: a second `bot` is
     * `bot-2`, as `Room.name` tells; true by default
     */
    rename?: boolean | undefined;
    /**
     * for every connection; where it names no `iceServers`,
     * the signaling server's are used
     */
    configuration?: RTCConfiguration | undefined;
    /**
     * milliseconds that a peer has to become connected before
     * waiting for it fails; 30,000 by default
     */
    connectTimeout?: number | undefined;
    /**
     * whether to keep trying while the server cannot be reached at first
     */
    retry?: boolean | undefined;
    /**
     * gives up joining
     */
    signal?: AbortSignal | null | undefined;
    /**
     * called with each state of signaling
     */
    onState?: ((state: SignalingState) => void) | undefined;
};
/**
 * A participant of the room, with its connection if there is one.
 */
export type Seat = {
    info: PeerInfo;
    polite: boolean;
    peer: RemotePeer | null;
    asked: any;
    calls: number;
    calledAt: number;
};
/** @typedef {ReturnType<typeof bell>} Bell wakes everybody who waits for something to change */
declare function bell(): {
    ring: () => void;
    until: (condition: () => boolean, timeout?: number | null) => Promise<boolean>;
};
/** @typedef {ReturnType<typeof requestsOn>} Requests */
/** Both directions of requests on one channel. @param {DataChannel} channel */
declare function requestsOn(channel: DataChannel): {
    /** @param {unknown} value @param {?number} timeout @param {?AbortSignal} signal */
    request(value: unknown, timeout: number | null, signal: AbortSignal | null): Promise<any>;
    /** @param {(request: any, signal: AbortSignal) => unknown} serving @param {number} concurrent */
    serve(serving: (request: any, signal: AbortSignal) => unknown, concurrent: number): Promise<void>;
};
export {};
