// A file that is being sent: read ahead in a worker, and divided into messages here.

import { Thread } from "./thread.js";

export class Source {
  #thread = new Thread("./source-worker.js");
  #ahead = null;
  #chunk = new Uint8Array(0);
  #at = 0;
  #digest = null;

  /**
   * Open a file.
   *
   * @param {File} file
   * @param {?{size: number, hash: string}} kept the part that the receiver has kept
   * @returns {Promise<boolean>} whether that part is valid; reading then continues after it
   */
  async open(file, kept) {
    const isRight = await this.#thread.call("open", { file, kept });
    this.#chunk = new Uint8Array(0);
    this.#at = 0;
    this.#digest = null;
    this.#readAhead();
    return isRight;
  }

  /**
   * @param {number} size the largest number of bytes
   * @returns {Promise<{data: Uint8Array, digest: ?string}>} `digest` is the hash of the file if
   *   these are its last bytes
   */
  async read(size) {
    if (this.#at === this.#chunk.length) {
      const { data, digest } = await this.#ahead;
      this.#chunk = data;
      this.#at = 0;
      this.#digest = digest;
      if (digest === null) this.#readAhead();
    }
    const data = this.#chunk.subarray(this.#at, this.#at + size);
    this.#at += data.length;
    return { data, digest: this.#at === this.#chunk.length ? this.#digest : null };
  }

  close() {
    this.#thread.close();
  }

  #readAhead() {
    this.#ahead = this.#thread.call("read");
    this.#ahead.catch(() => {}); // read() throws it
  }
}
