// The screens and steps of sending, from the code to the end.

import { makeCode } from "./code.js";
import { Flow } from "./flow.js";
import { sizeWords } from "./rate.js";
import { sendFiles } from "./transfer.js";
import { element, show, showCode, showList, showMark } from "./view.js";

const LOCAL = ["localhost", "127.0.0.1", "[::1]"];

export class SendFlow extends Flow {
  #files;

  /** @param {{path: string, file: File}[]} files the files to send */
  constructor(url, code, files, on) {
    super(url, code, "sender", on);
    this.#files = files;
    this.url = url;
    for (const [id, text] of [
      ["copy-link", () => this.#link],
      ["copy-code", () => this.code],
    ]) {
      element(id).onclick = () => copy(element(id), text());
    }
  }

  get #link() {
    const link = new URL(location.href);
    link.hash = this.code;
    return link.href;
  }

  get #size() {
    return this.#files.reduce((sum, { file }) => sum + file.size, 0);
  }

  get #summary() {
    const count = this.#files.length;
    const what = count === 1 ? `“${this.#files[0].path}”` : `${count} files`;
    return `${what}, ${sizeWords(this.#size)}`;
  }

  get #listed() {
    return this.#files.map(({ path, file }) => ({ name: path, size: file.size }));
  }

  showWaiting(error = null) {
    const words = {
      connecting: "Reaching the server…",
      unreachable: "The server does not answer yet; trying again…",
      reconnecting: "Lost the server; reconnecting…",
    };
    const waiting = error
      ? "The connection broke. Waiting for the other side to come back…"
      : "Waiting for the other side…";
    const content = {
      title: "Give this code to the other side",
      lead: words[this.meeting?.state ?? "connecting"] ?? waiting,
      busy: true,
      actions: ["cancel"],
    };
    show("waiting", content);
    const command = `icefloe receive ${this.code} --server ${this.url.href}`;
    showCode(this.code, this.#link, command, LOCAL.includes(location.hostname));
    showList(this.#listed);
  }

  /** Another sender is in the room of this code: make a new code. */
  taken() {
    this.meeting.close();
    this.code = makeCode();
    this.start();
  }

  async attempt(link) {
    show("connecting", {
      title: "The other side is here",
      lead: "Connecting…",
      busy: true,
      actions: ["cancel"],
    });
    showList(this.#listed);
    const channel = await link.channel();
    await channel.opened();
    this.hasSession = true;
    show("connecting", {
      title: "The other side is here",
      lead: "Waiting until it takes the files…",
      busy: true,
      actions: ["cancel"],
    });
    showList(this.#listed);
    const limit = link.pc.sctp?.maxMessageSize || Infinity;
    await sendFiles(channel, this.#files, limit, this.stopping.signal, (machine) => {
      if (machine.state === "offering" || this.hasEnded) return;
      if (!this.isBusy) this.began("Sending", this.#summary);
      this.#progress(machine);
    });
    this.#showDone();
    this.succeed();
  }

  #progress(machine) {
    this.progress({
      done: machine.acknowledged,
      resumed: machine.resumed,
      total: machine.size,
      name: this.#files[machine.index].path,
    });
  }

  #showDone() {
    const lead = `${this.#summary}. The other side has verified it.`;
    show("done", { title: "Sent", lead, actions: ["again"] });
    showMark("#icon-done");
    showList(this.#listed);
  }
}

async function copy(button, text) {
  const words = button.querySelector("span");
  const before = (button.dataset.words ??= words.textContent);
  words.textContent = (await toClipboard(text)) ? "Copied" : "Copy it by hand";
  element("ways").open ||= words.textContent !== "Copied";
  setTimeout(() => (words.textContent = before), 2500);
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without https this is the only way to the clipboard.
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const isCopied = document.execCommand("copy");
    field.remove();
    return isCopied;
  }
}
