"""The ``negotiationneeded`` event of a connection (W3C webrtc-pc 4.7.3)."""

import asyncio
from collections.abc import Callable

from aiortc import RTCPeerConnection

from .._aiortc import ConnectionAdapter, prefers_codecs
from .context import Context
from .descriptions import Descriptions
from .perfect_negotiation import MediaSection, needs_negotiation


class NegotiationNeeded:
    """Fires the event once, until the connection is stable again.

    Args:
        connection: The connection.
        context: Tells whether it is closing.
        is_busy: Tells whether an operation runs; the check is repeated after it.
        replacing: Returns the username fragments that an ICE restart is to replace.
    """

    def __init__(
        self,
        connection: RTCPeerConnection,
        context: Context,
        *,
        is_busy: Callable[[], bool],
        replacing: Callable[[], frozenset[str]],
    ) -> None:
        self._connection = connection
        self._context = context
        self._is_busy = is_busy
        self._replacing = replacing
        self._was_fired = False
        self._is_scheduled = False

    def begin(self, adapter: ConnectionAdapter, descriptions: Descriptions) -> None:
        """Take the parts that are made after this one."""
        self._adapter = adapter
        self._descriptions = descriptions

    def check_soon(self) -> None:
        """Check in the next turn of the event loop whether negotiation is needed."""
        if self._is_scheduled or self._context.is_closing:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # made before its loop runs: the first operation checks
        self._is_scheduled = True
        loop.call_soon(self._check)

    def _check(self) -> None:
        self._is_scheduled = False
        if not self._was_fired and not self._context.is_closing and self.is_needed():
            self._was_fired = True
            self._connection.emit("negotiationneeded")

    def reset(self) -> None:
        """Have the event fired again, if negotiation is still needed at the next check."""
        self._was_fired = False

    def is_needed(self) -> bool:
        """Return whether an offer is due; never while something is pending."""
        if self._connection.signalingState != "stable" or self._is_busy():
            return False
        local = self._adapter.description("currentLocal")
        remote = self._adapter.description("currentRemote")
        locals_, remotes = (
            {m.rtp.muxId: m.direction for m in (d.media if d else ())} for d in (local, remote)
        )
        sections = [
            MediaSection(
                wanted=t.direction,
                stopped=t.stopped,
                associated=t.mid is not None,
                rejected=t.mid in self._descriptions.writer.rejected,
                local=locals_.get(t.mid or ""),
                remote=remotes.get(t.mid or ""),
                offered_here=local is not None and local.type == "offer",
            )
            for t in self._connection.getTransceivers()
        ]
        sctp = self._connection.sctp
        return bool(self._replacing()) or needs_negotiation(
            sections,
            has_channels=sctp is not None,
            channels_negotiated=sctp is not None and sctp.mid in locals_,
        )

    def wanted(self) -> object:
        """Return what the next offer would ask for, to compare with an earlier one."""
        media = [
            (t, t.direction, t.stopped, prefers_codecs(t))
            for t in self._connection.getTransceivers()
        ]
        return media, self._connection.sctp, self._replacing()
