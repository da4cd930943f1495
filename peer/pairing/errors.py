"""Errors of pairing by a code.

::

    PairingError (a PeerError)
    ├── InvalidPairingCode (also ValueError)
    ├── WrongPairingCode
    ├── PairingCodeUsedUp
    ├── NoRoomFree
    └── FingerprintMismatch
"""

from ..errors import PairingError as PairingError


class InvalidPairingCode(PairingError, ValueError):
    """The text is not a code.

    Attributes:
        code: The text.
    """

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        # The message does not show the code: most of it may be right, and errors end up in logs.
        super().__init__(f"This is not a code: {reason}. A code looks like 7-amber-falcon")


class WrongPairingCode(PairingError):
    """The two sides have different codes, or an attacker between them guesses the code."""

    def __init__(self) -> None:
        super().__init__(
            "The codes of the two sides differ. Compare them letter by letter; if they are the "
            "same, somebody on the way tries to guess the code: make a new one"
        )


class PairingCodeUsedUp(PairingError):
    """The code is void, because too many wrong codes were tried.

    Attributes:
        guesses: The number of wrong codes.
    """

    def __init__(self, guesses: int) -> None:
        self.guesses = guesses
        super().__init__(
            f"{guesses} wrong codes were tried for this transfer, so its code is void. "
            "Start it again for a new code"
        )


class NoRoomFree(PairingError):
    """All rooms of the signaling server that were tried are used by other senders."""

    def __init__(self) -> None:
        super().__init__(
            "The signaling server has too many senders at once. Try again later, or use a server "
            "of your own: icefloe serve"
        )


class FingerprintMismatch(PairingError):
    """The DTLS fingerprints are not those of the peer that has the code.

    An attacker, such as the signaling server, has replaced them with its own.
    """

    def __init__(self) -> None:
        super().__init__(
            "The signaling server changed the fingerprints of the connection, so somebody would "
            "have listened in. Nothing was sent. Use another server"
        )
