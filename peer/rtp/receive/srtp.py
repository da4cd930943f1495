"""What is received, decrypted: counted where it is refused, from a bounded number of sources."""

from collections.abc import Callable

from pylibsrtp import Error, Session

from .packet_validation import Discarded
from .ssrc import Sources


class Incoming:
    """The SRTP session of what is received: counts what is refused, and bounds its sources.

    Args:
        session: Decrypts.
        discarded: Counts.
        forget: Is told of a source that is forgotten, because there are too many.
    """

    def __init__(
        self, session: Session, discarded: Discarded, forget: Callable[[int], None]
    ) -> None:
        self._session, self._discarded, self._forget = session, discarded, forget
        self._sources = Sources()

    def unprotect(self, packet: bytes) -> bytes:
        """Return an RTP packet in the clear.

        Raises:
            pylibsrtp.Error: It is not authentic, was received before, or is longer than any that
                SRTP makes here, which pylibsrtp takes for a mistake of the program.
        """
        try:
            plain = self._session.unprotect(packet)
        except (Error, ValueError) as error:
            self._discarded.rtp += 1
            raise Error(str(error)) from error
        self._note(plain[8:12])
        return plain

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """Return an RTCP packet in the clear; otherwise as :meth:`unprotect`."""
        try:
            plain = self._session.unprotect_rtcp(packet)
        except (Error, ValueError) as error:
            self._discarded.rtcp += 1
            raise Error(str(error)) from error
        self._note(plain[4:8])
        return plain

    def _note(self, ssrc: bytes) -> None:
        forgotten = self._sources.note(int.from_bytes(ssrc, "big"))
        if forgotten is not None:
            self._session.remove_stream(forgotten)
            self._forget(forgotten)
