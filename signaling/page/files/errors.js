// The error class of transfers and pairing; its `kind` selects the message for the user.

export class TransferError extends Error {
  /**
   * @param {string} kind
   *   `invalid-code`, `wrong-code`, `used-up`, `fingerprints`: the pairing failed;
   *   `signaling`: the server refused; `connection`: there is no network path between the peers;
   *   `declined`: the remote peer declined the files; `broken`: the connection ended, and the
   *   transfer can be resumed; `failed`: the transfer cannot be completed, for the reason `code`
   * @param {string} detail a description of what happened
   * @param {{code?: string, path?: string, here?: boolean}} about the `code` of the protocol, the
   *   path of the file, and whether the error happened on this side
   */
  constructor(kind, detail = "", { code = "", path = "", here = true } = {}) {
    super(detail || kind);
    Object.assign(this, { kind, detail, code, path, here });
  }
}

/** The error of a transfer that cannot be completed for a reason on this side. */
export function failed(code, detail, path = "") {
  return new TransferError("failed", detail, { code, path });
}

/** The error for a message that violates the protocol. */
export function violation(detail) {
  return failed("protocol", detail);
}
