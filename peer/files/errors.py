"""Errors of file transfers.

::

    TransferError (a PeerError)
    ├── TransferDeclined
    ├── TransferBroken
    └── TransferFailed
        └── UnsafeName (also ValueError)
"""

from enum import StrEnum

from icefloe.text import printable, quoted

from ..errors import PeerError


class TransferError(PeerError):
    """The base class of all errors of transfers."""


class TransferDeclined(TransferError):
    """The remote peer declined the files.

    Attributes:
        reason: The reason that it gave; may be empty.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"The other side declined the files: {printable(reason) or 'it gave no reason'}"
        )


class TransferBroken(TransferError):
    """The connection ended during the transfer; files and parts that arrived are kept.

    To continue, send the same files to the same folder again.

    Attributes:
        acknowledged: Bytes that the receiver had written.
    """

    def __init__(self, acknowledged: int, reason: str) -> None:
        self.acknowledged = acknowledged
        super().__init__(
            f"The transfer stopped after {acknowledged} bytes: {printable(reason)}. What arrived "
            "is kept; send the same files to the same folder to go on from there"
        )


class TransferErrorCode(StrEnum):
    """The reason why a transfer failed, as a code that both sides know."""

    CHANGED = "changed"
    """A source file was changed or truncated while it was being sent."""

    UNREADABLE = "unreadable"
    """A source file cannot be read."""

    DISK_FULL = "disk-full"
    """The disk of the receiver is full."""

    PERMISSION = "permission"
    """The receiver has no permission to write to its folder."""

    EXISTS = "exists"
    """A file with this name and other content exists. The sender is not told."""

    UNSAFE = "unsafe-name"
    """The name leads out of the folder, or a link is in its place. The sender is not told of the
    link."""

    UNWRITABLE = "unwritable"
    """Writing failed for another reason."""

    MISMATCH = "mismatch"
    """The hash of the received file is not that of the source."""

    CANCELLED = "cancelled"
    """A user or program stopped the transfer."""

    PROTOCOL = "protocol"
    """A message violates the protocol."""


_ADVICE = {
    TransferErrorCode.CHANGED: "Send it again when nobody writes to it.",
    TransferErrorCode.UNREADABLE: "See whether the sender may read it.",
    TransferErrorCode.DISK_FULL: (
        "What arrived is kept; make room and start again to go on from there."
    ),
    TransferErrorCode.PERMISSION: "Choose a folder that the receiver may write to.",
    TransferErrorCode.EXISTS: "Move it away, receive into another folder, or allow overwriting.",
    TransferErrorCode.UNSAFE: "Nothing was written there.",
    TransferErrorCode.UNWRITABLE: "What arrived is kept; start again to go on from there.",
    TransferErrorCode.MISMATCH: "The part was removed; send it again.",
    TransferErrorCode.CANCELLED: "What arrived is kept; start again to go on from there.",
    TransferErrorCode.PROTOCOL: "Use versions of icefloe that belong together.",
}


class TransferFailed(TransferError):
    """The transfer cannot be completed; both sides get this error.

    Attributes:
        code: The reason, as in :class:`TransferErrorCode`; a newer version may send other codes.
        path: The file that the error is about, as the sender named it; empty if it is about none.
        detail: A description of what happened.
        here: Whether it happened on this side.
        where: The path on this machine, for its user; it is never sent. Empty if there is none.
        private: Whether the error reveals something about this machine, such as an existing file.
            The remote peer is then only told that this side has stopped.
    """

    def __init__(
        self,
        code: str,
        path: str,
        detail: str,
        *,
        here: bool = True,
        advice: str | None = None,
        where: str = "",
        private: bool = False,
    ) -> None:
        self.code = code
        self.path = path
        self.detail = detail
        self.here = here
        self.where = where
        self.private = private
        if advice is None:
            advice = next((words for known, words in _ADVICE.items() if known == code), "")
        about = f"{quoted(path)}: " if path else ""
        side = "" if here else "The other side reports: "
        place = f": {printable(where)}" if where else ""
        reason_shown = f"{printable(detail)}{place} ({printable(code, 64)})"
        super().__init__(f"{side}{about}{reason_shown}. {advice}".rstrip())


class UnsafeName(TransferFailed, ValueError):
    """The name of an offered file is not safe to use in the folder of the receiver."""

    def __init__(self, path: str, reason: str, *, private: bool = False) -> None:
        detail = f"the name is refused because {reason}"
        super().__init__(TransferErrorCode.UNSAFE, path, detail, private=private)
