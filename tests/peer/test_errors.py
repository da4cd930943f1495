"""The errors of ``icefloe.peer``: their tree, what they carry and what they tell a person."""

import inspect
import re

import pytest

from icefloe.peer import errors
from icefloe.peer.errors import (
    ChannelClosed,
    ChannelError,
    ConnectEvidence,
    ConnectFailed,
    ConnectPhase,
    IncompatibleVersions,
    InvalidCandidate,
    InvalidServerUrl,
    MessageTooLarge,
    PeerError,
    PeerLeft,
    ReceiveOverflow,
)

CLASSES = {
    name: cls
    for name, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, Exception) and cls.__module__.startswith("icefloe.peer.")
}


def drawn_tree() -> dict[str, tuple[str, ...]]:
    """Read the tree in the module's docstring as ``{name: names of its bases}``."""
    tree: dict[str, tuple[str, ...]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        branch = re.match(r" {4}((?:[│ ] {3})*)([├└]── )?(\w+)(?: \(also ([\w ]+)\))?$", line)
        if branch is None:
            continue
        depth = len(branch[1]) // 4 + bool(branch[2])
        del above[depth:]
        also = branch[4].split(" and ") if branch[4] else ()
        tree[branch[3]] = (*above[-1:], *also)
        above.append(branch[3])
    return tree


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    bases = {name: tuple(base.__name__ for base in cls.__bases__) for name, cls in CLASSES.items()}
    assert drawn_tree() == bases | {"PeerError": ()}
    assert len(bases) > 20


@pytest.mark.parametrize("name", CLASSES)
def test_every_error_is_a_peer_error_with_a_docstring(name: str) -> None:
    assert issubclass(CLASSES[name], PeerError)
    assert CLASSES[name].__doc__


def test_incompatible_versions_names_what_is_missing_and_what_is_installed() -> None:
    error = IncompatibleVersions(["aiortc.x.Y._z"], "aiortc 9.9 and aioice 8.8")
    assert isinstance(error, ImportError)
    assert error.missing == ["aiortc.x.Y._z"]
    for part in ("aiortc.x.Y._z", "aiortc 9.9", "aioice 8.8", "pip install"):
        assert part in str(error)


def test_an_invalid_server_url_is_quoted_with_the_reason_and_the_right_form() -> None:
    error = InvalidServerUrl("http://host", "no")
    assert isinstance(error, ValueError)
    assert error.url == "http://host"
    for part in ("'http://host'", "no", "turn:host:3478?transport=udp"):
        assert part in str(error)


def test_an_invalid_candidate_is_quoted_with_the_reason() -> None:
    error = InvalidCandidate({"candidate": 5}, "5 should be of type str")
    assert isinstance(error, ValueError)
    assert error.candidate == {"candidate": 5}
    assert "{'candidate': 5}" in str(error)
    assert "5 should be of type str" in str(error)


@pytest.mark.parametrize("phase", ConnectPhase)
def test_a_failed_connection_tells_how_far_it_came_and_what_to_do(phase: ConnectPhase) -> None:
    evidence = ConnectEvidence(
        seconds=12.34,
        local=("host/udp 192.0.2.1:4000", "srflx/udp 198.51.100.1:4000"),
        remote=("host/udp 192.0.2.9:5000",),
        server_errors=("stun:a.example: 701 no answer within 5 s",),
    )
    error = ConnectFailed("bob", phase, evidence)
    assert (error.peer, error.phase, error.evidence) == ("bob", phase, evidence)
    for part in ("'bob'", "12.3 s", phase, "2 local and 1 remote", "701 no answer"):
        assert part in str(error)


def test_every_phase_has_advice_of_its_own() -> None:
    nothing = ConnectEvidence(seconds=0)
    said = {str(ConnectFailed("bob", phase, nothing)).replace(phase, "") for phase in ConnectPhase}
    assert len(said) == len(ConnectPhase)


@pytest.mark.parametrize("reason", ["left", "timeout", "removed", "bye"])
def test_a_peer_that_left_is_named_with_the_reason(reason: str) -> None:
    error = PeerLeft("bob", reason)
    assert (error.peer, error.reason) == ("bob", reason)
    assert "'bob'" in str(error)
    assert reason in str(error)


def test_channel_errors_name_their_channel() -> None:
    closed = ChannelClosed("chat")
    overflow = ReceiveOverflow("chat", 4096)
    assert overflow.limit == 4096
    assert "4096 bytes" in str(overflow)
    for error in (closed, overflow):
        assert isinstance(error, ChannelError)
        assert error.label == "chat"
        assert "'chat'" in str(error)


def test_a_message_that_is_too_large_tells_its_size_and_the_limit() -> None:
    error = MessageTooLarge("chat", 300_000, 262_144)
    assert isinstance(error, ValueError)
    assert (error.label, error.size, error.limit) == ("chat", 300_000, 262_144)
    for part in ("300000 bytes", "262144 bytes", "'chat'"):
        assert part in str(error)
