"""What is sent in the place of a track that is not enabled (W3C mediacapture-main 4.3.1)."""

from av import VideoFrame

from icefloe.encoding import upright_size


def nothing_like(frame: VideoFrame) -> VideoFrame:
    """Return a black picture in the place of another one."""
    black = VideoFrame(*upright_size(frame), "yuv420p")
    for index, component in enumerate(black.planes):
        component.update((b"\x80" if index else b"\x10") * component.buffer_size)
    black.pts, black.time_base = frame.pts, frame.time_base
    return black
