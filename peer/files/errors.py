"""What can go wrong with a transfer.

::

    TransferError (a PeerError)
    ├── TransferDeclined
    ├── TransferBroken
    ├── TransferFailed
    │   └── UnsafeName (also ValueError)
    └── PairingError
        ├── WrongCode
        ├── InvalidCode (also ValueError)
        ├── CodeUsedUp
        ├── NobodyThere
        ├── SenderBusy
        ├── NoPlaceFree
        └── FingerprintMismatch
"""

from enum import StrEnum

from icefloe.text import printable, quoted

from ..errors import PeerError


class TransferError(PeerError):
    """The root of the errors of transfers."""


class TransferDeclined(TransferError):
    """The other side does not want the files.

    Attributes:
        reason: What it said.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"The other side declined the files: {printable(reason) or 'it gave no reason'}"
        )


class TransferBroken(TransferError):
    """The connection ended in the middle. Whole files and parts are kept; send again to go on.

    Attributes:
        acknowledged: Bytes that the receiver had written.
    """

    def __init__(self, acknowledged: int, reason: str) -> None:
        self.acknowledged = acknowledged
        super().__init__(
            f"The transfer stopped after {acknowledged} bytes: {printable(reason)}. What arrived "
            "is kept; send the same files to the same folder to go on from there"
        )


class Failure(StrEnum):
    """Why a transfer ends before it is complete. A code for programs, known to both sides."""

    CHANGED = "changed"
    """A source was changed, or got shorter, while it was being sent."""

    UNREADABLE = "unreadable"
    """A source cannot be read."""

    DISK_FULL = "disk-full"
    """There is no room for the rest where it is to be written."""

    PERMISSION = "permission"
    """The receiver may not write there."""

    EXISTS = "exists"
    """A file of this name is there already, with another content. The sender is not told."""

    UNSAFE = "unsafe-name"
    """A name leads out of the folder; or there is a link in its place, which is not told."""

    UNWRITABLE = "unwritable"
    """Writing failed for another reason."""

    MISMATCH = "mismatch"
    """What arrived is not what was sent."""

    CANCELLED = "cancelled"
    """Somebody stopped it."""

    PROTOCOL = "protocol"
    """One side does not understand the other."""


_ADVICE = {
    Failure.CHANGED: "Send it again when nobody writes to it.",
    Failure.UNREADABLE: "See whether the sender may read it.",
    Failure.DISK_FULL: "What arrived is kept; make room and start again to go on from there.",
    Failure.PERMISSION: "Choose a folder that the receiver may write to.",
    Failure.EXISTS: "Move it away, receive into another folder, or allow overwriting.",
    Failure.UNSAFE: "Nothing was written there.",
    Failure.UNWRITABLE: "What arrived is kept; start again to go on from there.",
    Failure.MISMATCH: "The part was removed; send it again.",
    Failure.CANCELLED: "What arrived is kept; start again to go on from there.",
    Failure.PROTOCOL: "Use versions of icefloe that belong together.",
}


class TransferFailed(TransferError):
    """The transfer cannot be completed; both sides get this error.

    Attributes:
        code: Why, as in :class:`Failure`; a newer version of the other side may know more.
        path: The file it is about, as the sender named it; empty if it is about none.
        detail: What happened.
        here: Whether it happened on this side.
        where: The place on this machine, for its user; the other side is never told. Empty if there
            is none.
        private: Whether it tells of something that is on this machine, such as a file in the way;
            the other side is told no more than that this one does not go on.
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
        told = f"{printable(detail)}{place} ({printable(code, 64)})"
        super().__init__(f"{side}{about}{told}. {advice}".rstrip())


class UnsafeName(TransferFailed, ValueError):
    """A name that must not be used for a file in the chosen folder."""

    def __init__(self, path: str, reason: str, *, private: bool = False) -> None:
        detail = f"the name is refused because {reason}"
        super().__init__(Failure.UNSAFE, path, detail, private=private)


class PairingError(TransferError):
    """The root of the errors of pairing by a code."""


class InvalidCode(PairingError, ValueError):
    """This is not a code.

    Attributes:
        code: What was given.
    """

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        # All but one word of it may be right, and errors end in logs.
        super().__init__(f"This is not a code: {reason}. A code looks like 7-amber-falcon")


class WrongCode(PairingError):
    """The two sides have different codes, or somebody in between does not have it."""

    def __init__(self) -> None:
        super().__init__(
            "The codes of the two sides differ. Compare them letter by letter; if they are the "
            "same, somebody on the way tries to guess the code: make a new one"
        )


class CodeUsedUp(PairingError):
    """The code is not valid any more, because it was guessed at.

    Attributes:
        guesses: How many wrong ones there were.
    """

    def __init__(self, guesses: int) -> None:
        self.guesses = guesses
        super().__init__(
            f"{guesses} wrong codes were tried for this transfer, so its code is void. "
            "Start it again for a new code"
        )


class NobodyThere(PairingError):
    """The other side did not come.

    Attributes:
        timeout: Seconds waited.
    """

    def __init__(self, timeout: float, *, is_sender: bool = False) -> None:
        self.timeout = timeout
        if is_sender:
            super().__init__(
                f"Nobody came for the files (waited {timeout:g} s). Start again and give the code "
                "to the other side; --wait sets how long to wait"
            )
        else:
            super().__init__(
                f"Nobody offers files under this code (waited {timeout:g} s). Is the sender still "
                "running, with the same server?"
            )


class SenderBusy(PairingError):
    """The sender is sending to another receiver, which has the same code."""

    def __init__(self) -> None:
        super().__init__(
            "The sender is sending to another receiver with this code. A code is good for one: "
            "ask the sender to start again for you"
        )


class NoPlaceFree(PairingError):
    """There is another sender at each place of the signaling server that was tried."""

    def __init__(self) -> None:
        super().__init__(
            "The signaling server has too many senders at once. Try again later, or use a server "
            "of your own: icefloe serve"
        )


class FingerprintMismatch(PairingError):
    """The certificates of the connection are not those of the side that has the code.

    Somebody between the two, such as the signaling server, put its own in their place.
    """

    def __init__(self) -> None:
        super().__init__(
            "The signaling server changed the fingerprints of the connection, so somebody would "
            "have listened in. Nothing was sent. Use another server"
        )
