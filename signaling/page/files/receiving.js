// The screens and steps of receiving, from the code to the end.

import { Destination, way } from "./destination.js";
import { TransferError } from "./errors.js";
import { Flow } from "./flow.js";
import { sizeWords } from "./rate.js";
import { Offer } from "./transfer.js";
import { element, show, showList, showMark } from "./view.js";

/** The time without a sender after which the page shows possible causes. */
const PATIENCE_MS = 8000;
/** The number of files saved without a click; browsers ask the user about further ones. */
const SAVED_AT_ONCE = 1;

const WAYS = {
  file: "You choose where it goes.",
  folder: "You choose the folder they go to.",
  stored: "The browser saves what arrives as downloads.",
  held: "The browser holds what arrives until it is complete, 1 GB at most, then saves it as downloads.",
};

export class ReceiveFlow extends Flow {
  #destination = null;
  #isLate = false;
  #isSenderBusy = false;
  #late = 0;
  #urls = [];

  constructor(url, code, on) {
    super(url, code, "receiver", on);
    this.#late = setTimeout(() => {
      this.#isLate = true;
      if (document.body.dataset.screen === "waiting" && !this.hasEnded) this.showWaiting();
    }, PATIENCE_MS);
  }

  showWaiting(error = null) {
    const words = {
      connecting: "Reaching the server…",
      unreachable: "The server does not answer yet; trying again…",
      reconnecting: "Lost the server; reconnecting…",
    };
    if (error) this.#isSenderBusy = error.kind === "busy";
    let lead = words[this.meeting?.state ?? "connecting"];
    if (!lead && this.#isSenderBusy) {
      lead = "The sender is sending to another receiver with this code. Waiting for it to be free…";
    }
    if (!lead && error) lead = "The connection broke. Waiting for the sender to come back…";
    if (!lead && this.meeting.isSomebodyHere) lead = "Comparing codes…";
    if (!lead && this.#isLate) {
      lead = "Nobody offers files under this code yet. Is the sender still there, with this server?";
    }
    show("waiting", {
      title: `Looking for ${this.code}`,
      lead: lead ?? "Waiting for the sender…",
      busy: true,
      actions: ["cancel"],
    });
  }

  close() {
    clearTimeout(this.#late);
    super.close();
  }

  /** Free the received files; downloads that have begun continue. */
  release() {
    for (const url of this.#urls.splice(0)) URL.revokeObjectURL(url);
  }

  async cancel() {
    await super.cancel();
    await this.#destination?.discard();
  }

  async fail(error) {
    await super.fail(error);
    await this.#destination?.discard();
  }

  async attempt(link) {
    // Repeated requests to a busy sender are not shown.
    if (!this.#isSenderBusy) {
      show("connecting", {
        title: "The sender is here",
        lead: "Connecting…",
        busy: true,
        actions: ["cancel"],
      });
    }
    const offer = await Offer.read(await link.channel());
    this.#isSenderBusy = false;
    if (this.#destination && !this.#destination.isFor(offer.entries)) {
      await this.#destination.discard();
      this.#destination = null;
    }
    try {
      this.#destination ??= await this.#ask(offer);
    } catch (error) {
      if (error.kind === "failed") await offer.fail(error);
      throw error;
    }
    if (this.hasEnded) return;
    this.hasSession = true;
    this.began("Receiving", summary(offer));
    await offer.accept(this.#destination, this.stopping.signal, (machine) => {
      if (this.hasEnded) return;
      this.progress({
        done: machine.writtenBytes,
        resumed: machine.resumed,
        total: offer.size,
        name: offer.entries[machine.index]?.path ?? "",
      });
    });
    this.#showDone(offer);
    this.#destination.release();
    this.succeed();
  }

  /** Ask the user whether to accept; ends early if the sender withdraws the offer. */
  async #ask(offer) {
    const { promise, resolve, reject } = Promise.withResolvers();
    show("offer", {
      title: "Do you want these files?",
      lead: `${summary(offer)}. ${WAYS[way(offer.entries)]}`,
      actions: ["accept", "decline"],
    });
    showList(offer.entries.map(({ path, size, folder }) => ({ name: path, size, folder })));
    element("accept").focus({ preventScroll: true });
    element("accept").onclick = async () => {
      try {
        const chosen = await Destination.choose(offer.entries);
        if (chosen !== null) resolve(chosen);
      } catch (error) {
        reject(error);
      }
    };
    element("decline").onclick = async () => {
      element("decline").disabled = element("accept").disabled = true;
      await offer.decline("the person there said no");
      reject(new TransferError("declined"));
    };
    offer.withdrawn().catch(reject);
    try {
      return await promise;
    } finally {
      element("decline").disabled = element("accept").disabled = false;
    }
  }

  #showDone(offer) {
    const { files, isDownload } = this.#destination;
    const listed = files.map((file) => ({ ...file, href: this.#hrefOf(file.blob) }));
    const isMany = isDownload && files.length > SAVED_AT_ONCE;
    show("done", {
      title: "Received",
      lead: `${summary(offer)}, verified.${isMany ? " Save what you want to keep." : ""}`,
      actions: isMany ? ["save-all", "again"] : ["again"],
    });
    showMark("#icon-done");
    showList(listed);
    const links = () => element("list").querySelectorAll("a");
    element("save-all").onclick = () => links().forEach((link) => link.click());
    if (isDownload && !isMany) links().forEach((link) => link.click());
  }

  #hrefOf(blob) {
    if (!blob) return undefined;
    const url = URL.createObjectURL(blob);
    this.#urls.push(url);
    return url;
  }
}

function summary({ entries, size }) {
  const files = entries.filter(({ folder }) => !folder).length;
  const what = entries.length === 1 ? `“${entries[0].path}”` : files === 1 ? "1 file" : `${files} files`;
  return size === null ? what : `${what}, ${sizeWords(size)}`;
}
