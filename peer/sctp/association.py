"""SCTP association without I/O: packets, messages and the time go in, packets come out.

Packets are made in :meth:`Association.take_datagrams` alone, which the caller calls after any other
method: one SACK acknowledges all packets that were received before it, and small messages share
packets.

RFC 9260, with FORWARD TSN (RFC 3758), stream resets (RFC 6525), I-DATA (RFC 8260), the I bit (RFC
7053); loss detection by RFC 8985, path MTU discovery by RFC 8899.
"""

from logging import Logger
from struct import error as StructError

from icefloe.logs import get_logger

from . import path_mtu_probes
from .event_queue import EventQueue
from .handshake import Handshake
from .outbound import Message, SendQueue
from .packet import (
    DATA_HEADER,
    HEADER,
    Fatal,
    Header,
    Kind,
    Malformed,
    chunk,
    chunk_header,
    decode_sack,
    encode_parameters,
    parameters,
    unwrap,
)
from .path_mtu import BASE, PathMtu
from .receiving import Receiver
from .resets import StreamResets
from .round_trip import RTO_MAX
from .sending import Sender
from .states import INITIAL_WINDOW, Changes, Closed, Established, Event, Settings, State

logger: Logger = get_logger(__name__)

MAX_REPLIES = 64
"""Maximum replies to control chunks queued for the next flush. The remote peer repeats what was not
answered."""

MAX_HEARTBEAT = 2048
"""Maximum bytes of a HEARTBEAT that is answered: the answer is as large."""

_TAKES_DATA = (State.ESTABLISHED, State.SHUTDOWN_RECEIVED)
"""States in which data is accepted (RFC 9260 section 6)."""


class Association:
    """One endpoint of an association; see the module for its use. Times are seconds on one clock.

    Attributes:
        state: The state (RFC 9260 section 4).
        queue: Messages queued for sending.
        path: Path MTU discovery.
        events: The events that :meth:`poll_event` returns.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._expected = Header(settings.remote_port, settings.local_port, settings.tag)
        self._expected_init = Header(settings.remote_port, settings.local_port, 0)
        self._outgoing: list[bytes] = []
        self._handshake = Handshake(settings, self._outgoing, self._reply)
        self._control: list[bytes] = []
        self._had_sack = False
        self._receiver = Receiver(settings.window, INITIAL_WINDOW, settings.max_message)
        self.queue: SendQueue = SendQueue()
        self.path: PathMtu = PathMtu(settings.sizes)
        self._sender: Sender | None = None
        self._resets: StreamResets | None = None
        self._probe_tsn = settings.tsn - 1  # repeated by the latest path MTU probe
        self.state: State = State.CLOSED
        self._probe: bytes | None = None
        self.events: EventQueue = EventQueue(self._receiver.arrived)

    def connect(self, now: float) -> None:
        """Start the handshake (RFC 9260 section 5.1), unless it was started or is over."""
        if self.state is State.CLOSED and not (self._handshake.peer or self._receiver.is_over):
            self._handshake.send_init(now)
            self._enter(State.COOKIE_WAIT)

    def send(self, message: Message) -> None:
        """Queue a message, even before the association is established."""
        self.queue.put(message)

    def reset(self, stream: int) -> bool:
        """Reset a stream after its messages were sent; return whether the peer supports that."""
        if self._resets is None or self._handshake.peer is None or not self._handshake.peer.resets:
            return False
        self._resets.add(stream)
        return True

    @property
    def has_pending_resets(self) -> bool:
        """True if there are streams to reset for which no request was sent yet."""
        return self._resets is not None and self._resets.has_queued

    def stream_reused(self, stream: int) -> None:
        """Note that the remote peer reuses a stream, whose pending reset is then complete."""
        if self._resets is not None:
            self._resets.stream_reused(stream)

    def abort(self) -> None:
        """Abort the association and tell the remote peer (RFC 9260 section 9.1)."""
        if self.state is not State.CLOSED:
            self._outgoing.append(self._handshake.header.seal(chunk(Kind.ABORT, 0, b"")))
            self._close("aborted locally")

    def path_changed(self, now: float, *, was_lost: bool) -> None:
        """Adapt to a new network path, or to one that is back.

        Args:
            now: The time.
            was_lost: Whether there was no path before: then all unacknowledged data is sent again.
        """
        if self._sender is None or self._resets is None:
            if was_lost:
                self._handshake.retry(now)
            return
        # A SACK may have been lost on the old path, which would cost the remote peer a time-out.
        self._receiver.acknowledge(now)
        if self.path.moved(now):
            self._sender.size_changed()
        if was_lost:
            self._sender.path_changed(now)
            self._resets.path_changed(now)
        else:
            self._sender.forget_path()

    def hold(self, size: int) -> None:
        """Add to the unread bytes, which reduce the receive window; negative when they are read."""
        self._receiver.unread += size

    def take_datagrams(self, now: float) -> list[bytes]:
        """Fill packets with everything that may be sent now; return them in order."""
        self._flush(now)
        taken = self._outgoing.copy()
        self._outgoing.clear()
        return taken

    def take_probe(self) -> bytes | None:
        """Return a packet to send after the others and without IP fragmentation (RFC 8899).

        If it exceeds the MTU of the local interface, call :meth:`probe_refused`.
        """
        probe, self._probe = self._probe, None
        return probe

    def poll_event(self) -> Event | None:
        """Return the next event, such as a message that arrived; ``None`` if there is none."""
        return self.events.poll()

    def poll_changes(self) -> Changes | None:
        """Return what has changed in the queues of both directions; ``None`` if nothing has."""
        sent, abandoned = self._sender.take_done() if self._sender else ([], [])
        skipped, freed = self._receiver.take_skipped(), self.queue.take_freed()
        has_changed = sent or abandoned or skipped or freed
        return Changes(sent, abandoned, skipped, freed) if has_changed else None

    @property
    def sender(self) -> Sender | None:
        """The sending half; ``None`` unless the association is established."""
        return self._sender

    @property
    def streams(self) -> int:
        """Number of streams in each direction; 0 before the handshake."""
        peer = self._handshake.peer
        return min(peer.inbound, peer.outbound) if peer is not None else 0

    @property
    def window(self) -> int:
        """The current receive window, in bytes."""
        return self._receiver.window

    @property
    def deadline(self) -> float:
        """Time of the next :meth:`handle_timeout`."""
        due = min(self._handshake.deadline, self._receiver.deadline)
        if self._sender is not None and self._resets is not None:
            due = min(due, self._sender.deadline, self._resets.deadline, self.path.deadline)
        return due

    def handle_timeout(self, now: float) -> None:
        """Process the timers that are due."""
        self._handshake.handle_timeout(now)
        self._receiver.handle_timeout(now)
        if self._sender is not None and self._resets is not None:
            self._sender.handle_timeout(now)
            self._resets.handle_timeout(now, self._sender.rto, RTO_MAX)
            if self.path.handle_timeout(now):
                self._sender.size_changed()

    def receive(self, packet: bytes, now: float) -> None:
        """Process a packet; the rest of a malformed one is dropped, and all once it is closed."""
        if self._receiver.is_over:
            return
        if not self._expected.fits(packet):
            if self._expected_init.fits(packet):
                self._handshake.receive_init(packet, now)
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
                        self._perform_resets()
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
            counts_sacks = self._handshake.peer is not None and not self._handshake.peer.stretches
            self._receiver.packet_ends(now, counts_sacks=counts_sacks)
            if counts_sacks:
                self._send_sack()

    def _send_sack(self) -> None:
        """Acknowledge at least every second packet separately (RFC 9260 section 6.2)."""
        if self._receiver.is_due and (sack := self._receiver.sack()) is not None:
            self._outgoing.append(self._handshake.header.seal(sack))

    def _perform_resets(self) -> None:
        if self._resets is not None:
            self._resets.on_data()

    def _receive_sack(self, body: bytes, now: float) -> None:
        # No implementation sends several SACKs in one packet, and each costs time.
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
            case Kind.INIT_ACK | Kind.COOKIE_ECHO | Kind.COOKIE_ACK | Kind.ERROR:
                self._shake_hands(kind, body, now)
            case Kind.ABORT:
                self._close("aborted by the remote peer")
            case Kind.SHUTDOWN:
                if self.state is State.ESTABLISHED:
                    self._enter(State.SHUTDOWN_RECEIVED)
            case Kind.SHUTDOWN_COMPLETE:
                if self.state is State.SHUTDOWN_ACK_SENT:
                    self._close("shut down by the remote peer")
            case Kind.RE_CONFIG:
                self._receive_resets(body, now)
            case Kind.FORWARD_TSN:
                self._receiver.skip(body)
                self._perform_resets()
            case Kind.I_FORWARD_TSN:
                self._receiver.skip_interleaved(body)
                self._perform_resets()
            case Kind.HEARTBEAT:
                logger.debug("a heartbeat of %d bytes is not answered", len(body))
            case _:
                # RFC 9260 section 3.2: the upper bits say whether the remaining chunks may be
                # processed.
                if kind < 128:
                    raise Malformed(f"a chunk of the unknown type {kind}")

    def _receive_resets(self, body: bytes, now: float) -> None:
        if self._resets is None or self._sender is None:
            return
        for kind, content in parameters(body):
            self._resets.receive(kind, content, now, self._sender.rto)

    def _shake_hands(self, kind: int, body: bytes, now: float) -> None:
        state = self._handshake.receive(kind, body, self.state, now)
        if state is State.ESTABLISHED and self.state is not State.ESTABLISHED:
            self._establish(now)
        elif state is not self.state:
            self._enter(state)

    def _reply(self, control: bytes) -> None:
        """Queue a control chunk; beyond the limit it is dropped, as if it was lost."""
        if len(self._control) < MAX_REPLIES:
            self._control.append(control)

    def _establish(self, now: float) -> None:
        peer, settings = self._handshake.peer, self._settings
        if peer is None:
            return
        self._handshake.stop()
        self._receiver.begin(peer.tsn)
        interleaves = settings.interleaves and peer.interleaves
        self.queue.interleaves = interleaves
        self._resets = StreamResets(
            settings.tsn,
            peer.tsn,
            receiver=self._receiver,
            queue=self.queue,
            events=self.events,
        )
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

    def _flush(self, now: float) -> None:
        control = self._control
        sender, resets = self._sender, self._resets
        if sender is None or resets is None or self.state is State.CLOSED:
            self._outgoing.extend(self._handshake.header.seal(each) for each in control)
            control.clear()
            return
        if (sack := self._receiver.sack()) is not None:
            control.insert(0, sack)
        if resets.outgoing:
            control += resets.outgoing
            resets.outgoing.clear()
        # Keep the order if a channel is closed and then another one is opened.
        self._request_resets(sender, resets, now)
        sender.flush(self._handshake.header, control, self._outgoing, now)
        self._request_resets(sender, resets, now)
        if self.path.probe is not None:
            self._probe_path(self.path.probe, sender, now)
        if self.state is State.SHUTDOWN_RECEIVED and sender.is_done:
            self._outgoing.append(self._handshake.header.seal(chunk(Kind.SHUTDOWN_ACK, 0, b"")))
            self._enter(State.SHUTDOWN_ACK_SENT)

    def _request_resets(self, sender: Sender, resets: StreamResets, now: float) -> None:
        if resets.has_queued:
            resets.request(sender.last_tsn, self.queue.has, now, sender.rto)
            if resets.outgoing:
                self._outgoing.append(self._handshake.header.seal(b"".join(resets.outgoing)))
                resets.outgoing.clear()

    def _probe_path(self, size: int, sender: Sender, now: float) -> None:
        self._probe_tsn = sender.recovery.cumulative
        self._probe = path_mtu_probes.encode(
            self._handshake.header,
            size,
            pads=self._handshake.peer is not None and self._handshake.peer.pads,
            interleaves=self.queue.interleaves,
            acknowledged=self._probe_tsn,
        )
        self.path.tried(now, sender.rto)

    def probe_refused(self, now: float) -> None:
        """Note that the probe exceeds the MTU of the local interface."""
        self.path.refused(now)

    def _confirm(self, body: bytes, now: float) -> None:
        size = path_mtu_probes.answered(body)
        if size is not None and self.path.confirmed(size, now) and self._sender is not None:
            logger.debug("SCTP packets may have %d bytes", size)
            self._sender.size_changed()

    def _fail(self, error: Fatal) -> None:
        cause = encode_parameters([(error.cause, error.information)])
        self._outgoing.append(self._handshake.header.seal(chunk(Kind.ABORT, 0, cause)))
        logger.warning("aborted the SCTP association: %s", error)
        self._close(str(error))

    def _close(self, reason: str) -> None:
        if self.state is State.CLOSED:
            return
        self._enter(State.CLOSED)
        self._handshake.stop()
        self._receiver.end()
        self._sender = self._resets = self._probe = None
        self.events.append(Closed(reason))

    def _enter(self, state: State) -> None:
        logger.debug("SCTP %s -> %s", self.state, state)
        self.state = state
