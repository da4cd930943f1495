"""A peer of the capacity benchmark in Python: icefloe or plain aiortc.

JSON lines in, JSON lines out, as :mod:`tests.bench.peers.glass`; it is ``open`` when it is
connected.

===============  ==================================================================================
``start``        ``offerer``, who sends pictures, their ``size``, and whether there is ``sound``
``description``  ``description``: the other side's
``report``       report ``pictures``: ``[number, at]`` of those that were made or seen,
                 ``sizes``: ``[at, width, height]`` of each that is not as the one before, and
                 ``gaps`` in the sound: ``[at, seconds]``
===============  ==================================================================================

::

    python -m tests.bench.peers.capacity icefloe
"""

import asyncio
import sys
import time

import numpy as np
from av import AudioFrame

from tests.bench.peers.grain import GrainTrack, Listener, SteadyTone
from tests.bench.peers.picture_peer import PicturePeer
from tests.bench.peers.python_peer import run
from tests.natlab.program import Message, log_to_stderr


class CapacityPeer(PicturePeer):
    """Sends pictures with grain and a tone, or takes them and notes their sizes and the gaps.

    Args:
        stack: ``icefloe`` or ``aiortc``.
    """

    def __init__(self, stack: str) -> None:
        super().__init__(stack)
        self._sizes: list[tuple[float, int, int]] = []
        self._listener = Listener()

    def _send(self, message: Message) -> None:
        if message["sound"]:
            self._connection.addTransceiver(SteadyTone(), direction="sendonly")
        self._send_pictures(GrainTrack(*message["size"]), "video/VP8")

    def _report(self) -> Message:
        return {"sizes": self._sizes, "gaps": self._listener.until(time.monotonic())}

    def _see(self, at: float, width: int, height: int) -> None:
        if not self._sizes or self._sizes[-1][1:] != (width, height):
            self._sizes.append((at, width, height))

    def _hear(self, at: float, frame: AudioFrame) -> None:
        channels = len(frame.layout.channels)
        samples = np.frombuffer(memoryview(frame.planes[0]), np.int16)
        heard = samples[: frame.samples * channels : channels]
        self._listener.play(at, heard, frame.sample_rate)


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(run(CapacityPeer(sys.argv[1])))
