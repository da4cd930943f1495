"""Media tracks for a peer connection: sources, transforms, fan-out and sinks of audio and video.

All sources give aiortc ``MediaStreamTrack`` objects, and all sinks take them, so that they work
with any code that uses such tracks::

    source = await FileSource.open("film.mp4", loop=True)
    peer.add_track(TransformTrack(source.video, blur))

A track is read with ``await track.recv()`` and ended with ``track.stop()``; at its end ``recv()``
raises ``aiortc.mediastreams.MediaStreamError``. Every queue is bounded, and slow work runs in
threads or processes of its own, never on the event loop.
"""

from ._util.clock import Clock, MonotonicClock
from .errors import (
    DeviceUnavailable,
    InvalidParameter,
    MediaError,
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
from .fanout.encoded_fanout import EncodedFanout, EncodedSubscription
from .fanout.fanout import Fanout, LatestFrame, Subscription
from .fanout.shared_encoder import EncoderReport
from .fanout.transform import TransformFunction, TransformTrack
from .sinks.discard import Discard, discard
from .sinks.readers import AudioReader, FrameReader, audio, frames
from .sinks.recorder import Recorder
from .sinks.recording_path import RecordedFile
from .sinks.snapshot import snapshot
from .sinks.speaker import Speaker
from .sources.audio_queue import AudioQueue, QueuedAudio
from .sources.devices import Camera, Microphone, Screen
from .sources.encoded import EncodedSource
from .sources.files import FileSource
from .sources.generated import GeneratedAudio, GeneratedVideo
from .sources.test_signals import TestPatternTrack, ToneTrack
from .speech.detector import SpeechDetector, SpeechReader, speech
from .speech.segments import SpeechEvent, SpeechLimits, SpeechSegment, SpeechStarted

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
