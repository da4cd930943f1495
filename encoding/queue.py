"""Encoded frames that wait for one reader, bounded without breaking the stream. No I/O.

A frame is of no use without the ones before it, back to a key frame: what is too much is dropped
as a whole, and it goes on with a key frame once somebody reads again.
"""

from collections import deque

from .packing import AnyPacket

MOST_BYTES = 32 * 1024 * 1024
"""Bytes that wait at most, beside one frame."""


class PacketQueue:
    """The frames of one stream, from a key frame on.

    Args:
        keep: How many may wait.

    Attributes:
        dropped: How many frames the reader did not get.
    """

    def __init__(self, keep: int) -> None:
        self.dropped = 0
        self._keep = keep
        self._packets: deque[AnyPacket] = deque()
        self._bytes = 0
        self._needs_key_frame = True
        self._is_stalled = False

    @property
    def needs_key_frame(self) -> bool:
        """Whether nothing can be given before a key frame comes."""
        return self._needs_key_frame

    def put(self, packet: AnyPacket) -> bool:
        """Add a frame if it is of use; return whether it was added."""
        if self._is_stalled or (self._needs_key_frame and not packet.is_keyframe):
            self.dropped += 1
            return False
        self._needs_key_frame = False
        is_full = len(self._packets) >= self._keep or self._bytes + packet.size > MOST_BYTES
        if self._packets and is_full:
            self.dropped += len(self._packets) + 1
            self.clear()
            self._needs_key_frame = self._is_stalled = True
            return False
        self._packets.append(packet)
        self._bytes += packet.size
        return True

    def get(self) -> "AnyPacket | None":
        """Return the oldest frame; ``None`` if there is none, and then the reader waits."""
        if self._packets:
            packet = self._packets.popleft()
            self._bytes -= packet.size
            return packet
        self._is_stalled = False
        return None

    def clear(self) -> None:
        """Forget what waits."""
        self._packets.clear()
        self._bytes = 0
