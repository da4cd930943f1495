"""Time stretching: audio played faster or slower at its original pitch."""

from fractions import Fraction

from av import AudioFrame
from av.error import BlockingIOError as FilterNeedsMore, EOFError as FilterEnded
from av.filter import Graph

from .pcm import SAMPLE_RATE

MIN_RATE, MAX_RATE = 0.25, 4.0

_SAMPLE_BYTES = 4


class Tempo:
    """FFmpeg's ``atempo`` filter on 48 kHz stereo ``s16``.

    Args:
        rate: Playback speed: seconds of audio per second, ``MIN_RATE`` to ``MAX_RATE``.
    """

    def __init__(self, rate: Fraction) -> None:
        self._rate = rate
        self._graph = Graph()
        last = self._graph.add_abuffer(
            sample_rate=SAMPLE_RATE,
            format="s16",
            layout="stereo",
            time_base=Fraction(1, SAMPLE_RATE),
        )
        # A single atempo filter keeps its quality between half and double speed.
        for step in _steps(float(rate)):
            tempo = self._graph.add("atempo", f"{step:.9f}")
            last.link_to(tempo)
            last = tempo
        last.link_to(self._graph.add("abuffersink"))
        self._graph.configure()
        self._given = self._got = 0

    @property
    def held(self) -> int:
        """Number of output samples that the filter holds back."""
        return max(0, int(self._given / self._rate) - self._got)

    def push(self, data: bytes) -> bytes:
        """Add audio, and return the available output."""
        if not data:
            return b""
        samples = len(data) // _SAMPLE_BYTES
        frame = AudioFrame("s16", "stereo", samples)
        frame.planes[0].update(data)
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = Fraction(1, SAMPLE_RATE)
        frame.pts = self._given
        self._given += samples
        self._graph.push(frame)
        return self._pull()

    def finish(self) -> bytes:
        """Flush the filter and return the rest; no audio can be added afterwards."""
        self._graph.push(None)
        return self._pull()

    def _pull(self) -> bytes:
        out = bytearray()
        while True:
            try:
                frame = self._graph.pull()
            except (FilterNeedsMore, FilterEnded):
                self._got += len(out) // _SAMPLE_BYTES
                return bytes(out)
            assert isinstance(frame, AudioFrame)
            out += bytes(frame.planes[0])[: frame.samples * _SAMPLE_BYTES]


def _steps(rate: float) -> list[float]:
    if rate < 0.5:
        return [0.5, rate / 0.5]
    if rate > 2.0:
        return [2.0, rate / 2.0]
    return [rate]
