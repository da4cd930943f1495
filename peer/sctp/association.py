"""An SCTP association without I/O: packets, messages and the time go in, packets come out.

**Whoever drives it calls** :meth:`Association.flush` **after everything else, then takes all of**
:attr:`~Association.outgoing`, :attr:`~Association.arrived`, :attr:`~Association.events` **and**
:attr:`~Association.probe`**, and calls** :meth:`~Association.tick` **at**
:attr:`~Association.deadline`. What was received at once may be flushed at once: then one SACK
speaks for all of it, and small messages share packets.

RFC 9260, with FORWARD TSN (RFC 3758), stream resets (RFC 6525), I-DATA (RFC 8260), the I bit
(RFC 7053); loss detection as in RFC 8985, packet sizes as in RFC 8899.
"""

from collections import deque
from struct import error as StructError

from icefloe.logs import get_logger

from . import path_mtu_probes
from .handshake import Cookies, Peer, init
from .inbound import Arrival
from .loss_recovery import RTO_INITIAL, RTO_MAX
from .outbound import Message, SendQueue
from .packet import (
    DATA_HEADER,
    HEADER,
    Cause,
    Fatal,
    Header,
    Init,
    Kind,
    Malformed,
    Parameter,
    chunk,
    chunk_header,
    chunks,
    decode_sack,
    encode_parameters,
    parameters,
    unwrap,
)
from .path_mtu import BASE, PathMtu
from .receiving import Receiver
from .resets import Resets
from .sending import Sender
from .states import (
    INITIAL_WINDOW,
    Closed,
    Established,
    Event,
    ResetDone,
    Settings,
    State,
    StreamsReset,
)

logger = get_logger(__name__)


T1_MAX = 5.0
"""Seconds between two INITs or COOKIE ECHOs at most; ICE and DTLS say when to give up."""

MAX_REPLIES = 64
"""Answers to control chunks that wait for the next flush; the other side sends again what was not
answered."""

MAX_HEARTBEAT = 2048
"""Bytes of a heartbeat that is answered: its answer is as large."""

_TAKES_DATA = (State.ESTABLISHED, State.SHUTDOWN_RECEIVED)
"""RFC 9260 section 6: in other states data is discarded."""


class Association:
    """One end of an association; see the module for how to drive it.

    Attributes:
        state: Where it is.
        outgoing: Packets that are to be sent, in order.
        probe: A packet to be sent after those, and not to be fragmented on its way (RFC 8899); if
            it is too large even for this machine, :meth:`probe_refused` says so.
        arrived: Messages that have arrived.
        events: What else has happened.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cookies = Cookies(settings.secret)
        self._expected = Header(settings.remote_port, settings.local_port, settings.tag)
        self._expected_init = Header(settings.remote_port, settings.local_port, 0)
        self._header = Header(settings.local_port, settings.remote_port, 0)
        self._peer: Peer | None = None
        self._control: list[bytes] = []
        self._t1_at = float("inf")
        self._t1_chunk = b""
        self._t1_tries = 0
        self._init_sent_at: float | None = None
        self._had_sack = False
        self._receiver = Receiver(settings.window, INITIAL_WINDOW, settings.max_message)
        self.queue = SendQueue()
        self.path = PathMtu(settings.sizes)
        self._sender: Sender | None = None
        self._resets: Resets | None = None
        self._probe_tsn = settings.tsn - 1  # which the latest probe repeats
        self.state = State.CLOSED
        self.outgoing: deque[bytes] = deque()
        self.probe: bytes | None = None
        self.arrived: deque[Arrival] = self._receiver.arrived
        self.events: deque[Event] = deque()

    # --- what the application does

    def connect(self, now: float) -> None:
        """Begin (RFC 9260 section 5.1)."""
        if self.state is not State.CLOSED or self._peer is not None:
            return
        settings = self._settings
        body = init(settings.tag, settings.tsn, INITIAL_WINDOW, interleaves=settings.interleaves)
        # RFC 9260 section 8.5.1: the tag of an INIT is zero.
        header = Header(settings.local_port, settings.remote_port, 0)
        self._t1_chunk = header.seal(chunk(Kind.INIT, 0, body))
        self._init_sent_at = now
        self._t1_tries = 0
        self._repeat_t1(now)
        self._enter(State.COOKIE_WAIT)

    def send(self, message: Message) -> None:
        """Queue a message; one may be queued before the association is established."""
        self.queue.put(message)

    def reset(self, stream: int) -> bool:
        """Reset a stream once its messages are out; return whether the other side can do that."""
        if self._resets is None or self._peer is None or not self._peer.resets:
            return False
        self._resets.want(stream)
        return True

    @property
    def is_closing_streams(self) -> bool:
        """Whether there are streams to reset of which the other side was not told yet."""
        return self._resets is not None and bool(self._resets.wanted)

    def used_anew(self, stream: int) -> None:
        """Note that the other side begins a stream again that was reset there.

        A reset asked for here is then over: :attr:`events` has its :class:`ResetDone`.
        """
        if self._resets is not None:
            self._resets.used_anew(stream)
            self._take_resets(self._resets)

    def abort(self) -> None:
        """End it at once, and say so to the other side (RFC 9260 section 9.1)."""
        if self.state is not State.CLOSED:
            self.outgoing.append(self._header.seal(chunk(Kind.ABORT, 0, b"")))
            self._close("this side closed it")

    def path_changed(self, now: float, *, was_lost: bool) -> None:
        """Make the most of another path, or of one that is back.

        Args:
            now: The time.
            was_lost: Whether there was none before: then what is not acknowledged is sent at once.
        """
        if self._sender is None or self._resets is None:
            if was_lost and self._t1_at < float("inf"):
                self._t1_at = now
            return
        # An acknowledgement may have gone over the path that was left, and its loss would cost the
        # other side a timer.
        self._receiver.acknowledge(now)
        if self.path.moved(now):
            self._sender.size_changed()
        if was_lost:
            self._sender.path_changed(now)
            self._resets.path_changed(now)
        else:
            self._sender.forget_path()

    def hold(self, size: int) -> None:
        """Note that the application has so many bytes more that it has not read; fewer if < 0.

        They are not offered to the other side again.
        """
        self._receiver.unread += size

    # --- numbers

    @property
    def sender(self) -> Sender | None:
        """What sends the data, once the association is established."""
        return self._sender

    @property
    def skipped(self) -> dict[int, int]:
        """How many messages of each stream the other side gave up, of those that come in order.

        Whoever drives this clears it.
        """
        return self._receiver.skipped

    @property
    def streams(self) -> int:
        """Streams that both sides have, 0 until the other side has told."""
        return min(self._peer.inbound, self._peer.outbound) if self._peer is not None else 0

    @property
    def window(self) -> int:
        """Bytes that the other side may send."""
        return self._receiver.window

    @property
    def deadline(self) -> float:
        """When :meth:`tick` has something to do."""
        due = min(self._t1_at, self._receiver.deadline)
        if self._sender is not None and self._resets is not None:
            due = min(due, self._sender.deadline, self._resets.deadline, self.path.deadline)
        return due

    # --- time

    def tick(self, now: float) -> None:
        """Do what is due."""
        if now >= self._t1_at:
            self._repeat_t1(now)
        self._receiver.tick(now)
        if self._sender is not None and self._resets is not None:
            self._sender.tick(now)
            self._resets.tick(now, self._sender.rto, RTO_MAX)
            if self.path.tick(now):
                self._sender.size_changed()

    def _repeat_t1(self, now: float) -> None:
        self.outgoing.append(self._t1_chunk)
        self._t1_at = now + min(RTO_INITIAL * 2.0**self._t1_tries, T1_MAX)
        self._t1_tries = min(self._t1_tries + 1, 16)

    # --- what arrives

    def receive(self, packet: bytes, now: float) -> None:
        """Take a packet; what breaks the protocol is dropped, here as on any network."""
        if not self._expected.fits(packet):
            if self._expected_init.fits(packet):
                self._receive_init(packet, now)
            return
        had_data = False
        self._had_sack = False
        try:
            position, end = HEADER, len(packet)
            while position + 4 <= end:
                kind, flags, length = chunk_header.unpack_from(packet, position)
                following = position + length
                if length < 4 or following > end:
                    raise Malformed(f"a chunk of {length} bytes at {position} of {end}")
                if kind == Kind.DATA or kind == Kind.I_DATA:
                    if self.state in _TAKES_DATA:
                        had_data = True
                        self._receiver.receive(packet, kind, flags, position, following, now)
                        self._carry_out_resets()
                elif kind == Kind.SACK:
                    self._receive_sack(packet[position + 4 : following], now)
                else:
                    self._receive_other(kind, flags, packet[position + 4 : following], now)
                position = (following + 3) & ~3
        except Fatal as error:
            self._fail(error)
        except (Malformed, StructError) as error:
            logger.debug("dropped the rest of a packet: %s", error)
        if had_data:
            counts = self._peer is not None and not self._peer.stretches
            self._receiver.packet_ends(now, counts=counts)
            if counts:
                self._sack_at_once()

    def _sack_at_once(self) -> None:
        """Acknowledge every other packet by itself (RFC 9260 section 6.2)."""
        if self._receiver.is_due and (sack := self._receiver.sack()) is not None:
            self.outgoing.append(self._header.seal(sack))

    def _carry_out_resets(self) -> None:
        resets = self._resets
        if resets is not None and resets.arrived(self._receiver.cumulative):
            self._take_resets(resets)

    def _take_resets(self, resets: Resets) -> None:
        if resets.reset_here:
            streams = tuple(resets.reset_here)
            resets.reset_here.clear()
            for stream in streams:
                self._receiver.reset(stream)
            self.events.append(StreamsReset(streams, after=self._receiver.completed))
        if resets.reset_there:
            streams = tuple(resets.reset_there)
            resets.reset_there.clear()
            for stream in streams:
                self.queue.clear(stream)
            self.events.append(ResetDone(streams, performed=True))
        if resets.refused:
            self.events.append(ResetDone(tuple(resets.refused), performed=False))
            resets.refused.clear()

    def _receive_sack(self, body: bytes, now: float) -> None:
        # No stack sends more than one in a packet, and each costs time.
        if self._sender is not None and not self._had_sack:
            self._had_sack = True
            tsn, window, gaps, duplicates = decode_sack(body)
            again = sum(unwrap(d, self._probe_tsn) != self._probe_tsn for d in duplicates)
            self._sender.acknowledged(tsn, window, gaps, again, now)

    def _receive_other(self, kind: int, flags: int, body: bytes, now: float) -> None:
        match kind:
            case Kind.HEARTBEAT if len(body) <= MAX_HEARTBEAT:
                self._reply(chunk(Kind.HEARTBEAT_ACK, flags, body))
            case Kind.HEARTBEAT_ACK:
                self._confirm(body, now)
            case Kind.INIT_ACK:
                self._receive_init_ack(body, now)
            case Kind.COOKIE_ECHO:
                self._receive_cookie_echo(body, now)
            case Kind.COOKIE_ACK:
                if self.state is State.COOKIE_ECHOED:
                    self._establish(now)
            case Kind.ERROR:
                self._receive_error(body)
            case Kind.ABORT:
                self._close("the other side aborted it")
            case Kind.SHUTDOWN:
                if self.state is State.ESTABLISHED:
                    self._enter(State.SHUTDOWN_RECEIVED)
            case Kind.SHUTDOWN_COMPLETE:
                if self.state is State.SHUTDOWN_ACK_SENT:
                    self._close("the other side shut it down")
            case Kind.RE_CONFIG:
                self._receive_resets(body, now)
            case Kind.FORWARD_TSN:
                self._receiver.skip(body)
                self._carry_out_resets()
            case Kind.I_FORWARD_TSN:
                self._receiver.skip_interleaved(body)
                self._carry_out_resets()
            case Kind.HEARTBEAT:
                logger.debug("a heartbeat of %d bytes is not answered", len(body))
            case _:
                # RFC 9260 section 3.2: the upper bits say whether the rest may be read.
                if kind < 128:
                    raise Malformed(f"a chunk of the unknown type {kind}")

    def _receive_resets(self, body: bytes, now: float) -> None:
        if self._resets is None or self._sender is None:
            return
        cumulative = self._receiver.cumulative
        for kind, content in parameters(body):
            self._resets.receive(kind, content, cumulative, now, self._sender.rto)
            self._take_resets(self._resets)

    # --- the beginning (RFC 9260 section 5)

    def _receive_init(self, packet: bytes, now: float) -> None:
        try:
            found = list(chunks(packet))
            if len(found) != 1 or found[0][0] != Kind.INIT:
                return
            peer = Peer.told_by(Init.decode(found[0][2]))
        except Malformed as error:
            logger.debug("dropped an INIT: %s", error)
            return
        settings = self._settings
        # Section 5.2.1: the same tag and TSN as in this side's INIT, so that both become one.
        body = init(
            settings.tag,
            settings.tsn,
            INITIAL_WINDOW,
            interleaves=settings.interleaves,
            cookie=self._cookies.make(peer, now),
        )
        header = Header(settings.local_port, settings.remote_port, peer.tag)
        self.outgoing.append(header.seal(chunk(Kind.INIT_ACK, 0, body)))

    def _receive_init_ack(self, body: bytes, now: float) -> None:
        if self.state is not State.COOKIE_WAIT:
            return
        answer = Init.decode(body)
        cookie = answer.get(Parameter.STATE_COOKIE)
        if cookie is None:
            raise Malformed("an INIT ACK without a cookie")
        self._meet(Peer.told_by(answer))
        self._t1_chunk = self._header.seal(chunk(Kind.COOKIE_ECHO, 0, cookie))
        self._t1_tries = 0
        self._repeat_t1(now)
        self._enter(State.COOKIE_ECHOED)

    def _receive_cookie_echo(self, cookie: bytes, now: float) -> None:
        peer = self._cookies.read(cookie, now)
        if peer is None:
            stale = encode_parameters([(Cause.STALE_COOKIE, bytes(4))])
            self.outgoing.append(self._header.seal(chunk(Kind.ERROR, 0, stale)))
            return
        if self.state in (State.CLOSED, State.COOKIE_WAIT, State.COOKIE_ECHOED):
            self._meet(peer)
            self._establish(now)
        elif self._peer is None or peer.tag != self._peer.tag:
            return  # the other side began anew: an association lives as long as its DTLS session
        self._reply(chunk(Kind.COOKIE_ACK, 0, b""))

    def _reply(self, control: bytes) -> None:
        """Have a control chunk sent; beyond what waits already it is as if it was lost."""
        if len(self._control) < MAX_REPLIES:
            self._control.append(control)

    def _receive_error(self, body: bytes) -> None:
        causes = [cause for cause, _ in parameters(body)]
        logger.debug("the other side reports the errors %s", causes)
        if self.state is State.COOKIE_ECHOED and Cause.STALE_COOKIE in causes:
            self._enter(State.CLOSED)  # a stale cookie: begin again
            self._peer = None
            self._t1_at = 0.0
            self.connect(self._init_sent_at or 0.0)

    def _meet(self, peer: Peer) -> None:
        self._peer = peer
        settings = self._settings
        self._header = Header(settings.local_port, settings.remote_port, peer.tag)

    def _establish(self, now: float) -> None:
        peer, settings = self._peer, self._settings
        if peer is None:
            return
        self._t1_at = float("inf")
        self._receiver.begin(peer.tsn)
        interleaves = settings.interleaves and peer.interleaves
        self.queue.interleaves = interleaves
        self._resets = Resets(settings.tsn, peer.tsn)
        self._sender = Sender(
            queue=self.queue,
            path=self.path,
            controller=settings.controller(BASE - HEADER - DATA_HEADER),
            tsn=settings.tsn,
            window=peer.window,
            forwards=peer.forwards,
            interleaves=interleaves,
        )
        self.path.begin(now)
        self._enter(State.ESTABLISHED)
        self.events.append(Established(min(peer.inbound, peer.outbound)))

    # --- what leaves

    def flush(self, now: float) -> None:
        """Make packets of all that may be sent now."""
        control = self._control
        sender, resets = self._sender, self._resets
        if sender is None or resets is None or self.state is State.CLOSED:
            self.outgoing.extend(self._header.seal(each) for each in control)
            control.clear()
            return
        if (sack := self._receiver.sack()) is not None:
            control.insert(0, sack)
        if resets.outgoing:
            control += resets.outgoing
            resets.outgoing.clear()
        # A channel that is closed and another one that is opened then: the other side is told in
        # this order.
        self._request_resets(sender, resets, now)
        sender.flush(self._header, control, self.outgoing, now)
        self._request_resets(sender, resets, now)
        if self.path.probe is not None:
            self._probe_path(self.path.probe, sender, now)
        if self.state is State.SHUTDOWN_RECEIVED and sender.is_done:
            self.outgoing.append(self._header.seal(chunk(Kind.SHUTDOWN_ACK, 0, b"")))
            self._enter(State.SHUTDOWN_ACK_SENT)

    def _request_resets(self, sender: Sender, resets: Resets, now: float) -> None:
        if resets.wanted:
            resets.request(sender.last_tsn, self._is_busy, now, sender.rto)
            if resets.outgoing:
                self.outgoing.append(self._header.seal(b"".join(resets.outgoing)))
                resets.outgoing.clear()

    def _is_busy(self, stream: int) -> bool:
        return self.queue.has(stream)

    def _probe_path(self, size: int, sender: Sender, now: float) -> None:
        self._probe_tsn = sender.recovery.cumulative
        self.probe = path_mtu_probes.encode(
            self._header,
            size,
            pads=self._peer is not None and self._peer.pads,
            interleaves=self.queue.interleaves,
            acknowledged=self._probe_tsn,
        )
        self.path.tried(now, sender.rto)

    def probe_refused(self, now: float) -> None:
        """Note that the probe was too large for this machine's network."""
        self.path.refused(now)

    def _confirm(self, body: bytes, now: float) -> None:
        size = path_mtu_probes.answered(body)
        if size is not None and self.path.confirmed(size, now) and self._sender is not None:
            logger.debug("packets may have %d bytes", size)
            self._sender.size_changed()

    # --- the end

    def _fail(self, error: Fatal) -> None:
        told = encode_parameters([(error.cause, error.information)])
        self.outgoing.append(self._header.seal(chunk(Kind.ABORT, 0, told)))
        logger.warning("aborted the SCTP association: %s", error)
        self._close(str(error))

    def _close(self, reason: str) -> None:
        if self.state is State.CLOSED:
            return
        self._enter(State.CLOSED)
        self._t1_at = float("inf")
        self._receiver.end()
        self._sender = self._resets = None
        self.events.append(Closed(reason))

    def _enter(self, state: State) -> None:
        logger.debug("SCTP %s -> %s", self.state, state)
        self.state = state
