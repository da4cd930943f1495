"""Audio and video for a peer connection: sources, transforms, fan-out, sinks.

Everything here is an aiortc ``MediaStreamTrack`` or makes some, so that it goes wherever such a
track goes::

    source = await FileSource.open("film.mp4", loop=True)
    peer.add_track(TransformTrack(source.video, blur))

A track is read with ``await track.recv()`` and ended with ``track.stop()``; at its end ``recv()``
raises ``aiortc.mediastreams.MediaStreamError``. Nothing here keeps more than a stated number of
frames, and nothing slow runs on the event loop.
"""

from .audioqueue import AudioQueue, QueuedAudio
from .clock import Clock, MonotonicClock
from .devices import Camera, Microphone, Screen
from .discarding import Discard, discard
from .encoded import EncodedSource
from .errors import (
    DeviceUnavailable,
    InvalidParameter,
    MediaError,
    MissingDependency,
    NobodyListens,
    NotSeekable,
    OutputUnavailable,
    RecordingFailed,
    SinkError,
    SnapshotFailed,
    SourceError,
    SourceNotFound,
    SourceTimeout,
    SourceUnreadable,
    TrackEnded,
)
from .fanout import Fanout, LatestFrame, Subscription
from .files import FileSource
from .generated import GeneratedAudio, GeneratedVideo
from .reading import AudioReader, FrameReader, audio, frames
from .recorder import RecordedFile, Recorder
from .segments import SpeechEvent, SpeechLimits, SpeechSegment, SpeechStarted
from .shared import EncodedFanout, EncodedSubscription, EncoderReport
from .snapshot import snapshot
from .sources import TestPatternTrack, ToneTrack
from .speaker import Speaker
from .speech import SpeechDetector, SpeechReader, speech
from .transform import TransformFunction, TransformTrack

__all__ = [
    "AudioQueue",
    "AudioReader",
    "Camera",
    "Clock",
    "DeviceUnavailable",
    "Discard",
    "EncodedFanout",
    "EncodedSource",
    "EncodedSubscription",
    "EncoderReport",
    "Fanout",
    "FileSource",
    "FrameReader",
    "GeneratedAudio",
    "GeneratedVideo",
    "InvalidParameter",
    "LatestFrame",
    "MediaError",
    "Microphone",
    "MissingDependency",
    "MonotonicClock",
    "NobodyListens",
    "NotSeekable",
    "OutputUnavailable",
    "QueuedAudio",
    "RecordedFile",
    "Recorder",
    "RecordingFailed",
    "Screen",
    "SinkError",
    "SnapshotFailed",
    "SourceError",
    "SourceNotFound",
    "SourceTimeout",
    "SourceUnreadable",
    "Speaker",
    "SpeechDetector",
    "SpeechEvent",
    "SpeechLimits",
    "SpeechReader",
    "SpeechSegment",
    "SpeechStarted",
    "Subscription",
    "TestPatternTrack",
    "ToneTrack",
    "TrackEnded",
    "TransformFunction",
    "TransformTrack",
    "audio",
    "discard",
    "frames",
    "snapshot",
    "speech",
]
