// The call page: connects its parts, and handles the actions of the user.

import { Chat } from "./chat.js";
import { join, selectedPair } from "./icefloe.js";
import { Media } from "./media.js";
import { Panel } from "./panel.js";
import { People } from "./people.js";
import { Tiles } from "./tiles.js";
import { element, View } from "./view.js";
import { otherName, randomName, refusalWords } from "./words.js";

const NAME_KEY = "icefloe.name";

class App {
  /** Ends joining; null while the page is neither in a room nor on the way to one. */
  #joining = null;
  #state = "closed";
  #there = { room: "", name: "" };

  constructor() {
    this.chat = new Chat(
      {
        log: element("chat-log"),
        form: element("chat-form"),
        input: element("chat-input"),
        send: element("chat-send"),
        commands: element("chat-commands"),
        badge: element("chat-badge"),
        toggle: element("chat-toggle"),
      },
      { send: (text) => this.people.chat(text) },
    );
    this.view = new View((open) => (this.chat.open = open.includes("chat")));
    this.media = new Media({
      track: (track) => this.#trackChanged(track),
      devices: () => this.#devicesChanged(),
    });
    this.people = new People(this.media, this.#peopleEvents());
    this.tiles = new Tiles({
      area: element("tiles-area"),
      container: element("tiles"),
      template: element("tile-template"),
      alone: element("alone"),
    });
    this.panel = new Panel(
      this.people,
      {
        list: element("connections"),
        template: element("connection-template"),
        empty: element("panel-empty"),
      },
      (participant, pair) => this.tiles.path(participant, pair),
    );
    this.#fillForm();
    this.#listen();
    this.view.show("join");
    this.#showOwn();
    this.media.open();
  }

  get state() {
    return this.#state;
  }

  #fillForm() {
    const room = new URLSearchParams(location.search).get("room");
    element("room").value = room?.trim() || "lobby";
    element("name").value = remembered() || randomName();
    this.media.name = element("name").value;
  }

  #listen() {
    element("join-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#join();
    });
    element("name").addEventListener("input", ({ target }) => (this.media.name = target.value));
    element("cancel").addEventListener("click", () => this.#leave("", "Ready to join?", "Join"));
    element("hangup").addEventListener("click", () => this.#hangUp());
    element("devices-again").addEventListener("click", () => this.media.open());
    element("mute").addEventListener("click", () => this.#toggle("audio"));
    element("camera").addEventListener("click", () => this.#toggle("video"));
    element("invite").addEventListener("click", () => this.#copyLink());
    addEventListener("pagehide", () => {
      if (this.#joining) this.#hangUp();
    });
  }

  async #join() {
    const room = element("room").value.trim();
    const name = element("name").value.trim();
    if (!room || !name || this.#joining) return;
    this.#there = { room, name };
    this.media.name = name;
    // Joining must not ask for permission a second time.
    if (!this.media.isOpen) this.media.open();
    // Browsers allow audio, including the tone, because of the click that joins.
    this.media.tracks();
    // The token is in the fragment, which browsers do not send to servers.
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    const joining = (this.#joining = new AbortController());
    const { signal } = joining;
    const onState = (state) => {
      if (this.#joining === joining) this.#stateChanged(state);
    };
    try {
      const options = { room, name, token, rename: false, retry: true, signal, onState };
      const joined = await join("ws", options);
      if (this.#joining !== joining) return;
      this.#joined();
      this.people.attend(joined);
    } catch (error) {
      if (this.#joining === joining) this.#refused(error);
    }
  }

  #joined() {
    remember(this.#there.name);
    const link = new URL(location.href);
    link.search = new URLSearchParams({ room: this.#there.room });
    history.replaceState(null, "", link);
    link.hash = "";
    element("link").textContent = link.href;
    element("room-name").textContent = this.#there.room;
    document.title = `${this.#there.room} · icefloe`;
    this.chat.clear();
    this.chat.possible = false;
    this.view.show("call");
    this.panel.start();
    this.#showCount();
  }

  #stateChanged(state) {
    this.#state = state;
    const { room } = this.#there;
    if (state === "connecting") {
      this.view.joinForm({ button: "Joining…", busy: true });
      this.view.status(`Joining “${room}”…`, "busy");
    } else if (state === "unreachable") {
      this.view.status("The server does not answer yet; trying again…", "busy");
    } else if (state === "reconnecting") {
      this.view.status("Server out of reach, calls go on; reconnecting…", "busy");
    } else if (state === "joined") {
      this.#showCount();
    }
  }

  #showCount() {
    const count = this.people.everybody.length;
    const others = count === 1 ? "1 other here" : `${count} others here`;
    if (this.state === "joined") this.view.status(count ? others : "Only you so far");
  }

  #refused(error) {
    const words = refusalWords(error, this.#there);
    this.#leave(words, "Ready to join?", "Join", "error");
    if (error.code === "name-taken") {
      element("name").value = this.media.name = otherName(this.#there.name);
      element("name").select();
    }
  }

  #hangUp() {
    this.#leave(`You left “${this.#there.room}”.`, "Join again?", "Join again");
    this.media.close();
    this.view.ownPicture(null);
    this.#devicesChanged();
    element("join").focus();
  }

  #leave(words, title, button, kind = "info") {
    this.#joining?.abort();
    this.#joining = null;
    this.#state = "closed";
    this.people.leave();
    this.panel.stop();
    document.title = "icefloe";
    this.view.show("join");
    this.view.joinForm({ title, button, busy: false });
    this.view.status(words, kind);
  }

  #toggle(kind) {
    this.media.setSending(kind, !this.media.sending[kind]);
    this.people.announceSending();
    this.#showOwn();
  }

  #trackChanged(track) {
    if (track.kind === "video") this.view.ownPicture(track);
    this.people.replaceTrack(track).catch((error) => {
      console.warn(`A call goes on without the new ${track.kind}: ${error.message}`);
    });
    this.#showOwn();
  }

  #devicesChanged() {
    this.view.devices(this.media.missing);
    this.#showOwn();
  }

  #showOwn() {
    const open = element("local-video").srcObject !== null;
    this.view.own(this.media, element("name").value, open);
  }

  async #copyLink() {
    const words = element("invite-words");
    try {
      await navigator.clipboard.writeText(element("link").textContent);
      words.textContent = "Copied";
    } catch {
      // There is no clipboard without https; the address bar has the same link.
      words.textContent = "Copy the address above";
    }
    setTimeout(() => (words.textContent = "Copy link"), 2500);
  }

  #peopleEvents() {
    return {
      came: ({ name }) => this.chat.note(`${name} is here`),
      changed: (participant) => {
        this.tiles.update(participant);
        this.#showCount();
      },
      gone: (participant) => {
        this.tiles.remove(participant);
        this.chat.forget(participant.name);
        this.chat.note(`${participant.name} left`);
        this.chat.possible = this.people.canChat;
        this.#showCount();
      },
      chat: (participant, text) => this.chat.received(participant.name, text),
      chatOpen: () => (this.chat.possible = this.people.canChat),
      input: (participant, channel) => this.tiles.input(participant, channel),
      problem: ({ code, message }) => {
        // The participant has just left: its tile is removed anyway.
        if (code !== "peer-unavailable") this.view.status(`The server says: ${message}`, "error");
      },
      lost: (error) => this.#refused(error),
    };
  }
}

function remembered() {
  try {
    return localStorage.getItem(NAME_KEY);
  } catch {
    return null; // storage is disabled
  }
}

function remember(name) {
  try {
    localStorage.setItem(NAME_KEY, name);
  } catch {
    // Storage is disabled; next time the name is a new random one.
  }
}

const app = new App();

/**
 * The interface for tests; nothing else on this page is global.
 * `id` of this page's seat or null; `state` of the signaling connection; `peers`, a Map from the
 * id of each participant to `{name, pc, state, away, polite, sending, selectedPair()}`, where
 * `pc` is the RTCPeerConnection or null, `state` its connectionState, and `selectedPair()`
 * resolves to `{local, remote, relayed, rtt}` or null, with `rtt` in milliseconds.
 */
window.icefloe = {
  get id() {
    return app.people.id;
  },
  get state() {
    return app.state;
  },
  get peers() {
    return new Map(app.people.everybody.map((participant) => [participant.id, peer(participant)]));
  },
};

function peer(participant) {
  const { name, pc, state, away, polite, sending } = participant;
  const pair = async () => (pc ? selectedPair(await pc.getStats()) : null);
  return { name, pc, state, away, polite, sending, selectedPair: pair };
}
