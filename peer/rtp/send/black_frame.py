"""Black frames, sent for a disabled video track (W3C mediacapture-main 4.3.1)."""

from av import VideoFrame

from icefloe.encoding import upright_size


def black_frame(frame: VideoFrame) -> VideoFrame:
    """Return a black frame with the displayed size and the timestamp of ``frame``."""
    black = VideoFrame(*upright_size(frame), "yuv420p")
    for index, component in enumerate(black.planes):
        component.update((b"\x80" if index else b"\x10") * component.buffer_size)
    black.pts, black.time_base = frame.pts, frame.time_base
    return black
