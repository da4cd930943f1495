"""Audio of one sender: encodes what a track gives, and sends queued audio when it is due."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from aiortc import MediaStreamTrack
from av.packet import Packet

from icefloe.encoding import AudioEncoder

from .sender_encoder import NO_FRAME, SenderEncoder
from .track_reader import receive

_READY_BELOW = 0.002
"""Seconds from the end of one frame to the next one below which a track is taken to have its frames
ready, so that room is left for others. A track that waits for each frame leaves it by itself."""


class AudioSender:
    """Encodes audio frames by a :class:`SenderEncoder`.

    A frame may be longer than a packet; the rest of it waits in the encoder's queue until it is
    due, while the next frame is awaited.

    Args:
        encoder: The encoder of the sender.
        may_send: Returns whether media may be sent now.
        send: Sends an encoded packet of a track.
    """

    def __init__(
        self,
        encoder: SenderEncoder,
        may_send: Callable[[], bool],
        send: Callable[[MediaStreamTrack, "Packet[Any]"], None],
    ) -> None:
        self._encoder = encoder
        self._may_send = may_send
        self._send_packet = send
        self._sent_at = float("-inf")

    def close(self) -> None:
        """Let go of the sender. Idempotent."""
        self._may_send = bool
        self._send_packet = _drop

    async def next(self, track: MediaStreamTrack) -> Any:
        """Return the next frame of a track; send queued audio that becomes due meanwhile.

        Raises:
            MediaStreamError: The track has ended.
            TrackFailed: The track has failed.
            ConnectionError: The transport was closed.

        Cancellation: safe.
        """
        if self._due() is None:
            return await receive(track)
        reading = asyncio.ensure_future(receive(track))
        try:
            while (waiting := self._due()) is not None:
                encoder, due = waiting
                now = time.monotonic()
                has_ended = reading.done() and (reading.cancelled() or reading.exception())
                if reading.done() and not has_ended and encoder.queue.has_room(now):
                    break
                if due <= now:
                    await self.send(NO_FRAME, track)
                elif reading.done():
                    await asyncio.sleep(due - now)
                else:
                    await asyncio.wait((reading,), timeout=due - now)
            return await reading
        finally:
            reading.cancel()
            await asyncio.wait((reading,))
            if not reading.cancelled():
                reading.exception()

    async def finish(self, track: MediaStreamTrack) -> None:
        """Send the queued audio of a track that has ended; no-op for video."""
        if self._encoder.is_audio:
            (await self._encoder.idle()).queue.finish()
        while (waiting := self._due()) is not None:
            await asyncio.sleep(max(0.0, waiting[1] - time.monotonic()))
            await self.send(NO_FRAME, track)

    async def send(self, frame: object, track: MediaStreamTrack) -> None:
        """Encode an audio frame, or :data:`NO_FRAME`, and send the audio that is due.

        Raises:
            UnusableSound: The frame cannot be used.
            ConnectionError: The transport was closed.
        """
        now = time.monotonic()
        is_muted = not getattr(track, "enabled", True)
        packets = await self._encoder.run_audio(frame, now, muted=is_muted)
        if now - self._sent_at < _READY_BELOW:
            await asyncio.sleep(0)
        if self._may_send():
            for packet in packets:
                self._send_packet(track, packet)
        self._sent_at = time.monotonic()

    def _due(self) -> tuple[AudioEncoder, float] | None:
        return self._encoder.audio_due() if self._may_send() else None


def _drop(track: MediaStreamTrack, packet: "Packet[Any]") -> None:
    """Send nothing."""
