// What can go wrong with a transfer, as one class whose `kind` says which sentence a person reads.

export class TransferError extends Error {
  /**
   * @param {string} kind
   *   `invalid-code`, `wrong-code`, `used-up`, `fingerprints`: the pairing failed;
   *   `signaling`: the server refused; `connection`: no path between the two;
   *   `declined`: the other side does not want the files; `broken`: the connection ended, and the
   *   same may go on; `failed`: it cannot be completed, `code` says why
   * @param {string} detail what happened
   * @param {{code?: string, path?: string, here?: boolean}} about `code` as both sides know it,
   *   the file it is about, and whether it happened on this side
   */
  constructor(kind, detail = "", { code = "", path = "", here = true } = {}) {
    super(detail || kind);
    Object.assign(this, { kind, detail, code, path, here });
  }
}

/** It cannot be completed, for a reason on this side; the other side is told. */
export function failed(code, detail, path = "") {
  return new TransferError("failed", detail, { code, path });
}

/** A message that does not belong where it came. */
export function violation(detail) {
  return failed("protocol", detail);
}
