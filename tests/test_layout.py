"""The packages are reached by one name each, and signaling stands without the media stack."""

import importlib.util
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from tests.peer.connection.test_stats import W3C as STATISTICS

ROOT = Path(__file__).resolve().parents[1]

FOLDERS = {
    "icefloe": "src/icefloe",
    "icefloe.demos": "demos",
    "icefloe.encoding": "encoding",
    "icefloe.media": "media",
    "icefloe.peer": "peer",
    "icefloe.signaling": "signaling",
}
"""The folder of each package; the links in ``src/icefloe`` lead there."""

PACKAGES = ["icefloe.encoding", "icefloe.media", "icefloe.peer", "icefloe.signaling"]

PUBLIC = {
    "icefloe.media": """
        AudioQueue
        AudioReader
        Camera
        Clock
        DeviceUnavailable
        Discard
        EncodedFanout
        EncodedSource
        EncodedSubscription
        EncoderReport
        Fanout
        FileSource
        FrameReader
        GeneratedAudio
        GeneratedVideo
        InvalidParameter
        LatestFrame
        MediaError
        Microphone
        MonotonicClock
        NobodyListens
        NotSeekable
        OutputUnavailable
        QueuedAudio
        RecordedFile
        Recorder
        RecordingFailed
        Screen
        SinkError
        SnapshotFailed
        SourceError
        SourceNotFound
        SourceTimeout
        SourceUnreadable
        Speaker
        SpeechDetector
        SpeechEvent
        SpeechLimits
        SpeechReader
        SpeechSegment
        SpeechStarted
        Subscription
        TestPatternTrack
        ToneTrack
        TrackEnded
        TransformFunction
        TransformTrack
        audio
        discard
        frames
        snapshot
        speech
    """,
    "icefloe.peer": """
        CandidateFacts
        CandidateGathered
        CandidateReceived
        CandidateSent
        ChannelClosed
        ChannelCounts
        ChannelError
        ChannelMisused
        ChannelUnavailable
        ClosedBy
        ConnectEvidence
        ConnectFailed
        ConnectPhase
        ConnectionClosed
        DataChannel
        DescriptionApplied
        DescriptionTooLarge
        EncodedTrack
        EstimateTaken
        FileOffer
        FilesToSend
        FingerprintMismatch
        ForwardedTrack
        FragmentInUse
        GatheringEnded
        GenerationBegan
        IceStateChanged
        IncompatibleVersions
        InvalidCandidate
        InvalidChannel
        InvalidConfiguration
        InvalidDescription
        InvalidMessage
        InvalidModification
        InvalidPairingCode
        InvalidParameters
        InvalidServerUrl
        KeyFrameReceived
        MediaStarted
        Meeting
        MessageTooLarge
        Negotiator
        NoRoomFree
        NotForwardable
        PairChanged
        PairFacts
        PairNominated
        PairSelected
        PairingCode
        PairingCodeUsedUp
        PairingError
        PairingSide
        PeerConfiguration
        PeerConnection
        PeerError
        PeerLeft
        PeerNotHere
        RTCDataChannelStats
        RTCIceCandidate
        RTCIceCandidatePair
        RTCIceCandidatePairStats
        RTCIceCandidateStats
        RTCInboundRtpStreamStats
        RTCOutboundRtpStreamStats
        RTCPeerConnectionIceErrorEvent
        RTCPeerConnectionStats
        RTCRtpEncodingParameters
        RTCRtpSendParameters
        RTCTransportStats
        ReceiveOverflow
        ReceiveWindow
        Redactor
        RelayLost
        RelayPeerRefused
        RemoteCandidateTaken
        RemoteCandidatesEnded
        RemoteNameUnresolved
        RemotePeer
        RemoteTrack
        RequestFailed
        RequestTimeout
        Room
        RoundTripsMeasured
        ServerAsked
        ServerFacts
        ServerProblem
        Signaler
        StateChanged
        TcpMux
        TcpMuxStats
        TcpMuxUnusable
        TcpPortUnavailable
        Timeline
        TimelineEntry
        TimerLate
        TrackNotSent
        TransferBroken
        TransferDeclined
        TransferError
        TransferErrorCode
        TransferFailed
        TransferProgress
        UdpMux
        UdpMuxStats
        UdpMuxUnusable
        UdpPortUnavailable
        UnknownSection
        UnsafeName
        Verdict
        VerdictCause
        VerdictEvidence
        WarningGiven
        WrongPairingCode
        forward
        join
        meet
        run
    """,
}
"""The public names; a change to them goes into CHANGELOG.md. Signaling has a list of its own."""


W3C = """
    addIceCandidate addTrack canTrickleIceCandidates createAnswer createDataChannel createOffer
    currentLocalDescription currentRemoteDescription getConfiguration getStats localDescription
    pendingLocalDescription pendingRemoteDescription remoteDescription removeTrack restartIce
    setConfiguration setLocalDescription setRemoteDescription
    alwaysNegotiateDataChannels bundlePolicy iceServers iceTransportPolicy
    maxPacketLifeTime maxRetransmits
    relayProtocol sdpLineNumber sdpMLineIndex sdpMid toJSON usernameFragment
    errorCode errorText
    maxBitrate maxFramerate scaleResolutionDownBy priority degradationPreference
    concealedSamples concealmentEvents fecPacketsReceived framesDropped
    insertedSamplesForDeceleration jitterBufferDelay jitterBufferEmittedCount
    jitterBufferTargetDelay packetsDiscarded packetsLost removedSamplesForAcceleration
    silentConcealedSamples totalSamplesReceived
"""
"""Names in camel case that W3C has given, as far as icefloe has them."""

AIORTC = {"sessionDescription"}
"""Arguments in camel case that aiortc's callers name."""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_the_rooms_are_not_top_level_modules() -> None:
    names = [package.partition(".")[2] for package in PACKAGES]
    code = f"import sys, {', '.join(PACKAGES)}; print([n for n in {names} if n in sys.modules])"
    assert run(code).strip() == "[]"


def test_signaling_loads_neither_aiortc_nor_pyav() -> None:
    heavy = ["aiortc", "aioice", "av"]
    code = f"import sys, icefloe.signaling; print([n for n in {heavy} if n in sys.modules])"
    assert run(code).strip() == "[]"


LOADED_LATER = {
    "icefloe.encoding": "a track that is encoded",
    "icefloe.peer._aiortc.dtls": "a transport",
    "icefloe.peer._aiortc.receiver": "a track",
    "icefloe.peer._aiortc.sctp": "a data channel",
    "icefloe.peer._aiortc.sender": "a track",
    "icefloe.peer.connection.negotiator": "a negotiator",
    "icefloe.peer.connection.stats": "statistics",
    "icefloe.peer.files": "a file transfer",
    "icefloe.peer.ice.agent": "a transport",
    "icefloe.peer.ice.mux": "a transport",
    "icefloe.peer.pairing": "a file transfer",
    "icefloe.peer.rooms": "a room",
    "icefloe.peer.rtp.receive.decoder_threads": "a track",
    "icefloe.peer.rtp.send.pipeline": "a track",
    "icefloe.peer.sctp.association": "a data channel",
    "icefloe.peer.sdp.parser": "a description",
    "icefloe.signaling": "a room",
    "msgspec": "a room",
    "numpy": "sound that is resampled",
    "spake2": "a file transfer",
    "websockets": "a room",
}
"""Modules that importing ``PeerConnection`` does not load, by what needs them."""


def loaded_by(code: str) -> set[str]:
    return set(run(f"import sys\n{code}\nprint(*sys.modules)").split())


def test_importing_the_peer_connection_loads_what_all_connections_need() -> None:
    loaded = loaded_by("from icefloe.peer import PeerConnection")
    assert not loaded & LOADED_LATER.keys()
    own = {name for name in loaded if name.partition(".")[0] == "icefloe"}
    assert len(own) <= 60, f"{len(own)} modules; python -m tests.bench.imports has their time"


def test_what_is_loaded_later_is_there() -> None:
    """A name that was changed would never be loaded, and the test above would tell nothing."""
    for name in LOADED_LATER:
        assert importlib.util.find_spec(name) is not None, name


def test_data_channels_load_neither_encoders_nor_decoders() -> None:
    loaded = loaded_by(
        "import asyncio\n"
        "from icefloe.peer import PeerConnection\n"
        "async def main():\n"
        "    pc = PeerConnection()\n"
        "    pc.createDataChannel('chat')\n"
        "    await pc.setLocalDescription()\n"
        "    await pc.close()\n"
        "asyncio.run(main())"
    )
    assert "icefloe.peer.sctp.association" in loaded
    assert not loaded & {name for name, of in LOADED_LATER.items() if "track" in of}


def test_statistics_of_media_load_no_data_channels() -> None:
    """It takes some 70 ms, during which nothing is played."""
    loaded = loaded_by(
        "import asyncio\n"
        "from icefloe.peer import PeerConnection\n"
        "async def main():\n"
        "    pc = PeerConnection()\n"
        "    pc.addTransceiver('audio')\n"
        "    await pc.setLocalDescription()\n"
        "    await pc.getStats()\n"
        "    await pc.close()\n"
        "asyncio.run(main())"
    )
    assert "icefloe.peer.connection.stats" in loaded
    assert "icefloe.peer.sctp.association" not in loaded


def test_the_front_door_imports_nothing() -> None:
    code = "import sys; b=set(sys.modules); import icefloe; print(sorted(set(sys.modules)-b))"
    assert run(code).strip() == "['icefloe']"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_public_names_exist_and_are_sorted(package: str) -> None:
    code = (
        f"import {package} as p; n = p.__all__; assert list(n) == sorted(n), n;"
        "assert all(hasattr(p, x) and getattr(p, x).__doc__ for x in n); print(len(n))"
    )
    assert int(run(code)) > 0


@pytest.mark.parametrize("package", PUBLIC)
def test_what_is_public_changes_only_on_purpose(package: str) -> None:
    assert run(f"import {package} as p; print(*p.__all__)").split() == PUBLIC[package].split()


def test_every_package_is_named_for_the_wheel() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {
        ".".join((name, *place.parent.relative_to(ROOT / folder).parts))
        for name, folder in FOLDERS.items()
        for place in (ROOT / folder).rglob("__init__.py")
    }
    assert set(setuptools["packages"]) == found
    for name, folder in FOLDERS.items():
        assert (ROOT / "src" / Path(*name.split("."))).resolve() == ROOT / folder


def public(package: str) -> dict[str, object]:
    module = importlib.import_module(package)
    return {name: getattr(module, name) for name in module.__all__}


def test_a_public_name_has_one_meaning() -> None:
    for one, other in combinations(PACKAGES, 2):
        both = public(one).keys() & public(other).keys()
        assert not both, f"{one} and {other} both have {both}"


def own_names(thing: object) -> Iterator[str]:
    """Yield the names of members and arguments that icefloe, and not aiortc, has given."""
    owners = inspect.getmro(thing) if inspect.isclass(thing) else (thing,)
    for owner in owners:
        if not getattr(owner, "__module__", "").startswith("icefloe."):
            continue
        members = vars(owner) if inspect.isclass(owner) else {"": owner}
        yield from members
        yield from inspect.get_annotations(owner) if inspect.isclass(owner) else ()
        for member in members.values():
            if inspect.isfunction(member):
                yield from inspect.signature(member).parameters


@pytest.mark.parametrize("package", PACKAGES)
def test_only_names_of_w3c_are_in_camel_case(package: str) -> None:
    camel = {
        name
        for thing in public(package).values()
        for name in own_names(thing)
        if re.match(r"[a-z]+[a-z0-9]*[A-Z]", name)
    }
    given = {*W3C.split(), *" ".join(STATISTICS.values()).split(), *AIORTC}
    assert camel <= given
    assert bool(camel) == (package in ("icefloe.peer", "icefloe.signaling"))
