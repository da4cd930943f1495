"""SRTP decryption of received packets, with counted failures and a bounded number of SSRCs."""

from collections.abc import Callable

from pylibsrtp import Error, Session

from .packet_validation import DiscardCounters
from .ssrc import SsrcTable


class SrtpReceiver:
    """The SRTP session for received packets.

    Args:
        session: Decrypts and authenticates packets.
        discarded: Counters.
        forget: Called with an SSRC that is removed because there are too many.
    """

    def __init__(
        self, session: Session, discarded: DiscardCounters, forget: Callable[[int], None]
    ) -> None:
        self._session, self._discarded, self._forget = session, discarded, forget
        self._ssrcs = SsrcTable()

    def unprotect(self, packet: bytes) -> bytes:
        """Return a decrypted RTP packet.

        Raises:
            pylibsrtp.Error: The packet is not authentic, replayed, or larger than pylibsrtp's
                buffer.
        """
        try:
            plain = self._session.unprotect(packet)
        except (Error, ValueError) as error:
            self._discarded.rtp += 1
            raise Error(str(error)) from error
        self._note(plain[8:12])
        return plain

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """Return a decrypted RTCP packet; otherwise like :meth:`unprotect`."""
        try:
            plain = self._session.unprotect_rtcp(packet)
        except (Error, ValueError) as error:
            self._discarded.rtcp += 1
            raise Error(str(error)) from error
        self._note(plain[4:8])
        return plain

    def _note(self, ssrc: bytes) -> None:
        forgotten = self._ssrcs.note(int.from_bytes(ssrc, "big"))
        if forgotten is not None:
            self._session.remove_stream(forgotten)
            self._forget(forgotten)
