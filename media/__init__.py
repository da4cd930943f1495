"""Audio and video for a peer connection: sources, transforms, fan-out, sinks.

Everything here is an aiortc ``MediaStreamTrack`` or makes some, so that it goes wherever such a
track goes::

    source = await FileSource.open("film.mp4", loop=True)
    peer.add_track(TransformTrack(source.video, blur))

A track is read with ``await track.recv()`` and ended with ``track.stop()``; at its end ``recv()``
raises ``aiortc.mediastreams.MediaStreamError``. Nothing here keeps more than a stated number of
frames, and nothing slow runs on the event loop.
"""

from .clock import Clock, MonotonicClock
from .discarding import Discard, discard
from .errors import (
    InvalidParameter,
    MediaError,
    MissingDependency,
    OutputUnavailable,
    RecordingFailed,
    SinkError,
    SnapshotFailed,
    SourceError,
    SourceNotFound,
    SourceTimeout,
    SourceUnreadable,
)
from .fanout import Fanout, LatestFrame, Subscription
from .files import FileSource
from .reading import AudioReader, FrameReader, audio, frames
from .recorder import RecordedFile, Recorder
from .snapshot import snapshot
from .sources import TestPatternTrack, ToneTrack
from .speaker import Speaker
from .transform import TransformFunction, TransformTrack

__all__ = [
    "AudioReader",
    "Clock",
    "Discard",
    "Fanout",
    "FileSource",
    "FrameReader",
    "InvalidParameter",
    "LatestFrame",
    "MediaError",
    "MissingDependency",
    "MonotonicClock",
    "OutputUnavailable",
    "RecordedFile",
    "Recorder",
    "RecordingFailed",
    "SinkError",
    "SnapshotFailed",
    "SourceError",
    "SourceNotFound",
    "SourceTimeout",
    "SourceUnreadable",
    "Speaker",
    "Subscription",
    "TestPatternTrack",
    "ToneTrack",
    "TransformFunction",
    "TransformTrack",
    "audio",
    "discard",
    "frames",
    "snapshot",
]
