"""A picture once more, with times of its own and without a copy of its pixels."""

from fractions import Fraction

from av import VideoFormat, VideoFrame
from av.filter import Graph


class PictureReference:
    """Makes frames that share the pixels of others; used by one thread at a time.

    An encoder reads the time of a picture, and the type that it is to have, from the frame. Others
    may look at the same frame, and PyAV has no second one for the same pixels; a filter of FFmpeg
    that does nothing has.
    """

    def __init__(self) -> None:
        self._graph: tuple[tuple[str, int, int], Graph] | None = None

    def to(self, frame: VideoFrame) -> VideoFrame:
        """Return a new frame with the pixels of another one, which is not changed.

        Raises:
            av.FFmpegError: FFmpeg refuses it.
        """
        key = (frame.format.name, frame.width, frame.height)
        if self._graph is None or self._graph[0] != key:
            self._graph = key, _passing(*key)
        graph = self._graph[1]
        try:
            graph.vpush(frame)
            return graph.vpull()
        except BaseException:
            self._graph = None
            raise


def _passing(format: str, width: int, height: int) -> Graph:
    graph = Graph()
    graph.threads = 1
    time_base = Fraction(1, 90000)  # of no account: each frame keeps its own
    begin = graph.add_buffer(
        width=width, height=height, format=VideoFormat(format), time_base=time_base
    )
    graph.link_nodes(begin, graph.add("buffersink")).configure()
    return graph
