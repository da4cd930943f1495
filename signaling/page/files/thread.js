// Calls to a worker, which processes them one at a time, in order.

import { TransferError } from "./errors.js";

/** The side of the page. */
export class Thread {
  #worker;
  #calls = new Map();
  #number = 0;

  /** @param {string} module the module of the worker, relative to this file */
  constructor(module) {
    this.#worker = new Worker(new URL(module, import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#answered(data);
    this.#worker.onerror = () => this.#lost("a worker of this page could not be run");
  }

  /**
   * @param {string} name the name of the handler
   * @param {object} argument its argument
   * @param {Transferable[]} transfer the objects in the argument that are transferred
   * @returns {Promise} the result of the handler
   * @throws {TransferError} the error of the handler
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
 * The side of the worker.
 *
 * @param {Object<string, Function>} handlers by name; each gets the argument and returns the
 *   result, or `[result, transfer]` to transfer objects in it
 * @param {(error: Error) => TransferError} translate converts other errors of handlers
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
