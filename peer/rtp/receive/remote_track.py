"""Track of media received from the remote peer."""

from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from av import AudioFrame, VideoFrame

from .capture_time import CaptureTimes
from .frame_queue import FrameQueue
from .muting import Muting

_AUDIO_QUEUE = 50, 5, 100
"""Sizes of the queue of 20 ms audio frames: capacity, frames kept after an overflow, and unread
frames after which decoding stops."""
_VIDEO_QUEUE = 3, 3, 90
"""The same for video frames, which are large."""


class RemoteTrack(RemoteStreamTrack):
    """A track of received media, as in the ``track`` event and ``peer.tracks()``.

    ``recv()`` returns an ``av.AudioFrame`` of 20 ms every 20 ms, or each ``av.VideoFrame``. Audio
    continues through packet loss, which is concealed, and through silence. It pauses a few seconds
    after the sender stops, and ``pts`` then skips that time. ``pts`` starts at 0, in units of
    ``time_base``, and continues when the sender's timestamps wrap or restart.

    The queue of an unread track is bounded. After 100 unread audio frames or 90 unread video
    frames, decoding stops. A reader that is late by less than a second of audio loses nothing;
    after a longer time it continues with the latest 100 ms. If video was not decoded meanwhile, it
    continues with a key frame, which is requested.

    It emits ``mute`` and ``unmute``, without arguments, when :attr:`muted` changes.
    """

    frames: FrameQueue[AudioFrame | VideoFrame]
    times: CaptureTimes
    muting: Muting

    def begin(self) -> None:
        """Initialize the members added to aiortc's track. Call it within an event loop."""
        self.frames = FrameQueue(*(_AUDIO_QUEUE if self.kind == "audio" else _VIDEO_QUEUE))
        self.times = CaptureTimes()
        self.muting = Muting()

    @property
    def muted(self) -> bool:
        """True while no media arrives (W3C mediacapture-main 4.3.1).

        That is before the first packet, while the negotiated direction does not include receiving,
        and after 3 s without a packet. The silence and the black frames of a disabled track count
        as media.
        """
        return self.muting.muted

    @property
    def dropped(self) -> int:
        """Number of decoded frames that were dropped unread."""
        return self.frames.dropped

    def capture_time(self, frame: AudioFrame | VideoFrame) -> float | None:
        """Return the capture time of a frame of this track, on the sender's clock.

        The times of audio and video from one sender use the same clock, that of its RTCP sender
        reports (RFC 3550 section 6.4.1), so they can be synchronized. The clock may differ from
        that of this machine. Between two audio frames, slightly more or less than their duration
        may pass where the jitter buffer adjusts its delay.

        Args:
            frame: A frame with its original ``pts``, or one derived from it.

        Returns:
            Seconds since 1970 (Unix time); ``None`` before the first sender report, which arrives
            within the first seconds, and for very old frames.
        """
        return None if frame.pts is None else self.times.capture_time(frame.pts)

    async def recv(self) -> AudioFrame | VideoFrame:
        """Return the next frame.

        Raises:
            MediaStreamError: The track has ended.

        Cancellation: safe; no frame is lost.
        """
        if self.readyState != "live":
            raise MediaStreamError
        frame = await self.frames.get()
        if frame is None or self.readyState != "live":
            self.stop()
            raise MediaStreamError
        return frame

    def stop(self) -> None:
        """End the track; a pending :meth:`recv` raises ``MediaStreamError``."""
        super().stop()
        self.frames.end()
