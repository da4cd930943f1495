"""A peer of the glass-to-glass benchmark in Python: icefloe or plain aiortc.

JSON lines in, JSON lines out, as :mod:`tests.bench.peers.program`; it is ``open`` when it is
connected.

===============  ==================================================================================
``start``        ``offerer``, who sends pictures, and their ``codec``; once, before all else
``description``  ``description``: the other side's
``report``       report ``pictures``: ``[number, at]`` of those that were ``made`` or ``seen``, and
                 the ``size`` of the last one
===============  ==================================================================================

::

    python -m tests.bench.peers.glass icefloe
"""

import asyncio
import sys

from tests.bench.peers.coded import HEIGHT, WIDTH, CodedTrack
from tests.bench.peers.picture_peer import PicturePeer
from tests.bench.peers.python_peer import run
from tests.natlab.program import Message, log_to_stderr


class GlassPeer(PicturePeer):
    """Sends pictures in a codec that is told, or reads them and notes the size of the last one."""

    _size = WIDTH, HEIGHT

    def _send(self, message: Message) -> None:
        self._send_pictures(CodedTrack(), f"video/{message['codec']}")

    def _report(self) -> Message:
        return {"size": self._size}

    def _see(self, at: float, width: int, height: int) -> None:
        self._size = width, height


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(run(GlassPeer(sys.argv[1])))
