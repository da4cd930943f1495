// The connection panel: states, candidates and statistics of each call, updated once a second.

import { bitrateWords, pairWords, StatsReader } from "./stats.js";

const EVERY_MS = 1000;

export class Panel {
  #people;
  #list;
  #template;
  #empty;
  #onPath;
  #sections = new Map();
  #timer = 0;

  /**
   * @param {People} people
   * @param {HTMLElement} list the parent of the sections
   * @param {HTMLTemplateElement} template the template of one section
   * @param {HTMLElement} empty shown if there are no participants
   * @param {(participant, ?object) => void} onPath called with each participant's selected pair
   */
  constructor(people, { list, template, empty }, onPath) {
    this.#people = people;
    this.#list = list;
    this.#template = template;
    this.#empty = empty;
    this.#onPath = onPath;
  }

  start() {
    this.#timer = setInterval(() => this.update(), EVERY_MS);
    this.update();
  }

  stop() {
    clearInterval(this.#timer);
    for (const section of this.#sections.values()) section.root.remove();
    this.#sections.clear();
  }

  update() {
    const present = new Set(this.#people.everybody);
    for (const [participant, section] of this.#sections) {
      if (present.has(participant)) continue;
      section.root.remove();
      this.#sections.delete(participant);
    }
    for (const participant of present) this.#updateOne(participant);
    this.#empty.hidden = present.size > 0;
  }

  async #updateOne(participant) {
    let section = this.#sections.get(participant);
    if (!section) {
      section = new Section(participant, this.#template);
      this.#sections.set(participant, section);
      this.#list.append(section.root);
    }
    const pair = await section.update();
    if (this.#sections.get(participant) === section) this.#onPath(participant, pair);
  }
}

/** The section of the panel for one participant. */
class Section {
  #participant;
  #parts;
  #call = null;
  #reader = null;
  #drawn = { local: 0, remote: 0 };

  constructor(participant, template) {
    this.#participant = participant;
    this.root = template.content.firstElementChild.cloneNode(true);
    this.root.dataset.peerName = participant.name;
    this.#parts = Object.fromEntries(
      [...this.root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]),
    );
    this.#say("name", participant.name);
  }

  /** Show the current state; return the selected candidate pair or null. */
  async update() {
    const call = this.#participant.live;
    if (call !== this.#call) this.#begin(call);
    if (!call) return null;
    const pc = call.connection;
    this.#say("connection", pc.connectionState);
    this.#say("ice", pc.iceConnectionState);
    this.#say("gathering", pc.iceGatheringState);
    this.#candidates(this.#participant.candidates);
    if (pc.signalingState === "closed") return null;
    const { pair, inbound, outbound } = await this.#reader.read(pc);
    if (call !== this.#call) return null;
    this.#say("pair", pair ? pairWords(pair) : "none yet");
    this.#say("path", pair ? (pair.relayed ? "relayed" : "direct") : "no path yet");
    this.#parts.path.dataset.path = pair ? (pair.relayed ? "relayed" : "direct") : "none";
    this.#say("rtt", pair?.rtt == null ? "–" : `${pair.rtt} ms`);
    this.#flow("in", inbound);
    this.#flow("out", outbound);
    if (pair?.available && outbound.bitrate !== null) {
      const possible = bitrateWords(pair.available);
      this.#say("out-rate", `${bitrateWords(outbound.bitrate)} of ${possible} possible`);
    }
    return pair;
  }

  #begin(call) {
    this.#call = call;
    this.#reader = new StatsReader();
    this.#drawn = { local: 0, remote: 0 };
    for (const part of ["local", "remote", "errors"]) this.#parts[part].replaceChildren();
    if (!call) this.#say("connection", this.#participant.away ? "away" : "new");
  }

  #flow(way, { bitrate, video, audio }) {
    this.#say(`${way}-rate`, bitrateWords(bitrate));
    this.#say(`${way}-video`, video ?? "–");
    this.#say(`${way}-audio`, audio ?? "–");
  }

  #candidates(log) {
    for (const side of ["local", "remote"]) {
      const entries = log.sides[side];
      const total = entries.length + log.omitted[side];
      if (total !== this.#drawn[side]) {
        this.#drawn[side] = total;
        this.#parts[side].replaceChildren(...entries.map(row));
      }
      const omitted = log.omitted[side] ? `, and ${log.omitted[side]} before` : "";
      const ended = log.ended[side] === null ? "" : `, complete after ${log.ended[side]} ms`;
      this.#say(`${side}-count`, `${entries.length}${omitted}${ended}`);
    }
    for (const { url, reason, at } of log.errors.slice(this.#parts.errors.children.length)) {
      const item = document.createElement("li");
      item.textContent = `${url}: ${reason} (${at} ms)`;
      this.#parts.errors.append(item);
    }
  }

  #say(part, text) {
    const element = this.#parts[part];
    if (element.textContent !== text) element.textContent = text;
  }
}

function row({ type, protocol, address, at }) {
  const tr = document.createElement("tr");
  for (const text of [type, protocol, address, `${at} ms`]) tr.insertCell().textContent = text;
  return tr;
}
