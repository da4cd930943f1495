// The chat: a log of plain text, an input field, and buttons for the commands that a bot announces.

const LOG_MOST = 500;
const TEXT_MOST = 20_000;
const COMMANDS_MOST = 24;

export class Chat {
  #parts;
  #on;
  #commands = new Map();
  #unread = 0;
  #open = false;

  /**
   * @param {object} parts elements: `log`, `form`, `input`, `send`, `commands`, `badge`, `toggle`
   * @param {{send: (text: string) => void}} on called with a message that the user has written
   */
  constructor(parts, on) {
    this.#parts = parts;
    this.#on = on;
    parts.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(parts.input.value);
    });
  }

  /** Enable or disable the input field: it is disabled while no participant has a chat. */
  set possible(possible) {
    const { input, send, commands } = this.#parts;
    input.disabled = send.disabled = !possible;
    for (const chip of commands.querySelectorAll("button")) chip.disabled = !possible;
    input.placeholder = possible ? "Write to everyone" : "Nobody to write to yet";
  }

  /** Whether the log is visible; messages that arrive while it is not count as unread. */
  set open(open) {
    this.#open = open;
    if (!open) return;
    this.#unread = 0;
    this.#showUnread();
    this.#parts.log.scrollTop = this.#parts.log.scrollHeight;
  }

  /** Show a message of a participant; a line "commands: a, b" becomes buttons. */
  received(name, text) {
    const shown = text.length > TEXT_MOST ? `${text.slice(0, TEXT_MOST)} …` : text;
    const lines = shown.split("\n");
    const announced = lines.find((line) => line.startsWith("commands:"));
    if (announced !== undefined) this.#announce(name, announced);
    const rest = lines.filter((line) => line !== announced).join("\n").trim();
    if (rest || announced === undefined) this.#append(name, rest);
    if (this.#open) return;
    this.#unread += 1;
    this.#showUnread();
  }

  /** Show a note of the page itself, such as that a participant has joined or left. */
  note(text) {
    const item = document.createElement("li");
    item.className = "note";
    item.textContent = text;
    this.#add(item);
  }

  /** Remove the commands of a participant that has left. */
  forget(name) {
    this.#commands.delete(name);
    this.#showCommands();
  }

  clear() {
    this.#parts.log.replaceChildren();
    this.#commands.clear();
    this.#showCommands();
    this.#unread = 0;
    this.#showUnread();
  }

  #submit(written) {
    const text = written.trim();
    if (!text) return;
    this.#on.send(text);
    this.#append("You", text, true);
    this.#parts.input.value = "";
  }

  #append(name, text, own = false) {
    const item = document.createElement("li");
    item.className = own ? "own" : "theirs";
    const author = document.createElement("span");
    author.className = "author";
    author.textContent = name;
    const body = document.createElement("p");
    // The direction of names and messages follows their script.
    author.dir = body.dir = "auto";
    body.textContent = text;
    item.append(author, body);
    this.#add(item);
  }

  #add(item) {
    const { log } = this.#parts;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    log.append(item);
    while (log.children.length > LOG_MOST) log.firstElementChild.remove();
    if (atEnd || item.className === "own") log.scrollTop = log.scrollHeight;
  }

  #announce(name, line) {
    const commands = line.slice("commands:".length).split(",").map((command) => command.trim());
    const some = [...new Set(commands)].filter((command) => command && command.length <= 60);
    this.#commands.set(name, some.slice(0, COMMANDS_MOST));
    this.#showCommands();
  }

  #showCommands() {
    const { commands } = this.#parts;
    commands.replaceChildren();
    for (const [name, list] of this.#commands) {
      if (list.length === 0) continue;
      const label = document.createElement("span");
      label.textContent = `Ask ${name}:`;
      const group = document.createElement("div");
      group.append(label, ...list.map((command) => this.#chip(command)));
      commands.append(group);
    }
    commands.hidden = commands.children.length === 0;
  }

  #chip(command) {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.className = "chip";
    chip.dataset.testid = "chat-command";
    chip.textContent = command;
    chip.disabled = this.#parts.input.disabled;
    chip.addEventListener("click", () => {
      // A command with a placeholder, such as "/say <text>", has to be completed by the user.
      if (!/<[^>]*>/.test(command)) {
        this.#submit(command);
        return;
      }
      this.#parts.input.value = command.replace(/<[^>]*>.*$/, "");
      this.#parts.input.focus();
    });
    return chip;
  }

  #showUnread() {
    const { badge, toggle } = this.#parts;
    badge.hidden = this.#unread === 0;
    badge.textContent = this.#unread > 99 ? "99+" : String(this.#unread);
    toggle.setAttribute("aria-label", this.#unread ? `Chat, ${this.#unread} unread` : "Chat");
  }
}
