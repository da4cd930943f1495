"""Video effects, as FFmpeg filter graphs."""

from collections.abc import Callable
from fractions import Fraction

from av import VideoFormat, VideoFrame
from av.filter import Graph

_PIXELS = "yuv420p"
"""The pixel format of cameras and encoders; filters that support it need no conversion."""

_TIME_BASE = Fraction(1, 90000)

_FILTERS: dict[str, tuple[tuple[str, str], ...]] = {
    "none": (),
    "edges": (("edgedetect", "low=0.06:high=0.16"),),
    "gray": (("lutyuv", "u=128:v=128"),),
    "mirror": (("hflip", ""),),
    "negative": (("negate", ""),),
    "sepia": (("lutyuv", "u=108:v=148"),),
    "blur": (("avgblur", "10"),),
    # Edges on smooth areas. It works on RGB, and at half the size to be as fast as the others.
    "cartoon": (
        ("scale", "{width}/2:{height}/2"),
        ("edgedetect", "mode=colormix:low=0.05:high=0.15"),
        ("scale", "{width}:{height}"),
    ),
}

EFFECTS = tuple(_FILTERS)
"""The names of all effects; ``none`` does not change the picture."""

DEFAULT = "edges"


def effect(name: str) -> Callable[[VideoFrame], VideoFrame] | None:
    """Return a function that applies an effect to a frame.

    Args:
        name: One of :data:`EFFECTS`.

    Returns:
        A function for one video stream, to be called from one thread; the size of the frames may
        change. It takes 0.1 to 5 ms at 640x480. ``None`` for the effect ``none``.
    """
    filters = _FILTERS[name]
    return _Filtered(filters) if filters else None


class _Filtered:
    """Applies a chain of filters to frames; the graph is rebuilt when the format changes."""

    def __init__(self, filters: tuple[tuple[str, str], ...]) -> None:
        self._filters = filters
        self._built_for: tuple[int, int, str] | None = None
        self._graph = Graph()
        self._count = 0

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        shape = (frame.width, frame.height, frame.format.name)
        if shape != self._built_for:
            self._graph, self._built_for = self._build(*shape), shape
        # Filter graphs need increasing timestamps. The caller restores the original ones.
        frame.pts, frame.time_base = self._count, _TIME_BASE
        self._count += 1
        self._graph.push(frame)
        filtered = self._graph.pull()
        if not isinstance(filtered, VideoFrame):
            raise TypeError(f"the graph gave {type(filtered).__name__} and no picture")
        return filtered

    def _build(self, width: int, height: int, pixels: str) -> Graph:
        graph = Graph()
        # More threads would compete with the encoders for the processors.
        graph.threads = 1
        source = graph.add_buffer(
            width=width, height=height, format=VideoFormat(pixels), time_base=_TIME_BASE
        )
        chain = [
            graph.add(name, arguments.format(width=width, height=height) or None)
            for name, arguments in self._filters
        ]
        sink = (graph.add("format", _PIXELS), graph.add("buffersink"))
        graph.link_nodes(source, *chain, *sink).configure()
        return graph
