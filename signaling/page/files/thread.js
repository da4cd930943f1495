// A worker that does one thing at a time, in order, and answers.

import { TransferError } from "./errors.js";

/** The page's end. */
export class Thread {
  #worker;
  #calls = new Map();
  #number = 0;

  /** @param {string} module of the worker, beside this file */
  constructor(module) {
    this.#worker = new Worker(new URL(module, import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#answered(data);
    this.#worker.onerror = () => this.#lost("a worker of this page could not be run");
  }

  /**
   * @param {string} name what to do
   * @param {object} argument what with
   * @param {Transferable[]} transfer what of it is given away
   * @returns {Promise} of the answer
   * @throws {TransferError} as the worker raised it
   */
  call(name, argument = {}, transfer = []) {
    this.#number += 1;
    const { promise, resolve, reject } = Promise.withResolvers();
    this.#calls.set(this.#number, { resolve, reject });
    this.#worker.postMessage({ number: this.#number, name, argument }, transfer);
    return promise;
  }

  close() {
    this.#worker.terminate();
    this.#lost("the worker was ended");
  }

  #answered({ number, answer, error }) {
    const call = this.#calls.get(number);
    this.#calls.delete(number);
    if (error) call?.reject(new TransferError("failed", error.detail, error));
    else call?.resolve(answer);
  }

  #lost(detail) {
    for (const { reject } of this.#calls.values()) {
      reject(new TransferError("failed", detail, { code: "unwritable" }));
    }
    this.#calls.clear();
  }
}

/**
 * The worker's end.
 *
 * @param {Object<string, Function>} handlers by name; each gets the argument, and returns the answer,
 *   or `[answer, transfer]` to give a part of it away
 * @param {(error: Error) => TransferError} translate what a handler raised
 */
export function serve(handlers, translate) {
  let last = Promise.resolve();
  addEventListener("message", ({ data: { number, name, argument } }) => {
    last = last.then(async () => {
      try {
        const answer = await handlers[name](argument);
        if (Array.isArray(answer)) postMessage({ number, answer: answer[0] }, answer[1]);
        else postMessage({ number, answer });
      } catch (raised) {
        const { detail, code, path } = raised instanceof TransferError ? raised : translate(raised);
        postMessage({ number, error: { detail, code, path } });
      }
    });
  });
}
