"""Zero-copy references to video frames, with their own timestamp and picture type."""

from fractions import Fraction

from av import VideoFormat, VideoFrame
from av.filter import Graph


class PictureReference:
    """Factory of frames that share the pixels of other frames; used by one thread at a time.

    An encoder reads the timestamp and the requested picture type from the frame, so both must be
    set on it. Other threads may read the same frame meanwhile. PyAV cannot make a second frame for
    the same pixels, but an FFmpeg filter graph without filters does.
    """

    def __init__(self) -> None:
        self._graph: tuple[tuple[str, int, int], Graph] | None = None

    def to(self, frame: VideoFrame) -> VideoFrame:
        """Return a new frame that shares the pixels of ``frame``, which is not changed.

        Raises:
            av.FFmpegError: FFmpeg rejects the frame.
        """
        key = (frame.format.name, frame.width, frame.height)
        if self._graph is None or self._graph[0] != key:
            self._graph = key, _passthrough_graph(*key)
        graph = self._graph[1]
        try:
            graph.vpush(frame)
            return graph.vpull()
        except BaseException:
            self._graph = None
            raise


def _passthrough_graph(format: str, width: int, height: int) -> Graph:
    graph = Graph()
    graph.threads = 1
    time_base = Fraction(1, 90000)  # required but unused: each frame keeps its own
    begin = graph.add_buffer(
        width=width, height=height, format=VideoFormat(format), time_base=time_base
    )
    graph.link_nodes(begin, graph.add("buffersink")).configure()
    return graph
