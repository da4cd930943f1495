"""``RTCRtpTransceiver`` that reports changes."""

from collections.abc import Callable
from typing import Any

from aiortc import RTCDtlsTransport, RTCRtpReceiver, RTCRtpTransceiver

from .private import Private
from .receiver import Receiver


class Transceiver(RTCRtpTransceiver):
    """``RTCRtpTransceiver`` that tells when it is changed."""

    on_change: Callable[[], None] | None = None

    @property
    def direction(self) -> str:
        return super().direction

    @direction.setter
    def direction(self, direction: str) -> None:
        changed = direction != super().direction
        RTCRtpTransceiver.direction.fset(self, direction)  # type: ignore[attr-defined]
        if changed:
            self._changed()

    def _setCurrentDirection(self, direction: str) -> None:
        super()._setCurrentDirection(direction)
        if isinstance(self.receiver, Receiver):
            self.receiver.directed()

    async def stop(self) -> None:
        was_stopped = self.stopped
        await super().stop()
        if not was_stopped:
            self._changed()

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()


def make_receiver(kind: str, transport: RTCDtlsTransport) -> Receiver:
    """Make a receiver of audio or video.

    Args:
        kind: ``audio`` or ``video``.
        transport: What it receives over.
    """
    # aiortc makes for each of video an estimator of a thousand objects and a jitter buffer, which
    # take longer than all the rest of a media section. The first is made with the first packet
    # here, and the second is another one.
    made: Any = RTCRtpReceiver("audio", transport)
    Private(made, RTCRtpReceiver)["kind"] = kind
    made.__class__ = Receiver
    assert isinstance(made, Receiver)
    made.tap()
    return made
