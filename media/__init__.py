"""Audio and video for a peer connection: files, URLs, devices, speech, transforms, fan-out.

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
from .encoded import EncodedSource
from .errors import (
    DeviceUnavailable,
    InvalidParameter,
    MediaError,
    NotSeekable,
    SourceError,
    SourceNotFound,
    SourceTimeout,
    SourceUnreadable,
    TrackEnded,
)
from .fanout import Fanout, LatestFrame, Subscription
from .files import FileSource
from .generated import GeneratedAudio, GeneratedVideo
from .sources import TestPatternTrack, ToneTrack
from .transform import TransformFunction, TransformTrack

__all__ = [
    "AudioQueue",
    "Camera",
    "Clock",
    "DeviceUnavailable",
    "EncodedSource",
    "Fanout",
    "FileSource",
    "GeneratedAudio",
    "GeneratedVideo",
    "InvalidParameter",
    "LatestFrame",
    "MediaError",
    "Microphone",
    "MonotonicClock",
    "NotSeekable",
    "QueuedAudio",
    "Screen",
    "SourceError",
    "SourceNotFound",
    "SourceTimeout",
    "SourceUnreadable",
    "Subscription",
    "TestPatternTrack",
    "ToneTrack",
    "TrackEnded",
    "TransformFunction",
    "TransformTrack",
]
