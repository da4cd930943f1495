"""Encoder of one sender: encodes one frame at a time, in a thread unless that is no work."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from av import VideoFrame
from av.packet import Packet

from icefloe.encoding import AudioEncoder, VideoEncoder

_OPUS_BITRATE = 96_000
"""Bits per second, for stereo."""

NO_FRAME: Final = object()
"""Argument of :func:`encode_audio` for no new frame. A track may return ``None``, which is a frame
that cannot be encoded."""


class SenderEncoder:
    """The audio or video encoder of one sender.

    It is created at its first use, and again after :meth:`discard`. A frame whose caller is
    cancelled is encoded to the end; :meth:`idle` waits for it, because encoders are not
    thread-safe.

    Args:
        kind: ``"audio"`` or ``"video"``.

    Attributes:
        codec: The name of the codec of the next encoder that is created.
    """

    def __init__(self, kind: str) -> None:
        self.codec = ""
        self._kind = kind
        self._encoder: Any = None
        self._expected_loss = 0.0
        self._audio_bitrate = _OPUS_BITRATE
        self._encoding: asyncio.Future[list[Packet[Any]]] | None = None

    @property
    def is_audio(self) -> bool:
        """True if there is an encoder and it encodes audio."""
        return isinstance(self._encoder, AudioEncoder)

    @property
    def idle_audio(self) -> AudioEncoder | None:
        """The audio encoder; ``None`` if there is none or it is encoding."""
        is_idle = self._encoding is None or self._encoding.done()
        return self._encoder if is_idle and isinstance(self._encoder, AudioEncoder) else None

    def audio_due(self) -> tuple[AudioEncoder, float] | None:
        """Return the audio encoder and the time when its queued audio is due.

        Returns:
            Seconds of ``time.monotonic()``; ``None`` if no audio is queued or the encoder is busy.
        """
        encoder = self.idle_audio
        due = None if encoder is None else encoder.queue.due()
        return None if encoder is None or due is None else (encoder, due)

    def discard(self) -> None:
        """Forget the encoder: the next frame needs another one."""
        self._encoder = None

    def expect_loss(self, loss: float) -> None:
        """Set the fraction of lost packets that an audio encoder shall expect, 0 to 1."""
        self._expected_loss = loss
        if isinstance(self._encoder, AudioEncoder):
            self._encoder.expected_loss = loss

    def limit_bitrate(self, bitrate: int | None) -> None:
        """Set the bits per second of an audio encoder; ``None`` for the usual ones."""
        self._audio_bitrate = min(bitrate or _OPUS_BITRATE, _OPUS_BITRATE)
        if isinstance(self._encoder, AudioEncoder):
            self._encoder.bitrate = self._audio_bitrate

    async def idle(self) -> Any:
        """Return the encoder once it is idle, or a new one.

        Raises:
            EncodingError: The encoder cannot be created.

        Cancellation: safe.
        """
        if self._encoding is not None and not self._encoding.done():
            await asyncio.wait((self._encoding,))
        if self._encoder is None:
            self._encoder = self._create()
        return self._encoder

    async def run_audio(self, frame: object, now: float, *, muted: bool) -> list["Packet[Any]"]:
        """Queue an audio frame and encode what is due; see :func:`encode_audio`.

        What takes less time than waking a thread is done here, in the event loop.

        Returns:
            The encoded packets.

        Cancellation: safe; like :meth:`run`.
        """
        encoder: AudioEncoder = await self.idle()
        if encoder.is_quick(frame, now):
            return encode_audio(encoder, frame, now, muted)
        return await self.run(encode_audio, encoder, frame, now, muted)

    async def run(
        self, encode: Callable[..., list["Packet[Any]"]], *arguments: object
    ) -> list["Packet[Any]"]:
        """Run :func:`encode_video` or :func:`encode_audio` in a thread.

        Args:
            encode: The function.
            arguments: Its arguments; the encoder is the one that :meth:`idle` returned.

        Returns:
            The encoded packets.

        Cancellation: safe; the thread finishes the frame, and its packets are lost.
        """
        self._encoding = asyncio.get_running_loop().run_in_executor(None, encode, *arguments)
        # After a cancellation nobody awaits the future, which would then log its exception.
        self._encoding.add_done_callback(_retrieve_exception)
        return await asyncio.shield(self._encoding)

    def _create(self) -> Any:
        if self._kind == "video":
            return VideoEncoder(self.codec)
        encoder = AudioEncoder(self.codec, bitrate=self._audio_bitrate)
        encoder.expected_loss = self._expected_loss
        return encoder


def encode_video(
    encoder: VideoEncoder, frame: VideoFrame, timestamp: int, key_frame: bool, scale: float
) -> list["Packet[Any]"]:
    """Encode a video frame.

    Args:
        encoder: The encoder.
        frame: The frame.
        timestamp: Its RTP timestamp, not wrapped.
        key_frame: Whether to encode a key frame.
        scale: Divisor of width and height, 1 or more.

    Raises:
        EncodingError: The frame cannot be encoded.
    """
    return encoder.encode(frame, at=timestamp, key_frame=key_frame, scale_down_by=scale)


def encode_audio(
    encoder: AudioEncoder, frame: object, now: float, muted: bool
) -> list["Packet[Any]"]:
    """Queue an audio frame and encode the queued audio that is due.

    Args:
        encoder: The encoder.
        frame: The frame, or :data:`NO_FRAME`.
        now: The time when the frame came from the track, in seconds of ``time.monotonic()``.
        muted: Whether to encode silence instead.

    Raises:
        UnusableSound: The frame cannot be used.
    """
    if frame is not NO_FRAME:
        encoder.put(frame, now)
    return encoder.take(time.monotonic(), muted=muted)


def _retrieve_exception(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()
