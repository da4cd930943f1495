// A work queue with at most one item per participant.

/**
 * Each item runs in a task of its own, so that the page stays responsive. There is at most one item
 * per participant and a room has few, so that no item waits for long.
 */
export class Turns {
  #waiting = new Map();
  // Not a timer: timers of background pages run only once a second.
  #channel = new MessageChannel();

  constructor() {
    this.#channel.port1.onmessage = () => this.#next();
  }

  /**
   * @param {string} id the participant; an item of the same participant is replaced in its place
   * @param {Function} work
   */
  add(id, work) {
    this.#waiting.set(id, work);
    if (this.#waiting.size === 1) this.#channel.port2.postMessage(null);
  }

  /** Remove the item of a participant. */
  drop(id) {
    this.#waiting.delete(id);
  }

  /** Remove all items and stop. */
  close() {
    this.#waiting.clear();
    this.#channel.port1.close();
  }

  #next() {
    const [first] = this.#waiting;
    if (first === undefined) return;
    const [id, work] = first;
    this.#waiting.delete(id);
    if (this.#waiting.size > 0) this.#channel.port2.postMessage(null);
    work();
  }
}
