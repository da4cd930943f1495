"""A track that the other side sends."""

from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from av import AudioFrame, VideoFrame

from .capture_time import CaptureTimes
from .frame_queue import FrameQueue
from .muting import Muting

_AUDIO = 50, 5, 100
"""Frames of 20 ms that wait to be read, how many of them do after more had to go, and how many come
unread before none is decoded any more."""
_VIDEO = 3, 3, 90
"""Likewise pictures: they are large."""


class RemoteTrack(RemoteStreamTrack):
    """A track that the other side sends, as ``track`` events and ``peer.tracks()`` have it.

    ``recv()`` gives an ``av.AudioFrame`` of 20 ms each 20 ms, or an ``av.VideoFrame`` for each
    picture. Audio goes on through loss, which is concealed, and through silence; it pauses a few
    seconds after the sender stopped, and ``pts`` says for how long. ``pts`` counts in units of
    ``time_base`` from the first frame on, whatever wraps or begins anew at the sender.

    A track that nobody reads grows nothing, and after 100 frames of audio, or 90 pictures, nothing
    of it is decoded. A reader that is late by less than a second of audio loses nothing; one that
    was away for longer goes on with the latest 100 ms. Where pictures were not decoded, it waits
    for a key frame, which is asked for.

    It emits ``mute`` and ``unmute``, without an argument, when :attr:`muted` changes.
    """

    frames: FrameQueue[AudioFrame | VideoFrame]
    times: CaptureTimes
    muting: Muting

    def begin(self) -> None:
        """Take the place of aiortc's; within an event loop."""
        self.frames = FrameQueue(*(_AUDIO if self.kind == "audio" else _VIDEO))
        self.times = CaptureTimes()
        self.muting = Muting()

    @property
    def muted(self) -> bool:
        """Whether nothing comes: before the first packet, while the negotiated direction has
        nothing received, and after 3 s without a packet (W3C mediacapture-main 4.3.1). Silence and
        black pictures, which a sender sends for a track that is not enabled, are something."""
        return self.muting.muted

    @property
    def dropped(self) -> int:
        """How many frames were decoded and not read in time."""
        return self.frames.dropped

    def capture_time(self, frame: AudioFrame | VideoFrame) -> float | None:
        """Return when the other side captured a frame of this track.

        The times of audio and video that come from one sender are on one clock, the one of its
        RTCP sender reports (RFC 3550 section 6.4.1): the difference is how far they are apart. It
        is the clock of the other machine, and need not agree with this one's. Between two frames
        of audio it may pass a little more or less than they last, where the delay was changed.

        Args:
            frame: A frame with the ``pts`` that it was given, or one that was made of it.

        Returns:
            Seconds since 1970 (Unix time); ``None`` before the first report, which comes within
            the first seconds, and for frames that are long past.
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
        """End the track; who waits in :meth:`recv` is told."""
        super().stop()
        self.frames.end()
