// Does what others ask for one at a time, in the order in which they asked.

/**
 * Each piece of work is a task of its own, so that the page stays alive between them. There is one
 * for each participant at most, and a room has few, so that nobody waits for long.
 */
export class Turns {
  #waiting = new Map();
  // Timers of a page that is not looked at come once a second.
  #channel = new MessageChannel();

  constructor() {
    this.#channel.port1.onmessage = () => this.#next();
  }

  /**
   * @param {string} id for whom; what waits for the same one is replaced, and keeps its place
   * @param {Function} work
   */
  add(id, work) {
    this.#waiting.set(id, work);
    if (this.#waiting.size === 1) this.#channel.port2.postMessage(null);
  }

  /** Do no longer what waits for somebody. */
  drop(id) {
    this.#waiting.delete(id);
  }

  /** Do nothing any more. */
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
