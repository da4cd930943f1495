"""SRTP sessions that are made with the first packet: most connections with data have no media."""

from collections.abc import Callable
from typing import Protocol


class Sessions(Protocol):
    """What of ``pylibsrtp.Session`` is used, in both directions."""

    def protect(self, packet: bytes) -> bytes: ...
    def protect_rtcp(self, packet: bytes) -> bytes: ...
    def unprotect(self, packet: bytes) -> bytes: ...
    def unprotect_rtcp(self, packet: bytes) -> bytes: ...


class LazySrtp:
    """Stands for the SRTP sessions of a transport until they are needed.

    Args:
        make: Makes both sessions, puts them into the place of this one, and returns the one that
            sends and the one that receives.
    """

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], tuple[Sessions, Sessions]]) -> None:
        self._make = make

    def protect(self, packet: bytes) -> bytes:
        """Encrypt an RTP packet."""
        return self._make()[0].protect(packet)

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Encrypt an RTCP packet."""
        return self._make()[0].protect_rtcp(packet)

    def unprotect(self, packet: bytes) -> bytes:
        """Decrypt an RTP packet."""
        return self._make()[1].unprotect(packet)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """Decrypt an RTCP packet."""
        return self._make()[1].unprotect_rtcp(packet)
