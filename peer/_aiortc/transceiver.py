"""``RTCRtpTransceiver`` that reports changes, and access to its codecs."""

from collections.abc import Callable, Iterable
from typing import Any

from aiortc import RTCDtlsTransport, RTCRtpReceiver, RTCRtpTransceiver
from aiortc.codecs import CODECS
from aiortc.rtcpeerconnection import filter_preferred_codecs, find_common_codecs
from aiortc.sdp import SessionDescription

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


def negotiated_media(transceiver: RTCRtpTransceiver) -> tuple[list[Any], list[Any]]:
    """Return the codecs and header extensions that a transceiver uses."""
    return transceiver._codecs, transceiver._headerExtensions


def set_media(transceiver: RTCRtpTransceiver, codecs: list[Any], extensions: list[Any]) -> None:
    """Set the codecs and header extensions that a transceiver uses."""
    transceiver._codecs, transceiver._headerExtensions = codecs, extensions


def prefers_codecs(transceiver: RTCRtpTransceiver) -> bool:
    """Return whether ``setCodecPreferences()`` was called."""
    return bool(transceiver._preferred_codecs)


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


def shares_codec(kind: str, lines: Iterable[str], transceiver: RTCRtpTransceiver | None) -> bool:
    """Return whether a media section has a codec that this side knows, and a transceiver prefers.

    Args:
        kind: ``audio`` or ``video``.
        lines: The section's ``rtpmap``, ``rtcp-fb`` and ``fmtp``.
        transceiver: The one that the section is for, if there is one already.
    """
    lines = [line for line in lines if not line.startswith("a=rtcp-fb:")]
    formats = " ".join(line.split()[0][9:] for line in lines if line.startswith("a=rtpmap:"))
    media = "".join(f"{line}\r\n" for line in (f"m={kind} 9 RTP/SAVPF {formats}", *lines))
    (section,) = SessionDescription.parse(f"v=0\r\n{media}").media
    common = find_common_codecs(CODECS[kind], section.rtp.codecs)
    preferred = transceiver._preferred_codecs if transceiver is not None else []
    return bool(filter_preferred_codecs(common, preferred))
