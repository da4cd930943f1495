"""Bounded queue of encoded frames that resumes with a key frame after an overflow. No I/O.

A frame cannot be decoded without the frames before it, back to a key frame. So an overflow drops
the whole queue, and the queue accepts frames again from a key frame on, once it is read again.
"""

from collections import deque

from .packing import AnyPacket

MAX_BYTES = 32 * 1024 * 1024
"""Maximum bytes in the queue; a single larger frame is accepted."""


class PacketQueue:
    """A queue of the encoded frames of one stream that always begins with a key frame.

    Args:
        keep: Maximum number of frames in the queue.

    Attributes:
        dropped: Number of frames that were dropped.
    """

    def __init__(self, keep: int) -> None:
        self.dropped: int = 0
        self._keep = keep
        self._packets: deque[AnyPacket] = deque()
        self._bytes = 0
        self._needs_key_frame = True
        self._is_stalled = False

    @property
    def needs_key_frame(self) -> bool:
        """True if only a key frame is accepted next."""
        return self._needs_key_frame

    def put(self, packet: AnyPacket) -> bool:
        """Add a frame if it is decodable and fits; return whether it was added."""
        if self._is_stalled or (self._needs_key_frame and not packet.is_keyframe):
            self.dropped += 1
            return False
        self._needs_key_frame = False
        is_full = len(self._packets) >= self._keep or self._bytes + packet.size > MAX_BYTES
        if self._packets and is_full:
            self.dropped += len(self._packets) + 1
            self.clear()
            self._needs_key_frame = self._is_stalled = True
            return False
        self._packets.append(packet)
        self._bytes += packet.size
        return True

    def get(self) -> "AnyPacket | None":
        """Take and return the oldest frame; ``None`` if the queue is empty."""
        if self._packets:
            packet = self._packets.popleft()
            self._bytes -= packet.size
            return packet
        self._is_stalled = False
        return None

    def clear(self) -> None:
        """Drop all frames in the queue."""
        self._packets.clear()
        self._bytes = 0
