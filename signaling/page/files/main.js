// The page for file transfers: handles the actions of the user, and starts transfers.

import { makeCode, parseCode } from "./code.js";
import { TransferError } from "./errors.js";
import { ReceiveFlow } from "./receiving.js";
import { SendFlow } from "./sending.js";
import { chosenFiles, droppedFiles } from "./sources.js";
import { Storage } from "./storage.js";
import { takeToken } from "./token.js";
import { element, show, showDetail, showMark, showStart } from "./view.js";
import { errorWords } from "./words.js";

class App {
  #flow = null;
  #last = null;

  constructor() {
    element("choose-files").addEventListener("click", () => element("file-input").click());
    element("choose-folder").addEventListener("click", () => element("folder-input").click());
    for (const id of ["file-input", "folder-input"]) {
      element(id).addEventListener("change", ({ target }) => {
        this.#send(chosenFiles(target.files));
        target.value = "";
      });
    }
    element("receive-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#receive(element("code-input").value);
    });
    element("cancel").addEventListener("click", () => this.#flow?.cancel());
    element("again").addEventListener("click", () => {
      this.#last?.release();
      element("code-input").value = "";
      showStart();
    });
    // Folders cannot be chosen on phones.
    element("choose-folder").hidden = matchMedia("(pointer: coarse)").matches;
    if (matchMedia("(pointer: coarse)").matches) {
      element("drop-words").textContent = "Choose what to send.";
    }
    this.#takeDrops();
    addEventListener("hashchange", () => this.#followLink());
    addEventListener("beforeunload", (event) => {
      if (this.#flow?.isBusy) event.preventDefault();
    });
    addEventListener("pagehide", () => this.#flow?.close());
    Storage.clean().catch((error) => console.info(`Nothing was cleaned up: ${error.message}`));
    showStart();
    this.#followLink();
  }

  /** The current screen, for tests: "start" or one of those of `show()`. */
  get state() {
    return document.body.dataset.screen;
  }

  #takeDrops() {
    const drop = element("drop");
    const isFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
    addEventListener("dragover", (event) => {
      if (!isFiles(event)) return;
      event.preventDefault(); // otherwise the browser opens the dropped file
      const isTaken = this.#flow === null;
      event.dataTransfer.dropEffect = isTaken ? "copy" : "none";
      drop.classList.toggle("over", isTaken);
    });
    for (const name of ["dragleave", "drop"]) {
      addEventListener(name, () => drop.classList.remove("over"));
    }
    addEventListener("drop", async (event) => {
      if (!isFiles(event)) return;
      event.preventDefault();
      if (this.#flow === null) this.#send(await droppedFiles(event.dataTransfer));
    });
  }

  /** Receive with the code in the fragment, which browsers do not send to servers. */
  #followLink() {
    const fragment = decodeURIComponent(location.hash.slice(1));
    if (fragment === "" || this.#flow !== null) return;
    // Code and token are secrets and must not stay in the browser history.
    history.replaceState(null, "", location.pathname + location.search);
    const text = takeToken(fragment);
    if (text === "") return;
    element("code-input").value = text;
    this.#receive(text);
  }

  #send(files) {
    if (files.length === 0 || this.#flow !== null) return;
    this.#begin(new SendFlow(socketUrl(), makeCode(), files, this.#events()));
  }

  #receive(text) {
    if (this.#flow !== null) return;
    let code;
    try {
      code = parseCode(text);
    } catch (error) {
      if (!(error instanceof TransferError)) throw error;
      showStart(errorWords(error).text);
      element("code-input").focus();
      return;
    }
    this.#begin(new ReceiveFlow(socketUrl(), code, this.#events()));
  }

  #begin(flow) {
    this.#flow = this.#last = flow;
    flow.start();
  }

  #events() {
    return {
      ended: () => (this.#flow = null),
      failed: (error) => {
        const { title, text, detail } = errorWords(error);
        show("error", { title, lead: text, actions: ["again"] });
        showMark("#icon-error");
        showDetail(detail);
      },
    };
  }
}

function socketUrl() {
  const url = new URL("ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  return url;
}

const app = new App();

/** The interface for tests; nothing else on this page is global. */
window.icefloe = {
  get state() {
    return app.state;
  },
};
