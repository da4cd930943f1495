"""How an association begins: what both sides tell each other, and the state cookie.

RFC 9260 section 5. Both WebRTC sides send an INIT (RFC 8841 section 9.3), so that it begins with
the collision of section 5.2.1 as a rule.
"""

import hashlib
import hmac
from dataclasses import dataclass
from struct import Struct

from .packet import Init, Kind, Malformed, Parameter

COOKIE_LIFETIME = 60.0
"""Seconds for which a state cookie is good (RFC 9260 section 16)."""

MAX_STREAMS = 65535
"""Streams each way (RFC 8831 section 6.2)."""

_EXTENSIONS = (Kind.RE_CONFIG, Kind.FORWARD_TSN, Kind.PAD)
_INTERLEAVING = (Kind.I_DATA, Kind.I_FORWARD_TSN)
_MAC_SIZE = 16
_cookie = Struct("!dLLLHHB")


@dataclass(frozen=True, slots=True)
class Peer:
    """What the other side has told of itself.

    Attributes:
        tag: Its verification tag.
        tsn: Its first TSN.
        window: The bytes that it takes at first.
        outbound: Streams that it sends on.
        inbound: Streams that it takes.
        forwards: Whether it understands FORWARD TSN (RFC 3758).
        resets: Whether it understands RE-CONFIG (RFC 6525).
        interleaves: Whether it understands I-DATA (RFC 8260).
        pads: Whether it says that it understands PAD (RFC 4820).
        stretches: Whether one SACK for many packets is enough for it. Others may send four packets
            for each (RFC 9260 section 6.1, Max.Burst), and would stand still.
    """

    tag: int
    tsn: int
    window: int
    outbound: int
    inbound: int
    forwards: bool
    resets: bool
    interleaves: bool
    pads: bool
    stretches: bool

    @classmethod
    def told_by(cls, init: Init) -> "Peer":
        """Read it from an INIT or INIT ACK."""
        extensions = init.get(Parameter.SUPPORTED_EXTENSIONS) or b""
        told = init.get(Parameter.FORWARD_TSN_SUPPORTED) is not None
        return cls(
            tag=init.tag,
            tsn=init.tsn,
            window=init.window,
            outbound=init.outbound,
            inbound=init.inbound,
            forwards=told or Kind.FORWARD_TSN in extensions,
            resets=Kind.RE_CONFIG in extensions,
            interleaves=all(kind in extensions for kind in _INTERLEAVING),
            pads=Kind.PAD in extensions,
            stretches=init.get(Parameter.STRETCHED_SACKS) is not None,
        )


def init(
    tag: int, tsn: int, window: int, *, interleaves: bool, cookie: bytes | None = None
) -> bytes:
    """Write the body of an INIT, or with a cookie that of an INIT ACK."""
    extensions = bytes(_EXTENSIONS + (_INTERLEAVING if interleaves else ()))
    parameters: list[tuple[int, bytes]] = [
        (Parameter.FORWARD_TSN_SUPPORTED, b""),
        (Parameter.SUPPORTED_EXTENSIONS, extensions),
        (Parameter.STRETCHED_SACKS, b""),
    ]
    if cookie is not None:
        parameters.insert(0, (Parameter.STATE_COOKIE, cookie))
    return Init(tag, window, MAX_STREAMS, MAX_STREAMS, tsn, parameters).encode()


class Cookies:
    """Makes state cookies and knows its own again (RFC 9260 section 5.1.3).

    Args:
        secret: What nobody else knows.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, peer: Peer, now: float) -> bytes:
        """Return a cookie that stands for what the other side has told."""
        told = peer.forwards, peer.resets, peer.interleaves, peer.pads, peer.stretches
        flags = sum(bool(is_so) << bit for bit, is_so in enumerate(told))
        fields = _cookie.pack(
            now, peer.tag, peer.tsn, peer.window, peer.outbound, peer.inbound, flags
        )
        return fields + self._mac(fields)

    def read(self, cookie: bytes, now: float) -> Peer | None:
        """Return what a cookie stands for; ``None`` if it has expired.

        Raises:
            Malformed: It was not made here.
        """
        fields, mac = cookie[: _cookie.size], cookie[_cookie.size :]
        if len(fields) < _cookie.size or not hmac.compare_digest(mac, self._mac(fields)):
            raise Malformed("a state cookie that was not made here")
        made, tag, tsn, window, outbound, inbound, flags = _cookie.unpack(fields)
        if not made <= now <= made + COOKIE_LIFETIME:
            return None
        told = (bool(flags & 1 << bit) for bit in range(5))
        return Peer(tag, tsn, window, outbound, inbound, *told)

    def _mac(self, fields: bytes) -> bytes:
        return hmac.digest(self._secret, fields, hashlib.sha256)[:_MAC_SIZE]
