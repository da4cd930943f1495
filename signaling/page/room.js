// The room: its participants, the call with each of them, and the routing of messages to calls.

import { Call } from "./call.js";

/** How long a participant has to confirm that a call continues, before a new call is started. */
const GO_ON_MS = 2000;

/** Another participant, across its successive seats and calls. */
export class Participant {
  constructor(info, polite) {
    this.id = info.id;
    this.name = info.name;
    /** Whether its signaling connection is lost; its call may continue. */
    this.away = Boolean(info.away);
    /** Whether this side was in the room first and so is polite in negotiation. */
    this.polite = polite;
    /** Whether it may send media; otherwise its tracks are refused. */
    this.maySend = info.may?.includes("send") ?? true;
    this.call = null;
    /** The call of an earlier seat, kept until the new call has connected. */
    this.previous = null;
    /** The kinds of media that it says it is sending. */
    this.sending = { audio: true, video: true };
    this.restartWhenBack = false;
    /** The timer of the question whether the call of the earlier seat continues, or null. */
    this.asked = null;
  }

  /** The call whose media and chat are in use, or null before the first one. */
  get live() {
    return this.call?.connected || !this.previous ? this.call : this.previous;
  }

  get pc() {
    return this.live?.pc ?? null;
  }

  /** An RTCPeerConnectionState, or "new" before the call begins. */
  get state() {
    return this.pc?.connectionState ?? "new";
  }
}

export class Room {
  #signaling = null;
  #media;
  #ui;
  #iceServers = [];
  #id = null;
  #roster = new Map();
  #adrift = new Map();

  /** Participants with a tile, by id. */
  participants = new Map();

  /**
   * @param {Media} media the tracks to send
   * @param {object} ui callbacks: `came(participant)`, `changed(participant)`, `gone(participant)`,
   *   `chat(participant, text)`, `chatOpen()`, `input(participant, channel)`, `problem(error)`
   */
  constructor(media, ui) {
    this.#media = media;
    this.#ui = ui;
  }

  /** The id of this page, or null while not joined. */
  get id() {
    return this.#id;
  }

  /** All participants with a tile, including those that have not joined again after a restart. */
  get everybody() {
    return [...this.participants.values(), ...this.#adrift.values()];
  }

  /** Whether any participant has an open chat. */
  get canChat() {
    return this.everybody.some((participant) => participant.live?.chat);
  }

  attach(signaling) {
    this.#signaling = signaling;
  }

  joined(message, resumed) {
    this.#iceServers = message.iceServers ?? [];
    if (resumed && message.id === this.#id) {
      this.#resumed(message.peers);
      this.#renew(this.#iceServers);
      return;
    }
    this.#id = message.id;
    this.#setAdrift();
    for (const info of message.peers) {
      this.#roster.set(info.id, { info, polite: false });
      const participant = this.#participant(info.id);
      if (!participant.away) this.#begin(participant);
    }
  }

  /** Process a message of the server, other than `joined`. */
  receive(message) {
    const handler = this.#handlers[message.type];
    if (handler) handler(message);
  }

  #handlers = {
    "ice-servers": ({ iceServers }) => this.#renew(iceServers ?? []),
    "peer-joined": ({ peer }) => this.#peerJoined(peer),
    "peer-away": ({ id }) => this.#setAway(id, true),
    "peer-back": ({ id }) => this.#setAway(id, false),
    "peer-left": ({ id }) => {
      this.#roster.delete(id);
      this.#remove(this.participants.get(id));
    },
    bye: ({ from }) => this.#remove(this.participants.get(from)),
    description: ({ from, description }) => this.#described(from, description),
    candidate: ({ from, candidate }) =>
      this.#apply(this.participants.get(from), (call) => call.candidate(candidate)),
    message: ({ from, data }) => this.#heard(from, data),
    error: (error) => this.#ui.problem(error),
  };

  /** Send a chat message to all participants with an open chat. */
  chat(text) {
    for (const participant of this.everybody) participant.live?.chat?.send(text);
  }

  /** Tell all participants which kinds of media are being sent, so that they show it. */
  announceSending() {
    for (const participant of this.participants.values()) this.#announceTo(participant);
  }

  replaceTrack(track) {
    const calls = this.everybody.flatMap(({ call, previous }) => [call, previous]);
    return Promise.all(calls.map((call) => call?.replaceTrack(track)));
  }

  /** Send `bye` to all participants, and end all calls. */
  leave() {
    for (const participant of [...this.participants.values()]) {
      this.#signaling.send({ type: "bye", to: participant.id });
      this.#remove(participant);
    }
    for (const participant of this.#adrift.values()) this.#remove(participant);
    this.#adrift.clear();
    this.#roster.clear();
    this.#id = null;
  }

  #participant(id) {
    const known = this.participants.get(id);
    if (known) return known;
    const { info, polite } = this.#roster.get(id);
    const returning = this.#adrift.get(info.name);
    this.#adrift.delete(info.name);
    const participant = returning ?? new Participant(info, polite);
    Object.assign(participant, { id, polite, away: Boolean(info.away) });
    this.participants.set(id, participant);
    const { audio, video } = this.#media.sending;
    // A new participant assumes that both are on.
    if (returning || !audio || !video) this.#announceTo(participant);
    if (!returning) this.#ui.came(participant);
    this.#ui.changed(participant);
    return participant;
  }

  #call(participant) {
    const { polite } = participant;
    const call = new Call(
      {
        polite,
        maySend: participant.maySend,
        iceServers: this.#iceServers,
        tracks: () => this.#media.tracks(),
      },
      {
        send: (message) => this.#signaling.send({ ...message, to: participant.id }),
        changed: () => this.#callChanged(participant),
        iceFailed: () => this.#restart(participant),
        chat: (text) => this.#ui.chat(participant, text),
        chatOpen: () => this.#ui.chatOpen(),
        input: (channel) => this.#ui.input(participant, channel),
      },
    );
    participant.call = call;
    this.#ui.changed(participant);
    return call;
  }

  /** As the newcomer, continue the call of an earlier seat or start a new one. */
  #begin(participant) {
    if (!participant.previous?.connected) {
      this.#call(participant).start();
      return;
    }
    this.#say(participant, { goOn: participant.previous.certificates });
    participant.asked = setTimeout(() => this.#answered(participant, false), GO_ON_MS);
  }

  /** Answer a newcomer whether an earlier call continues: it does if both know the same call. */
  #askedToGoOn(participant, { own, theirs }) {
    const { previous } = participant;
    const ours = previous?.connected ? previous.certificates : null;
    const same = ours !== null && ours.own === theirs && ours.theirs === own;
    if (same) this.#goOn(participant);
    this.#say(participant, { goesOn: same });
  }

  #answered(participant, goesOn) {
    if (participant.asked === null) return;
    this.#stopAsking(participant);
    if (goesOn && participant.previous) this.#goOn(participant);
    else this.#call(participant).start();
  }

  #stopAsking(participant) {
    clearTimeout(participant.asked);
    participant.asked = null;
  }

  #goOn(participant) {
    participant.call?.close();
    participant.call = participant.previous;
    participant.previous = null;
    this.#ui.changed(participant);
  }

  #callChanged(participant) {
    const { call, previous } = participant;
    if (previous && (call?.connected || previous.pc.connectionState === "failed")) {
      participant.previous = null;
      previous.close();
    }
    if (!participant.call && !participant.previous && this.#adrift.has(participant.name)) {
      this.#remove(participant);
      return;
    }
    this.#ui.changed(participant);
  }

  #peerJoined(info) {
    if (this.#roster.has(info.id)) return;
    this.#roster.set(info.id, { info, polite: true });
    this.#call(this.#participant(info.id));
  }

  #setAway(id, away) {
    const entry = this.#roster.get(id);
    if (entry) entry.info = { ...entry.info, away };
    const participant = this.participants.get(id);
    if (!participant) return;
    participant.away = away;
    const waits = !participant.call && participant.asked === null;
    if (!away && waits && !participant.polite) this.#begin(participant);
    if (!away && participant.restartWhenBack) this.#restart(participant);
    this.#ui.changed(participant);
  }

  #restart(participant) {
    participant.restartWhenBack = participant.away;
    if (!participant.away) participant.call?.restartIce(this.#iceServers);
    this.#ui.changed(participant);
  }

  /** Give new servers and credentials to all calls. */
  #renew(iceServers) {
    this.#iceServers = iceServers;
    for (const { call } of this.participants.values()) call?.renew(iceServers);
  }

  #described(from, description) {
    let participant = this.participants.get(from);
    // An offer starts a new call after a `bye`, or from a participant that was away so far.
    if (!participant?.call && description.type === "offer" && this.#roster.has(from)) {
      participant = this.#participant(from);
      this.#stopAsking(participant);
      this.#call(participant);
    } else if (description.type === "offer" && participant && !participant.call.isMeant(description)) {
      // The participant has started a new call, because it did not get the answer in time.
      participant.previous?.close();
      participant.previous = participant.call;
      this.#call(participant);
    }
    this.#apply(participant, (call) => call.description(description));
  }

  async #apply(participant, use) {
    if (!participant?.call) return;
    try {
      await use(participant.call);
    } catch (error) {
      console.warn(`What ${participant.name} sent could not be applied: ${error.message}`);
    }
  }

  #heard(from, data) {
    const participant = this.participants.get(from);
    if (!participant) return;
    if (isObject(data?.goOn)) this.#askedToGoOn(participant, data.goOn);
    if (typeof data?.goesOn === "boolean") this.#answered(participant, data.goesOn);
    if (!isObject(data?.sending)) return;
    const { audio, video } = data.sending;
    participant.sending = { audio: audio !== false, video: video !== false };
    this.#ui.changed(participant);
  }

  #announceTo(participant) {
    this.#say(participant, { sending: this.#media.sending });
  }

  #say({ id }, data) {
    this.#signaling.send({ type: "message", to: id, data });
  }

  /** After a resume, update the participants that came, left or were away in the meantime. */
  #resumed(peers) {
    const present = new Set(peers.map(({ id }) => id));
    for (const participant of [...this.participants.values()]) {
      if (present.has(participant.id)) continue;
      this.#roster.delete(participant.id);
      this.#remove(participant);
    }
    for (const info of peers) {
      // A participant that is new after a resume joined after this page.
      if (!this.#roster.has(info.id)) this.#peerJoined(info);
      this.#setAway(info.id, Boolean(info.away));
    }
  }

  /**
   * Handle the loss of all seats, for example after a restart of the server. The connections of the
   * calls still work, so the calls continue until their participants have joined again.
   */
  #setAdrift() {
    this.#roster.clear();
    for (const participant of this.participants.values()) {
      this.#stopAsking(participant);
      if (participant.call?.connected) {
        participant.previous?.close();
        participant.previous = participant.call;
      } else {
        participant.call?.close();
      }
      participant.call = null;
      participant.away = true;
      if (participant.previous) this.#adrift.set(participant.name, participant);
      else this.#ui.gone(participant);
    }
    this.participants.clear();
    for (const participant of this.#adrift.values()) this.#ui.changed(participant);
  }

  #remove(participant) {
    if (!participant) return;
    this.#stopAsking(participant);
    participant.call?.close();
    participant.previous?.close();
    participant.call = participant.previous = null;
    this.participants.delete(participant.id);
    if (this.#adrift.get(participant.name) === participant) this.#adrift.delete(participant.name);
    this.#ui.gone(participant);
  }
}

function isObject(value) {
  return typeof value === "object" && value !== null;
}
