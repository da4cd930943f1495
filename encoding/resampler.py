"""Resampler by FFmpeg's filters that runs in the calling thread.

``av.AudioResampler`` makes a filter graph that has a thread for each processor, up to 16, which do
nothing: no filter of sound divides its work. With a resampler for each call these add up.
"""

from errno import EAGAIN

from av import AudioFrame
from av.error import FFmpegError
from av.filter import Graph


class Resampler:
    """Converts frames of one format, that of the first one.

    Args:
        type: FFmpeg's name of the sample format of the output.
        layout: FFmpeg's name of its channel layout.
        rate: Its sample rate, in hertz.
    """

    def __init__(self, type: str, layout: str, rate: int) -> None:
        self._target = type, layout, rate
        self._graph: Graph | None = None

    def resample(self, frame: AudioFrame | None) -> list[AudioFrame]:
        """Convert a frame; ``None`` flushes what was held back.

        Raises:
            av.FFmpegError: FFmpeg rejects it.
            ValueError: Likewise.
        """
        if self._graph is None:
            if frame is None:
                return []
            self._graph = self._open(frame)
        self._graph.push(frame)
        converted: list[AudioFrame] = []
        while True:
            try:
                made = self._graph.pull()
            except EOFError:
                return converted
            except FFmpegError as error:
                if error.errno != EAGAIN:
                    raise
                return converted
            if isinstance(made, AudioFrame):
                converted.append(made)

    def _open(self, frame: AudioFrame) -> Graph:
        type, layout, rate = self._target
        graph = Graph()
        if hasattr(graph, "threads"):  # PyAV 14 has no such setting
            graph.threads = 1
        source = graph.add(
            "abuffer",
            sample_rate=f"{frame.sample_rate}",
            sample_fmt=frame.format.name,
            channel_layout=frame.layout.name,
        )
        conversion = graph.add(
            "aformat", sample_rates=f"{rate}", sample_fmts=type, channel_layouts=layout
        )
        sink = graph.add("abuffersink")
        source.link_to(conversion)
        conversion.link_to(sink)
        graph.configure()
        return graph
