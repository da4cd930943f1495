"""What is sent in the place of a track that is not enabled (W3C mediacapture-main 4.3.1)."""

from av import AudioFrame, VideoFrame

from icefloe.encoding import upright_size


def nothing_like(frame: VideoFrame | AudioFrame) -> VideoFrame | AudioFrame:
    """Return a black picture, or silence, in the place of a frame."""
    if isinstance(frame, AudioFrame):
        silence = AudioFrame(frame.format.name, frame.layout.name, frame.samples)
        for plane in silence.planes:
            plane.update(bytes(plane.buffer_size))
        silence.sample_rate, silence.pts = frame.sample_rate, frame.pts
        silence.time_base = frame.time_base
        return silence
    black = VideoFrame(*upright_size(frame), "yuv420p")
    for index, component in enumerate(black.planes):
        component.update((b"\x80" if index else b"\x10") * component.buffer_size)
    black.pts, black.time_base = frame.pts, frame.time_base
    return black
