"""SCTP handshake: INIT, state cookie and the parameters of both peers (RFC 9260 section 5).

Both WebRTC peers send an INIT (RFC 8841 section 9.3), so usually the simultaneous open of section
5.2.1 takes place.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from logging import Logger
from struct import Struct

from icefloe.logs import get_logger

from .packet import (
    Cause,
    Header,
    Init,
    Kind,
    Malformed,
    Parameter,
    chunk,
    chunks,
    encode_parameters,
    parameters,
)
from .round_trip import RTO_INITIAL
from .states import INITIAL_WINDOW, Settings, State

COOKIE_LIFETIME = 60.0
"""Lifetime of a state cookie in seconds (RFC 9260 section 16)."""

MAX_STREAMS = 65535
"""Streams in each direction (RFC 8831 section 6.2)."""

T1_MAX = 5.0
"""Maximum seconds between two INITs or COOKIE ECHOs. ICE and DTLS decide when to give up."""

_EXTENSIONS = (Kind.RE_CONFIG, Kind.FORWARD_TSN, Kind.PAD)
_INTERLEAVING = (Kind.I_DATA, Kind.I_FORWARD_TSN)
_MAC_SIZE = 16
_cookie = Struct("!dLLLHHB")

logger: Logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Peer:
    """Parameters of the remote peer.

    Attributes:
        tag: Its verification tag.
        tsn: Its initial TSN.
        window: Its initial receive window, in bytes.
        outbound: Number of its outbound streams.
        inbound: Maximum number of its inbound streams.
        forwards: Whether it supports FORWARD TSN (RFC 3758).
        resets: Whether it supports RE-CONFIG (RFC 6525).
        interleaves: Whether it supports I-DATA (RFC 8260).
        pads: Whether it announces support of PAD (RFC 4820).
        stretches: Whether a single SACK for many packets is sufficient. Other implementations may
            send only four packets per SACK (RFC 9260 section 6.1, Max.Burst), and would stall.
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
    def from_init(cls, init: Init) -> "Peer":
        """Read the parameters of an INIT or INIT ACK."""
        extensions = init.get(Parameter.SUPPORTED_EXTENSIONS) or b""
        forward_tsn = init.get(Parameter.FORWARD_TSN_SUPPORTED) is not None
        return cls(
            tag=init.tag,
            tsn=init.tsn,
            window=init.window,
            outbound=init.outbound,
            inbound=init.inbound,
            forwards=forward_tsn or Kind.FORWARD_TSN in extensions,
            resets=Kind.RE_CONFIG in extensions,
            interleaves=all(kind in extensions for kind in _INTERLEAVING),
            pads=Kind.PAD in extensions,
            stretches=init.get(Parameter.STRETCHED_SACKS) is not None,
        )


def init(
    tag: int, tsn: int, window: int, *, interleaves: bool, cookie: bytes | None = None
) -> bytes:
    """Encode the body of an INIT, or with a cookie that of an INIT ACK."""
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
    """Creates and verifies state cookies (RFC 9260 section 5.1.3).

    Args:
        secret: Key of their MAC.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, peer: Peer, now: float) -> bytes:
        """Return a cookie with the parameters of the remote peer."""
        supported = peer.forwards, peer.resets, peer.interleaves, peer.pads, peer.stretches
        flags = sum(bool(is_so) << bit for bit, is_so in enumerate(supported))
        fields = _cookie.pack(
            now, peer.tag, peer.tsn, peer.window, peer.outbound, peer.inbound, flags
        )
        return fields + self._mac(fields)

    def read(self, cookie: bytes, now: float) -> Peer | None:
        """Return the parameters in a cookie; ``None`` if it has expired.

        Raises:
            Malformed: It was not created here.
        """
        fields, mac = cookie[: _cookie.size], cookie[_cookie.size :]
        if len(fields) < _cookie.size or not hmac.compare_digest(mac, self._mac(fields)):
            raise Malformed("a state cookie was not created here")
        made, tag, tsn, window, outbound, inbound, flags = _cookie.unpack(fields)
        if not made <= now <= made + COOKIE_LIFETIME:
            return None
        supported = (bool(flags & 1 << bit) for bit in range(5))
        return Peer(tag, tsn, window, outbound, inbound, *supported)

    def _mac(self, fields: bytes) -> bytes:
        return hmac.digest(self._secret, fields, hashlib.sha256)[:_MAC_SIZE]


class Handshake:
    """One side of the four-way handshake: INIT, INIT ACK, COOKIE ECHO, COOKIE ACK.

    Args:
        settings: Settings of the association.
        outgoing: Receives the packets to send.
        reply: Called with a control chunk to send.

    Attributes:
        peer: The remote peer, once its INIT ACK or its state cookie was received.
        header: Header of the packets to the remote peer; its verification tag is 0 before.
        deadline: Time of the next :meth:`handle_timeout`.
    """

    def __init__(
        self, settings: Settings, outgoing: list[bytes], reply: Callable[[bytes], None]
    ) -> None:
        self._settings = settings
        self._outgoing = outgoing
        self._reply = reply
        self._cookies = Cookies(settings.secret)
        self._packet = b""
        """The INIT or COOKIE ECHO that is repeated by the T1 timer."""
        self._tries = 0
        self._init_sent_at: float | None = None
        self.peer: Peer | None = None
        self.header: Header = self._header(0)
        self.deadline: float = float("inf")

    def _header(self, tag: int) -> Header:
        return Header(self._settings.local_port, self._settings.remote_port, tag)

    def send_init(self, now: float) -> None:
        """Send an INIT (RFC 9260 section 5.1), and repeat it until it is answered."""
        settings = self._settings
        body = init(settings.tag, settings.tsn, INITIAL_WINDOW, interleaves=settings.interleaves)
        # RFC 9260 section 8.5.1: the verification tag of an INIT is 0.
        self._init_sent_at = now
        self._start_t1(self._header(0).seal(chunk(Kind.INIT, 0, body)), now)

    def retry(self, now: float) -> None:
        """Repeat an unanswered INIT or COOKIE ECHO at the next :meth:`handle_timeout`."""
        if self.deadline < float("inf"):
            self.deadline = now

    def stop(self) -> None:
        """Stop repeating packets."""
        self.deadline = float("inf")

    def handle_timeout(self, now: float) -> None:
        """Repeat the latest INIT or COOKIE ECHO if it is due (T1 timer)."""
        if now >= self.deadline:
            self._send_t1(now)

    def _start_t1(self, packet: bytes, now: float) -> None:
        self._packet, self._tries = packet, 0
        self._send_t1(now)

    def _send_t1(self, now: float) -> None:
        self._outgoing.append(self._packet)
        self.deadline = now + min(RTO_INITIAL * 2.0**self._tries, T1_MAX)
        self._tries = min(self._tries + 1, 16)

    def receive_init(self, packet: bytes, now: float) -> None:
        """Answer an INIT by an INIT ACK, in any state; drop a malformed one.

        Args:
            packet: The packet, which must contain nothing else.
            now: The time.
        """
        try:
            found = list(chunks(packet))
            if len(found) != 1 or found[0][0] != Kind.INIT:
                return
            peer = Peer.from_init(Init.decode(found[0][2]))
        except Malformed as error:
            logger.debug("dropped an INIT: %s", error)
            return
        settings = self._settings
        # Section 5.2.1: the same tag and TSN as in our own INIT, so that both sides agree on one
        # association.
        body = init(
            settings.tag,
            settings.tsn,
            INITIAL_WINDOW,
            interleaves=settings.interleaves,
            cookie=self._cookies.make(peer, now),
        )
        self._outgoing.append(self._header(peer.tag).seal(chunk(Kind.INIT_ACK, 0, body)))

    def receive(self, kind: int, body: bytes, state: State, now: float) -> State:
        """Process an INIT ACK, COOKIE ECHO, COOKIE ACK or ERROR chunk.

        Args:
            kind: Its type.
            body: Its body.
            state: The state of the association.
            now: The time.

        Returns:
            The new state of the association.

        Raises:
            Malformed: The chunk is malformed, or has a cookie that was not created here.
        """
        match kind:
            case Kind.INIT_ACK if state is State.COOKIE_WAIT:
                self._receive_init_ack(body, now)
                return State.COOKIE_ECHOED
            case Kind.COOKIE_ECHO:
                return self._receive_cookie_echo(body, state, now)
            case Kind.COOKIE_ACK if state is State.COOKIE_ECHOED:
                return State.ESTABLISHED
            case Kind.ERROR:
                return self._receive_error(body, state)
        return state

    def _receive_init_ack(self, body: bytes, now: float) -> None:
        answer = Init.decode(body)
        cookie = answer.get(Parameter.STATE_COOKIE)
        if cookie is None:
            raise Malformed("an INIT ACK has no state cookie")
        self._accept(Peer.from_init(answer))
        self._start_t1(self.header.seal(chunk(Kind.COOKIE_ECHO, 0, cookie)), now)

    def _receive_cookie_echo(self, cookie: bytes, state: State, now: float) -> State:
        peer = self._cookies.read(cookie, now)
        if peer is None:
            stale = encode_parameters([(Cause.STALE_COOKIE, bytes(4))])
            self._outgoing.append(self.header.seal(chunk(Kind.ERROR, 0, stale)))
            return state
        if state in (State.CLOSED, State.COOKIE_WAIT, State.COOKIE_ECHOED):
            self._accept(peer)
            state = State.ESTABLISHED
        elif self.peer is None or peer.tag != self.peer.tag:
            return state  # the remote peer restarted, but an association ends with its DTLS session
        self._reply(chunk(Kind.COOKIE_ACK, 0, b""))
        return state

    def _receive_error(self, body: bytes, state: State) -> State:
        causes = [cause for cause, _ in parameters(body)]
        logger.debug("the remote peer reports the errors %s", causes)
        if state is State.COOKIE_ECHOED and Cause.STALE_COOKIE in causes:
            self.peer = None
            self.send_init(self._init_sent_at or 0.0)
            return State.COOKIE_WAIT
        return state

    def _accept(self, peer: Peer) -> None:
        self.peer = peer
        self.header = self._header(peer.tag)
