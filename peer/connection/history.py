"""History of a connection: its timeline, the verdict about it, and warnings in time."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiortc import RTCPeerConnection, RTCSessionDescription

from .._aiortc import ConnectionAdapter
from .._util.loop_timers import Timer
from .._util.peer_logger import NamingLogger
from ..diagnosis.diagnose import (
    CHECK_PATIENCE,
    HANDSHAKE_PATIENCE,
    MEDIA_PATIENCE,
    SIGNALING_PATIENCE,
    diagnose,
    server_verdict,
)
from ..diagnosis.events import (
    MOST_SECTIONS_TOLD,
    CandidateReceived,
    CandidateSent,
    ConnectionClosed,
    DescriptionApplied,
    EstimateTaken,
    KeyFrameReceived,
    MediaStarted,
    StateChanged,
    WarningGiven,
)
from ..diagnosis.facts import ClosedBySide, ConnectionFacts
from ..diagnosis.timeline import Timeline
from ..diagnosis.verdict import Verdict, VerdictCause
from ..ice.events import IceEvent, RoundTripsMeasured, ServerAsked
from ..ice.plain_facts import remote_facts
from .connection_facts import FactsCollector
from .context import Context

if TYPE_CHECKING:
    from .remote_candidates import RemoteCandidate

logger: NamingLogger = NamingLogger(__name__)

LOOK_AGAIN = 1.0
"""Seconds until a connection that is still connecting is looked at again."""

ABORT_GRACE = 1.0
"""Seconds from the end of the association until it is told: a remote peer that closes the
connection ends it first."""

_SLACK = 0.1
"""Seconds after the end of a patience at which it is looked at."""

_STATES = {
    "connectionstatechange": ("connection", "connectionState"),
    "iceconnectionstatechange": ("ice-connection", "iceConnectionState"),
    "icegatheringstatechange": ("ice-gathering", "iceGatheringState"),
    "signalingstatechange": ("signaling", "signalingState"),
}

_SECTION = re.compile(r"^m=(\S{1,16}) (\d{1,5}) |^a=mid:(\S{1,32})|^a=(bundle-only)", re.MULTILINE)

Section = tuple[str, str, bool]
"""Kind and mid of a media section, and whether it is rejected."""


def sections_of(text: str) -> list[Section]:
    """Return the media sections of a description; one with port 0 is rejected (RFC 3264).

    An offered section that is to be bundled has port 0 and ``a=bundle-only`` (RFC 9143).
    """
    found: list[list[Any]] = []
    for kind, port, mid, bundle_only in _SECTION.findall(text):
        if kind:
            found.append([kind, "", int(port) == 0])
        elif found and mid:
            found[-1][1] = mid
        elif found and bundle_only:
            found[-1][2] = False
    return [(kind, mid, rejected) for kind, mid, rejected in found]


class History:
    """Records what happens to a connection, and says what is wrong with it.

    Args:
        connection: The connection.
        context: Its configuration.
    """

    def __init__(self, connection: RTCPeerConnection, context: Context) -> None:
        self._connection = connection
        self._context = context
        self.timeline: Timeline = Timeline(context.configuration.timeline_events, _now)
        self._began_at = _now()
        self._described_at = self._began_at
        self._offered: list[Section] = []
        self._rejected: frozenset[str] = frozenset()
        self._closed_by = ClosedBySide.NOBODY
        self._last: Verdict | None = None
        self._warned: set[VerdictCause] = set()
        self._timer: Timer | None = None
        self._look_at = float("inf")
        self.signaling: Callable[[], tuple[bool, str]] = lambda: (False, "")
        """Returns whether signaling is lost, and the reason if the remote peer has left."""

    def begin(self, adapter: ConnectionAdapter) -> None:
        """Take the adapter, which is made after this one."""
        self._adapter = adapter
        adapter.on_transport_state = self._on_transport_state
        adapter.on_first_packet = self._on_first_packet
        adapter.on_first_key_frame = self._on_first_key_frame
        adapter.on_closed_by_remote = self._on_closed_by_remote

    # --- the verdict

    def facts(self) -> ConnectionFacts:
        """Return all that is known of the connection now."""
        now = _now()
        lost, left = self.signaling()
        collector = FactsCollector(self._connection, self._adapter, now, self._described_at)
        ice, dtls = collector.transport()
        return ConnectionFacts(
            seconds=now - self._began_at,
            local_described=self._adapter.latest("Local") is not None,
            remote_described=self._adapter.latest("Remote") is not None,
            peer_left=left,
            signaling_lost=lost,
            ice=ice,
            dtls=dtls,
            sctp=collector.sctp(),
            media=collector.media(self._rejected),
            closed_by=self._closed_by,
        )

    def diagnose(self, *, gave_up: bool = False) -> Verdict:
        """Return the verdict; of a connection that is closed, the one from before."""
        if self._last is not None:
            return self._last
        return diagnose(self.facts(), gave_up=gave_up)

    # --- what is recorded

    def record_ice(self, event: IceEvent) -> None:
        """Record an event of an ICE agent."""
        self.timeline.record(event)
        if isinstance(event, ServerAsked) and event.server.is_turn and event.server.problem:
            asyncio.get_running_loop().call_soon(self._look_at_servers)
        elif isinstance(event, RoundTripsMeasured):
            bitrate = FactsCollector.available_bitrate(self._adapter)
            if bitrate is not None:
                self.timeline.record(EstimateTaken(bitrate))

    def described(self, side: str, description: RTCSessionDescription) -> None:
        """Record a description that was applied."""
        kind, text = description.type, description.sdp
        sections = sections_of(text)
        told = [
            f"{what} {mid}{' rejected' if rejected else ''}"
            for what, mid, rejected in sections[:MOST_SECTIONS_TOLD]
        ]
        event = DescriptionApplied(side, kind, len(text), tuple(told), len(sections))
        self.timeline.record(event)
        if kind == "offer":
            self._offered = sections
        elif kind == "answer":
            wanted = {mid for what, mid, rejected in self._offered if not rejected}
            self._rejected = frozenset(
                mid
                for what, mid, rejected in sections
                if rejected and mid in wanted and what != "application"
            )
        self._described_at = _now()
        self._look_in(SIGNALING_PATIENCE if kind == "offer" else MEDIA_PATIENCE)

    def rolled_back(self, side: str) -> None:
        """Record that a description was taken back."""
        self.timeline.record(DescriptionApplied(side, "rollback", 0))

    def remote_candidate(self, remote: "RemoteCandidate") -> None:
        """Record a candidate of the remote peer that the application has brought."""
        candidate = remote.candidate
        told = remote_facts(candidate) if candidate is not None else None
        self.timeline.record(CandidateReceived(told, remote.sdpMid))

    def emitted(self, event: str, args: tuple[Any, ...]) -> None:
        """Record an event of the connection that the application is told."""
        if event in _STATES:
            of, name = _STATES[event]
            state = getattr(self._connection, name)
            self.timeline.record(StateChanged(of, state))
            if of == "ice-connection":
                self._on_ice_state(state)
        elif event == "icecandidate":
            candidate = args[0]
            told = remote_facts(candidate) if candidate is not None else None
            self.timeline.record(CandidateSent(told, candidate and candidate.sdpMid))

    def _on_first_packet(self, kind: str, direction: str, ssrc: int) -> None:
        self.timeline.record(MediaStarted(kind, direction, ssrc))

    def _on_first_key_frame(self, mid: str) -> None:
        self.timeline.record(KeyFrameReceived(mid))

    def _on_transport_state(self, of: str, state: str, reason: str) -> None:
        self.timeline.record(StateChanged(of, state, reason))
        if state == "failed":
            self._look_soon()
        elif (of, state) == ("sctp", "closed"):
            self._look_in(ABORT_GRACE)
        elif (of, state) == ("dtls", "connected"):
            self._described_at = max(self._described_at, _now())
            self._look_in(MEDIA_PATIENCE)

    # --- warnings

    def _on_ice_state(self, state: str) -> None:
        match state:
            case "checking":
                self._look_in(CHECK_PATIENCE)
            case "completed" | "connected":
                self._warned.clear()  # whatever is wrong from now on is news
                self._look_in(HANDSHAKE_PATIENCE)
            case "disconnected" | "failed":
                self._look_soon()

    def _look_soon(self) -> None:
        # What has changed its state goes on to change others in this turn of the event loop.
        if not self._context.is_closing:
            asyncio.get_running_loop().call_soon(self._look)

    def _look_in(self, seconds: float) -> None:
        if self._context.is_closing:
            return
        if self._timer is None:
            self._timer = Timer(self._look)
        # The earliest counts: whoever looks says when the next look is due.
        self._look_at = min(self._look_at, _now() + seconds + _SLACK)
        self._timer.set(self._look_at)

    def _look_at_servers(self) -> None:
        if self._context.is_closing:
            return
        verdict = server_verdict(self.facts())
        if verdict is not None:
            self._warn(verdict)

    def _look(self) -> None:
        """Look at the connection, and warn if something is wrong."""
        self._look_at = float("inf")
        if self._context.is_closing:
            return
        verdict = self.diagnose()
        if verdict.is_failure:
            self._warn(verdict)
        if self._connection.connectionState in ("new", "connecting") and (
            self._adapter.latest("Remote") is not None or not verdict.is_failure
        ):
            self._look_in(LOOK_AGAIN)
        elif not verdict.is_failure and _now() < self._described_at + MEDIA_PATIENCE:
            self._look_in(self._described_at + MEDIA_PATIENCE - _now())

    def _warn(self, verdict: Verdict) -> None:
        if verdict.cause in self._warned:
            return
        self._warned.add(verdict.cause)
        self.timeline.record(WarningGiven(str(verdict.phase), str(verdict.cause)))
        logger.info("%s: %s. See %s", verdict.phase, verdict.cause, verdict.reference)
        self._connection.emit("warning", verdict)

    # --- the end

    def _on_closed_by_remote(self) -> None:
        self._closed_by = ClosedBySide.THEM

    def closing(self) -> None:
        """Record that the connection is closed, and keep the verdict of what there was."""
        before = diagnose(self.facts())
        if self._closed_by is ClosedBySide.NOBODY:
            self._closed_by = ClosedBySide.US
        self.timeline.record(ConnectionClosed(str(self._closed_by)))
        self._last = before if before.is_failure else diagnose(self.facts())
        if self._timer is not None:
            self._timer.close()


def _now() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # a connection may be made before its event loop runs
        return time.monotonic()
