// The base class of sending and receiving: the rendezvous, attempts until one succeeds, the end.

import { TransferError } from "./errors.js";
import { Meeting } from "./meeting.js";
import { Rate } from "./rate.js";
import { element, show, showPath, showProgress } from "./view.js";

const SHOW_EVERY_MS = 200;
/** The time that the last messages of a transfer may take. */
const FAREWELL_MS = 5000;

export class Flow {
  #url;
  #on;
  #attempt = Promise.resolve();
  #link = null;
  #rate = new Rate();
  #shownAt = -Infinity;
  #wakeLock = null;
  #summary = "";
  #hasEnded = false;

  /** Stops the current attempt. */
  stopping = new AbortController();
  meeting = null;

  /**
   * @param {URL} url the URL of the signaling WebSocket
   * @param {string} code
   * @param {"sender"|"receiver"} side
   * @param {{ended: () => void, failed: (error: TransferError) => void}} on
   */
  constructor(url, code, side, on) {
    this.#url = url;
    this.code = code;
    this.side = side;
    this.#on = on;
  }

  /** Whether files are being transferred. */
  isBusy = false;
  /** Whether a transfer was begun with the remote peer, which must be told of its end. */
  hasSession = false;

  get hasEnded() {
    return this.#hasEnded;
  }

  start() {
    this.meeting = new Meeting(this.#url, this.code, this.side, {
      paired: (link) => this.#paired(link),
      isBusy: () => this.#link !== null,
      busy: () => this.#busy(),
      changed: () => {
        // Also called from within the constructor.
        if (this.meeting !== null && !this.#hasEnded && this.#link === null) this.showWaiting();
      },
      failed: (error) => this.fail(error),
      taken: () => this.taken(),
    });
    this.showWaiting();
  }

  /** Stop, on behalf of the user. */
  async cancel() {
    if (this.#hasEnded) return;
    this.#finish();
    this.stopping.abort();
    this.#on.failed(new TransferError("failed", "", { code: "cancelled" }));
    this.#on.ended();
    const late = new Promise((done) => setTimeout(done, this.hasSession ? FAREWELL_MS : 0));
    await Promise.race([this.#attempt, late]);
    this.close();
  }

  async fail(error) {
    if (this.#hasEnded) return;
    this.#finish();
    this.stopping.abort();
    this.close();
    this.#on.failed(error);
    this.#on.ended();
  }

  /** End after success. */
  succeed() {
    this.#finish();
    this.close();
    this.#on.ended();
  }

  /** Close the connection and leave the room. Further calls have no effect. */
  close() {
    this.#wakeLock?.release();
    this.#wakeLock = null;
    this.#link?.close();
    this.meeting?.close();
  }

  /** Free the resources of the final screen. */
  release() {}

  /** Show the progress, at most every 200 ms. */
  progress({ done, resumed, total, name }) {
    if (this.#hasEnded) return;
    const now = performance.now();
    if (now - this.#shownAt < SHOW_EVERY_MS && done !== total) return;
    this.#shownAt = now;
    this.#rate.add(done - resumed, now);
    showProgress({ done, total, perSecond: this.#rate.perSecond, name });
    this.#link?.path().then((path) => this.#hasEnded || showPath(path), () => {});
  }

  /** Show that the transfer of files has begun. */
  began(title, summary) {
    this.#summary = summary;
    show("progress", { title, lead: summary, actions: ["cancel"] });
    this.isBusy = true;
    this.#rate = new Rate();
    this.#shownAt = -Infinity;
    element("path").hidden = true;
    // A sleeping phone stops the transfer. Not all browsers support the wake lock.
    navigator.wakeLock?.request("screen").then(
      (lock) => (this.#hasEnded ? lock.release() : (this.#wakeLock = lock)),
      () => {},
    );
  }

  /** The remote peer has come, for the first time or with a new connection. */
  #paired(link) {
    if (this.#hasEnded) return;
    this.#link?.close();
    this.#link = link;
    link.onstate = (state) => this.#stateChanged(state);
    const before = this.#attempt;
    this.#attempt = before.then(() => this.#try(link));
  }

  /** The sender is busy with another receiver. */
  #busy() {
    if (this.#hasEnded) return;
    this.#link = null;
    this.showWaiting(new TransferError("busy"));
  }

  #stateChanged(state) {
    if (!this.isBusy) return;
    const isBroken = state === "disconnected" || state === "failed";
    const lead = element("lead");
    lead.textContent = isBroken ? "Interrupted. Waiting for the other side…" : this.#summary;
    lead.dataset.kind = isBroken ? "busy" : "info";
  }

  async #try(link) {
    try {
      await this.attempt(link);
    } catch (error) {
      if (!(error instanceof TransferError)) throw error;
      if (this.#hasEnded || this.#link !== link) return;
      this.isBusy = false;
      if (error.kind === "broken" || (error.kind === "connection" && this.side === "sender")) {
        this.#link = null;
        this.showWaiting(error);
      } else {
        await this.fail(error);
      }
    } finally {
      this.hasSession = false;
      link.close();
    }
  }

  #finish() {
    this.#hasEnded = true;
    this.isBusy = false;
  }
}
