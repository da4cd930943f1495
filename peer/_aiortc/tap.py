"""Receivers that hand on what they receive before it is decoded."""

import weakref
from typing import Any

from aiortc import MediaStreamTrack, RTCRtpReceiver, rtp
from aiortc.rtp import RtcpPsfbPacket

from icefloe.logs import get_logger

from ..rtp.receive.encoded_stream import EncodedStream
from .dtls import DtlsTransport
from .private import Private

logger = get_logger(__name__)


class _Tap:
    """Stands where the receiver has the queue of its decoder: sees each frame that is whole."""

    def __init__(self, receiver: "TappedReceiver", queue: Any) -> None:
        self.receiver, self.queue = receiver, queue

    def put(self, task: Any) -> None:
        """Take a frame and its codec, or the end."""
        if task is not None and self.receiver.kind == "video":
            codec, frame = task
            if not self.receiver.origin.take(codec, frame.data, frame.timestamp):
                return
        self.queue.put(task)

    def get(self) -> Any:
        """Wait for the next one, in the decoder's thread."""
        return self.queue.get()


class TappedReceiver(RTCRtpReceiver):
    """``RTCRtpReceiver`` that hands on what it receives before it is decoded.

    Pictures are whole and in order; audio comes as it arrives.
    """

    origin: EncodedStream
    """The encoded stream, for forwarding."""

    @property
    def _private(self) -> Private:
        return Private(self, RTCRtpReceiver)

    def tap(self) -> None:
        """Begin to hand on."""
        self.origin = EncodedStream(self.ask_for_key_frame, self.is_read)
        _receivers.add(self)

    def is_read(self) -> bool:
        """Return whether anybody reads the decoded frames."""
        return True

    @property
    def source(self) -> int | None:
        """The SSRC of the media that is received; ``None`` before the first packet."""
        return None

    @property
    def kind(self) -> str:
        """``audio`` or ``video``."""
        kind: str = self._private["kind"]
        return kind

    @property
    def _RTCRtpReceiver__decoder_queue(self) -> _Tap:
        return _Tap(self, vars(self)["_RTCRtpReceiver__decoder_queue"])

    @_RTCRtpReceiver__decoder_queue.setter
    def _RTCRtpReceiver__decoder_queue(self, queue: Any) -> None:
        vars(self)["_RTCRtpReceiver__decoder_queue"] = queue

    @property
    def _RTCRtpReceiver__decoder_thread(self) -> Any:
        return vars(self)["_RTCRtpReceiver__decoder_thread"]

    @_RTCRtpReceiver__decoder_thread.setter
    def _RTCRtpReceiver__decoder_thread(self, thread: Any) -> None:
        vars(self)["_RTCRtpReceiver__decoder_thread"] = thread
        if thread is None:
            self.origin.end()

    def ask_for_key_frame(self) -> None:
        """Send a PLI (RFC 4585 section 6.3.1), if anything was received yet."""
        own, media = self._private["rtcp_ssrc"], self.source
        if own is None or media is None or not isinstance(self.transport, DtlsTransport):
            return
        request = RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_PLI, ssrc=own, media_ssrc=media)
        try:
            self.transport.send_control(bytes(request))
        except ConnectionError:
            logger.debug("receiver.pli.dropped reason=closed")


_receivers: weakref.WeakSet[TappedReceiver] = weakref.WeakSet()


def origin_of(track: MediaStreamTrack) -> EncodedStream | None:
    """Return where a remote track comes from; ``None`` if it is no remote track of ours."""
    return next((r.origin for r in _receivers if r.track is track), None)
