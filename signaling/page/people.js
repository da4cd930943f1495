// The participants of the room as the page shows them: one each, across its successive connections.
//
// Signaling, negotiation and channels are those of icefloe.js; here is what the page does with them.

import { ChannelError, ConnectFailed, PeerError } from "./icefloe.js";
import { CandidateLog } from "./candidates.js";
import { takesInput } from "./control.js";

/** Another participant, across its successive seats and connections. */
export class Participant {
  /** Its connections, the newest last; an earlier one goes on until the new one works. */
  #peers = [];
  #logs = new WeakMap();

  constructor(name) {
    this.name = name;
    /** The kinds of media that it says it is sending. */
    this.sending = { audio: true, video: true };
  }

  /** @param {RemotePeer} peer its newest connection */
  add(peer) {
    this.#peers.push(peer);
    this.#logs.set(peer, new CandidateLog(peer));
  }

  /** @returns {boolean} whether that was the last connection with it */
  remove(peer) {
    this.#peers = this.#peers.filter((other) => other !== peer);
    return this.#peers.length === 0;
  }

  get #newest() {
    return this.#peers.at(-1) ?? null;
  }

  /** The peer whose media and chat are in use, or null. */
  get live() {
    return this.#peers.findLast(({ state }) => state === "connected") ?? this.#newest;
  }

  get id() {
    return this.#newest?.id ?? null;
  }

  get polite() {
    return this.#newest?.polite ?? null;
  }

  /** Whether its signaling connection is lost; its call may continue. */
  get away() {
    return this.#newest?.away ?? false;
  }

  get pc() {
    return this.live?.connection ?? null;
  }

  get stream() {
    return this.live?.stream ?? null;
  }

  /** An RTCPeerConnectionState. */
  get state() {
    return this.live?.state ?? "new";
  }

  /** The candidates of the connection in use. */
  get candidates() {
    return this.#logs.get(this.live);
  }
}

export class People {
  #media;
  #ui;
  #room = null;
  /** Participants by name. */
  #byName = new Map();
  /** What is sent to each peer: a sender by kind. */
  #senders = new Map();
  /** The open chat of each peer. */
  #chats = new Map();

  /**
   * @param {Media} media the tracks to send
   * @param {object} ui callbacks: `came(participant)`, `changed(participant)`, `gone(participant)`,
   *   `chat(participant, text)`, `chatOpen()`, `input(participant, channel)`, `problem(error)`,
   *   `lost(error)` when the page is no longer in the room
   */
  constructor(media, ui) {
    this.#media = media;
    this.#ui = ui;
  }

  /** All participants with a tile. */
  get everybody() {
    return [...this.#byName.values()];
  }

  /** The id of this page, or null while not joined. */
  get id() {
    return this.#room?.id ?? null;
  }

  /** Whether any participant has an open chat. */
  get canChat() {
    return this.#chats.size > 0;
  }

  /** @param {Room} room it has just been joined */
  async attend(room) {
    this.#room = room;
    room.addEventListener("message", ({ detail }) => this.#heard(detail));
    room.addEventListener("problem", ({ detail }) => this.#ui.problem(detail));
    try {
      for await (const peer of room) this.#hold(peer);
    } catch (error) {
      if (this.#room === room) this.#ui.lost(error);
    }
  }

  /** Send a chat message to all participants with an open chat. */
  chat(text) {
    for (const { live } of this.everybody) {
      this.#chats.get(live)?.send(text).catch((error) => console.warn(error.message));
    }
  }

  /** Tell all participants which kinds of media are being sent, so that they show it. */
  announceSending() {
    for (const peer of this.#room?.peers ?? []) this.#announceTo(peer);
  }

  replaceTrack(track) {
    const replaced = [...this.#senders].map(([peer, senders]) => {
      const sender = senders.get(track.kind);
      return sender && peer.replaceTrack(sender, track);
    });
    return Promise.all(replaced);
  }

  /** End all calls. */
  leave() {
    const room = this.#room;
    this.#room = null;
    room?.leave();
  }

  #hold(peer) {
    const known = this.#byName.get(peer.name);
    const participant = known ?? new Participant(peer.name);
    participant.add(peer);
    const tracks = this.#media.tracks().map((track) => [track.kind, peer.addTrack(track)]);
    this.#senders.set(peer, new Map(tracks));
    if (!known) {
      this.#byName.set(peer.name, participant);
      this.#ui.came(participant);
    }
    const { audio, video } = this.#media.sending;
    // A new participant assumes that both are on.
    if (known || !audio || !video) this.#announceTo(peer);
    peer.addEventListener("change", () => this.#changed(participant, peer));
    this.#changed(participant, peer);
    this.#openChat(participant, peer);
    this.#takeChannels(participant, peer);
  }

  #changed(participant, peer) {
    if (peer.hasEnded && this.#senders.delete(peer) && participant.remove(peer)) {
      this.#byName.delete(participant.name);
      this.#ui.gone(participant);
    } else if (this.#byName.get(participant.name) === participant) {
      this.#ui.changed(participant);
    }
  }

  /** Some programs open the chat themselves, others wait for the page to open it. */
  async #openChat(participant, peer) {
    while (!peer.hasEnded) {
      try {
        this.#readChat(participant, peer, await peer.openChannel("chat"));
        return;
      } catch (error) {
        if (!(error instanceof PeerError)) throw error;
        if (!(error instanceof ConnectFailed)) return;
        console.info(error.message);
      }
      // It keeps trying.
      await new Promise((done) => peer.addEventListener("change", done, { once: true }));
    }
  }

  async #takeChannels(participant, peer) {
    for await (const channel of peer.channels()) {
      if (channel.label === "chat") this.#readChat(participant, peer, channel);
      else if (takesInput(channel)) this.#ui.input(participant, channel);
    }
  }

  async #readChat(participant, peer, channel) {
    if (this.#chats.get(peer) === channel) return;
    if (!this.#chats.has(peer)) this.#chats.set(peer, channel);
    this.#ui.chatOpen();
    try {
      for await (const text of channel) {
        if (typeof text === "string") this.#ui.chat(participant, text);
      }
    } catch (error) {
      if (!(error instanceof ChannelError)) throw error;
      console.warn(error.message);
    }
    if (this.#chats.get(peer) === channel) this.#chats.delete(peer);
    this.#ui.chatOpen();
  }

  #heard({ peer, data }) {
    const participant = this.#byName.get(peer?.name);
    if (!participant || typeof data?.sending !== "object" || data.sending === null) return;
    const { audio, video } = data.sending;
    participant.sending = { audio: audio !== false, video: video !== false };
    this.#ui.changed(participant);
  }

  #announceTo({ id }) {
    try {
      this.#room?.client.send({ type: "message", to: id, data: { sending: this.#media.sending } });
    } catch (error) {
      console.warn(error.message);
    }
  }
}
